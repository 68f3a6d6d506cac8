"""Hexclave's answers in Redis: one question for a whole fleet, and forgotten by all of it at once.

An answer is kept as Hexclave gave it, under tags that name the users and teams it is about. Forgetting a tag gives it
the next number of a sequence, and an answer counts only if its question was asked after each of its tags was last
forgotten. So an answer that was under way while a permission was revoked cannot come back to life.

Redis being away costs speed: nothing is found then, and Hexclave is asked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from .._base import strict
from .._base.log import SparingLog
from .._wire.messages import Reply, logger
from ..config import HexclaveConfig
from .redis import RedisScripts, RedisUnavailable
from .redis_fitness import INFO, Fitness, read_info

__all__ = ["FleetMemory", "Recalled"]

# A forgotten tag is known for longer than any answer lives (permission_ttl and api_key_ttl are at most an hour).
_TAG_SECONDS: Final = 2 * 3600
# A memory that is slower than asking Hexclave is of no use; while it is away, it is not tried at every request.
_TIMEOUT: Final = 0.5
_AWAY_SECONDS: Final = 1.0

# A sequence that is lost with Redis's memory goes on from the clock, above any number it gave before.
_SEQUENCE: Final = """
local function sequence()
  local number = redis.call('GET', KEYS[1])
  if not number then
    number = redis.call('TIME')[1] .. '000000'
    redis.call('SET', KEYS[1], number)
  end
  return number
end
"""
_CLOCK: Final = """
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
"""
# KEYS: sequence, answer, tags...; returns where we are now (sequence and time), and the answer if no tag was forgotten
# since its question was asked.
_RECALL: Final = (
    _SEQUENCE
    + _CLOCK
    + """
local now, entry = sequence() .. '@' .. string.format('%.0f', clock()), redis.call('GET', KEYS[2])
if not entry then return {now, false} end
local asked, value = string.match(entry, '^(%d+)|(.*)$')
if not asked then return {now, false} end
for index = 3, #KEYS do
  local forgotten = redis.call('GET', KEYS[index])
  if forgotten and tonumber(forgotten) > tonumber(asked) then return {now, false} end
end
return {now, value}
"""
)
# KEYS: answer; ARGV: where we were when its question was asked, value, milliseconds, which count from then: a server
# that hung runs what was sent to it meanwhile when it wakes, and an old answer must not begin a new life.
_REMEMBER: Final = (
    _CLOCK
    + """
local sequence, asked = string.match(ARGV[1], '^(%d+)@(%d+)$')
if not asked then return 0 end
local left = math.min(ARGV[3], asked + ARGV[3] - clock())
if left >= 1 then redis.call('SET', KEYS[1], sequence .. '|' .. ARGV[2], 'PX', string.format('%.0f', left)) end
return 1
"""
)
# KEYS: sequence, tags...; ARGV: seconds.
_FORGET: Final = (
    _SEQUENCE
    + """
sequence()
local number = redis.call('INCR', KEYS[1])
for index = 2, #KEYS do redis.call('SET', KEYS[index], number, 'EX', ARGV[1]) end
return number
"""
)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What Redis knew: the reply, if any, and where it was then (number and time), to remember a new one under.

    Without a `sequence` nothing may be remembered.
    """

    reply: Reply | None
    sequence: str | None


_NOTHING: Final = Recalled(None, None)


class FleetMemory:
    """Answers of one project of one Hexclave in one Redis server.

    Args:
        scripts: the server.
        api_url, project_id: keep apart what shares a server. Staging that was made from production has its project
            ids, and every self-hosted Hexclave has a project called `internal`.
    """

    def __init__(self, scripts: RedisScripts, api_url: str, project_id: str) -> None:
        self.scripts = scripts
        self._prefix = f"hexclave:{quote(api_url, safe='')}:{project_id}:"
        self._log = SparingLog(logger)
        self._away_until = 0.0

    @classmethod
    def connect(cls, config: HexclaveConfig) -> FleetMemory:
        """The answers of a configuration's project at its `redis_url`.

        Raises:
            ConfigurationError: `redis_url` is no Redis URL, or the package is missing.
        """
        scripts = RedisScripts(config.redis_url, min(config.http_timeout, _TIMEOUT))
        return cls(scripts, config.api_url, config.project_id)

    def recall(self, key: str, tags: Sequence[str]) -> Recalled:
        """What is remembered under `key`; nothing while Redis is away."""
        if self.is_away():
            return _NOTHING
        try:
            return _read(self.scripts.run(_RECALL, self.keys("sequence", f"answer:{key}", *_tags(tags)), []))
        except RedisUnavailable as error:
            return self.went_away(error)

    async def arecall(self, key: str, tags: Sequence[str]) -> Recalled:
        """As `recall`."""
        if self.is_away():
            return _NOTHING
        try:
            keys = self.keys("sequence", f"answer:{key}", *_tags(tags))
            return _read(await self.scripts.arun(_RECALL, keys, []))
        except RedisUnavailable as error:
            return self.went_away(error)

    def remember(self, key: str, reply: Reply, sequence: str, ttl: float) -> None:
        """Remember for `ttl` seconds the reply to a question asked at `sequence`; without Redis, do not."""
        try:
            self.scripts.run(_REMEMBER, self.keys(f"answer:{key}"), _written(reply, sequence, ttl))
        except RedisUnavailable as error:
            self.went_away(error)

    async def aremember(self, key: str, reply: Reply, sequence: str, ttl: float) -> None:
        """As `remember`."""
        try:
            await self.scripts.arun(_REMEMBER, self.keys(f"answer:{key}"), _written(reply, sequence, ttl))
        except RedisUnavailable as error:
            self.went_away(error)

    def forget(self, tags: Sequence[str]) -> None:
        """Forget every answer under any of the tags, in every process.

        Raises:
            RedisUnavailable: Redis cannot be told now.
        """
        self.scripts.run(_FORGET, self.keys("sequence", *_tags(tags)), [str(_TAG_SECONDS)])

    async def aforget(self, tags: Sequence[str]) -> None:
        """As `forget`."""
        await self.scripts.arun(_FORGET, self.keys("sequence", *_tags(tags)), [str(_TAG_SECONDS)])

    def inspect(self) -> Fitness | None:
        """What is to be known of the server; None where it does not tell, because it is away or its ACL forbids it."""
        try:
            return None if self.scripts.needs_loop else read_info(self.scripts.run(INFO, [], []))
        except RedisUnavailable:
            return None

    async def ainspect(self) -> Fitness | None:
        """As `inspect`."""
        try:
            return read_info(await self.scripts.arun(INFO, [], []))
        except RedisUnavailable:
            return None

    def is_away(self) -> bool:
        """Whether Redis could not be asked a moment ago."""
        return time.monotonic() < self._away_until

    def went_away(self, error: RedisUnavailable) -> Recalled:
        """Note that Redis cannot be asked; returns that nothing is remembered."""
        self._log.warning("Redis cannot be asked for remembered answers: %s", error)
        self._away_until = time.monotonic() + _AWAY_SECONDS
        return _NOTHING

    def keys(self, *names: str) -> list[str]:
        """The names in Redis."""
        return [self._prefix + name for name in names]


def _tags(tags: Sequence[str]) -> list[str]:
    return [f"forgotten:{tag}" for tag in tags]


def _read(result: Any) -> Recalled:
    if not isinstance(result, list) or len(result) != 2:
        return _NOTHING
    sequence, value = result
    if value is None:
        return Recalled(None, str(sequence))
    # Redis is trusted, and its entries are checked: what another program wrote there must not become an error.
    try:
        status, code, body = strict.json_object(str(value).encode(), max_brackets=None)["reply"]
        if type(status) is int and isinstance(code, str | None) and isinstance(body, str):
            headers = {} if code is None else {"x-stack-known-error": code}
            return Recalled(Reply(status, headers, body.encode()), str(sequence))
    except (ValueError, TypeError, KeyError):
        pass
    return Recalled(None, str(sequence))


def _written(reply: Reply, sequence: str, ttl: float) -> list[str]:
    kept = [reply.real_status, reply.known_error, reply.body.decode()]
    value = json.dumps({"reply": kept}, separators=(",", ":"))
    return [sequence, value, str(max(1, int(ttl * 1000)))]
