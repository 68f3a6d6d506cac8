"""`max_questions`: strangers provoke so many questions a second and no more, and those who are known go on."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from hexclave_integrations import ApiKeyNotFound, HexclaveConfig, TeamMembershipRequired, Unavailable
from hexclave_integrations import _reasons as reasons
from hexclave_integrations._memory.budget import Acquainted, Budget
from hexclave_integrations.requirements import SELECTED_TEAM, require_api_key, require_permission, require_team
from hexclave_integrations.testing import Sandbox

from ._server import DRIVE_IDS, DRIVES, Clock, Drive, core_of, error_of
from .contract.apps import COLUMNS, Build
from .contract.views import PERMISSION

BUDGET = 20


@pytest.fixture(params=DRIVES, ids=DRIVE_IDS)
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    driving: Drive = request.param()
    yield driving
    driving.end()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Sandbox:
    return Sandbox(clock=clock)


def invented_keys(count: int) -> list[str]:
    """Well-formed API keys that the project does not know."""
    elsewhere = Sandbox()
    user = elsewhere.create_user()
    return [elsewhere.create_api_key(user=user).value for _ in range(count)]


def invented_teams(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def questions(sandbox: Sandbox) -> int:
    """How often Hexclave was asked about API keys and teams."""
    return sum("jwks.json" not in request.path for request in sandbox.requests)


# --- the bucket ---------------------------------------------------------------------------------------------


def test_a_budget_is_spent_and_refills() -> None:
    """So much at once, then so much a second, and never more at once than in a second."""
    budget = Budget(4)
    assert [budget.spend(100) for _ in range(4)] == [0, 0, 0, 0]
    assert budget.spend(100) == 0.25
    assert budget.spend(100.125) == 0.125
    assert budget.spend(100.25) == 0
    assert budget.spend(100.25) == 0.25
    assert [budget.spend(1000) for _ in range(5)] == [0, 0, 0, 0, 0.25]


def test_a_clock_that_is_set_back_refills_nothing() -> None:
    """Nor does it keep the budget from refilling from there on."""
    budget = Budget(1)
    assert budget.spend(1000) == 0
    assert budget.spend(10) == 1
    assert budget.spend(11) == 0


def test_threads_spend_it_once() -> None:
    """However many spend at the same time."""
    budget = Budget(100)
    spent: list[float] = []
    threads = [
        threading.Thread(target=lambda: spent.extend(budget.spend(5) for _ in range(50)), daemon=True) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert spent.count(0) == 100


def test_acquaintances_are_bounded() -> None:
    """The ones met longest ago are forgotten first."""
    known = Acquainted()
    for number in range(65_537):
        known.add(number)
    assert 0 not in known
    assert 1 in known
    assert 65_536 in known


# --- the promise --------------------------------------------------------------------------------------------


def test_ten_thousand_of_each(drive: Drive, sandbox: Sandbox, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """At one moment: the budget's calls, known users, keys and members as before, and the log is not filled."""
    config = dataclasses.replace(sandbox.config, max_questions=BUDGET)
    client = drive.client(config, clock=clock)
    stranger, member, holder = (sandbox.create_user() for _ in range(3))
    team = sandbox.create_team()
    sandbox.add_member(team, member)
    sandbox.grant(holder, PERMISSION, team=team)
    key = sandbox.create_api_key(user=member).value

    def admit(user: Any, requirement: Any) -> Any:
        headers = {"x-api-key": user} if isinstance(user, str) else sandbox.headers(user)
        return drive.run(client, "admit", requirement, client.attempt(headers))

    def admit_the_known() -> None:
        for user, requirement in (
            (member, require_team(team.id)),
            (holder, require_permission(team.id, PERMISSION)),
            (key, require_api_key),
        ):
            assert admit(user, requirement).id

    admit_the_known()
    clock.advance(1)
    before = questions(sandbox)
    keys, teams = invented_keys(10_000), invented_teams(10_000)
    headers = sandbox.headers(stranger)
    outcomes: dict[Any, int] = {}
    for text, team_id in zip(keys, teams, strict=True):
        for error in (
            error_of(drive, client, "check_api_key", text),
            error_of(drive, client, "admit", require_team(team_id), client.attempt(headers)),
        ):
            assert isinstance(error, ApiKeyNotFound | TeamMembershipRequired | Unavailable)
            outcomes[error.reason] = outcomes.get(error.reason, 0) + 1
            if isinstance(error, Unavailable):
                assert dict(error.headers())["Retry-After"] == "1"
    assert outcomes.pop(reasons.TOO_MANY_QUESTIONS) == 20_000 - BUDGET
    assert sum(outcomes.values()) == BUDGET
    assert questions(sandbox) == before + BUDGET
    assert len(core_of(client).answers) + len(core_of(client).api_keys) < 50  # nor do they push anybody out of memory

    admit_the_known()
    clock.advance(config.permission_ttl)  # now they have to be asked about again, and the budget is spent once more
    for text in keys[:BUDGET]:
        error_of(drive, client, "check_api_key", text)
    assert isinstance(error_of(drive, client, "check_api_key", keys[-1]), Unavailable)
    admit_the_known()
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert {"max_questions" in record.getMessage() for record in said} == {True}
    assert len(said) < 20  # one in ten seconds, and a busy machine may take that long


def test_over_the_budget_a_member_comes_in_later(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """Somebody whom nobody has seen yet waits as long as the answer says, and no longer."""
    client = drive.client(dataclasses.replace(sandbox.config, max_questions=2), clock=clock)
    user, team = sandbox.create_user(), sandbox.create_team()
    sandbox.add_member(team, user)
    for team_id in invented_teams(2):
        assert drive.run(client, "is_team_member", user.id, team_id) is False

    assert isinstance(error_of(drive, client, "is_team_member", user.id, team.id), Unavailable)
    clock.advance(1)
    assert drive.run(client, "is_team_member", user.id, team.id) is True


def test_the_selected_team_is_no_strangers(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """Hexclave vouches for the team that a token names, so its first question is not held against the budget."""
    client = drive.client(dataclasses.replace(sandbox.config, max_questions=1), clock=clock)
    team = sandbox.create_team()
    user = sandbox.create_user()
    sandbox.grant(user, PERMISSION, team=team)
    sandbox.select_team(user, team)
    assert drive.run(client, "is_team_member", user.id, invented_teams(1)[0]) is False

    for requirement in (require_permission(SELECTED_TEAM, PERMISSION), require_team(team.id.upper())):
        admitted = drive.run(client, "admit", requirement, client.attempt(sandbox.headers(user)))
        assert admitted.id == user.id


def test_what_no_stranger_can_invent_has_no_budget(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """Users and project permissions are asked about for callers whose token was verified."""
    client = drive.client(dataclasses.replace(sandbox.config, max_questions=1), clock=clock)
    for user in [sandbox.create_user() for _ in range(5)]:
        assert drive.run(client, "list_permissions", user.id) == frozenset()
        assert drive.run(client, "get_user", user.id).id == user.id


def test_live_requirements_keep_to_it(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """A route that asks each time does so for strangers within the budget."""
    client = drive.client(dataclasses.replace(sandbox.config, max_questions=3), clock=clock)
    user, team = sandbox.create_user(), sandbox.create_team()
    requirement = require_team(team.id).live()

    def outcome() -> Exception | None:
        return error_of(drive, client, "admit", requirement, client.attempt(sandbox.headers(user)))

    assert [type(outcome()) for _ in range(4)] == [TeamMembershipRequired] * 3 + [Unavailable]
    sandbox.add_member(team, user)
    clock.advance(1)
    assert [outcome() for _ in range(6)] == [None] * 6


# --- in every framework -------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in COLUMNS.items()])
def test_every_framework_keeps_to_it(build: Build) -> None:
    """The same in every adapter: 503 with `Retry-After` for strangers, and nothing for those who are known."""
    sandbox = Sandbox()
    member, stranger, team = sandbox.create_user(), sandbox.create_user(), sandbox.create_team()
    sandbox.grant(member, PERMISSION, team=team)
    key = {"x-api-key": sandbox.create_api_key(user=member).value}
    config: HexclaveConfig = dataclasses.replace(sandbox.config, max_questions=5, permission_ttl=0.05, api_key_ttl=0.05)
    known = [(f"/teams/{team.id}/member", sandbox.headers(member)), ("/key", key), ("/me", sandbox.headers(stranger))]
    known.append((f"/teams/{team.id}/export", sandbox.headers(member)))
    with build(config) as ask:
        for path, headers in known:
            assert ask(path, headers).status == 200
        before, begin = questions(sandbox), time.monotonic()
        statuses, asked_for_known = [], 0
        for number, (text, team_id) in enumerate(zip(invented_keys(100), invented_teams(100), strict=True)):
            for answer in (
                ask("/key", {"x-api-key": text}),
                ask(f"/teams/{team_id}/export", sandbox.headers(stranger)),
            ):
                statuses.append(answer.status)
                if answer.status == 503:
                    assert int(answer.headers["retry-after"]) >= 1
                    assert answer.body["code"] == "HEXCLAVE_UNAVAILABLE"
            if number % 20 == 0:
                counted = questions(sandbox)
                for path, headers in known:
                    assert ask(path, headers).status == 200
                asked_for_known += questions(sandbox) - counted
        budget = 5 * (time.monotonic() - begin + 1)
        assert questions(sandbox) - before - asked_for_known <= budget
        assert statuses.count(503) >= 200 - budget
        assert set(statuses) <= {401, 403, 503}
