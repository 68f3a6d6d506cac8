"""The two memories: verified tokens, and answers of Hexclave. Bounded, and safe for threads and after a fork."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cachetools import LRUCache

from .._base.fork import ForkAware
from ..errors import TokenExpired
from ..user import HexclaveUser

__all__ = ["AnswerCache", "TokenCache", "VerifiedToken"]

MAX_ANSWERS: Final = 16_384


class VerifiedToken(NamedTuple):
    """A token that proved genuine.

    Attributes:
        user: whom it speaks for.
        over_from: when it is over, clock skew granted; epoch seconds.
        generation: of the key set that proved it.
    """

    user: HexclaveUser
    over_from: float
    generation: int

    def user_at(self, now: float) -> HexclaveUser:
        """The user, while the token lasts: the place where the end of a request's token is held against the clock.

        Args:
            now: epoch seconds.

        Raises:
            TokenExpired: it is over.
        """
        if now >= self.over_from:
            raise TokenExpired
        return self.user


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
        self.get: Callable[[bytes], VerifiedToken | None] = self._entries.get

    def put(self, digest: bytes, entry: VerifiedToken) -> None:
        """Remember a token, forgetting the oldest if there are too many."""
        with self._lock:
            self._entries[digest] = entry
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def forget_all(self) -> None:
        """Forget all tokens."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An answer: good from `since` until `until`, unless one of its tags was forgotten after `sequence`."""

    since: float
    until: float
    value: Any
    tags: tuple[str, ...]
    sequence: int


class AnswerCache(ForkAware):
    """Answers of Hexclave, each until its own time; the least recently used goes first.

    The tags of an answer name the users and teams that it is about. Forgetting a tag begins a new `sequence`. A
    question notes the sequence before it is asked, so its answer is known to be out of date when the tag is forgotten
    in between.
    """

    def __init__(self) -> None:
        super().__init__()
        self._entries: LRUCache[Hashable, _Entry] = LRUCache(MAX_ANSWERS)
        self._forgotten: dict[str, int] = {}
        self._oldest = 0
        self.sequence: int = 0

    def get(self, key: Hashable, now: float) -> Any:
        """The answer that is still good at `now` (epoch seconds), or None."""
        with self._lock:
            entry = self._entries.get(key)
            # `now` before `since` means that the clock was set back: the answer's age is unknown.
            if entry is None or not entry.since <= now < entry.until:
                return None
            if any(self._forgotten.get(tag, 0) > entry.sequence for tag in entry.tags):
                return None
            return entry.value

    def put(
        self,
        key: Hashable,
        value: Any,
        *,
        now: float,
        ttl: float,
        tags: tuple[str, ...] = (),
        sequence: int | None = None,
    ) -> None:
        """Remember `value`, which is not None.

        Args:
            now: epoch seconds.
            ttl: how long it is good for, seconds.
            tags: the users and teams that it is about.
            sequence: what `sequence` was when the question was asked; as now when None.
        """
        if ttl > 0:
            with self._lock:
                asked = self.sequence if sequence is None else sequence
                if asked < self._oldest:
                    return
                self._entries[key] = _Entry(now, now + ttl, value, tags, asked)

    def forget(self, tags: Iterable[str]) -> None:
        """Forget every answer under any of the tags, those still under way included."""
        with self._lock:
            self.sequence += 1
            self._forgotten.update(dict.fromkeys(tags, self.sequence))
            if len(self._forgotten) > MAX_ANSWERS:  # losing count of a tag must not bring an answer back
                self._forget_everything()

    def forget_all(self) -> None:
        """Forget every answer, those still under way included."""
        with self._lock:
            self.sequence += 1
            self._forget_everything()

    def _forget_everything(self) -> None:
        self._entries.clear()
        self._forgotten.clear()
        self._oldest = self.sequence  # an answer to an earlier question comes too late

    def __len__(self) -> int:
        return len(self._entries)
