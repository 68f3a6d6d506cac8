"""What runs for a route: its view, what its decorators wrapped, methods of classes, and checks of blueprints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Flask
from werkzeug.routing import Rule

__all__ = ["before_functions", "class_of", "functions_of", "layers", "method_decorators"]


def layers(view: Any) -> list[Any]:
    """A view and what its decorators wrapped, outermost first (`functools.wraps`)."""
    found: list[Any] = []
    while view is not None and not any(view is known for known in found):
        found.append(view)
        view = getattr(view, "__wrapped__", None)
    return found


def functions_of(app: Flask, rule: Rule) -> Iterator[Any]:
    """Everything that runs for a route and may be, or hold, a requirement."""
    yield from before_functions(app, rule)
    view: Callable[..., Any] | None = app.view_functions.get(rule.endpoint)
    entries = [view]
    view_class = class_of(view)
    if view_class is not None:
        entries += [getattr(view_class, name, None) for name in (*_methods(rule), "dispatch_request")]
    for entry in entries:
        yield from layers(entry)


def before_functions(app: Flask, rule: Rule) -> Iterator[Any]:
    """The `before_request` functions of a route: the application's, then those of its blueprints, outermost first."""
    blueprints = rule.endpoint.split(".")[:-1]
    scopes = [None, *(".".join(blueprints[:end]) for end in range(1, len(blueprints) + 1))]
    for scope in scopes:
        yield from app.before_request_funcs.get(scope, ())


def method_decorators(app: Flask, rule: Rule) -> list[Any]:
    """What Flask-RESTX and Flask-RESTful put around the methods of a resource while a request runs."""
    given = getattr(class_of(app.view_functions.get(rule.endpoint)), "method_decorators", ())
    if isinstance(given, Mapping):  # by method, in Flask-RESTful
        return [each for method in _methods(rule) for each in given.get(method, ())]
    return list(given)


def class_of(view: Any) -> Any:
    """The class that Flask made a view function of, or None."""
    return next((each.view_class for each in layers(view) if hasattr(each, "view_class")), None)


def _methods(rule: Rule) -> list[str]:
    return sorted(method.lower() for method in rule.methods or ())
