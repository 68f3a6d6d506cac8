"""Questions to Hexclave's API, as flows: remembered, shared by a crowd, and never answered "yes" by a failure."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from . import _api, _strict
from ._caches import AnswerCache
from ._core import Core, Fetch, Flow, Once, digest
from .api_key import HexclaveApiKey, parse_api_key
from .errors import ApiKeyExpired, ApiKeyNotFound, AuthenticationError, Unavailable
from .user import HexclaveUser

__all__ = [
    "api_key",
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


def team_permissions(core: Core, user_id: str, team_id: str, *, fresh: bool = False) -> Flow[frozenset[str]]:
    """The ids of all permissions a user holds in a team, nested ones included (contract 4.3).

    Args:
        fresh: ask Hexclave, whatever is remembered.

    Raises:
        Unavailable: it cannot be told now.
    """
    user_id, team_id = user_id.lower(), team_id.lower()
    if not _strict.is_uuid(user_id) or not _strict.is_uuid(team_id):
        return frozenset()
    request = _api.server_request(
        core.config, "team permissions", "/team-permissions", team_id=team_id, user_id=user_id, recursive="true"
    )
    read = partial(_api.read_ids, what=request.what, team_id=team_id, user_id=user_id)
    return (yield from _remembered(core, ("team permissions", team_id, user_id), request, read, fresh=fresh))


def project_permissions(core: Core, user_id: str, *, fresh: bool = False) -> Flow[frozenset[str]]:
    """The ids of all project permissions a user holds, nested ones included (contract 4.3).

    Args:
        fresh: ask Hexclave, whatever is remembered.

    Raises:
        Unavailable: it cannot be told now.
    """
    user_id = user_id.lower()
    if not _strict.is_uuid(user_id):
        return frozenset()
    request = _api.server_request(
        core.config, "project permissions", "/project-permissions", user_id=user_id, recursive="true"
    )
    read = partial(_api.read_ids, what=request.what, user_id=user_id)
    return (yield from _remembered(core, ("project permissions", user_id), request, read, fresh=fresh))


def is_team_member(core: Core, user_id: str, team_id: str, *, fresh: bool = False) -> Flow[bool]:
    """Whether a user is a member of a team; an empty permission list would not tell (contract 9.7).

    Args:
        fresh: ask Hexclave, whatever is remembered.

    Raises:
        Unavailable: it cannot be told now.
    """
    user_id, team_id = user_id.lower(), team_id.lower()
    if not _strict.is_uuid(user_id) or not _strict.is_uuid(team_id):
        return False
    request = _api.server_request(core.config, "a team membership", _api.member_path(team_id, user_id))
    read = partial(_api.read_membership, what=request.what, team_id=team_id, user_id=user_id)
    return (yield from _remembered(core, ("team membership", team_id, user_id), request, read, fresh=fresh))


def user_by_id(core: Core, user_id: str) -> Flow[HexclaveUser | None]:
    """The user with this id as Hexclave knows him now, or None.

    Raises:
        Unavailable: it cannot be told now.
    """
    if not _strict.is_uuid(user_id):
        return None
    request = _api.server_request(core.config, "a user", _api.user_path(user_id.lower()))
    return (yield from _ask(core, request, partial(_api.read_user, what=request.what, config=core.config)))


def user_of_token(core: Core, token: str) -> Flow[HexclaveUser]:
    """The user behind an access token as Hexclave knows him now; verify the token first (contract 3.4).

    Raises:
        AuthenticationError: Hexclave refuses the token, or the user is gone.
        Unavailable: it cannot be told now.
    """
    request = _api.current_user_request(core.config, token)
    return (yield from _ask(core, request, partial(_api.read_current_user, what=request.what, config=core.config)))


def session_ids(core: Core, user_id: str) -> Flow[frozenset[str]]:
    """The ids of a user's sessions now; impersonation sessions are not listed for a server key (contract 4.8).

    Raises:
        Unavailable: it cannot be told now.
    """
    request = _api.server_request(core.config, "sessions", "/auth/sessions", user_id=user_id)
    return (yield from _ask(core, request, partial(_api.read_ids, what=request.what, user_id=user_id)))


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
    request = _api.api_key_request(core.config, parsed.type, text)
    found: tuple[HexclaveApiKey, HexclaveUser | None] | type[AuthenticationError] = yield from _shared(
        core,
        core.api_keys,
        digest(text),
        partial(_check_api_key, core, request, parsed.id),
        lambda answer: min(ttl, UNKNOWN_KEY_TTL) if answer is ApiKeyNotFound else ttl,
    )
    if isinstance(found, type):
        raise found
    key = found[0]
    if key.expires_at is not None and key.expires_at.timestamp() <= core.clock():
        raise ApiKeyExpired
    return found


def _check_api_key(
    core: Core, request: _api.Request, key_id: str
) -> Flow[tuple[HexclaveApiKey, HexclaveUser | None] | type[AuthenticationError]]:
    """A key and its owner, or the class of the refusal: both are answers to remember."""
    found = yield from _ask(core, request, partial(_api.read_api_key, what=request.what, key_id=key_id))
    if isinstance(found, type):
        return found
    if found.user_id is None:
        return found, None
    owner = yield from user_by_id(core, found.user_id)
    return ApiKeyNotFound if owner is None else (found, owner)


def _remembered(
    core: Core, key: Hashable, request: _api.Request, read: Callable[[_api.Reply], T], *, fresh: bool
) -> Flow[T]:
    """The answer to one request about permissions, remembered for `permission_ttl`."""
    ttl = 0.0 if fresh else core.config.permission_ttl
    return (yield from _shared(core, core.answers, key, partial(_ask, core, request, read), lambda _: ttl))


@dataclass(frozen=True, slots=True)
class _Answer:
    """A remembered answer; wrapped, since False and an empty set are answers too."""

    value: Any


def _shared(
    core: Core,
    cache: AnswerCache,
    key: Hashable,
    ask: Callable[[], Flow[T]],
    ttl: Callable[[T | None], float],
) -> Flow[T]:
    """Answer from memory, or ask once for a whole crowd.

    Args:
        key: what the answer is remembered under, and whom a crowd with the same question waits for.
        ask: the question.
        ttl: seconds an answer is good for; 0 for None means neither to remember nor to share.

    Raises:
        Unavailable: no usable answer; the same question is then not asked again for a moment.
    """
    if ttl(None) <= 0:
        return (yield from ask())

    def ask_and_remember() -> Flow[T]:
        try:
            fresh_answer = yield from ask()
        except Unavailable as failure:
            cache.put(key, failure, now=core.clock(), ttl=FAILURE_TTL)
            raise
        cache.put(key, _Answer(fresh_answer), now=core.clock(), ttl=ttl(fresh_answer))
        return fresh_answer

    while True:
        known = cache.get(key, core.clock())
        if isinstance(known, Unavailable):
            raise known.repeated()
        if known is not None:
            answer: T = known.value
            return answer
        asked, answer = yield Once(key, ask_and_remember)
        if asked:
            return answer


def _ask(core: Core, request: _api.Request, read: Callable[[_api.Reply], T]) -> Flow[T]:
    """Make one request and read the reply.

    Raises:
        Unavailable: no reply, none that `read` can use, or Hexclave asked for silence.
    """
    now = core.clock()
    if now < core.paused_until:
        raise Unavailable(retry_after=core.paused_until - now)
    try:
        reply = yield Fetch(request)
    except _api.TransportError as error:
        _api.logger.warning("Hexclave could not be asked about %s: %s", request.what, error)
        raise Unavailable from None
    if reply.real_status == 429:
        pause = _api.retry_after(reply, core.clock())
        core.paused_until = core.clock() + pause
        raise Unavailable(retry_after=pause)
    return read(reply)
