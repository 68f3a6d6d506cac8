"""Deliver the sandbox's webhooks as Svix does: signed anew for each attempt, and again until they are accepted."""

from __future__ import annotations

import asyncio
import heapq
import inspect
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from ._handles import SandboxDelivery

if TYPE_CHECKING:
    import httpx

__all__ = ["Message", "Receiver", "WebhookEndpoint"]

_Status: TypeAlias = int | tuple[Any, ...] | None
Receiver: TypeAlias = Callable[[bytes, Mapping[str, str]], _Status | Awaitable[_Status]]
"""Takes body and headers; returns the status, as such or first in a tuple."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something to tell every endpoint."""

    id: str
    type: str
    data: Any


class WebhookEndpoint:
    """Where webhooks go; `.end()` or the end of its `with` block stops that, and drops what is on its way.

    There is a thread while there is something to send, and none otherwise.

    Args:
        receiver: a URL or a function.
        sign: makes body and headers of a message.
        record: told of every attempt.
        end: called with this endpoint when it is over.
        retries: seconds before each further attempt.
        timeout: longest wait for an answer, seconds.
    """

    def __init__(
        self,
        receiver: str | Receiver,
        sign: Callable[[Message], tuple[bytes, dict[str, str]]],
        record: Callable[[SandboxDelivery], object],
        end: Callable[[WebhookEndpoint], None],
        *,
        retries: tuple[float, ...],
        timeout: float,
    ) -> None:
        self._receiver = receiver
        self._sign = sign
        self._record = record
        self._end = end
        self._retries = retries
        self._timeout = timeout
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, Message, int]] = []  # due, number, message, attempt
        self._thread: threading.Thread | None = None
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Send nothing more; an attempt that has begun is waited for."""
        self._end(self)
        with self._changed:
            self._ended = True
            self._waiting.clear()
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    @property
    def name(self) -> str:
        """The URL, or the name of the function."""
        return self._receiver if isinstance(self._receiver, str) else _name(self._receiver)

    def put(self, message: Message) -> None:
        """Send a message, soon."""
        with self._changed:
            if not self._ended:
                self._schedule(message, 1, 0)

    def wait(self, timeout: float) -> None:
        """Wait until nothing is on its way.

        Raises:
            TimeoutError: something still is.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._thread is None, timeout):
                raise TimeoutError(f"{len(self._waiting)} webhooks, and perhaps one more, are still on their way.")

    def _schedule(self, message: Message, attempt: int, delay: float) -> None:
        heapq.heappush(self._waiting, (time.monotonic() + delay, next(self._numbers), message, attempt))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="hexclave-sandbox-webhooks", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        import httpx

        with httpx.Client(timeout=self._timeout, trust_env=False) as client:
            while (due := self._next()) is not None:
                message, attempt = due
                status = self._send(client, message)
                delivery = SandboxDelivery(
                    id=message.id,
                    type=message.type,
                    data=message.data,
                    endpoint=self.name,
                    attempt=attempt,
                    status=status,
                )
                self._record(delivery)
                with self._changed:
                    if not delivery.accepted and attempt <= len(self._retries) and not self._ended:
                        self._schedule(message, attempt + 1, self._retries[attempt - 1])

    def _next(self) -> tuple[Message, int] | None:
        """The message that is due next, once it is; None, and this thread's work is over, if there is none."""
        with self._changed:
            while self._waiting:
                delay = self._waiting[0][0] - time.monotonic()
                if delay <= 0:
                    _, _, message, attempt = heapq.heappop(self._waiting)
                    return message, attempt
                self._changed.wait(delay)
            self._thread = None
            self._changed.notify_all()
            return None

    def _send(self, client: httpx.Client, message: Message) -> int | None:
        import httpx

        body, headers = self._sign(message)
        if isinstance(self._receiver, str):
            try:
                return client.post(self._receiver, content=body, headers=headers).status_code
            except (httpx.HTTPError, httpx.InvalidURL):
                return None
        try:
            answer = self._receiver(body, headers)
            if inspect.isawaitable(answer):
                answer = asyncio.run(_awaited(answer))
        except BaseException:  # noqa: BLE001  # to a sender, an application that fails is one that does not answer
            return None
        status = answer[0] if isinstance(answer, tuple) else answer
        return status if isinstance(status, int) else None


async def _awaited(answer: Awaitable[_Status]) -> _Status:
    return await answer


def _name(receiver: Receiver) -> str:
    return str(getattr(receiver, "__qualname__", type(receiver).__qualname__))
