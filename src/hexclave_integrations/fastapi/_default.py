"""What is known to stand in front of FastAPI's routes, for the default of an application."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fastapi.applications
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.routing import Route

from .._adapter.default import DOCS, MARKED, WEBHOOK, Standing, is_public, standing_of_function
from .._adapter.endpoints import webhooks_of
from ..requirements import Requirement
from ._dependencies import FastAPIRequirement
from ._internals import Node, dependencies_of

__all__ = ["standing_of"]


def standing_of(route: Any, method: str) -> Standing | None:
    """What is known of a route of FastAPI's own, or of its pages for the description of the API; else None.

    A requirement counts where FastAPI itself calls it: in the tree of dependencies that it keeps for the route.
    """
    root = dependencies_of(route)
    if root is None:
        is_page = isinstance(route, Route) and _is_of_fastapi(route.endpoint)
        return Standing(open=DOCS) if is_page else None
    if webhooks_of(root.call) is not None:
        return Standing(open=WEBHOOK)
    own = tuple(_called(root))
    if own and _is_plain(route):
        return Standing(own=own)
    if is_public(root.call):
        return Standing(open=MARKED, hidden=own)
    decorated = standing_of_function(root.call)
    return decorated if decorated.own else Standing(hidden=own or decorated.hidden)


def _called(node: Node) -> Iterator[Requirement]:
    for each in node.dependencies:
        if isinstance(each.call, FastAPIRequirement) and type(each.call).__call__ is FastAPIRequirement.__call__:
            yield each.call
        yield from _called(each)


def _is_plain(route: Any) -> bool:
    """Whether FastAPI's own handler resolves the dependencies, and not one that a class of routes has put around it."""
    original: Any = getattr(route, "original_route", route)
    kind: Any = type(original)
    if isinstance(original, APIRoute):
        return kind.get_route_handler is APIRoute.get_route_handler and kind.handle is APIRoute.handle
    return not isinstance(original, APIWebSocketRoute) or kind.handle is APIWebSocketRoute.handle


def _is_of_fastapi(endpoint: Any) -> bool:
    """Whether a function was defined in the module of FastAPI's application class; a copied name does not count."""
    return getattr(endpoint, "__globals__", None) is vars(fastapi.applications)
