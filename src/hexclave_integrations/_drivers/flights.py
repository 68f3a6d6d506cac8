"""Which flows are under way, so that each runs once at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING

from .._base.fork import ForkAware

if TYPE_CHECKING:
    import asyncio

__all__ = ["Flights"]


class Flights(ForkAware):
    """The flows under way by their keys, each with a future to wait for its end on."""

    def reset_after_fork(self) -> None:
        super().reset_after_fork()
        self._under_way: dict[Hashable, tuple[Future[None], asyncio.AbstractEventLoop | None]] = {}

    def join(self, key: Hashable, loop: asyncio.AbstractEventLoop | None = None) -> tuple[bool, Future[None]]:
        """Begin the flow of `key` (True), or get the future of the one that is under way (False).

        Args:
            loop: where the flow would run. One whose loop was closed under it is over.
        """
        with self._lock:
            known, its_loop = self._under_way.get(key, (None, None))
            if known is not None and not (its_loop is not None and its_loop.is_closed()):
                return False, known
            future: Future[None] = Future()
            future.set_running_or_notify_cancel()  # from here on no waiter can cancel it for the others
            self._under_way[key] = future, loop
        if known is not None:
            _wake(known)
        return True, future

    def land(self, key: Hashable, future: Future[None]) -> None:
        """The flow has ended, or was given up: wake its waiters."""
        with self._lock:
            if self._under_way.get(key, (None, None))[0] is future:
                del self._under_way[key]
        _wake(future)


def _wake(future: Future[None]) -> None:
    with contextlib.suppress(InvalidStateError):  # a waiter that gave it up, or its own flow, was first
        future.set_result(None)
