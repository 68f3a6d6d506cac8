"""How long the body of a delivery says that it is."""

from __future__ import annotations

__all__ = ["is_short"]


def is_short(content_length: str | None, limit: int) -> bool:
    """Whether a body declares a length up to a limit: servers hand over no more than was declared.

    Args:
        content_length: the header, None without one.
        limit: in bytes.
    """
    text = content_length or ""
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= limit
