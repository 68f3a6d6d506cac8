"""What an attacker tried once and got away with, each with the answer of today."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from hexclave_integrations import (
    AsyncHexclaveClient,
    HexclaveClient,
    HexclaveUser,
    TokenExpired,
    Unavailable,
    WrongProject,
)
from hexclave_integrations._adapter import cache_headers
from hexclave_integrations._memory.fleet import _read
from hexclave_integrations._wire.api import MAX_RETRY_AFTER, retry_after
from hexclave_integrations._wire.messages import Reply
from hexclave_integrations.requirements import require_team, require_user
from hexclave_integrations.testing import Sandbox


class Moment:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Lying:
    """An httpx transport that changes the sandbox's answers."""

    def __init__(self, sandbox: Sandbox, change: Callable[[httpx.Request, httpx.Response], httpx.Response]) -> None:
        self._inner: Any = sandbox.config.transport
        self._change = change

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._change(request, self._inner.handle_request(request))


def test_an_attempt_ends_with_its_token(hexclave_sandbox: Sandbox) -> None:
    """On a websocket that stays open, a caller is let through for as long as their token lasts and no longer."""
    clock = Moment()
    client = HexclaveClient(hexclave_sandbox.config, clock=clock)
    attempt = client.attempt(hexclave_sandbox.headers(hexclave_sandbox.create_user()))
    assert client.admit(require_user, attempt) is not None

    clock.now += 600 + client.config.leeway + 1
    with pytest.raises(TokenExpired):
        client.admit(require_user, attempt)
    with pytest.raises(TokenExpired):
        client.identify(attempt)


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_a_remembered_token_ends_although_its_keys_are_fresh(hexclave_sandbox: Sandbox, late: float) -> None:
    """A token that was verified before is over at its end, too, when the keys have been refreshed since."""
    clock = Moment()
    client = HexclaveClient(hexclave_sandbox.config, clock=clock)
    headers = hexclave_sandbox.headers(hexclave_sandbox.create_user())
    user = client.authenticate(headers)
    assert user is not None
    assert user.expires_at is not None
    end = user.expires_at.timestamp() + client.config.leeway
    clock.now = end - 0.001
    assert client.warm()
    assert client.authenticate(headers) == user
    clock.now = end + late
    with pytest.raises(TokenExpired):
        client.admit(require_user, client.attempt(headers))


def test_authorize_believes_no_user_whose_token_is_over(hexclave_sandbox: Sandbox) -> None:
    """A user who was kept for longer than their token is refused."""
    clock = Moment()
    client = AsyncHexclaveClient(hexclave_sandbox.config, clock=clock)

    async def late() -> None:
        user = await client.authenticate(hexclave_sandbox.headers(hexclave_sandbox.create_user()))
        clock.now += 3600
        await client.authorize(require_user, user)

    with pytest.raises(TokenExpired):
        asyncio.run(late())


def test_authorize_believes_no_user_of_another_project(hexclave_sandbox: Sandbox) -> None:
    """Two projects in one process do not vouch for each other's users."""
    other = Sandbox()
    user = HexclaveClient(other.config).authenticate(other.headers(other.create_user()))

    with pytest.raises(WrongProject):
        HexclaveClient(hexclave_sandbox.config).authorize(require_user, user)


@pytest.mark.parametrize("status", [201, 202, 500, 502])
def test_a_hidden_status_counts_on_a_200_alone(hexclave_sandbox: Sandbox, status: int) -> None:
    """Hexclave hides a status behind 200 and nothing else (contract 3.3); a proxy's failure is no answer."""

    def change(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        headers = {"content-type": "application/json", "x-stack-actual-status": "200"}
        return httpx.Response(status, headers=headers, content=response.read())

    user = hexclave_sandbox.create_user()
    hexclave_sandbox.grant(user, "read_logs")
    client = HexclaveClient(hexclave_sandbox.config, transport=Lying(hexclave_sandbox, change))

    with pytest.raises(Unavailable):
        client.has_permission(user.id, "read_logs")


@pytest.mark.parametrize("code", ["CANNOT_GET_OWN_USER_WITHOUT_USER", "ACCESS_TOKEN_EXPIRED", "USER_NOT_FOUND"])
def test_a_failing_server_signs_nobody_out(hexclave_sandbox: Sandbox, code: str) -> None:
    """A 5xx is an outage, whatever error it claims to know."""

    def change(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if request.url.path.endswith("/jwks.json"):
            return response
        return httpx.Response(503, headers={"x-stack-known-error": code}, json={"code": code, "error": "no"})

    client = HexclaveClient(hexclave_sandbox.config, transport=Lying(hexclave_sandbox, change))
    token = hexclave_sandbox.token(hexclave_sandbox.create_user())

    with pytest.raises(Unavailable):
        client.get_current_user(token)


def test_invented_api_keys_do_not_keep_users_out(hexclave_sandbox: Sandbox) -> None:
    """A rate limit that API keys ran into pauses API keys alone."""
    user, team = hexclave_sandbox.create_user(), hexclave_sandbox.create_team()
    hexclave_sandbox.add_member(team, user)
    key = hexclave_sandbox.create_api_key(user=user)
    client = HexclaveClient(hexclave_sandbox.config)
    with hexclave_sandbox.outage("rate_limit", paths="/user-api-keys", retry_after=300), pytest.raises(Unavailable):
        client.check_api_key(key.value)

    with pytest.raises(Unavailable):
        client.check_api_key(key.value)
    attempt = client.attempt(hexclave_sandbox.headers(user))
    assert client.admit(require_team(team.id), attempt) is not None


@pytest.mark.parametrize("kind", ["refused", "error", "garbage", "rate_limit"])
def test_invented_api_keys_do_not_fill_the_log(
    hexclave_sandbox: Sandbox, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """While Hexclave is away, a stranger with any number of keys causes one record."""
    client = HexclaveClient(hexclave_sandbox.config)
    user = hexclave_sandbox.create_user()
    keys = [hexclave_sandbox.create_api_key(user=user).value for _ in range(20)]
    with hexclave_sandbox.outage(kind):
        for key in keys:
            with pytest.raises(Unavailable):
                client.check_api_key(key)

    written = [record for record in caplog.records if record.name == "hexclave_integrations"]
    assert len(written) <= 1


def test_unknown_keys_do_not_fill_the_log(hexclave_sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """Nor does one with tokens of unknown keys, though the cool-down be short."""
    client = HexclaveClient(dataclasses.replace(hexclave_sandbox.config, jwks_cooldown=0))
    token = hexclave_sandbox.token(hexclave_sandbox.create_user())
    with hexclave_sandbox.outage():
        for _ in range(20):
            with pytest.raises(Unavailable):
                client.verify_token(token)

    assert len(caplog.records) == 1


def test_an_absurd_retry_after_is_a_long_one() -> None:
    """A number of any length is a number: it does not mean "at once"."""
    assert retry_after(Reply(429, {"retry-after": "9" * 400}, b""), 0) == MAX_RETRY_AFTER


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("[200, {}, 1]", id="an array"),
        pytest.param('{"reply": [Infinity, null, ""]}', id="infinity"),
        pytest.param('{"reply": [200, ["a"], ""]}', id="a list for a code"),
        pytest.param('{"reply": [200, 5, ""]}', id="a number for a code"),
        pytest.param('{"reply": [true, null, ""]}', id="true for a status"),
        pytest.param('{"reply": ' + "[" * 200_000, id="deep"),
        pytest.param('{"reply": null}', id="null"),
    ],
)
def test_a_poisoned_entry_is_as_good_as_none(value: str) -> None:
    """What another program wrote into Redis becomes no error."""
    assert _read(["1", value]).reply is None


@pytest.mark.parametrize("result", [None, 1, [], ["1"], "12"])
def test_an_answer_of_redis_that_is_none(result: Any) -> None:
    """Nor does what the script cannot have returned."""
    assert _read(result).sequence is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(None, "private, no-store", id="none"),
        pytest.param("max-age=60", "max-age=60, private", id="an age"),
        pytest.param("no-cache", "no-cache, private", id="no-cache"),
        pytest.param("Public, max-age=60", "private, max-age=60", id="public"),
        pytest.param("max-age=60, s-maxage=60, public", "max-age=60, private", id="an age for shared caches"),
        pytest.param("s-maxage=60", "private, no-store", id="nothing but an age for shared caches"),
        pytest.param("private, max-age=60", "private, max-age=60", id="private already"),
        pytest.param("no-store", "no-store", id="stricter"),
        pytest.param("no-store, public", "no-store, private", id="a contradiction"),
        pytest.param('private="x-foo", max-age=60', "private, max-age=60", id="private for one field"),
        pytest.param('private="a, b", private', "private", id="private for two fields"),
        pytest.param('no-store="x"', 'no-store="x", private', id="no-store with a value that it does not have"),
        pytest.param('ext="private", max-age=1', 'ext="private", max-age=1, private', id="private in quotes"),
        pytest.param('no-cache="a, private, b"', 'no-cache="a, private, b", private', id="commas in quotes"),
        pytest.param(r'ext="a\", no-store, \""', r'ext="a\", no-store, \"", private', id="quotes in quotes"),
        pytest.param('max-age=1, ext="open, private', "private, no-store", id="quotes that do not end"),
        pytest.param(" , ,", "private, no-store", id="commas"),
    ],
)
def test_an_answer_for_one_caller_is_private(given: str | None, expected: str) -> None:
    """What an application says of age stays, and shared caches are kept out whatever it says."""
    assert cache_headers.cache_control(given) == expected


def test_users_from_the_api_have_no_end(hexclave_sandbox: Sandbox) -> None:
    """A user fetched by a server is authorized by what they are, as before."""
    client = HexclaveClient(hexclave_sandbox.config)
    user = client.get_user(hexclave_sandbox.create_user().id)
    assert isinstance(user, HexclaveUser)

    assert client.authorize(require_user, user) == user
    with pytest.raises(WrongProject):
        client.authorize(require_user, dataclasses.replace(user, project_id="internal"))
