"""Run a delivery: carry out the steps of its flow, without an event loop and on one.

**A handler that has begun is not ended by a sender who hangs up.** Some servers and middleware cancel the request of
a client that has gone, and a sender that gave up after its time-out would otherwise have the same work begun and
broken off at each try. A cancelled waiter cannot tell that from other cancellation, so the rule has no exceptions: on
an event loop a delivery is a task of its own, and cancellation ends the waiting, not the delivery. Whoever wants a
limit puts a time-out into the handler.

Only the end of the event loop itself cancels that task. A coroutine handler then stops and its claim is released; a
thread is waited for, because it goes on anyway; and no other handler begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from .._base import drive
from .._base.event_loop import in_event_loop
from ._events import WebhookEvent

__all__ = ["Flow", "Handler", "RunHandler", "UseStore", "arun", "has_greenlets", "run"]

T = TypeVar("T")

Handler: TypeAlias = Callable[[Any], Any]
"""A function or coroutine function that takes the event; what it returns is ignored."""


@dataclass(frozen=True, slots=True)
class UseStore:
    """Call an operation of the store."""

    operation: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class RunHandler:
    """Call a handler."""

    handler: Handler
    event: WebhookEvent


Step: TypeAlias = UseStore | RunHandler
Flow: TypeAlias = Generator[Step, Any, T]

# The flow is told of everything: it releases the claim, and raises again what is not an error of a handler.
_THROWN: Final = (BaseException,)
# These two steer coroutines and generators. Out of a handler, because of a bug there, they are ordinary errors.
_STRAY: Final = (asyncio.CancelledError, GeneratorExit)

_deliveries: set[asyncio.Task[Any]] = set()
"""The tasks that are running: an event loop itself keeps only weak references."""


def run(flow: Flow[T], store: Any) -> T:
    """Run a flow to its end and return what it returns, or raise what it raises.

    Args:
        flow: yields the steps of a delivery.
        store: a `DeliveryStore` or `AsyncDeliveryStore`.
    """
    return drive.run(flow, functools.partial(_perform, store), _THROWN)


async def arun(flow: Flow[T], store: Any) -> T:
    """As `run`, on an event loop; handlers that are not coroutines run on threads and do not block it.

    Cancellation ends the waiting, and the delivery goes on to its end.
    """
    task = asyncio.create_task(drive.arun(flow, functools.partial(_aperform, store), _THROWN))
    _deliveries.add(task)
    task.add_done_callback(_ended)
    await asyncio.wait([task])
    return task.result()


def _ended(task: asyncio.Task[Any]) -> None:
    _deliveries.discard(task)
    if not task.cancelled():
        task.exception()  # where nobody waits any more, the loop would complain that nobody asked for it


def _perform(store: Any, step: Step) -> Any:
    try:
        if isinstance(step, RunHandler):
            result = _checked(step.handler(step.event))
            return _run_coroutine(result) if inspect.isawaitable(result) else None
        operation = getattr(store, step.operation, None)
        if operation is not None:
            return operation(*step.arguments)
        return _run_coroutine(getattr(store, f"a{step.operation}")(*step.arguments))
    except _STRAY as problem:
        raise _strayed(problem) from problem


async def _aperform(store: Any, step: Step) -> Any:
    try:
        if isinstance(step, RunHandler):
            return await _call_handler(step)
        operation = getattr(store, f"a{step.operation}", None)
        if operation is not None:
            return await operation(*step.arguments)
        return await _on_a_thread(getattr(store, step.operation), *step.arguments)
    except _STRAY as problem:
        if isinstance(problem, asyncio.CancelledError) and _loop_is_ending():
            raise
        raise _strayed(problem) from problem


async def _call_handler(step: RunHandler) -> None:
    if _loop_is_ending():
        raise asyncio.CancelledError
    if _is_async(step.handler):
        await step.handler(step.event)
        return
    result = _checked(await _on_a_thread(step.handler, step.event))
    if inspect.isawaitable(result):
        await result


def _loop_is_ending() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _run_coroutine(work: Awaitable[Any]) -> Any:
    """Run it on an event loop of its own; on a thread of its own where this one may be running a loop already."""
    context = contextvars.copy_context()

    def run_it() -> Any:
        return context.run(asyncio.run, _awaited(work))

    if has_greenlets():
        # All greenlets are one thread to asyncio, which then takes the loop of another one for ours.
        from gevent import get_hub  # type: ignore[import-untyped]  # it has no stubs

        return get_hub().threadpool.apply(run_it)
    if not in_event_loop():
        return run_it()
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(run_it).result()


def has_greenlets() -> bool:
    """Whether gevent has replaced threads by its greenlets, as gunicorn's worker of that name does."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


async def _on_a_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run it on a thread and wait for that in any case: nothing may be released while it is still being handled."""

    def call() -> tuple[Any, BaseException | None]:
        try:
            return function(*arguments), None
        except BaseException as error:  # noqa: BLE001  # before Python 3.12 StopIteration never gets through a future
            return None, error

    # A future and not a task, as of `asyncio.to_thread`: a loop that ends cancels all tasks.
    work = asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, call)
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([work])
    result, error = work.result()
    if error is not None:
        raise error
    return result


def _strayed(problem: BaseException) -> RuntimeError:
    return RuntimeError(f"{type(problem).__name__} came out of a handler")


def _is_async(handler: Handler) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(type(handler), "__call__", None))  # noqa: B004


def _checked(result: Any) -> Any:
    if not inspect.isawaitable(result) and (inspect.isgenerator(result) or inspect.isasyncgen(result)):
        raise TypeError("a webhook handler returned a generator: nothing of it has run")
    return result
