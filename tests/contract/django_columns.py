"""Django under WSGI and ASGI, Django REST framework, and Django Ninja with sync and async operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.test import override_settings
from django.urls import URLPattern, URLResolver, path
from ninja import NinjaAPI
from rest_framework.response import Response
from rest_framework.views import APIView

from hexclave_integrations import HexclaveConfig, django
from hexclave_integrations.django.drf import HexclaveAuthentication, HexclavePermission
from hexclave_integrations.django.ninja import HexclaveAuth

from ..adapters import _django
from .signers import SIGNERS
from .table import Answer, Ask, read_answer
from .views import PERMISSION, PROJECT_PERMISSION, show, show_id

REQUIRE = django.require_user
REQUIREMENTS: dict[str, django.DjangoRequirement] = {
    "me": REQUIRE,
    "optional": django.optional_user,
    "key": django.require_api_key,
    "restricted": REQUIRE.allow(restricted=True),
    "anyone": REQUIRE.allow(anonymous=True),
    "live": REQUIRE.live(),
    "either": REQUIRE.allow(api_key=True),
    "teams/<str:team_id>/member": django.require_team("{team_id}"),
    "teams/<str:team_id>/export": django.require_permission("{team_id}", PERMISSION),
    "selected/export": django.require_permission(django.SELECTED_TEAM, PERMISSION),
    "project": django.require_project_permission(PROJECT_PERMISSION),
    "credits": django.require_item("credits", 2),
    "spend": django.require_item("credits", 2, spend=True),
    "pro": django.require_product("pro"),
    "teams/<str:team_id>/spend": django.require_item("seats", 1, team="{team_id}", spend=True),
    "teams/<str:team_id>/pro": django.require_product("team-pro", "{team_id}"),
}


def shown(route: str, request: Any) -> dict[str, Any]:
    """What a view returns, from what the requirement left on the request."""
    if route == "key":
        return show_id(request.hexclave_api_key)
    return (show_id if route == "optional" else show)(request.hexclave_user)


def plain_patterns(*, is_async: bool) -> list[URLPattern | URLResolver]:
    def view_of(route: str) -> Callable[..., Any]:
        def view(request: HttpRequest, **params: Any) -> JsonResponse:
            return JsonResponse(shown(route, request))

        async def async_view(request: HttpRequest, **params: Any) -> JsonResponse:
            return JsonResponse(shown(route, request))

        return async_view if is_async else view

    def public(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"public": True})

    return [path("public", public), *(path(route, item(view_of(route))) for route, item in REQUIREMENTS.items())]


def drf_patterns() -> list[URLPattern | URLResolver]:
    def view_of(route: str, requirement: django.DjangoRequirement | None) -> Any:
        class View(APIView):
            # A public view asks nobody who they are; this framework's authentication refuses bad ones everywhere.
            authentication_classes = () if requirement is None else (HexclaveAuthentication,)
            permission_classes: Any = () if requirement is None else (HexclavePermission.of(requirement),)

            def get(self, request: Any, **params: Any) -> Response:
                body = {"public": True} if requirement is None else shown(route, request._request)
                return Response(body, content_type="application/json")

        return View.as_view()

    return [
        path("public", view_of("public", None)),
        *(path(route, view_of(route, item)) for route, item in REQUIREMENTS.items()),
    ]


def ninja_patterns(*, is_async: bool) -> list[URLPattern | URLResolver]:
    api = NinjaAPI(urls_namespace=f"contract-{is_async}", docs_url=None, openapi_url=None)

    def operation_of(route: str) -> Callable[..., Any]:
        def operation(request: HttpRequest) -> Any:
            return shown(route, request)

        def team_operation(request: HttpRequest, team_id: str) -> Any:
            return shown(route, request)

        async def async_operation(request: HttpRequest) -> Any:
            return shown(route, request)

        async def async_team_operation(request: HttpRequest, team_id: str) -> Any:
            return shown(route, request)

        if "team_id" in route:
            return async_team_operation if is_async else team_operation
        return async_operation if is_async else operation

    for route, item in REQUIREMENTS.items():
        url = "/" + route.replace("<str:team_id>", "{str:team_id}")
        name = route.replace("/", "_").replace("<str:team_id>", "team")
        operation = operation_of(route)
        if item.optional:  # Ninja takes None for a refusal: the operation itself is decorated
            api.get(url, auth=None, operation_id=name)(item(operation))
        else:
            api.get(url, auth=HexclaveAuth(item), operation_id=name)(operation)

    def public(request: HttpRequest) -> Any:
        return {"public": True}

    api.get("/public", auth=None)(public)
    return [path("", api.urls)]


def supabase_patterns() -> list[URLPattern]:
    """Of all columns: this framework's own views, beside those of the frameworks on top of it."""
    return [path(url[1:], django.supabase_view(signer)) for url, signer in SIGNERS.items()]


@contextmanager
def _asking(config: HexclaveConfig, patterns: Any, colour: str) -> Iterator[Ask]:
    def ask(url: str, headers: dict[str, str]) -> Answer:
        response = _django.ask(colour, url, headers, raises=True)
        return read_answer(response.status_code, response.headers, response.content)

    with override_settings(ROOT_URLCONF=tuple(patterns), HEXCLAVE=_django.as_settings(config)):
        yield ask


def columns() -> dict[str, Any]:
    """The builders by name."""
    kinds: dict[str, tuple[Callable[[], Any], str]] = {
        "django wsgi": (lambda: plain_patterns(is_async=False), "wsgi"),
        "django asgi": (lambda: plain_patterns(is_async=True), "asgi"),
        "django wsgi, async views": (lambda: plain_patterns(is_async=True), "wsgi"),
        "drf": (drf_patterns, "wsgi"),
        "ninja": (lambda: ninja_patterns(is_async=False), "wsgi"),
        "ninja async": (lambda: ninja_patterns(is_async=True), "asgi"),
    }

    def builder(patterns: Callable[[], Any], colour: str) -> Any:
        made: list[Any] = []  # the views are the same for every row

        def build(config: HexclaveConfig) -> Any:
            if not made:
                made.append([*supabase_patterns(), *patterns()])
            return _asking(config, made[0], colour)

        return build

    return {name: builder(*kind) for name, kind in kinds.items()}
