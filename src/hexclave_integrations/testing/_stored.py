"""The state of a sandbox as a JSON value, and back: one table says what of a `Project` is kept, and as what type.

Values are written by walking them: dataclasses as objects, tuples, sets and lists as lists, a mapping whose keys are no
texts as a list of pairs. They are read against the types of the table, strictly, so that a broken file is noticed when
it is read, and not where it is used.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Literal, Union

from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ._ledger import Holding, Item, Purchase
from ._mailbox import SandboxEmail
from ._project import Project
from ._records import (
    ApiKey,
    CliLogin,
    ContactChannel,
    Invitation,
    OAuthAccount,
    Permission,
    Session,
    Team,
    User,
    VerificationCode,
)
from ._signing import SigningKeys

__all__ = ["KEPT", "TRANSIENT", "Unreadable", "dump", "dump_project", "load", "restore_project"]

# What of a project is kept. A new attribute belongs here, or below.
KEPT: Final[Mapping[str, Any]] = {
    "id": str,
    "publishable_client_key": str,
    "secret_server_key": str,
    "super_secret_admin_key": str,
    "keys": SigningKeys,
    "users": dict[str, User],
    "teams": dict[str, Team],
    "members": dict[tuple[str, str], None],
    "sessions": dict[str, Session],
    "api_keys": dict[str, ApiKey],
    "require_email_verification": bool,
    "domains": list[str],
    "client_user_deletion_enabled": bool,
    "contact_channels": dict[str, ContactChannel],
    "codes": list[VerificationCode],
    "cli_logins": list[CliLogin],
    "member_profiles": dict[str, dict[str, dict[str, Any]]],
    "invitations": dict[str, Invitation],
    "oauth_accounts": dict[str, OAuthAccount],
    "notifications": dict[str, dict[str, bool]],
    "items": dict[str, Item],
    "products": dict[str, dict[str, Any]],
    "purchases": dict[str, Purchase],
    "holdings": dict[str, Holding],
    "vault_stores": dict[str, dict[str, str]],
    "accepts_any_vault_store": bool,
    "accepts_any_item": bool,
    "emails": list[SandboxEmail],
    "team_grants": set[tuple[str, str, str]],
    "project_grants": set[tuple[str, str]],
    "permissions": dict[str, Permission],
}
# What is made anew by every process.
TRANSIENT: Final = frozenset({"base_url", "clock", "emit", "issuer_bases"})

_PLAIN: Final = (str, int, float, bool)


class Unreadable(ValueError):
    """A stored value is not what it should be; the message says where in the value, and never what stood there."""


def dump_project(project: Project) -> dict[str, Any]:
    """Everything of a project that is kept."""
    return {name: dump(getattr(project, name)) for name in KEPT}


def restore_project(project: Project, stored: object) -> None:
    """Put what was stored into a fresh project; what was not stored stays as it is.

    Raises:
        Unreadable: it is no dump of a project, or one of a newer version; the project is as it was.
    """
    if not isinstance(stored, dict):
        raise Unreadable("project is no object")
    unknown = sorted(set(stored) - set(KEPT))
    if unknown:
        raise Unreadable(f"project has {unknown[0][:40]!r}, which this version does not know")
    values = {name: load(KEPT[name], value, f"project.{name}") for name, value in stored.items()}
    try:
        values["id"] = HexclaveConfig(project_id=values["id"]).project_id
    except (KeyError, ConfigurationError):
        raise Unreadable("project.id is no project id") from None
    _check_references(values)
    for name, value in values.items():
        setattr(project, name, value)


def dump(value: Any) -> Any:
    """A value as JSON can hold it."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    kind: Any = type(value)
    names = _field_names(kind)
    if names is not None:
        return {name: dump(getattr(value, name)) for name in names}
    if isinstance(value, SigningKeys):
        return value.export()
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: dump(item) for key, item in value.items()}
        return [[dump(key), dump(item)] for key, item in value.items()]
    if isinstance(value, set | frozenset):
        return sorted((dump(item) for item in value), key=repr)  # so that the same state is the same text
    if isinstance(value, list | tuple):
        return [dump(item) for item in value]
    raise TypeError(f"A {type(value).__name__} cannot be stored: it is no dataclass and no JSON value.")


@cache
def _field_names(kind: type[Any]) -> tuple[str, ...] | None:
    return tuple(item.name for item in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None


@cache
def _types_of_fields(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def load(kind: Any, value: Any, place: str) -> Any:
    """The value of type `kind` that `dump` made `value` of.

    Args:
        kind: a type as annotations name it: a plain type, dataclass, `Any`, union, `Literal`, list, tuple, set, dict.
        place: where the value stands, for the message.

    Raises:
        Unreadable: it is none.
    """
    if kind is Any or (kind in _PLAIN and type(value) is kind):
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is SigningKeys:
        try:
            return SigningKeys.restore(value)
        except ValueError as error:
            raise Unreadable(f"{place}: {error}") from None
    if origin in (Union, types.UnionType):
        return _load_union(arguments, value, place)
    if origin is Literal:
        if any(type(value) is type(item) and value == item for item in arguments):
            return value
    elif dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _load_dataclass(kind, value, place)
    elif origin is dict:
        return _load_dict(arguments, value, place)
    elif origin is tuple and isinstance(value, list):
        if arguments[-1:] == (...,):
            return tuple(load(arguments[0], item, f"{place}[]") for item in value)
        if len(arguments) == len(value):
            return tuple(load(one, item, f"{place}[]") for one, item in zip(arguments, value, strict=True))
    elif origin in (list, set, frozenset) and isinstance(value, list):
        return origin(load(arguments[0], item, f"{place}[]") for item in value)
    elif kind in (None, type(None)):
        if value is None:
            return None
    elif kind is float and type(value) is int:
        return value
    raise Unreadable(f"{place} is not of the expected type")


def _load_union(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    if type(value) in kinds:
        return value
    for kind in kinds:
        try:
            return load(kind, value, place)
        except Unreadable as error:
            problem = error
    raise problem


def _load_dict(kinds: tuple[Any, ...], value: Any, place: str) -> dict[Any, Any]:
    key_kind, item_kind = kinds
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        pairs = [(pair[0], pair[1]) for pair in value]
    else:
        raise Unreadable(f"{place} is not of the expected type")
    return {load(key_kind, key, f"{place} key"): load(item_kind, item, f"{place}[]") for key, item in pairs}


def _load_dataclass(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise Unreadable(f"{place} is no object")
    hints = _types_of_fields(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise Unreadable(f"{place} has {unknown[0][:40]!r}, which this version does not know")
    missing = [
        name
        for name, item in fields.items()
        if name not in value and item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise Unreadable(f"{place} has no {missing[0]!r}")
    return kind(**{name: load(hints[name], item, f"{place}.{name}") for name, item in value.items()})


def _check_references(values: Mapping[str, Any]) -> None:
    """What names a user or team that is not there would fail far from here."""
    users, teams = values.get("users", {}), values.get("teams", {})
    for key, row in (*users.items(), *teams.items()):
        if row.id != key:
            raise Unreadable("project: a user or team is filed under another's id")
    members = values.get("members", {})
    pairs = {*members, *(grant[:2] for grant in values.get("team_grants", ()))}
    if any(team_id not in teams or user_id not in users for team_id, user_id in pairs):
        raise Unreadable("project.members names a user or team that is not there")
    holders = {session.user_id for session in values.get("sessions", {}).values()}
    holders |= {user_id for user_id, _ in values.get("project_grants", ())}
    selected = {user.selected_team_id for user in users.values()} - {None}
    if not holders <= set(users) or not selected <= set(teams):
        raise Unreadable("project.sessions names a user who is not there")
