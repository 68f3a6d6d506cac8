"""A request to Hexclave and its reply, as plain values. No HTTP client is in here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .. import _reasons as reasons
from .._base import strict

__all__ = ["Reply", "Request", "TransportError", "UnusableReply", "logger"]

logger = logging.getLogger("hexclave_integrations")


class TransportError(Exception):
    """No usable answer came: no connection, time-out, redirect, too much data. The text names no secret.

    Args:
        text: what happened.
        reason: what a request is refused for because of it.
    """

    def __init__(self, text: str, reason: str = reasons.NO_ANSWER) -> None:
        super().__init__(text)
        self.reason = reason


class UnusableReply(Exception):
    """An answer came that says nothing clear. The text names what is wrong with it, and no secret.

    Args:
        text: what is wrong.
        reason: what a request is refused for because of it.
    """

    def __init__(self, text: str, reason: str = reasons.API_UNUSABLE) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Request:
    """A request to make; `what` names it in our logs, which hold no path with an id (httpx logs URLs at INFO)."""

    what: str
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def real_status(self) -> int:
        """The status, also where Hexclave was asked to hide it (contract 3.3)."""
        hidden = self.headers.get("x-hexclave-actual-status") or self.headers.get("x-stack-actual-status", "")
        is_hidden = self.status == 200 and hidden.isascii() and hidden.isdigit() and len(hidden) == 3
        return int(hidden) if is_hidden else self.status

    @property
    def known_error(self) -> str | None:
        """The code of a known error (contract 3.3), or None; a failing server or proxy knows none."""
        if self.real_status >= 500:
            return None
        return self.headers.get("x-hexclave-known-error") or self.headers.get("x-stack-known-error")

    def json(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            ValueError: it is none.
        """
        return strict.json_object(self.body, max_brackets=None)
