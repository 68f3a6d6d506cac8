"""Access tokens that are offered as websocket subprotocols, since a browser cannot set headers on a websocket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["SUBPROTOCOL", "split_offered"]

SUBPROTOCOL: Final = "hexclave"
"""What a client offers besides its token, and a server selects."""

# A JWT has only characters that are allowed in a subprotocol.
_TOKEN: Final = "hexclave.access-token."


def split_offered(offered: Iterable[str]) -> tuple[list[str], list[str]]:
    """The tokens among offered subprotocols, and the other subprotocols."""
    names = list(offered)
    tokens = [name[len(_TOKEN) :] for name in names if name.startswith(_TOKEN)]
    return tokens, [name for name in names if not name.startswith(_TOKEN)]
