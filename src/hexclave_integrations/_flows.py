"""Policy, written once for sync and async: generators that yield what they need and return what they decided.

A `Flow[T]` yields one of three effects and is resumed with the outcome::

    Fetch(key, request)   make this HTTP request       resumed with a Reply, or None: "another request with the
                                                       same key was under way and has ended, look again";
                                                       or TransportError is thrown in
    Background(flow)      run a flow, do not wait      resumed with None
    Ask(function)         call the application's code  resumed with its result, awaited where that is possible

It does no I/O, takes no lock and has no colour: `_drivers.py` runs it, and a test steps it by hand with
`next(flow)` and `flow.send(reply)`. The driver lets go of a fetch's key only after the flow has taken in the
reply, so whoever waited finds the key ring or the cache already filled.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Generator, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from . import _api, _strict, _tokens
from ._caches import AnswerCache, TokenCache, VerifiedToken
from ._keys import Decision, KeyRing
from ._verify import Verifier
from .config import HexclaveConfig
from .errors import (
    AnonymousNotAllowed,
    InvalidToken,
    NotAuthenticated,
    ProjectPermissionRequired,
    RestrictedNotAllowed,
    SessionEnded,
    TeamMembershipRequired,
    TeamPermissionRequired,
    TokenExpired,
    Unavailable,
)
from .requirements import Requirement
from .user import HexclaveUser

__all__ = ["Ask", "Background", "Core", "Effect", "Fetch", "Flow"]

T = TypeVar("T")

JWKS: Final = "jwks"
# How long a failed question is not asked again: long enough that a crowd fails together, too short to notice.
FAILURE_TTL: Final = 1.0
_MAX_WAITS: Final = 2


@dataclass(frozen=True, slots=True)
class Fetch:
    """Make `request`, unless a request with an equal `key` is under way."""

    key: Hashable
    request: _api.Request


@dataclass(frozen=True, slots=True)
class Background:
    """Run the flow that `start` makes, without waiting for it."""

    start: Callable[[], Flow[None]]


@dataclass(frozen=True, slots=True)
class Ask:
    """Call the application's `function`."""

    function: Callable[[], Any]


Effect: TypeAlias = Fetch | Background | Ask
Flow: TypeAlias = Generator[Effect, Any, T]


class Core:
    """The state behind one client: configuration, clock, keys, memories. No I/O.

    Args:
        config: the project's settings.
        clock: gives epoch seconds.
    """

    def __init__(self, config: HexclaveConfig, clock: Callable[[], float]) -> None:
        self.config = config
        self.clock = clock
        self.verifier = Verifier(config)
        self.ring = KeyRing(config)
        self.tokens = TokenCache(config.token_cache_size)
        self.answers = AnswerCache()
        # Hexclave asked for silence until then (429); epoch seconds.
        self.paused_until = 0.0

    def find_token(self, headers: Iterable[tuple[Any, Any]], cookies: Mapping[str, str] | None) -> str | None:
        """The access token in a request, or None.

        Raises:
            InvalidToken: credentials came that cannot be read.
        """
        return _tokens.find_token(_tokens.collect(headers), cookies, self.config)

    def recall(self, token: str) -> HexclaveUser | None:
        """The user of a token verified before with keys that are still fresh, or None: the path of most requests.

        Raises:
            TokenExpired: it was verified before and has expired since.
        """
        entry = self.tokens.get(_digest(token)) if len(token) <= _tokens.MAX_TOKEN else None
        if entry is None:
            return None
        now = self.clock()
        if entry.generation != self.ring.current.generation or not self.ring.is_fresh(now):
            return None
        if self.verifier.is_over(entry.expires, now):
            raise TokenExpired
        return entry.user


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


# --- keys ---------------------------------------------------------------------------------------------------


def warm(core: Core) -> Flow[bool]:
    """Fetch the keys if they are missing or old; say whether they are usable now."""
    if core.ring.wants_refresh(core.clock()):
        yield from _fetch_keys(core, None)
    return core.ring.is_fresh(core.clock())


def _refresh(core: Core) -> Flow[None]:
    yield from warm(core)


def _fetch_keys(core: Core, wanted: str | None) -> Flow[bool]:
    """Fetch the key set once; say whether it was this flow that fetched."""
    try:
        reply = yield Fetch(JWKS, _api.jwks_request(core.config))
    except _api.TransportError as error:
        core.ring.failed(core.clock())
        _api.logger.warning("The key set could not be fetched: %s", error)
        return True
    if reply is None:
        return False
    before = core.ring.current.generation
    try:
        if reply.status != 200:
            raise ValueError(f"status {reply.status}")
        core.ring.accept(reply.body, core.clock(), wanted=wanted)
    except ValueError as error:
        core.ring.failed(core.clock())
        _api.logger.warning("The key endpoint gave no usable key set: %s", error)
    if core.ring.current.generation != before:
        core.tokens.clear()
    return True


def _key_for(core: Core, kid: str) -> Flow[tuple[EllipticCurvePublicKey, int]]:
    """The public key that `kid` names, and the generation of its set.

    Raises:
        InvalidToken: the key set is known and has no such key.
        Unavailable: there is no usable key set, or it may be out of date.
    """
    may_fetch, waits = True, 0
    while True:
        now = core.clock()
        current = core.ring.current
        decision = core.ring.decide(kid, now, may_fetch=may_fetch)
        if decision is Decision.FETCH:
            fetched = yield from _fetch_keys(core, kid)
            waits += 1
            may_fetch = not fetched and waits < _MAX_WAITS
            continue
        if decision is Decision.USE_AND_REFRESH:
            yield Background(partial(_refresh, core))
        if decision in (Decision.USE, Decision.USE_AND_REFRESH):
            if kid in current.keys:
                return current.keys[kid], current.generation
            continue  # another thread replaced the set between the two looks
        if decision is Decision.REFUSE:
            raise InvalidToken
        raise Unavailable(retry_after=core.ring.retry_after(now))


# --- who is this? -------------------------------------------------------------------------------------------


def verify_token(core: Core, token: str) -> Flow[HexclaveUser]:
    """The user of an access token, verified locally.

    Raises:
        AuthenticationError: the token is not acceptable.
        Unavailable: it cannot be told now.
    """
    parsed = core.verifier.parse(token)
    key, generation = yield from _key_for(core, parsed.kid)
    digest = _digest(token)
    entry = core.tokens.get(digest)
    now = core.clock()
    if entry is not None and entry.generation == generation:
        # Keys past their age that cannot be refreshed: what they proved once need not be proved again.
        if core.verifier.is_over(entry.expires, now):
            core.tokens.discard(digest)
            raise TokenExpired
        return entry.user
    user, expires = core.verifier.verify(parsed, key, now)
    core.tokens.put(digest, VerifiedToken(user, expires, generation))
    return user


def current_user(core: Core, token: str) -> Flow[HexclaveUser]:
    """The user of an access token as Hexclave knows him now, of any kind.

    Raises:
        AuthenticationError: the token is not acceptable, or the user is gone.
        Unavailable: it cannot be told now.
    """
    user = yield from verify_token(core, token)
    request = _api.current_user_request(core.config, token)
    read = partial(_api.read_current_user, what=request.what, config=core.config)
    return _same_session((yield from _ask(core, object(), request, read)), user)


def user_by_id(core: Core, user_id: str) -> Flow[HexclaveUser | None]:
    """The user with this id as Hexclave knows him now, or None.

    Raises:
        Unavailable: it cannot be told now.
    """
    if not _strict.is_uuid(user_id):
        return None
    request = _api.server_request(core.config, "a user", _api.user_path(user_id.lower()))
    read = partial(_api.read_user, what=request.what, config=core.config)
    found: HexclaveUser | None = yield from _ask(core, object(), request, read)
    return found


def _same_session(fresh: HexclaveUser, user: HexclaveUser) -> HexclaveUser:
    """The fresh facts with the session, end and claims of the verified token.

    Raises:
        SessionEnded: Hexclave speaks of another user.
    """
    if fresh.id != user.id:
        raise SessionEnded
    return dataclasses.replace(fresh, session_id=user.session_id, expires_at=user.expires_at, claims=user.claims)


# --- may they? ----------------------------------------------------------------------------------------------


def authorize(
    core: Core, requirement: Requirement, user: HexclaveUser | None, params: Mapping[str, Any], request: object
) -> Flow[HexclaveUser | None]:
    """Hold a verified user, or nobody, against a requirement; return the user it lets through.

    Args:
        params: the route's parameters, for `"{name}"` teams.
        request: what a callable team is called with.

    Raises:
        ConfigurationError: the requirement needs a server key, or a route parameter, that is not there.
        RequestRefused: the answer is no, or cannot be told now.
    """
    if requirement.needs_server_key:
        core.config.require_server_key("this requirement")
    if user is None:
        if requirement.optional:
            return None
        raise NotAuthenticated
    _check_kind(requirement, user)
    if requirement.is_live:
        user = yield from _confirm(core, user)
        _check_kind(requirement, user)
    if requirement.scope == "project permission":
        held = yield from project_permissions(core, user.id, fresh=requirement.is_live)
        if requirement.permission not in held:
            raise ProjectPermissionRequired(details={"permission_id": requirement.permission})
    elif requirement.scope != "user":
        team_id = yield Ask(partial(requirement.team_id, params, request, user.selected_team_id))
        yield from _check_team(core, requirement, user, team_id)
    return user


def _check_kind(requirement: Requirement, user: HexclaveUser) -> None:
    if user.kind == "anonymous" and not requirement.anonymous:
        raise AnonymousNotAllowed
    if user.kind == "restricted" and not requirement.restricted:
        raise RestrictedNotAllowed(details={"restricted_reason": {"type": user.restricted_reason}})


def _check_team(core: Core, requirement: Requirement, user: HexclaveUser, team_id: object) -> Flow[None]:
    known = isinstance(team_id, str) and _strict.is_uuid(team_id)
    if requirement.scope == "team":
        if not known or not (yield from is_team_member(core, user.id, str(team_id), fresh=requirement.is_live)):
            raise TeamMembershipRequired
    else:
        held: frozenset[str] = frozenset()
        if known:
            held = yield from team_permissions(core, user.id, str(team_id), fresh=requirement.is_live)
        if requirement.permission not in held:
            raise TeamPermissionRequired(details={"permission_id": requirement.permission})


def _confirm(core: Core, user: HexclaveUser) -> Flow[HexclaveUser]:
    """Ask Hexclave whether user and session still exist; return the user as he is now (contract 9.20 and 11).

    Raises:
        SessionEnded: signed out, session revoked, or user deleted.
        Unavailable: it cannot be told now.
    """
    request = _api.server_request(core.config, "sessions", "/auth/sessions", user_id=user.id)
    sessions = yield from _ask(
        core, object(), request, partial(_api.read_session_ids, what=request.what, user_id=user.id)
    )
    if user.session_id not in sessions:
        raise SessionEnded
    fresh = yield from user_by_id(core, user.id)
    if fresh is None:
        raise SessionEnded
    return _same_session(fresh, user)


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
    read = partial(_api.read_permissions, what=request.what, team_id=team_id, user_id=user_id)
    held: frozenset[str] = yield from _ask(core, ("team permissions", team_id, user_id), request, read, fresh=fresh)
    return held


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
    read = partial(_api.read_permissions, what=request.what, user_id=user_id)
    held: frozenset[str] = yield from _ask(core, ("project permissions", user_id), request, read, fresh=fresh)
    return held


def is_team_member(core: Core, user_id: str, team_id: str, *, fresh: bool = False) -> Flow[bool]:
    """Whether a user is a member of a team; an empty permission list would not prove it (contract 9.7).

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
    member: bool = yield from _ask(core, ("team membership", team_id, user_id), request, read, fresh=fresh)
    return member


def _ask(
    core: Core, key: Hashable, request: _api.Request, read: Callable[[_api.Reply], T], *, fresh: bool = True
) -> Flow[T]:
    """Hexclave's answer to a question, from memory where that is allowed.

    Args:
        key: what the answer is remembered under, and whom a crowd with the same question waits for.
        read: turns a reply into the answer, or raises Unavailable.
        fresh: neither read nor share what is remembered; failures are not remembered either.

    Raises:
        Unavailable: no usable answer; the same question is then not asked again for a moment.
    """
    ttl = 0.0 if fresh else core.config.permission_ttl
    shared = ttl > 0
    while True:
        now = core.clock()
        if shared and (known := core.answers.get(key, now)) is not None:
            if isinstance(known, Unavailable):
                raise known.repeated()
            answer: T = known.value
            return answer
        if now < core.paused_until:
            raise Unavailable(retry_after=core.paused_until - now)
        try:
            reply = yield Fetch(key if shared else object(), request)
            if reply is None:
                continue
            if reply.real_status == 429:
                core.paused_until = core.clock() + _api.retry_after(reply, core.clock())
                raise Unavailable(retry_after=core.paused_until - core.clock())
            answer = read(reply)
        except _api.TransportError as error:
            _api.logger.warning("Hexclave could not be asked about %s: %s", request.what, error)
            failure = Unavailable()
        except Unavailable as error:
            failure = error
        else:
            if shared:
                core.answers.put(key, _Answer(answer), now=core.clock(), ttl=ttl)
            return answer
        if shared:
            core.answers.put(key, failure, now=core.clock(), ttl=FAILURE_TTL)
        raise failure


@dataclass(frozen=True, slots=True)
class _Answer:
    """A remembered answer; wrapped, since False and an empty set are answers too."""

    value: Any
