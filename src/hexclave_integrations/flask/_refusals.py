"""Answers to refusals, in whichever part of a request they are raised, and whichever extension handles errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flask import Flask, Response

from ..errors import RequestRefused
from ._caller import current_request, note_answered

__all__ = ["handle_refusals", "handle_refusals_first"]


def handle_refusals(app: Flask) -> None:
    """Register an error handler for refusals, unless the application has registered its own.

    An error handler that the application registers later replaces this one.
    """
    if RequestRefused not in app.error_handler_spec[None][None]:
        app.register_error_handler(RequestRefused, refuse)


def handle_refusals_first(app: Flask) -> None:
    """Let no refusal end as an error 500. Call it when all extensions are installed.

    Flask-RESTX and Flask-RESTful replace these two methods by error handling of their own, which knows no refusals.
    Flask itself looks for no error handler when an `after_request` function raises.
    """
    for name in ("handle_user_exception", "handle_exception"):
        setattr(app, name, functools.partial(_handle, app, getattr(app, name)))
    app.process_response = functools.partial(_process, app.process_response)  # type: ignore[method-assign]  # likewise


def _process(otherwise: Callable[..., Response], *arguments: Any) -> Response:
    """Take the place of the method that calls `after_request` functions; some versions of Flask give it a context."""
    note_answered()
    return otherwise(*arguments)


def _handle(app: Flask, otherwise: Callable[..., Any], *arguments: Any) -> Any:
    """Take the place of one of Flask's methods that handle errors.

    Args:
        app: the application.
        otherwise: the method, for all other errors.
        arguments: what Flask calls the method with; the error is the last of them.
    """
    given = arguments[-1]
    if not isinstance(given, RequestRefused):
        return otherwise(*arguments)
    try:
        return app.make_response(app.ensure_sync(_handler(app, given))(given))
    except RequestRefused as error:  # raised by such a handler: it may have read `current_user`
        return refuse(error)


def _handler(app: Flask, error: RequestRefused) -> Callable[..., Any]:
    """The application's error handler for a refusal: Flask's own order, without those that take every exception.

    A blueprint's handler for `Exception` means faults, and would else come before the application's for refusals.
    """
    for scope in (*current_request().blueprints, None):
        handlers = app.error_handler_spec.get(scope, {}).get(None, {})
        for kind in type(error).__mro__:
            if kind in handlers and kind not in (Exception, BaseException):
                return handlers[kind]
    return refuse


def refuse(error: RequestRefused) -> Response:
    """The error handler for refusals."""
    return Response(error.body(), error.status, error.headers())
