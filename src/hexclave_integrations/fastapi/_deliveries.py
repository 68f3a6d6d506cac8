"""Requests that are about to reach a webhook endpoint of this package, behind dependencies of a whole application."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._adapter.endpoints import webhooks_of
from ..requirements import Requirement
from ._internals import Node, dependencies_of_request

__all__ = ["is_for_delivery"]


def is_for_delivery(requirement: Requirement, scope: Any) -> bool:
    """Whether a requirement stands, for the sake of other routes, in a list of dependencies around such an endpoint.

    The sender has no access token, and the endpoint admits by signature. Nobody may be handed on as the user that a
    requirement resolves to, though: where a dependency takes one as a parameter, the requirement is asked.

    Args:
        requirement: what FastAPI calls.
        scope: of the request.
    """
    if webhooks_of(scope.get("endpoint")) is None:
        return False
    root = dependencies_of_request(scope)
    nodes = [] if root is None else [node for node in _below(root) if isinstance(node.call, Requirement)]
    return any(node.call is requirement for node in nodes) and all(node.name is None for node in nodes)


def _below(node: Node) -> Iterator[Node]:
    for each in node.dependencies:
        yield each
        yield from _below(each)
