"""Guards that are no answers: what a framework asks for its truth would be true for everybody.

`return HexclavePermission.of(...)` in a permission class, or `auth=lambda request: HexclaveAuth()`, would let everybody
in, since objects and classes of Python are true. The guards of this adapter refuse to say whether they are.
"""

from __future__ import annotations

from typing import NoReturn

from .._base.guards import NotADependency

__all__ = ["NoAnswer", "NoAnswerClass", "refuse"]


class NoAnswer:
    """Base of guards whose instances have no truth value."""

    __slots__ = ()

    def __bool__(self) -> bool:
        """Refuse to answer.

        Raises:
            NotADependency: always.
        """
        refuse(type(self))


class NoAnswerClass(type):
    """Metaclass of guards that have no truth value as classes either."""

    def __bool__(cls) -> bool:
        refuse(cls)


def refuse(guard: type) -> NoReturn:
    """Say that a guard was used as an answer.

    Raises:
        NotADependency: always.
    """
    raise NotADependency(f"{guard.__name__} is no answer: it has to guard the route, or to be called with the request.")
