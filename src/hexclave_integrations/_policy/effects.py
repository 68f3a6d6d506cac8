"""What a flow may yield: its effects.

A `Flow[T]` yields one of five effects and is resumed with the outcome::

    Fetch(request)        make this HTTP request       a Reply; or TransportError is thrown in
    Once(key, start)      run a flow, unless one with  (True, what it returned), or its error is thrown in;
                          an equal key is under way    (False, None) after the other one has ended: look again
    Background(start)     run a flow, do not wait      None
    Shared(...)           use the fleet's memory       what the operation returns
    Ask(function)         call the application's code  its result, awaited where that is possible
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from .._memory.fleet import SharedAnswers
from .._wire.messages import Request

__all__ = ["Ask", "Background", "Effect", "Fetch", "Flow", "Once", "Shared"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fetch:
    """Make `request`."""

    request: Request


@dataclass(frozen=True, slots=True)
class Once:
    """Run the flow that `start` makes, unless one with an equal `key` is under way: then wait for its end."""

    key: Hashable
    start: Callable[[], Flow[Any]]


@dataclass(frozen=True, slots=True)
class Background:
    """Run the flow that `start` makes, without waiting for it."""

    start: Callable[[], Flow[None]]


@dataclass(frozen=True, slots=True)
class Shared:
    """Call an operation of the answers that a fleet shares: `operation` without a loop, `a` and its name on one."""

    answers: SharedAnswers
    operation: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Call the application's `function`."""

    function: Callable[[], Any]


Effect: TypeAlias = Fetch | Once | Background | Shared | Ask
Flow: TypeAlias = Generator[Effect, Any, T]
