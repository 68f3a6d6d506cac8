"""What the annotations and defaults of parameters stand for, whichever way they are written."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, Final, ForwardRef, get_args, get_type_hints

from fastapi import params
from pydantic import PydanticUserError, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation

from .._base.guards import NeverFromRequest, Unapplied
from ..requirements import Requirement

__all__ = [
    "UNRESOLVED",
    "asks_by_itself",
    "depends_of",
    "is_ours",
    "parameters_of",
    "parts_of",
    "reads_ours",
    "resolved",
    "returned_by",
]

UNRESOLVED: Final = object()
"""Stands for an annotation that names something that does not exist when the application runs."""

_OURS: Final = (NeverFromRequest, Requirement, Unapplied)
# Python 3.14 evaluates annotations when they are read. With this format, a name that it cannot find is a ForwardRef.
_SIGNATURE_OPTIONS: Final[dict[str, Any]] = {}
if sys.version_info >= (3, 14):
    import annotationlib

    _SIGNATURE_OPTIONS["annotation_format"] = annotationlib.Format.FORWARDREF


def parameters_of(call: Any) -> Iterable[inspect.Parameter]:
    """The parameters of a function, class or object that FastAPI calls."""
    return inspect.signature(call, **_SIGNATURE_OPTIONS).parameters.values()


def returned_by(call: Any) -> Any:
    """The return annotation of a dependency, or `UNRESOLVED`."""
    return resolved(inspect.signature(call, **_SIGNATURE_OPTIONS).return_annotation, call)


def resolved(annotation: Any, call: Any) -> Any:
    """An annotation of a parameter without strings and forward references, or `UNRESOLVED`.

    Args:
        annotation: the annotation as it is written.
        call: the function, class or object that has the parameter. Names are looked up in its module.
    """
    if not any(isinstance(part, str | ForwardRef) for part in parts_of(annotation)):
        return annotation
    try:
        names = _names_around(call)
        hints = get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), names, include_extras=True)
    except Exception:  # noqa: BLE001  # the text may be anything, and may run any code
        return UNRESOLVED
    return hints["it"]


def parts_of(annotation: Any, within: tuple[Any, ...] = ()) -> Iterator[Any]:
    """An annotation and everything in it: members of unions, arguments of generics, metadata, the value of an alias."""
    yield annotation
    inner: tuple[Any, ...] = get_args(annotation)
    if type(annotation).__name__ == "TypeAliasType":  # `type Name = ...`, which may name itself
        inner = () if annotation in within else (annotation.__value__,)
        within = (*within, annotation)
    for part in inner:
        yield from parts_of(part, within)


def is_ours(part: Any) -> bool:
    """Whether a part of an annotation is a class whose values speak for a caller, or a requirement."""
    return isinstance(part, type) and issubclass(part, _OURS)


def depends_of(annotation: Any, default: Any) -> params.Depends | None:
    """The `Depends` that FastAPI resolves a parameter with: its default, or else the last one in its annotation."""
    if isinstance(default, params.Depends):
        return default
    found = [part for part in parts_of(annotation) if isinstance(part, params.Depends)]
    return found[-1] if found else None


def reads_ours(annotation: Any) -> bool:
    """Whether Pydantic's schema of a type has a user, API key or requirement in it, at any depth."""
    try:
        pending: list[Any] = [TypeAdapter(annotation).core_schema]
    except (PydanticUserError, PydanticUndefinedAnnotation):
        return False  # a type such as Request, which FastAPI does not read with Pydantic
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            if is_ours(part.get("cls")):
                return True
            pending.extend(part.values())
        elif isinstance(part, list | tuple):
            pending.extend(part)
    return False


def asks_by_itself(call: Any, seen: tuple[Any, ...] = ()) -> bool:
    """Whether a function or class would ask who the caller is if it were a dependency."""
    if isinstance(call, Requirement):
        return True
    if not callable(call) or call in seen:
        return False
    try:
        parameters = parameters_of(call)
    except (TypeError, ValueError):  # a built-in function without a signature
        return False
    found = [depends_of(resolved(each.annotation, call), each.default) for each in parameters]
    return any(each is not None and asks_by_itself(each.dependency, (*seen, call)) for each in found)


def _names_around(call: Any) -> dict[str, Any]:
    """The names of the module that a function, class or object that can be called is written in."""
    while isinstance(call, functools.partial):
        call = call.func
    call = inspect.unwrap(call)
    for each in (call, getattr(call, "__init__", None), inspect.getattr_static(type(call), "__call__", None)):
        names = getattr(each, "__globals__", None)
        if names is not None:
            return {**names}
    module = sys.modules.get(getattr(call, "__module__", None) or "")
    return {} if module is None else {**vars(module)}
