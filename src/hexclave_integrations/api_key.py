"""`HexclaveApiKey`: a checked user or team API key, and the offline look at a key's text (contract 4.4)."""

from __future__ import annotations

import re
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from . import _reasons as reasons
from ._base.guards import NeverFromRequest, SignatureOfValue, shows_only, with_signature

__all__ = ["HexclaveApiKey", "ParsedApiKey", "looks_like_api_key", "parse_api_key", "why_no_api_key"]

_MARKER: Final = "574ck4u7h"
# 64 characters for the application's own prefix: the format sets no bound, a key checker needs one.
_FORMAT = re.compile(r"[a-zA-Z0-9_]{1,64}_\w{45}([0-9a-f]{32})(user|team)\w574ck4u7h([0-9a-f]{8})", re.ASCII)


@with_signature(SignatureOfValue("Use Depends(require_api_key)"))
@shows_only("id", "type", "user_id", "team_id")
@dataclass(frozen=True, slots=True, kw_only=True)
class HexclaveApiKey(NeverFromRequest):
    """An API key that Hexclave knows, neither revoked nor expired when it was checked.

    Attributes:
        id: the key's UUID.
        type: `user` or `team`: whose key it is.
        user_id: the owner, for a user's key.
        team_id: the owner, for a team's key.
        description: what its maker wrote.
        expires_at: its end, or None.
        is_public: whether it is of the kind that may be shown.
    """

    id: str
    type: Literal["user", "team"]
    user_id: str | None = None
    team_id: str | None = None
    description: str = field(default="", repr=False)
    expires_at: datetime | None = None
    is_public: bool = False

    @classmethod
    def from_api(cls, body: Mapping[str, Any]) -> HexclaveApiKey:
        """Read the API's key object; absent fields are unset ones (contract 4.4 and 9.3).

        Raises:
            KeyError, TypeError, ValueError, OverflowError: the object is no usable key.
        """
        kind, ends = body["type"], body.get("expires_at_millis")
        if kind not in ("user", "team") or body.get("manually_revoked_at_millis") is not None:
            raise ValueError("not a usable key")
        if not isinstance(body["id"], str) or not isinstance(body[f"{kind}_id"], str):
            raise TypeError("not a key object")
        return cls(
            id=body["id"],
            type=kind,
            user_id=body["user_id"] if kind == "user" else None,
            team_id=body["team_id"] if kind == "team" else None,
            description=str(body.get("description") or ""),
            expires_at=None if ends is None else datetime.fromtimestamp(ends / 1000, UTC),
            is_public=body.get("is_public") is True,
        )

    def has_ended(self, now: float) -> bool:
        """Whether the key is over; one without an end never is.

        Args:
            now: epoch seconds.
        """
        return self.expires_at is not None and now >= self.expires_at.timestamp()


@dataclass(frozen=True, slots=True)
class ParsedApiKey:
    """What a key's text says of itself; only Hexclave knows whether it is true."""

    id: str
    type: Literal["user", "team"]


def looks_like_api_key(text: str) -> bool:
    """Whether a text means to be an API key, well-formed or not."""
    return "_" in text and _MARKER in text


def parse_api_key(text: str) -> ParsedApiKey | None:
    """Read a key's text and check its CRC-32, which spares a question for every typing error; None for no key."""
    match = _FORMAT.fullmatch(text)
    if match is None or int(match[3], 16) != zlib.crc32(text[:-8].encode("ascii")):
        return None
    return ParsedApiKey(str(uuid.UUID(match[1])), "user" if match[2] == "user" else "team")


def why_no_api_key(text: str) -> str:
    """Why `parse_api_key` makes nothing of a text."""
    return reasons.API_KEY_CHECKSUM if _FORMAT.fullmatch(text) else reasons.API_KEY_FORMAT
