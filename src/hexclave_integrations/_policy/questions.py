"""Questions to Hexclave's API, as flows: remembered, asked once for a crowd, never answered "yes" by a failure."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeAlias, TypeVar

from .. import _reasons as reasons
from .._base import strict
from .._memory.caches import AnswerCache
from .._memory.fleet import FleetMemory
from .._wire import api
from .._wire.messages import Reply, Request, TransportError, UnusableReply
from ..api_key import HexclaveApiKey, ParsedApiKey, parse_api_key, why_no_api_key
from ..errors import ApiKeyExpired, ApiKeyNotFound, AuthenticationError, ServerKeyRefused, Unavailable
from ..user import HexclaveUser
from .effects import Fetch, Flow, Once, UseFleet
from .state import Core, digest

__all__ = [
    "api_key",
    "api_key_tag",
    "is_team_member",
    "project_permissions",
    "session_ids",
    "team_permissions",
    "user_by_id",
    "user_of_token",
]

T = TypeVar("T")

# How long a failed question is not asked again: long enough that a crowd fails together, too short to notice.
FAILURE_TTL: Final = 1.0
# An API key may be made a moment after it was first asked about, so "unknown" is not believed for long.
UNKNOWN_KEY_TTL: Final = 10.0
# How long a process of a fleet believes its own memory before it looks into Redis again, seconds.
FLEET_TTL: Final = 0.5


def team_permissions(
    core: Core, user_id: str, team_id: str, *, fresh: bool = False, is_theirs: bool = False
) -> Flow[frozenset[str]]:
    """The ids of all permissions a user holds in a team, nested ones included (contract 4.3).

    Args:
        fresh: ask Hexclave, whatever is remembered.
        is_theirs: Hexclave has said that it is a team of theirs, so the question is no stranger's.

    Raises:
        Unavailable: it cannot be told now.
    """
    user_id, team_id = user_id.lower(), team_id.lower()
    if not strict.is_uuid(user_id) or not strict.is_uuid(team_id):
        return frozenset()
    what = "team permissions"
    query = {"team_id": team_id, "user_id": user_id, "recursive": "true"}
    request = partial(api.server_request, core.config, what, "/team-permissions", **query)
    read = partial(api.read_ids, team_id=team_id, user_id=user_id)
    memory = _permissions_memory(core, f"permissions:{team_id}:{user_id}", *_member_tags(team_id, user_id))
    stranger = None if is_theirs else ("team", team_id, user_id)
    return (yield from _remembered(core, memory, request, read, fresh=fresh, stranger=stranger))


def project_permissions(core: Core, user_id: str, *, fresh: bool = False) -> Flow[frozenset[str]]:
    """The ids of all project permissions a user holds, nested ones included (contract 4.3).

    Args:
        fresh: ask Hexclave, whatever is remembered.

    Raises:
        Unavailable: it cannot be told now.
    """
    user_id = user_id.lower()
    if not strict.is_uuid(user_id):
        return frozenset()
    what = "project permissions"
    request = partial(api.server_request, core.config, what, "/project-permissions", user_id=user_id, recursive="true")
    read = partial(api.read_ids, user_id=user_id)
    memory = _permissions_memory(core, f"permissions:{user_id}", f"project:{user_id}", f"user:{user_id}")
    return (yield from _remembered(core, memory, request, read, fresh=fresh))


def is_team_member(
    core: Core, user_id: str, team_id: str, *, fresh: bool = False, is_theirs: bool = False
) -> Flow[bool]:
    """Whether a user is a member of a team; an empty permission list would not tell (contract 9.7).

    Args:
        fresh: ask Hexclave, whatever is remembered.
        is_theirs: as for `team_permissions`.

    Raises:
        Unavailable: it cannot be told now.
    """
    user_id, team_id = user_id.lower(), team_id.lower()
    if not strict.is_uuid(user_id) or not strict.is_uuid(team_id):
        return False
    what = "a team membership"
    request = partial(api.server_request, core.config, what, api.member_path(team_id, user_id))
    read = partial(api.read_membership, team_id=team_id, user_id=user_id)
    memory = _permissions_memory(core, f"membership:{team_id}:{user_id}", *_member_tags(team_id, user_id))
    stranger = None if is_theirs else ("team", team_id, user_id)
    return (yield from _remembered(core, memory, request, read, fresh=fresh, stranger=stranger))


def user_by_id(core: Core, user_id: str, *, ttl: float = 0) -> Flow[HexclaveUser | None]:
    """The user with this id as Hexclave knows them now, or None.

    Args:
        ttl: how long a fleet may remember the answer, seconds.

    Raises:
        Unavailable: it cannot be told now.
    """
    if not strict.is_uuid(user_id):
        return None
    user_id = user_id.lower()
    request = api.server_request(core.config, "a user", api.user_path(user_id))
    memory = _Memory(f"user:{user_id}", (f"user:{user_id}",), lambda _: ttl, cache="api key")  # of whose owner it is

    def read(reply: Reply) -> HexclaveUser | None:
        user = api.read_user(reply, core.config)
        if user is not None and user.id != user_id:
            raise UnusableReply("another user")
        return user

    return (yield from _ask(core, request, read, memory))


def user_of_token(core: Core, token: str) -> Flow[HexclaveUser]:
    """The user behind an access token as Hexclave knows them now; verify the token first (contract 3.4).

    Raises:
        AuthenticationError: Hexclave refuses the token, or the user is gone.
        Unavailable: it cannot be told now.
    """
    request = api.current_user_request(core.config, token)
    return (yield from _ask(core, request, partial(api.read_current_user, config=core.config)))


def session_ids(core: Core, user_id: str) -> Flow[frozenset[str]]:
    """The ids of a user's sessions now; impersonation sessions are not listed for a server key (contract 4.8).

    Raises:
        Unavailable: it cannot be told now.
    """
    request = api.server_request(core.config, "sessions", "/auth/sessions", user_id=user_id)
    return (yield from _ask(core, request, partial(api.read_ids, user_id=user_id)))


def api_key(core: Core, text: str, *, fresh: bool = False) -> Flow[tuple[HexclaveApiKey, HexclaveUser | None]]:
    """What an API key is, and for a user's key its owner: Hexclave's own check does not look at them (contract 4.4).

    Args:
        fresh: ask Hexclave, whatever is remembered.

    Raises:
        AuthenticationError: the key is unknown, revoked, expired, or its owner is gone.
        Unavailable: it cannot be told now.
    """
    parsed = parse_api_key(text)
    if parsed is None:
        raise ApiKeyNotFound(reason=why_no_api_key(text))
    ttl = 0.0 if fresh else core.config.api_key_ttl
    memory = _Memory(
        f"api key:{digest(text).hex()}",
        (api_key_tag(parsed.id),),
        lambda answer: min(ttl, UNKNOWN_KEY_TTL) if isinstance(answer, ApiKeyNotFound) else ttl,
        _team_tags,
        cache="api key",
    )
    ask = partial(_check_api_key, core, parsed, text, memory, ttl)
    found: _Checked = yield from _answer_once(core, core.api_keys, memory, ask, partial(_key_tags, memory.tags))
    if isinstance(found, AuthenticationError):
        raise copy.copy(found)  # the remembered one must not get a traceback, which holds the request
    key = found[0]
    if key.has_ended(core.clock()):
        raise ApiKeyExpired
    return found


_Checked: TypeAlias = tuple[HexclaveApiKey, HexclaveUser | None] | AuthenticationError
"""A key and its owner, or the refusal: both are answers to remember."""


def _check_api_key(core: Core, parsed: ParsedApiKey, text: str, memory: _Memory, ttl: float) -> Flow[_Checked]:
    request = api.api_key_request(core.config, parsed.type, text)
    read = partial(api.read_api_key, key_id=parsed.id)
    found = yield from _ask(core, request, read, memory, stranger=("API key", digest(text)))
    if isinstance(found, AuthenticationError):
        return found
    if found.user_id is None:
        return found, None
    owner = yield from user_by_id(core, found.user_id, ttl=ttl)
    return ApiKeyNotFound(reason=reasons.API_KEY_OWNER_GONE) if owner is None else (found, owner)


def _key_tags(own: tuple[str, ...], checked: _Checked) -> tuple[str, ...]:
    """The tags of a checked key: its own, and its owner's."""
    if isinstance(checked, AuthenticationError):
        return own
    key, owner = checked
    return own + (_team_tags(key) if owner is None else (f"user:{owner.id}",))


def api_key_tag(key_id: str) -> str:
    """The tag of what is remembered of an API key, to forget it by when the key is revoked."""
    return f"key:{key_id.lower()}"


def _team_tags(key: HexclaveApiKey | AuthenticationError) -> tuple[str, ...]:
    """A team's key ends with its team; the owner of a user's key is a question of its own, with tags of its own."""
    return () if isinstance(key, AuthenticationError) or key.team_id is None else (f"team:{key.team_id.lower()}",)


@dataclass(frozen=True, slots=True)
class _Memory:
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


def _remembered(
    core: Core,
    memory: _Memory,
    request: Callable[[], Request],
    read: Callable[[Reply], T],
    *,
    fresh: bool,
    stranger: Hashable | None = None,
) -> Flow[T]:
    """The answer to one request about permissions, remembered for `permission_ttl`.

    Args:
        request: makes it, which takes longer than to find a remembered answer.
        stranger: as for `_ask`.
    """
    if fresh:
        return (yield from _ask(core, request(), read, stranger=stranger))
    ask = lambda: _ask(core, request(), read, memory, stranger=stranger)  # noqa: E731  # one line of two
    return (yield from _answer_once(core, core.answers, memory, ask))


def _permissions_memory(core: Core, key: str, *tags: str) -> _Memory:
    return _Memory(key, tags, lambda _: core.config.permission_ttl)


def _member_tags(team_id: str, user_id: str) -> tuple[str, ...]:
    return f"member:{team_id}:{user_id}", f"team:{team_id}", f"user:{user_id}"


@dataclass(frozen=True, slots=True)
class _Answer(Generic[T]):
    """A remembered answer; wrapped, since False and an empty set are answers too."""

    value: T


def _answer_once(
    core: Core,
    cache: AnswerCache,
    memory: _Memory,
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


def _ask(
    core: Core,
    request: Request,
    read: Callable[[Reply], T],
    memory: _Memory | None = None,
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
    fleet: FleetMemory, read: Callable[[Reply], T], memory: _Memory
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
