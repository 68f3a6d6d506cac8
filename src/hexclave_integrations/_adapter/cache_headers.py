"""What every adapter adds to an answer, so that no cache shares what belongs to one caller (contract 1.2)."""

from __future__ import annotations

from .._token.find import HEADER_NAMES
from ..config import HexclaveConfig
from ..errors import PRIVATE

__all__ = ["PRIVATE", "cache_control", "vary_on_credentials"]


def cache_control(given: str | None) -> str:
    """A `Cache-Control` value for an answer that depends on its caller.

    Args:
        given: the application's own; what it says of age stays, and shared caches are kept out unless it says `public`.
    """
    if not given:
        return PRIVATE
    directives = {part.strip().partition("=")[0].lower() for part in given.split(",")}
    return given if directives & {"public", "private", "no-store"} else f"{given}, private"


def vary_on_credentials(vary: str | None, config: HexclaveConfig) -> str:
    """A `Vary` value that names every header credentials are read from (RFC 9110 section 12.5.5).

    Args:
        vary: what the answer has so far.
    """
    names = [name.strip() for name in (vary or "").split(",") if name.strip()]
    present = {name.lower() for name in names}
    if "*" in present:
        return "*"
    wanted = [*HEADER_NAMES, config.api_key_header]
    if config.accept_cookies:
        wanted.append("cookie")
    return ", ".join(names + [name.title() for name in wanted if name not in present])
