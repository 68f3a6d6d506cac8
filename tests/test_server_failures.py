"""The server's own calls when something goes wrong: what is sent again, what is believed, and what is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import pickle
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hexclave_integrations import (
    AlreadyExists,
    ApiKeyNotFound,
    ApiKeyRevoked,
    AsyncHexclaveClient,
    ConfigurationError,
    HexclaveApiError,
    HexclaveClient,
    HexclaveConfig,
    HexclaveError,
    InsufficientBalance,
    InvalidArgument,
    NotFound,
    ReconnectRequired,
    RequestRefused,
    RestrictedNotAllowed,
    ServerKeyRefused,
    Unavailable,
    VaultValueDamaged,
)
from hexclave_integrations._policy.effects import Fetch, Once, Pause
from hexclave_integrations._policy.state import Core
from hexclave_integrations._wire.messages import Reply, TransportError
from hexclave_integrations.requirements import require_user
from hexclave_integrations.server import _access, _users
from hexclave_integrations.testing import Sandbox

from ._server import GARBAGE, LIMIT, Behaviour, Clock, Exchange, Server, close, fixed, gated, relay, settings
from ._server_calls import COLOURS, Calls

ID, OTHER = "3241a285-8329-4d69-8f3d-316e08cf140c", "ad962777-8244-496a-b6a2-e0c6a449c79e"
KNOWN_ERRORS = json.loads((Path(__file__).parent / "data" / "known_errors.json").read_text(encoding="utf-8"))
OURS: dict[str, Any] = {"x-stack-request-id": "abc"}
REPEATED: dict[str, Callable[[Any], Any]] = {
    "GET": lambda s: s.users.get(ID),
    "GET of pages": lambda s: s.users.list(),
    "GET of a list": lambda s: s.products.list(user_id=ID),
    "PATCH": lambda s: s.users.update(ID, display_name="x"),
    "PATCH of a key": lambda s: s.api_keys.revoke(OTHER, user_id=ID),
    "DELETE": lambda s: s.users.delete(ID),
    "DELETE of a grant": lambda s: s.permissions.revoke(ID, "read", OTHER),
    "reading the vault": lambda s: s.vault("keys", "secret").get("key"),
}
SENT_ONCE: dict[str, Callable[[Any], Any]] = {
    "users.create": lambda s: s.users.create(),
    "teams.create": lambda s: s.teams.create(display_name="x"),
    "teams.add_member": lambda s: s.teams.add_member(OTHER, ID),
    "teams.invite": lambda s: s.teams.invite(OTHER, "a@example.com", "https://example.com"),
    "permissions.grant": lambda s: s.permissions.grant(ID, "read"),
    "api_keys.create": lambda s: s.api_keys.create("x", user_id=ID),
    "sessions.create": lambda s: s.sessions.create(ID),
    "items.change": lambda s: s.items.change("credits", 1, user_id=ID),
    "items.try_spend": lambda s: s.items.try_spend("credits", 1, user_id=ID),
    "products.grant": lambda s: s.products.grant("pro", user_id=ID),
    "products.cancel": lambda s: s.products.cancel("pro", user_id=ID),
    "products.checkout_url": lambda s: s.products.checkout_url("pro", user_id=ID),
    "vault.set": lambda s: s.vault("keys", "secret").set("key", "value"),
    "emails.send": lambda s: s.emails.send(user_ids=[ID], html="x"),
    "connected_accounts.access_token": lambda s: s.connected_accounts.access_token(ID, "github"),
}


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextlib.contextmanager
def asking(colour: str, sandbox: Sandbox, behaviour: Behaviour, **options: Any) -> Iterator[tuple[Calls, Server]]:
    """Calls to a server that behaves so."""
    with Server(behaviour) as server:
        calls = Calls(colour, settings(sandbox, server, **options))
        yield calls, server
        server.gate.set()
        calls.close()


def hasty() -> Callable[[], float]:
    """A clock on which every call has taken too long to be repeated: for tests of the answer to the first attempt."""
    return itertools.count(time.time(), 10).__next__


def first(*behaviours: Behaviour) -> Behaviour:
    """Each of them once, the last one for ever."""
    left = list(behaviours)

    def behave(exchange: Exchange) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(exchange)

    return behave


def mute(behaviour: Behaviour) -> Behaviour:
    """Do it, and answer nothing."""

    def behave(exchange: Exchange) -> None:
        send, exchange.send = exchange.send, lambda data: None  # type: ignore[method-assign]
        behaviour(exchange)
        exchange.send = send  # type: ignore[method-assign]

    return behave


class TestRepetition:
    @pytest.mark.parametrize("kind", ["refused", "error", "garbage"])
    def test_a_question_is_sent_three_times(self, hexclave_sandbox: Sandbox, colour: str, kind: Any) -> None:
        """And then it is over."""
        calls = Calls(colour, hexclave_sandbox.config)
        with hexclave_sandbox.outage(kind), pytest.raises(Unavailable):
            calls.do(REPEATED["GET"])
        assert len(hexclave_sandbox.requests) == 3

    @pytest.mark.parametrize("call", REPEATED.values(), ids=REPEATED)
    def test_so_is_what_does_no_harm(self, hexclave_sandbox: Sandbox, call: Callable[[Any], Any]) -> None:
        """Whatever sets something or ends it, since twice is as good as once."""
        calls = Calls("sync", hexclave_sandbox.config)
        with hexclave_sandbox.outage("error"), pytest.raises(Unavailable):
            calls.do(call)
        assert len(hexclave_sandbox.requests) == 3

    @pytest.mark.parametrize("call", SENT_ONCE.values(), ids=SENT_ONCE)
    @pytest.mark.parametrize("kind", ["refused", "error", "garbage", "rate_limit"])
    def test_what_creates_or_spends_is_sent_once(
        self, hexclave_sandbox: Sandbox, colour: str, call: Callable[[Any], Any], kind: Any
    ) -> None:
        """Whatever the failure."""
        calls = Calls(colour, hexclave_sandbox.config)
        with hexclave_sandbox.outage(kind), pytest.raises(Unavailable):
            calls.do(call)
        assert len(hexclave_sandbox.requests) == 1

    def test_a_failure_that_passes(self, hexclave_sandbox: Sandbox, colour: str) -> None:
        """Two failures are not noticed."""
        user = hexclave_sandbox.create_user(display_name="Ada")
        behaviour = first(fixed(502, b"Bad Gateway"), close, relay(hexclave_sandbox))
        with asking(colour, hexclave_sandbox, behaviour) as (calls, server):
            assert calls.do(lambda s: s.users.get(user.id)).display_name == "Ada"
        assert len(server.targets) == 3

    def test_a_deletion_whose_answer_is_lost(self, hexclave_sandbox: Sandbox, colour: str) -> None:
        """That it is gone by the second attempt is what was wanted."""
        user = hexclave_sandbox.create_user()
        behaviour = first(mute(relay(hexclave_sandbox)), relay(hexclave_sandbox))
        with asking(colour, hexclave_sandbox, behaviour) as (calls, server):
            assert calls.do(lambda s: s.users.delete(user.id)) is None
        assert len(server.targets) == 2

    def test_a_deletion_of_what_was_never_there(self, hexclave_sandbox: Sandbox, colour: str) -> None:
        """Where the first attempt cannot have been carried out, "not found" is an error."""
        limited = fixed(429, b"Too Many Requests", {"retry-after": "1"})
        with asking(colour, hexclave_sandbox, first(limited, relay(hexclave_sandbox))) as (calls, server):
            with pytest.raises(NotFound):
                calls.do(lambda s: s.users.delete(ID))
            assert len(server.targets) == 2

    def test_a_refusal_is_final(self, hexclave_sandbox: Sandbox, colour: str) -> None:
        """What Hexclave refuses is not asked again."""
        calls = Calls(colour, hexclave_sandbox.config)
        with pytest.raises(NotFound):
            calls.do(lambda s: s.users.get(ID))
        assert len(hexclave_sandbox.requests) == 1

    def test_a_hanging_server_is_left(self, hexclave_sandbox: Sandbox, colour: str) -> None:
        """After a time-out for each of three attempts at most."""
        with asking(colour, hexclave_sandbox, GARBAGE["hanging"], http_timeout=0.2) as (calls, server):
            with pytest.raises(Unavailable):
                calls.do(lambda s: s.users.get(ID))
            assert 1 <= len(server.targets) <= 3


class TestPauses:
    """The flow itself, stepped by hand."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def core(self, hexclave_sandbox: Sandbox, clock: Clock) -> Core:
        return Core(replace(hexclave_sandbox.config, http_timeout=3), clock)

    def test_they_grow(self, core: Core) -> None:
        """A tenth of a second, then half of one."""
        flow = _users.get_user(core, ID)
        assert isinstance(next(flow), Fetch)
        assert flow.throw(TransportError("x")) == Pause(0.1)
        assert isinstance(next(flow), Fetch)
        assert flow.send(Reply(500, {}, b"")) == Pause(0.5)
        assert isinstance(next(flow), Fetch)
        with pytest.raises(Unavailable):
            flow.throw(TransportError("x"))

    @pytest.mark.parametrize("status", [429, 503])
    def test_they_are_as_long_as_hexclave_asks(self, core: Core, clock: Clock, status: int) -> None:
        """`Retry-After` counts, where that is within the time that a call has."""
        flow = _users.get_user(core, ID)
        next(flow)
        assert flow.send(Reply(status, {"retry-after": "4"}, b"")) == Pause(4.0)
        clock.advance(4)
        assert isinstance(next(flow), Fetch)
        with pytest.raises(Unavailable) as caught:  # four seconds more would be too many
            flow.send(Reply(status, {"retry-after": "4"}, b""))
        assert caught.value.retry_after == 4

    def test_no_attempt_begins_too_late(self, core: Core, clock: Clock) -> None:
        """Two slow failures leave no time for a third attempt."""
        flow = _users.get_user(core, ID)
        next(flow)
        clock.advance(3)
        assert flow.throw(TransportError("too slow")) == Pause(0.1)
        clock.advance(0.1)
        next(flow)
        clock.advance(3)
        with pytest.raises(Unavailable):
            flow.throw(TransportError("too slow"))

    def test_a_rate_limit_counts_for_the_next_call_too(self, core: Core, clock: Clock) -> None:
        """While Hexclave asked for silence, nothing is sent, by what is sent once either; permissions go on."""
        flow = _users.create_user(core)
        next(flow)
        with pytest.raises(Unavailable):
            flow.send(Reply(429, {"retry-after": "20"}, b""))
        clock.advance(1)
        with pytest.raises(Unavailable) as caught:
            next(_users.create_user(core))
        assert caught.value.retry_after == 19
        assert set(core.paused_until) == {"server's own calls"}
        clock.advance(19)
        assert isinstance(next(_users.create_user(core)), Fetch)
        clock.advance(-100_000)  # a clock that is set back must not keep the calls silent for ever
        assert isinstance(next(_users.create_user(core)), Fetch)


def answered(colour: str, sandbox: Sandbox, body: object, status: int = 200, **headers: str) -> Calls:
    """Calls that get this answer."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()

    class Transport:
        def handle_request(self, request: Any) -> Any:
            import httpx

            return httpx.Response(
                status, headers={name.replace("_", "-"): each for name, each in headers.items()}, content=text
            )

        async def handle_async_request(self, request: Any) -> Any:
            return self.handle_request(request)

    return Calls(colour, replace(sandbox.config, transport=Transport()), clock=hasty())


USER = {"id": ID, "is_anonymous": False, "is_restricted": False}
UNUSABLE: dict[str, tuple[Callable[[Any], Any], object]] = {
    "another user": (lambda s: s.users.get(ID), USER | {"id": OTHER}),
    "a user without an id": (lambda s: s.users.get(ID), {"is_anonymous": False, "is_restricted": False}),
    "a user of no kind": (lambda s: s.users.get(ID), {"id": ID}),
    "a user of a strange kind": (lambda s: s.users.get(ID), USER | {"is_restricted": None}),
    "users without a list": (lambda s: s.users.list(), {"is_paginated": True}),
    "a list of no users": (lambda s: s.users.list(), {"items": [7]}),
    "a strange cursor": (lambda s: s.users.list(), {"items": [], "pagination": {"next_cursor": 7}}),
    "a list without an end": (lambda s: s.users.list(), {"items": [], "pagination": {"next_cursor": OTHER}}),
    "products without an end": (
        lambda s: s.products.list(user_id=ID),
        {"items": [], "pagination": {"next_cursor": "x"}},
    ),
    "another team": (lambda s: s.teams.get(ID), {"id": OTHER}),
    "members of another team": (lambda s: s.teams.members(ID), {"items": [{"team_id": OTHER, "user_id": ID}]}),
    "a member of no kind": (
        lambda s: s.teams.members(ID),
        {"items": [{"team_id": ID, "user_id": ID, "user": {"id": ID}}]},
    ),
    "a member who is nobody": (
        lambda s: s.teams.members(ID),
        {"items": [{"team_id": ID, "user_id": ID, "user": {"is_anonymous": False, "is_restricted": False}}]},
    ),
    "a member who is another user": (
        lambda s: s.teams.members(ID),
        {"items": [{"team_id": ID, "user_id": ID, "user": USER | {"id": OTHER}}]},
    ),
    "an invitation without an id": (lambda s: s.teams.invite(ID, "a@b.co", "https://x.example"), {"success": True}),
    "a key without its value": (
        lambda s: s.api_keys.create("x", user_id=ID),
        {"id": OTHER, "type": "user", "user_id": ID, "value": {"last_four": "abcd"}},
    ),
    "keys of somebody else": (
        lambda s: s.api_keys.list(user_id=ID),
        {"items": [{"id": OTHER, "type": "user", "user_id": OTHER}]},
    ),
    "a key that goes on": (
        lambda s: s.api_keys.revoke(OTHER, user_id=ID),
        {"id": OTHER, "type": "user", "user_id": ID},
    ),
    "sessions of somebody else": (lambda s: s.sessions.list(ID), {"items": [{"id": ID, "user_id": OTHER}]}),
    "a session without tokens": (lambda s: s.sessions.create(ID), {"access_token": "x"}),
    "another item": (lambda s: s.items.get("credits", user_id=ID), {"id": "others", "quantity": 1}),
    "an item without a quantity": (lambda s: s.items.get("credits", user_id=ID), {"id": "credits"}),
    "a quantity that is none": (lambda s: s.items.get("credits", user_id=ID), {"id": "credits", "quantity": True}),
    "a quantity in words": (lambda s: s.items.get("credits", user_id=ID), {"id": "credits", "quantity": "7"}),
    "spent, in no words": (lambda s: s.items.try_spend("credits", 1, user_id=ID), []),
    "a product of nothing": (lambda s: s.products.list(user_id=ID), {"items": [{"id": "pro", "quantity": 1}]}),
    "a strange subscription": (lambda s: s.products.grant("pro", user_id=ID), {"subscription_id": 7}),
    "no address": (lambda s: s.checkout_url("pro", user_id=ID), {"url": None}),
    "no results": (lambda s: s.emails.send(user_ids=[ID], html="x"), {"success": True}),
    "accounts of somebody else": (
        lambda s: s.connected_accounts.list(ID),
        {"items": [{"user_id": OTHER, "provider": "x", "provider_account_id": "y"}]},
    ),
    "no token": (lambda s: s.connected_accounts.access_token(ID, "github"), {}),
    "another project": (lambda s: s.project.get(), {"id": OTHER}),
    "no value": (lambda s: s.vault("keys", "secret").get("key"), {}),
}


class TestAnswers:
    @pytest.mark.parametrize(("call", "body"), UNUSABLE.values(), ids=UNUSABLE)
    def test_an_answer_that_says_nothing(
        self, hexclave_sandbox: Sandbox, colour: str, call: Callable[[Any], Any], body: object
    ) -> None:
        """An answer about somebody else, or without what it has to say, is none: never an error of Python's."""
        with pytest.raises(Unavailable):
            answered(colour, hexclave_sandbox, body).do(call)

    @pytest.mark.parametrize("kind", GARBAGE)
    def test_garbage(self, hexclave_sandbox: Sandbox, colour: str, kind: str) -> None:
        """Whatever a server does, the caller gets our own error."""
        with Server(GARBAGE[kind]) as server:
            calls = Calls(colour, settings(hexclave_sandbox, server, http_timeout=0.3), clock=hasty())
            with pytest.raises(Unavailable):
                calls.do(lambda s: s.users.get(ID))
            calls.close()

    def test_a_proxys_refusal_is_not_hexclaves(self, hexclave_sandbox: Sandbox, colour: str) -> None:
        """A 404 of a wrong address or a firewall's 403 must not pass for "no such user"."""
        for status in (400, 401, 403, 404, 409):
            with pytest.raises(Unavailable):
                answered(colour, hexclave_sandbox, b"<html>", status).do(lambda s: s.users.get(ID))

    @pytest.mark.parametrize("status", [400, 403, 404])
    def test_a_refusal_in_words_alone(self, hexclave_sandbox: Sandbox, colour: str, status: int) -> None:
        """It has no code; its words are a detail, since they may name somebody."""
        with pytest.raises(HexclaveApiError) as caught:
            answered(colour, hexclave_sandbox, b"No, Ada!", status, **OURS).do(lambda s: s.users.get(ID))

        assert type(caught.value) is (NotFound if status == 404 else HexclaveApiError)
        assert (caught.value.code, caught.value.status) == (None, status)
        assert caught.value.details == {"text": "No, Ada!"}
        assert "Ada" not in str(caught.value)

    def test_a_hidden_status(self, hexclave_sandbox: Sandbox, colour: str) -> None:
        """A 200 may hide a refusal (contract 3.3)."""
        body = {"code": "USER_NOT_FOUND", "error": "User not found."}
        headers: dict[str, Any] = {"x-stack-actual-status": "404", "x-stack-known-error": "USER_NOT_FOUND"}
        with pytest.raises(NotFound):
            answered(colour, hexclave_sandbox, body, **headers).do(lambda s: s.users.get(ID))

    def test_a_code_that_is_none(self, hexclave_sandbox: Sandbox, colour: str) -> None:
        """What a server puts into the header does not get into a message unless it is spelled like a code."""
        headers: dict[str, Any] = {"x-hexclave-known-error": "ada@example.com"}
        with pytest.raises(HexclaveApiError) as caught:
            answered(colour, hexclave_sandbox, b"", 400, **headers).do(lambda s: s.users.get(ID))
        assert caught.value.code is None
        assert "ada" not in str(caught.value)

    def test_a_refused_key(self, hexclave_sandbox: Sandbox, colour: str, caplog: pytest.LogCaptureFixture) -> None:
        """A wrong server key is a matter of the configuration, told once, and asked once."""
        config = replace(hexclave_sandbox.config, secret_server_key="ssk_wrong")
        for call in (REPEATED["GET"], REPEATED["DELETE"], SENT_ONCE["users.create"]):
            with pytest.raises(ServerKeyRefused) as caught:
                Calls(colour, config).do(call)
            assert isinstance(caught.value, ConfigurationError)
            assert isinstance(caught.value, Unavailable)
        assert len(hexclave_sandbox.requests) == 3
        assert "secret_server_key" in caplog.text
        assert "ssk_wrong" not in caplog.text

    @pytest.mark.parametrize("known", [each for each in KNOWN_ERRORS if not each["abstract"]], ids=lambda e: e["code"])
    def test_every_known_error(self, hexclave_sandbox: Sandbox, known: dict[str, Any]) -> None:
        """Each has its code, status and details, its class, and no value in its message."""
        code, status = known["code"], known["status"]
        details = {name: f"the {name} of somebody" for name in known["details"] or {}}
        body = {"code": code, "error": "Somebody is not allowed.", "details": details}
        calls = answered("sync", hexclave_sandbox, body, status, x_stack_known_error=code, **OURS)
        with pytest.raises(HexclaveError) as caught:
            calls.do(lambda s: s.users.create())
        error = caught.value
        assert "omebody" not in str(error) + repr(error)
        if status >= 500 or code == "OUTER_OAUTH_TIMEOUT":
            assert type(error) is Unavailable
        elif code in ("INVALID_SECRET_SERVER_KEY", "SERVER_AUTHENTICATION_REQUIRED", "INSUFFICIENT_ACCESS_TYPE"):
            assert type(error) is ServerKeyRefused
        else:
            assert isinstance(error, HexclaveApiError)
            assert (error.code, error.status, error.details or {}) == (code, status, details)
            assert type(error) is expected_class(code)


# What is named like an absence and is none of what a call is about.
NO_ABSENCE = {
    "BRANCH_DOES_NOT_EXIST",
    "CONTAINED_PERMISSION_NOT_FOUND",
    "CURRENT_PROJECT_NOT_FOUND",
    "STRIPE_ACCOUNT_INFO_NOT_FOUND",
}


def expected_class(code: str) -> type[HexclaveApiError]:
    """By the name of the code, with the exceptions above."""
    if code == "ITEM_QUANTITY_INSUFFICIENT_AMOUNT":
        return InsufficientBalance
    if code in ("OAUTH_ACCESS_TOKEN_NOT_AVAILABLE", "OAUTH_CONNECTION_DOES_NOT_HAVE_REQUIRED_SCOPE"):
        return ReconnectRequired
    if code.endswith(("_NOT_FOUND", "_DOES_NOT_EXIST", "_NOT_CONNECTED_TO_USER")) and code not in NO_ABSENCE:
        return NotFound
    if code.endswith(("_ALREADY_EXISTS", "_ALREADY_GRANTED")) or "ALREADY_CONNECTED" in code or "_USED_FOR_" in code:
        return AlreadyExists
    return HexclaveApiError


@pytest.mark.parametrize(
    "error",
    [
        NotFound("USER_NOT_FOUND", 404, {"a": "b"}),
        HexclaveApiError(None, 400),
        InvalidArgument("user_id is no UUID."),
        VaultValueDamaged("The value cannot be decrypted."),
    ],
)
def test_errors_travel(error: HexclaveError) -> None:
    """Between processes, with all that they hold; they refuse no request by themselves."""
    copy = pickle.loads(pickle.dumps(error))

    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
    assert not isinstance(error, RequestRefused)


def test_a_log_names_nobody(hexclave_sandbox: Sandbox, colour: str, caplog: pytest.LogCaptureFixture) -> None:
    """What failed is told by its kind."""
    caplog.set_level(logging.DEBUG, logger="hexclave_integrations")
    hexclave_sandbox.outage("garbage")
    for call in (REPEATED | SENT_ONCE).values():
        with pytest.raises(Unavailable):
            Calls(colour, hexclave_sandbox.config, clock=hasty()).do(call)

    assert "a user's deletion" in caplog.text
    for text in (ID, OTHER, "credits", "a@example.com", str(hexclave_sandbox.config.secret_server_key)):
        assert text not in caplog.text


def test_an_answer_is_not_shown(hexclave_sandbox: Sandbox, colour: str) -> None:
    """The words of a refusal may name somebody: no local variable of ours shows them."""
    body = {"code": "USER_EMAIL_ALREADY_EXISTS", "error": "ada@example.com", "details": {"email": "ada@example.com"}}
    calls = answered(colour, hexclave_sandbox, body, 409, x_stack_known_error="USER_EMAIL_ALREADY_EXISTS")
    with pytest.raises(AlreadyExists) as caught:
        calls.do(lambda s: s.users.create())

    assert caught.value.details == {"email": "ada@example.com"}
    assert "ada@" not in shown_by(caught.value)


def shown_by(error: BaseException) -> str:
    """What error reports show of our own functions."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if "hexclave_integrations" in frame.f_code.co_filename]
    assert len(ours) > 3
    return str([[repr(value) for value in frame.f_locals.values()] for frame in ours])


def test_a_password_is_not_shown(hexclave_sandbox: Sandbox, colour: str) -> None:
    """Error reports show local variables: of a call that failed they do not show what it was given."""
    hexclave_sandbox.outage("error")
    secret = "".join(["correct", "-horse-", "battery"])
    calls = Calls(colour, hexclave_sandbox.config)
    with pytest.raises(Unavailable) as caught:
        calls.do(lambda s: s.users.update(ID, password=secret))

    assert secret not in shown_by(caught.value)


# --- what is forgotten ----------------------------------------------------------------------------------------


class Scene:
    """Somebody with a permission in a team and in the project, and API keys of theirs and of the team."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.user, self.team = sandbox.create_user(), sandbox.create_team()
        sandbox.grant(self.user, "read", team=self.team)
        sandbox.grant(self.user, "admin_panel")
        self.user_key = sandbox.create_api_key(user=self.user)
        self.team_key = sandbox.create_api_key(team=self.team)

    def checks(self) -> dict[str, Callable[[Any], Any]]:
        """What can be asked: each gives True, or raises, or gives False."""
        user, team = self.user.id, self.team.id
        return {
            "team permission": lambda c: c.has_permission(user, "read", team),
            "project permission": lambda c: c.has_permission(user, "admin_panel"),
            "membership": lambda c: c.is_team_member(user, team),
            "user key": lambda c: c.check_api_key(self.user_key.value),
            "team key": lambda c: c.check_api_key(self.team_key.value),
            "owner": lambda c: c.admit(require_user.allow(api_key=True), c.attempt({"x-api-key": self.user_key.value})),
        }


# The call, and what is no more afterwards; everything else goes on.
WITHDRAWALS: dict[str, tuple[Callable[[Any, Scene], Any], dict[str, Any]]] = {
    "permissions.revoke": (
        lambda s, x: s.permissions.revoke(x.user.id, "read", x.team.id),
        {"team permission": False},
    ),
    "permissions.revoke, by upper-case ids": (
        lambda s, x: s.permissions.revoke(x.user.id.upper(), "read", x.team.id.upper()),
        {"team permission": False},
    ),
    "permissions.revoke in the project": (
        lambda s, x: s.permissions.revoke(x.user.id, "admin_panel"),
        {"project permission": False},
    ),
    "teams.remove_member": (
        lambda s, x: s.teams.remove_member(x.team.id, x.user.id),
        {"team permission": False, "membership": False},
    ),
    "teams.delete": (
        lambda s, x: s.teams.delete(x.team.id),
        {"team permission": False, "membership": False, "team key": ApiKeyNotFound},
    ),
    "users.delete": (
        lambda s, x: s.users.delete(x.user.id),
        {
            "team permission": False,
            "project permission": False,
            "membership": False,
            "user key": ApiKeyNotFound,
            "owner": ApiKeyNotFound,
        },
    ),
    "users.update": (
        lambda s, x: s.users.update(x.user.id, restricted_by_admin=True),
        {"owner": RestrictedNotAllowed},
    ),
    "api_keys.revoke of a user": (
        lambda s, x: s.api_keys.revoke(x.user_key.id, user_id=x.user.id),
        {"user key": ApiKeyRevoked, "owner": ApiKeyRevoked},
    ),
    "api_keys.revoke of a team": (
        lambda s, x: s.api_keys.revoke(x.team_key.id, team_id=x.team.id),
        {"team key": ApiKeyRevoked},
    ),
}


def outcome(calls: Calls, check: Callable[[Any], Any]) -> Any:
    try:
        return bool(calls.ask(check))
    except RequestRefused as error:
        return type(error)


def outcomes(calls: Calls, scene: Scene) -> dict[str, Any]:
    return {name: outcome(calls, check) for name, check in scene.checks().items()}


def all_good(scene: Scene) -> dict[str, Any]:
    return dict.fromkeys(scene.checks(), True)


@pytest.mark.parametrize(("call", "gone"), WITHDRAWALS.values(), ids=WITHDRAWALS)
@pytest.mark.parametrize("trouble", ["none", "the answer is lost", "all answers are lost"])
def test_a_withdrawal_counts_at_once(
    hexclave_sandbox: Sandbox, colour: str, call: Callable[[Any, Scene], Any], gone: dict[str, Any], trouble: str
) -> None:
    """What was remembered is forgotten with the call, also where nobody knows whether it was carried out."""
    scene, relayed = Scene(hexclave_sandbox), relay(hexclave_sandbox)
    with asking(colour, hexclave_sandbox, relayed, permission_ttl=3600, api_key_ttl=3600) as (calls, server):
        assert outcomes(calls, scene) == all_good(scene)
        asked = len(server.targets)
        assert outcomes(calls, scene) == all_good(scene)
        assert len(server.targets) == asked  # all of it is remembered

        if trouble != "none":
            server.behaviour = first(mute(relayed), relayed) if trouble == "the answer is lost" else mute(relayed)
        with contextlib.nullcontext() if trouble != "all answers are lost" else pytest.raises(Unavailable):
            calls.do(lambda s: call(s, scene))
        server.behaviour = relayed
        assert outcomes(calls, scene) == all_good(scene) | gone


@pytest.mark.parametrize(("call", "gone"), WITHDRAWALS.values(), ids=WITHDRAWALS)
def test_a_withdrawal_is_heard_by_the_whole_fleet(
    hexclave_sandbox: Sandbox, redis_url: str, colour: str, call: Callable[[Any, Scene], Any], gone: dict[str, Any]
) -> None:
    """A process that did not make the call refuses once it looks into Redis again."""
    scene, clock = Scene(hexclave_sandbox), Clock()
    config = replace(hexclave_sandbox.config, redis_url=redis_url, permission_ttl=3600, api_key_ttl=3600)
    first_one, second = (Calls(colour, config, clock=clock) for _ in range(2))
    assert outcomes(first_one, scene) == outcomes(second, scene) == all_good(scene)
    first_one.do(lambda s: call(s, scene))
    clock.advance(1)

    assert outcomes(second, scene) == all_good(scene) | gone
    assert outcomes(first_one, scene) == all_good(scene) | gone
    first_one.close()
    second.close()


GRANTS: dict[str, tuple[Callable[[Any, str, str], Any], Callable[[Any, str, str], Any]]] = {
    "permissions.grant": (
        lambda s, u, t: s.permissions.grant(u, "read", t),
        lambda c, u, t: c.has_permission(u, "read", t),
    ),
    "permissions.grant in the project": (
        lambda s, u, t: s.permissions.grant(u, "admin_panel"),
        lambda c, u, t: c.has_permission(u, "admin_panel"),
    ),
    "teams.add_member": (lambda s, u, t: s.teams.add_member(t, u), lambda c, u, t: c.is_team_member(u, t)),
}


@pytest.mark.parametrize(("call", "check"), GRANTS.values(), ids=GRANTS)
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_grant_counts_at_once(
    hexclave_sandbox: Sandbox,
    colour: str,
    call: Callable[[Any, str, str], Any],
    check: Callable[[Any, str, str], Any],
    is_lost: bool,
) -> None:
    """The "no" that was remembered is forgotten too; a lost answer is an error, since it is not sent again."""
    user, team = hexclave_sandbox.create_user().id, hexclave_sandbox.create_team().id
    hexclave_sandbox.define_permission("read")
    hexclave_sandbox.define_permission("admin_panel", scope="project")
    relayed = relay(hexclave_sandbox)
    if call is GRANTS["permissions.grant"][0]:
        hexclave_sandbox.add_member(team, user)
    with asking(colour, hexclave_sandbox, relayed) as (calls, server):
        assert calls.ask(lambda c: check(c, user, team)) is False
        server.behaviour = mute(relayed) if is_lost else relayed
        with pytest.raises(Unavailable) if is_lost else contextlib.nullcontext():
            calls.do(lambda s: call(s, user, team))
        server.behaviour = relayed
        assert calls.ask(lambda c: check(c, user, team)) is True


def test_a_fleet_that_cannot_be_told(hexclave_sandbox: Sandbox, own_redis: Any, colour: str) -> None:
    """The caller hears of it, although it was done: others may go on believing what they remember."""
    scene = Scene(hexclave_sandbox)
    calls = Calls(colour, replace(hexclave_sandbox.config, redis_url=own_redis.url))
    assert outcomes(calls, scene) == all_good(scene)
    own_redis.stop()
    with pytest.raises(Unavailable):
        calls.do(lambda s: s.permissions.revoke(scene.user.id, "read", scene.team.id))
    assert outcomes(calls, scene)["team permission"] is False
    with pytest.raises(NotFound):  # what Hexclave says is what counts, if both fail
        calls.do(lambda s: s.permissions.revoke(scene.user.id, "read", scene.team.id))
    calls.close()


def test_a_lost_answer_is_heard_by_the_whole_fleet(hexclave_sandbox: Sandbox, redis_url: str, colour: str) -> None:
    """Nobody knows whether it was done, so nobody goes on believing what was remembered."""
    scene, relayed, clock = Scene(hexclave_sandbox), relay(hexclave_sandbox), Clock()
    with Server(relayed) as server:
        config = settings(hexclave_sandbox, server, redis_url=redis_url, permission_ttl=3600, api_key_ttl=3600)
        first_one, second = (Calls(colour, config, clock=clock) for _ in range(2))
        assert outcomes(first_one, scene) == outcomes(second, scene) == all_good(scene)
        server.behaviour = mute(relayed)
        with pytest.raises(Unavailable):
            first_one.do(lambda s: s.permissions.revoke(scene.user.id, "read", scene.team.id))
        server.behaviour = relayed
        clock.advance(1)
        assert outcomes(second, scene) == all_good(scene) | {"team permission": False}
        first_one.close()
        second.close()


def test_a_cancelled_caller(hexclave_sandbox: Sandbox, redis_url: str) -> None:
    """Whoever hangs up leaves the call to go on: what it withdrew is remembered by no process of the fleet."""
    scene, relayed, clock = Scene(hexclave_sandbox), relay(hexclave_sandbox), Clock()

    async def main(config: HexclaveConfig, server: Server) -> None:
        async with AsyncHexclaveClient(config) as client, AsyncHexclaveClient(config, clock=clock) as other:
            for each in (client, other):
                assert await each.has_permission(scene.user.id, "read", scene.team.id)
            server.arrived.clear()
            server.behaviour = gated(relayed)
            revoking = asyncio.ensure_future(client.server.permissions.revoke(scene.user.id, "read", scene.team.id))
            assert await asyncio.to_thread(server.arrived.wait, LIMIT)
            revoking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await revoking
            server.gate.set()
            async with asyncio.timeout(LIMIT):
                while await other.has_permission(scene.user.id, "read", scene.team.id):
                    clock.advance(1)  # after which a process looks into Redis again
                    await asyncio.sleep(0.01)

    with Server(relayed) as server:
        asyncio.run(main(settings(hexclave_sandbox, server, redis_url=redis_url, permission_ttl=3600), server))


def test_a_call_that_is_dropped(hexclave_sandbox: Sandbox) -> None:
    """A flow that is closed while it waits, with its loop perhaps, has been carried out as far as anybody knows."""
    core = Core(hexclave_sandbox.config, time.time)
    tags = (f"member:{OTHER}:{ID}",)
    core.answers.put("question", "answer", now=time.time(), ttl=60, tags=tags)
    once = next(_access.revoke(core, ID, "read", OTHER))
    assert isinstance(once, Once)
    work = once.start()
    assert isinstance(next(work), Fetch)
    core.answers.put("question", "answer", now=time.time(), ttl=60, tags=tags)
    work.close()

    assert core.answers.get("question", time.time()) is None


def test_the_twin_has_its_own_colour(hexclave_sandbox: Sandbox) -> None:
    """A process that answers in both colours has both kinds of calls, over one memory."""
    with HexclaveClient(hexclave_sandbox.config) as client:
        scene = Scene(hexclave_sandbox)
        assert client.has_permission(scene.user.id, "read", scene.team.id)
        twin = client._twin()
        asyncio.run(twin.server.permissions.revoke(scene.user.id, "read", scene.team.id))
        assert not client.has_permission(scene.user.id, "read", scene.team.id)
