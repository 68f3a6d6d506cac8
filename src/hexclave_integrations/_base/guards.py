"""Guards against spellings that type-check and would let everybody in.

FastAPI takes any callable for a dependency and reads its parameters from the request. `Depends(require_team)`
without the call, `Depends(require_user.live)` or `Depends(HexclaveUser)` would then "succeed" for everyone.
Whatever must not be a dependency refuses to show a signature, which stops the application at start-up.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, NoReturn, TypeVar, cast

from ..errors import ConfigurationError

__all__ = [
    "NeverFromRequest",
    "NotADependency",
    "RefusesAsDependency",
    "SignatureOfValue",
    "Unapplied",
    "shows_only",
    "with_signature",
]

T = TypeVar("T")


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


class SignatureOfValue:
    """The `__signature__` of a class whose values speak for a caller: everybody may read it, and FastAPI stops at it.

    FastAPI would fill the parameters from the request. It asks Pydantic for the schema of each, and the first one has
    none.

    Args:
        fix: what to write instead.
    """

    def __init__(self, fix: str) -> None:
        self.fix = fix

    def __get__(self, instance: object, owner: type) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")
        _, *parameters = inspect.signature(owner.__init__).parameters.values()  # type: ignore[misc]  # of this very class
        refusal = _NoSchema(f"{owner.__name__} is no dependency. {self.fix}.")
        first = parameters[0].replace(annotation=Annotated[Any, refusal])
        return inspect.Signature([first, *parameters[1:]])


class _NoSchema:
    def __init__(self, text: str) -> None:
        self._text = text

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> NoReturn:
        raise NotADependency(self._text)


class NeverFromRequest:
    """Base of values that speak for a caller: Pydantic may write one into a response and never read one.

    FastAPI takes an annotation without a dependency for the request body: with this schema such a route answers
    422 to everybody instead of believing the caller.
    """

    __slots__ = ()

    def _public(self) -> dict[str, Any]:
        """What a response shows."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(cast("Any", self))}
        return {name: each._public() if isinstance(each, NeverFromRequest) else each for name, each in values.items()}

    def __reduce__(self) -> tuple[Any, ...]:  # that of a dataclass with slots would keep only what a response shows
        cls: Any = type(self)
        known = vars(cls)["__dataclass_fields__"]
        names = known.names if isinstance(known, _ShownFields) else known
        return _rebuilt, (cls, {name: getattr(self, name) for name in names})

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        serialization = core_schema.plain_serializer_function_ser_schema(cls._public)
        return core_schema.is_instance_schema(cls, serialization=serialization)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "object", "title": cls.__name__}


class _ShownFields:
    """`__dataclass_fields__` of a class that shows only some of its fields; see `shows_only`."""

    def __init__(self, fields: Mapping[str, Any], shown: Collection[str]) -> None:
        # `dataclasses.replace` copies an InitVar that has a default; `fields` and `asdict` leave it out.
        hidden = [(name, dataclasses.InitVar[Any], None) for name in fields if name not in shown]
        stand_ins: Mapping[str, Any] = vars(dataclasses.make_dataclass("_", hidden))["__dataclass_fields__"]
        self.names = tuple(fields)
        self._of_class = {name: field for name, field in fields.items() if name in shown}
        # The standard library reads the values alone. msgspec takes each key for an attribute, and skips missing ones.
        self._of_instance = {**self._of_class, **{f"-{name}": field for name, field in stand_ins.items()}}

    def __get__(self, instance: object, owner: type) -> Mapping[str, Any]:
        return self._of_class if instance is None else self._of_instance


def shows_only(*names: str) -> Callable[[type[T]], type[T]]:
    """Let `dataclasses.asdict` and `dataclasses.fields`, and every encoder that uses them, see only these fields.

    FastAPI uses the first for a route without a return annotation, and Flask for `jsonify`; Litestar's msgspec reads
    the fields of the class. `dataclasses.replace`, `copy` and `pickle` keep all fields.

    Args:
        names: the fields that a response shows.
    """

    def decorate(cls: type[T]) -> type[T]:
        fields = _ShownFields(vars(cls)["__dataclass_fields__"], names)
        setattr(cls, "__dataclass_fields__", fields)  # noqa: B010  # type checkers know it as a dict
        return cls

    return decorate


def with_signature(signature: RefusesAsDependency | SignatureOfValue) -> Callable[[type[T]], type[T]]:
    """Give a dataclass a `__signature__`; stands above `@dataclass`.

    An attribute in the body of the class would need an annotation for type checkers, and `@dataclass` reads every
    annotated attribute of a class that is not complete yet.

    Args:
        signature: answers or refuses those who ask the class for it.
    """

    def decorate(cls: type[T]) -> type[T]:
        setattr(cls, "__signature__", signature)  # noqa: B010  # type checkers know no such attribute
        return cls

    return decorate


def _rebuilt(cls: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    return cls(**values)


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
