"""Spellings of FastAPI routes that type-check, that FastAPI accepts, and that would not ask who the caller is.

What a class or function can refuse by itself stands in `_guards.py`; this is the rest, found by looking at the
routes before the first request. FastAPI's own types are only read here, never imported.
"""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Annotated, Any, ForwardRef, get_origin

from .._guards import NeedsCall, NeverFromRequest
from ..errors import ConfigurationError
from ..requirements import Requirement
from ._requirements import StarletteRequirement

__all__ = ["check_dependency", "check_order"]

# What asks nothing until FastAPI or a decorator applies it.
_UNAPPLIED = (Requirement, NeedsCall, type(Requirement().allow), type(Requirement().live))
_PARAMETERS = ("path_params", "query_params", "header_params", "cookie_params", "body_params")


def check_dependency(dependant: Any, path: str) -> None:
    """Look at one dependency, or endpoint, of a FastAPI route.

    Raises:
        ConfigurationError: it would let everybody in, or nobody; the message says what to write.
    """
    call = dependant.call
    if isinstance(call, StarletteRequirement):
        raise ConfigurationError(
            f"{path} depends on a requirement of hexclave_integrations.starlette, which is a decorator: "
            "import it from hexclave_integrations.fastapi."
        )
    if isinstance(call, Requirement) and getattr(dependant, "own_oauth_scopes", None):
        raise ConfigurationError(
            f"{path} asks for OAuth scopes, which Hexclave's tokens do not have: use require_permission."
        )
    if isinstance(call, type) and call.__module__.partition(".")[0] == __name__.partition(".")[0]:
        raise ConfigurationError(f"{path} depends on the class {call.__name__}, which asks nobody: use CurrentUser.")
    if get_origin(call) is Annotated:
        raise ConfigurationError(f"{path} depends on an annotation: write user: CurrentUser, without Depends.")
    if _hands_back_requirement(call):
        raise ConfigurationError(
            f"{path} depends on a function that returns a requirement and does not apply it: "
            "write Depends(require_user), without the function."
        )
    for kind in _PARAMETERS:
        for field in getattr(dependant, kind, ()):
            info = field.field_info
            # Which of the two has what stands in Annotated depends on FastAPI's version.
            metadata = (*info.metadata, *getattr(info.annotation, "__metadata__", ()))
            if any(isinstance(value, _UNAPPLIED) for value in (info.default, *metadata)):
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
    """Look for a requirement above `@app.get(...)`: it decorates what the route does not use.

    Raises:
        ConfigurationError: the endpoint's name means a guarded version of it by now.
    """
    now = getattr(endpoint, "__globals__", {}).get(getattr(endpoint, "__name__", None))
    if inspect.iscoroutine(now):
        frame = now.cr_frame
        overtaken = frame is not None and isinstance(frame.f_locals.get("self"), Requirement)
    else:
        overtaken = hasattr(now, "__hexclave_requirement__") and getattr(now, "__wrapped__", None) is endpoint
    if overtaken:
        raise ConfigurationError(
            f"A requirement stands above the route decorator of {path} and guards nothing: use Depends(require_user)."
        )


def _hands_back_requirement(call: Any) -> bool:
    """Whether a dependency takes nothing, so that it cannot apply the requirement it speaks of."""
    if not inspect.isfunction(call) or inspect.signature(call).parameters:
        return False
    names = inspect.getclosurevars(call)
    values = [*names.globals.values(), *names.nonlocals.values()]
    for module in [value for value in values if isinstance(value, ModuleType)]:
        values += [vars(module).get(name) for name in names.unbound]
    return any(isinstance(value, _UNAPPLIED) for value in values)


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
