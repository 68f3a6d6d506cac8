"""Readers of replies: each gives a function from a reply to a value, which raises ValueError for what is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from .._wire.messages import Reply
from ..records import Record, TeamMemberData, UserData

__all__ = ["Page", "done", "page_of", "record", "records", "text_in"]

R = TypeVar("R", bound=Record)
_KIND: Final = ("is_anonymous", "is_restricted")


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """A part of a list, and where the next one begins, or None."""

    items: list[R]
    next_cursor: str | None


def record(kind: type[R], **expected: str) -> Callable[[Reply], R]:
    """One object.

    Args:
        expected: fields that have to be so: an answer about somebody else is none.
    """
    return lambda reply: _read(kind, reply.json(), expected)


def records(kind: type[R], **expected: str) -> Callable[[Reply], list[R]]:
    """A list without pages (contract 3.3); arguments as for `record`, for every object."""
    return lambda reply: [_read(kind, row, expected) for row in _rows(reply.json())]


def page_of(kind: type[R]) -> Callable[[Reply], Page[R]]:
    """A page of a list (contract 3.3)."""

    def read(reply: Reply) -> Page[R]:
        body = reply.json()
        pagination = body.get("pagination")
        cursor = pagination.get("next_cursor") if isinstance(pagination, dict) else None
        if cursor is not None and (not isinstance(cursor, str) or not cursor):
            raise ValueError("no cursor")
        return Page([_read(kind, row, {}) for row in _rows(body)], cursor)

    return read


def text_in(name: str) -> Callable[[Reply], str]:
    """A text that the answer has under a name."""

    def read(reply: Reply) -> str:
        value = reply.json().get(name)
        if not isinstance(value, str):
            raise ValueError(f"no {name}")
        return value

    return read


def done(reply: Reply) -> None:
    """Nothing but that it was done: any object will do."""
    reply.json()


def _rows(body: dict[str, Any]) -> list[Any]:
    rows = body.get("items")
    if not isinstance(rows, list):
        raise ValueError("no list")
    return rows


def _read(kind: type[R], row: object, expected: dict[str, str]) -> R:
    if not isinstance(row, dict):
        raise ValueError("no object")
    found = kind.read(row)
    if any(row.get(name) != value for name, value in expected.items()):
        raise ValueError("about something else")
    # Whoever asks a user's kind must not take a missing answer for "regular"; webhooks are read more leniently.
    user = found.user if isinstance(found, TeamMemberData) else found
    if isinstance(user, UserData) and not all(type(user.get(name)) is bool for name in _KIND):
        raise ValueError("a user of no kind")
    return found
