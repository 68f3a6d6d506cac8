"""Whether a thread runs an event loop, which nothing may hold up."""

from __future__ import annotations

import asyncio

__all__ = ["in_event_loop"]


def in_event_loop() -> bool:
    """Whether this thread runs an event loop, which must not wait for anything."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
