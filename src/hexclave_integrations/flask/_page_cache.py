"""Flask-Caching: what a view shows one caller is stored for nobody else.

`@cache.cached` keeps a page under the request's path. Above a requirement, it would serve one caller's page to
strangers, and below it, to other users. So a page is not stored once somebody has asked who the caller is; `cache_page`
in Django has the same rule. Functions with `@cache.memoize`, functions that are no views, and fragments of templates
are stored unless they ask themselves. What the application stores with `cache.set(...)` is its own business.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from flask import Flask, current_app, has_request_context

from ._caller import current_request, known_caller
from ._views import functions_of

__all__ = ["guard_page_caches"]

_PACKAGE: Final = "flask_caching"
_PAGE: Final = "view/"  # how the extension's own keys of pages begin
_MISSES: Final = "_hexclave_cache_misses"


def guard_page_caches(app: Flask) -> None:
    """Put the rule on the store of every Flask-Caching of an application; called at the start."""
    stores = app.extensions.get("cache")
    for store in stores.values() if isinstance(stores, dict) else ():
        if not isinstance(store.set, _Set):
            store.get, store.set = _Get(store.get), _Set(store.set)


class _Get:
    """A store's `get`, which notes how often the request has asked for its caller so far."""

    def __init__(self, get: Callable[..., Any]) -> None:
        self._get = get

    def __call__(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        if has_request_context():
            request, caller = current_request(), known_caller()
            misses = vars(request).setdefault(_MISSES, {})
            misses[key] = 0 if caller is None else caller.reads
        return self._get(key, *args, **kwargs)


class _Set:
    """A store's `set`, which leaves out what may differ between callers."""

    def __init__(self, set_: Callable[..., Any]) -> None:
        self._set = set_

    def __call__(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        if has_request_context() and _is_by_extension() and not _may_store(key):
            return False
        return self._set(key, *args, **kwargs)


def _may_store(key: Any) -> bool:
    caller = known_caller()
    if caller is None or not caller.attempt.asked:
        return True
    if str(key).startswith(_PAGE) or _is_page_cached():
        return False
    return bool(vars(current_request()).get(_MISSES, {}).get(key) == caller.reads)


def _is_page_cached() -> bool:
    """Whether the view of this request is one that Flask-Caching stores: it marks what it decorates."""
    rule = current_request().url_rule
    return rule is not None and any(hasattr(each, "uncached") for each in functions_of(current_app, rule))


def _is_by_extension() -> bool:
    """Whether a decorator or template tag of the extension stores something, and not the application by `cache.set`."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    if frame is not None and _is_in_package(frame) and frame.f_code.co_name == "set":
        frame = frame.f_back  # the caller of `Cache.set`
    return frame is None or _is_in_package(frame)


def _is_in_package(frame: Any) -> bool:
    name = str(frame.f_globals.get("__name__"))
    return name == _PACKAGE or name.startswith(_PACKAGE + ".")
