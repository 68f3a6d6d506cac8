"""Every part of Starlette that this package uses and that Starlette does not document, in one place.

Those of FastAPI stand in `fastapi/_internals.py`.
"""

from __future__ import annotations

from typing import Final

__all__ = ["NAMES"]

NAMES: Final = {
    # In the scope: the exception handlers of the innermost application. Without it, a refusal in a mounted application
    # is answered with 500.
    "exception handlers": "starlette.exception_handlers",
    # Of ServerErrorMiddleware: the application's handler for Exception. Without it, an application with such a handler
    # does not start.
    "error handler": "handler",
    # Of middleware: the application that it wraps. Without it, an application with such a handler does not start if
    # something is wrapped around Starlette's own middleware.
    "wrapped": "app",
    # Of a mount: what is mounted, within the mount's own middleware. Without it, what is mounted within middleware is
    # one endpoint to the default of an application.
    "mounted": "_base_app",
}
"""The names. The comments say what happens if Starlette drops one."""
