"""What a flow may yield: its effects.

A `Flow[T]` yields one of eight effects and is resumed with the outcome::

    Fetch(request)        make this HTTP request       a Reply; or TransportError is thrown in
    Once(key, start)      run a flow, unless one with  (True, what it returned), or its error is thrown in;
                          an equal key is under way    (False, None) after the other one has ended: look again;
                                                       or Unavailable is thrown in, since it did not end in time
    Background(start)     run a flow, do not wait      None
    UseFleet(...)         use the fleet's memory       what the operation returns; or RedisUnavailable is thrown in
    UseFile(...)          use a file                   what the operation returns; or FileUnusable is thrown in
    Call(function)        call the application's code  its result, awaited where that is possible
    Compute(function)     compute for milliseconds     its result; on a loop, other tasks go on meanwhile
    Pause(seconds)        wait                         None
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from .._memory.fleet import FleetMemory
from .._memory.key_file import KeyFile
from .._memory.shared_keys import SharedKeys
from .._wire.messages import Request

__all__ = ["Background", "Call", "Compute", "Effect", "Fetch", "Flow", "Once", "Pause", "UseFile", "UseFleet"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fetch:
    """Make `request`."""

    request: Request


@dataclass(frozen=True, slots=True)
class Once:
    """Run the flow that `start` makes, unless one with an equal `key` is under way: then wait for its end.

    The flow goes on although its starter is cancelled, since others may wait for it: it must not call the application.
    """

    key: Hashable
    start: Callable[[], Flow[Any]]


@dataclass(frozen=True, slots=True)
class Background:
    """Run the flow that `start` makes, without waiting for it."""

    start: Callable[[], Flow[None]]


@dataclass(frozen=True, slots=True)
class UseFleet:
    """Call an operation of the fleet's memory: `operation` without a loop, `a` and its name on one."""

    memory: FleetMemory | SharedKeys
    operation: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class UseFile:
    """Call an operation of a file, which may take its time: on a loop, from a thread."""

    file: KeyFile
    operation: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """Call the application's `function`."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Compute:
    """Call a `function` of ours that takes too long for an event loop to stand still."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for `seconds`."""

    seconds: float


Effect: TypeAlias = Fetch | Once | Background | UseFleet | UseFile | Call | Compute | Pause
Flow: TypeAlias = Generator[Effect, Any, T]
