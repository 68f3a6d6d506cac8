"""Every row through every column; a new adapter is one builder in `apps.py` and inherits it all."""

from __future__ import annotations

import dataclasses
import logging

import pytest

from hexclave_integrations import _reasons as reasons

from .apps import COLUMNS, Build
from .driving import listening
from .paid_rows import ROWS
from .signers import SECRET
from .table import Row, World

every_column = pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in COLUMNS.items()])


@every_column
@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_same_request_same_answer(row: Row, build: Build) -> None:
    """An adapter answers as the table says: status, body and the headers that protect caches and clients."""
    world = World()
    if row.starts_in_outage:
        world.sandbox.outage()
    with build(dataclasses.replace(world.sandbox.config, accept_cookies=row.accepts_cookies)) as ask:
        for number, (path, headers, expected) in enumerate(row.steps(world), 1):
            answer = ask(path, headers)
            where = f"step {number}: {path}"

            assert (where, expected.status, expected.body) == (where, answer.status, answer.body)
            for name, value in expected.headers.items():
                assert (where, name, value) == (where, name, answer.headers.get(name))
            if expected.headers:
                unexpected = answer.headers.keys() - expected.headers.keys() - {"vary"}
                assert unexpected == set(), f"{where}: {unexpected}"


@every_column
def test_tokens_and_keys_stay_out_of_logs(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """No logger, at any level, is told a part of the caller's token, of the signed one, or the key."""
    world = World()
    access = world.sandbox.token(world.alice)
    with caplog.at_level(logging.DEBUG), build(world.sandbox.config) as ask:
        answers = [ask(path, {"x-stack-access-token": access}) for path in ("/me", "/supabase", "/supabase/late")]
    parts = [SECRET, *access.split("."), *answers[1].body["token"].split(".")]
    logged = [f"{record.getMessage()} {vars(record)}" for record in caplog.records]

    assert [answer.status for answer in answers] == [200, 200, 401]
    assert [part for part in parts for line in logged if part in line] == []


@every_column
def test_a_refusal_says_why_in_the_log_alone(build: Build) -> None:
    """One record at DEBUG with code and reason, whichever framework answers, and no reason in the answer."""
    world = World()
    over = world.sandbox.token(world.alice, expires_in=-60)
    cases = {
        ("USER_AUTHENTICATION_REQUIRED", reasons.NO_CREDENTIALS): {},
        ("UNPARSABLE_ACCESS_TOKEN", reasons.TOKEN_LENGTH): {"x-stack-access-token": "garbage"},
        ("ACCESS_TOKEN_EXPIRED", reasons.EXPIRED): {"x-stack-access-token": over},
        ("RESTRICTED_USER_NOT_ALLOWED", reasons.RESTRICTED): world.sandbox.headers(world.restricted),
    }
    with build(world.sandbox.config) as ask, listening() as said:
        for (code, reason), headers in cases.items():
            said.clear()
            answer = ask("/me", headers)

            assert answer.body["code"] == code
            assert reason not in str(answer)
            assert said == [f"Refused: {code}: {reason}"]
