"""The default of a Flask application: asked before anything else that runs for a route.

What is known of a route is worked out for each request: views and blueprints may be replaced at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import flask.app
import flask.views
from flask import Flask
from flask.sansio.blueprints import Blueprint
from flask.views import MethodView, View
from werkzeug.routing import Rule

from .._adapter.default import (
    AUTOMATIC,
    MARKED,
    STATIC,
    Standing,
    asked_by_default,
    is_public,
    standing_of_function,
)
from .._adapter.guarded import guards_of, own_of
from ..requirements import Requirement
from ._caller import caller_of, current_request
from ._requirements import FlaskRequirement
from ._views import before_functions, class_of

__all__ = ["ask_default_first", "standing_of"]


def ask_default_first(app: Flask, default: FlaskRequirement) -> None:
    """Let an application ask its default before every other `before_request` function; again at the start."""
    functions = app.before_request_funcs.setdefault(None, [])
    functions[:] = [_Ask(app, default), *(each for each in functions if not isinstance(each, _Ask))]


class _Ask:
    """A `before_request` function."""

    def __init__(self, app: Flask, default: FlaskRequirement) -> None:
        self._app = app
        self._default = default

    def __call__(self) -> None:
        request = current_request()
        rule = request.url_rule
        if rule is None:
            return  # 404, 405 or a redirect: no view will run
        default = asked_by_default(standing_of(self._app, rule, request.method), self._default)
        if default is not None:
            caller_of(request).admit(default, request.view_args or {}, request)


def standing_of(app: Flask, rule: Rule, method: str) -> Standing:
    """What is known to stand in front of a route, for a method."""
    if method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
        return Standing(open=AUTOMATIC)
    view = app.view_functions.get(rule.endpoint)
    checks = tuple(_checks(app, rule))
    if checks:
        found = standing_of_function(view)
        return found if found.open not in (None, MARKED) else Standing(own=(*checks, *found.own))
    if _is_static(app, rule, view):
        return Standing(open=STATIC)
    return _standing_of_class(view, method) or standing_of_function(view)


def _checks(app: Flask, rule: Rule) -> Iterator[Requirement]:
    for function in before_functions(app, rule):
        owner = getattr(function, "__self__", None)
        if isinstance(owner, FlaskRequirement) and function.__func__ is FlaskRequirement.check:
            yield owner


def _is_static(app: Flask, rule: Rule, view: Any) -> bool:
    """Whether it is Flask's own view for the folder `static` of the application or of a blueprint, and not a namesake.

    A browser loads style sheets and scripts without a token, those of the page for signing in among them.
    """
    owner = getattr(view, "__self__", None)
    if isinstance(owner, Blueprint):
        return bool(view == getattr(owner, "send_static_file", None)) and rule.endpoint.endswith(".static")
    is_of_flask = getattr(view, "__globals__", None) is vars(flask.app)
    return rule.endpoint == "static" and is_of_flask and rule.rule == f"{app.static_url_path}/<path:filename>"


def _standing_of_class(view: Any, method: str) -> Standing | None:
    """Of a view that Flask itself made of a class; None for every other view."""
    if getattr(view, "__globals__", None) is not vars(flask.views) or own_of(view) or is_public(view):
        return None
    cls = class_of(view)
    if not isinstance(cls, type) or not issubclass(cls, View):
        return None
    if is_public(cls):
        return Standing(open=MARKED)
    dispatch: Any = cls.dispatch_request
    if not issubclass(cls, MethodView) or dispatch is not MethodView.dispatch_request:
        return standing_of_function(dispatch)
    handler: Callable[..., Any] | None = getattr(cls, method.lower(), None)
    if handler is None and method == "HEAD":
        handler = getattr(cls, "get", None)
    return Standing(hidden=guards_of(view)) if handler is None else standing_of_function(handler)
