"""Every part of Starlette that this package uses and that Starlette does not document, in one place.

Those of FastAPI stand in `fastapi/_internals.py`.
"""

from __future__ import annotations

from typing import Final

__all__ = ["NAMES"]

NAMES: Final = {
    # In the scope: the exception handlers of the innermost application. Without it the requirements of a mounted
    # application answer 500 to those whom they refuse.
    "exception handlers": "starlette.exception_handlers",
    # Of ServerErrorMiddleware: the application's handler for Exception. Without it no application that has such a
    # handler starts.
    "error handler": "handler",
    # Of middleware: what it wraps. Without it no application starts that has such a handler and a layer around
    # Starlette's own middleware.
    "wrapped": "app",
}
"""The names, and what follows where Starlette drops one."""
