"""Refusals as answers: from wherever in a request they are raised, whatever else handles errors in the application."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flask import Flask, Response

from ..errors import RequestRefused

__all__ = ["handle_refusals", "handle_refusals_first"]


def handle_refusals(app: Flask) -> None:
    """Answer refusals on an application, unless it has an error handler of its own for them by now.

    One that it registers later takes the place of this one.
    """
    if RequestRefused not in app.error_handler_spec[None][None]:
        app.register_error_handler(RequestRefused, refuse)


def handle_refusals_first(app: Flask) -> None:
    """Let no refusal become an error 500; to be called when all extensions are there.

    Some extensions put an error handling of their own in front of Flask's, which knows no refusals: Flask-RESTX and
    Flask-RESTful. And Flask's looks for no error handler where an `after_request` function raises.
    """
    for name in ("handle_user_exception", "handle_exception"):  # which these extensions replace likewise
        setattr(app, name, functools.partial(_handle, app, getattr(app, name)))


def _handle(app: Flask, otherwise: Callable[..., Any], *arguments: Any) -> Any:
    """Stand for one of Flask's methods for errors; the error is the last of its arguments.

    Args:
        app: the application.
        otherwise: handles all other errors.
        arguments: of the method.
    """
    if not isinstance(arguments[-1], RequestRefused):
        return otherwise(*arguments)
    try:
        # The method of the class looks for the application's error handlers, and then for `refuse`.
        return app.make_response(type(app).handle_user_exception(app, *arguments))
    except RequestRefused as error:  # by a handler that reads `current_user`, say
        return refuse(error)


def refuse(error: RequestRefused) -> Response:
    """The error handler for refusals."""
    return Response(error.body(), error.status, error.headers())
