"""Questions to Hexclave's API, as flows: remembered, shared by a crowd, and never answered "yes" by a failure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeAlias, TypeVar

from .._base import strict
from .._memory.caches import AnswerCache
from .._memory.redis import RedisUnavailable
from .._wire import api
from .._wire.messages import Reply, Request, TransportError, logger
from ..api_key import HexclaveApiKey, ParsedApiKey, parse_api_key
from ..errors import ApiKeyExpired, ApiKeyNotFound, AuthenticationError, Unavailable
from ..user import HexclaveUser
from .effects import Fetch, Flow, Once, Shared
from .state import Core, digest

__all__ = [
    "api_key",
    "is_team_member",
    "notice",
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
# How long a process of a fleet believes its own memory before it looks into the shared one again, seconds.
FLEET_TTL: Final = 0.5


def team_permissions(core: Core, user_id: str, team_id: str, *, fresh: bool = False) -> Flow[frozenset[str]]:
    """The ids of all permissions a user holds in a team, nested ones included (contract 4.3).

    Args:
        fresh: ask Hexclave, whatever is remembered.

    Raises:
        Unavailable: it cannot be told now.
    """
    user_id, team_id = user_id.lower(), team_id.lower()
    if not strict.is_uuid(user_id) or not strict.is_uuid(team_id):
        return frozenset()
    what = "team permissions"
    query = {"team_id": team_id, "user_id": user_id, "recursive": "true"}
    request = partial(api.server_request, core.config, what, "/team-permissions", **query)
    read = partial(api.read_ids, what=what, team_id=team_id, user_id=user_id)
    memory = _permissions_memory(core, f"permissions:{team_id}:{user_id}", *_member_tags(team_id, user_id))
    return (yield from _remembered(core, memory, request, read, fresh=fresh))


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
    read = partial(api.read_ids, what=what, user_id=user_id)
    memory = _permissions_memory(core, f"permissions:{user_id}", f"project:{user_id}", f"user:{user_id}")
    return (yield from _remembered(core, memory, request, read, fresh=fresh))


def is_team_member(core: Core, user_id: str, team_id: str, *, fresh: bool = False) -> Flow[bool]:
    """Whether a user is a member of a team; an empty permission list would not tell (contract 9.7).

    Args:
        fresh: ask Hexclave, whatever is remembered.

    Raises:
        Unavailable: it cannot be told now.
    """
    user_id, team_id = user_id.lower(), team_id.lower()
    if not strict.is_uuid(user_id) or not strict.is_uuid(team_id):
        return False
    what = "a team membership"
    request = partial(api.server_request, core.config, what, api.member_path(team_id, user_id))
    read = partial(api.read_membership, what=what, team_id=team_id, user_id=user_id)
    memory = _permissions_memory(core, f"membership:{team_id}:{user_id}", *_member_tags(team_id, user_id))
    return (yield from _remembered(core, memory, request, read, fresh=fresh))


def user_by_id(core: Core, user_id: str, *, ttl: float = 0) -> Flow[HexclaveUser | None]:
    """The user with this id as Hexclave knows him now, or None.

    Args:
        ttl: how long a fleet may remember him, seconds.

    Raises:
        Unavailable: it cannot be told now.
    """
    if not strict.is_uuid(user_id):
        return None
    user_id = user_id.lower()
    request = api.server_request(core.config, "a user", api.user_path(user_id))
    memory = _Memory(f"user:{user_id}", (f"user:{user_id}",), lambda _: ttl)
    user = yield from _ask(core, request, partial(api.read_user, what=request.what, config=core.config), memory)
    if user is not None and user.id != user_id:
        logger.warning("Hexclave gave no usable answer about a user: another user")
        raise Unavailable
    return user


def user_of_token(core: Core, token: str) -> Flow[HexclaveUser]:
    """The user behind an access token as Hexclave knows him now; verify the token first (contract 3.4).

    Raises:
        AuthenticationError: Hexclave refuses the token, or the user is gone.
        Unavailable: it cannot be told now.
    """
    request = api.current_user_request(core.config, token)
    return (yield from _ask(core, request, partial(api.read_current_user, what=request.what, config=core.config)))


def session_ids(core: Core, user_id: str) -> Flow[frozenset[str]]:
    """The ids of a user's sessions now; impersonation sessions are not listed for a server key (contract 4.8).

    Raises:
        Unavailable: it cannot be told now.
    """
    request = api.server_request(core.config, "sessions", "/auth/sessions", user_id=user_id)
    return (yield from _ask(core, request, partial(api.read_ids, what=request.what, user_id=user_id)))


def api_key(core: Core, text: str, *, fresh: bool = False) -> Flow[tuple[HexclaveApiKey, HexclaveUser | None]]:
    """What an API key is, and for a user's key its owner, whom Hexclave's own check ignores (contract 4.4).

    Args:
        fresh: ask Hexclave, whatever is remembered.

    Raises:
        AuthenticationError: the key is unknown, revoked, expired, or its owner is gone.
        Unavailable: it cannot be told now.
    """
    parsed = parse_api_key(text)
    if parsed is None:
        raise ApiKeyNotFound
    ttl = 0.0 if fresh else core.config.api_key_ttl
    memory = _Memory(
        f"api key:{digest(text).hex()}",
        (),
        lambda answer: min(ttl, UNKNOWN_KEY_TTL) if answer is ApiKeyNotFound else ttl,
    )
    ask = partial(_check_api_key, core, parsed, text, memory, ttl)
    found = yield from _shared(core, core.api_keys, memory, ask, _owner_tags)
    if isinstance(found, type):
        raise found
    key = found[0]
    if key.has_ended(core.clock()):
        raise ApiKeyExpired
    return found


_Checked: TypeAlias = tuple[HexclaveApiKey, HexclaveUser | None] | type[AuthenticationError]
"""A key and its owner, or the class of the refusal: both are answers to remember."""


def _check_api_key(core: Core, parsed: ParsedApiKey, text: str, memory: _Memory, ttl: float) -> Flow[_Checked]:
    request = api.api_key_request(core.config, parsed.type, text)
    found = yield from _ask(core, request, partial(api.read_api_key, what=request.what, key_id=parsed.id), memory)
    if isinstance(found, type):
        return found
    if found.user_id is None:
        return found, None
    owner = yield from user_by_id(core, found.user_id, ttl=ttl)
    return ApiKeyNotFound if owner is None else (found, owner)


def _owner_tags(checked: _Checked) -> tuple[str, ...]:
    owner = None if isinstance(checked, type) else checked[1]
    return () if owner is None else (f"user:{owner.id}",)


def notice(core: Core, kind: str, data: Mapping[str, Any]) -> Flow[None]:
    """Forget what a webhook event made untrue, here and in the whole fleet (contract section 6).

    Args:
        kind: the event's type.
        data: the event's data.

    Raises:
        Unavailable: the fleet cannot be told now; the sender has to come back.
    """
    tags = _tags_of_event(kind, data)
    if not tags:
        return
    core.answers.drop(tags)
    core.api_keys.drop(tags)
    if core.shared is not None:
        try:
            yield Shared(core.shared, "drop", (tags,))
        except RedisUnavailable as error:
            logger.error("Redis cannot be told what a webhook made untrue: %s", error)
            raise Unavailable(retry_after=5) from None


def _tags_of_event(kind: str, data: Mapping[str, Any]) -> list[str]:
    def value(name: str) -> str:
        return str(data.get(name, "")).lower()

    if kind.startswith(("team_permission.", "team_membership.")):
        return [f"member:{value('team_id')}:{value('user_id')}"]
    if kind.startswith("project_permission."):
        return [f"project:{value('user_id')}"]
    if kind == "team.deleted":
        return [f"team:{value('id')}"]
    return [f"user:{value('id')}"] if kind in ("user.updated", "user.deleted") else []


@dataclass(frozen=True, slots=True)
class _Memory:
    """Where and how long the answer to a question is remembered.

    Attributes:
        key: what for.
        tags: whom it is about.
        ttl: seconds; 0 for None means neither to remember nor to share.
    """

    key: str
    tags: tuple[str, ...]
    ttl: Callable[[Any], float]


def _remembered(
    core: Core, memory: _Memory, request: Callable[[], Request], read: Callable[[Reply], T], *, fresh: bool
) -> Flow[T]:
    """The answer to one request about permissions, remembered for `permission_ttl`.

    Args:
        request: makes it, which takes longer than to remember the answer.
    """
    if fresh:
        return (yield from _ask(core, request(), read))
    return (yield from _shared(core, core.answers, memory, lambda: _ask(core, request(), read, memory)))


def _permissions_memory(core: Core, key: str, *tags: str) -> _Memory:
    return _Memory(key, tags, lambda _: core.config.permission_ttl)


def _member_tags(team_id: str, user_id: str) -> tuple[str, ...]:
    return f"member:{team_id}:{user_id}", f"team:{team_id}", f"user:{user_id}"


@dataclass(frozen=True, slots=True)
class _Answer(Generic[T]):
    """A remembered answer; wrapped, since False and an empty set are answers too."""

    value: T


def _shared(
    core: Core,
    cache: AnswerCache,
    memory: _Memory,
    ask: Callable[[], Flow[T]],
    tags_of: Callable[[T], tuple[str, ...]] | None = None,
) -> Flow[T]:
    """Answer from this process's memory, or ask once for a whole crowd.

    Args:
        memory: what the answer is remembered under, and whom a crowd with the same question waits for.
        ask: the question.
        tags_of: whom an answer is about, where only the answer itself tells.

    Raises:
        Unavailable: no usable answer; the same question is then not asked again for a moment.
    """
    if memory.ttl(None) <= 0:
        return (yield from ask())

    def ask_and_remember() -> Flow[T]:
        known: _Answer[T] | None = _recall(cache, memory.key, core.clock())
        if known is not None:  # another's question ended between the look and this one's turn
            return known.value
        sequence = cache.sequence
        try:
            fresh_answer = yield from ask()
        except Unavailable as failure:
            # Without its traceback, which holds the request and with it the API key.
            cache.put(memory.key, failure.repeated(), now=core.clock(), ttl=FAILURE_TTL)
            raise
        ttl = memory.ttl(fresh_answer)
        # A fleet hears of a webhook through Redis: what this process knows by itself is soon asked there again.
        local_ttl = ttl if core.shared is None else min(ttl, FLEET_TTL)
        tags = memory.tags if tags_of is None else tags_of(fresh_answer)
        cache.put(memory.key, _Answer(fresh_answer), now=core.clock(), ttl=local_ttl, tags=tags, sequence=sequence)
        return fresh_answer

    while True:
        known: _Answer[T] | None = _recall(cache, memory.key, core.clock())
        if known is not None:
            return known.value
        asked, answer = yield Once(memory.key, ask_and_remember)
        if asked:
            fresh_answer: T = answer
            return fresh_answer


def _recall(cache: AnswerCache, key: Hashable, now: float) -> Any:
    """The `_Answer` remembered under `key`, or None.

    Raises:
        Unavailable: the question failed a moment ago.
    """
    known = cache.get(key, now)
    if isinstance(known, Unavailable):
        raise known.repeated()
    return known


def _ask(core: Core, request: Request, read: Callable[[Reply], T], memory: _Memory | None = None) -> Flow[T]:
    """Make one request and read the reply, or read the one that the fleet remembers.

    Args:
        memory: where the fleet may remember it; None for a question that is always put to Hexclave.

    Raises:
        Unavailable: no reply, none that `read` can use, or Hexclave asked for silence.
    """
    sequence: str | None = None
    if core.shared is not None and memory is not None and memory.ttl(None) > 0:
        recalled = yield Shared(core.shared, "recall", (memory.key, memory.tags))
        if recalled.reply is not None:
            with contextlib.suppress(Unavailable):  # what cannot be read is as good as nothing
                return read(recalled.reply)
        sequence = recalled.sequence
    kind = "API keys" if request.body is not None else "users"
    pause = core.paused_until.get(kind, 0.0) - core.clock()
    if 0 < pause <= api.MAX_RETRY_AFTER + 1:  # a longer one: the clock was set back
        raise Unavailable(retry_after=pause)
    try:
        reply = yield Fetch(request)
    except TransportError as error:
        logger.warning("Hexclave could not be asked about %s: %s", request.what, error)
        raise Unavailable from None
    if reply.real_status == 429:
        pause = api.retry_after(reply, core.clock())
        core.paused_until[kind] = core.clock() + pause
        raise Unavailable(retry_after=pause)
    answer = read(reply)
    if core.shared is not None and memory is not None and sequence is not None and memory.ttl(answer) > 0:
        yield Shared(core.shared, "remember", (memory.key, reply, sequence, memory.ttl(answer)))
    return answer
