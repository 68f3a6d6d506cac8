"""What can be known to be wrong before the first request: requirements that the configuration cannot serve."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from .._adapter.guarded import guards_of
from .._adapter.startup import unmet
from ..client import AsyncHexclaveClient
from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ..requirements import UNAPPLIED, Requirement
from .misuse import check_dependency, check_order

__all__ = ["check_routes"]

_PARAMETER: Final = re.compile(r"\{(\w+)[:}]")
# Of Starlette's HTTPEndpoint and WebSocketEndpoint.
_METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "on_connect", "on_receive", "on_disconnect")


def check_routes(app: Any, config: HexclaveConfig, given: Collection[str] = ()) -> None:
    """Look at every requirement on the routes of a Starlette or FastAPI application.

    Args:
        config: of the middleware around the application.
        given: names of route parameters that come from outside of the application, where it is mounted.

    Raises:
        ConfigurationError: one needs a server key that is not set, or a route parameter that its route lacks, or
            a route is written such that it would not ask what it seems to ask.
    """
    for requirement, path, settings in _requirements(getattr(app, "routes", ()), "", config):
        for found in unmet([requirement], path, {*given, *_PARAMETER.findall(path)}, settings):
            raise ConfigurationError(found.text)


def _requirements(
    routes: Any, prefix: str, config: HexclaveConfig
) -> Iterator[tuple[Requirement, str, HexclaveConfig]]:
    for listed in routes:
        # FastAPI's lazily included routers keep here what became of a route that is not FastAPI's own.
        route = getattr(listed, "starlette_route", None) or listed
        path = prefix + getattr(route, "host", "") + getattr(route, "path", "")
        for requirement in _on_endpoint(getattr(route, "endpoint", None), path):
            yield requirement, path, config
        for requirement in _on_dependencies(route, path):
            yield requirement, path, config
        contexts = getattr(route, "effective_route_contexts", None)
        inner = contexts() if contexts else getattr(route, "routes", None) or ()
        yield from _requirements(inner, path, _own_config(getattr(route, "app", None)) or config)


def _on_endpoint(endpoint: Any, path: str) -> Iterator[Requirement]:
    """The requirements that decorate an endpoint, or the methods of an endpoint class."""
    handlers = [getattr(endpoint, name, None) for name in _METHODS] if isinstance(endpoint, type) else [endpoint]
    for handler in handlers:
        decorated = handler
        while decorated is not None:
            if isinstance(decorated, UNAPPLIED):
                raise ConfigurationError(f"The endpoint of {path} is a requirement: it was used without calling it.")
            yield from guards_of(decorated)
            decorated = getattr(decorated, "__wrapped__", None)


def _on_dependencies(route: Any, path: str) -> Iterator[Requirement]:
    """The requirements in the tree of dependencies that FastAPI keeps for a route."""
    pending = [getattr(route, "dependant", None)]
    if pending[0] is not None:
        check_order(pending[0].call, path)
    while pending:
        dependant = pending.pop()
        if dependant is not None:
            check_dependency(dependant, path)
            if isinstance(dependant.call, Requirement):
                yield dependant.call
            pending.extend(dependant.dependencies)


def _own_config(app: Any) -> HexclaveConfig | None:
    """The settings of a mounted application that has a Hexclave of its own."""
    own = [getattr(app, "_client", None)]
    for middleware in getattr(app, "user_middleware", ()):
        own += [*middleware.args, *middleware.kwargs.values()]
    for value in own:
        if isinstance(value, AsyncHexclaveClient):
            return value.config
        if isinstance(value, HexclaveConfig):
            return value
    return None
