"""The same guarded routes in every framework: each answers with who the handler sees, and the request's own number."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..adapters import _django

# isort: split
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.test import override_settings
from django.urls import path
from fastapi import Depends, FastAPI, WebSocket
from fastapi import Request as Connection
from flask import Flask, request
from ninja import NinjaAPI
from rest_framework.response import Response
from rest_framework.views import APIView
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute

from hexclave_integrations import HexclaveConfig, django, fastapi, flask, starlette
from hexclave_integrations.django.drf import HexclavePermission
from hexclave_integrations.django.ninja import HexclaveAuth
from hexclave_integrations.webhooks import Webhooks

from .in_process import Answer, Pairs, call_asgi, call_websocket, call_wsgi
from .mixing import PERMISSION

__all__ = ["APPS", "NONCE", "WEBHOOKS", "App"]

NONCE = "x-nonce"
WEBHOOKS = "/webhooks"


@dataclass(frozen=True)
class App:
    """An application, called in its own way.

    Attributes:
        call: GET, or POST with a body, from any thread; None for an ASGI application.
        acall: the same on an event loop; None for a WSGI application.
        connect: a websocket, if it has one.
    """

    call: Callable[..., Answer] | None = None
    acall: Callable[..., Awaitable[Answer]] | None = None
    connect: Callable[[str, Pairs], Awaitable[Answer]] | None = None


def _wsgi(app: Any) -> App:
    def call(target: str, headers: Pairs, body: bytes | None = None) -> Answer:
        return call_wsgi(app, "GET" if body is None else "POST", target, headers, body or b"")

    return App(call=call)


def _asgi(app: Any) -> App:
    async def acall(target: str, headers: Pairs, body: bytes | None = None) -> Answer:
        return await call_asgi(app, "GET" if body is None else "POST", target, headers, body or b"")

    return App(acall=acall, connect=lambda target, headers: call_websocket(app, target, headers))


def _guards(module: Any) -> dict[str, Any]:
    return {
        "/user": module.require_user,
        "/anyone": module.require_user.allow(anonymous=True),
        "/optional": module.optional_user,
        "/key": module.require_api_key,
        "/either": module.require_user.allow(api_key=True),
        "/teams/{team_id}/reports": module.require_permission("{team_id}", PERMISSION),
    }


def _shown(principal: Any, nonce: object) -> dict[str, Any]:
    return {"id": principal.id if principal else None, "nonce": nonce}


async def _pause() -> None:
    """Another request's turn, before it is asked who makes this one."""
    await asyncio.sleep(0)


@contextmanager
def fastapi_app(config: HexclaveConfig) -> Iterator[App]:
    app = FastAPI(dependencies=[Depends(_pause)])
    fastapi.Hexclave(app, config)
    for url, requirement in _guards(fastapi).items():

        async def view(request: Connection, principal: Any = Depends(requirement)) -> Any:  # noqa: B008
            await asyncio.sleep(0)
            return _shown(principal, request.headers[NONCE])

        app.get(url)(view)

    app.include_router(fastapi.webhook_router(Webhooks(secrets=config.webhook_secrets), WEBHOOKS))

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, user: fastapi.CurrentUser) -> None:
        await websocket.accept()
        await websocket.send_json(_shown(user, websocket.headers[NONCE]))
        await websocket.close()

    yield _asgi(app)


@contextmanager
def starlette_app(config: HexclaveConfig) -> Iterator[App]:
    async def view(request: Connection) -> JSONResponse:
        await asyncio.sleep(0)
        return JSONResponse(_shown(request.user, request.headers[NONCE]))

    @starlette.require_user
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(_shown(websocket.user, websocket.headers[NONCE]))
        await websocket.close()

    routes = [Route(url, requirement(view)) for url, requirement in _guards(starlette).items()]
    app = Starlette(
        routes=[*routes, WebSocketRoute("/ws", socket)],
        middleware=[Middleware(starlette.HexclaveMiddleware, config=config)],
    )
    yield _asgi(app)


@contextmanager
def flask_app(config: HexclaveConfig) -> Iterator[App]:
    app = Flask("mixing")
    app.config["PROPAGATE_EXCEPTIONS"] = True
    flask.Hexclave(app, config)

    def user(**params: str) -> Any:
        time.sleep(0)  # another thread's turn
        return _shown(flask.current_user, request.headers[NONCE])

    def key() -> Any:
        time.sleep(0)
        return _shown(flask.current_api_key, request.headers[NONCE])

    for url, requirement in _guards(flask).items():
        rule = url.replace("{", "<").replace("}", ">")
        app.add_url_rule(rule, url.replace(".", "_"), requirement(key if url == "/key" else user))
    app.register_blueprint(flask.webhook_blueprint(Webhooks(secrets=config.webhook_secrets), WEBHOOKS))
    yield _wsgi(app)


def _django_view(url: str) -> Callable[..., Any]:
    def view(request: HttpRequest, **params: str) -> dict[str, Any]:
        time.sleep(0)
        named: Any = request
        return _shown(named.hexclave_api_key if url == "/key" else named.hexclave_user, request.headers[NONCE])

    return view


def _django_path(url: str) -> str:
    return url[1:].replace("{team_id}", "<str:team_id>")


@contextmanager
def _django_app(config: HexclaveConfig, patterns: Any, *, is_async: bool = False) -> Iterator[App]:
    with override_settings(
        ROOT_URLCONF=(
            *patterns,
            path(WEBHOOKS[1:], django.webhook_view(Webhooks(secrets=config.webhook_secrets))),
        ),
        HEXCLAVE=_django.as_settings(config),
        DEBUG_PROPAGATE_EXCEPTIONS=True,
        MIDDLEWARE=["hexclave_integrations.django.middleware.HexclaveMiddleware"],
    ):
        yield _asgi(ASGIHandler()) if is_async else _wsgi(WSGIHandler())


def django_wsgi_app(config: HexclaveConfig) -> Any:
    def coloured(url: str) -> Any:
        view = _django_view(url)
        return lambda request, **params: JsonResponse(view(request, **params))

    patterns = [path(_django_path(url), guard(coloured(url))) for url, guard in _guards(django).items()]
    return _django_app(config, patterns)


def django_asgi_app(config: HexclaveConfig) -> Any:
    def coloured(url: str) -> Any:
        view = _django_view(url)

        async def answer(request: HttpRequest, **params: str) -> JsonResponse:
            await asyncio.sleep(0)
            return JsonResponse(view(request, **params))

        return answer

    patterns = [path(_django_path(url), guard(coloured(url))) for url, guard in _guards(django).items()]
    return _django_app(config, patterns, is_async=True)


def drf_app(config: HexclaveConfig) -> Any:
    def view_of(url: str, guard: Any) -> Any:
        view = _django_view(url)

        class Guarded(APIView):
            # Its authentication would refuse a bad token beside a good API key, as this framework does.
            authentication_classes = ()
            permission_classes = (HexclavePermission.of(guard),)

            def get(self, request: Any, **params: str) -> Response:
                return Response(view(request._request, **params), content_type="application/json")

        return Guarded.as_view()

    return _django_app(config, [path(_django_path(url), view_of(url, guard)) for url, guard in _guards(django).items()])


def ninja_app(config: HexclaveConfig) -> Any:
    api = NinjaAPI(urls_namespace=f"mixing-{id(config)}", docs_url=None, openapi_url=None)

    def add(url: str, guard: Any) -> None:
        view = _django_view(url)

        def operation(request: HttpRequest) -> Any:
            return view(request)

        def team_operation(request: HttpRequest, team_id: str) -> Any:
            return view(request)

        if guard.optional:
            api.get(url, auth=None, operation_id=url)(guard(operation))
        else:
            api.get(url, auth=HexclaveAuth(guard), operation_id=url)(team_operation if "team" in url else operation)

    for url, guard in _guards(django).items():
        add(url, guard)
    return _django_app(config, [path("", api.urls)])


APPS: dict[str, Callable[[HexclaveConfig], Any]] = {
    "fastapi": fastapi_app,
    "starlette": starlette_app,
    "flask": flask_app,
    "django wsgi": django_wsgi_app,
    "django asgi": django_asgi_app,
    "drf": drf_app,
    "ninja": ninja_app,
}
