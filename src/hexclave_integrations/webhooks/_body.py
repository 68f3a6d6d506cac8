"""Read the body of a genuine delivery, however deep what users have stored in their metadata.

Python's JSON reader recurses, and gives up where the recursion limit is reached: on Python 3.11 at fewer than 1,000
levels, less those that the caller has used. A body that a forger could send never gets here, since its signature was
checked before; so what is too deep for that reader is read once more, slowly, without recursion.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from .._base import strict

__all__ = ["read_body", "readable_part"]


def read_body(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is, of any depth.

    Raises:
        ValueError: it is no JSON object, or has a second meaning: a repeated name, a number that is none.
    """
    try:
        return strict.json_object(body, max_brackets=None)
    except ValueError:  # too deep, or wrong in a way that the other reader finds too
        value = _read_deep(body.decode())
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def readable_part(body: bytes) -> tuple[str, Mapping[str, Any]] | None:
    """The type, and the ids and other ASCII texts at the top of the data, of a body that `read_body` refuses.

    A lenient reader finds them. They are enough to forget what the event has made untrue, and good for nothing else.
    """
    try:
        payload = json.loads(body)
        kind, data = payload["type"], payload["data"]
        texts = {name: value for name, value in data.items() if isinstance(value, str) and value.isascii()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return (kind, texts) if isinstance(kind, str) else None


# A bracket, a separator, a text, or anything else up to the next of these; blanks before it.
_TOKEN: Final = re.compile(r'[ \t\r\n]*+(?:([\[\]{},:])|("(?:[^"\\]|\\.)*+"|[^\[\]{},:" \t\r\n]++))', re.DOTALL)
_BLANKS: Final = re.compile(r"[ \t\r\n]*")


class _Mark:
    """A comma or a colon between values."""


_COMMA: Final = _Mark()
_COLON: Final = _Mark()


def _read_deep(text: str) -> Any:
    """Parse JSON without recursion, as strictly as `strict.json_object`.

    Raises:
        ValueError: it is not JSON.
    """
    outermost: list[Any] = []
    opened: list[tuple[str, list[Any]]] = [("", outermost)]  # every open bracket with its values and marks so far
    position = 0
    while match := _TOKEN.match(text, position):
        position = match.end()
        sign, scalar = match.groups()
        if sign is None:
            opened[-1][1].append(_read_scalar(scalar))
        elif sign in "[{":
            opened.append((sign, []))
        elif sign in ",:":
            opened[-1][1].append(_COMMA if sign == "," else _COLON)
        else:
            bracket, parts = opened.pop()
            if bracket + sign == "[]":
                value: Any = _list_of(parts)
            elif bracket + sign == "{}":
                value = _dict_of(parts)
            else:
                raise ValueError("brackets do not match")
            opened[-1][1].append(value)
    if len(opened) != 1 or len(outermost) != 1 or not _BLANKS.fullmatch(text, position):
        raise ValueError("not one value")
    return outermost[0]


def _read_scalar(text: str) -> Any:
    return strict.json_object(b'{"":%b}' % text.encode())[""]


def _list_of(parts: list[Any]) -> list[Any]:
    values, marks = parts[::2], parts[1::2]
    if (parts and len(parts) % 2 == 0) or any(mark is not _COMMA for mark in marks) or _has_marks(values):
        raise ValueError("not a list")
    return values


def _dict_of(parts: list[Any]) -> dict[str, Any]:
    names, colons, values, commas = (parts[start::4] for start in range(4))
    is_complete = not parts or len(parts) % 4 == 3
    is_separated = all(mark is _COLON for mark in colons) and all(mark is _COMMA for mark in commas)
    if not is_complete or not is_separated or _has_marks(values) or not all(isinstance(name, str) for name in names):
        raise ValueError("not an object")
    found = dict(zip(names, values, strict=True))
    if len(found) != len(names):
        raise ValueError("duplicate key")
    return found


def _has_marks(values: list[Any]) -> bool:
    return any(isinstance(value, _Mark) for value in values)
