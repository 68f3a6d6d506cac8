"""Questions to Hexclave's API, as flows: remembered, asked once for a crowd, never answered "yes" by a failure."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final, TypeAlias, TypeVar

from .. import _reasons as reasons
from .._base import strict
from .._wire import api
from .._wire.messages import Reply, Request, UnusableReply
from ..api_key import HexclaveApiKey, ParsedApiKey, parse_api_key, why_no_api_key
from ..errors import ApiKeyExpired, ApiKeyNotFound, AuthenticationError
from ..user import HexclaveUser
from .asking import Memory, answer_once, ask
from .effects import Flow
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

# An API key may be made a moment after it was first asked about, so "unknown" is not believed for long.
UNKNOWN_KEY_TTL: Final = 10.0


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
    memory = Memory(f"user:{user_id}", (f"user:{user_id}",), lambda _: ttl, cache="api key")  # of whose owner it is

    def read(reply: Reply) -> HexclaveUser | None:
        user = api.read_user(reply, core.config)
        if user is not None and user.id != user_id:
            raise UnusableReply("another user")
        return user

    return (yield from ask(core, request, read, memory))


def user_of_token(core: Core, token: str) -> Flow[HexclaveUser]:
    """The user behind an access token as Hexclave knows them now; verify the token first (contract 3.4).

    Raises:
        AuthenticationError: Hexclave refuses the token, or the user is gone.
        Unavailable: it cannot be told now.
    """
    request = api.current_user_request(core.config, token)
    return (yield from ask(core, request, partial(api.read_current_user, config=core.config)))


def session_ids(core: Core, user_id: str) -> Flow[frozenset[str]]:
    """The ids of a user's sessions now; impersonation sessions are not listed for a server key (contract 4.8).

    Raises:
        Unavailable: it cannot be told now.
    """
    request = api.server_request(core.config, "sessions", "/auth/sessions", user_id=user_id)
    return (yield from ask(core, request, partial(api.read_ids, user_id=user_id)))


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
    memory = Memory(
        f"api key:{digest(text).hex()}",
        (api_key_tag(parsed.id),),
        lambda answer: min(ttl, UNKNOWN_KEY_TTL) if isinstance(answer, ApiKeyNotFound) else ttl,
        _team_tags,
        cache="api key",
    )
    question = partial(_check_api_key, core, parsed, text, memory, ttl)
    found: _Checked = yield from answer_once(core, core.api_keys, memory, question, partial(_key_tags, memory.tags))
    if isinstance(found, AuthenticationError):
        raise copy.copy(found)  # the remembered one must not get a traceback, which holds the request
    key = found[0]
    if key.has_ended(core.clock()):
        raise ApiKeyExpired
    return found


_Checked: TypeAlias = tuple[HexclaveApiKey, HexclaveUser | None] | AuthenticationError
"""A key and its owner, or the refusal: both are answers to remember."""


def _check_api_key(core: Core, parsed: ParsedApiKey, text: str, memory: Memory, ttl: float) -> Flow[_Checked]:
    request = api.api_key_request(core.config, parsed.type, text)
    read = partial(api.read_api_key, key_id=parsed.id)
    found = yield from ask(core, request, read, memory, stranger=("API key", digest(text)))
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


def _remembered(
    core: Core,
    memory: Memory,
    request: Callable[[], Request],
    read: Callable[[Reply], T],
    *,
    fresh: bool,
    stranger: Hashable | None = None,
) -> Flow[T]:
    """The answer to one request about permissions, remembered for `permission_ttl`.

    Args:
        request: makes it, which takes longer than to find a remembered answer.
        stranger: as for `ask`.
    """
    if fresh:
        return (yield from ask(core, request(), read, stranger=stranger))
    question = lambda: ask(core, request(), read, memory, stranger=stranger)  # noqa: E731  # one line of two
    return (yield from answer_once(core, core.answers, memory, question))


def _permissions_memory(core: Core, key: str, *tags: str) -> Memory:
    return Memory(key, tags, lambda _: core.config.permission_ttl)


def _member_tags(team_id: str, user_id: str) -> tuple[str, ...]:
    return f"member:{team_id}:{user_id}", f"team:{team_id}", f"user:{user_id}"
