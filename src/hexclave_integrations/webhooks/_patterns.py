"""What `Webhooks.on` is given: patterns of types, and functions that can be handlers."""

from __future__ import annotations

import difflib
import inspect
import warnings
from typing import Final

from ._events import KNOWN_TYPES

__all__ = ["UnknownEventType", "matches", "warn_of_misspelling", "yields"]

_NEAR: Final = 0.85
"""How alike two names are where one is taken for a misspelling, from 0 to 1."""


class UnknownEventType(UserWarning):
    """A handler is registered for a type of event that looks like a misspelling of a known one."""


def warn_of_misspelling(pattern: str) -> None:
    """Types of the future stay possible: only what is nearly a known name is taken for a mistake."""
    is_family = pattern.endswith(".*")
    known = [kind.partition(".")[0] for kind in KNOWN_TYPES] if is_family else KNOWN_TYPES
    name = pattern.removesuffix(".*")
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=_NEAR)
    if near and name not in known:
        best = near[0] + ".*" * is_family
        text = f'on("{pattern}"): Hexclave is not known to send such an event; did you mean "{best}"?'
        warnings.warn(text, UnknownEventType, stacklevel=3)


def matches(pattern: str, kind: str) -> bool:
    """Whether a handler for a pattern is meant for a type of event."""
    return pattern in ("*", kind) or (pattern.endswith(".*") and kind.startswith(pattern[:-1]))


def yields(function: object) -> bool:
    """Whether calling a function runs nothing of it."""
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
