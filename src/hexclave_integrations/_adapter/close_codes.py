"""With which code a refused websocket is closed."""

from __future__ import annotations

from ..errors import RequestRefused, Unavailable

__all__ = ["close_code"]


def close_code(error: RequestRefused, *, is_readable: bool = False) -> int:
    """1008 policy violation, or 1013 try again later (RFC 6455 section 7.4 and its registry).

    Args:
        error: the refusal.
        is_readable: the websocket was accepted for its page to read the code: 4401 and 4403 then tell "sign in, or
            refresh the token" from "not allowed".
    """
    if isinstance(error, Unavailable):
        return 1013
    return 4000 + error.status if is_readable else 1008
