"""The key set in Redis: one process of a fleet fetches it, the others take it from there.

Whoever is about to fetch claims that for a short time. The others look again for a moment, and then fetch for
themselves: Redis, or a process that died with the claim, costs a little time and never the keys. What is kept is sealed
by `KeptKeys`; nothing in here trusts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from .fleet import FleetMemory
from .redis import RedisUnavailable

__all__ = ["Claimed", "SharedKeys"]

_RECALL: Final = "return redis.call('GET', KEYS[1])"
# KEYS: set, claim; ARGV: holder, milliseconds.
_CLAIM: Final = """
local claimed = redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
return {claimed and 1 or 0, redis.call('GET', KEYS[1])}
"""
# KEYS: set, claim; ARGV: holder, set or nothing, milliseconds.
_END: Final = """
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """Whether it is this process's turn to fetch, and what is kept, if anything."""

    is_ours: bool
    text: str | None


_ALONE: Final = Claimed(is_ours=True, text=None)
"""Without Redis everybody fetches for themselves."""


class SharedKeys:
    """A text for the fleet, and whose turn it is to renew it.

    Args:
        fleet: gives the server, and the names that keep projects apart.
        name: tells apart what was sealed with different server keys.
        lease: how long a claim lasts, seconds.
    """

    def __init__(self, fleet: FleetMemory, name: str, lease: float) -> None:
        self._fleet = fleet
        self._keys = fleet.keys(f"keys:{name}", f"keys:{name}:claim")
        self._lease = str(max(1, int(lease * 1000)))

    def recall(self) -> str | None:
        """What is kept; nothing while Redis is away."""
        return _text(self._run(_RECALL, self._keys[:1], []))

    async def arecall(self) -> str | None:
        """As `recall`."""
        return _text(await self._arun(_RECALL, self._keys[:1], []))

    def claim(self, holder: str) -> Claimed:
        """Claim the next fetch, and look what is kept."""
        return _claimed(self._run(_CLAIM, self._keys, [holder, self._lease]))

    async def aclaim(self, holder: str) -> Claimed:
        """As `claim`."""
        return _claimed(await self._arun(_CLAIM, self._keys, [holder, self._lease]))

    def end(self, holder: str, text: str | None, ttl: float) -> None:
        """Give a claim back, and keep what was fetched, if anything, for `ttl` seconds."""
        self._run(_END, self._keys, _ending(holder, text, ttl))

    async def aend(self, holder: str, text: str | None, ttl: float) -> None:
        """As `end`."""
        await self._arun(_END, self._keys, _ending(holder, text, ttl))

    def _run(self, script: str, keys: list[str], arguments: list[str]) -> Any:
        # A client for asyncio cannot be used by a refresh in the background, which has no loop. Redis is not away then.
        if self._fleet.is_away() or self._fleet.scripts.needs_loop:
            return None
        try:
            return self._fleet.scripts.run(script, keys, arguments)
        except RedisUnavailable as error:
            self._fleet.went_away(error)
            return None

    async def _arun(self, script: str, keys: list[str], arguments: list[str]) -> Any:
        if self._fleet.is_away():
            return None
        try:
            return await self._fleet.scripts.arun(script, keys, arguments)
        except RedisUnavailable as error:
            self._fleet.went_away(error)
            return None


def _text(result: Any) -> str | None:
    return result if isinstance(result, str) else None


def _claimed(result: Any) -> Claimed:
    if not isinstance(result, list) or len(result) != 2:
        return _ALONE
    return Claimed(is_ours=result[0] == 1, text=_text(result[1]))


def _ending(holder: str, text: str | None, ttl: float) -> list[str]:
    return [holder, text or "", str(max(1, int(ttl * 1000)))]
