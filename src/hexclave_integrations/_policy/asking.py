"""How a question is put: remembered here and in the fleet, asked once for a crowd; a failure is never a "yes"."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from .. import _reasons as reasons
from .._memory.caches import AnswerCache
from .._memory.fleet import FleetMemory
from .._wire import api
from .._wire.messages import Reply, Request, TransportError, UnusableReply
from ..api_key import HexclaveApiKey
from ..errors import ServerKeyRefused, Unavailable
from .effects import Fetch, Flow, Once, UseFleet
from .state import Core

__all__ = ["FAILURE_TTL", "FLEET_TTL", "Memory", "answer_once", "ask"]

T = TypeVar("T")

# How long a failed question is not asked again: long enough that a crowd fails together, too short to notice.
FAILURE_TTL: Final = 1.0
# How long a process of a fleet believes its own memory before it looks into Redis again, seconds.
FLEET_TTL: Final = 0.5


@dataclass(frozen=True, slots=True)
class Memory:
    """Where and how long the answer to a question is remembered.

    Attributes:
        key: names the question.
        tags: name the users and teams that it is about.
        ttl: seconds for an answer; 0 for None means to remember nothing.
        tags_of_answer: names what else a reply is about, where the reply itself tells.
        cache: what an observer knows the memory by.
    """

    key: str
    tags: tuple[str, ...]
    ttl: Callable[[Any], float]
    tags_of_answer: Callable[[Any], tuple[str, ...]] = lambda _: ()
    cache: str = "permissions"


@dataclass(frozen=True, slots=True)
class _Answer(Generic[T]):
    """A remembered answer; wrapped, since False and an empty set are answers too."""

    value: T


def answer_once(
    core: Core,
    cache: AnswerCache,
    memory: Memory,
    ask: Callable[[], Flow[T]],
    tags_of: Callable[[T], tuple[str, ...]] | None = None,
) -> Flow[T]:
    """Answer from this process's memory, or ask Hexclave once for all requests with the same question.

    Args:
        memory: what the answer is remembered under, and what tells that two questions are the same.
        ask: the question.
        tags_of: names the users and teams that an answer is about, where only the answer itself tells.

    Raises:
        Unavailable: no usable answer; the same question is then not asked again for a moment.
    """
    if memory.ttl(None) <= 0:
        return (yield from ask())

    def ask_and_remember() -> Flow[T]:
        known: _Answer[T] | None = _recall(cache, memory.key, core.clock())
        if known is not None:  # the same question was answered between the look and this one's turn
            return known.value
        sequence = cache.sequence
        try:
            fresh_answer = yield from ask()
        except Unavailable as failure:
            if failure.reason != reasons.TOO_MANY_QUESTIONS:  # which nobody was asked, and which has no end of names
                # Without its traceback, which holds the request and with it the API key.
                cache.put(memory.key, failure.repeated(), now=core.clock(), ttl=FAILURE_TTL)
            raise
        ttl = memory.ttl(fresh_answer)
        # A fleet hears of a webhook through Redis: what this process knows by itself is soon asked there again.
        local_ttl = ttl if core.fleet is None else min(ttl, FLEET_TTL)
        tags = memory.tags if tags_of is None else tags_of(fresh_answer)
        cache.put(memory.key, _Answer(fresh_answer), now=core.clock(), ttl=local_ttl, tags=tags, sequence=sequence)
        return fresh_answer

    has_waited = False
    while True:
        known: _Answer[T] | None = _recall(cache, memory.key, core.clock())
        if not has_waited:
            core.looked_up(memory.cache, "memory", known is not None)
        if known is not None:
            return known.value
        asked, answer = yield Once(memory.key, ask_and_remember)
        if asked:
            fresh_answer: T = answer
            return fresh_answer
        has_waited = True


def _recall(cache: AnswerCache, key: Hashable, now: float) -> Any:
    """The `_Answer` remembered under `key`, or None.

    Raises:
        Unavailable: the question failed a moment ago.
    """
    known = cache.get(key, now)
    if isinstance(known, Unavailable):
        raise known.repeated()
    return known


def ask(
    core: Core,
    request: Request,
    read: Callable[[Reply], T],
    memory: Memory | None = None,
    *,
    stranger: Hashable | None = None,
) -> Flow[T]:
    """Make one request and read the reply, or read the one that the fleet remembers.

    Args:
        memory: where the fleet may remember it; None for a question that is always put to Hexclave.
        stranger: names who may be one; as long as Hexclave has not vouched for them, the question is one of
            `max_questions`. None for a question that nobody can invent.

    Raises:
        Unavailable: no reply, none that `read` can use, Hexclave asked for silence, or strangers ask too much.
    """
    sequence: str | None = None
    if core.fleet is not None and memory is not None and memory.ttl(None) > 0:
        known, sequence = yield from _recall_from_fleet(core.fleet, read, memory)
        core.looked_up(memory.cache, "redis", known is not None)
        if known is not None:
            _note_acquaintance(core, stranger, known.value)
            return known.value
    kind = "API keys" if request.what == "an API key" else "users"
    pause = core.paused_until.get(kind, 0.0) - core.clock()
    if 0 < pause <= api.MAX_RETRY_AFTER + 1:  # a longer one: the clock was set back
        raise Unavailable(retry_after=pause, reason=reasons.RATE_LIMITED)
    if stranger is not None and stranger not in core.acquainted:
        pause = core.budget.spend(core.clock())
        if pause > 0:
            core.log.warning("Callers who may be strangers ask more than max_questions: they are answered 503")
            raise Unavailable(retry_after=pause, reason=reasons.TOO_MANY_QUESTIONS)
    try:
        reply = yield Fetch(request)
    except TransportError as error:
        core.log.warning("Hexclave could not be asked about %s: %s", request.what, error)
        raise Unavailable(reason=error.reason) from None
    if reply.real_status == 429:
        pause = api.retry_after(reply, core.clock())
        core.paused_until[kind] = core.clock() + pause
        raise Unavailable(retry_after=pause, reason=reasons.RATE_LIMITED)
    try:
        answer = read(reply)
    except UnusableReply as error:
        core.log.warning("Hexclave gave no usable answer about %s: %s", request.what, error)
        raise Unavailable(reason=error.reason) from None
    except ServerKeyRefused:
        core.log.error("Hexclave refused secret_server_key, asked about %s", request.what)
        raise
    _note_acquaintance(core, stranger, answer)
    if core.fleet is not None and memory is not None and sequence is not None and memory.ttl(answer) > 0:
        yield UseFleet(core.fleet, "remember", (memory.key, reply, sequence, memory.ttl(answer)))
    return answer


def _note_acquaintance(core: Core, stranger: Hashable | None, answer: object) -> None:
    """Remember for whom Hexclave has vouched: a valid API key, a member of a team, who holds permissions there."""
    vouched = isinstance(answer, HexclaveApiKey) or (isinstance(answer, bool | frozenset) and bool(answer))
    if stranger is not None and vouched:
        core.acquainted.add(stranger)


def _recall_from_fleet(
    fleet: FleetMemory, read: Callable[[Reply], T], memory: Memory
) -> Flow[tuple[_Answer[T] | None, str | None]]:
    """The answer that the fleet remembers, if any, and the sequence to remember a new one under."""
    tags, sequence = memory.tags, None
    for _ in range(2):
        recalled = yield UseFleet(fleet, "recall", (memory.key, tags))
        sequence = recalled.sequence
        if recalled.reply is None:
            break
        try:
            answer = read(recalled.reply)
        except (UnusableReply, Unavailable):  # what cannot be read is as good as nothing
            break
        told = memory.tags_of_answer(answer)
        if set(told) <= set(tags):
            return _Answer(answer), sequence
        tags = (*memory.tags, *told)  # was that forgotten since? Only Redis can tell
    return None, sequence
