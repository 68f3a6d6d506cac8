"""Starlette: `request.user` and `request.auth`, decorators, and applications that are no Starlette ones."""

import asyncio
import dataclasses
import functools
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.authentication import UnauthenticatedUser, requires
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from hexclave_integrations import (
    AsyncHexclaveClient,
    ConfigurationError,
    HexclaveApiKey,
    HexclaveUser,
    RequestRefused,
    requirements,
)
from hexclave_integrations._asgi.private import NAMES
from hexclave_integrations.errors import NotAuthenticated, Unavailable
from hexclave_integrations.starlette import (
    HexclaveMiddleware,
    StarletteRequirement,
    optional_user,
    require_api_key,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
)
from hexclave_integrations.testing import Sandbox

PRIVATE = "private, no-store"
VARY = "X-Stack-Access-Token, X-Hexclave-Access-Token, Authorization, X-Stack-Auth, X-Api-Key"
TEAM = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def sandbox() -> Sandbox:
    """A fresh project."""
    return Sandbox()


def new_app(sandbox: Sandbox, *routes: Any, **settings: Any) -> Starlette:
    """An application with Hexclave's middleware."""
    config = dataclasses.replace(sandbox.config, **settings)
    return Starlette(routes=routes, middleware=[Middleware(HexclaveMiddleware, config=config)])


def code(response: Any) -> str:
    """The code of a refusal."""
    text: str = response.json()["code"]
    return text


async def who(request: Request) -> Response:
    """What the middleware says of the caller."""
    user: Any = request.user
    return JSONResponse(
        {
            "type": type(user).__name__,
            "is_authenticated": user.is_authenticated,
            "identity": "" if isinstance(user, UnauthenticatedUser) else user.identity,
            "scopes": request.auth.scopes,
        }
    )


async def me(request: Request) -> Response:
    """Who a requirement let in."""
    return JSONResponse({"id": request.user.id})


# --- request.user and request.auth ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "is_authenticated", "scopes"),
    [
        pytest.param("regular", True, ["authenticated"], id="regular"),
        pytest.param("restricted", False, ["restricted"], id="restricted"),
        pytest.param("anonymous", False, ["anonymous"], id="anonymous"),
    ],
)
def test_user_and_auth_of_each_kind(sandbox: Sandbox, kind: Any, is_authenticated: bool, scopes: list[str]) -> None:
    """Every kind of user is the request's user; only a regular one counts as authenticated."""
    user = sandbox.create_user(kind)
    expected = {
        "type": "HexclaveUser",
        "is_authenticated": is_authenticated,
        "identity": user.id,
        "scopes": scopes,
    }
    with TestClient(new_app(sandbox, Route("/", who))) as client:
        response = client.get("/", headers=sandbox.headers(user))
    assert expected == response.json()
    assert (response.headers["cache-control"], response.headers["vary"]) == (PRIVATE, VARY)


@pytest.mark.parametrize(
    ("headers", "cache_control"),
    [
        pytest.param({}, None, id="nobody"),
        pytest.param({"x-stack-access-token": "a.b.c"}, PRIVATE, id="bad token"),
        pytest.param({"authorization": "Basic eDp5"}, None, id="another scheme"),
        pytest.param({"x-api-key": "x"}, None, id="api key"),
    ],
)
def test_nobody_is_starlettes_unauthenticated_user(
    sandbox: Sandbox, headers: dict[str, str], cache_control: str | None
) -> None:
    """Without acceptable credentials nobody is refused, the user is Starlette's own nobody, and caches know."""
    expected = {"type": "UnauthenticatedUser", "is_authenticated": False, "identity": "", "scopes": []}
    with TestClient(new_app(sandbox, Route("/", who))) as client:
        response = client.get("/", headers=headers)
    assert expected == response.json()
    assert (cache_control, VARY) == (response.headers.get("cache-control"), response.headers["vary"])


def test_outage_is_nobody_to_a_public_route_and_503_to_a_guarded_one(sandbox: Sandbox) -> None:
    """Where the caller cannot be told, the middleware refuses nobody and a requirement says 503."""
    routes = [Route("/", who), Route("/me", require_user(me))]
    headers = sandbox.headers(sandbox.create_user())
    with sandbox.outage(), TestClient(new_app(sandbox, *routes)) as client:
        public, guarded = client.get("/", headers=headers), client.get("/me", headers=headers)
    assert (public.json()["type"], public.headers["cache-control"]) == ("UnauthenticatedUser", PRIVATE)
    assert (guarded.status_code, code(guarded)) == (503, "HEXCLAVE_UNAVAILABLE")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        pytest.param("regular", 200, id="regular"),
        pytest.param("restricted", 403, id="restricted"),
        pytest.param("anonymous", 403, id="anonymous"),
        pytest.param(None, 403, id="nobody"),
    ],
)
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
def test_starlettes_own_decorator(sandbox: Sandbox, kind: Any, status: int, is_async: bool) -> None:
    """`@requires("authenticated")` lets regular users in and nobody else."""

    async def a_view(request: Request) -> Response:
        return PlainTextResponse("in")

    def view(request: Request) -> Response:
        return PlainTextResponse("in")

    route = Route("/", requires("authenticated")(a_view if is_async else view))
    headers = sandbox.headers(sandbox.create_user(kind)) if kind else {}
    with TestClient(new_app(sandbox, route)) as client:
        assert status == client.get("/", headers=headers).status_code


def test_requirement_and_starlettes_decorator_together(sandbox: Sandbox) -> None:
    """A requirement above Starlette's decorator leaves the scopes of the middleware in place."""

    @require_user.allow(anonymous=True)
    @requires("anonymous")
    async def view(request: Request) -> Response:
        return PlainTextResponse("in")

    with TestClient(new_app(sandbox, Route("/", view))) as client:
        statuses = [
            client.get("/", headers=sandbox.headers(sandbox.create_user(kind))).status_code
            for kind in ("anonymous", "regular")
        ]
    assert statuses == [200, 403]


# --- decorators -------------------------------------------------------------------------------------------------------


class Endpoint(HTTPEndpoint):
    """Methods with requirements of their own."""

    @require_user
    async def get(self, request: Request) -> Response:
        return JSONResponse({"id": request.user.id})

    @require_user
    def post(self, request: Request) -> Response:
        return JSONResponse({"id": request.user.id, "thread": threading.current_thread().name})

    async def put(self, request: Request) -> Response:
        return PlainTextResponse("public")


def test_endpoint_class(sandbox: Sandbox) -> None:
    """Methods are guarded one by one, coroutines and others."""
    user = sandbox.create_user()
    with TestClient(new_app(sandbox, Route("/", Endpoint))) as client:
        assert [client.request(method, "/").status_code for method in ("GET", "POST", "PUT")] == [401, 401, 200]
        for method in ("GET", "POST"):
            assert user.id == client.request(method, "/", headers=sandbox.headers(user)).json()["id"]


class Questions(HTTPEndpoint):
    """An endpoint class with a method that Starlette knows since 1.10, and with one of its own."""

    guard = require_user

    @require_team("{team_id}")
    async def query(self, request: Request) -> Response:
        return PlainTextResponse("in")


class Uncalled(HTTPEndpoint):
    """An endpoint class whose method is a requirement."""

    query = require_team


@pytest.mark.parametrize(
    ("endpoint", "message"), [(Questions, 'no parameter "team_id"'), (Uncalled, "used without calling it")]
)
def test_every_method_of_an_endpoint_class_is_looked_at(sandbox: Sandbox, endpoint: Any, message: str) -> None:
    """The checks at start-up know the method QUERY, and take an attribute of another name for none."""
    with pytest.raises(ConfigurationError, match=message), TestClient(new_app(sandbox, Route("/x", endpoint))):
        pass
    with TestClient(new_app(sandbox, Route("/{team_id}", Questions))):
        pass


def test_mounted_application_where_starlette_keeps_its_handlers_elsewhere(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a requirement refuses is then a failure of the mounted application, and nobody is let in."""
    sub = Starlette(routes=[Route("/me", require_user(me))])
    monkeypatch.setitem(NAMES, "exception handlers", "moved.elsewhere")

    with TestClient(new_app(sandbox, Mount("/sub", sub)), raise_server_exceptions=False) as client:
        assert client.get("/sub/me").status_code == 500
        assert client.get("/sub/me", headers=sandbox.headers(sandbox.create_user())).status_code == 200


def test_endpoint_that_python_does_not_know_to_be_async(sandbox: Sandbox) -> None:
    """Partials and objects with an async `__call__` work, as does a function that returns something to await."""

    class Object:
        async def __call__(self, request: Request) -> Response:
            return await me(request)

    def returns_a_coroutine(request: Request) -> Any:
        return me(request)

    endpoints: list[Any] = [functools.partial(me), functools.partial(Object()), returns_a_coroutine]
    routes = [Route(f"/{number}", require_user(each)) for number, each in enumerate(endpoints)]
    with TestClient(new_app(sandbox, *routes)) as client:
        headers = sandbox.headers(sandbox.create_user())
        assert [client.get(f"/{number}", headers=headers).status_code for number in range(3)] == [200] * 3


def test_sync_function_runs_in_a_thread(sandbox: Sandbox) -> None:
    """A plain function is run off the event loop, as Starlette would."""

    def view(request: Request) -> Response:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return JSONResponse({"id": request.user.id})

    user = sandbox.create_user()
    with TestClient(new_app(sandbox, Route("/", require_user(view)))) as client:
        assert {"id": user.id} == client.get("/", headers=sandbox.headers(user)).json()
        assert client.get("/").status_code == 401


def test_decorator_keeps_the_name() -> None:
    """Routes are named after the function, as without the decorator."""
    assert (require_user(me).__name__, require_user(me).__doc__) == ("me", "Who a requirement let in.")


def test_stacked_requirements_all_hold(sandbox: Sandbox) -> None:
    """Each of several decorators has its say."""
    view = require_team("{team_id}")(require_project_permission("access_admin_dashboard")(me))
    user, team = sandbox.create_user(), sandbox.create_team()
    headers = sandbox.headers(user)
    with TestClient(new_app(sandbox, Route("/{team_id}", view), permission_ttl=0)) as client:
        assert code(client.get(f"/{team.id}", headers=headers)) == "TEAM_MEMBERSHIP_REQUIRED"
        sandbox.add_member(team, user)
        assert code(client.get(f"/{team.id}", headers=headers)) == "PROJECT_PERMISSION_REQUIRED"
        sandbox.grant(user, "access_admin_dashboard")
        assert client.get(f"/{team.id}", headers=headers).status_code == 200


def test_principal_is_the_requests_user(sandbox: Sandbox) -> None:
    """`request.user` is whom the requirement let in: the API key, its owner, or None for nobody."""
    seen: list[Any] = []

    async def view(request: Request) -> Response:
        seen.append(request.user)
        return PlainTextResponse("in")

    routes = [
        Route("/key", require_api_key(view)),
        Route("/either", require_user.allow(api_key=True)(view)),
        Route("/optional", optional_user(view)),
        Route("/public", view),
    ]
    user = sandbox.create_user()
    key = {"x-api-key": sandbox.create_api_key(user=user).value}
    with TestClient(new_app(sandbox, *routes)) as client:
        for path in ("/key", "/either", "/optional", "/public"):
            assert client.get(path, headers=key).status_code == 200
    assert [HexclaveApiKey, HexclaveUser, type(None), UnauthenticatedUser] == [type(user) for user in seen]


@pytest.mark.parametrize("decorated", [Endpoint, "view", None], ids=["class", "text", "None"])
def test_what_cannot_be_decorated(decorated: Any) -> None:
    """A requirement refuses what it could not guard."""
    with pytest.raises(ConfigurationError, match="decorates a function"):
        require_user(decorated)


def test_decorated_function_without_a_request(sandbox: Sandbox) -> None:
    """A function that gets no request is never run."""
    with pytest.raises(ConfigurationError, match="takes the request or websocket"):
        asyncio.run(require_user(lambda: None)())


def test_requirement_without_the_middleware() -> None:
    """A requirement in an application without the middleware lets nobody in and names the fix."""
    app = Starlette(routes=[Route("/", require_user(me))])
    with pytest.raises(ConfigurationError, match="add HexclaveMiddleware"):
        TestClient(app).get("/")


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param(require_user, id="require_user"),
        pytest.param(require_team, id="require_team"),
        pytest.param(require_permission, id="require_permission"),
        pytest.param(require_team(me), id="@require_team"),
        pytest.param(StarletteRequirement(), id="StarletteRequirement()"),
        pytest.param(requirements.require_user, id="core require_user"),
    ],
)
def test_uncalled_requirement_as_endpoint(sandbox: Sandbox, endpoint: Any) -> None:
    """A requirement in the place of an endpoint stops the start, and answers nobody without one."""
    app = new_app(sandbox, Route("/", endpoint))
    with pytest.raises(ConfigurationError, match="used without calling it"), TestClient(app):
        pass
    headers = sandbox.headers(sandbox.create_user())
    for each in ({}, headers):
        assert TestClient(app, raise_server_exceptions=False).get("/", headers=each).status_code == 500


# --- lifespan and configuration ---------------------------------------------------------------------------------------


def test_lifespan(sandbox: Sandbox) -> None:
    """Keys are warm before the application's own lifespan begins, whose state reaches the views."""
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        steps.append(f"up, {sandbox.count('/jwks.json')} key set")
        yield {"greeting": "hello"}
        steps.append("down")

    async def view(request: Request) -> Response:
        return PlainTextResponse(request.state.greeting)

    app = Starlette(
        routes=[Route("/", view)],
        middleware=[Middleware(HexclaveMiddleware, config=sandbox.config)],
        lifespan=lifespan,
    )
    with TestClient(app) as client:
        assert client.get("/").text == "hello"
    assert steps == ["up, 1 key set", "down"]


def test_configuration_from_the_environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a config the middleware reads the environment."""
    monkeypatch.setenv("STACK_PROJECT_ID", TEAM)
    headers = sandbox.headers(sandbox.create_user())
    app = Starlette(routes=[Route("/", require_user(me))], middleware=[Middleware(HexclaveMiddleware)])
    assert code(TestClient(app).get("/", headers=headers)) == "INVALID_PROJECT_FOR_ACCESS_TOKEN"


def test_missing_configuration_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing project id is told to the server, and no request is served from then on."""
    monkeypatch.delenv("HEXCLAVE_PROJECT_ID", raising=False)
    monkeypatch.delenv("STACK_PROJECT_ID", raising=False)
    app = Starlette(routes=[Route("/", who)], middleware=[Middleware(HexclaveMiddleware)])

    with pytest.raises(ConfigurationError, match=r"HEXCLAVE_PROJECT_ID.*STACK_PROJECT_ID"), TestClient(app):
        pass
    with pytest.raises(ConfigurationError, match="project_id is missing"):
        TestClient(app).get("/")


@pytest.mark.parametrize(
    ("route", "settings", "message"),
    [
        pytest.param(Route("/x", require_team(TEAM)(me)), {"secret_server_key": None}, "/x needs it", id="server key"),
        pytest.param(Route("/x", require_team("{team}")(me)), {}, 'no parameter "team"', id="parameter"),
        pytest.param(
            Mount("/{t}", routes=[Route("/x", require_team("{team}")(me))]), {}, "/{t}/x has no", id="mounted"
        ),
        pytest.param(
            Route("/x", require_user(require_team("{team}")(me))), {}, 'no parameter "team"', id="inner of two"
        ),
    ],
)
def test_what_is_wrong_at_start(sandbox: Sandbox, route: Any, settings: dict[str, Any], message: str) -> None:
    """Requirements that the configuration or the route cannot serve stop the start."""
    with pytest.raises(ConfigurationError, match=message), TestClient(new_app(sandbox, route, **settings)):
        pass


@pytest.mark.parametrize("wrap", ["constructor", "around"])
def test_middleware_around_an_application(sandbox: Sandbox, wrap: str) -> None:
    """Wrapped by hand the middleware does the same: start-up check, warm keys, exact refusals."""
    app: Any = new_app(sandbox, Route("/me", require_user(me)))
    if wrap == "around":
        app = HexclaveMiddleware(Starlette(routes=[Route("/me", require_user(me))]), sandbox.config)
    user = sandbox.create_user()
    with TestClient(app) as client:
        assert sandbox.count("/jwks.json") == 1
        assert {"id": user.id} == client.get("/me", headers=sandbox.headers(user)).json()
        refused = client.get("/me")
    assert (refused.status_code, refused.headers["cache-control"], refused.headers["vary"]) == (401, PRIVATE, VARY)

    wrong = HexclaveMiddleware(Starlette(routes=[Route("/x", require_team("{team}")(me))]), sandbox.config)
    with pytest.raises(ConfigurationError, match='no parameter "team"'), TestClient(wrong):
        pass


def test_mounted_with_a_project_of_its_own(sandbox: Sandbox) -> None:
    """A middleware wrapped around a mounted application is checked against its own routes only."""
    other = Sandbox()
    inner = HexclaveMiddleware(Starlette(routes=[Route("/me", require_user(me))]), other.config)
    routes = [Mount("/inner", inner), Route("/me", require_user(me))]
    ours, theirs = sandbox.create_user(), other.create_user()
    with TestClient(new_app(sandbox, *routes)) as client:
        assert {"id": ours.id} == client.get("/me", headers=sandbox.headers(ours)).json()
        assert {"id": theirs.id} == client.get("/inner/me", headers=other.headers(theirs)).json()
        assert code(client.get("/inner/me", headers=sandbox.headers(ours))) == "INVALID_PROJECT_FOR_ACCESS_TOKEN"


# --- refusals and caches ----------------------------------------------------------------------------------------------


def test_own_handler_for_refusals_wins(sandbox: Sandbox) -> None:
    """A handler of the application, or of a mounted one, answers refusals in its place."""

    async def handler(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestRefused)
        return PlainTextResponse(f"no: {error.code}", 418)

    sub = Starlette(routes=[Route("/me", require_user(me))], exception_handlers={RequestRefused: handler})
    routes = [Route("/me", require_user(me)), Mount("/sub", sub)]
    with TestClient(new_app(sandbox, *routes)) as client:
        assert ((r := client.get("/sub/me")).status_code, r.text) == (418, "no: USER_AUTHENTICATION_REQUIRED")
        assert client.get("/me").status_code == 401


def test_cors(sandbox: Sandbox) -> None:
    """A refusal carries the CORS headers, whose `Vary` is kept."""
    config = sandbox.config
    app = Starlette(
        routes=[Route("/me", require_user(me))],
        middleware=[
            Middleware(HexclaveMiddleware, config=config),
            Middleware(CORSMiddleware, allow_origins=["https://app.example"], allow_credentials=True),
        ],
    )
    with TestClient(app) as client:
        refused = client.get("/me", headers={"origin": "https://app.example"})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://app.example")
    assert f"Origin, {VARY}" == refused.headers["vary"]


def test_cookies(sandbox: Sandbox) -> None:
    """Cookies sign in only where they were asked for, and then `Vary` names them."""
    user = sandbox.create_user()
    pair = f'["r1","{sandbox.token(user)}"]'.replace('"', "%22").replace(",", "%2C")
    headers = {"cookie": f"stack-refresh-{sandbox.config.project_id}=r1; stack-access={pair}"}
    with TestClient(new_app(sandbox, Route("/", who), accept_cookies=True)) as client:
        response = client.get("/", headers=headers)
    assert (user.id, f"{VARY}, Cookie") == (response.json()["identity"], response.headers["vary"])
    with TestClient(new_app(sandbox, Route("/", who))) as client:
        response = client.get("/", headers=headers)
    assert (response.json()["identity"], response.headers["vary"]) == ("", VARY)


# --- raw ASGI ---------------------------------------------------------------------------------------------------------


def scope_of(kind: str = "http", **more: Any) -> dict[str, Any]:
    """A scope with nothing in it that the middleware could lean on."""
    return {"type": kind, "method": "GET", "path": "/", "query_string": b"", **more}


def run(app: Any, scope: dict[str, Any], *received: Message) -> list[Message]:
    """What an ASGI application sends."""
    sent: list[Message] = []
    pending = list(received)

    async def receive() -> Message:
        return pending.pop(0) if pending else {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"Vary", b"Accept"), (b"vary", b"DNT")]}
BODY: Message = {"type": "http.response.body", "body": b"in"}


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that knows no framework and sends the same messages every time."""
    await send(START)
    await send(BODY)


@pytest.mark.parametrize("error", [NotAuthenticated(), Unavailable(retry_after=7)], ids=["401", "503"])
def test_refusal_of_a_plain_application(sandbox: Sandbox, error: RequestRefused) -> None:
    """A plain ASGI application may raise a refusal and gets the exact answer."""

    async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    start, body = run(HexclaveMiddleware(refuses, sandbox.config), scope_of(headers=[]))
    headers = dict(start["headers"])
    assert (error.status, error.body()) == (start["status"], body["body"])
    for name, value in error.headers():
        assert value.encode() == headers[name.lower().encode()]
    assert VARY.encode() == headers[b"vary"]


def test_scope_without_headers_and_state(sandbox: Sandbox) -> None:
    """A scope that lacks what is optional is served."""
    start, body = run(HexclaveMiddleware(plain, sandbox.config), scope_of())
    assert (start["status"], body["body"]) == (200, b"in")


def test_messages_of_the_application_are_not_changed(sandbox: Sandbox) -> None:
    """An application that keeps its messages finds them as they were, and every `Vary` is merged into one."""
    app = HexclaveMiddleware(plain, sandbox.config)
    starts = [run(app, scope_of(headers=[]))[0] for _ in range(2)]
    assert START["headers"] == [(b"Vary", b"Accept"), (b"vary", b"DNT")]
    for start in starts:
        assert [(b"vary", f"Accept, DNT, {VARY}".encode())] == start["headers"]


@pytest.mark.parametrize("kind", ["mcp", "tcp"])
def test_unknown_scope_passes(sandbox: Sandbox, kind: str) -> None:
    """What is neither http nor websocket is the application's business."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send({"type": f"{kind}.sent"})

    scope = {"type": kind}
    assert [{"type": f"{kind}.sent"}] == run(HexclaveMiddleware(app, sandbox.config), scope)
    assert seen[0] is scope
    assert scope == {"type": kind}


@pytest.mark.parametrize("error", [NotAuthenticated(), RuntimeError("mine")], ids=["refusal", "other"])
def test_errors_after_the_start_propagate(sandbox: Sandbox, error: Exception) -> None:
    """When the answer has begun there is no other one to give."""
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        raise error

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(type(error)):
        asyncio.run(HexclaveMiddleware(app, sandbox.config)(scope_of(headers=[]), receive, send))
    assert [message["status"] for message in sent] == [200]


def test_other_errors_propagate(sandbox: Sandbox) -> None:
    """An error of the application is not ours."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        run(HexclaveMiddleware(app, sandbox.config), scope_of(headers=[]))


def test_lifespan_of_a_plain_application(sandbox: Sandbox) -> None:
    """A plain application's lifespan messages pass, with the keys warmed between."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for phase in ("startup", "shutdown"):
            assert f"lifespan.{phase}" == (await receive())["type"]
            await send({"type": f"lifespan.{phase}.complete"})

    scope = {"type": "lifespan"}
    sent = run(
        HexclaveMiddleware(app, sandbox.config), scope, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
    )
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    assert sandbox.count("/jwks.json") == 1


def test_application_without_lifespan(sandbox: Sandbox) -> None:
    """An application that knows no lifespan still says so to its server."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "no lifespan here"

    with pytest.raises(AssertionError, match="no lifespan here"):
        run(HexclaveMiddleware(app, sandbox.config), {"type": "lifespan"}, {"type": "lifespan.startup"})


# --- one caller at a time ---------------------------------------------------------------------------------------------


def test_nobody_sees_the_other(sandbox: Sandbox) -> None:
    """Interleaved requests of two users and of nobody, in tasks, threads and background tasks, never mix."""
    ended: list[tuple[str, str]] = []

    def name_of(user: Any) -> str:
        return "nobody" if isinstance(user, UnauthenticatedUser) else str(user.id)

    async def after(user: Any, name: str) -> None:
        await asyncio.sleep(0)
        ended.append((name_of(user), name))

    async def in_task(request: Request) -> Response:
        name = request.path_params["name"]
        await asyncio.sleep(0.001)
        return PlainTextResponse(name_of(request.user), background=BackgroundTask(after, request.user, name))

    def in_thread(request: Request) -> Response:
        name = request.path_params["name"]
        return PlainTextResponse(name_of(request.user), background=BackgroundTask(after, request.user, name))

    app = new_app(
        sandbox,
        Route("/public/{name}", in_task),
        Route("/task/{name}", require_user(in_task)),
        Route("/thread/{name}", require_user(in_thread)),
    )
    users = [sandbox.create_user(), sandbox.create_user()]
    headers = {user.id: sandbox.headers(user) for user in users} | {"nobody": {}}

    async def drive() -> list[tuple[str, str, int, str]]:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:

            async def ask(kind: str, name: str) -> tuple[str, str, int, str]:
                response = await client.get(f"/{kind}/{name}", headers=headers[name])
                return kind, name, response.status_code, response.text

            names = [*(user.id for user in users), "nobody"] * 10
            return await asyncio.gather(*(ask(kind, name) for name in names for kind in ("public", "task", "thread")))

    for kind, name, status, text in asyncio.run(drive()):
        if name != "nobody":
            assert (200, name) == (status, text)
        elif kind == "public":
            assert (status, text) == (200, "nobody")
        else:
            assert status == 401
    assert len(ended) == 10 * (3 + 3 + 1)
    assert [pair for pair in ended if pair[0] != pair[1]] == []


def test_client_by_hand_next_to_the_middleware(sandbox: Sandbox) -> None:
    """The framework-neutral client reads Starlette's headers as they are."""
    seen: list[Any] = []

    async def view(request: Request) -> Response:
        async with AsyncHexclaveClient(sandbox.config) as client:
            seen.append(await client.authenticate(request.headers))
        return PlainTextResponse("in")

    user = sandbox.create_user()
    TestClient(Starlette(routes=[Route("/", view)])).get("/", headers=sandbox.headers(user))
    assert [user.id] == [each.id for each in seen]


# --- a whole mount ----------------------------------------------------------------------------------------------------


async def greet(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.user.id)
    await websocket.close()


def as_application(requirement: Any, routes: list[Any]) -> Mount:
    return Mount("/{team_id}", app=requirement.guard(Router(routes)))


def as_middleware(requirement: Any, routes: list[Any]) -> Mount:
    return Mount("/{team_id}", routes=routes, middleware=[Middleware(requirement.guard)])


@pytest.mark.parametrize("mount", [as_application, as_middleware])
def test_a_whole_mount_is_guarded(sandbox: Sandbox, mount: Any) -> None:
    """Every path and method of a mount asks, http and websocket, whether something is there or not."""
    alice, bob, team = sandbox.create_user(), sandbox.create_user(), sandbox.create_team()
    sandbox.add_member(team, alice)
    guarded = mount(require_team("{team_id}"), [Route("/who", me), WebSocketRoute("/ws", greet)])
    with TestClient(new_app(sandbox, guarded, Route("/open", open_to_all))) as client:
        for path in (f"/{team.id}/who", f"/{team.id}/nothing", f"/{team.id}"):
            for method in ("GET", "POST", "OPTIONS", "HEAD"):
                assert client.request(method, path).status_code == 401
                assert client.request(method, path, headers=sandbox.headers(bob)).status_code == 403
        answer = client.get(f"/{team.id}/who", headers=sandbox.headers(alice))
        assert (answer.json(), answer.headers["cache-control"]) == ({"id": alice.id}, PRIVATE)
        assert client.get(f"/{team.id}/nothing", headers=sandbox.headers(alice)).status_code == 404
        with client.websocket_connect(f"/{team.id}/ws", headers=sandbox.headers(alice)) as websocket:
            assert websocket.receive_text() == alice.id
        with pytest.raises(WebSocketDenialResponse) as denied:
            client.websocket_connect(f"/{team.id}/ws").__enter__()
        assert denied.value.status_code == 401
        assert client.get("/open").status_code == 200


async def open_to_all(request: Request) -> JSONResponse:
    return JSONResponse("open")


@pytest.mark.parametrize("mount", [as_application, as_middleware])
def test_a_mounts_guard_is_looked_at(sandbox: Sandbox, mount: Any) -> None:
    """A guard that the settings or the path cannot serve stops the start."""
    for requirement, settings, message in (
        (require_team("{other}"), {}, 'no parameter "other"'),
        (require_team("{team_id}"), {"secret_server_key": None}, "/{team_id} needs it"),
    ):
        app = new_app(sandbox, mount(requirement, [Route("/who", me)]), **settings)
        with pytest.raises(ConfigurationError, match=message), TestClient(app):
            pass


@pytest.mark.parametrize("thing", [None, "app", Router, require_user, require_team])
def test_what_is_no_application_is_not_guarded(thing: Any) -> None:
    """The mistake is told where it is made."""
    with pytest.raises(ConfigurationError, match="takes an ASGI application"):
        require_user.guard(thing)


def test_a_requirement_that_was_called_by_mistake() -> None:
    """The error says what to write."""
    with pytest.raises(ConfigurationError, match="write @require_user, without a call"):
        require_user()  # type: ignore[call-arg]  # the mistake
