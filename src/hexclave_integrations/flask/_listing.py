"""The list of routes of a Flask application; for `hexclave routes`."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Flask

from .._adapter.listing import WEBSOCKET, Entry, entry
from ..requirements import Requirement
from ._caller import EXTENSION, Installation
from ._default import standing_of

__all__ = ["entries"]


def entries(app: Flask) -> Iterator[Entry]:
    """Every route, method by method; without the answers to OPTIONS that Flask gives by itself."""
    found: Installation | None = app.extensions.get(EXTENSION)
    default: Requirement | None = None if found is None else found.default
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods or ()) or ["GET"]:
            if method == "OPTIONS" and getattr(rule, "provide_automatic_options", False):
                continue
            shown = WEBSOCKET if rule.websocket else method
            yield entry(shown, str(rule), standing_of(app, rule, method), default)
