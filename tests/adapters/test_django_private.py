"""What the Django adapter leans on without a promise: it is there, and its absence is noticed."""

from __future__ import annotations

import ast
import importlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ._django import World

# isort: split
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.middleware.cache import FetchFromCacheMiddleware, UpdateCacheMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.urls import path
from ninja import NinjaAPI, operation
from rest_framework import permissions, request, views

import hexclave_integrations.django
from hexclave_integrations import ConfigurationError
from hexclave_integrations.django import _private, checks, require_team
from hexclave_integrations.django import ninja as our_ninja
from hexclave_integrations.django._private import PARTS, missing, refuse_unsafe
from hexclave_integrations.django.ninja import HexclaveAuth

SOURCE = Path(hexclave_integrations.django.__file__).parent
numbers = itertools.count()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    refuse_unsafe.cache_clear()
    yield
    refuse_unsafe.cache_clear()


def renamed_note(patch: pytest.MonkeyPatch) -> None:
    """As if Django's cache noted what to store in another place."""

    def process_request(self: Any, request: Any) -> None:
        request._another_name = True

    def should_update(self: Any, request: Any, response: Any) -> Any:
        return getattr(request, "_another_name", False)

    patch.setattr(FetchFromCacheMiddleware, "process_request", process_request)
    patch.setattr(UpdateCacheMiddleware, "_should_update_cache", should_update)


class Wrapped:
    """As if the request of Django REST framework kept Django's under another name."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Plain:
    def __init__(self, *args: Any) -> None:
        pass


def unmarked(self: Any, path: str, methods: list[str], view_func: Any, **options: Any) -> Any:
    made = operation.Operation(path, methods, view_func, **options)
    self.operations.append(made)
    return made


def hidden_view(self: Any) -> Callable[..., Any]:
    path_view = self

    def view(request: HttpRequest) -> Any:
        return path_view._sync_view(request)

    view.__module__ = "ninja.operation"
    return view


class Unsigned:
    """As if the signature of an operation did not say where its arguments are read from."""

    def __get__(self, made: Any, owner: type) -> Any:
        return self if made is None else SimpleNamespace(**{**vars(vars(made)["kept"]), "params": None})

    def __set__(self, made: Any, value: Any) -> None:
        vars(made)["kept"] = value


VANISHED: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "HttpRequest._body": lambda patch: patch.setattr(HttpRequest, "body", b""),
    "_cache_update_cache": renamed_note,
    "csrf_processing_done": lambda patch: patch.setattr(CsrfViewMiddleware, "process_view", lambda *arguments: "no"),
    "View.view_is_async": lambda patch: patch.setattr(_private, "View", object),
    "Request._request": lambda patch: patch.setattr(request, "Request", Wrapped),
    "OperandHolder.op1_class": lambda patch: patch.setattr(permissions, "OperandHolder", Plain),
    "view.cls": lambda patch: patch.setattr(views.APIView, "as_view", classmethod(lambda cls: lambda request: None)),
    "APIView.get_exception_handler": lambda patch: patch.delattr(views.APIView, "get_exception_handler"),
    "_ninja_operation": lambda patch: patch.setattr(operation.PathView, "add_operation", unmarked),
    "Operation.signature": lambda patch: patch.setattr(operation.Operation, "signature", Unsigned(), raising=False),
    "PathView.operations": lambda patch: patch.setattr(operation.PathView, "get_view", hidden_view),
}


def test_everything_is_there(world: World) -> None:
    """The installed versions have all of it."""
    with world.settings():
        assert list(missing()) == []
    assert {part.name for part in PARTS} == set(VANISHED)


@pytest.mark.parametrize("name", VANISHED)
def test_what_vanishes_is_noticed(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """E009 names what is gone and what that means, and what guards something stops the start."""
    (part,) = [part for part in PARTS if part.name == name]
    with world.settings(path("", lambda request: HttpResponse())), monkeypatch.context() as patch:
        VANISHED[name](patch)
        messages = [message for message in checks.check_routes() if message.id == "hexclave.E009"]
        if part.guards:
            with pytest.raises(ConfigurationError, match=name):
                refuse_unsafe(part.framework)
    assert [(name in message.msg, part.without in message.msg) for message in messages] == [(True, True)]
    assert list(missing()) == []


def test_djangos_cache_stops_the_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server does not come up on a Django whose cache would show one caller's page to another."""
    renamed_note(monkeypatch)
    with world.settings(), pytest.raises(ConfigurationError, match="one caller's page"):
        get_wsgi_application()


def test_ninja_stops_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is there a `HexclaveAuth` for a Ninja where a misplaced guard would not be noticed."""
    monkeypatch.setattr(operation.PathView, "add_operation", unmarked)
    with pytest.raises(ConfigurationError, match="guards nothing"):
        importlib.reload(our_ninja)


def test_operations_that_cannot_be_read_are_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirements on a route that the checks cannot see are reported, and not taken for none."""
    monkeypatch.setattr(operation.PathView, "get_view", hidden_view)
    api = NinjaAPI(urls_namespace=f"private-{next(numbers)}", docs_url=None, openapi_url=None)

    @api.get("/me", auth=HexclaveAuth(require_team("{team_id}")))
    def me(request: HttpRequest) -> dict[str, str]:
        return {}

    with world.settings(path("", api.urls)):
        assert any("/me cannot be read" in message.msg for message in checks.check_routes())


# Names with an underscore that belong to Django's documented interface, or to this package.
DOCUMENTED = {"_meta", "_default_manager", "_base_manager"}
OURS = {"_public", "_hexclave_is_extended", "_hexclave_user", "_hexclave_caller", "_twin", "_handlers"}
HARMLESS = {"_reject"}  # of Django's CSRF check, overridden for its log line alone: without it, it refuses all the same


@pytest.mark.parametrize("source", sorted(SOURCE.rglob("*.py")), ids=lambda source: str(source.relative_to(SOURCE)))
def test_private_names_are_used_in_one_module(source: Path) -> None:
    """Only `_private` touches what a framework has not promised."""
    if source.name == "_private.py":
        return
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            found |= {node.attr} if ast.unparse(node.value) not in ("self", "cls") else set()
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {*str(node.module).split("."), *(alias.name for alias in node.names)}
    private = {name for name in found if name.isidentifier() and name[0] == "_" != name and name[:2] != "__"}
    assert private <= DOCUMENTED | OURS | HARMLESS
    assert _private.CACHE_NOTE not in found
