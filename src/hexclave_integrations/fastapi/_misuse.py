"""Spellings of routes that type-check, that FastAPI accepts, and that would not ask who the caller is.

What a class or function can refuse by itself is in `_base/guards.py`. This module finds the rest, by looking at the
routes before the first request.
"""

from __future__ import annotations

import functools
from collections import abc
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from fastapi import params

from .._adapter.guarded import guards_of
from .._adapter.startup import misread
from .._asgi.startup import parameter_names
from ..errors import ConfigurationError
from ..requirements import UNAPPLIED, Requirement
from ._dependencies import note_validation
from ._internals import Node, dependencies_of, listed_at
from ._parameters import (
    UNRESOLVED,
    asks_by_itself,
    depends_of,
    is_ours,
    parameters_of,
    parts_of,
    reads_ours,
    resolved,
    returned_by,
)
from ._returns import hands_back_requirement

__all__ = ["requirements_on"]

_PACKAGE: Final = __name__.partition(".")[0]
_HANDING_BACK: Final = (Union, UnionType, abc.Iterator, abc.Generator, abc.AsyncIterator, abc.AsyncGenerator)


def requirements_on(route: Any, path: str) -> Iterator[Requirement]:
    """The requirements in the tree of dependencies that FastAPI keeps for a route.

    Raises:
        ConfigurationError: the route would let everybody in, or nobody. The message says what to write.
    """
    endpoint = dependencies_of(route)
    if endpoint is None:
        return
    _check_order(endpoint.call, path)
    for depends in listed_at(route):
        _check_scopes(depends, path)
    pending = [endpoint]
    requirements: list[Requirement] = []
    elsewhere: set[str] = set()
    while pending:
        node = pending.pop()
        _check_call(node.call, path)
        for dependency in node.dependencies:
            _check_dependency(dependency.call, path)
        if isinstance(node.call, Requirement):
            requirements.append(node.call)
        else:
            _check_parameters(node, path)
            elsewhere |= _read_elsewhere(node, getattr(route, "path", ""))
        pending.extend(node.dependencies)
    for found in misread(requirements, path, elsewhere):
        raise ConfigurationError(found.text)
    yield from requirements


def _check_order(endpoint: Any, path: str) -> None:
    """Look for a decorator of `hexclave_integrations.starlette` above `@app.get(...)`, which the route does not use."""
    now = getattr(endpoint, "__globals__", {}).get(getattr(endpoint, "__name__", None))
    if guards_of(now) and getattr(now, "__wrapped__", None) is endpoint:
        raise ConfigurationError(
            f"A requirement stands above the route decorator of {path} and guards nothing: use Depends(require_user)."
        )


def _check_call(call: Any, path: str) -> None:
    """Look at an endpoint or a dependency: whatever FastAPI calls."""
    if isinstance(call, Requirement) and f"{_PACKAGE}.starlette" in type(call).__module__:
        raise ConfigurationError(
            f"{path} depends on a requirement of hexclave_integrations.starlette, which is a decorator: "
            "import it from hexclave_integrations.fastapi."
        )
    if isinstance(call, type) and call.__module__.partition(".")[0] == _PACKAGE:
        raise ConfigurationError(f"{path} depends on the class {call.__name__}, which asks nobody: use CurrentUser.")
    if get_origin(call) is Annotated:
        raise ConfigurationError(f"{path} depends on an annotation: write user: CurrentUser, without Depends.")


def _check_dependency(call: Any, path: str) -> None:
    """Look at a dependency. An endpoint is not looked at like this: it may return what it likes."""
    if _says_requirement(call) or hands_back_requirement(call):
        raise ConfigurationError(
            f"{path} depends on a function that returns a requirement and does not apply it: "
            "write Depends(require_user), without the function."
        )
    if _is_ours(call) and call is not note_validation:
        raise ConfigurationError(
            f"{path} depends on a function of this package that would take its arguments from what the caller sends: "
            "call it in the route, with what CurrentUser or require_user vouched for."
        )


def _check_scopes(depends: params.Depends | None, path: str) -> None:
    if isinstance(depends, params.Security) and depends.scopes and isinstance(depends.dependency, Requirement):
        raise ConfigurationError(
            f"{path} asks for OAuth scopes, which Hexclave's tokens do not have: use require_permission."
        )


def _check_parameters(node: Node, path: str) -> None:
    """Look at the parameters of a call, above all at those that FastAPI does not take for dependencies."""
    resolved_by_fastapi = {dependency.name for dependency in node.dependencies}
    for parameter in parameters_of(node.call):
        annotation = resolved(parameter.annotation, node.call)
        if parameter.name in resolved_by_fastapi:
            known = parameter.annotation if annotation is UNRESOLVED else annotation
            _check_scopes(depends_of(known, parameter.default), path)
        else:
            _check_default(parameter.default, f"{parameter.name!r} of {path}")
            _check_annotation(annotation, f"{parameter.name!r} of {path}")


def _read_elsewhere(node: Node, own_path: str) -> set[str]:
    """The parameters of a call that FastAPI does not read from the path: it knows that of the route itself alone."""
    others = {dependency.name for dependency in node.dependencies}.union(parameter_names(own_path))
    return {
        each.name
        for each in parameters_of(node.call)
        if each.name not in others and not _is_of_path(resolved(each.annotation, node.call), each.default)
    }


def _is_of_path(annotation: Any, default: Any) -> bool:
    return any(isinstance(part, params.Path) for part in (default, *parts_of(annotation)))


def _check_default(default: Any, where: str) -> None:
    if isinstance(default, UNAPPLIED):
        raise ConfigurationError(f"{where} has a requirement without Depends: write Depends(require_user).")
    if any(isinstance(part, params.Depends) or is_ours(part) for part in parts_of(default)):
        raise ConfigurationError(
            f"{where} has an annotation as its default, which asks nobody: "
            "write user: CurrentUser, or = Depends(require_user)."
        )
    if asks_by_itself(default):
        raise ConfigurationError(f"{where} has a dependency as its default, without Depends: write Depends(...).")


def _check_annotation(annotation: Any, where: str) -> None:
    if annotation is UNRESOLVED:
        raise ConfigurationError(
            f"{where} has an annotation that cannot be resolved, and FastAPI overlooks what Depends(...) it may have: "
            "import what it names at the top of the module, and not for type checkers alone."
        )
    parts = list(parts_of(annotation))
    if any(isinstance(part, UNAPPLIED) for part in parts):
        raise ConfigurationError(f"{where} has a requirement without Depends: write Depends(require_user).")
    if any(isinstance(part, params.Depends) for part in parts):
        raise ConfigurationError(
            f"{where} has a Depends(...) that FastAPI overlooks where it stands: write user: CurrentUser, by itself "
            "and imported at the top of the module, or user: OptionalUser where nobody may come."
        )
    if any(is_ours(part) for part in parts) or reads_ours(annotation):
        raise ConfigurationError(
            f"{where} takes a user, API key or requirement from what the caller sends: "
            "use CurrentUser, OptionalUser or Depends(require_api_key)."
        )


def _says_requirement(call: Any) -> bool:
    """Whether the annotation of what a dependency returns, or yields, names a requirement."""
    if isinstance(call, (*UNAPPLIED, type)):
        return False
    annotation = returned_by(call)
    inner = get_args(annotation) if get_origin(annotation) in _HANDING_BACK else ()
    return any(isinstance(each, type) and issubclass(each, UNAPPLIED) for each in (annotation, *inner))


def _is_ours(call: Any) -> bool:
    """Whether a dependency is a function or method of this package: only its requirements ask who the caller is."""
    while isinstance(call, functools.partial):
        call = call.func
    module = getattr(call, "__module__", None) or ""
    return not isinstance(call, UNAPPLIED) and module.partition(".")[0] == _PACKAGE
