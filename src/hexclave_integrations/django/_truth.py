"""Guards that are no answers: what a framework asks for its truth would be true for everybody.

`return HexclavePermission.of(...)` in a permission class, or `auth=lambda request: HexclaveAuth()`, would let everybody
in, since objects and classes of Python are true. The guards of this adapter refuse to say whether they are.
"""

from __future__ import annotations

from typing import Any, NoReturn

from .._base.guards import NotADependency

__all__ = ["NoAnswer", "no_answer"]


class NoAnswer:
    """Base of guards whose instances have no truth value."""

    __slots__ = ()

    def __bool__(self) -> bool:
        """Refuse to answer.

        Raises:
            NotADependency: always.
        """
        refuse(type(self))


def no_answer(base: type) -> Any:
    """The metaclass for guards that have no truth value as classes either.

    Args:
        base: the class to be subclassed, whose metaclass this one extends.
    """

    class ClassIsNoAnswer(type(base)):  # type: ignore[misc]  # known only at run time
        def __bool__(cls) -> bool:
            refuse(cls)

    return ClassIsNoAnswer


def refuse(guard: type) -> NoReturn:
    """Say that a guard was used as an answer.

    Raises:
        NotADependency: always.
    """
    raise NotADependency(f"{guard.__name__} is no answer: it has to guard the route, or to be called with the request.")
