"""Users as answers: `return current_user` and `jsonify(user=current_user)` show the public fields, and nothing else."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from flask import Flask, Response

from .._base.guards import NeverFromRequest
from ._caller import current_api_key, current_user

__all__ = ["answer_with_values", "encode_values"]


def encode_values(app: Flask) -> None:
    """Teach an application's JSON provider our values, and Flask-RESTX, which has JSON options of its own.

    Called on installation, and at the start again: another provider may have taken the place of the first.
    """
    provider: Any = app.json
    default = getattr(provider, "default", None)  # a provider of another kind than Flask's may have none
    if callable(default) and not isinstance(default, _Default):
        provider.default = _Default(default)
    if "flask_restx" in sys.modules:
        options = app.config.setdefault("RESTX_JSON", {})
        if "cls" not in options and not isinstance(options.get("default"), _Default):
            options["default"] = _Default(options.get("default") or _unknown)


def answer_with_values(app: Flask) -> None:
    """Let a view return a user, alone or with a status and headers."""
    app.make_response = functools.partial(_make_response, app, app.make_response)  # type: ignore[method-assign]  # ditto


class _Default:
    """What a JSON encoder calls with a value that it does not know.

    Args:
        otherwise: what it would call without us.
    """

    def __init__(self, otherwise: Callable[[Any], Any]) -> None:
        self._otherwise = otherwise

    def __call__(self, value: Any) -> Any:
        found = _behind(value)
        if isinstance(found, NeverFromRequest):
            return found._public()
        return None if found is None else self._otherwise(value)


def _behind(value: Any) -> Any:
    """The value of one of our proxies, None for nobody; any other value as it is."""
    is_ours = value is current_user or value is current_api_key
    return value._get_current_object() if is_ours else value


def _unknown(value: Any) -> Any:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _make_response(app: Flask, otherwise: Callable[[Any], Response], given: Any) -> Response:
    body, *others = given if isinstance(given, tuple) and given else (given,)
    if not isinstance(body, NeverFromRequest) and body is _behind(body):
        return otherwise(given)
    answer: Any = app.json.response(body)
    made: Response = otherwise((answer, *others)) if others else answer
    return made
