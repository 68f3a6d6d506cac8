"""Django's page cache: wherever it stands, nobody is shown a page that was made for somebody else."""

from __future__ import annotations

import functools
import itertools
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from ._django import COLOURS, World, ask

# isort: split
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page
from ninja import NinjaAPI
from ninja.decorators import decorate_view
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from hexclave_integrations.django import HexclaveRequiredMixin, optional_user, require_user
from hexclave_integrations.django.drf import HexclaveAuthentication, HexclavePermission
from hexclave_integrations.django.ninja import HexclaveAuth

both_colours = pytest.mark.parametrize("colour", COLOURS)
OURS = "hexclave_integrations.django.middleware.HexclaveMiddleware"
UPDATE = "django.middleware.cache.UpdateCacheMiddleware"
FETCH = "django.middleware.cache.FetchFromCacheMiddleware"
LOCAL = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
numbers = itertools.count()
cached: Any = cache_page(60)


@pytest.fixture
def world() -> World:
    return World()


def view(request: Any, **kwargs: Any) -> HttpResponse:
    return JsonResponse({"id": getattr(request.hexclave_user, "id", None)})


async def aview(request: Any, **kwargs: Any) -> HttpResponse:
    user = await request.ahexclave_user()
    return JsonResponse({"id": getattr(user, "id", None)})


def method(self: Any, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
    return view(request)


async def amethod(self: Any, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
    return await aview(request)


def made(base: Any, name: str = "get", handler: Any = method, *decorators: Any, **attributes: Any) -> Any:
    """A class-based view whose handler has these decorators, the outermost first."""
    if decorators:
        handler = method_decorator(list(decorators))(handler)
    return type("Made", (base,), {name: handler, **attributes})


def decorated(cls: Any, *decorators: Any) -> Any:
    """The same for `dispatch` of a class."""
    return method_decorator(list(decorators), name="dispatch")(cls)


def function(*decorators: Any, handler: Any = view) -> Any:
    for decorator in reversed(decorators):
        handler = decorator(handler)
    return handler


def rest_function(*decorators: Any) -> Any:
    return api_view(["GET", "HEAD"])(authentication_classes([HexclaveAuthentication])(function(*decorators)))


def operation(*decorators: Any, handler: Any = view, auth: Any = None) -> Any:
    api = NinjaAPI(urls_namespace=f"caches-{next(numbers)}", docs_url=None, openapi_url=None, auth=auth)

    def sync(request: HttpRequest) -> HttpResponse:
        return view(request)

    async def async_(request: HttpRequest) -> HttpResponse:
        return await aview(request)

    api.api_operation(["GET", "HEAD"], "/me")(function(*decorators, handler=sync if handler is view else async_))
    (found,) = [pattern.callback for pattern in api.urls[0] if str(pattern.pattern) == "me"]
    return found


def through(function: Any) -> Any:
    return functools.wraps(function)(lambda *args, **kwargs: function(*args, **kwargs))


class Mixed(HexclaveRequiredMixin, View):
    pass


@method_decorator(cache_page(60), name="dispatch")
class CachedDispatch(View):
    pass


@method_decorator([cache_page(60), require_user], name="dispatch")
class CachedGuarded(View):
    pass


inner: dict[str, Any] = {"permission_classes": [HexclavePermission]}
asked: dict[str, Any] = {"authentication_classes": [HexclaveAuthentication]}
composed: dict[str, Any] = {"permission_classes": [AllowAny & HexclavePermission]}
INSIDE: dict[str, Callable[[], Any]] = {
    "function": lambda: function(require_user, cached),
    "async function": lambda: function(require_user, cached, handler=aview),
    "between": lambda: function(require_user, cached, require_user),
    "method": lambda: require_user(made(View, "get", method, cached).as_view()),
    "async method": lambda: require_user(made(View, "get", amethod, cached).as_view()),
    "mixin": lambda: made(Mixed, "get", method, cached).as_view(),
    "async mixin": lambda: made(Mixed, "get", amethod, cached).as_view(),
    "mixin, cached base": lambda: made(type("Base", (HexclaveRequiredMixin, CachedDispatch), {})).as_view(),
    "dispatch": lambda: decorated(made(View, "get", method, cached), require_user).as_view(),
    "async dispatch": lambda: decorated(made(View, "get", amethod, cached), require_user).as_view(),
    "both on dispatch": lambda: decorated(made(View), require_user, cached).as_view(),
    "both on a method": lambda: made(View, "get", method, require_user, cached).as_view(),
    "both on an async method": lambda: made(View, "get", amethod, require_user, cached).as_view(),
    "permission": lambda: made(APIView, "get", method, cached, **inner).as_view(),
    "composed permission": lambda: made(APIView, "get", method, cached, **composed).as_view(),
    "permission given late": lambda: made(APIView, "get", method, cached).as_view(**inner),
    "generic view": lambda: made(ListAPIView, "list", method, cached, **inner).as_view(),
    "action": lambda: made(ViewSet, "list", method, cached, **inner).as_view({"get": "list"}),
    "operation": lambda: operation(cached, auth=HexclaveAuth()),
    "async operation": lambda: operation(cached, handler=aview, auth=HexclaveAuth()),
    "guarded operation": lambda: operation(require_user, cached),
    "guarded async operation": lambda: operation(require_user, cached, handler=aview),
    "run": lambda: operation(decorate_view(cached, require_user)),
    "async run": lambda: operation(decorate_view(cached, require_user), handler=aview),
}
OUTSIDE: dict[str, Callable[[], Any]] = {
    "function": lambda: function(cached, require_user),
    "async function": lambda: function(cached, require_user, handler=aview),
    "mixin": lambda: cached(made(Mixed).as_view()),
    "async mixin": lambda: cached(made(Mixed, "get", amethod).as_view()),
    "mixin, dispatch": lambda: decorated(made(Mixed), cached).as_view(),
    "dispatch": lambda: decorated(made(View), cached, require_user).as_view(),
    "dispatch of a base": lambda: decorated(made(CachedGuarded), through).as_view(),
    "method": lambda: made(View, "get", method, cached, require_user).as_view(),
    "permission": lambda: cached(made(APIView, **inner).as_view()),
    "permission, dispatch": lambda: decorated(made(APIView, **inner), cached).as_view(),
    "operation": lambda: operation(decorate_view(cached), auth=HexclaveAuth()),
    "async operation": lambda: operation(decorate_view(cached), handler=aview, auth=HexclaveAuth()),
    "run": lambda: operation(decorate_view(require_user, cached)),
}
UNGUARDED: dict[str, Callable[[], Any]] = {
    "function": lambda: function(cached),
    "async function": lambda: function(cached, handler=aview),
    "optional, inside": lambda: function(optional_user, cached),
    "optional, outside": lambda: function(cached, optional_user),
    "method": lambda: made(View, "get", method, cached).as_view(),
    "async method": lambda: made(View, "get", amethod, cached).as_view(),
    "rest method": lambda: made(APIView, "get", method, cached).as_view(),
    "action": lambda: made(ViewSet, "list", method, cached).as_view({"get": "list"}),
    "authentication": lambda: made(APIView, "get", method, cached, **asked).as_view(),
    "authentication given late": lambda: made(APIView, "get", method, cached).as_view(**asked),
    "authentication, dispatch": lambda: decorated(made(APIView, **asked), cached).as_view(),
    "authentication, outside": lambda: cached(made(APIView, **asked).as_view()),
    "action, authentication": lambda: made(ViewSet, "list", method, cached, **asked).as_view({"get": "list"}),
    "api_view, inside": lambda: rest_function(cached),
    "api_view, outside": lambda: cached(rest_function()),
    "operation": lambda: operation(cached),
    "async operation": lambda: operation(cached, handler=aview),
}
FORMS = {
    **{f"inside, {name}": (form, 401) for name, form in INSIDE.items()},
    **{f"outside, {name}": (form, 401) for name, form in OUTSIDE.items()},
    **{f"unguarded, {name}": (form, 200) for name, form in UNGUARDED.items()},
}
MIDDLEWARE = {"cache_page alone": [OURS], "middleware too": [UPDATE, OURS, FETCH]}


@both_colours
@pytest.mark.parametrize("middleware", MIDDLEWARE)
@pytest.mark.parametrize("form", FORMS)
def test_everybody_gets_their_own_page(world: World, form: str, middleware: str, colour: str) -> None:
    """Alice, then Bob, then nobody, twice, and in between with a method that could fill the cache for another."""
    make, stranger = FORMS[form]
    where = f"/{uuid.uuid4()}"
    with world.settings(path(where[1:], make()), CACHES=LOCAL, MIDDLEWARE=MIDDLEWARE[middleware]):
        for method_ in ("GET", "HEAD", "GET"):
            for user in (world.alice, world.bob, None):
                answer = ask(colour, where, world.headers(user), method=method_)
                assert answer.status_code == (200 if user else stranger)
                if method_ == "GET" and answer.status_code == 200:
                    assert (user.id if user else None) == json.loads(answer.content)["id"]


@both_colours
def test_the_tests_here_can_find_a_leak(world: World, colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what this adapter does for it, a page cached inside a guard goes to the next caller."""
    from hexclave_integrations.django import _attributes

    def as_django_does(self: Any, request: Any, owner: type) -> Any:
        if request is None:
            return self
        try:
            return vars(request)["_cache_update_cache"]
        except KeyError:
            raise AttributeError from None

    monkeypatch.setattr(_attributes._CacheNote, "__get__", as_django_does)
    leaked = {}
    for name in ("function", "method", "both on dispatch", "permission", "action", "operation", "guarded operation"):
        where = f"/{uuid.uuid4()}"
        with world.settings(path(where[1:], INSIDE[name]()), CACHES=LOCAL, MIDDLEWARE=[OURS]):
            answers = [ask(colour, where, world.headers(user)) for user in (world.alice, world.bob)]
        leaked[name] = [json.loads(answer.content)["id"] for answer in answers]
    assert leaked == dict.fromkeys(leaked, [world.alice.id] * 2)
