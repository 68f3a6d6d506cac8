"""Routes without a requirement: whom they are told of when a page of another origin sends a user's cookies along."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import flask as flask_framework
import litestar as litestar_framework
import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.test import override_settings
from django.urls import path
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from hexclave_integrations import CrossOriginRefused, HexclaveConfig, _reasons, fastapi, flask, litestar, starlette
from hexclave_integrations.django._csrf import CsrfFailed
from hexclave_integrations.testing import Sandbox

from ..contract.driving import AsgiServer, Server, WsgiServer
from . import _django

Serve = Callable[[HexclaveConfig], AbstractContextManager[Server]]


def test_djangos_own_check_says_so() -> None:
    """It has the same status and code, and a reason of its own."""
    error, other = CsrfFailed(), CrossOriginRefused()

    assert (error.status, error.code) == (other.status, other.code) == (403, "CSRF_CHECK_FAILED")
    assert error.reason == _reasons.DJANGO_CSRF
    assert {error.reason, other.reason} <= _reasons.ALL


@contextmanager
def serve_fastapi(config: HexclaveConfig) -> Iterator[Server]:
    app = FastAPI()
    fastapi.Hexclave(app, config)

    @app.post("/who")
    async def who(request: Request) -> dict[str, str]:
        user = await request.state.hexclave_user.load()
        lazy = request.state.hexclave_user.identity
        assert lazy == request.user.identity == ("" if user is None else user.id)
        return {"id": lazy}

    with AsgiServer(app) as server:
        yield server


@contextmanager
def serve_starlette(config: HexclaveConfig) -> Iterator[Server]:
    async def who(request: Any) -> JSONResponse:
        return JSONResponse({"id": request.user.id if request.user.is_authenticated else ""})

    middleware = [Middleware(starlette.HexclaveMiddleware, config=config)]
    with AsgiServer(Starlette(routes=[Route("/who", who, methods=["POST"])], middleware=middleware)) as server:
        yield server


@contextmanager
def serve_litestar(config: HexclaveConfig) -> Iterator[Server]:
    plugin = litestar.HexclavePlugin(config)

    @litestar_framework.post("/who", status_code=200)
    async def who(request: litestar_framework.Request[Any, Any, Any]) -> dict[str, str]:
        user = await plugin.identify(request)
        return {"id": "" if user is None else user.id}

    with AsgiServer(litestar_framework.Litestar([who], plugins=[plugin])) as server:
        yield server


@contextmanager
def serve_flask(config: HexclaveConfig) -> Iterator[Server]:
    app = flask_framework.Flask("who")
    flask.Hexclave(app, config)

    @app.post("/who")
    def who() -> dict[str, str]:
        return {"id": flask.current_user.id if flask.current_user else ""}

    with WsgiServer(app) as server:
        yield server


def show(user: Any) -> JsonResponse:
    return JsonResponse({"id": "" if user is None else user.id})


def serve_django(kind: str) -> Serve:
    def who(request: HttpRequest) -> JsonResponse:
        return show(request.hexclave_user)  # type: ignore[attr-defined]  # of the middleware

    async def awho(request: HttpRequest) -> JsonResponse:
        return show(await request.ahexclave_user())  # type: ignore[attr-defined]  # of the middleware

    @contextmanager
    def serve(config: HexclaveConfig) -> Iterator[Server]:
        urls = (path("who", awho if kind == "asgi" else who),)
        middleware = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
        with override_settings(ROOT_URLCONF=urls, HEXCLAVE=_django.as_settings(config), MIDDLEWARE=middleware):
            server: Server = AsgiServer(ASGIHandler()) if kind == "asgi" else WsgiServer(WSGIHandler())
            with server:
                yield server

    return serve


APPS: dict[str, Serve] = {
    "fastapi": serve_fastapi,
    "starlette": serve_starlette,
    "litestar": serve_litestar,
    "flask": serve_flask,
    "django wsgi": serve_django("wsgi"),
    "django asgi": serve_django("asgi"),
}
OTHER_PAGE = {"origin": "http://blog.shop.test", "sec-fetch-site": "same-site"}


@pytest.mark.parametrize("serve", [pytest.param(serve, id=name) for name, serve in APPS.items()])
def test_whom_a_route_without_a_requirement_is_told_of(serve: Serve) -> None:
    """Of nobody; of the user where the page is one of its own, or where the token is in a header."""
    sandbox = Sandbox()
    user = sandbox.create_user()
    pair = f'["r1","{sandbox.token(user)}"]'.replace('"', "%22").replace(",", "%2C")
    cookie = f"stack-refresh=r1; stack-access={pair}; csrftoken={'a' * 32}"
    cookies = {"host": "shop.test", "cookie": cookie, "x-csrftoken": "a" * 32}
    pages: list[dict[str, str]] = [
        OTHER_PAGE,
        {"origin": "null"},
        {"origin": "http://shop.test:8000"},
        {"origin": "http://shop.test"},
        {},
        OTHER_PAGE | sandbox.headers(user),
    ]
    with serve(dataclasses.replace(sandbox.config, accept_cookies=True)) as server:
        replies = [server.send("POST", "/who", cookies | page, [b""]) for page in pages]

    assert [(reply.status, json.loads(reply.body)["id"]) for reply in replies] == [
        *[(200, "")] * 3,
        *[(200, user.id)] * 3,
    ]
