"""What can be known to be wrong before the first request: requirements that cannot work, or guard nothing."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from flask import Flask
from flask.views import View
from werkzeug.routing import Rule

from .._adapter.guarded import guard_around, guards_of
from .._adapter.startup import unmet
from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ..requirements import UNAPPLIED, Requirement
from ._views import class_of, functions_of, layers, method_decorators

__all__ = ["check_routes", "problems"]


def check_routes(app: Flask, config: HexclaveConfig) -> None:
    """Look at every requirement on the routes of an application.

    Raises:
        ConfigurationError: there are `problems`.
    """
    found = list(problems(app, config))
    if found:
        raise ConfigurationError("\n".join(found))


def problems(app: Flask, config: HexclaveConfig) -> Iterator[str]:
    """What is wrong with an application, a line each.

    A requirement needs a server key that is not set, or a route parameter that its route lacks; it stands where
    a view belongs; or it stands above the route decorator, and Flask has registered the view without it.
    """
    if class_of(View.as_view("probe")) is not View:
        yield (
            "The requirements of class-based views cannot be read in this version of Flask: use one that this version "
            "of hexclave-integrations supports."
        )
    for rule in app.url_map.iter_rules():
        view = app.view_functions.get(rule.endpoint)
        guard = guard_around(view)
        if any(layer is view for layer in layers(guard)):
            yield (
                f"{rule} runs its view without a requirement that was put around it afterwards: write the requirement "
                "below the route decorator, or use another function for a route without it."
            )
        functions = list(functions_of(app, rule))
        for function in functions:
            yield from _misuse(function, rule)
        around = method_decorators(app, rule)
        for each in around:
            if isinstance(each, UNAPPLIED) and not isinstance(each, Requirement):
                yield from _misuse(each, rule)
        requirements = [requirement for function in functions for requirement in _requirements(function)]
        requirements += [each for each in around if isinstance(each, Requirement)]
        yield from (found.text for found in unmet(requirements, str(rule), rule.arguments, config))


def _misuse(function: Any, rule: Rule) -> Iterator[str]:
    if isinstance(function, Requirement):
        yield (
            f"{rule} has a requirement where a function belongs: give it all its arguments and decorate a view "
            "with it, or register its check, as in before_request(require_user.check)."
        )
        return
    try:
        inspect.signature(function)
    except ConfigurationError as error:
        yield f"{rule}: {error}"
    except (TypeError, ValueError):
        return  # not a function of ours


def _requirements(function: Any) -> Iterable[Requirement]:
    """What a decorated view, or the registered `.check` of a requirement, asks of the caller."""
    owner = getattr(function, "__self__", None)
    return (owner,) if isinstance(owner, Requirement) else guards_of(function)
