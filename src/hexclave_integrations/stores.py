"""Where delivery claims live: `MemoryStore` for one process, `RedisStore` for all of them.

A store remembers, for each delivery, that somebody is working on it or that it is done. Every operation is atomic,
and a claim carries a token of its holder. A holder that took too long and lost the claim can no longer end it.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from cachetools import LRUCache

from ._base.fork import ForkAware
from ._memory.redis import RedisScripts, RedisUnavailable

__all__ = [
    "AsyncDeliveryStore",
    "Claim",
    "DeliveryStore",
    "MemoryStore",
    "RedisStore",
    "StoreUnavailable",
    "TransactionBroken",
]

_MAX_ENTRIES: Final = 100_000
_DONE: Final = "done:"


class StoreUnavailable(Exception):
    """The store cannot be asked now; the sender gets a 503 and comes back."""


class TransactionBroken(Exception):
    """`done` cannot be part of the store's transaction: a handler hid an error that had ended it; the answer is 500."""


class Claim(enum.Enum):
    """What came of an attempt to claim a delivery."""

    CLAIMED = "claimed"
    BUSY = "busy"
    DONE = "done"


class DeliveryStore(Protocol):
    """What a store has to do; times in seconds. Each operation may raise `StoreUnavailable`.

    A store may also have `transaction()`, which returns a context manager: the handlers and `done` then run inside of
    it, on one thread, and `done` raises `TransactionBroken` where a handler has left it unusable.

    A store may also have `forget(key)`, for `Webhooks.forget`: it forgets in one step that a delivery is done, and
    returns what it was: `Claim.DONE`, forgotten now; `Claim.BUSY`, left alone; or None, which is nothing at all.

    A store whose `is_local` is true is in the memory of one process; `Webhooks` warns where there seem to be several.

    An operation may come twice with one token, after an answer that was lost: the second time changes nothing.
    """

    def claim(self, key: str, token: str, ttl: float) -> Claim:
        """Claim a delivery for `ttl` seconds, unless it is done or somebody else's."""

    def done(self, key: str, token: str, ttl: float) -> bool:
        """Mark it done for `ttl` seconds, unless it is somebody else's by now: then False."""

    def release(self, key: str, token: str) -> None:
        """Give the claim up, if it is still ours."""


class AsyncDeliveryStore(Protocol):
    """The same for an event loop; a store may offer both."""

    async def aclaim(self, key: str, token: str, ttl: float) -> Claim: ...

    async def adone(self, key: str, token: str, ttl: float) -> bool: ...

    async def arelease(self, key: str, token: str) -> None: ...


class MemoryStore(ForkAware):
    """Claims in this process: for one process, and for tests. The least recently used are forgotten first.

    Args:
        clock: gives seconds.
    """

    is_local: Final = True

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._entries: LRUCache[str, tuple[float, str]] = LRUCache(_MAX_ENTRIES)

    def claim(self, key: str, token: str, ttl: float) -> Claim:
        """Claim a delivery for `ttl` seconds, unless it is done or somebody else's."""
        with self._lock:
            holder = self._holder(key)
            if holder.startswith(_DONE):
                return Claim.DONE
            if holder not in ("", token):
                return Claim.BUSY
            self._entries[key] = (self._clock() + ttl, token)
            return Claim.CLAIMED

    def done(self, key: str, token: str, ttl: float) -> bool:
        """Mark it done for `ttl` seconds, unless it is somebody else's by now: then False."""
        with self._lock:
            if self._holder(key) not in ("", token, _DONE + token):
                return False
            self._entries[key] = (self._clock() + ttl, _DONE + token)
            return True

    def release(self, key: str, token: str) -> None:
        """Give the claim up, if it is still ours."""
        with self._lock:
            if self._holder(key) == token:
                del self._entries[key]

    def forget(self, key: str) -> Claim | None:
        """Forget that a delivery is done, unless somebody is working on it; return what it was, None for nothing."""
        with self._lock:
            holder = self._holder(key)
            if holder.startswith(_DONE):
                del self._entries[key]
                return Claim.DONE
            return Claim.BUSY if holder else None

    def _holder(self, key: str) -> str:
        until, holder = self._entries.get(key, (0.0, ""))
        return holder if until > self._clock() else ""

    async def aclaim(self, key: str, token: str, ttl: float) -> Claim:
        """As `claim`."""
        return self.claim(key, token, ttl)

    async def adone(self, key: str, token: str, ttl: float) -> bool:
        """As `done`."""
        return self.done(key, token, ttl)

    async def arelease(self, key: str, token: str) -> None:
        """As `release`."""
        self.release(key, token)

    async def aforget(self, key: str) -> Claim | None:
        """As `forget`."""
        return self.forget(key)


# KEYS[1] the delivery, ARGV[1] token, ARGV[2] milliseconds. One script is one atomic step in Redis.
_CLAIM: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and string.sub(holder, 1, 5) == 'done:' then return 'done' end
if holder and holder ~= ARGV[1] then return 'busy' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'claimed'
"""
_MARK_DONE: Final = """
local holder, mark = redis.call('GET', KEYS[1]), 'done:' .. ARGV[1]
if holder and holder ~= ARGV[1] and holder ~= mark then return 0 end
redis.call('SET', KEYS[1], mark, 'PX', ARGV[2])
return 1
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
_FORGET: Final = """
local holder = redis.call('GET', KEYS[1])
if not holder then return false end
if string.sub(holder, 1, 5) ~= 'done:' then return 'busy' end
redis.call('DEL', KEYS[1])
return 'done'
"""


class RedisStore:
    """Claims in Redis, shared by every process that uses the same URL and prefix; for sync and asyncio.

    Args:
        url: `redis://` or `rediss://`, with the password if there is one. Or a client of the package redis, such as
            `Sentinel(...).master_for(...)` makes: a `redis.Redis`, or in an application for asyncio alone a
            `redis.asyncio.Redis`. It keeps its own time-outs, and is closed by whoever made it.
        prefix: what the keys begin with.
        timeout: longest wait for Redis, seconds, where `url` is one.

    Raises:
        ConfigurationError: the package `redis` is missing, or the URL is none.
    """

    def __init__(self, url: Any, *, prefix: str = "hexclave:", timeout: float = 2) -> None:
        self._scripts = RedisScripts(url, timeout)
        self._prefix = prefix

    def claim(self, key: str, token: str, ttl: float) -> Claim:
        """Claim a delivery for `ttl` seconds, unless it is done or somebody else's.

        Raises:
            StoreUnavailable: Redis cannot be asked now.
        """
        return Claim(self._run(_CLAIM, key, token, _milliseconds(ttl)))

    def done(self, key: str, token: str, ttl: float) -> bool:
        """Mark it done for `ttl` seconds, unless it is somebody else's by now: then False.

        Raises:
            StoreUnavailable: Redis cannot be asked now.
        """
        return bool(self._run(_MARK_DONE, key, token, _milliseconds(ttl)))

    def release(self, key: str, token: str) -> None:
        """Give the claim up, if it is still ours.

        Raises:
            StoreUnavailable: Redis cannot be asked now.
        """
        self._run(_RELEASE, key, token)

    def forget(self, key: str) -> Claim | None:
        """Forget that a delivery is done, unless somebody is working on it; return what it was, None for nothing.

        Raises:
            StoreUnavailable: Redis cannot be asked now.
        """
        found = self._run(_FORGET, key)
        return None if found is None else Claim(found)

    async def aclaim(self, key: str, token: str, ttl: float) -> Claim:
        """As `claim`."""
        return Claim(await self._arun(_CLAIM, key, token, _milliseconds(ttl)))

    async def adone(self, key: str, token: str, ttl: float) -> bool:
        """As `done`."""
        return bool(await self._arun(_MARK_DONE, key, token, _milliseconds(ttl)))

    async def arelease(self, key: str, token: str) -> None:
        """As `release`."""
        await self._arun(_RELEASE, key, token)

    async def aforget(self, key: str) -> Claim | None:
        """As `forget`."""
        found = await self._arun(_FORGET, key)
        return None if found is None else Claim(found)

    def close(self) -> None:
        """Close connections; a later call opens new ones."""
        self._scripts.close()

    def _run(self, script: str, key: str, *arguments: str) -> Any:
        try:
            return self._scripts.run(script, [self._prefix + key], list(arguments))
        except RedisUnavailable as error:
            raise StoreUnavailable(f"Redis: {error}") from None

    async def _arun(self, script: str, key: str, *arguments: str) -> Any:
        try:
            return await self._scripts.arun(script, [self._prefix + key], list(arguments))
        except RedisUnavailable as error:
            raise StoreUnavailable(f"Redis: {error}") from None


def _milliseconds(seconds: float) -> str:
    return str(max(1, int(seconds * 1000)))
