"""What can be known to be wrong with a requirement on a route before the first request."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ..requirements import Requirement

__all__ = ["Unmet", "misread", "unmet"]


@dataclass(frozen=True, slots=True)
class Unmet:
    """Something that a requirement needs and that is not there; `text` says what, where, and how to mend it."""

    kind: Literal["server key", "route parameter"]
    text: str


def unmet(
    requirements: Iterable[Requirement], path: str, parameters: Container[str], config: HexclaveConfig | None
) -> Iterator[Unmet]:
    """What the requirements on one route lack.

    Args:
        requirements: those that guard the route.
        path: of the route, for the text.
        parameters: the names of the route's parameters.
        config: the settings; None where they are unusable, which is reported elsewhere.
    """
    requirements = tuple(requirements)
    if config is not None and any(requirement.needs_server_key for requirement in requirements):
        try:
            config.require_server_key(f"a requirement on {path}")
        except ConfigurationError as error:
            yield Unmet("server key", str(error))
    names = {requirement.team_parameter for requirement in requirements}
    for name in sorted(name for name in names if name is not None and name not in parameters):
        yield Unmet("route parameter", f'{path} has no parameter "{name}", which its requirement names as team.')


def misread(requirements: Iterable[Requirement], path: str, elsewhere: Container[str]) -> Iterator[Unmet]:
    """Names that a requirement takes from the path, and the handler from something else that the caller sends.

    The requirement would be checked for one team, and the handler would work on another.

    Args:
        requirements: those that guard the route.
        path: of the route, for the text.
        elsewhere: the names of the handler's arguments that are read from the query, the body, headers or cookies.
    """
    names = {requirement.team_parameter for requirement in requirements}
    for name in sorted(name for name in names if name is not None and name in elsewhere):
        yield Unmet(
            "route parameter",
            f'{path} takes "{name}" from the query or body of the request, and its requirement takes it from the path: '
            "declare it as Path, which reads a prefix or mount around the route as well.",
        )
