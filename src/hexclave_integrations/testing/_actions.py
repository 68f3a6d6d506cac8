"""What the sandbox's page can do: each action is a name, its arguments, and a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from ..user import UserKind
from ._handles import SandboxApiKey
from ._outage import OutageKind
from ._view import variables

if TYPE_CHECKING:
    from .sandbox import Sandbox

__all__ = ["BadAction", "act"]

_LONGEST: Final = 2000
_TOKEN_SECONDS: Final = 600


class BadAction(Exception):
    """The action cannot be done; the message says why, for the page."""


@dataclass(frozen=True, slots=True)
class _Action:
    """An action; every argument is a text.

    Args:
        needs: arguments that must be there.
        may: arguments that may.
    """

    run: Callable[[Sandbox, Mapping[str, str]], dict[str, Any] | None]
    needs: tuple[str, ...] = ()
    may: tuple[str, ...] = ()


def act(sandbox: Sandbox, name: str, arguments: object) -> dict[str, Any]:
    """Do an action; return what it tells.

    Raises:
        BadAction: there is none of this name, or it cannot be done.
    """
    action = _ACTIONS.get(name)
    if action is None:
        raise BadAction("There is no such action.")
    if not isinstance(arguments, dict):
        raise BadAction("An action's arguments are an object.")
    texts = {key: value for key, value in arguments.items() if value not in (None, "")}
    if not all(isinstance(value, str) and len(value) <= _LONGEST for value in texts.values()):
        raise BadAction(f"An argument is a text of at most {_LONGEST} characters.")
    if set(texts) - {*action.needs, *action.may}:
        raise BadAction("The action does not know one of its arguments.")
    for need in action.needs:
        if need not in texts:
            raise BadAction(f"Fill in: {need.replace('_', ' ')}.")
    try:
        return action.run(sandbox, texts) or {}
    except (LookupError, ValueError, TypeError) as error:
        raise BadAction(str(error)) from None


def _create_user(sandbox: Sandbox, given: Mapping[str, str]) -> dict[str, Any]:
    name, email = given.get("display_name"), given.get("primary_email")
    user = sandbox.create_user(cast(UserKind, given["kind"]), display_name=name, primary_email=email)
    return {"id": user.id}


def _token(sandbox: Sandbox, given: Mapping[str, str]) -> dict[str, Any]:
    return {"token": sandbox.token(given["user"], _TOKEN_SECONDS), "seconds": _TOKEN_SECONDS}


def _create_team(sandbox: Sandbox, given: Mapping[str, str]) -> dict[str, Any]:
    return {"id": sandbox.create_team(given["display_name"], given.get("creator")).id}


def _create_api_key(sandbox: Sandbox, given: Mapping[str, str]) -> dict[str, Any]:
    kind, _, owner_id = given["owner"].partition(":")
    user, team = (owner_id, None) if kind == "user" else (None, owner_id)
    key = sandbox.create_api_key(user, team, description=given.get("description", "Made on the page"))
    return {"id": key.id, "value": key.value}


def _revoke_api_key(sandbox: Sandbox, given: Mapping[str, str]) -> None:
    try:
        sandbox.revoke_api_key(SandboxApiKey(given["id"], ""))
    except KeyError:
        raise LookupError("This sandbox has no such API key.") from None


def _end_session(sandbox: Sandbox, given: Mapping[str, str]) -> None:
    with sandbox._lock:
        if sandbox._project.sessions.pop(given["id"], None) is None:
            raise LookupError("This sandbox has no such session.")


def _begin_outage(sandbox: Sandbox, given: Mapping[str, str]) -> None:
    kind = given["kind"]
    if kind not in get_args(OutageKind):
        raise ValueError(f"An outage is one of {', '.join(get_args(OutageKind))}.")
    sandbox.outage(cast(OutageKind, kind), paths=tuple(given.get("paths", "").split()))


def _end_outage(sandbox: Sandbox, given: Mapping[str, str]) -> None:
    for outage in list(sandbox._outages):
        outage.end()


_ACTIONS: Final[Mapping[str, _Action]] = {
    "create-user": _Action(_create_user, ("kind",), ("display_name", "primary_email")),
    "delete-user": _Action(lambda sandbox, given: sandbox.delete_user(given["user"]), ("user",)),
    "restrict": _Action(lambda sandbox, given: sandbox.restrict(given["user"]), ("user",)),
    "unrestrict": _Action(lambda sandbox, given: sandbox.unrestrict(given["user"]), ("user",)),
    "sign-out": _Action(lambda sandbox, given: sandbox.sign_out(given["user"]), ("user",)),
    "token": _Action(_token, ("user",)),
    "create-team": _Action(_create_team, ("display_name",), ("creator",)),
    "delete-team": _Action(lambda sandbox, given: sandbox.delete_team(given["team"]), ("team",)),
    "add-member": _Action(lambda sandbox, given: sandbox.add_member(given["team"], given["user"]), ("team", "user")),
    "remove-member": _Action(
        lambda sandbox, given: sandbox.remove_member(given["team"], given["user"]), ("team", "user")
    ),
    "grant": _Action(
        lambda sandbox, given: sandbox.grant(given["user"], given["permission"], given.get("team")),
        ("user", "permission"),
        ("team",),
    ),
    "revoke": _Action(
        lambda sandbox, given: sandbox.revoke(given["user"], given["permission"], given.get("team")),
        ("user", "permission"),
        ("team",),
    ),
    "create-api-key": _Action(_create_api_key, ("owner",), ("description",)),
    "revoke-api-key": _Action(_revoke_api_key, ("id",)),
    "end-session": _Action(_end_session, ("id",)),
    "rotate-keys": _Action(lambda sandbox, given: sandbox.rotate_keys()),
    "begin-outage": _Action(_begin_outage, ("kind",), ("paths",)),
    "end-outage": _Action(_end_outage),
    "variables": _Action(lambda sandbox, given: {"variables": variables(sandbox)}),
}
