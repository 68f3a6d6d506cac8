"""Guards against spellings that type-check and would let everybody in.

FastAPI takes any callable for a dependency and reads its parameters from the request. `Depends(require_team)`
without the call, `Depends(require_user.live)` or `Depends(HexclaveUser)` would then "succeed" for everyone.
Whatever must not be a dependency refuses to show a signature, which stops the application at start-up.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ..errors import ConfigurationError

__all__ = ["NeverFromRequest", "NotADependency", "RefusesAsDependency", "Unapplied"]


class NotADependency(ConfigurationError, TypeError):
    """A value is used as what it is not. A TypeError as well, which `help()` and other readers take for "none"."""


class RefusesAsDependency:
    """A `__signature__` for a class: the class itself refuses to be inspected, its instances do not.

    Args:
        fix: what to write instead.
    """

    def __init__(self, fix: str) -> None:
        self.fix = fix

    def __get__(self, instance: object, owner: type) -> NoReturn:
        if instance is None:
            raise NotADependency(f"{owner.__name__} is no dependency. {self.fix}.")
        raise AttributeError("__signature__")


class NeverFromRequest:
    """Base of values that speak for a caller: Pydantic may write one into a response and never read one.

    FastAPI takes an annotation without a dependency for the request body: with this schema such a route answers
    422 to everybody instead of believing the caller.
    """

    __slots__ = ()

    def _public(self) -> dict[str, Any]:
        """What a response shows."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        serialization = core_schema.plain_serializer_function_ser_schema(cls._public)
        return core_schema.is_instance_schema(cls, serialization=serialization)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "object", "title": cls.__name__}


class Unapplied:
    """Base of what asks nobody until it is called, or applied to a route: it has no signature and no truth value.

    Such a thing is truthy in Python, so `return require_user` in a permission class would let everybody in.
    """

    __slots__ = ()

    def _fix(self) -> str:
        """What to write instead."""
        raise NotImplementedError

    @property
    def __signature__(self) -> NoReturn:
        raise NotADependency(self._fix())

    def __bool__(self) -> NoReturn:
        raise NotADependency(self._fix())
