"""What can be known to be wrong before the first request, such as a requirement that the settings cannot serve."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPMethod
from typing import Any, Final

from .._adapter.guarded import guards_of
from .._adapter.startup import unmet
from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ..requirements import UNAPPLIED, Requirement
from .source import ClientSource

__all__ = ["FRAMEWORKS", "Framework", "check_routes", "parameter_names"]

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
    """

    routes_of: Callable[[Any], Iterable[Any]]
    requirements_on: Callable[[Any, str], Iterator[Requirement]]


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


FRAMEWORKS: Final = [Framework(_plain_routes, _on_endpoint)]
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
