"""The list of routes of a Django project; for `hexclave routes`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import django

from .._adapter.listing import ANY, Entry, entry
from ._conf import installation
from ._default import layers_of, standing_of
from ._private import operations
from ._routes import views

__all__ = ["entries", "entries_of_project"]


def entries_of_project() -> Iterator[Entry]:
    """As `entries`, of a project that nobody has set up yet.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    django.setup()
    yield from entries()


def entries() -> Iterator[Entry]:
    """Every pattern of settings.ROOT_URLCONF, included ones too, method by method.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """
    default = installation().default
    for path, view in views():
        for method in _methods(view):
            yield entry(method, path, standing_of(view, "GET" if method == ANY else method), default)


def _methods(view: Any) -> list[str]:
    """The methods that a view answers; `ANY` for a function, unless Django's decorators say which it is called for."""
    for layer in layers_of(view):
        cls = getattr(layer, "cls", None) or getattr(layer, "view_class", None)
        actions = getattr(layer, "actions", None)
        if operations(layer):
            return sorted({method for operation in operations(layer) for method in operation.methods})
        if actions:
            return sorted(name.upper() for name in actions)
        if isinstance(cls, type):
            names = [name for name in getattr(cls, "http_method_names", ()) if name != "options" and hasattr(cls, name)]
            return sorted(name.upper() for name in names) or [ANY]
        held = inspect.getclosurevars(layer).nonlocals if inspect.isfunction(layer) else {}
        if isinstance(held.get("request_method_list"), list | tuple):
            return sorted(held["request_method_list"])
    return [ANY]
