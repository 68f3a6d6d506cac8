"""One application in every framework, written from a list of routes: what `duties.py` is run on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import flask as flask_framework
from django.conf import settings
from django.core.checks import run_checks
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.test import override_settings
from django.urls import path as django_path
from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse
from ninja import NinjaAPI
from ninja.errors import HttpError
from rest_framework.exceptions import NotAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route as StarletteRoute
from starlette.routing import WebSocketRoute

from hexclave_integrations import ConfigurationError, HexclaveConfig, django, fastapi, flask, litestar, starlette
from hexclave_integrations.django.drf import HexclaveAuthentication, HexclavePermission
from hexclave_integrations.django.ninja import HexclaveAuth
from hexclave_integrations.webhooks import Webhooks

from ..adapters import _django
from . import litestar_columns
from .driving import AsgiServer, Server, WsgiServer

__all__ = ["FRAMEWORKS", "WEBHOOK_PATH", "Framework", "Guards", "Route"]

WEBHOOK_PATH = "/webhooks/hexclave"

Guards = Callable[[Any], Sequence[Any]]
"""The requirements of a route, outermost first, from what an adapter exports."""


@dataclass
class Route:
    """A route, and how often its view ran.

    Args:
        path: with parameters as in `{team_id}`.
        guards: what is asked of the caller.
        methods: that the view answers.
        headers: of the view's answer.
        refuses: the view refuses as its framework's users do: with an exception that stands for 401, if there is one.
        is_websocket: it answers a websocket instead, with a message.
        status: of the view's answer.
        on_visit: what the view does besides.
        fails_before_accept: the view of a websocket does what it does before it accepts it.
        is_public: it is marked with the adapter's `public`.
    """

    path: str
    guards: Guards = lambda adapter: ()
    methods: Sequence[str] = ("GET",)
    headers: Mapping[str, str] = field(default_factory=dict)
    refuses: bool = False
    is_websocket: bool = False
    status: int = 200
    on_visit: Callable[[], object] = lambda: None
    fails_before_accept: bool = False
    is_public: bool = False
    visits: int = 0

    def visit(self) -> dict[str, bool]:
        """What the view does, and its answer."""
        self.visits += 1
        self.on_visit()
        return {"visited": True}


Serve = Callable[[Any, HexclaveConfig, Sequence[Route], Webhooks | None], AbstractContextManager[Server]]


@dataclass(frozen=True)
class Framework:
    """A framework, with the adapter whose users write these applications.

    Args:
        name: of the column.
        adapter: the folder of the adapter.
        module: what its users import.
        serve: makes an application, not started yet.
        can: what it has besides: "websocket", "lifespan", "webhooks", and "stream" where a view may leave the rest of
            a body alone.
    """

    name: str
    adapter: str
    module: Any
    build: Serve
    can: frozenset[str]

    def serve(
        self, config: HexclaveConfig, *routes: Route, webhooks: Webhooks | None = None
    ) -> AbstractContextManager[Server]:
        """An application with these routes; entering what is returned starts it."""
        return self.build(self.module, config, routes, webhooks)


def marked(adapter: Any, route: Route, view: Any) -> Any:
    """A view, marked for everybody if its route is."""
    return adapter.public(view) if route.is_public else view


def guarded(view: Any, guards: Sequence[Any]) -> Any:
    """A view inside its decorators."""
    for guard in reversed(guards):
        view = guard(view)
    return view


@contextmanager
def serve_starlette(
    adapter: Any, config: HexclaveConfig, routes: Sequence[Route], webhooks: Webhooks | None
) -> Iterator[Server]:
    def listed(route: Route) -> Any:
        async def answer(request: Request) -> JSONResponse:
            if route.refuses:
                raise HTTPException(401)
            return JSONResponse(route.visit(), route.status, dict(route.headers))

        if route.is_websocket:
            return WebSocketRoute(route.path, marked(adapter, route, guarded(_websocket(route), route.guards(adapter))))
        view = marked(adapter, route, guarded(answer, route.guards(adapter)))
        return StarletteRoute(route.path, view, methods=list(route.methods))

    middleware = [Middleware(adapter.HexclaveMiddleware, config=config)]
    deliveries = [] if webhooks is None else [adapter.webhook_route(webhooks, WEBHOOK_PATH)]
    with AsgiServer(Starlette(routes=[*map(listed, routes), *deliveries], middleware=middleware)) as server:
        yield server


@contextmanager
def serve_fastapi(
    adapter: Any, config: HexclaveConfig, routes: Sequence[Route], webhooks: Webhooks | None
) -> Iterator[Server]:
    app = FastAPI()
    adapter.Hexclave(app, config)

    def add(route: Route) -> None:
        dependencies = [Depends(guard) for guard in route.guards(adapter)]
        if route.is_websocket:
            app.websocket(route.path, dependencies=dependencies)(marked(adapter, route, _websocket(route)))
            return

        async def answer() -> JSONResponse:
            if route.refuses:
                raise HTTPException(401)
            return JSONResponse(route.visit(), route.status, dict(route.headers))

        view = marked(adapter, route, answer)
        app.api_route(route.path, methods=list(route.methods), dependencies=dependencies)(view)

    for route in routes:
        add(route)
    if webhooks is not None:
        app.include_router(adapter.webhook_router(webhooks, WEBHOOK_PATH))
    with AsgiServer(app) as server:
        yield server


def _websocket(route: Route) -> Callable[[WebSocket], Any]:
    async def talk(websocket: WebSocket) -> None:
        if route.fails_before_accept:
            route.visit()
        await websocket.accept()
        await websocket.send_json(route.visit())
        await websocket.close()

    return talk


def serve_flask(*, is_async: bool) -> Serve:
    @contextmanager
    def serve(
        adapter: Any, config: HexclaveConfig, routes: Sequence[Route], webhooks: Webhooks | None
    ) -> Iterator[Server]:
        app = flask_framework.Flask("duties")
        adapter.Hexclave(app, config)

        def view_of(route: Route) -> Callable[..., Any]:
            def answer(**params: Any) -> Any:
                if route.refuses:
                    flask_framework.abort(401)
                return route.visit(), route.status, dict(route.headers)

            async def answer_async(**params: Any) -> Any:
                return answer()

            return answer_async if is_async else answer

        for number, route in enumerate(routes):
            rule = route.path.replace("{", "<").replace("}", ">")
            view = marked(adapter, route, guarded(view_of(route), route.guards(adapter)))
            app.add_url_rule(rule, f"view_{number}", view, methods=list(route.methods))
        if webhooks is not None:
            app.register_blueprint(adapter.webhook_blueprint(webhooks, WEBHOOK_PATH))
        # A WSGI application has no start: the first request, of anybody for anything, is refused instead.
        with WsgiServer(app) as server:
            server.send("GET", "/nothing")
            yield server

    return serve


def _check_django() -> None:
    """What a deployment runs."""
    found = [message for message in run_checks() if str(message.id).startswith("hexclave.")]
    if found:
        raise ConfigurationError("\n".join(message.msg for message in found))


def serve_django(patterns: Callable[[Any, Sequence[Route]], list[Any]], *, is_asgi: bool) -> Serve:
    @contextmanager
    def serve(
        adapter: Any, config: HexclaveConfig, routes: Sequence[Route], webhooks: Webhooks | None
    ) -> Iterator[Server]:
        urls = patterns(adapter, routes)
        if webhooks is not None:
            urls.append(django_path(WEBHOOK_PATH[1:], adapter.webhook_view(webhooks)))
        # Without those that make a cycle through each request, beside which one of ours would not be seen.
        middleware = [name for name in settings.MIDDLEWARE if ".auth." not in name and ".messages." not in name]
        hexclave = _django.as_settings(config, **getattr(adapter, "SETTINGS", {}))
        changed = {"ROOT_URLCONF": tuple(urls), "HEXCLAVE": hexclave, "MIDDLEWARE": middleware}
        with override_settings(**changed):
            kind: Any = AsgiServer if is_asgi else WsgiServer
            with kind(ASGIHandler() if is_asgi else WSGIHandler(), _check_django) as server:
                yield server

    return serve


def _rule(route: Route) -> str:
    return route.path[1:].replace("{", "<str:").replace("}", ">")


def plain(*, is_async: bool) -> Callable[[Any, Sequence[Route]], list[Any]]:
    def view_of(route: Route) -> Callable[..., Any]:
        def answer(request: HttpRequest, **params: Any) -> JsonResponse:
            return JsonResponse(
                route.visit(), status=401 if route.refuses else route.status, headers=dict(route.headers)
            )

        async def answer_async(request: HttpRequest, **params: Any) -> JsonResponse:
            return answer(request)

        return answer_async if is_async else answer

    return lambda adapter, routes: [
        django_path(_rule(route), marked(adapter, route, guarded(view_of(route), route.guards(adapter))))
        for route in routes
    ]


def drf(adapter: Any, routes: Sequence[Route]) -> list[Any]:
    def view_of(route: Route) -> Any:
        class View(APIView):
            authentication_classes = (HexclaveAuthentication,)
            permission_classes = tuple(HexclavePermission.of(guard) for guard in route.guards(adapter))

        def answer(self: Any, request: Any, **params: Any) -> Response:
            if route.refuses:
                raise NotAuthenticated
            return Response(route.visit(), route.status, headers=dict(route.headers), content_type="application/json")

        for method in route.methods:
            setattr(View, method.lower(), answer)
        return marked(adapter, route, View).as_view()

    return [django_path(_rule(route), view_of(route)) for route in routes]


_NUMBERS = itertools.count()  # Ninja wants a name of its own for each API that a process ever makes


def ninja(*, is_async: bool) -> Callable[[Any, Sequence[Route]], list[Any]]:
    def operation_of(route: Route) -> Callable[..., Any]:
        def answer(request: HttpRequest) -> Any:
            if route.refuses:
                raise HttpError(401, "no")
            return JsonResponse(route.visit(), status=route.status, headers=dict(route.headers))

        def team_answer(request: HttpRequest, team_id: str) -> Any:
            return answer(request)

        async def answer_async(request: HttpRequest) -> Any:
            return answer(request)

        async def team_answer_async(request: HttpRequest, team_id: str) -> Any:
            return answer(request)

        if "{team_id}" in route.path:  # this framework wants each parameter in the signature
            return team_answer_async if is_async else team_answer
        return answer_async if is_async else answer

    def patterns(adapter: Any, routes: Sequence[Route]) -> list[Any]:
        api = NinjaAPI(urls_namespace=f"duties-{next(_NUMBERS)}", docs_url=None, openapi_url=None)
        for number, route in enumerate(routes):
            first, *others = [*route.guards(adapter), None]  # a list of several would be "any of them"
            auth = None if first is None or getattr(first, "optional", False) else HexclaveAuth(first)
            asked = others if auth is not None else [first, *others]  # an operation's `auth` cannot be optional
            view = guarded(operation_of(route), [guard for guard in asked if guard is not None])
            view = marked(adapter, route, view)
            rule = route.path.replace("{", "{str:")
            api.api_operation(list(route.methods), rule, auth=auth, operation_id=f"view_{number}")(view)
        return [django_path("", api.urls)]

    return patterns


_EVERYTHING = frozenset({"websocket", "lifespan", "webhooks", "stream"})

FRAMEWORKS = [
    Framework("starlette", "starlette", starlette, serve_starlette, _EVERYTHING),
    Framework("fastapi", "fastapi", fastapi, serve_fastapi, _EVERYTHING),
    Framework("litestar", "litestar", litestar, litestar_columns.serve_litestar, _EVERYTHING),
    Framework("flask", "flask", flask, serve_flask(is_async=False), frozenset({"webhooks", "stream"})),
    Framework("flask async", "flask", flask, serve_flask(is_async=True), frozenset({"webhooks", "stream"})),
    Framework(
        "django wsgi",
        "django",
        django,
        serve_django(plain(is_async=False), is_asgi=False),
        frozenset({"webhooks", "stream"}),
    ),
    # Under ASGI, Django itself reads the whole body before it looks for a view.
    Framework(
        "django asgi",
        "django",
        django,
        serve_django(plain(is_async=True), is_asgi=True),
        frozenset({"webhooks"}),
    ),
    Framework("drf", "django", django, serve_django(drf, is_asgi=False), frozenset()),
    Framework("ninja", "django", django, serve_django(ninja(is_async=False), is_asgi=False), frozenset()),
    Framework("ninja async", "django", django, serve_django(ninja(is_async=True), is_asgi=True), frozenset()),
]
