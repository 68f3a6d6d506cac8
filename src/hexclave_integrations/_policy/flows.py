"""Policy, written once for sync and async: generators that yield what they need and return what they decided.

A flow does no I/O, takes no lock and has no colour: `_drivers.py` runs it, and a test steps it by hand with
`next(flow)` and `flow.send(reply)`. What it may yield stands in `effects.py`. A flow that was waited for has
written its result into the key ring or a cache before its waiters are woken, so they look there again.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from .._base import strict
from .._memory.caches import VerifiedToken
from .._token.keys import Decision, KeySet
from .._wire import api
from .._wire.messages import TransportError
from ..api_key import HexclaveApiKey, looks_like_api_key
from ..config import HexclaveConfig
from ..errors import (
    ApiKeyExpired,
    ApiKeyNotFound,
    ConfigurationError,
    InvalidToken,
    NotAuthenticated,
    ProjectPermissionRequired,
    RequestRefused,
    SessionEnded,
    TeamMembershipRequired,
    TeamPermissionRequired,
    TokenExpired,
    Unavailable,
    WrongApiKeyType,
    WrongProject,
)
from ..requirements import Requirement
from ..user import HexclaveUser
from . import questions
from .attempt import Attempt, Unproved
from .effects import Background, Call, Fetch, Flow, Once
from .state import Core

__all__ = ["admit", "authorize", "current_user", "identify", "prove", "verify_token", "warm"]

JWKS: Final = "jwks"
KINDS: Final = "kinds of keys"
_MAX_WAITS: Final = 2


# --- keys ---------------------------------------------------------------------------------------------------


def warm(core: Core) -> Flow[bool]:
    """Fetch the keys if they are missing or old; say whether they are fresh now."""
    if core.ring.wants_refresh(core.clock()):
        with contextlib.suppress(Unavailable):  # another request's fetch did not come to its end in time
            yield Once(JWKS, partial(_fetch_keys, core, None))
    return core.ring.is_fresh(core.clock())


def _refresh(core: Core) -> Flow[None]:
    yield from warm(core)


def _fetch_keys(core: Core, wanted: str | None) -> Flow[None]:
    """Fetch the key set into the ring, or note the failure there; `wanted` is the key id it is fetched for."""
    now = core.clock()
    if not (core.ring.wants_refresh(now) if wanted is None else core.ring.decide(wanted, now) is Decision.FETCH):
        return  # another fetch ended between the decision and this one's turn
    before = core.ring.current.generation
    try:
        reply = yield Fetch(api.jwks_request(core.config))
        if reply.status == 404:
            raise ValueError("it knows no project with this project_id (HEXCLAVE_PROJECT_ID) at this api_url")
        if reply.status != 200:
            raise ValueError(f"status {reply.status}")
        core.ring.accept(reply.body, core.clock(), wanted=wanted)
    except (TransportError, ValueError) as error:
        core.ring.failed(core.clock())
        core.log.warning("Hexclave gave no usable key set: %s", error)
    if core.ring.current.generation != before:
        core.tokens.forget_all()


def _key_set_with(core: Core, kid: str) -> Flow[KeySet]:
    """The key set, once it has the key that `kid` names.

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
            fetched, _ = yield Once(JWKS, partial(_fetch_keys, core, kid))
            waits += 1
            # A request that waited for a fetch which was given up may make one of its own, once.
            may_fetch = not fetched and waits < _MAX_WAITS
        elif decision is Decision.REFUSE:
            raise InvalidToken
        elif decision is Decision.CANNOT_TELL:
            raise Unavailable(retry_after=core.ring.retry_after(now))
        else:
            if decision is Decision.USE_AND_REFRESH:
                yield Background(partial(_refresh, core))
            if kid in current.keys:  # unless another thread replaced the set between the two looks
                return current


# --- who is this? -------------------------------------------------------------------------------------------


def identify(core: Core, attempt: Attempt, *, optional: bool = False) -> Flow[HexclaveUser | None]:
    """The verified user of a request, of any kind, or None when no credentials came; worked out once.

    Args:
        attempt: the request's credentials.
        optional: a cookie that cannot be used, and a bearer token of another issuer, count as none.

    Raises:
        AuthenticationError: credentials came and are not acceptable.
        Unavailable: it cannot be told now.
    """
    core.settle(attempt, core.clock())
    unproved = attempt.unproved_for(core)
    if unproved is not None:
        try:
            attempt.settle(core, (yield from prove(core, unproved)))
        except RequestRefused as error:
            attempt.settle(core, None, error)
    now = core.clock()
    return core.outcome(attempt, now) if optional else attempt.outcome(now)


def prove(core: Core, unproved: Unproved) -> Flow[VerifiedToken]:
    """Verify a token whose key was not at hand; it may be over by now.

    Raises:
        AuthenticationError: the token is not acceptable.
        Unavailable: it cannot be told now.
    """
    key_set = yield from _key_set_with(core, unproved.parsed.kid)
    known = core.tokens.get(unproved.name)
    if known is not None and known.generation == key_set.generation:
        # The keys are past their age and cannot be refreshed: what they proved once need not be proved again.
        return known
    token = core.prove(unproved, key_set, core.clock())
    if token is None:
        yield from _ask_for_kinds(core)
        token = core.prove(unproved, core.ring.current, core.clock())
    if token is None:
        raise Unavailable
    return token


def _ask_for_kinds(core: Core) -> Flow[None]:
    """Learn for which kind of user each key was published, from the sets that Hexclave publishes for each (contract 2).

    Asked only when a genuine token contradicts the order of the keys in the set, so that a key that got into the wrong
    hands vouches for its own kind of user alone, and an order that Hexclave has changed refuses nobody.
    """

    def fetch() -> Flow[None]:
        core.ring.asked_for_kinds(core.clock())
        try:
            regular = yield Fetch(api.jwks_request(core.config, "regular"))
            restricted = yield Fetch(api.jwks_request(core.config, "restricted"))
            if (regular.status, restricted.status) != (200, 200):
                raise ValueError(f"status {regular.status} and {restricted.status}")
            core.ring.accept_kinds(regular.body, restricted.body)
        except (TransportError, ValueError) as error:
            core.log.warning("Hexclave did not say which users its keys are for: %s", error)

    if core.ring.may_ask_for_kinds(core.clock()):
        yield Once(KINDS, fetch)


def verify_token(core: Core, token: str) -> Flow[HexclaveUser]:
    """The user of an access token, verified locally.

    Raises:
        AuthenticationError: the token is not acceptable.
        Unavailable: it cannot be told now.
    """
    judged = core.judge(token, core.clock())
    if isinstance(judged, Unproved):
        judged = yield from prove(core, judged)
    return judged.user_at(core.clock())


def current_user(core: Core, token: str) -> Flow[HexclaveUser]:
    """The user of an access token as Hexclave knows them now, of any kind.

    Raises:
        AuthenticationError: the token is not acceptable, or the user is gone.
        Unavailable: it cannot be told now.
    """
    user = yield from verify_token(core, token)
    return _same_session((yield from questions.user_of_token(core, token)), user)


def _same_session(fresh: HexclaveUser, user: HexclaveUser) -> HexclaveUser:
    """The fresh facts with the session, end and claims of the verified token.

    Raises:
        SessionEnded: Hexclave speaks of another user.
    """
    if fresh.id != user.id:
        raise SessionEnded
    return dataclasses.replace(fresh, session_id=user.session_id, expires_at=user.expires_at, sealed=user.sealed)


# --- may they? ----------------------------------------------------------------------------------------------


def admit(
    core: Core, requirement: Requirement, attempt: Attempt, params: Mapping[str, Any], request: object
) -> Flow[HexclaveUser | HexclaveApiKey | None]:
    """Hold a request against a requirement; return who is let through: the whole decision of a protected route.

    Args:
        params: the route's parameters, for `"{name}"` teams.
        request: what a callable team is called with.

    Raises:
        ConfigurationError: the requirement needs a server key, or a route parameter, that is not there.
        RequestRefused: the answer is no, or cannot be told now.
    """
    principal: HexclaveUser | HexclaveApiKey | None
    text = _api_key_text(attempt, requirement, core.config)
    if text is None:
        principal = (
            None
            if requirement.scope == "api key"
            else (yield from identify(core, attempt, optional=requirement.optional))
        )
    else:
        principal = yield from _admit_api_key(core, requirement, text)
    return (yield from _decide(core, requirement, principal, params, request, is_confirmed=text is not None))


def authorize(
    core: Core,
    requirement: Requirement,
    principal: HexclaveUser | HexclaveApiKey | None,
    params: Mapping[str, Any],
    request: object,
) -> Flow[HexclaveUser | HexclaveApiKey | None]:
    """Hold a verified user or API key, or nobody, against a requirement; arguments and errors as for `admit`."""
    return (yield from _decide(core, requirement, principal, params, request, is_confirmed=False))


def _decide(
    core: Core,
    requirement: Requirement,
    principal: HexclaveUser | HexclaveApiKey | None,
    params: Mapping[str, Any],
    request: object,
    *,
    is_confirmed: bool,
) -> Flow[HexclaveUser | HexclaveApiKey | None]:
    """As `authorize`; `is_confirmed` says that the principal is an API key, or its owner, as `api_key` checked it."""
    if requirement.needs_server_key:
        core.config.require_server_key("this requirement")
    if principal is None:
        if requirement.optional:
            return None
        raise NotAuthenticated
    if isinstance(principal, HexclaveApiKey):
        if requirement.scope != "api key":
            raise NotAuthenticated
        if not is_confirmed:
            yield from _check_key_again(core, requirement, principal)
        return principal
    if requirement.scope == "api key":
        raise NotAuthenticated
    user = principal
    if user.project_id != core.config.project_id:
        raise WrongProject
    if user.has_ended(core.clock(), core.config.leeway):
        raise TokenExpired
    requirement.check_kind(user)
    if requirement.is_live and not is_confirmed:
        user = yield from _confirm(core, user)
        requirement.check_kind(user)
    if requirement.scope == "project permission":
        held = yield from questions.project_permissions(core, user.id, fresh=requirement.is_live)
        if requirement.permission not in held:
            raise ProjectPermissionRequired(details={"permission_id": requirement.permission})
    elif requirement.scope != "user":
        team_id = yield Call(partial(requirement.team_id, params, request, user.selected_team_id))
        yield from _check_team(core, requirement, user, team_id)
    return user


def _check_team(core: Core, requirement: Requirement, user: HexclaveUser, team_id: object) -> Flow[None]:
    is_team = isinstance(team_id, str) and strict.is_uuid(team_id)
    if requirement.scope == "team":
        ask = questions.is_team_member
        if not is_team or not (yield from ask(core, user.id, str(team_id), fresh=requirement.is_live)):
            raise TeamMembershipRequired
    else:
        held: frozenset[str] = frozenset()
        if is_team:
            held = yield from questions.team_permissions(core, user.id, str(team_id), fresh=requirement.is_live)
        if requirement.permission not in held:
            raise TeamPermissionRequired(details={"permission_id": requirement.permission})


def _confirm(core: Core, user: HexclaveUser) -> Flow[HexclaveUser]:
    """Ask Hexclave whether user and session still exist; return the user as they are now (contract 9.20 and 11).

    Raises:
        SessionEnded: signed out, session revoked, or user deleted.
        Unavailable: it cannot be told now.
    """
    sessions = yield from questions.session_ids(core, user.id)
    if user.session_id is None or user.session_id not in sessions:
        raise SessionEnded
    fresh = yield from questions.user_by_id(core, user.id)
    if fresh is None:
        raise SessionEnded
    return _same_session(fresh, user)


def _api_key_text(attempt: Attempt, requirement: Requirement, config: HexclaveConfig) -> str | None:
    """The API key to judge a request by, or None: a requirement that takes both prefers the user's token."""
    if not requirement.takes_api_key:
        return None
    text = attempt.find_api_key(config)
    if text is None or requirement.scope == "api key":
        return text
    try:
        token = attempt.find_token(config)
    except InvalidToken:
        return None
    return text if token is None or looks_like_api_key(token) else None


def _admit_api_key(core: Core, requirement: Requirement, text: str) -> Flow[HexclaveUser | HexclaveApiKey]:
    """The key, or for a requirement about users its owner.

    Raises:
        AuthenticationError: the key is not acceptable, or is a team's where a user is asked for.
        PermissionDenied: its owner is restricted: Hexclave's own check does not look (contract 4.4).
        Unavailable: it cannot be told now.
    """
    core.config.require_server_key("checking API keys")
    key, owner = yield from questions.api_key(core, text, fresh=requirement.is_live)
    if owner is not None:
        requirement.check_kind(owner)
    if requirement.scope == "api key":
        return key
    if owner is None:
        raise WrongApiKeyType
    return owner


def _check_key_again(core: Core, requirement: Requirement, key: HexclaveApiKey) -> Flow[None]:
    """Hold a key from `check_api_key`, which lets any owner pass, against a requirement.

    Raises:
        ConfigurationError: nobody can confirm a key now without its text.
        AuthenticationError: it has expired since, its owner is gone, or anonymous.
        PermissionDenied: its owner is restricted.
        Unavailable: it cannot be told now.
    """
    if requirement.is_live:
        raise ConfigurationError("A live API key requirement needs the request's own key: use admit, not authorize.")
    if key.has_ended(core.clock()):
        raise ApiKeyExpired
    if key.user_id is not None:
        owner = yield from questions.user_by_id(core, key.user_id)
        if owner is None:
            raise ApiKeyNotFound
        requirement.check_kind(owner)


def check_api_key(core: Core, text: str) -> Flow[HexclaveApiKey]:
    """What an API key is; its owner may be of any kind, but has to exist.

    Raises:
        AuthenticationError: the key is not acceptable.
        Unavailable: it cannot be told now.
    """
    key, _ = yield from questions.api_key(core, text)
    return key
