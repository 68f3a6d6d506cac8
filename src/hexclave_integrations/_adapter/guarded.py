"""The mark on what a requirement guards, for the checks at start-up and for lists of what guards each route."""

from __future__ import annotations

from typing import Any, Final

from ..requirements import Requirement

__all__ = ["guards_of", "mark_guarded"]

_MARK: Final = "__hexclave_requirements__"


def mark_guarded(view: Any, requirement: Requirement) -> None:
    """Note that a view, or a function around it, asks `requirement` of its callers, besides what is noted already."""
    setattr(view, _MARK, (requirement, *guards_of(view)))


def guards_of(view: Any) -> tuple[Requirement, ...]:
    """The requirements that guard a view, the outermost first: `functools.wraps` copies the mark."""
    found: tuple[Requirement, ...] = getattr(view, _MARK, ())
    return found
