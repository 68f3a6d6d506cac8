"""A budget that refills by itself: how many questions a second strangers may provoke, and who is a stranger."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from cachetools import LRUCache

from .._base.fork import ForkAware

__all__ = ["Acquainted", "Budget"]

_MAX_KNOWN: Final = 65_536


class Budget(ForkAware):
    """A token bucket: it holds what is spent in a second, and refills evenly.

    Args:
        rate: how much may be spent a second, and at once.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._rate = rate
        self._left = rate
        self._counted_at: float | None = None

    def spend(self, now: float) -> float:
        """Spend one, and return 0; or where nothing is left, the seconds until there is.

        Args:
            now: epoch seconds. A clock that was set back refills nothing.
        """
        with self._lock:
            if self._counted_at is not None:
                self._left = min(self._rate, self._left + max(0.0, now - self._counted_at) * self._rate)
            self._counted_at = now
            if self._left < 1:
                return (1 - self._left) / self._rate
            self._left -= 1
            return 0.0


class Acquainted(ForkAware):
    """Names of those for whom Hexclave once said yes: an API key, or a user in a team. Bounded; the oldest go first."""

    def __init__(self) -> None:
        super().__init__()
        self._names: LRUCache[Hashable, None] = LRUCache(_MAX_KNOWN)

    def add(self, name: Hashable) -> None:
        """Remember a name."""
        with self._lock:
            self._names[name] = None

    def __contains__(self, name: Hashable) -> bool:
        with self._lock:
            return name in self._names
