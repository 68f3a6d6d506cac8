"""Errors of calls of one's own to Hexclave, by a server or at a terminal, which refuse no request by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._bases import HexclaveError

__all__ = [
    "AlreadyExists",
    "CliLoginExpired",
    "CliLoginFailed",
    "CliLoginUsed",
    "HexclaveApiError",
    "InsufficientBalance",
    "NotFound",
    "ReconnectRequired",
    "VaultValueDamaged",
]


class HexclaveApiError(HexclaveError):
    """Hexclave understood a server's own call and refused it; the message holds no value of the call.

    Attributes:
        code: the known error (contract section 5), or None where Hexclave said it in words alone (contract 3.3).
        status: the HTTP status of Hexclave's answer.
        details: what Hexclave adds, which may name users, addresses and the like; the words, as `text`, without a code.
    """

    def __init__(self, code: str | None, status: int, details: Mapping[str, object] | None = None) -> None:
        super().__init__(f"Hexclave refused the call: {code or 'no code'} (status {status}).")
        self.code = code
        self.status = status
        self.details: dict[str, object] | None = dict(details) if details else None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle with the arguments of `__init__`, which are not `args`."""
        return self.__class__, (self.code, self.status, self.details)


class NotFound(HexclaveApiError):
    """The user, team, membership, permission, key, item, product, store or session is not there."""


class AlreadyExists(HexclaveApiError):
    """What was to be made is there already."""


class InsufficientBalance(HexclaveApiError):
    """The customer has less of the item than was to be taken; nothing was taken."""


class ReconnectRequired(HexclaveApiError):
    """The provider gives no such access token any more: the user has to connect their account anew."""


class CliLoginFailed(HexclaveError):
    """Nobody signed in at a terminal; the message says why, and holds no code."""


class CliLoginExpired(CliLoginFailed):
    """Nobody confirmed the sign-in in time."""

    def __init__(self) -> None:
        super().__init__("Nobody confirmed the sign-in in time. Begin anew.")


class CliLoginUsed(CliLoginFailed):
    """Hexclave has told the refresh token already, which it does once (contract 4.8)."""

    def __init__(self) -> None:
        super().__init__("The sign-in was confirmed, but its answer was lost or told elsewhere. Begin anew.")


class VaultValueDamaged(HexclaveError):
    """The data vault holds something under the key that was not encrypted by the vault for it."""
