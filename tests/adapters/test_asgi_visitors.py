"""Middleware and handlers without a requirement ask who the caller is: rate limits for each user, above all."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.testclient import TestClient
from litestar import Litestar
from litestar import Request as LitestarRequest
from litestar import get as litestar_get
from litestar.connection import ASGIConnection
from litestar.testing import TestClient as LitestarClient
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from hexclave_integrations import HexclaveClient
from hexclave_integrations._policy.client_base import recognize
from hexclave_integrations.fastapi import CurrentUser, Hexclave
from hexclave_integrations.litestar import HexclavePlugin
from hexclave_integrations.testing import Sandbox

LIMIT = 2
NOBODY = "nobody"
Find = Callable[[Request], Awaitable[str]]


class PureLimiter:
    """Counts requests by whatever key it is told to find."""

    def __init__(self, app: ASGIApp, find: Find) -> None:
        self._app, self._find, self._seen = app, find, Counter[str]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            key = await self._find(Request(scope))
            self._seen[key] += 1
            if self._seen[key] > LIMIT:
                app = PlainTextResponse("slow down", 429)
        await app(scope, receive, send)


class Limiter(BaseHTTPMiddleware):
    """The same, with Starlette's base class."""

    def __init__(self, app: ASGIApp, find: Find) -> None:
        super().__init__(app)
        self._find, self._seen = find, Counter[str]()

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        key = await self._find(request)
        self._seen[key] += 1
        if self._seen[key] > LIMIT:
            return PlainTextResponse("slow down", 429)
        answer: Response = await call_next(request)
        return answer


async def by_state(request: Request) -> str:
    user = await request.state.hexclave_user.load()
    return user.id if user else NOBODY


async def by_user(request: Request) -> str:
    return request.user.identity or NOBODY


def limited_app(sandbox: Sandbox, kind: Any, find: str, place: str) -> FastAPI:
    app = FastAPI()
    hexclave = Hexclave(config=sandbox.config)

    async def by_extension(request: Request) -> str:
        user = await hexclave.identify(request)
        return user.id if user else NOBODY

    found = {"state": by_state, "user": by_user, "identify": by_extension}[find]
    if place == "inside":
        app.add_middleware(kind, find=found)
    hexclave.init_app(app)
    if place == "outside":
        app.add_middleware(kind, find=found)

    @app.get("/public")
    async def public() -> str:
        return "hello"

    @app.get("/me")
    async def me(user: CurrentUser) -> str:
        return user.id

    return app


@pytest.mark.parametrize("kind", [Limiter, PureLimiter])
@pytest.mark.parametrize(
    ("find", "place"), [("state", "inside"), ("user", "inside"), ("identify", "inside"), ("identify", "outside")]
)
def test_a_limit_for_each_user(hexclave_sandbox: Sandbox, kind: Any, find: str, place: str) -> None:
    """Users are counted one by one, and nobody together; the answers depend on the caller and are private."""
    alice = hexclave_sandbox.headers(hexclave_sandbox.create_user())
    guest = hexclave_sandbox.headers(hexclave_sandbox.create_user("anonymous"))
    with TestClient(limited_app(hexclave_sandbox, kind, find, place)) as client:
        for headers in (alice, guest, {}):
            for status in (200, 200, 429, 429):
                answer = client.get("/public", headers=headers)
                assert answer.status_code == status
                if status == 200 or place == "inside":
                    assert answer.headers["cache-control"] == "private, no-store"
                    assert "X-Stack-Access-Token" in answer.headers["vary"]
        # Bad credentials are nobody, who has used up their share.
        assert client.get("/public", headers={"x-stack-access-token": "garbage"}).status_code == 429
        assert client.get("/me", headers=hexclave_sandbox.headers(hexclave_sandbox.create_user())).status_code == 200


def test_nobody_is_asked_about_unless_somebody_asks(hexclave_sandbox: Sandbox) -> None:
    """A public answer stays public, and costs no look at the token."""
    app = FastAPI()
    Hexclave(app, hexclave_sandbox.config)

    @app.get("/public")
    async def public(request: Request) -> bool:
        return hasattr(request.state, "hexclave_user")

    with TestClient(app) as client:
        answer = client.get("/public", headers=hexclave_sandbox.headers(hexclave_sandbox.create_user()))
    assert answer.json() is True
    assert not {"cache-control", "vary"} & set(answer.headers)


@pytest.mark.parametrize("kind", ["regular", "restricted", "anonymous", None])
def test_user_of_a_request(hexclave_sandbox: Sandbox, kind: Any) -> None:
    """`request.user` has the attributes of Starlette's users; only regular users are authenticated."""
    app = FastAPI()
    Hexclave(app, hexclave_sandbox.config)

    @app.get("/")
    async def view(request: Request) -> list[Any]:
        return [request.user.is_authenticated, request.user.identity, request.user.display_name]

    @app.websocket("/ws")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json([websocket.user.identity])
        await websocket.close()

    user = None if kind is None else hexclave_sandbox.create_user(kind, display_name="Kim")
    headers = {} if user is None else hexclave_sandbox.headers(user)
    identity = "" if user is None else user.id
    with TestClient(app) as client:
        answer = client.get("/", headers=headers)
        with client.websocket_connect("/ws", headers=headers) as websocket:
            assert websocket.receive_json() == [identity]
    assert answer.json() == [kind == "regular", identity, "" if user is None else "Kim"]
    assert answer.headers["cache-control"] == "private, no-store"


def test_an_outage_is_nobody_and_refuses_nobody(hexclave_sandbox: Sandbox) -> None:
    """Where the keys cannot be had, a public page is served to somebody unknown, as in Starlette's adapter."""
    headers = hexclave_sandbox.headers(hexclave_sandbox.create_user())
    app = FastAPI()
    Hexclave(app, hexclave_sandbox.config)

    @app.get("/")
    async def view(request: Request) -> list[Any]:
        return [request.user.is_authenticated, await request.state.hexclave_user.load()]

    @app.get("/me")
    async def me(user: CurrentUser) -> None: ...

    with hexclave_sandbox.outage(), TestClient(app) as client:
        assert client.get("/", headers=headers).json() == [False, None]
        assert client.get("/me", headers=headers).status_code == 503


def test_an_applications_own_user_is_left_alone(hexclave_sandbox: Sandbox) -> None:
    """Another authentication around ours has put its user there."""
    app = FastAPI()
    Hexclave(app, hexclave_sandbox.config)

    @app.get("/")
    async def view(request: Request) -> str:
        return str(request.user)

    class Own:
        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope["user"] = "own"
            await self._app(scope, receive, send)

    app.add_middleware(Own)
    with TestClient(app) as client:
        assert client.get("/").json() == "own"


def test_middleware_of_litestar(hexclave_sandbox: Sandbox) -> None:
    """`plugin.identify` says who makes a request, and refuses nobody."""
    plugin = HexclavePlugin(hexclave_sandbox.config)

    def limiter(app: Any) -> Any:
        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            user = await plugin.identify(ASGIConnection(scope))
            scope["state"]["key"] = NOBODY if user is None else user.id
            await app(scope, receive, send)

        return middleware

    @litestar_get("/")
    async def view(request: LitestarRequest[Any, Any, Any]) -> str:
        return str(request.scope["state"]["key"])

    alice = hexclave_sandbox.create_user()
    with LitestarClient(Litestar([view], middleware=[limiter], plugins=[plugin])) as client:
        for headers, key in (
            (hexclave_sandbox.headers(alice), alice.id),
            ({}, NOBODY),
            ({"x-stack-access-token": "garbage"}, NOBODY),
        ):
            answer = client.get("/", headers=headers)
            assert (answer.text, answer.headers["cache-control"]) == (key, "private, no-store")


def test_nothing_is_fetched_to_recognize_somebody(hexclave_sandbox: Sandbox) -> None:
    """Without the keys a token is not recognized; with them it is, and bad ones are refused."""
    user = hexclave_sandbox.create_user()
    with HexclaveClient(hexclave_sandbox.config) as client:
        attempt = client.attempt(hexclave_sandbox.headers(user))
        assert recognize(client, attempt) is None
        assert hexclave_sandbox.requests == []
        client.warm()
        found = recognize(client, client.attempt(hexclave_sandbox.headers(user)))
        assert found is not None
        assert found.id == user.id
