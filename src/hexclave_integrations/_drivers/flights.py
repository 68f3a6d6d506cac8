"""Which flows are under way, so that each runs once at a time."""

from __future__ import annotations

from collections.abc import Hashable
from concurrent.futures import Future

from .._base.fork import ForkAware

__all__ = ["Flights"]


class Flights(ForkAware):
    """The flows under way by their keys, each with a future to wait for its end on."""

    def reset_after_fork(self) -> None:
        super().reset_after_fork()
        self._under_way: dict[Hashable, Future[None]] = {}

    def join(self, key: Hashable) -> tuple[bool, Future[None]]:
        """Begin the flow of `key` (True), or get the future of the one that is under way (False)."""
        with self._lock:
            future = self._under_way.get(key)
            if future is not None:
                return False, future
            future = self._under_way[key] = Future()
            future.set_running_or_notify_cancel()  # from here on no waiter can cancel it for the others
            return True, future

    def land(self, key: Hashable, future: Future[None]) -> None:
        """The flow has ended, or was given up: wake its waiters."""
        with self._lock:
            if self._under_way.get(key) is future:
                del self._under_way[key]
        if not future.done():
            future.set_result(None)
