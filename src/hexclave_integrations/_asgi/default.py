"""The default of an application over Starlette: asked right before its router hands a request to an endpoint.

A guard takes the place of what a router calls for each request, and asks the router's own routes, in the router's own
order, which of them will answer. Nothing lies in between that could change the request. Where the routes of a mounted
application cannot be looked at, all of it is one endpoint.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.routing import Host, Match, Mount, Router
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from .._adapter.default import MARKED, Standing, asked_by_default, is_public
from .._adapter.guarded import own_of
from ..errors import ConfigurationError
from ..requirements import Requirement
from .caller import SCOPE_KEY, Caller
from .private import NAMES
from .startup import FRAMEWORKS, is_of_framework

__all__ = ["arm", "ask_default", "router_behind", "router_in", "standing_of_mount", "standing_of_route"]


class RouterGuard:
    """What a router calls for each request, in place of its own method.

    Args:
        router: whose routes are guarded.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._inner = router.middleware_stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope.get(SCOPE_KEY)
        if caller is not None and caller.default is not None and scope["type"] in ("http", "websocket"):
            await self._guard(caller, scope, receive, send)
        await self._inner(scope, receive, send)

    async def _guard(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        found = _selected(self._router, scope)
        if found is None:
            return  # 404, 405 or a redirect: no endpoint will run
        route, child = found
        if isinstance(route, Mount | Host):
            inside = router_in(route)
            standing = standing_of_mount(route)
            if inside is not None and not standing.own and standing.open is None:
                arm(inside)
                return
        else:
            standing = standing_of_route(route, scope.get("method", ""))
        default = asked_by_default(standing, caller.default)
        if default is not None:
            await ask_default(caller, default, {**scope, **child}, receive, send)
            if "user" in scope and caller.sets_user:
                scope["user"] = caller.principal
        if isinstance(route, Mount | Host):
            caller.default = None  # it has been decided for all that is mounted there


async def ask_default(caller: Caller, default: Requirement, scope: Scope, receive: Receive, send: Send) -> None:
    """Hold the caller against the default; `caller.principal` is then who was let through.

    Where a test of a FastAPI application has overridden the default, with a function without parameters, the override
    decides.

    Raises:
        RequestRefused: they do not meet it, or it cannot be told now.
    """
    overrides = getattr(scope.get("app"), "dependency_overrides", None)
    override = overrides.get(default) if overrides else None
    if override is not None and not inspect.signature(override).parameters:
        result = override()
        caller.principal = await result if inspect.isawaitable(result) else result
        return
    is_websocket = scope["type"] == "websocket"
    connection: HTTPConnection = WebSocket(scope, receive, send) if is_websocket else Request(scope, receive)
    caller.principal = await caller.check(default, connection)


def arm(router: Router) -> None:
    """Let a router ask the default before it hands a request on; once and for all.

    Raises:
        ConfigurationError: this version of Starlette would not call the guard.
    """
    _check_version()
    if not isinstance(router.middleware_stack, RouterGuard):
        router.middleware_stack = RouterGuard(router)


@functools.cache
def _check_version() -> None:
    called: list[Any] = []

    async def probe(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope)

    router: Any = Router()
    router.middleware_stack = probe
    try:
        router({"type": "http"}, None, None).send(None)
    except StopIteration:
        pass
    except Exception:  # noqa: BLE001  # whatever it does instead, it does not call the guard
        called.clear()
    if not called:
        raise ConfigurationError(
            "The default cannot be asked in this version of Starlette, whose routers do not call their middleware: "
            "use a version that this version of hexclave-integrations supports."
        )


def router_behind(layer: Any, around: Any) -> Router | None:
    """The router that a middleware leads to, or None if that is not certain.

    Args:
        layer: what the middleware wraps.
        around: the application in whose stack it may be.
    """
    while layer is not None:
        if isinstance(layer, Starlette):
            layer = layer.router
        if isinstance(layer, Router):
            return layer if _is_plain(layer) else None
        inner = getattr(layer, NAMES["wrapped"], None) or getattr(layer, "_app", None)
        if inner is None:
            break
        layer = inner
    # Middleware that keeps what it wraps under another name: still in the stack, unless it is that of a single route.
    if isinstance(around, Starlette) and not isinstance(layer, FunctionType) and _is_plain(around.router):
        return around.router
    return None


def router_in(route: Mount | Host) -> Router | None:
    """The router of what is mounted, where that is an application of Starlette's kind; else None."""
    if not is_of_framework(type(route).handle):
        return None
    app = getattr(route, NAMES["mounted"], None) or route.app
    if isinstance(app, Starlette) and not is_of_framework(type(app).__call__):
        return None
    router = app.router if isinstance(app, Starlette) else app
    return router if isinstance(router, Router) and _is_plain(router) else None


def _is_plain(router: Router) -> bool:
    """Whether nothing stands between a router's own method, or our guard, and its routes; and it is a known method."""
    stack: Any = router.middleware_stack
    kind = type(router)
    is_known = any(kind.app is framework.router.app for framework in FRAMEWORKS) and kind.__call__ is Router.__call__
    return is_known and (isinstance(stack, RouterGuard) or stack == router.app)


def _selected(router: Router, scope: Scope) -> tuple[Any, dict[str, Any]] | None:
    """The route that will answer a request and what it adds to the scope; None where no route of the router does."""
    for candidates in FRAMEWORKS[-1].candidates_of(router):
        partial: Any = None
        for route in candidates:
            match, child = route.matches(scope)
            if match is Match.FULL:
                return route, {key: value for key, value in child.items() if key == "path_params"}
            if match is Match.PARTIAL and partial is None:
                partial = route
        if partial is not None:  # 405, unless a class of the application's own does something else
            kind = type(getattr(partial, "original_route", partial))
            return None if is_of_framework(kind.handle) else (partial, {})
    return None if router.default == router.not_found else (router.default, {})


def standing_of_mount(route: Mount | Host) -> Standing:
    """What is known to stand in front of everything that is mounted."""
    for layer in _own_layers(route) if is_of_framework(type(route).handle) else ():
        own = own_of(layer)
        if own:
            return Standing(own=own)
        if is_public(layer):
            return Standing(open=MARKED)
    return Standing()


def _own_layers(route: Mount | Host) -> Iterator[Any]:
    """The applications that a mount calls one after the other, as far as that is certain."""
    layer: Any = route.app
    while layer is not None:
        yield layer
        is_known = type(layer).__module__.startswith("starlette.middleware.")
        layer = getattr(layer, NAMES["wrapped"], None) if is_known else None


def standing_of_route(route: Any, method: str) -> Standing:
    """What is known to stand in front of a route that is no mount.

    Args:
        route: of Starlette, or of a framework on top of it.
        method: of the request; empty for a websocket.
    """
    for framework in reversed(FRAMEWORKS):
        standing = framework.standing_of(route, method)
        if standing is not None:
            return standing
    return Standing(is_unreadable=True)
