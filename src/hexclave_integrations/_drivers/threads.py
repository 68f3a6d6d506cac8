"""Run flows on threads, with blocking HTTP."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Hashable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Final, TypeVar

from .. import _reasons as reasons
from .._base import drive
from .._memory.key_file import FileUnusable
from .._memory.redis import RedisUnavailable
from .._policy.effects import Background, Effect, Fetch, Flow, Once, Pause, UseFile, UseFleet
from .._wire.messages import Reply, Request, TransportError, logger
from ..config import HexclaveConfig
from ..errors import ConfigurationError, HexclaveError, Unavailable
from ..telemetry._telling import Telling
from .flights import Flights
from .lines import Line, Lines
from .question import Question

__all__ = ["TOLD", "SyncDriver"]

T = TypeVar("T")

TOLD: Final = (TransportError, RedisUnavailable, FileUnusable, HexclaveError)
"""Errors of effects that a flow is told of."""


class SyncDriver:
    """Runs flows with blocking HTTP; safe for threads.

    Args:
        config: gives the time-out.
        transport: an httpx transport instead of real HTTP; it stays its owner's to close.
        flights: the flows under way, to wait for; own ones when None.
    """

    def __init__(self, config: HexclaveConfig, transport: Any = None, flights: Flights | None = None) -> None:
        if transport is not None and not hasattr(transport, "handle_request"):
            raise ConfigurationError("transport cannot be used without async: it has no handle_request.")
        self._timeout = config.http_timeout
        self._telling = None if config.observer is None else Telling(config.observer)
        self.flights: Flights = Flights() if flights is None else flights
        self.lines: Lines = Lines(config.http_timeout, transport)

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return what it returns, or raise what it raises."""
        return drive.run(flow, self._perform, TOLD)

    def spawn(self, flow: Flow[None], *, then_close: bool = False) -> None:
        """Run a flow on a thread of its own; its problems are logged."""
        thread = threading.Thread(
            target=self._run_quietly, args=(flow, then_close), name="hexclave-refresh", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is shutting down
            logger.warning("A background refresh could not start: %s", error)

    def close(self) -> None:
        """Close connections; a later request opens new ones."""
        self.lines.close()

    def _run_quietly(self, flow: Flow[None], then_close: bool) -> None:
        try:
            self.run(flow)
        except Exception:  # noqa: BLE001  # nobody is waiting to hear of it
            logger.exception("A background refresh failed")
        finally:
            if then_close:
                self.close()

    def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Fetch):
            return self._fetch(effect.request)
        if isinstance(effect, Once):
            leads, future = self.flights.join(effect.key)
            if not leads:
                self._wait(effect.key, future)
                return False, None
            try:
                return True, self.run(effect.start())
            finally:
                self.flights.land(effect.key, future)
        if isinstance(effect, Background):
            self.spawn(effect.start())
            return None
        if isinstance(effect, UseFleet):
            return getattr(effect.memory, effect.operation)(*effect.arguments)
        if isinstance(effect, Pause):
            return time.sleep(effect.seconds)
        if isinstance(effect, UseFile):
            return getattr(effect.file, effect.operation)(*effect.arguments)
        result = effect.function()
        if hasattr(result, "__await__"):
            if hasattr(result, "close"):
                result.close()
            raise ConfigurationError("A team reference is a coroutine function, which this framework cannot await.")
        return result

    def _wait(self, key: Hashable, future: Future[None]) -> None:
        try:
            future.result(2 * self._timeout + 1)
        except FutureTimeout:
            # The flow is lost, with its thread or loop perhaps: do not let the next ones wait for it too.
            self.flights.land(key, future)
            raise Unavailable(reason=reasons.GIVEN_UP) from None

    def _fetch(self, request: Request) -> Reply:
        if self._telling is None:
            return self._send(request)
        with Question(self._telling, request) as question:
            return question.answered(self._send(request))

    def _send(self, request: Request) -> Reply:
        """Make a request on a thread of its own; after `http_timeout` the wait ends, and the exchange with it."""
        line = self.lines.take()
        reply: Future[Reply] = Future()
        work = functools.partial(self._exchange, line, request, reply)
        try:
            threading.Thread(target=work, name="hexclave-request", daemon=True).start()
        except RuntimeError:  # no more threads, or the interpreter is shutting down
            line.close()
            raise TransportError("no thread") from None
        try:
            return reply.result(self._timeout)
        except FutureTimeout:
            raise TransportError("too slow", reasons.TIMED_OUT) from None
        finally:
            if not reply.done():
                line.give_up()

    def _exchange(self, line: Line, request: Request, reply: Future[Reply]) -> None:
        try:
            found = line.exchange(request, self._timeout)
        except BaseException as error:  # noqa: BLE001  # it is raised in the thread that waits for it
            line.close()
            reply.set_exception(error)
        else:
            self.lines.give_back(line)
            reply.set_result(found)
