"""The default of a Litestar application: a guard of the whole application, which comes before all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from .._adapter.default import AUTOMATIC, DOCS, MARKED, Standing, asked_by_default, standing_of_function
from ..requirements import Requirement
from ._guards import LitestarRequirement

__all__ = ["PUBLIC", "DefaultGuard", "is_automatic", "standing_of"]

PUBLIC: Final = "hexclave_public"
"""`opt={"hexclave_public": True}` on a handler, controller or router marks all of it for everybody."""

_FRAMEWORK: Final = {
    "litestar.routes.http": AUTOMATIC,  # its answers to OPTIONS
    "litestar._openapi.plugin": DOCS,
    "litestar.openapi.controller": DOCS,
}


class DefaultGuard:
    """A guard that asks the default where a handler has no requirement of its own and is not public.

    Args:
        default: the requirement.

    Attributes:
        default: the same.
    """

    def __init__(self, default: LitestarRequirement) -> None:
        self.default = default

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Hold the caller against the default.

        Raises:
            RequestRefused: they do not meet it, or it cannot be told now.
        """
        if asked_by_default(standing_of(handler), self.default) is not None:
            await self.default(connection, handler)


def standing_of(handler: BaseRouteHandler) -> Standing:
    """What is known to stand in front of a handler: the guards that Litestar runs for it, and its marks."""
    function: Any = handler.fn
    if type(function).__module__.startswith("litestar."):  # around a function that runs in a thread
        function = getattr(function, "func", function)
    found = standing_of_function(function)
    own = tuple(_own(handler))
    if own and found.open in (None, MARKED):
        return Standing(own=own)
    if found.open is None and handler.opt.get(PUBLIC) is True:
        return Standing(open=MARKED)
    defined_in = _defined_in(function)
    if found.open is None and defined_in in _FRAMEWORK:
        return Standing(open=_FRAMEWORK[defined_in])
    return found


def is_automatic(handler: BaseRouteHandler) -> bool:
    """Whether it is what Litestar itself answers to OPTIONS."""
    return _FRAMEWORK.get(_defined_in(handler.fn)) == AUTOMATIC


def _defined_in(function: Any) -> str:
    """The module that a function was really defined in: `functools.wraps` copies `__module__`, and not this."""
    return str(getattr(function, "__globals__", {}).get("__name__", ""))


def _own(handler: BaseRouteHandler) -> Iterator[Requirement]:
    for layer in handler.ownership_layers:
        for guard in layer.guards or ():
            if isinstance(guard, LitestarRequirement) and type(guard).__call__ is LitestarRequirement.__call__:
                yield guard
