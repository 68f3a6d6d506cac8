"""What is Litestar's own: where guards stand, typed parameters, its response cache, its websockets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from litestar import Controller, Litestar, Request, Response, Router, WebSocket, get, websocket
from litestar.connection import ASGIConnection
from litestar.handlers import HTTPRouteHandler
from litestar.testing import TestClient

from hexclave_integrations import ConfigurationError, HexclaveConfig, HexclaveUser, RequestRefused
from hexclave_integrations.litestar import (
    HexclavePlugin,
    LitestarRequirement,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
    webhook_handler,
)
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

from ..contract.driving import AsgiServer

Connection = Request[Any, Any, Any]
Socket = WebSocket[Any, Any, Any]


@pytest.fixture
def sandbox() -> Sandbox:
    """A fresh project."""
    return Sandbox()


@contextmanager
def serving(config: HexclaveConfig, *handlers: Any, **options: Any) -> Iterator[AsgiServer]:
    app = Litestar(handlers, plugins=[HexclavePlugin(config)], openapi_config=None, **options)
    with AsgiServer(app) as server:
        yield server


@get("/me")
async def me(request: Connection) -> dict[str, Any]:
    """Shows the user, where something around it has a guard."""
    return {"id": request.user.id}


class Account(Controller):
    """Shows the user, below a guard of its own."""

    path = "/account"
    guards = [require_user]  # noqa: RUF012  # Litestar's own spelling

    @get("/me")
    async def own(self, request: Connection) -> dict[str, Any]:
        return {"id": request.user.id}


@pytest.mark.parametrize(
    ("handlers", "options", "path"),
    [
        pytest.param([Account], {}, "/account/me", id="controller"),
        pytest.param([Router("/r", route_handlers=[me], guards=[require_user])], {}, "/r/me", id="router"),
        pytest.param([me], {"guards": [require_user]}, "/me", id="application"),
    ],
)
def test_guards_of_every_layer(sandbox: Sandbox, handlers: list[Any], options: dict[str, Any], path: str) -> None:
    """A guard holds for all that is below it."""
    alice = sandbox.create_user()
    with serving(sandbox.config, *handlers, **options) as server:
        replies = [server.send("GET", path, headers) for headers in ({}, sandbox.headers(alice))]

    assert [reply.status for reply in replies] == [401, 200]
    assert alice.id.encode() in replies[1].body


@pytest.mark.parametrize("kind", ["str", "uuid"])
def test_a_parameter_of_any_type_names_the_team(sandbox: Sandbox, kind: str) -> None:
    """Litestar parses parameters before the guards see them."""
    alice, team = sandbox.create_user(), sandbox.create_team()
    sandbox.add_member(team, alice)

    @get(f"/teams/{{team_id:{kind}}}", guards=[require_team("{team_id}")])
    async def show(request: Connection) -> str:
        return "in"

    with serving(sandbox.config, show) as server:
        headers = sandbox.headers(alice)
        statuses = [server.send("GET", f"/teams/{one.id}", headers).status for one in (team, sandbox.create_team())]

    assert statuses == [200, 403]


def test_a_team_may_be_a_coroutine_function(sandbox: Sandbox) -> None:
    """It gets Litestar's own connection."""
    alice, team = sandbox.create_user(), sandbox.create_team()
    sandbox.add_member(team, alice)

    async def team_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
        return connection.headers.get("x-team")

    @get("/member", guards=[require_team(team_of)])
    async def show(request: Connection) -> str:
        return "in"

    with serving(sandbox.config, show) as server:
        headers = sandbox.headers(alice)
        statuses = [server.send("GET", "/member", {**headers, **more}).status for more in ({"x-team": team.id}, {})]

    assert statuses == [200, 403]


@pytest.mark.parametrize(
    "guard",
    [
        pytest.param(require_permission, id="permission"),
        pytest.param(require_project_permission, id="project permission"),
        pytest.param(require_team, id="team"),
        pytest.param(require_user.live, id="live"),
        pytest.param(require_user.allow, id="allow"),
        pytest.param(LitestarRequirement, id="class"),
    ],
)
@pytest.mark.parametrize("layer", ["handler", "application"])
def test_what_was_not_called_is_no_guard(sandbox: Sandbox, guard: Any, layer: str) -> None:
    """Each of these would return instead of refusing; the application does not start with one."""

    async def answer(request: Connection) -> str:
        return "open"

    handler: HTTPRouteHandler = get("/x", guards=[guard] if layer == "handler" else [])(answer)
    with pytest.raises(ConfigurationError, match="not called"):
        Litestar([handler], guards=[guard] if layer == "application" else [], plugins=[HexclavePlugin(sandbox.config)])


@pytest.mark.parametrize("cached", [pytest.param({"cache": True}, id="forever"), pytest.param({"cache": 60}, id="60s")])
def test_the_response_cache_is_refused_inside_a_guard(sandbox: Sandbox, cached: dict[str, Any]) -> None:
    """Litestar would hand one caller's answer to the next; a key that tells them apart is the application's word."""

    @get("/me", guards=[require_user], **cached)
    async def alike(request: Connection) -> str:
        return str(request.user.id)

    @get("/me", guards=[require_user], cache_key_builder=lambda request: str(request.user.id), **cached)
    async def apart(request: Connection) -> str:
        return str(request.user.id)

    with pytest.raises(ConfigurationError, match="cached inside its guard"):
        Litestar([alike], plugins=[HexclavePlugin(sandbox.config)])
    users = [sandbox.create_user(), sandbox.create_user()]
    with serving(sandbox.config, apart) as server:
        bodies = [server.send("GET", "/me", sandbox.headers(user)).body.decode() for user in users]

    assert bodies == [user.id for user in users]


def test_without_the_plugin_nobody_gets_in(sandbox: Sandbox) -> None:
    """A forgotten plugin is a failure, and no open door."""

    @get("/me", guards=[require_user])
    async def show(request: Connection) -> str:
        return "in"

    with AsgiServer(Litestar([show], openapi_config=None)) as server:
        reply = server.send("GET", "/me", sandbox.headers(sandbox.create_user()))

    assert reply.status == 500


def test_an_application_answers_refusals_itself(sandbox: Sandbox) -> None:
    """Its exception handler counts; the headers that keep caches away are there all the same."""

    def sign_in(request: Connection, error: RequestRefused) -> Response[str]:
        return Response("Please sign in.", status_code=error.status, media_type="text/plain")

    with serving(sandbox.config, Account, exception_handlers={RequestRefused: sign_in}) as server:
        reply = server.send("GET", "/account/me")

    assert (reply.status, reply.body) == (401, b"Please sign in.")
    assert reply.headers["cache-control"] == "private, no-store"
    assert "X-Stack-Access-Token" in reply.headers["vary"]


def test_a_websocket_refused_late_is_closed(sandbox: Sandbox) -> None:
    """After it was accepted it can only be closed, with the code that means it, extension or not."""

    @websocket("/late")
    async def late(socket: Socket) -> None:
        await socket.accept()
        await require_user(socket, socket.route_handler)

    with serving(sandbox.config, late) as server:
        said = [server.connect("/late", can_deny=can_deny) for can_deny in (False, True)]

    closed = {"type": "websocket.close", "code": 1008, "reason": "USER_AUTHENTICATION_REQUIRED"}
    assert [[one["type"] for one in messages[:-1]] for messages in said] == [["websocket.accept"]] * 2
    assert [messages[-1] for messages in said] == [closed] * 2


def test_a_websocket_that_the_application_closes_keeps_its_code(sandbox: Sandbox) -> None:
    """Only a refusal of ours has codes of ours."""

    @websocket("/bye", guards=[require_user])
    async def bye(socket: Socket) -> None:
        await socket.accept()
        await socket.close(code=4001, reason="bye")

    with serving(sandbox.config, bye) as server:
        said = server.connect("/bye", sandbox.headers(sandbox.create_user()))

    assert said[-1] == {"type": "websocket.close", "code": 4001, "reason": "bye"}


def test_a_delivery_cut_short_is_none(sandbox: Sandbox) -> None:
    """What has arrived when the sender goes away is refused, and no handler runs."""
    webhooks = Webhooks(sandbox.config.webhook_secrets)
    webhooks.on("*")(lambda event: pytest.fail("a handler ran"))
    body, headers = sandbox.webhook("team.deleted", {"id": sandbox.create_team().id})
    app: Any = Litestar([webhook_handler(webhooks)], openapi_config=None)
    heard: list[dict[str, Any]] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": body, "more_body": True},
    ]

    async def once(scope: Any, receive: Any, send: Any) -> None:
        async def cut() -> dict[str, Any]:
            return heard.pop()

        await app(scope, receive if scope["type"] == "lifespan" else cut, send)

    with AsgiServer(once) as server:
        reply = server.send("POST", "/webhooks/hexclave", headers, [body])

    assert reply.status == 400


@pytest.mark.parametrize("change", [{"project_id": "nope"}, {"api_url": "ftp://x.example"}])
def test_wrong_settings_stop_the_start(sandbox: Sandbox, change: dict[str, str]) -> None:
    """As they do everywhere."""
    make: Callable[..., HexclaveConfig] = dataclasses.replace
    with pytest.raises(ConfigurationError):
        HexclavePlugin(make(sandbox.config, **change))


def test_a_requirement_that_was_called_by_mistake(sandbox: Sandbox) -> None:
    """The error says what to write."""

    called: Any = require_user()  # type: ignore[call-arg]  # the mistake

    @get("/", guards=[called])
    async def view() -> None: ...

    with pytest.raises(ConfigurationError, match=r"write guards=\[require_user\], without a call"):
        Litestar([view], plugins=[HexclavePlugin(sandbox.config)])


@dataclasses.dataclass
class Page:
    """An answer with a user in it."""

    owner: HexclaveUser


def test_user_as_response_shows_public_fields_only(sandbox: Sandbox) -> None:
    """However a handler returns the user, it is written without claims and session, and described like that."""

    @get("/plain", guards=[require_user])
    async def plain(request: Request[Any, Any, Any]) -> HexclaveUser:
        found: HexclaveUser = request.user
        return found

    @get("/any", guards=[require_user])
    async def anything(request: Request[Any, Any, Any]) -> Any:
        return request.user

    @get("/page", guards=[require_user])
    async def page(request: Request[Any, Any, Any]) -> Page:
        return Page(request.user)

    @get("/response", guards=[require_user])
    async def response(request: Request[Any, Any, Any]) -> Response[Any]:
        return Response({"users": [request.user]})

    user = sandbox.create_user(display_name="Alice")
    shown = {
        "id": user.id,
        "kind": "regular",
        "display_name": "Alice",
        "primary_email": None,
        "primary_email_verified": False,
        "selected_team_id": None,
    }
    app = Litestar([plain, anything, page, response], plugins=[HexclavePlugin(sandbox.config)])
    with TestClient(app) as client:
        found = {
            path: client.get(path, headers=sandbox.headers(user)).json()
            for path in ("/plain", "/any", "/page", "/response")
        }
        described = client.get("/schema/openapi.json").json()["components"]["schemas"]["HexclaveUser"]["properties"]
    assert found == {"/plain": shown, "/any": shown, "/page": {"owner": shown}, "/response": {"users": [shown]}}
    assert described.keys() == shown.keys()
