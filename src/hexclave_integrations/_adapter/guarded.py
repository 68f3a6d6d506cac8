"""The mark on what a requirement guards, for the checks at start-up, the default, and lists of what guards each route.

One attribute holds all of it. `functools.wraps` copies attributes to functions that may do something else first, or
never call what they wrap: what holds for one function alone is noted together with that function.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any, Final

from ..requirements import Requirement

__all__ = ["guard_around", "guards_of", "mark_guarded", "mark_own", "mark_within", "own_of"]

_MARK: Final = "__hexclave_guards__"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """What is known of one function.

    Attributes:
        requirements: what it, or a function that it wraps, asks; the outermost first.
        own: what `owner` asks of its callers before it does anything else, the outermost first.
        owner: the function that this package made.
        outer: the guard that was made around this function.
    """

    requirements: tuple[Requirement, ...] = ()
    own: tuple[Requirement, ...] = ()
    owner: Any = None
    outer: Any = None


_NONE: Final = _Mark()


def mark_guarded(view: Any, requirement: Requirement) -> None:
    """Note that a view, or a function around it, asks `requirement` of its callers, besides what is noted already."""
    mark = _mark_of(view)
    setattr(view, _MARK, replace(mark, requirements=(requirement, *mark.requirements)))


def guards_of(view: Any) -> tuple[Requirement, ...]:
    """The requirements that guard a view, the outermost first: `functools.wraps` copies the mark."""
    return _mark_of(view).requirements


def mark_own(view: Any, *requirements: Requirement, around: Any = None) -> None:
    """Note that a function made by this package asks these requirements before it does anything else.

    Args:
        view: the function.
        requirements: what it asks.
        around: what it calls then and nothing else; the requirements that this asks of its own count as well.
    """
    setattr(view, _MARK, replace(_mark_of(view), owner=view, own=(*requirements, *own_of(around))))


def own_of(view: Any) -> tuple[Requirement, ...]:
    """What this very function asks of its callers first, the outermost first."""
    mark = _mark_of(view)
    target = getattr(view, "__func__", view)  # of a bound method
    return mark.own if mark.owner is target else ()


def mark_within(view: Any, guard: Any) -> None:
    """Note that a guard was made around a view, for `guard_around`; not everything takes the mark."""
    with contextlib.suppress(AttributeError, TypeError):
        setattr(view, _MARK, replace(_mark_of(view), outer=guard))


def guard_around(view: Any) -> Any:
    """The guard that was made last around a view, or around a function whose attributes it has copied; else None."""
    return _mark_of(view).outer


def _mark_of(view: Any) -> _Mark:
    mark = getattr(view, _MARK, None)
    return mark if isinstance(mark, _Mark) else _NONE
