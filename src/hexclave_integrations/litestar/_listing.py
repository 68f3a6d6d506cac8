"""The list of routes of a Litestar application; for `hexclave routes`."""

from __future__ import annotations

from collections.abc import Iterator

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import WebSocketRoute

from .._adapter.listing import ANY, WEBSOCKET, Entry, entry
from ._default import is_automatic, standing_of
from ._plugin import HexclavePlugin, handlers_of

__all__ = ["entries"]


def entries(app: Litestar) -> Iterator[Entry]:
    """Every route, method by method; without the answers to OPTIONS that Litestar gives by itself."""
    default = next((plugin.default for plugin in app.plugins if isinstance(plugin, HexclavePlugin)), None)
    for route in app.routes:
        for handler in handlers_of(route):
            if is_automatic(handler):
                continue
            standing = standing_of(handler)
            methods = [WEBSOCKET] if isinstance(route, WebSocketRoute) else [ANY]
            if isinstance(handler, HTTPRouteHandler):
                methods = sorted(str(getattr(method, "value", method)) for method in handler.http_methods)
            for method in methods:
                yield entry(method, route.path, standing, default)
