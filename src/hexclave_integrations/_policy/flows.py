"""Policy, written once for sync and async: generators that yield what they need and return what they decided.

A flow does no I/O, takes no lock and has no colour: `_drivers.py` runs it, and a test steps it by hand with
`next(flow)` and `flow.send(reply)`. What it may yield stands in `effects.py`. A flow that was waited for has
written its result into the key ring or a cache before its waiters are woken, so they look there again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .. import _reasons as reasons
from .._base import strict
from .._memory.caches import VerifiedToken
from ..api_key import HexclaveApiKey, looks_like_api_key
from ..config import HexclaveConfig
from ..errors import (
    ApiKeyExpired,
    ApiKeyNotFound,
    ConfigurationError,
    CrossOriginRefused,
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
from . import payments, questions
from .attempt import Attempt, Unproved
from .effects import Call, Flow
from .key_flows import ask_for_kinds, key_set_with, warm
from .spending import Customer, Spending
from .state import Core

__all__ = ["admit", "authorize", "conclude", "current_user", "identify", "prove", "verify_token", "warm"]

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
    return core.outcome(attempt, core.clock(), optional=optional)


def prove(core: Core, unproved: Unproved) -> Flow[VerifiedToken]:
    """Verify a token whose key was not at hand; it may be over by now.

    Raises:
        AuthenticationError: the token is not acceptable.
        Unavailable: it cannot be told now.
    """
    key_set = yield from key_set_with(core, unproved.parsed.kid)
    known = core.tokens.get(unproved.name)
    if known is not None and known.generation == key_set.generation:
        # The keys are past their age and cannot be refreshed: what they proved once need not be proved again.
        return known
    token = core.prove(unproved, key_set, core.clock())
    if token is None:
        yield from ask_for_kinds(core)
        token = core.prove(unproved, core.ring.current, core.clock())
    if token is None:
        raise Unavailable(reason=reasons.KINDS_UNKNOWN)
    return token


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
    try:
        user = yield from verify_token(core, token)
        return _same_session((yield from questions.user_of_token(core, token)), user)
    except RequestRefused as error:
        core.note(error)
        raise


def _same_session(fresh: HexclaveUser, user: HexclaveUser) -> HexclaveUser:
    """The fresh facts with the session, end and claims of the verified token.

    Raises:
        SessionEnded: Hexclave speaks of another user.
    """
    if fresh.id != user.id:
        raise SessionEnded(reason=reasons.ANOTHER_USER)
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
    try:
        principal: HexclaveUser | HexclaveApiKey | None
        text = _api_key_text(attempt, requirement, core.config)
        if text is not None:
            principal = yield from _admit_api_key(core, requirement, text)
        elif requirement.scope == "api key":
            principal = None
        else:
            principal = yield from identify(core, attempt, optional=requirement.optional)
        why_nobody = partial(attempt.why_nobody, core.config)
        if requirement.spend and attempt.spending is None:
            attempt.spending = Spending()
        spending = attempt.spending if requirement.spend else None
        is_confirmed = text is not None
        principal = yield from _decide(
            core, requirement, principal, params, request, is_confirmed, why_nobody, spending
        )
        core.admitted(requirement, principal)
        return principal
    except RequestRefused as error:
        attempt.was_refused = True
        core.note(error, attempt)
        raise


def authorize(
    core: Core,
    requirement: Requirement,
    principal: HexclaveUser | HexclaveApiKey | None,
    params: Mapping[str, Any],
    request: object,
) -> Flow[HexclaveUser | HexclaveApiKey | None]:
    """Hold a verified user or API key, or nobody, against a requirement; arguments and errors as for `admit`."""
    spending = Spending() if requirement.spend else None
    try:
        principal = yield from _decide(core, requirement, principal, params, request, False, lambda: None, spending)
        core.admitted(requirement, principal)
        return principal
    except RequestRefused as error:
        core.note(error)
        raise
    finally:
        if spending is not None:
            spending.close()  # where the caller has not waited for the end, what is taken then goes back


def conclude(core: Core, attempt: Attempt, status: int | None) -> Flow[None]:
    """A request has ended: give back what it had spent, where that is due (see `spending.py`).

    Args:
        status: of the answer; None where there is none, because the handler raised or was cancelled.
    """
    if attempt.spending is not None:
        yield from payments.give_back(core, attempt.spending, status, was_refused=attempt.was_refused)


def _decide(
    core: Core,
    requirement: Requirement,
    principal: HexclaveUser | HexclaveApiKey | None,
    params: Mapping[str, Any],
    request: object,
    is_confirmed: bool,
    why_nobody: Callable[[], str | None],
    spending: Spending | None,
) -> Flow[HexclaveUser | HexclaveApiKey | None]:
    """As `authorize`.

    Args:
        is_confirmed: whether the principal is an API key, or its owner, as `api_key` checked it.
        why_nobody: gives the reason to refuse nobody for.
        spending: what was taken for the request so far, for a requirement that takes something.
    """
    if requirement.needs_server_key:
        core.config.require_server_key("this requirement")
    if principal is None:
        if requirement.optional:
            return None
        raise NotAuthenticated(reason=reasons.API_KEY_WANTED if requirement.scope == "api key" else why_nobody())
    if isinstance(principal, HexclaveApiKey):
        if requirement.scope != "api key":
            raise NotAuthenticated(reason=reasons.USER_WANTED)
        if not is_confirmed:
            yield from _check_key_again(core, requirement, principal)
        return principal
    if requirement.scope == "api key":
        raise NotAuthenticated(reason=reasons.API_KEY_WANTED)
    user = principal
    if user.project_id != core.config.project_id:
        raise WrongProject(reason=reasons.USER_OF_ANOTHER_PROJECT)
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
        customer: Customer = ("user", user.id)
        if requirement.team is not None:
            team_id = yield Call(partial(requirement.team_id, params, request, user.selected_team_id))
            yield from _check_team(core, requirement, user, team_id)
            customer = ("team", str(team_id).lower())
        if requirement.scope in ("item", "product"):
            yield from payments.check_paid(core, requirement, customer, spending)
    return user


def _check_team(core: Core, requirement: Requirement, user: HexclaveUser, team_id: object) -> Flow[None]:
    """Hold a user against the team of a requirement: who pays with a team's money is a member of it."""
    is_team = isinstance(team_id, str) and strict.is_uuid(team_id)
    # Hexclave lets nobody select a team that they are not a member of, and vouches for it in the token.
    is_theirs = is_team and user.selected_team_id is not None and user.selected_team_id.lower() == str(team_id).lower()
    options = {"fresh": requirement.is_live, "is_theirs": is_theirs}
    if requirement.scope != "team permission":
        ask = questions.is_team_member
        if not is_team or not (yield from ask(core, user.id, str(team_id), **options)):
            raise TeamMembershipRequired(reason=None if is_team else reasons.NO_TEAM)
    else:
        held: frozenset[str] = frozenset()
        if is_team:
            held = yield from questions.team_permissions(core, user.id, str(team_id), **options)
        if requirement.permission not in held:
            reason = None if is_team else reasons.NO_TEAM
            raise TeamPermissionRequired(details={"permission_id": requirement.permission}, reason=reason)


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
        raise SessionEnded(reason=reasons.USER_GONE)
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
    except (InvalidToken, CrossOriginRefused):
        return None  # what the credentials came to is then told of the user
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
            raise ApiKeyNotFound(reason=reasons.API_KEY_OWNER_GONE)
        requirement.check_kind(owner)


def check_api_key(core: Core, text: str) -> Flow[HexclaveApiKey]:
    """What an API key is; its owner may be of any kind, but has to exist.

    Raises:
        AuthenticationError: the key is not acceptable.
        Unavailable: it cannot be told now.
    """
    try:
        key, _ = yield from questions.api_key(core, text)
        return key
    except RequestRefused as error:
        core.note(error)
        raise
