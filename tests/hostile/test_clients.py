"""The corpus through the clients of both colours: our error with its status, in time, and nothing poisoned by it."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from hexclave_integrations import HexclaveConfig, HexclaveUser, RequestRefused
from hexclave_integrations import _reasons as reasons

from .. import _server
from .cast import GENUINE, INVALID, JWKS, NOBODY, NOW, PROJECT, USER, Case, genuine
from .corpus import CASES, GROUPS
from .limits import ATTEMPTS, TIME_LIMIT

HEADER = "x-stack-access-token"


@pytest.fixture(scope="module")
def keys() -> Iterator[_server.Server]:
    """The project's key set over HTTP."""
    with _server.Server(_server.fixed(200, JWKS)) as server:
        yield server


@pytest.fixture(params=_server.DRIVES, ids=_server.DRIVE_IDS)
def drive(request: pytest.FixtureRequest) -> Iterator[_server.Drive]:
    drive = request.param()
    yield drive
    drive.end()


def config_of(keys: _server.Server) -> HexclaveConfig:
    return HexclaveConfig(project_id=PROJECT, api_url=keys.url, issuer_urls=("https://api.hexclave.com",))


def outcome(drive: _server.Drive, client: Any, method: str, argument: Any) -> tuple[int, str | None, str | None]:
    """Status, code of the refusal, and id of the user; whatever is no refusal of ours is raised."""
    try:
        user = drive.run(client, method, argument)
    except RequestRefused as error:
        # Reasons are fixed sentences, so that nothing of a request gets into one.
        return error.status, error.code if error.reason in reasons.ALL else error.reason, None
    return (401, NOBODY, None) if user is None else (200, None, user.id)


def judged(drive: _server.Drive, client: Any, case: Case, method: str, argument: Any) -> str | None:
    """What is wrong with the answer to a case, or None."""
    expected = (200, None, USER) if case.code is None else (401, case.code, None)
    seconds = []
    for _ in range(ATTEMPTS):
        start = time.perf_counter()
        try:
            actual = outcome(drive, client, method, argument)
        except Exception as error:  # noqa: BLE001  # any other error than ours is a finding
            return f"{case.name}: {method} raised {type(error).__name__}"
        seconds.append(time.perf_counter() - start)
        if actual != expected:
            return f"{case.name}: {method}: {actual} instead of {expected}"
        if seconds[-1] < TIME_LIMIT:
            return None
    return f"{case.name}: {method} took {min(seconds) * 1000:.0f} ms"


def test_the_corpus_is_whole() -> None:
    """Names are unique in their group, every bit of a signature is there, and far most cases are refused."""
    names = Counter((group, case.name) for group, cases in GROUPS.items() for case in cases)
    assert [name for name, count in names.items() if count > 1] == []
    assert len(GROUPS["signature bits"]) == 512
    assert len(CASES) > 1500
    assert sum(case.code is None for case in CASES) < len(CASES) / 20


@pytest.mark.parametrize("group", GROUPS)
def test_every_case_meets_its_answer(drive: _server.Drive, keys: _server.Server, group: str) -> None:
    """Each case gets the refusal of the table; after each, tokens known and new are the honest user's as before."""
    client = drive.client(config_of(keys))
    found: list[str | None] = []
    for number, case in enumerate(GROUPS[group]):
        found.append(judged(drive, client, case, "verify_token", case.token))
        if case.in_header:
            found.append(judged(drive, client, case, "authenticate", {HEADER: case.token}))
        fine = Case(f"after {case.name}", GENUINE, None)
        if number % 8 == 0:  # one that was never seen
            found.append(judged(drive, client, fine, "verify_token", genuine(number)))
        found.append(judged(drive, client, fine, "authenticate", {HEADER: GENUINE}))
    assert [problem for problem in found if problem is not None] == []


def test_no_case_makes_us_call_anybody(drive: _server.Drive, keys: _server.Server) -> None:
    """However many keys the corpus names or offers, only Hexclave's key set is fetched, and once for unknown keys."""
    client = drive.client(config_of(keys), clock=lambda: NOW + 1.0)
    keys.targets.clear()
    for case in (*GROUPS["embedded keys"], *GROUPS["key ids"], *GROUPS["algorithms"]):
        outcome(drive, client, "verify_token", case.token)
    path = f"/api/v1/projects/{PROJECT}/.well-known/jwks.json?include_anonymous=true"
    assert set(keys.targets) == {path}
    assert len(keys.targets) <= 2


def test_no_case_gets_into_the_log(
    drive: _server.Drive, keys: _server.Server, caplog: pytest.LogCaptureFixture
) -> None:
    """At the most talkative level, a record of a refused request has a code, one of the fixed reasons, and no more."""
    client = drive.client(config_of(keys))
    caplog.set_level(logging.DEBUG, "hexclave_integrations")
    for case in CASES:
        if case.code is not None:
            caplog.clear()
            outcome(drive, client, "verify_token", case.token)
            (text,) = [record.getMessage() for record in caplog.records if record.name == "hexclave_integrations"]
            label, code, reason = text.split(": ", 2)
            assert (label, code, reason in reasons.ALL) == ("Refused", case.code, True), case.name


def test_no_case_is_remembered(drive: _server.Drive, keys: _server.Server) -> None:
    """Refused the second time as the first, after the genuine token that a forgery leans on was seen."""
    client = drive.client(config_of(keys))
    for case in CASES[::17]:
        assert isinstance(drive.run(client, "verify_token", GENUINE), HexclaveUser)
        assert outcome(drive, client, "verify_token", case.token) == outcome(drive, client, "verify_token", case.token)
        if case.code == INVALID:
            assert outcome(drive, client, "verify_token", case.token)[1] == INVALID, case.name
