"""One exchange with Hexclave, of whose begin and end an observer is told."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from .. import _reasons as reasons
from .._wire import api
from .._wire.messages import Reply, Request, TransportError
from ..telemetry._telling import Telling

__all__ = ["Question"]

_ARTICLES = ("a ", "an ", "the ")


class Question:
    """A context manager around an exchange; the wait for a thread and for a connection counts.

    Args:
        telling: the observer.
        request: what is asked; its `what` alone is told.
    """

    def __init__(self, telling: Telling, request: Request) -> None:
        self._telling = telling
        first, _, rest = request.what.partition(" ")
        self._kind = (rest if f"{first} " in _ARTICLES else request.what).lower()
        self._status: int | None = None
        self._failure: str | None = None

    def answered(self, reply: Reply) -> Reply:
        """Note what came."""
        self._status, self._failure = reply.real_status, api.failure_of(reply)
        return reply

    def __enter__(self) -> Self:
        self._begin = time.perf_counter()
        self._begun = self._telling.question_begins(self._kind)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, TransportError):
            self._failure = "timeout" if error.reason == reasons.TIMED_OUT else str(error)
        elif kind is not None:  # the request was cancelled, or the transport is broken
            self._failure = kind.__name__
        seconds = time.perf_counter() - self._begin
        self._telling.question_ended(self._begun, self._kind, seconds, self._status, self._failure)
