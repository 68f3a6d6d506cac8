"""The two memories: verified tokens, and answers of Hexclave. Bounded, and safe for threads and after a fork."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

from cachetools import LRUCache

from ._fork import ForkAware
from .user import HexclaveUser

__all__ = ["AnswerCache", "TokenCache", "VerifiedToken"]

MAX_ANSWERS: Final = 16_384


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that proved genuine: its user, its end in epoch seconds, and the key generation that proved it."""

    user: HexclaveUser
    expires: int
    generation: int


class TokenCache(ForkAware):
    """Verified tokens by digest. Only genuine tokens get in, and the oldest goes first: tokens end in that order.

    Args:
        size: most entries to keep; 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._entries: OrderedDict[bytes, VerifiedToken] = OrderedDict()
        # Reading takes no lock: one dict look-up is atomic, and first-in first-out needs no reordering.
        self.get = self._entries.get

    def reset_after_fork(self) -> None:
        self._lock = threading.Lock()

    def put(self, digest: bytes, entry: VerifiedToken) -> None:
        """Remember a token, forgetting the oldest if there are too many."""
        with self._lock:
            self._entries[digest] = entry
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def discard(self, digest: bytes) -> None:
        """Forget one token."""
        with self._lock:
            self._entries.pop(digest, None)

    def clear(self) -> None:
        """Forget all tokens."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


class AnswerCache(ForkAware):
    """Answers of Hexclave, each until its own time; the least recently used goes first."""

    def __init__(self) -> None:
        super().__init__()
        self._entries: LRUCache[Hashable, tuple[float, float, Any]] = LRUCache(MAX_ANSWERS)

    def reset_after_fork(self) -> None:
        self._lock = threading.Lock()

    def get(self, key: Hashable, now: float) -> Any:
        """The answer that is still good at `now` (epoch seconds), or None."""
        with self._lock:
            since, until, value = self._entries.get(key, (0.0, 0.0, None))
        # `now` before `since` means that the clock was set back: the answer's age is unknown.
        return value if since <= now < until else None

    def put(self, key: Hashable, value: Any, *, now: float, ttl: float) -> None:
        """Remember `value`, which is not None, for `ttl` seconds from `now` (epoch seconds)."""
        if ttl > 0:
            with self._lock:
                self._entries[key] = (now, now + ttl, value)

    def __len__(self) -> int:
        return len(self._entries)
