"""Which answers are right: a pure function of what went wrong when, and of who asked what when.

It knows the settings and the documented promises, and nothing of how the kit keeps them. Times are epoch seconds.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from hexclave_integrations import HexclaveConfig

from ._phases import Phase

__all__ = [
    "Asks",
    "Bounds",
    "Caller",
    "Fate",
    "History",
    "Outcome",
    "Stage",
    "Ticket",
    "allowed",
    "patience",
    "verdict",
]

# What the kit adds to the settings. They stand here once more on purpose: who changes them there changes a promise.
FAILURE_MEMORY: Final = 1.0  # a question that failed is not asked again so soon
FLEET_MEMORY: Final = 0.5  # what a process of a fleet believes without looking into Redis
REDIS_PATIENCE: Final = 0.5  # longest wait for Redis, each time
SHORTEST_PAUSE: Final = 1.0  # after a 429, with `Retry-After: 1` or none
HEARD: Final = 1.0  # "by every process within a second" of an accepted webhook


class Asks(enum.Enum):
    """What has to be asked of Hexclave for an answer, besides keys."""

    NOTHING = enum.auto()
    PERMISSION = enum.auto()
    API_KEY = enum.auto()
    LIVE = enum.auto()


class Caller(enum.Enum):
    """A kind of caller: its name, its answer while nothing is wrong, what is asked, and the key its token names."""

    KNOWN = ("known user", 200)
    NEW = ("first token of a session", 200)
    RESTRICTED = ("restricted user", 403)
    ANONYMOUS = ("anonymous user", 401)
    EXPIRING = ("token that expires meanwhile", 200)
    EXPIRED = ("expired token", 401)
    RETIRED = ("token of a replaced key", 200)
    FORGED = ("forged, known key id", 401)
    STRANGER = ("forged, unknown key id", 401, Asks.NOTHING, "unknown")
    OTHER = ("another project's token", 401, Asks.NOTHING, None)
    GARBAGE = ("garbage", 401, Asks.NOTHING, None)
    HOLDER = ("permission holder", 200, Asks.PERMISSION)
    PRIMED = ("holder, just remembered", 200, Asks.PERMISSION)
    COLD = ("holder, never asked about", 200, Asks.PERMISSION)
    NON_HOLDER = ("not a holder", 403, Asks.PERMISSION)
    REVOKED = ("permission revoked, webhook", 200, Asks.PERMISSION)
    REVOKED_UNHEARD = ("permission revoked, no webhook", 200, Asks.PERMISSION)
    LIVE = ("live user", 200, Asks.LIVE)
    SIGNED_OUT = ("signed out, live", 401, Asks.LIVE)
    API_KEY = ("API key", 200, Asks.API_KEY, None)
    INVENTED_KEY = ("API key, invented", 401, Asks.API_KEY, None)
    REVOKED_KEY = ("API key, revoked", 200, Asks.API_KEY, None)

    def __init__(self, title: str, answer: int, asks: Asks = Asks.NOTHING, key: str | None = "genuine") -> None:
        self.title = title
        self.answer = answer
        self.asks = asks
        self.key = key


@dataclass(slots=True)
class Fate:
    """What becomes of a grant or an API key: when it is revoked, and when a webhook of that was accepted."""

    revoked: float = math.inf
    heard: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A request to make, and what the oracle has to know of it.

    Attributes:
        epoch: which rotation the keys of its token came with; 0 for the first keys.
        expires: when its token does.
        remembered: since when every process of the fleet knows the answer.
    """

    caller: Caller
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    epoch: int = 0
    expires: float = math.inf
    remembered: float = -math.inf
    fate: Fate = field(default_factory=Fate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a request; `status` is None where no answer came."""

    ticket: Ticket = field(repr=False)
    server: str
    begin: float
    end: float
    status: int | None


@dataclass(slots=True)
class Stage:
    """A phase as it was played: from before its trouble began until after it was over."""

    phase: Phase
    begin: float
    end: float = math.inf


@dataclass(slots=True)
class History:
    """What happened: the stages in their order, and a moment just before each rotation of keys."""

    stages: list[Stage] = field(default_factory=list)
    rotations: list[float] = field(default_factory=list)

    def between(self, begin: float, end: float) -> Iterator[Stage]:
        """The stages of trouble that touch this time."""
        return (s for s in self.stages if s.phase.is_trouble and s.begin <= end and begin <= s.end)

    def replaced(self, epoch: int) -> float:
        """When the keys of an epoch were replaced."""
        return self.rotations[epoch] if epoch < len(self.rotations) else math.inf


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long the effects of something may last, from the settings; seconds.

    Args:
        slack: what a busy machine may take for itself.
    """

    config: HexclaveConfig
    slack: float = 0.5

    @property
    def question(self) -> float:
        """Longest that one question takes: a look into Redis, Hexclave, and telling Redis."""
        return self.config.http_timeout + 2 * REDIS_PATIENCE

    @property
    def settle(self) -> float:
        """After the end of a trouble: an exchange that began in it fails, and is not repeated for a while."""
        quiet = max(self.config.jwks_cooldown, FAILURE_MEMORY, SHORTEST_PAUSE)
        return REDIS_PATIENCE + self.config.http_timeout + quiet + self.slack

    @property
    def key_change(self) -> float:
        """Until every process that can fetch keys has seen a rotation: the age at which it looks, and the look."""
        return self.config.jwks_max_age + self.config.http_timeout + self.slack


def allowed(bounds: Bounds, history: History, ticket: Ticket, begin: float, end: float) -> frozenset[int]:
    """The statuses that a request from `begin` to `end` may be answered with."""
    answers = _by_itself(bounds, history, ticket, begin, end)
    for stage in history.between(begin - bounds.settle, end):
        if ticket.caller.key is not None:
            answers |= _without_keys(bounds, history, ticket, stage, end)
        is_asked = ticket.caller.asks is not Asks.NOTHING and not _is_remembered(bounds, history, ticket, begin, end)
        if stage.phase.api_out and is_asked:
            answers |= {503}
        # Beyond `jwks_max_stale` nobody is let in, however well they are known.
        too_old = stage.begin + bounds.config.jwks_max_stale + bounds.slack
        if stage.phase.keys_out and ticket.caller.key is not None and too_old <= begin and end <= stage.end:
            answers = {503}
    return frozenset(answers)


def _by_itself(bounds: Bounds, history: History, ticket: Ticket, begin: float, end: float) -> set[int]:
    """What is right where everything that is asked is answered."""
    caller = ticket.caller
    answers: set[int] = set()
    last_moment = math.inf
    if caller.key == "genuine" and end >= (replaced := history.replaced(ticket.epoch)):
        answers |= {401}
        last_moment = _forgotten(bounds, history, replaced)
    over = ticket.expires + bounds.config.leeway
    if end >= over:
        answers |= {401}
        last_moment = min(last_moment, over)
    if end >= ticket.fate.revoked:
        answers |= {403 if caller.asks is Asks.PERMISSION else 401}
        last_moment = min(last_moment, _disbelieved(bounds, history, ticket))
    if begin < last_moment:
        answers |= {caller.answer}
    return answers


def _forgotten(bounds: Bounds, history: History, replaced: float) -> float:
    """When tokens of a replaced key are refused for certain: old keys serve on while new ones cannot be had."""
    moment = replaced + bounds.key_change
    for stage in history.stages:
        if stage.phase.keys_out and stage.begin <= moment and replaced <= stage.end + bounds.settle:
            moment = max(moment, stage.end + bounds.settle + bounds.key_change)
    return moment


def _disbelieved(bounds: Bounds, history: History, ticket: Ticket) -> float:
    """When what was revoked is refused for certain: heard of by webhook, or its remembered answer is over."""
    fate, is_permission = ticket.fate, ticket.caller.asks is Asks.PERMISSION
    ttl = bounds.config.permission_ttl if is_permission else bounds.config.api_key_ttl
    heard, lapsed = fate.heard + HEARD, fate.revoked + ttl + FLEET_MEMORY + bounds.slack
    # An answer may have been on its way at the revocation, or when the fleet's memory of it ended; an API key has
    # an owner who is asked about after it.
    late = bounds.question if is_permission else 2 * bounds.question
    if any(history.between(fate.heard - late, heard)):
        heard += late
    if any(history.between(fate.revoked - late, lapsed)):
        lapsed += 2 * late
    return min(heard, lapsed)


def _without_keys(bounds: Bounds, history: History, ticket: Ticket, stage: Stage, end: float) -> frozenset[int]:
    """What a trouble with the keys adds for somebody whose token names one."""
    if stage.phase.keys_foreign:
        # A key set that Hexclave's own address gives is believed: nothing tells it from a rotation. Whoever has a
        # genuine token is refused then; that nobody else gets in is what counts here.
        return frozenset({401})
    if not stage.phase.keys_out:
        return frozenset()
    if ticket.caller.key == "unknown" or _may_be_unknown(bounds, history, stage, end):
        return frozenset({503})  # never 401: what cannot be looked up is not known to be wrong
    oldest = stage.begin - bounds.key_change  # when the keys may have been fetched last
    return frozenset({503}) if end >= oldest + bounds.config.jwks_max_stale else frozenset()


def _may_be_unknown(bounds: Bounds, history: History, stage: Stage, end: float) -> bool:
    """Whether keys changed so shortly before, or during, a trouble that a process may not have seen them."""
    return any(stage.begin - bounds.key_change <= moment <= end for moment in history.rotations)


def _is_remembered(bounds: Bounds, history: History, ticket: Ticket, begin: float, end: float) -> bool:
    """Whether the fleet's memory alone has to give the answer."""
    if not ticket.remembered <= begin or end >= ticket.remembered + bounds.config.permission_ttl - bounds.slack:
        return False
    return all(stage.phase.redis == "runs" for stage in history.between(ticket.remembered, end))


def patience(bounds: Bounds, history: History, ticket: Ticket, begin: float, end: float) -> float:
    """The longest that a request may take, seconds.

    A known user never waits for keys: it takes them less than one wait for Hexclave. Whoever's key may be unknown may
    wait for another's fetch and then make one.
    """
    timeout = bounds.config.http_timeout
    questions = {Asks.NOTHING: 0.0, Asks.PERMISSION: bounds.question, Asks.API_KEY: 2 * bounds.question}
    waits = questions.get(ticket.caller.asks, 2 * timeout)  # a live check asks twice, and Redis never
    if ticket.caller.key == "unknown" or (ticket.caller.key and _may_wait_for_keys(bounds, history, begin, end)):
        waits += 2 * timeout
    return waits + bounds.slack if waits else timeout


def _may_wait_for_keys(bounds: Bounds, history: History, begin: float, end: float) -> bool:
    if any(begin - bounds.settle <= moment <= end for moment in history.rotations):
        return True
    too_old = begin - bounds.config.jwks_max_stale + bounds.key_change
    return any(
        stage.phase.keys_foreign
        or (stage.phase.keys_out and (stage.begin <= too_old or _may_be_unknown(bounds, history, stage, end)))
        for stage in history.between(begin - bounds.settle, end)
    )


def verdict(bounds: Bounds, history: History, outcome: Outcome) -> str | None:
    """What is wrong with an answer, or None."""
    ticket, status = outcome.ticket, outcome.status
    right = allowed(bounds, history, ticket, outcome.begin, outcome.end)
    if status is None or (status >= 500 and status != 503):
        return "error"
    if status not in right:
        if status < 400:
            return "wrongly allowed"
        if status == 503:
            return "needlessly unavailable"
        return "wrongly refused" if 200 in right or 503 in right else "wrong refusal"
    if outcome.end - outcome.begin > patience(bounds, history, ticket, outcome.begin, outcome.end):
        return "too slow"
    return None
