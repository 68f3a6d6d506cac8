"""What may be said in a call: everything is checked here before anything is sent.

A message names the argument and never its value.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias
from urllib.parse import quote
from uuid import UUID

from .._base import strict
from ..errors import InvalidArgument

__all__ = [
    "Id",
    "check_fields",
    "check_text",
    "custom_id",
    "customer",
    "json_body",
    "millis",
    "name_in_path",
    "number",
    "owner",
    "permission_in_path",
    "seconds_in_millis",
    "uuid",
]

Id: TypeAlias = str | UUID
"""An id of Hexclave's: a UUID, as text or as such."""

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,127}", re.ASCII)
_PERMISSION: Final = re.compile(r"\$?[a-z0-9_:]{1,127}", re.ASCII)
# A custom customer is whatever the application calls it. What would end a segment of a path, or be read as an escape
# by a proxy on the way, is left out.
_CUSTOM: Final = re.compile(r"(?!\.{1,2}\Z)[!-~]{1,256}", re.ASCII)
_NO_SEGMENT: Final = frozenset("/\\?#%")
# An escaped NUL; an even number of backslashes before it are escaped ones themselves. PostgreSQL has no such text.
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def uuid(name: str, value: object) -> str:
    """An id in its usual spelling, which needs no escape in a path.

    Raises:
        InvalidArgument: it is no UUID (contract 9.1).
    """
    text = str(value) if isinstance(value, UUID) else value
    if not isinstance(text, str) or not strict.is_uuid(text):
        raise InvalidArgument(f"{name} is no UUID.")
    return text.lower()


def name_in_path(name: str, value: object) -> str:
    """The id of an item, product, store or provider.

    Raises:
        InvalidArgument: it has other characters than such ids have.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidArgument(f"{name} has to be of letters, digits, underscores and hyphens.")
    return value


def custom_id(name: str, value: object) -> str:
    """The id that an application has given a customer; percent-encode it for a path.

    Raises:
        InvalidArgument: it could not be sent in a path and arrive unchanged.
    """
    if not isinstance(value, str) or not _CUSTOM.fullmatch(value) or _NO_SEGMENT.intersection(value):
        raise InvalidArgument(f"{name} has to be of visible ASCII characters without / \\ ? # and %.")
    return value


def permission_in_path(value: object) -> str:
    """A permission's id, percent-encoded (contract 4.3).

    Raises:
        InvalidArgument: it has other characters than permissions have.
    """
    if not isinstance(value, str) or not _PERMISSION.fullmatch(value):
        raise InvalidArgument("permission has to be of lower-case letters, digits, _ and :, after a $ at most.")
    return quote(value, safe="")


def check_text(name: str, value: object) -> str:
    """A text that is not empty.

    Raises:
        InvalidArgument: it is none.
    """
    if not isinstance(value, str) or not value:
        raise InvalidArgument(f"{name} has to be a text that is not empty.")
    if "\0" in value:
        raise InvalidArgument(f"{name} has a NUL in it.")
    return value


def number(name: str, value: object, least: int, most: int) -> int:
    """A whole number within bounds.

    Raises:
        InvalidArgument: it is none.
    """
    if type(value) is not int or not least <= value <= most:
        raise InvalidArgument(f"{name} has to be a whole number from {least} to {most}.")
    return value


def millis(name: str, value: datetime | None) -> int | None:
    """Epoch milliseconds of a moment.

    Raises:
        InvalidArgument: it has no time zone, so that nobody knows which moment it is.
    """
    if value is None:
        return None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidArgument(f"{name} has to be a datetime with a time zone.")
    return int(value.timestamp() * 1000)


def seconds_in_millis(name: str, value: float | timedelta, most: float) -> int:
    """Milliseconds of a length of time, at least one.

    Args:
        value: seconds, or a `timedelta`.
        most: seconds.

    Raises:
        InvalidArgument: it is none, or out of bounds.
    """
    seconds: object = value.total_seconds() if isinstance(value, timedelta) else value
    # The comparison refuses NaN too.
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.001 <= seconds <= most:
        raise InvalidArgument(f"{name} has to be a number of seconds up to {most:g}, or a timedelta.")
    return round(seconds * 1000)


def check_fields(function: str, known: Collection[str], given: Collection[str], required: Collection[str] = ()) -> None:
    """Refuse the names of fields that Hexclave does not know, as Python does with arguments.

    Raises:
        TypeError: a name is unknown, or one that is required is missing.
    """
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}."
            raise TypeError(f"{function}() got an unexpected field {name}: {hint}")
    for name in required:
        if name not in given:
            raise TypeError(f"{function}() needs the field {name}.")


def owner(user_id: Id | None, team_id: Id | None) -> tuple[str, str]:
    """Whose it is: `user` or `team`, and the id.

    Raises:
        TypeError: neither or both are given.
        InvalidArgument: the id is none.
    """
    if (user_id is None) == (team_id is None):
        raise TypeError("Give exactly one of user_id and team_id.")
    return ("user", uuid("user_id", user_id)) if team_id is None else ("team", uuid("team_id", team_id))


def customer(user_id: Id | None, team_id: Id | None, custom: str | None) -> tuple[str, str]:
    """Who buys: `user`, `team` or `custom`, and the id (contract 4.5).

    Raises:
        TypeError: none or several are given.
        InvalidArgument: the id is none.
    """
    if sum(each is not None for each in (user_id, team_id, custom)) != 1:
        raise TypeError("Give exactly one of user_id, team_id and custom_id.")
    return owner(user_id, team_id) if custom is None else ("custom", custom_id("custom_id", custom))


def json_body(fields: Mapping[str, Any]) -> bytes:
    """The JSON text of a body.

    Raises:
        InvalidArgument: a value cannot be written as JSON, or Hexclave's database could not keep it.
    """
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        body = text.encode()
    except (TypeError, ValueError, RecursionError):  # a lone surrogate is a ValueError
        text, body = "", b""
    if not body:
        raise InvalidArgument("A field holds what JSON cannot express.")
    if _NUL.search(text):
        raise InvalidArgument("A field holds a NUL.")
    return body
