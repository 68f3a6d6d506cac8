"""The list of routes of an application of Starlette, or of a framework on top of it; for `hexclave routes`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.routing import Host, Mount, Router, WebSocketRoute

from .._adapter.default import Standing
from .._adapter.listing import ANY, WEBSOCKET, Entry, entry
from ..requirements import Requirement
from .default import router_behind, router_in, standing_of_mount, standing_of_route
from .middleware import CallerMiddleware
from .startup import FRAMEWORKS

__all__ = ["entries"]


def entries(app: Any) -> Iterator[Entry]:
    """Every route of an application, mounted applications included, method by method."""
    default = _default_of(app)
    router = router_behind(app, None)
    if router is None:
        yield entry(ANY, "/{path}", Standing(is_unreadable=True), default)
        return
    yield from _of_router(router, "", default, Standing())


def _default_of(app: Any) -> Requirement | None:
    """The default of an application that has Hexclave, in it or around it: the innermost one decides."""
    found: Requirement | None = None
    layer = app
    while layer is not None and not isinstance(layer, Starlette):
        if isinstance(layer, CallerMiddleware) and layer.default is not None:
            found = layer.default
        layer = getattr(layer, "app", None) or getattr(layer, "_app", None)
    for middleware in getattr(layer, "user_middleware", ()):
        cls: Any = middleware.cls
        if isinstance(cls, type) and issubclass(cls, CallerMiddleware):
            given = middleware.kwargs.get("default")
            found = found if given is None else given
    return found


def _of_router(router: Router, prefix: str, default: Requirement | None, around: Standing) -> Iterator[Entry]:
    for candidates in FRAMEWORKS[-1].candidates_of(router):
        for route in candidates:
            if isinstance(route, Mount | Host):
                yield from _of_mount(route, prefix, default, around)
                continue
            for path in _paths(route):
                for method in _methods(route):
                    standing = standing_of_route(route, "" if method == WEBSOCKET else method)
                    yield entry(method, prefix + path, _within(around, standing), default)
    if router.default != router.not_found:
        yield entry(ANY, prefix + "/{path}", _within(around, Standing(is_unreadable=True)), default)


def _of_mount(route: Any, prefix: str, default: Requirement | None, around: Standing) -> Iterator[Entry]:
    path = prefix + getattr(route, "host", "") + getattr(route, "path", "")
    own = _within(around, standing_of_mount(route))
    inside = router_in(route)
    if inside is None:
        standing = own if own.own or own.open else replace(own, is_unreadable=True)
        yield entry(ANY, path + "/{path}", standing, default)
    else:
        its_own = _default_of(route.app)
        yield from _of_router(inside, path, default if its_own is None else its_own, own)


def _within(around: Standing, standing: Standing) -> Standing:
    """What stands before a route in a mounted application: what stands before the mount, and its own."""
    if around.own:
        return replace(standing, own=(*around.own, *standing.own), open=None)
    if around.open is not None and not standing.own:
        return replace(standing, open=standing.open or around.open)
    return standing


def _paths(route: Any) -> list[str]:
    path = getattr(route, "path", None)
    if path:
        return [path]
    original = getattr(route, "original_route", route)  # FastAPI's files: a group of folders
    prefix = getattr(route, "frontend_prefix", "")
    return [f"{prefix}{each.path.rstrip('/')}/{{path}}" for each in getattr(original, "routes", ())] or [""]


def _methods(route: Any) -> list[str]:
    if isinstance(route, WebSocketRoute):
        return [WEBSOCKET]
    endpoint = getattr(route, "endpoint", None)
    if isinstance(endpoint, type) and issubclass(endpoint, HTTPEndpoint):
        known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
        return [each for each in known if hasattr(endpoint, each.lower())]
    return sorted(getattr(route, "methods", None) or ()) or [ANY]
