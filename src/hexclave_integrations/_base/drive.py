"""The loop that runs a flow, once in each colour: for requests (`_drivers.py`) and for webhooks (`webhooks/`).

A flow is a generator that yields effects and is resumed with their outcome. The loop has no opinion on either.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

__all__ = ["arun", "run"]

E = TypeVar("E")
T = TypeVar("T")


def run(flow: Generator[E, Any, T], perform: Callable[[E], Any], thrown: tuple[type[BaseException], ...]) -> T:
    """Run a flow to its end and return what it returns, or raise what it raises.

    Args:
        flow: what to run; it is closed at the end, however that comes.
        perform: carries out one effect and returns its outcome.
        thrown: errors of `perform` that the flow is told of; any other ends it.
    """
    outcome: Any = None
    error: BaseException | None = None
    with contextlib.closing(flow):
        while True:
            try:
                effect = flow.send(outcome) if error is None else flow.throw(error)
            except StopIteration as stop:
                value: T = stop.value
                return value
            finally:
                outcome = error = None  # an error that comes out holds this frame, which must not hold the error
            try:
                outcome = perform(effect)
            except thrown as problem:
                error = problem


async def arun(
    flow: Generator[E, Any, T], perform: Callable[[E], Awaitable[Any]], thrown: tuple[type[BaseException], ...]
) -> T:
    """As `run`, on an event loop."""
    outcome: Any = None
    error: BaseException | None = None
    with contextlib.closing(flow):
        while True:
            try:
                effect = flow.send(outcome) if error is None else flow.throw(error)
            except StopIteration as stop:
                value: T = stop.value
                return value
            finally:
                outcome = error = None  # an error that comes out holds this frame, which must not hold the error
            try:
                outcome = await perform(effect)
            except thrown as problem:
                error = problem
