"""Spellings of FastAPI routes that type-check, that FastAPI accepts, and that would not ask who the caller is.

What a class or function can refuse by itself stands in `_base/guards.py`; this is the rest, found by looking at the
routes before the first request, or, for a forgotten `await`, at the checks of a request before its answer starts.
FastAPI's own types are only read here, never imported.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import inspect
import sys
from collections.abc import Coroutine
from types import FunctionType, MethodType, ModuleType
from typing import Annotated, Any, Final, ForwardRef, get_origin

from starlette._utils import is_async_callable

from .._adapter.guarded import guards_of
from .._base.guards import NeverFromRequest
from ..errors import ConfigurationError
from ..requirements import UNAPPLIED, Requirement

__all__ = ["CHECKS_KEY", "Checks", "check_dependency", "check_order"]

CHECKS_KEY: Final = "hexclave_integrations.checks"

_PACKAGE: Final = __name__.partition(".")[0]

_PARAMETERS = ("path_params", "query_params", "header_params", "cookie_params", "body_params")


def check_dependency(dependant: Any, path: str) -> None:
    """Look at one dependency, or endpoint, of a FastAPI route.

    Raises:
        ConfigurationError: it would let everybody in, or nobody; the message says what to write.
    """
    call = dependant.call
    if isinstance(call, Requirement) and f"{_PACKAGE}.starlette" in type(call).__module__:
        raise ConfigurationError(
            f"{path} depends on a requirement of hexclave_integrations.starlette, which is a decorator: "
            "import it from hexclave_integrations.fastapi."
        )
    if isinstance(call, Requirement) and getattr(dependant, "own_oauth_scopes", None):
        raise ConfigurationError(
            f"{path} asks for OAuth scopes, which Hexclave's tokens do not have: use require_permission."
        )
    if isinstance(call, type) and call.__module__.partition(".")[0] == _PACKAGE:
        raise ConfigurationError(f"{path} depends on the class {call.__name__}, which asks nobody: use CurrentUser.")
    if get_origin(call) is Annotated:
        raise ConfigurationError(f"{path} depends on an annotation: write user: CurrentUser, without Depends.")
    # Not the endpoint itself, which may speak of requirements as it likes.
    if any(_hands_back_requirement(each.call) for each in dependant.dependencies):
        raise ConfigurationError(
            f"{path} depends on a function that returns a requirement and does not apply it: "
            "write Depends(require_user), without the function."
        )
    if any(_is_ours(each.call) for each in dependant.dependencies):
        raise ConfigurationError(
            f"{path} depends on a function of this package that would take its arguments from what the caller sends: "
            "call it in the route, with what CurrentUser or require_user vouched for."
        )
    for kind in _PARAMETERS:
        for field in getattr(dependant, kind, ()):
            info = field.field_info
            # Which of the two has what stands in Annotated depends on FastAPI's version.
            metadata = (*info.metadata, *getattr(info.annotation, "__metadata__", ()))
            if any(isinstance(value, UNAPPLIED) for value in (info.default, *metadata)):
                raise ConfigurationError(f"{path} has a requirement without Depends: write Depends(require_user).")
            if isinstance(info.annotation, ForwardRef) and "Depends(" in info.annotation.__forward_arg__:
                raise ConfigurationError(
                    f"{path} names a dependency in an annotation that cannot be resolved, and FastAPI overlooks it: "
                    "define it at the top of the module, or leave out `from __future__ import annotations`."
                )
            if _reads_principal(field):
                raise ConfigurationError(
                    f"{path} takes a user, API key or requirement from what the caller sends: "
                    "use CurrentUser, OptionalUser or Depends(require_api_key)."
                )


def check_order(endpoint: Any, path: str) -> None:
    """Look for a decorator of `hexclave_integrations.starlette` above `@app.get(...)`: the route does not use it.

    Raises:
        ConfigurationError: the endpoint's name means a guarded version of it by now.
    """
    now = getattr(endpoint, "__globals__", {}).get(getattr(endpoint, "__name__", None))
    if guards_of(now) and getattr(now, "__wrapped__", None) is endpoint:
        raise ConfigurationError(
            f"A requirement stands above the route decorator of {path} and guards nothing: use Depends(require_user)."
        )


class Checks:
    """The checks that a request has begun: coroutines, each of which must be awaited before the answer starts."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun: list[Coroutine[Any, Any, Any]] | None = []

    def add(self, check: Coroutine[Any, Any, Any]) -> None:
        """Watch one, unless the answer has started: nothing could be held back any more."""
        if self._begun is not None:
            self._begun.append(check)

    def expect_awaited(self) -> None:
        """Called before the answer starts.

        Raises:
            ConfigurationError: a check was not awaited; nor may any other answer start then.
        """
        if self._unawaited():
            raise ConfigurationError("A requirement was called and not awaited: write await require_user(connection).")
        self._begun = None

    def close(self) -> None:
        """Called when the request is over: the error has been reported, Python need not warn as well."""
        for check in self._unawaited():
            check.close()

    def _unawaited(self) -> list[Coroutine[Any, Any, Any]]:
        begun = self._begun or ()
        return [check for check in begun if inspect.getcoroutinestate(check) == inspect.CORO_CREATED]


def _is_ours(call: Any) -> bool:
    """Whether a dependency is a function or method of this package: only its requirements ask who the caller is."""
    while isinstance(call, functools.partial):
        call = call.func
    module = getattr(call, "__module__", None) or ""
    return not isinstance(call, UNAPPLIED) and module.partition(".")[0] == _PACKAGE


def _hands_back_requirement(call: Any) -> bool:
    """Whether a dependency speaks of a requirement and cannot apply it: it does not await, or takes nothing."""
    if isinstance(call, UNAPPLIED):
        return False
    values: list[Any] = []
    can_await = False
    part: Any = call
    owner: Any = None
    while part is not None:
        can_await = can_await or is_async_callable(part) or inspect.isasyncgenfunction(part)
        if isinstance(part, functools.partial):
            values += [*part.args, *part.keywords.values()]
            part = part.func
        elif isinstance(part, MethodType):
            part, owner = part.__func__, part.__self__
        elif isinstance(part, FunctionType):
            values += _named_values(part, owner)
            part = getattr(part, "__wrapped__", None)
        else:  # an object that can be called, or a cache around a function; of a class, only its instances are
            method = None if isinstance(part, type) else getattr(part, "__call__", None)  # noqa: B004
            part = method if isinstance(method, MethodType) else getattr(part, "__wrapped__", None)
    if not any(isinstance(value, UNAPPLIED) for value in values):
        return False
    return not (can_await and inspect.signature(call).parameters)


def _named_values(function: FunctionType, owner: object) -> list[Any]:
    """What a function's code names: variables of the functions and module around it, attributes of modules and self."""
    values: list[Any] = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # not assigned yet
            values.append(cell.cell_contents)
    for instruction in dis.get_instructions(function):
        if instruction.opname == "LOAD_GLOBAL":
            values.append(function.__globals__.get(instruction.argval))
        elif instruction.opname == "IMPORT_NAME":
            values.append(sys.modules.get(instruction.argval))
    attributes = function.__code__.co_names
    if owner is not None:
        values += [inspect.getattr_static(owner, name, None) for name in attributes]
    modules = [value for value in values if isinstance(value, ModuleType)]
    for module in modules:
        found = [vars(module).get(name) for name in attributes]
        values += found
        modules += [value for value in found if isinstance(value, ModuleType) and value not in modules]
    return values


def _reads_principal(field: Any) -> bool:
    """Whether Pydantic's schema of a parameter has a user, API key or requirement in it, at any depth."""
    pending: list[Any] = [getattr(getattr(field, "_type_adapter", None), "core_schema", None)]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            cls = part.get("cls")
            if isinstance(cls, type) and issubclass(cls, NeverFromRequest | Requirement):
                return True
            pending.extend(part.values())
        elif isinstance(part, list | tuple):
            pending.extend(part)
    return False
