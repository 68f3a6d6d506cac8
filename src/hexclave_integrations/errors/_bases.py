"""The root of the tree, what is wrong with settings and arguments, and refusals with their HTTP answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from .. import _reasons as reasons

__all__ = [
    "PRIVATE",
    "ConfigurationError",
    "HexclaveError",
    "InvalidArgument",
    "RequestRefused",
    "Unavailable",
]

PRIVATE: Final = "private, no-store"
"""The `Cache-Control` of an answer that is meant for one caller."""


class HexclaveError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigurationError(HexclaveError):
    """A setting is missing or wrong; the message names the setting and the fix, never a secret's value."""


class InvalidArgument(HexclaveError, ValueError):
    """An argument cannot be right, so nothing was sent; the message names the argument, never its value."""


class RequestRefused(HexclaveError):
    """A request is refused; the error knows its status, code, details and headers.

    Attributes:
        status: the HTTP status.
        code: the machine-readable code, as Hexclave's own API spells it (contract section 5).
        details: extra facts for the caller, or None.
        challenge: the value of `WWW-Authenticate` after the realm, or None where no challenge is due.
        reason: for the developer: which check failed, and which setting may be wrong. One of a closed set of fixed
            sentences, and in no answer.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    text: ClassVar[str]
    challenge: ClassVar[str | None] = None
    # Of the class by itself; where it can be several things, whoever raises it says which.
    reason: str = reasons.REFUSED

    def __init__(self, *, details: Mapping[str, object] | None = None, reason: str | None = None) -> None:
        super().__init__(self.text)
        self.details: dict[str, object] | None = dict(details) if details else None
        if reason is not None:
            self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle without `__init__`, whose arguments are keywords: worker pools send errors home."""
        return self.__class__.__new__, (self.__class__, *self.args), self.__dict__

    def headers(self) -> list[tuple[str, str]]:
        """The answer's headers, without `Vary`, whose value depends on the configuration."""
        fields = [("Content-Type", "application/json"), ("Cache-Control", PRIVATE)]
        if self.challenge is not None:
            fields.append(("WWW-Authenticate", 'Bearer realm="hexclave"' + self.challenge))
        return fields

    def body(self) -> bytes:
        """The answer's body: `{"code", "error", "details"?}`, the shape of Hexclave's API (contract 3.3)."""
        content: dict[str, object] = {"code": self.code, "error": self.text}
        if self.details is not None:
            content["details"] = self.details
        return json.dumps(content, separators=(",", ":")).encode()


class Unavailable(RequestRefused):
    """503: keys or permissions cannot be checked now.

    Args:
        retry_after: seconds the caller should wait, sent as `Retry-After` (RFC 9110 section 10.2.3).
    """

    status = 503
    code = "HEXCLAVE_UNAVAILABLE"
    text = "Authentication cannot be checked right now. Try again shortly."
    reason = reasons.UNAVAILABLE

    def __init__(self, *, retry_after: float = 1.0, reason: str | None = None) -> None:
        super().__init__(reason=reason)
        self.retry_after: int = max(1, round(retry_after))

    def repeated(self) -> Unavailable:
        """The same answer for another request."""
        return Unavailable(retry_after=self.retry_after, reason=self.reason)

    def headers(self) -> list[tuple[str, str]]:
        return [*super().headers(), ("Retry-After", str(self.retry_after))]
