"""Run a delivery: the two drivers that do what its flow yields, without an event loop and on one.

Cancellation stops a coroutine, and nothing else: a thread that runs a handler goes on whatever its waiter does, and
an operation of the store that was begun may have happened. So on an event loop a delivery is a task of its own, and
is told of a cancellation when that can be obeyed: nothing is released that is still being handled, and no claim is
left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

from ._events import WebhookEvent

__all__ = ["Flow", "Handler", "RunHandler", "UseStore", "arun", "run"]

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


# They steer coroutines and generators; out of a handler, because of a bug of its own, they are errors as others are.
_STRAY: Final = (asyncio.CancelledError, GeneratorExit)

Step: TypeAlias = UseStore | RunHandler
Flow: TypeAlias = Generator[Step, Any, T]


def run(flow: Flow[T], store: Any) -> T:
    """Run a flow to its end and return what it returns, or raise what it raises.

    Args:
        store: a `DeliveryStore` or `AsyncDeliveryStore`.
    """
    outcome: Any = None
    error: BaseException | None = None
    with contextlib.closing(flow):
        while True:
            try:
                step = flow.send(outcome) if error is None else flow.throw(error)
            except StopIteration as stop:
                value: T = stop.value
                return value
            outcome = error = None
            try:
                outcome = _perform(step, store)
            except _STRAY as problem:
                error = _strayed(problem)
            except BaseException as problem:  # noqa: BLE001  # the flow releases the claim and raises it again
                error = problem


async def arun(flow: Flow[T], store: Any) -> T:
    """As `run`, on an event loop; handlers that are no coroutines run on threads and do not block it."""
    delivery = _Delivery(flow, store)
    task = asyncio.create_task(delivery.run())
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        delivery.stop(task)
        task.add_done_callback(_forget_problem)
        # Whoever cancels once more, or cannot stop cancelling as anyio, does not wait for the end of it.
        await asyncio.wait([task])
        raise
    return task.result()


class _Delivery(Generic[T]):
    def __init__(self, flow: Flow[T], store: Any) -> None:
        self._flow = flow
        self._store = store
        self._stopped = False
        self._in_coroutine = False

    def stop(self, task: asyncio.Task[Any]) -> None:
        """End before the next handler, and at once where a coroutine is running."""
        self._stopped = True
        if self._in_coroutine:
            task.cancel()

    async def run(self) -> T:
        flow = self._flow
        outcome: Any = None
        error: BaseException | None = None
        with contextlib.closing(flow):
            while True:
                try:
                    step = flow.send(outcome) if error is None else flow.throw(error)
                except StopIteration as stop:
                    value: T = stop.value
                    return value
                outcome = error = None
                try:
                    outcome = await self._perform(step)
                except _STRAY as problem:
                    error = problem if self._is_cancelled(problem) else _strayed(problem)
                except BaseException as problem:  # noqa: BLE001  # as in `run`
                    error = problem

    async def _perform(self, step: Step) -> Any:
        if isinstance(step, UseStore):
            operation = getattr(self._store, f"a{step.operation}", None)
            if operation is not None:
                return await operation(*step.arguments)
            return await _on_a_thread(getattr(self._store, step.operation), *step.arguments)
        self._obey()
        if _is_async(step.handler):
            await self._await(step.handler(step.event))
            return None
        result = _checked(await _on_a_thread(step.handler, step.event))
        if inspect.isawaitable(result):
            await self._await(result)
        return None

    async def _await(self, work: Awaitable[Any]) -> None:
        self._in_coroutine = True
        try:
            if self._stopped and inspect.iscoroutine(work):
                work.close()
            self._obey()
            await work
        finally:
            self._in_coroutine = False

    def _is_cancelled(self, error: BaseException) -> bool:
        task = asyncio.current_task()
        is_asked = self._stopped or task is None or task.cancelling() > 0
        return is_asked and isinstance(error, asyncio.CancelledError)

    def _obey(self) -> None:
        if self._stopped:
            raise asyncio.CancelledError


def _perform(step: Step, store: Any) -> Any:
    if isinstance(step, UseStore):
        operation = getattr(store, step.operation, None)
        if operation is not None:
            return operation(*step.arguments)
        return _run_coroutine(getattr(store, f"a{step.operation}")(*step.arguments))
    result = _checked(step.handler(step.event))
    if inspect.isawaitable(result):
        _run_coroutine(result)
    return None


def _run_coroutine(work: Awaitable[Any]) -> Any:
    """Run it on an event loop of its own; on a thread of its own where one is running already."""
    if not _loop_is_running():
        return asyncio.run(_awaited(work))
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(contextvars.copy_context().run, asyncio.run, _awaited(work)).result()


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


async def _on_a_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    def call() -> tuple[Any, BaseException | None]:
        try:
            return function(*arguments), None
        except BaseException as error:  # noqa: BLE001  # before Python 3.12 StopIteration never gets through a future
            return None, error

    result, error = await asyncio.to_thread(call)
    if error is not None:
        raise error
    return result


def _strayed(problem: BaseException) -> RuntimeError:
    error = RuntimeError(f"{type(problem).__name__} came out of a handler")
    error.__cause__ = problem
    return error


def _is_async(handler: Handler) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(type(handler), "__call__", None))  # noqa: B004


def _checked(result: Any) -> Any:
    if not inspect.isawaitable(result) and (inspect.isgenerator(result) or inspect.isasyncgen(result)):
        raise TypeError("a webhook handler returned a generator: nothing of it has run")
    return result


def _forget_problem(task: asyncio.Task[Any]) -> None:
    """Whoever would have been told of it is gone; without this the loop complains."""
    if not task.cancelled():
        task.exception()
