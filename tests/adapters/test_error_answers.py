"""Starlette and FastAPI: what a handler for `Exception` answers is kept out of shared caches where it must be."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from hexclave_integrations import ConfigurationError, HexclaveConfig, fastapi, starlette
from hexclave_integrations._asgi.private import NAMES
from hexclave_integrations.testing import Sandbox

PRIVATE = "private, no-store"
VARY = "X-Stack-Access-Token, X-Hexclave-Access-Token, Authorization, X-Stack-Auth, X-Api-Key"
AGE = {"Cache-Control": "max-age=60", "Vary": "Accept"}

Handler = Callable[[Request, Exception], Any]


async def named(request: Request, error: Exception) -> Response:
    """Shows who asked, and may be kept for a minute."""
    return JSONResponse({"error": str(error)}, 500, AGE)


def named_by_a_plain_function(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 500, AGE)


async def streamed(request: Request, error: Exception) -> Response:
    async def body() -> AsyncIterator[str]:
        yield '{"error": '
        yield f'"{error}"}}'

    return StreamingResponse(body(), 500, AGE)


class Named:
    """A handler that is an object."""

    async def __call__(self, request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 500, AGE)


@pytest.fixture
def sandbox() -> Sandbox:
    """A fresh project."""
    return Sandbox()


async def fails(request: Request) -> Response:
    raise ValueError("public")


def starlette_routes() -> list[Route]:
    @starlette.require_user
    async def guarded(request: Request) -> Response:
        raise ValueError(request.user.display_name)

    return [Route("/guarded", guarded), Route("/public", fails)]


def by_starlette(config: HexclaveConfig, handler: Handler, key: Any = Exception) -> Any:
    return Starlette(
        routes=starlette_routes(),
        middleware=[Middleware(starlette.HexclaveMiddleware, config=config)],
        exception_handlers={key: handler},
    )


def by_fastapi(config: HexclaveConfig, handler: Handler, key: Any = Exception) -> Any:
    app = FastAPI()
    fastapi.Hexclave(app, config)

    @app.get("/guarded")
    async def guarded(user: fastapi.CurrentUser) -> None:
        raise ValueError(user.display_name)

    app.add_route("/public", fails)
    app.add_exception_handler(key, handler)
    return app


def mounted(config: HexclaveConfig, handler: Handler, key: Any = Exception) -> Any:
    """The handler is the mounted application's, the middleware the outer one's."""
    sub = Starlette(routes=starlette_routes(), exception_handlers={key: handler})
    return Starlette(routes=[Mount("/", sub)], middleware=[Middleware(starlette.HexclaveMiddleware, config=config)])


def in_a_mount(config: HexclaveConfig, handler: Handler, key: Any = Exception) -> Any:
    """The handler is the outer application's, the middleware the mount's."""
    own = [Middleware(starlette.HexclaveMiddleware, config=config)]
    return Starlette(routes=[Mount("/", routes=starlette_routes(), middleware=own)], exception_handlers={key: handler})


def around(config: HexclaveConfig, handler: Handler, key: Any = Exception) -> Any:
    """The middleware is around the whole application."""
    return starlette.HexclaveMiddleware(Starlette(routes=starlette_routes(), exception_handlers={key: handler}), config)


def instrumented(config: HexclaveConfig, handler: Handler, key: Any = Exception) -> Any:
    """Instrumentation stands around Starlette's own outermost layer."""

    class Outermost:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, *arguments: Any) -> None:
            await self.app(*arguments)

    app = by_fastapi(config, handler, key)
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Outermost(build())
    return app


HANDLERS = [named, named_by_a_plain_function, streamed, Named()]
BUILDS = [by_starlette, by_fastapi, mounted, in_a_mount, around, instrumented]


def get(app: Any, path: str, headers: dict[str, str]) -> list[httpx2.Response]:
    """Two answers, of which the first makes the application ready, as on a server without lifespan."""

    async def ask() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await client.get(path, headers=headers) for _ in range(2)]

    return asyncio.run(ask())


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
@pytest.mark.parametrize(
    "handler", [named, named_by_a_plain_function, streamed, Named()], ids=lambda each: str(each)[:20]
)
@pytest.mark.parametrize("key", [Exception, 500], ids=str)
def test_error_that_shows_the_user_is_private(sandbox: Sandbox, build: Any, handler: Any, key: Any) -> None:
    """What a handler answers about a request that asked who the caller is says so to caches, from the first one on."""
    user = sandbox.create_user(display_name="Alice")
    answers = get(build(sandbox.config, handler, key), "/guarded", sandbox.headers(user))

    for answer in answers:
        assert (answer.status_code, answer.json()) == (500, {"error": "Alice"})
        assert (answer.headers["cache-control"], answer.headers["vary"]) == ("max-age=60, private", f"Accept, {VARY}")


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
def test_error_of_a_public_route_is_left_alone(sandbox: Sandbox, build: Any) -> None:
    """An answer that asked nobody keeps its age; Starlette's middleware, which identifies everybody, adds to `Vary`."""
    answers = get(build(sandbox.config, named), "/public", {})

    for answer in answers:
        assert (answer.status_code, answer.headers["cache-control"]) == (500, "max-age=60")
        assert answer.headers["vary"] == ("Accept" if build in (by_fastapi, instrumented) else f"Accept, {VARY}")


@pytest.mark.parametrize("name", ["error handler", "wrapped"])
def test_handler_out_of_reach_stops_the_start(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Where Starlette keeps the handler, or what it wraps, in another attribute, nothing is served."""
    monkeypatch.setitem(NAMES, name, "moved_elsewhere")
    app = instrumented(sandbox.config, named)

    with pytest.raises(ConfigurationError, match="handler for Exception cannot be found"), TestClient(app):
        pass


def test_caller_that_a_middleware_hides_is_taken_for_asked(sandbox: Sandbox) -> None:
    """Where the handler cannot tell whether anybody was asked, its answer is private."""

    class Copies:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(dict(scope), receive, send)

    app = by_fastapi(sandbox.config, named)
    app.add_middleware(Copies)

    for answer in get(app, "/guarded", sandbox.headers(sandbox.create_user(display_name="Alice"))):
        assert answer.headers["cache-control"] == "max-age=60, private"
