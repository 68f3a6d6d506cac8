"""Guarded routes of every kind in Django, Django REST framework and Django Ninja, under WSGI and ASGI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..adapters import _django

# isort: split
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import include, path, re_path
from django.utils.decorators import method_decorator
from django.views import View
from ninja import NinjaAPI, Path, Router
from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from hexclave_integrations import django
from hexclave_integrations.django.drf import HexclaveAuthentication, HexclavePermission
from hexclave_integrations.django.ninja import HexclaveAuth

from . import route_apps_asgi, route_apps_wsgi
from .routes import METHODS, PERMISSION, PROJECT_PERMISSION, Guard, Ledger, Route, Send, World

__all__ = ["DJANGO_ROUTES", "DRF_ROUTES", "NINJA_ROUTES", "django_app", "drf_app", "ninja_app"]

_PERMISSION = django.require_permission("{team_id}", PERMISSION)
_MEMBER = django.require_team("{team_id}")
_ADMIN = django.require_project_permission(PROJECT_PERMISSION)
_COMMON = (
    Route("/me", "user"),
    Route("/project", "project"),
    Route("/key", "api key"),
    Route("/teams/{team}", "team"),
    Route("/teams/{team}/reports", "permission"),
)
DJANGO_ROUTES = (
    *_COMMON,
    Route("/typed/{team}/reports", "permission"),
    Route("/files/{team}/{rest}", "permission"),
    Route("/ends/{team}", "permission"),
    Route("/pairs/{other}/{team}", "permission"),
    Route("/pattern/{team}", "permission"),
    Route("/v1/teams/{team}/reports", "permission"),
    Route("/twice/{other}/in/{team}", "permission"),
    Route("/mixin/{team}", "permission"),
    Route("/dispatch/{team}", "permission"),
    Route("/method/{team}", "permission"),
)
DRF_ROUTES = (
    *_COMMON,
    Route("/set/{team}/reports/", "permission"),
    Route("/set/{team}/reports/1/", "permission"),
    Route("/set/{team}/reports/1/publish/", "permission"),
    Route("/set/{team}/reports/members/", "team"),
)
NINJA_ROUTES = (
    *_COMMON,
    Route("/typed/{team}/reports", "permission"),
    Route("/files/{team}/{rest}", "permission"),
    Route("/pairs/{other}/{team}", "permission"),
    Route("/nested/{team}/reports", "permission"),
)
_NAMES = [method.lower() for method in METHODS]


def _principal(guard: Guard, request: Any) -> Any:
    return request.hexclave_api_key if guard == "api key" else request.hexclave_user


def _guards() -> dict[str, tuple[Guard, django.DjangoRequirement]]:
    return {
        "me": ("user", django.require_user),
        "project": ("project", _ADMIN),
        "key": ("api key", django.require_api_key),
        "teams/<str:team_id>": ("team", _MEMBER),
        "teams/<str:team_id>/reports": ("permission", _PERMISSION),
    }


@contextmanager
def django_app(world: World, ledger: Ledger, *, is_async: bool) -> Iterator[Send]:
    """Decorated functions, included patterns, and classes with the mixin, decorated methods or `dispatch`."""

    def view(guard: Guard, requirement: django.DjangoRequirement) -> Any:
        def answer(request: HttpRequest, **params: Any) -> HttpResponse:
            ledger.saw(guard, params.get("team_id"), _principal(guard, request))
            return HttpResponse()

        async def answer_async(request: HttpRequest, **params: Any) -> HttpResponse:
            return answer(request, **params)

        return requirement(answer_async if is_async else answer)

    def methods() -> dict[str, Any]:
        def handle(self: Any, request: HttpRequest, **params: Any) -> HttpResponse:
            ledger.saw("permission", params["team_id"], _principal("permission", request))
            return HttpResponse()

        async def handle_async(self: Any, request: HttpRequest, **params: Any) -> HttpResponse:
            return handle(self, request, **params)

        return dict.fromkeys(_NAMES, handle_async if is_async else handle)

    every: Any = {"http_method_names": _NAMES}
    mixed = type("Mixed", (django.HexclaveRequiredMixin, View), {**every, **methods(), "requirement": _PERMISSION})
    dispatched: Any = type("Dispatched", (View,), {**every, **methods()})
    dispatched = method_decorator(_PERMISSION, name="dispatch")(dispatched)
    decorated = {name: _PERMISSION(method) for name, method in methods().items()}
    by_method: Any = type("ByMethod", (View,), {**every, **decorated})
    mixed_view: Any = mixed
    report = view("permission", _PERMISSION)
    patterns = [
        *(path(url, view(guard, requirement)) for url, (guard, requirement) in _guards().items()),
        path("typed/<uuid:team_id>/reports", report),
        path("files/<str:team_id>/<path:rest>", report),
        path("ends/<path:team_id>", report),
        path("pairs/<str:other>/<str:team_id>", report),
        re_path(r"^pattern/(?P<team_id>.+?)/?$", report),
        path("v1/teams/<str:team_id>/", include([path("reports", report)])),
        path("twice/<str:team_id>/", include([path("in/<str:team_id>", report)])),
        path("mixin/<str:team_id>", mixed_view.as_view()),
        path("dispatch/<str:team_id>", dispatched.as_view()),
        path("method/<str:team_id>", by_method.as_view()),
    ]
    with _serving(world, patterns, is_async=is_async) as send:
        yield send


@contextmanager
def drf_app(world: World, ledger: Ledger) -> Iterator[Send]:
    """Views, functions, and a viewset whose actions have permissions of their own."""

    def saw(guard: Guard, request: Any, team_id: object = None) -> Response:
        ledger.saw(guard, team_id, _principal(guard, request._request))
        return Response()

    def view(guard: Guard, requirement: django.DjangoRequirement) -> Any:
        def handle(self: Any, request: Any, team_id: object = None) -> Response:
            return saw(guard, request, team_id)

        options: dict[str, Any] = {
            "authentication_classes": (HexclaveAuthentication,),
            "permission_classes": (HexclavePermission.of(requirement),),
            "http_method_names": _NAMES,
        }
        made: Any = type("Guarded", (APIView,), {**options, **dict.fromkeys(_NAMES, handle)})
        return made.as_view()

    @api_view(list(METHODS))
    @permission_classes([HexclavePermission.of(_ADMIN)])
    def in_project(request: Any) -> Response:
        return saw("project", request)

    class Reports(ViewSet):
        authentication_classes = (HexclaveAuthentication,)
        permission_classes = (HexclavePermission.of(_PERMISSION),)
        lookup_value_regex = "[0-9]+"

        def create(self, request: Any, team_id: str) -> Response:
            return saw("permission", request, team_id)

        def retrieve(self, request: Any, team_id: str, pk: str) -> Response:
            return saw("permission", request, team_id)

        list = create
        update = partial_update = destroy = retrieve

        @action(detail=True, methods=["get", "post", "delete"])
        def publish(self, request: Any, team_id: str, pk: str) -> Response:
            return saw("permission", request, team_id)

        @action(detail=False, methods=["get", "put"], permission_classes=[HexclavePermission.of(_MEMBER)])
        def members(self, request: Any, team_id: str) -> Response:
            return saw("team", request, team_id)

    router = SimpleRouter()
    router.register(r"set/(?P<team_id>[^/]+)/reports", Reports, basename="reports")
    patterns = [
        *(path(url, view(*guarded)) for url, guarded in _guards().items() if url != "project"),
        path("project", in_project),
        *router.urls,
    ]
    with _serving(world, patterns, is_async=False) as send:
        yield send


@contextmanager
def ninja_app(world: World, ledger: Ledger, *, is_async: bool) -> Iterator[Send]:
    """Operations with an auth of their own and with that of a router."""
    api = NinjaAPI(urls_namespace=f"routes-{is_async}", docs_url=None, openapi_url=None)

    def coloured(plain: Callable[..., Any], coroutine: Callable[..., Any]) -> Callable[..., Any]:
        return coroutine if is_async else plain

    def without_team(guard: Guard) -> Callable[..., Any]:
        def operation(request: HttpRequest) -> None:
            ledger.saw(guard, None, _principal(guard, request))

        async def async_operation(request: HttpRequest) -> None:
            operation(request)

        return coloured(operation, async_operation)

    def with_team(guard: Guard) -> Callable[..., Any]:
        def operation(request: HttpRequest, team_id: str) -> None:
            ledger.saw(guard, team_id, _principal(guard, request))

        async def async_operation(request: HttpRequest, team_id: str) -> None:
            operation(request, team_id)

        return coloured(operation, async_operation)

    def file(request: HttpRequest, team_id: str, rest: str) -> None:
        ledger.saw("permission", team_id, _principal("permission", request))

    async def async_file(request: HttpRequest, team_id: str, rest: str) -> None:
        file(request, team_id, rest)

    def pair(request: HttpRequest, other: str, team_id: str) -> None:
        ledger.saw("permission", team_id, _principal("permission", request))

    async def async_pair(request: HttpRequest, other: str, team_id: str) -> None:
        pair(request, other, team_id)

    # By itself Ninja would read a parameter of the router's prefix from the query.
    def report(request: HttpRequest, team_id: Path[str]) -> None:
        ledger.saw("permission", team_id, _principal("permission", request))

    async def async_report(request: HttpRequest, team_id: Path[str]) -> None:
        report(request, team_id)

    router = Router(auth=HexclaveAuth(_PERMISSION))
    router.api_operation(list(METHODS), "/reports")(coloured(report, async_report))
    api.add_router("/nested/{str:team_id}", router)
    guarded: dict[str, tuple[Guard, django.DjangoRequirement]] = {
        **{url.replace("<str:team_id>", "{team_id}"): found for url, found in _guards().items()},
        "typed/{uuid:team_id}/reports": ("permission", _PERMISSION),
    }
    for url, (guard, requirement) in guarded.items():
        operation = with_team(guard) if "team_id" in url else without_team(guard)
        api.api_operation(list(METHODS), f"/{url}", auth=HexclaveAuth(requirement), operation_id=url)(operation)
    holders = HexclaveAuth(_PERMISSION)
    api.api_operation(list(METHODS), "/files/{team_id}/{path:rest}", auth=holders)(coloured(file, async_file))
    api.api_operation(list(METHODS), "/pairs/{other}/{team_id}", auth=holders)(coloured(pair, async_pair))
    with _serving(world, [path("", api.urls)], is_async=is_async) as send:
        yield send


@contextmanager
def _serving(world: World, patterns: Any, *, is_async: bool) -> Iterator[Send]:
    settings: dict[str, Any] = {
        "ROOT_URLCONF": tuple(patterns),
        "HEXCLAVE": _django.as_settings(world.config),
        "DEBUG_PROPAGATE_EXCEPTIONS": True,
    }
    if is_async:  # those that are sync would cost a thread each
        settings["MIDDLEWARE"] = ["hexclave_integrations.django.middleware.HexclaveMiddleware"]
    with override_settings(**settings):
        calling = route_apps_asgi.calling(ASGIHandler()) if is_async else route_apps_wsgi.calling(WSGIHandler())
        with calling as send:
            yield send
