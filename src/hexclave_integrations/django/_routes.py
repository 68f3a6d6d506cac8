"""What the URL patterns lead to, for the system checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, get_resolver

from .._adapter.guarded import guards_of
from .._adapter.startup import Unmet, misread
from ..requirements import UNAPPLIED, Requirement
from ._private import is_unreadable_operation, operands, operations, read_elsewhere

__all__ = ["Route", "routes", "views"]


@dataclass(frozen=True, kw_only=True)
class Route:
    """A URL pattern with its view.

    Attributes:
        path: as the patterns spell it.
        parameters: the names of its parameters.
        requirements: those that guard it.
        misused: where a requirement stands in place of something else.
        misread: where an operation reads something else than its requirement.
        is_unreadable: whether something of Django Ninja is there whose operations cannot be found.
    """

    path: str
    parameters: frozenset[str]
    requirements: tuple[Requirement, ...]
    misused: tuple[str, ...]
    misread: tuple[Unmet, ...]
    is_unreadable: bool


def routes() -> Iterator[Route]:
    """Every pattern of settings.ROOT_URLCONF, included ones too."""
    for view, path, names in _walk(get_resolver(), "", frozenset()):
        yield _route(view, path, names)


def views() -> Iterator[tuple[str, Any]]:
    """The path and the view of every pattern of settings.ROOT_URLCONF."""
    for view, path, _ in _walk(get_resolver(), "", frozenset()):
        yield "/" + path, view


def _walk(resolver: Any, prefix: str, names: frozenset[str]) -> Iterator[tuple[Any, str, frozenset[str]]]:
    for item in resolver.url_patterns:
        path = prefix + str(item.pattern)
        regex: Any = item.pattern.regex  # of all kinds of patterns; "<uuid:team_id>" is a named group in it as well
        known = names | set(regex.groupindex)
        if isinstance(item, URLPattern):
            yield item.callback, path, known | set(item.default_args)
        else:
            yield from _walk(item, path, known | set(item.default_kwargs))


def _route(view: Any, path: str, names: frozenset[str]) -> Route:
    found = list(_requirements(view))
    return Route(
        path="/" + path,
        parameters=names,
        requirements=tuple(item for _, item in found if isinstance(item, Requirement)),
        misused=tuple(name for name, item in found if name and isinstance(item, UNAPPLIED)),
        misread=tuple(found for operation in operations(view) for found in _misread(operation, "/" + path)),
        is_unreadable=is_unreadable_operation(view),
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
    for operation in operations(view):
        yield from _on_operation(operation)


def _on_operation(operation: Any) -> Iterator[tuple[str, Any]]:
    yield from (("", item) for item in guards_of(operation.view_func))
    for item in operation.auth_callbacks:
        misplaced = isinstance(item, UNAPPLIED)
        yield ("auth", item) if misplaced else ("", getattr(item, "requirement", None))


def _misread(operation: Any, path: str) -> Iterator[Unmet]:
    requirements = [item for _, item in _on_operation(operation) if isinstance(item, Requirement)]
    if requirements:
        yield from misread(requirements, path, read_elsewhere(operation))


def _class_of(view: Any) -> Any:
    return getattr(view, "view_class", None) or getattr(view, "cls", None)


def _handlers(view: Any, cls: Any) -> set[str]:
    actions = getattr(view, "actions", None)  # of a viewset of Django REST framework
    return set(actions.values()) if actions else set(getattr(cls, "http_method_names", ()))


def _option(view: Any, cls: Any, name: str) -> Any:
    """What Django REST framework was given for a view, or has on its class."""
    return (getattr(view, "initkwargs", None) or {}).get(name, getattr(cls, name, ())) or ()


def _permission(item: Any) -> Iterator[tuple[str, Any]]:
    """A permission class of Django REST framework, or what `&`, `|` and `~` made of several."""
    combined = operands(item)
    for operand in combined:
        yield from _permission(operand)
    if isinstance(item, UNAPPLIED):
        yield "a permission class", item
    elif not combined:
        yield "", getattr(item, "requirement", None)
