"""Flask-Sock: who may open a websocket is decided before it is opened.

The extension answers the handshake first and calls the handler then, where a refusal would be written into the open
websocket. So the requirements on a handler are asked before the extension's own view runs, and a refusal is an answer
of HTTP, as elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flask import Flask

from .._adapter.guarded import guards_of, mark_own
from ..requirements import Requirement
from ._caller import caller_of, current_request

__all__ = ["guard_websockets"]


def guard_websockets(app: Flask) -> None:
    """Ask the requirements of websocket handlers first; called at the start."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions.get(rule.endpoint)
        requirements = guards_of(view)
        if rule.websocket and view is not None and requirements:
            app.view_functions[rule.endpoint] = _asked_first(view, requirements)


def _asked_first(view: Callable[..., Any], requirements: tuple[Requirement, ...]) -> Callable[..., Any]:
    @functools.wraps(view)
    def ask(**params: Any) -> Any:
        found = current_request()
        for requirement in requirements:
            caller_of(found).admit(requirement, params, found)
        return view(**params)

    mark_own(ask, *requirements)
    return ask
