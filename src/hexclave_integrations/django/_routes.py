"""What the URL patterns lead to, for the system checks."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.middleware.cache import CacheMiddleware
from django.urls import URLPattern, get_resolver

from .._adapter.guarded import guards_of
from ..requirements import UNAPPLIED, Requirement
from ._mixins import HexclaveRequiredMixin

__all__ = ["Route", "routes"]

_GUARD, _CACHE = "guard", "cache"


@dataclass(frozen=True, kw_only=True)
class Route:
    """A URL pattern with its view.

    Attributes:
        path: as the patterns spell it.
        parameters: the names of its parameters.
        requirements: those that guard it.
        misused: where a requirement stands in place of something else.
        caches_inside: whether a page is cached below what asks who the caller is.
    """

    path: str
    parameters: frozenset[str]
    requirements: tuple[Requirement, ...]
    misused: tuple[str, ...]
    caches_inside: bool


def routes() -> Iterator[Route]:
    """Every pattern of settings.ROOT_URLCONF, included ones too."""
    yield from _walk(get_resolver(), "", frozenset())


def _walk(resolver: Any, prefix: str, names: frozenset[str]) -> Iterator[Route]:
    for item in resolver.url_patterns:
        path = prefix + str(item.pattern)
        regex: Any = item.pattern.regex  # of all kinds of patterns; "<uuid:team_id>" is a named group in it as well
        known = names | set(regex.groupindex)
        if isinstance(item, URLPattern):
            yield _route(item.callback, path, known | set(item.default_args))
        else:
            yield from _walk(item, path, known | set(item.default_kwargs))


def _route(view: Any, path: str, names: frozenset[str]) -> Route:
    found = list(_requirements(view))
    return Route(
        path="/" + path,
        parameters=names,
        requirements=tuple(item for _, item in found if isinstance(item, Requirement)),
        misused=tuple(name for name, item in found if name and isinstance(item, UNAPPLIED)),
        caches_inside=_caches_inside(view),
    )


def _requirements(view: Any) -> Iterator[tuple[str, Any]]:
    """Requirements, each with where it stands if that is the wrong place."""
    if isinstance(view, UNAPPLIED):
        yield "the view", view
        return
    yield from (("", item) for item in guards_of(view))
    cls = _class_of(view)
    if cls is not None:
        for name in _handlers(view, cls):
            yield from (("", item) for item in guards_of(getattr(cls, name, None)))
        for item in _option(view, cls, "permission_classes"):
            yield from _permission(item)
    for operation in _operations(view):
        yield from (("", item) for item in guards_of(operation.view_func))
        for item in operation.auth_callbacks:
            misplaced = isinstance(item, UNAPPLIED)
            yield ("auth", item) if misplaced else ("", getattr(item, "requirement", None))


def _class_of(view: Any) -> Any:
    return getattr(view, "view_class", None) or getattr(view, "cls", None)


def _handlers(view: Any, cls: Any) -> set[str]:
    actions = getattr(view, "actions", None)  # of a viewset of Django REST framework
    return set(actions.values()) if actions else set(getattr(cls, "http_method_names", ()))


def _option(view: Any, cls: Any, name: str) -> Any:
    """What Django REST framework was given for a view, or has on its class."""
    return (getattr(view, "initkwargs", None) or {}).get(name, getattr(cls, name, ())) or ()


def _operations(view: Any) -> Any:
    """Those of Django Ninja."""
    path_view = inspect.getclosurevars(view).nonlocals.get("self") if inspect.isfunction(view) else None
    return getattr(path_view, "operations", ())


def _permission(item: Any) -> Iterator[tuple[str, Any]]:
    """A permission class of Django REST framework, or what `&`, `|` and `~` made of several."""
    operands = [getattr(item, name) for name in ("op1_class", "op2_class") if hasattr(item, name)]
    for operand in operands:
        yield from _permission(operand)
    if isinstance(item, UNAPPLIED):
        yield "a permission class", item
    elif not operands:
        yield "", getattr(item, "requirement", None)


def _caches_inside(view: Any) -> bool:
    """Whether something on the way to an answer is `cache_page`'s, and something before it asks who the caller is."""
    for steps in _ways(view):
        order = list(steps)
        if _GUARD in order and _CACHE in order[order.index(_GUARD) :]:
            return True
    return False


def _ways(view: Any) -> Iterator[list[str]]:
    """The guards and caches before an answer, from the outermost in, for each of a view's handlers."""
    outer, cls = list(_steps(view)), _class_of(view)
    if cls is not None:
        outer += _steps_of_class(view, cls)
        # Django REST framework's generic views answer with a method that has the name of an action.
        for name in (*_handlers(view, cls), *(() if getattr(view, "actions", None) else ("list", "retrieve"))):
            yield [*outer, *_steps(getattr(cls, name, None))]
    for operation in _operations(view):
        asks = any(isinstance(getattr(item, "requirement", None), Requirement) for item in operation.auth_callbacks)
        yield [*outer, *_steps(operation.run), *([_GUARD] if asks else []), *_steps(operation.view_func)]
    yield outer


def _steps_of_class(view: Any, cls: Any) -> Iterator[str]:
    seen: set[int] = set()
    for base in cls.__mro__:
        if base is HexclaveRequiredMixin:
            yield _GUARD
        yield from _steps(vars(base).get("dispatch"), seen)
    permissions = [found for item in _option(view, cls, "permission_classes") for _, found in _permission(item)]
    authentication = _option(view, cls, "authentication_classes")
    if any(isinstance(item, Requirement) for item in permissions) or any(
        getattr(item, "asks_hexclave", False) for item in authentication
    ):
        yield _GUARD


def _steps(function: Any, seen: set[int] | None = None) -> Iterator[str]:
    """The guards and caches that a function was decorated with, from the outermost in.

    Args:
        function: or None.
        seen: the functions to leave out; those that are looked at join them.
    """
    seen = set() if seen is None else seen
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        inner = getattr(function, "__wrapped__", None)
        for value in _closed_over(function):
            # `method_decorator` keeps a list, with the innermost first.
            for item in reversed(value) if isinstance(value, (list, tuple)) else [value]:
                if isinstance(item, Requirement):
                    yield _GUARD
                elif any(map(_is_cache, (item, *_closed_over(item)))):
                    yield _CACHE
                    break  # its helpers hold it too
            if inner is None and _is_api_view(function):
                inner = value
        function = inner


def _is_api_view(function: Any) -> bool:
    """Whether it is the method that Django REST framework's `api_view` makes of a function."""
    variables: Any = getattr(getattr(function, "__code__", None), "co_freevars", None)
    return getattr(function, "__module__", "") == "rest_framework.decorators" and variables == ("func",)


def _is_cache(item: Any) -> bool:
    """Whether it is the middleware in `cache_page`, or its class, which waits there for a function."""
    return isinstance(item, CacheMiddleware) or (isinstance(item, type) and issubclass(item, CacheMiddleware))


def _closed_over(function: Any) -> Iterator[Any]:
    for cell in getattr(function, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # an empty one
            yield cell.cell_contents
