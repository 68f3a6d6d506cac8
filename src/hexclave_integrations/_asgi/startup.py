"""What can be known to be wrong before the first request, such as a requirement that the settings cannot serve."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPMethod
from typing import Any, Final

from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.routing import Route, Router, WebSocketRoute

from .._adapter.client_source import ClientSource
from .._adapter.default import AUTOMATIC, MARKED, Standing, is_public, standing_of_function
from .._adapter.guarded import guards_of
from .._adapter.startup import unmet
from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ..requirements import UNAPPLIED, Requirement

__all__ = ["FRAMEWORKS", "Framework", "check_routes", "is_of_framework", "parameter_names"]

_PARAMETER: Final = re.compile(r"\{(\w+)[:}]")
# The methods of Starlette's HTTPEndpoint and WebSocketEndpoint that answer a request. HTTPMethod may lack QUERY.
_HANDLERS: Final = {*(method.lower() for method in HTTPMethod), "query", "on_connect", "on_receive", "on_disconnect"}


@dataclass(frozen=True, slots=True)
class Framework:
    """How a framework on top of Starlette keeps its routes.

    Attributes:
        routes_of: the routes of an application, router or mount.
        requirements_on: the requirements on one route, none for a route of another framework. It raises a
            ConfigurationError for a route that does not check what it seems to check.
        standing_of: what is known to stand in front of a route, for a method; None for a route of another framework.
        candidates_of: the routes of a router as it tries them, in groups: one is tried if none of the group before
            knows the path.
        router: its class of routers, whose way of finding a route `candidates_of` repeats.
    """

    routes_of: Callable[[Any], Iterable[Any]]
    requirements_on: Callable[[Any, str], Iterator[Requirement]]
    standing_of: Callable[[Any, str], Standing | None]
    candidates_of: Callable[[Any], Iterable[Iterable[Any]]]
    router: type[Router]


def _plain_routes(holder: Any) -> Iterable[Any]:
    return getattr(holder, "routes", None) or ()


def _on_endpoint(route: Any, path: str) -> Iterator[Requirement]:
    """The requirements that decorate an endpoint, or the methods of an endpoint class."""
    app = getattr(route, "app", None)
    while app is not None:  # of a mount, within the mount's own middleware
        yield from guards_of(app)
        app = getattr(app, "app", None)
    endpoint = getattr(route, "endpoint", None)
    if not isinstance(endpoint, type):
        yield from _on_handler(endpoint, path)
        return
    for name in dir(endpoint):
        if name in _HANDLERS or guards_of(getattr(endpoint, name, None)):
            yield from _on_handler(getattr(endpoint, name), path)


def _on_handler(handler: Any, path: str) -> Iterator[Requirement]:
    decorated = handler
    while decorated is not None:
        if isinstance(decorated, UNAPPLIED):
            raise ConfigurationError(f"The endpoint of {path} is a requirement: it was used without calling it.")
        yield from guards_of(decorated)
        decorated = getattr(decorated, "__wrapped__", None)


def is_of_framework(method: Any) -> bool:
    """Whether a method was defined by Starlette or FastAPI, and not by a class of the application's own."""
    return str(getattr(method, "__globals__", {}).get("__name__", "")).partition(".")[0] in ("starlette", "fastapi")


def standing_of_starlette(route: Any, method: str) -> Standing | None:
    """What is known to stand in front of a route of Starlette's own."""
    if not isinstance(route, Route | WebSocketRoute):
        return standing_of_function(route) if callable(route) and is_public(route) else None
    endpoint: Any = route.endpoint
    if not isinstance(endpoint, type):
        found = standing_of_function(endpoint)
        # A class of routes of the application's own may answer before the endpoint does.
        return found if not found.own or is_of_framework(type(route).handle) else Standing(hidden=found.own)
    if is_public(endpoint):
        return Standing(open=MARKED)
    handler = None
    if issubclass(endpoint, HTTPEndpoint) and endpoint.dispatch is HTTPEndpoint.dispatch:
        is_get = method == "HEAD" and not hasattr(endpoint, "head")
        handler = getattr(endpoint, "get" if is_get else method.lower(), None)
        if handler is None and endpoint.method_not_allowed is HTTPEndpoint.method_not_allowed:
            return Standing(open=AUTOMATIC)
    elif issubclass(endpoint, WebSocketEndpoint) and endpoint.dispatch is WebSocketEndpoint.dispatch:
        handler = getattr(endpoint, "on_connect", None)
    return Standing() if handler is None else standing_of_function(handler)


def _candidates(router: Any) -> Iterable[Iterable[Any]]:
    return (_plain_routes(router),)


FRAMEWORKS: Final = [Framework(_plain_routes, _on_endpoint, standing_of_starlette, _candidates, Router)]
"""The frameworks whose adapters are imported, Starlette first. One's application may be mounted in another's."""


def check_routes(app: Any, config: HexclaveConfig, given: Collection[str] = ()) -> None:
    """Look at every requirement on the routes of an application.

    Args:
        app: an application of Starlette, or of a framework on top of it; anything else has no routes.
        config: the settings of the middleware around the application.
        given: names of route parameters that the path has already where the application is mounted.

    Raises:
        ConfigurationError: a requirement needs a server key that is not set, or a route parameter that its route
            lacks, or a route would not check what it seems to check.
    """
    for requirement, path, settings in _requirements(app, "", config):
        for found in unmet([requirement], path, {*given, *parameter_names(path)}, settings):
            raise ConfigurationError(found.text)


def parameter_names(path: str) -> list[str]:
    """The names of the parameters in a path, as `team_id` in `/teams/{team_id:uuid}`."""
    return _PARAMETER.findall(path)


def _requirements(
    holder: Any, prefix: str, config: HexclaveConfig
) -> Iterator[tuple[Requirement, str, HexclaveConfig]]:
    # The framework that was added last also knows how the ones before it keep their routes.
    for route in FRAMEWORKS[-1].routes_of(holder):
        path = prefix + getattr(route, "host", "") + getattr(route, "path", "")
        for framework in FRAMEWORKS:
            for requirement in framework.requirements_on(route, path):
                yield requirement, path, config
        yield from _requirements(route, path, _own_config(getattr(route, "app", None)) or config)


def _own_config(app: Any) -> HexclaveConfig | None:
    """The settings of a mounted application that has a Hexclave of its own."""
    own = [getattr(app, "source", None)]
    for middleware in getattr(app, "user_middleware", ()):
        own += [*middleware.args, *middleware.kwargs.values()]
    for value in own:
        if isinstance(value, ClientSource):
            return value.config
        if isinstance(value, HexclaveConfig):
            return value
    return None
