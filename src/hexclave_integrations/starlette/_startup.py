"""What can be known to be wrong before the first request: requirements that the configuration cannot serve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ..requirements import Requirement

__all__ = ["check_routes"]


def check_routes(app: Any, config: HexclaveConfig) -> None:
    """Look at every requirement on the routes of a Starlette or FastAPI application.

    Raises:
        ConfigurationError: one needs a server key that is not set, or a route parameter that its route lacks.
    """
    for requirement, path in _requirements(getattr(app, "routes", ())):
        if requirement.needs_server_key:
            config.require_server_key(f"a requirement on {path}")
        name = requirement.team_parameter
        if name is not None and f"{{{name}}}" not in path and f"{{{name}:" not in path:
            raise ConfigurationError(
                f'The route {path} has no parameter "{name}", which its requirement names as team.'
            )


def _requirements(routes: Any, prefix: str = "") -> Iterator[tuple[Requirement, str]]:
    for route in routes:
        path = prefix + getattr(route, "path", "")
        endpoint = getattr(route, "endpoint", None)
        if isinstance(endpoint, Requirement):
            raise ConfigurationError(f"The endpoint of {path} is a requirement: it was used without calling it.")
        found = getattr(endpoint, "__hexclave_requirement__", None)
        if isinstance(found, Requirement):
            yield found, path
        # FastAPI keeps a tree of dependencies; routers it includes later may keep theirs for themselves.
        pending = [getattr(route, "dependant", None)]
        while pending:
            dependant = pending.pop()
            if dependant is not None:
                if isinstance(dependant.call, Requirement):
                    yield dependant.call, path
                pending.extend(dependant.dependencies)
        contexts = getattr(route, "effective_route_contexts", None)
        yield from _requirements(contexts() if contexts else getattr(route, "routes", None) or (), path)
