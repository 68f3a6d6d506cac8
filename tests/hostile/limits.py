"""How long an answer to hostile input may take."""

from __future__ import annotations

from typing import Final

__all__ = ["ATTEMPTS", "TIME_LIMIT"]

TIME_LIMIT: Final = 0.05
"""Seconds."""

ATTEMPTS: Final = 8
"""The best of so many counts, since the machine may be busy; most need one."""
