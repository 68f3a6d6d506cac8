"""A request leaves nothing for the garbage collector that the framework does not leave by itself.

A cycle through the request keeps its body and its token until the collector comes, and costs time when it does.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Mapping
from typing import Any

import flask as flask_framework
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from werkzeug.test import create_environ

from hexclave_integrations import HexclaveConfig, fastapi, flask, starlette
from hexclave_integrations.testing import Sandbox

from . import _django

REQUESTS = 20
TOKEN = "x-stack-access-token"
Run = Callable[[Any, Mapping[str, str], int], int]


def asgi(app: Any, headers: Mapping[str, str], number: int) -> int:
    """Run so many requests through an ASGI application, without a server; returns the last status."""
    statuses = [0]

    async def once() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            statuses[0] = message.get("status", statuses[0])

        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http"}
        place = {"path": "/me", "raw_path": b"/me", "query_string": b"", "root_path": "", "headers": raw}
        await app({**scope, **place, "client": ("127.0.0.1", 1), "server": ("app", 80)}, receive, send)

    async def several() -> None:
        for _ in range(number):
            await once()

    asyncio.run(several())
    return statuses[0]


def wsgi(app: Any, headers: Mapping[str, str], number: int) -> int:
    """Run so many requests through a WSGI application, without a server; returns the last status."""
    statuses = [0]

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        statuses[0] = int(status[:3])

    for _ in range(number):
        answer = app(create_environ("/me", headers=dict(headers)), start_response)
        b"".join(answer)
        answer.close()
    return statuses[0]


def starlette_apps(config: HexclaveConfig) -> tuple[Any, Any]:
    async def anybody(request: Request) -> JSONResponse:
        if len(request.headers.get(TOKEN, "")) < 9:
            raise HTTPException(401)
        return JSONResponse({"name": "somebody"})

    async def me(request: Request) -> JSONResponse:
        return JSONResponse({"name": "somebody"})

    middleware = [Middleware(starlette.HexclaveMiddleware, config=config)]
    guarded = Starlette(routes=[Route("/me", starlette.require_user(me))], middleware=middleware)
    return Starlette(routes=[Route("/me", anybody)]), guarded


def fastapi_apps(config: HexclaveConfig) -> tuple[Any, Any]:
    plain, guarded = FastAPI(), FastAPI()
    fastapi.Hexclave(guarded, config)

    async def anybody(request: Request) -> dict[str, str]:
        if len(request.headers.get(TOKEN, "")) < 9:
            raise HTTPException(401)
        return {"name": "somebody"}

    plain.get("/me")(anybody)

    @guarded.get("/me")
    async def me(user: fastapi.CurrentUser) -> dict[str, str]:
        return {"name": "somebody"}

    return plain, guarded


def flask_apps(config: HexclaveConfig) -> tuple[Any, Any]:
    plain, guarded = flask_framework.Flask("plain"), flask_framework.Flask("guarded")
    flask.Hexclave(guarded, config)

    @plain.get("/me")
    def anybody() -> dict[str, str]:
        if len(flask_framework.request.headers.get(TOKEN, "")) < 9:
            flask_framework.abort(401)
        return {"name": "somebody"}

    @guarded.get("/me")
    @flask.require_user
    def me() -> dict[str, str]:
        assert flask.current_user
        return {"name": "somebody"}

    return plain, guarded


def garbage(run: Run, app: Any, headers: Mapping[str, str]) -> float:
    """How many objects a request leaves in cycles."""
    run(app, headers, 3)  # what is made once
    gc.collect()
    gc.disable()
    try:
        run(app, headers, 0)
        fixed = gc.collect()  # of an event loop, for instance
        run(app, headers, REQUESTS)
        return (gc.collect() - fixed) / REQUESTS
    finally:
        gc.enable()


def credentials(kind: str, sandbox: Sandbox) -> Mapping[str, str]:
    """The headers of a user, of nobody, or of a bad token."""
    return {"good": sandbox.headers(sandbox.create_user()), "none": {}, "bad": {TOKEN: "a.b.c"}}[kind]


KINDS = pytest.mark.parametrize(("kind", "status"), [("good", 200), ("none", 401), ("bad", 401)])


@KINDS
@pytest.mark.parametrize(
    ("make", "run"), [(starlette_apps, asgi), (fastapi_apps, asgi), (flask_apps, wsgi)], ids=lambda it: it.__name__
)
def test_no_cycle_holds_a_request(make: Any, run: Run, kind: str, status: int, hexclave_sandbox: Sandbox) -> None:
    """A guarded route leaves no more than an open one, or than one that refuses by itself."""
    headers = credentials(kind, hexclave_sandbox)
    plain, guarded = make(hexclave_sandbox.config)

    assert run(plain, headers, 1) == run(guarded, headers, 1) == status
    assert garbage(run, guarded, headers) <= garbage(run, plain, headers) + 0.5


@KINDS
def test_no_cycle_holds_a_request_of_django(kind: str, status: int, hexclave_sandbox: Sandbox) -> None:
    """Django leaves nothing by itself, nor do we."""
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, JsonResponse
    from django.test import override_settings
    from django.urls import path

    from hexclave_integrations.django import require_user

    @require_user
    def me(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"name": "somebody"})

    with override_settings(
        ROOT_URLCONF=(path("me", me),),
        HEXCLAVE=_django.as_settings(hexclave_sandbox.config),
        MIDDLEWARE=["hexclave_integrations.django.middleware.HexclaveMiddleware"],
    ):
        app, headers = get_wsgi_application(), credentials(kind, hexclave_sandbox)
        assert wsgi(app, headers, 1) == status
        assert garbage(wsgi, app, headers) <= 0.5
