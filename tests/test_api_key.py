"""API keys: what their text says, what Hexclave says of them, and what is remembered of them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from hexclave_integrations import (
    AnonymousNotAllowed,
    ApiKeyExpired,
    ApiKeyNotFound,
    ApiKeyRevoked,
    ConfigurationError,
    HexclaveApiKey,
    HexclaveUser,
    NotAuthenticated,
    RestrictedNotAllowed,
    Unavailable,
    WrongApiKeyType,
)
from hexclave_integrations.api_key import looks_like_api_key, parse_api_key
from hexclave_integrations.requirements import require_api_key, require_project_permission, require_user
from hexclave_integrations.testing import Sandbox

from ._minting import data
from ._server import CROWD, DRIVE_IDS, DRIVES, Clock, Drive, Server, core_of, error_of, fixed, settings

STRINGS = data("api_key_strings.json")
VALID = [pytest.param(row, id=f"{row['prefix']}-{row['type']}-{row['checksum']}") for row in STRINGS["valid"]]
INVALID = [pytest.param(row, id=f"{number}-{row['parse_error']}") for number, row in enumerate(STRINGS["invalid"])]
WHOLE = STRINGS["valid"][0]["value"]


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


# --- the text -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", VALID)
def test_valid_key_is_read(row: dict[str, Any]) -> None:
    """A well-formed key tells its id and whose it is."""
    parsed = parse_api_key(row["value"])

    assert parsed is not None
    assert (row["id"], row["type"]) == (parsed.id, parsed.type)
    assert looks_like_api_key(row["value"])


@pytest.mark.parametrize("row", INVALID)
def test_invalid_key_is_none(row: dict[str, Any]) -> None:
    """A malformed key is refused, also where it looks like one."""
    assert parse_api_key(row["value"]) is None
    assert row["is_api_key"] is looks_like_api_key(row["value"])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(WHOLE + "\n", id="newline"),
        pytest.param(" " + WHOLE, id="blank"),
        pytest.param(WHOLE[:-8] + WHOLE[-8:].upper(), id="upper-case checksum"),
        pytest.param(WHOLE.replace("0123", "\u0660\u0661\u0662\u0663"), id="digits of another script"),
        pytest.param("x" * 70 + WHOLE, id="long prefix"),
        pytest.param("x" * 1_000_000, id="a megabyte"),
        pytest.param("_" * 100_000 + "574ck4u7h", id="underscores"),
        pytest.param("\udcff" + WHOLE, id="surrogate"),
        pytest.param(WHOLE + "\x00", id="zero byte"),
    ],
)
def test_hostile_text_is_no_key(text: str) -> None:
    """Whatever comes in a header is refused and raises nothing."""
    assert parse_api_key(text) is None


# --- the object -----------------------------------------------------------------------------------------------

OBJECT = {"id": "k", "type": "user", "user_id": "u", "description": "d", "is_public": False}


def test_absent_fields_are_unset() -> None:
    """The API leaves out what is not set (contract 9.3)."""
    key = HexclaveApiKey.from_api({"id": "k", "type": "team", "team_id": "t"})

    assert HexclaveApiKey(id="k", type="team", team_id="t") == key
    assert (key.user_id, key.description, key.expires_at, key.is_public) == (None, "", None, False)


def test_times_are_milliseconds() -> None:
    """`expires_at_millis` becomes a moment in UTC."""
    key = HexclaveApiKey.from_api(OBJECT | {"expires_at_millis": 1_767_225_600_000})

    assert datetime(2026, 1, 1, tzinfo=UTC) == key.expires_at


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"type": "admin"}, id="another type"),
        pytest.param({"type": None}, id="no type"),
        pytest.param({"id": 7}, id="id that is no text"),
        pytest.param({"user_id": None}, id="no owner"),
        pytest.param({"type": "team"}, id="owner of the other kind"),
        pytest.param({"manually_revoked_at_millis": 1}, id="revoked"),
        pytest.param({"expires_at_millis": "soon"}, id="end that is no number"),
        pytest.param({"expires_at_millis": 1e30}, id="end beyond the calendar"),
    ],
)
def test_unusable_objects_are_refused(change: dict[str, Any]) -> None:
    """A key that cannot be understood is none."""
    with pytest.raises((KeyError, TypeError, ValueError, OverflowError)):
        HexclaveApiKey.from_api(OBJECT | change)


def test_description_stays_out_of_repr() -> None:
    """People write anything into descriptions."""
    assert "d" not in repr(HexclaveApiKey.from_api(OBJECT | {"description": "ddd"})).replace("id", "")


# --- checking -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", INVALID)
def test_malformed_key_costs_no_call(drive: Drive, row: dict[str, Any], sandbox: Sandbox) -> None:
    """Offline: what cannot be a key is refused without asking."""
    client = drive.client(sandbox.config)

    assert isinstance(error_of(drive, client, "check_api_key", row["value"]), ApiKeyNotFound)
    assert isinstance(error_of(drive, client, "check_api_key", None), ApiKeyNotFound)
    assert sandbox.requests == []


def test_key_is_checked_where_keys_of_its_own_type_are(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """A user's key is asked about among users' keys, a team's among teams'."""
    user, team = sandbox.create_user(), sandbox.create_team()
    users, teams = sandbox.create_api_key(user=user, expires_in=3600), sandbox.create_api_key(team=team)
    client = drive.client(sandbox.config, clock=clock)

    found = drive.run(client, "check_api_key", users.value)
    assert (users.id, "user", user.id, None) == (found.id, found.type, found.user_id, found.team_id)
    found = drive.run(client, "check_api_key", teams.value)
    assert (teams.id, "team", None, team.id) == (found.id, found.type, found.user_id, found.team_id)
    checks = [request.path for request in sandbox.requests if request.method == "POST"]
    assert checks == ["/api/v1/user-api-keys/check", "/api/v1/team-api-keys/check"]


@pytest.mark.parametrize("owner", ["user", "team"])
def test_crowd_with_one_key_makes_one_check(drive: Drive, owner: str, sandbox: Sandbox, clock: Clock) -> None:
    """A key is checked once per `api_key_ttl`, its owner with it."""
    holder: Any = sandbox.create_user() if owner == "user" else sandbox.create_team()
    key = sandbox.create_api_key(**{owner: holder})
    client = drive.client(sandbox.config, clock=clock)
    for seconds, expected in ((0, 1), (59, 1), (2, 2)):
        clock.advance(seconds)
        outcomes = drive.crowd(client, [("check_api_key", (key.value,))] * CROWD)

        assert {key.id} == {outcome.id for outcome in outcomes}
        assert expected == sandbox.count("/check")


def test_lifetime_of_zero_asks_every_time(drive: Drive, sandbox: Sandbox) -> None:
    """`api_key_ttl=0` remembers nothing."""
    key = sandbox.create_api_key(user=sandbox.create_user())
    client = drive.client(replace(sandbox.config, api_key_ttl=0))
    for _ in range(3):
        drive.run(client, "check_api_key", key.value)

    assert sandbox.count("/check") == 3
    assert len(core_of(client).api_keys) == 0


def test_unknown_key_is_remembered_for_a_while(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """An invented key costs one call in ten seconds, so that a new one works soon."""
    other = Sandbox()
    text = other.create_api_key(user=other.create_user()).value
    client = drive.client(sandbox.config, clock=clock)
    for seconds, expected in ((0, 1), (9, 1), (2, 2)):
        clock.advance(seconds)
        assert isinstance(error_of(drive, client, "check_api_key", text), ApiKeyNotFound)
        assert expected == sandbox.count("/check")


def test_revoked_key_is_noticed_after_its_time(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """A revocation counts when the answer is due again, and at once for a live requirement."""
    key = sandbox.create_api_key(user=sandbox.create_user())
    client = drive.client(sandbox.config, clock=clock)
    drive.run(client, "check_api_key", key.value)
    sandbox.revoke_api_key(key)
    attempt = client.attempt({"x-api-key": key.value})
    assert key.id == drive.run(client, "check_api_key", key.value).id
    assert isinstance(error_of(drive, client, "admit", require_api_key.live(), attempt), ApiKeyRevoked)
    clock.advance(61)
    for _ in range(2):
        assert isinstance(error_of(drive, client, "check_api_key", key.value), ApiKeyRevoked)


def test_key_expires_between_two_checks(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """The end of a remembered key is watched, without a call."""
    key = sandbox.create_api_key(user=sandbox.create_user(), expires_in=30)
    client = drive.client(sandbox.config, clock=clock)
    drive.run(client, "check_api_key", key.value)
    clock.advance(31)

    assert isinstance(error_of(drive, client, "check_api_key", key.value), ApiKeyExpired)
    assert sandbox.count("/check") == 1
    clock.advance(60)
    assert isinstance(error_of(drive, client, "check_api_key", key.value), ApiKeyExpired)


def test_deleted_team_takes_its_keys_along(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """`team.deleted` makes the team's key unknown at once, and no other team's."""
    team, other = sandbox.create_team(), sandbox.create_team()
    key, kept = (sandbox.create_api_key(team=one) for one in (team, other))
    client = drive.client(sandbox.config, clock=clock)
    for one in (key, kept):
        assert one.id == drive.run(client, "check_api_key", one.value).id
    sandbox.delete_team(team)
    drive.run(client, "notice", "team.deleted", {"id": team.id})

    assert isinstance(error_of(drive, client, "check_api_key", key.value), ApiKeyNotFound)
    assert kept.id == drive.run(client, "check_api_key", kept.value).id
    assert sandbox.count("/check") == 3


def test_memory_holds_no_key(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """Keys that were accepted, refused, or met an outage are remembered by their digest alone."""
    user = sandbox.create_user()
    good, revoked, unseen = (sandbox.create_api_key(user=user) for _ in range(3))
    sandbox.revoke_api_key(revoked)
    client = drive.client(sandbox.config, clock=clock)
    drive.run(client, "check_api_key", good.value)
    error_of(drive, client, "check_api_key", revoked.value)
    with sandbox.outage():
        error_of(drive, client, "check_api_key", unseen.value)
    memory = core_of(client).api_keys
    keys = list(memory._entries)
    values = [memory.get(key, clock()) for key in keys]

    assert len(keys) == 3
    assert [value for value in values if getattr(value, "__traceback__", None)] == []  # its frames hold the request
    failures = [pickle.dumps(value) for value in values if isinstance(value, Unavailable)]
    assert len(failures) == 1
    text = repr((keys, values, dict(memory._entries), failures))
    for secret in (good, revoked, unseen):
        assert secret.value not in text
        assert secret.value[3:48] not in text


def test_outage_is_a_503_and_remembered_keys_go_on(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """What is known serves; what is not known cannot be told, and is asked again after a second."""
    user = sandbox.create_user()
    known, unseen = sandbox.create_api_key(user=user), sandbox.create_api_key(user=user)
    client = drive.client(sandbox.config, clock=clock)
    drive.run(client, "check_api_key", known.value)
    with sandbox.outage():
        before = len(sandbox.requests)
        assert known.id == drive.run(client, "check_api_key", known.value).id
        outcomes = drive.crowd(client, [("check_api_key", (unseen.value,))] * CROWD)
        assert {Unavailable} == {type(outcome) for outcome in outcomes}
        assert before + 1 == len(sandbox.requests)
    assert isinstance(error_of(drive, client, "check_api_key", unseen.value), Unavailable)
    clock.advance(1.1)
    assert unseen.id == drive.run(client, "check_api_key", unseen.value).id


@pytest.mark.parametrize(
    ("kind", "error"), [("restricted", RestrictedNotAllowed), ("anonymous", AnonymousNotAllowed)], ids=lambda x: str(x)
)
def test_key_of_an_owner_who_may_not_act(drive: Drive, kind: Any, error: Any, sandbox: Sandbox, clock: Clock) -> None:
    """Hexclave's check ignores the owner; a requirement does not, whichever way it is asked."""
    key = sandbox.create_api_key(user=sandbox.create_user(kind))
    client = drive.client(sandbox.config, clock=clock)
    found = drive.run(client, "check_api_key", key.value)
    attempt = client.attempt({"x-api-key": key.value})
    allowed = require_api_key.allow(restricted=True, anonymous=True)

    assert key.id == found.id
    assert isinstance(error_of(drive, client, "admit", require_api_key, attempt), error)
    assert isinstance(error_of(drive, client, "authorize", require_api_key, found), error)
    assert key.id == drive.run(client, "admit", allowed, attempt).id
    assert key.id == drive.run(client, "authorize", allowed, found).id


def test_key_of_an_owner_restricted_or_deleted_since(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """A new restriction or deletion of the owner counts when the answer is due again."""
    restricted, deleted = sandbox.create_user(), sandbox.create_user()
    keys = [sandbox.create_api_key(user=user) for user in (restricted, deleted)]
    client = drive.client(sandbox.config, clock=clock)
    attempts = [client.attempt({"x-api-key": key.value}) for key in keys]
    for key, attempt in zip(keys, attempts, strict=True):
        assert key.id == drive.run(client, "admit", require_api_key, attempt).id
    sandbox.restrict(restricted)
    sandbox.delete_user(deleted)
    clock.advance(61)
    errors = [type(error_of(drive, client, "admit", require_api_key, attempt)) for attempt in attempts]

    assert [RestrictedNotAllowed, ApiKeyNotFound] == errors


def test_checked_key_is_looked_at_again_when_it_is_authorized(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """Between `check_api_key` and `authorize` a key may expire and its owner vanish; nobody can confirm it live."""
    user = sandbox.create_user()
    client = drive.client(sandbox.config, clock=clock)
    short, long = (
        drive.run(client, "check_api_key", sandbox.create_api_key(user=user, expires_in=seconds).value)
        for seconds in (30, 3600)
    )
    assert long is drive.run(client, "authorize", require_api_key, long)
    clock.advance(31)
    assert isinstance(error_of(drive, client, "authorize", require_api_key, short), ApiKeyExpired)
    assert isinstance(error_of(drive, client, "authorize", require_api_key.live(), long), ConfigurationError)
    assert isinstance(error_of(drive, client, "authorize", require_user, long), NotAuthenticated)
    assert isinstance(error_of(drive, client, "authorize", require_project_permission("x"), long), NotAuthenticated)
    sandbox.delete_user(user)
    assert isinstance(error_of(drive, client, "authorize", require_api_key, long), ApiKeyNotFound)


def test_key_in_place_of_a_token_stands_for_its_owner(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """`allow(api_key=True)` makes the owner of a user's key the user; a team's key is of the wrong type."""
    user, team = sandbox.create_user(), sandbox.create_team()
    requirement = require_user.allow(api_key=True)
    client = drive.client(sandbox.config, clock=clock)
    keys = sandbox.create_api_key(user=user), sandbox.create_api_key(team=team)
    users, teams = (client.attempt({"authorization": f"Bearer {key.value}"}) for key in keys)
    found = drive.run(client, "admit", requirement, users)

    assert isinstance(found, HexclaveUser)
    assert user.id == found.id
    assert user.id == drive.run(client, "admit", requirement.live(), users).id
    assert isinstance(error_of(drive, client, "admit", requirement, teams), WrongApiKeyType)
    assert isinstance(error_of(drive, client, "admit", requirement, client.attempt({})), NotAuthenticated)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"id": "another", "type": "user", "user_id": "u"}, id="another key"),
        pytest.param([], id="list"),
        pytest.param({}, id="nothing"),
        pytest.param(b"<html>", id="html"),
        pytest.param(b'{"id": "', id="truncated"),
    ],
)
def test_answer_about_something_else_is_no_answer(drive: Drive, body: Any, sandbox: Sandbox) -> None:
    """Only a key object with the key's own id lets a caller in."""
    key = sandbox.create_api_key(user=sandbox.create_user())
    with Server(fixed(200, body)) as server:
        client = drive.client(settings(sandbox, server))

        assert isinstance(error_of(drive, client, "check_api_key", key.value), Unavailable)


def test_check_without_a_server_key_is_a_configuration_error(drive: Drive, sandbox: Sandbox) -> None:
    """Nothing can be asked without it."""
    key = sandbox.create_api_key(user=sandbox.create_user())
    client = drive.client(replace(sandbox.config, secret_server_key=None))

    assert isinstance(error_of(drive, client, "check_api_key", key.value), ConfigurationError)
    assert sandbox.requests == []
