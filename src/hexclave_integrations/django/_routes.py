"""What the URL patterns lead to, for the system checks."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.middleware.cache import CacheMiddleware
from django.urls import URLPattern, get_resolver

from ..requirements import Requirement
from ._requirements import MARK, UNAPPLIED

__all__ = ["Route", "routes"]


@dataclass(frozen=True, kw_only=True)
class Route:
    """A URL pattern with its view.

    Attributes:
        path: as the patterns spell it.
        parameters: the names of its parameters.
        requirements: those that guard it.
        misused: where a requirement stands in place of something else.
        caches_inside: whether a page is cached below a requirement.
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
    yield from (("", item) for item in getattr(view, MARK, ()))
    cls = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if cls is not None:
        options = getattr(view, "initkwargs", None) or {}  # of Django REST framework
        methods = getattr(view, "actions", None) or {name: name for name in getattr(cls, "http_method_names", ())}
        for name in set(methods.values()):
            yield from (("", item) for item in getattr(getattr(cls, name, None), MARK, ()))
        for item in options.get("permission_classes", getattr(cls, "permission_classes", ())) or ():
            yield from _permission(item)
    path_view = inspect.getclosurevars(view).nonlocals.get("self") if inspect.isfunction(view) else None
    for operation in getattr(path_view, "operations", ()):  # of Django Ninja
        yield from (("", item) for item in getattr(operation.view_func, MARK, ()))
        for item in operation.auth_callbacks:
            misplaced = isinstance(item, UNAPPLIED)
            yield ("auth", item) if misplaced else ("", getattr(item, "requirement", None))


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
    """Whether one of the functions that a guarded one wraps is `cache_page`'s; its helpers hold its middleware."""
    is_guarded = False
    while view is not None:
        held = list(_closed_over(view))
        if is_guarded and any(
            isinstance(item, CacheMiddleware) for value in held for item in (value, *_closed_over(value))
        ):
            return True
        is_guarded = is_guarded or any(isinstance(value, Requirement) for value in held)
        view = getattr(view, "__wrapped__", None)
    return False


def _closed_over(function: Any) -> Iterator[Any]:
    for cell in getattr(function, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # an empty one
            yield cell.cell_contents
