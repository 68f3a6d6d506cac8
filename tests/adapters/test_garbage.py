"""A request leaves nothing for the garbage collector that the framework does not leave by itself.

A cycle through the request keeps its body and its token until the collector comes, and costs time when it does.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import flask as flask_framework
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from werkzeug.test import create_environ

from hexclave_integrations import HexclaveConfig, fastapi, flask, starlette
from hexclave_integrations.testing import Sandbox

REQUESTS = 20
Run = Callable[[int], None]


def asgi(app: Any, headers: dict[str, str]) -> Run:
    """Run so many requests through an ASGI application, without a server."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def once() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            assert message.get("status", 200) == 200

        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http"}
        place = {"path": "/me", "raw_path": b"/me", "query_string": b"", "root_path": "", "headers": list(raw)}
        await app({**scope, **place, "client": ("127.0.0.1", 1), "server": ("app", 80)}, receive, send)

    async def several(number: int) -> None:
        for _ in range(number):
            await once()

    return lambda number: asyncio.run(several(number))


def wsgi(app: Any, headers: dict[str, str]) -> Run:
    """Run so many requests through a WSGI application, without a server."""

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        assert status.startswith("200")

    def run(number: int) -> None:
        for _ in range(number):
            answer = app(create_environ("/me", headers=headers), start_response)
            b"".join(answer)
            answer.close()

    return run


def starlette_apps(config: HexclaveConfig) -> tuple[Any, Any]:
    async def me(request: Request) -> JSONResponse:
        return JSONResponse({"name": "somebody"})

    middleware = [Middleware(starlette.HexclaveMiddleware, config=config)]
    guarded = Starlette(routes=[Route("/me", starlette.require_user(me))], middleware=middleware)
    return Starlette(routes=[Route("/me", me)]), guarded


def fastapi_apps(config: HexclaveConfig) -> tuple[Any, Any]:
    plain, guarded = FastAPI(), FastAPI()
    fastapi.Hexclave(guarded, config)

    @plain.get("/me")
    async def anybody() -> dict[str, str]:
        return {"name": "somebody"}

    @guarded.get("/me")
    async def me(user: fastapi.CurrentUser) -> dict[str, str]:
        return {"name": "somebody"}

    return plain, guarded


def flask_apps(config: HexclaveConfig) -> tuple[Any, Any]:
    plain, guarded = flask_framework.Flask("plain"), flask_framework.Flask("guarded")
    flask.Hexclave(guarded, config)

    @plain.get("/me")
    def anybody() -> dict[str, str]:
        return {"name": "somebody"}

    @guarded.get("/me")
    @flask.require_user
    def me() -> dict[str, str]:
        assert flask.current_user
        return {"name": "somebody"}

    return plain, guarded


def garbage(run: Run) -> float:
    """How many objects a request leaves in cycles."""
    run(3)  # what is made once
    gc.collect()
    gc.disable()
    try:
        run(0)
        fixed = gc.collect()  # of an event loop, for instance
        run(REQUESTS)
        return (gc.collect() - fixed) / REQUESTS
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("make", "through"), [(starlette_apps, asgi), (fastapi_apps, asgi), (flask_apps, wsgi)], ids=lambda it: it.__name__
)
def test_no_cycle_holds_a_request(make: Any, through: Any, hexclave_sandbox: Sandbox) -> None:
    """A guarded route leaves no more than an open one."""
    headers = hexclave_sandbox.headers(hexclave_sandbox.create_user())
    plain, guarded = make(hexclave_sandbox.config)

    assert garbage(through(guarded, headers)) <= garbage(through(plain, headers)) + 0.5
