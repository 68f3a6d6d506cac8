"""Every part of FastAPI that the checks at start-up read and that FastAPI does not document, in one place.

`check_version` builds a small application and reads it back through this module. If a version of FastAPI keeps its
dependencies elsewhere, the start is stopped with a message, and no check passes without having seen anything.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import fastapi
from fastapi import APIRouter, Depends, WebSocket

from ..errors import ConfigurationError

__all__ = [
    "NAMES",
    "NAMES_IN_SCOPE",
    "Node",
    "candidates_of",
    "check_version",
    "dependencies_of",
    "dependencies_of_request",
    "listed_at",
    "routes_of",
]

NAMES: Final = {
    "dependant": "dependant",  # of a route: the root of its tree of dependencies
    "listed": "dependencies",  # of a route: the lists that stand at it, its routers and its application
    "call": "call",  # of a node in that tree
    "name": "name",
    "dependencies": "dependencies",
    "contexts": "effective_route_contexts",  # of an included router, since FastAPI 0.137: before, routes were copied
    "rebuilt": "starlette_route",  # of such a context: a route that is not FastAPI's own, with the inclusion's prefix
    "files": "_low_priority_routes",  # of a router, since FastAPI 0.138: static files, which `routes` does not list
    "included files": "effective_low_priority_routes",
}
"""The attributes that FastAPI does not document."""

NAMES_IN_SCOPE: Final = {
    "own": "fastapi",
    "context": "effective_route_context",  # in there: of the route that the request has reached
}
"""What FastAPI keeps in the scope of a request. Without it, deliveries of webhooks do not pass guards of all routes."""


@dataclass(frozen=True, slots=True)
class Node:
    """One function, class or object that FastAPI calls for a route, and what it depends on.

    Attributes:
        call: the endpoint, or a dependency.
        name: the parameter that the dependency is for; None for an endpoint and in a list of dependencies.
        dependencies: what FastAPI calls for it, in this order.
    """

    call: Any
    name: str | None
    dependencies: tuple[Node, ...]


def routes_of(holder: Any) -> Iterator[Any]:
    """The routes of an application, router or mount, with the routes of included routers as they are included.

    Raises:
        ConfigurationError: this version of FastAPI cannot be read.
    """
    check_version()
    yield from _routes_of(holder)


def dependencies_of(route: Any) -> Node | None:
    """The endpoint of a route and what it depends on; None for a route that is not FastAPI's own."""
    dependant = getattr(route, NAMES["dependant"], None)
    return None if dependant is None else _node(dependant)


def listed_at(route: Any) -> Sequence[Any]:
    """The `Depends(...)` in the lists of dependencies that a route of FastAPI's own has, outermost first."""
    listed: Sequence[Any] = getattr(route, NAMES["listed"])
    return listed


def dependencies_of_request(scope: Any) -> Node | None:
    """The endpoint that a request has reached and what it depends on; without inclusions where FastAPI hides these."""
    own = scope.get(NAMES_IN_SCOPE["own"])
    context = own.get(NAMES_IN_SCOPE["context"]) if isinstance(own, dict) else None
    return dependencies_of(context or scope.get("route"))


def _routes_of(holder: Any) -> Iterator[Any]:
    for route in getattr(holder, "routes", None) or ():
        contexts = getattr(route, NAMES["contexts"], None)
        if contexts is None:
            yield route
            continue
        for context in contexts():
            yield getattr(context, NAMES["rebuilt"], None) or context
        yield from getattr(route, NAMES["included files"], tuple)()
    yield from _files_of(holder)


def candidates_of(router: Any) -> Iterator[Iterator[Any]]:
    """The routes of a router as FastAPI tries them; those of static files where no other route knows the path.

    Raises:
        ConfigurationError: this version of FastAPI cannot be read.
    """
    check_version()
    yield _tried_first(router)
    yield _tried_last(router)


def _tried_first(router: Any) -> Iterator[Any]:
    for route in router.routes:
        contexts = getattr(route, NAMES["contexts"], None)
        if contexts is None:
            yield route
            continue
        for context in contexts():
            yield getattr(context, NAMES["rebuilt"], None) or context


def _tried_last(router: Any) -> Iterator[Any]:
    yield from getattr(router, NAMES["files"], ())
    for route in router.routes:
        yield from getattr(route, NAMES["included files"], tuple)()


def _files_of(holder: Any) -> Iterator[Any]:
    app = getattr(holder, "app", None)  # of a mount
    for router in (holder, getattr(holder, "router", None), app, getattr(app, "router", None)):
        if isinstance(router, APIRouter):
            yield from getattr(router, NAMES["files"], ())


def _node(dependant: Any) -> Node:
    call, name, dependencies = (getattr(dependant, NAMES[part]) for part in ("call", "name", "dependencies"))
    return Node(call, name, tuple(_node(each) for each in dependencies))


async def _dependency() -> None: ...


async def _endpoint(value: None = Depends(_dependency)) -> None: ...


async def _websocket(websocket: WebSocket, value: None = Depends(_dependency)) -> None: ...


@functools.cache
def check_version() -> None:
    """Hold this version of FastAPI against what this module expects of it.

    Raises:
        ConfigurationError: routes or dependencies are not where they are looked for.
    """
    router, app = APIRouter(dependencies=[Depends(_dependency)]), APIRouter()
    router.add_api_route("/http", _endpoint)
    router.add_api_websocket_route("/websocket", _websocket)
    app.include_router(router, prefix="/in", dependencies=[Depends(_dependency)])
    expected = [("/in/http", 2, [None, None, "value"]), ("/in/websocket", 2, [None, None, "value"])]
    if hasattr(router, "frontend"):  # static files, since FastAPI 0.138
        for each in (router, app):
            each.frontend("/", directory=".", check_dir=False)
        expected += [("", 2, [None, None]), ("", 0, [])]
    try:
        found = [
            (getattr(route, "path", ""), len(listed_at(route)), [each.name for each in node.dependencies])
            for route in _routes_of(app)
            if (node := dependencies_of(route)) is not None
        ]
    except AttributeError:
        found = []
    if expected != found:
        raise ConfigurationError(
            f"The checks at start-up cannot read the routes of FastAPI {fastapi.__version__}: "
            "use a version of it that this version of hexclave-integrations supports."
        )
