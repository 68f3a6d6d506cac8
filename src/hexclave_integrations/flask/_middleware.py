"""The WSGI middleware inside the application: checks it once, gives each request its caller, guards caches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .._adapter import cache_headers
from ._caller import Installation

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["CallerMiddleware"]


class CallerMiddleware:
    """Takes the place of `app.wsgi_app`, so that no answer goes out around it.

    Args:
        wsgi_app: what it wraps.
        installation: Hexclave of the application.
        check: raises if the application is wrong; called before the first answer, until it passes.
    """

    def __init__(self, wsgi_app: WSGIApplication, installation: Installation, check: Callable[[], None]) -> None:
        self._wsgi_app = wsgi_app
        self._installation = installation
        self._check = check
        self._vary = cache_headers.vary_on_credentials(None, installation.client.config)
        self._checked = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not self._checked:
            self._check()
            self._checked = True
        slot = self._installation.begin(environ)

        def guarded_start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
            caller = slot.get("caller")
            if caller is not None and caller.attempt.asked:
                headers = self._guard_caches(headers)
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        return self._wsgi_app(environ, guarded_start)

    def _guard_caches(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Name the credentials in `Vary`, and keep shared caches out."""
        kept: list[tuple[str, str]] = []
        vary: list[str] = []
        given: list[str] = []
        for name, value in headers:
            lowered = name.lower()
            if lowered == "vary":
                vary.append(value)
            elif lowered == "cache-control":
                given.append(value)
            else:
                kept.append((name, value))
        kept.append(("Cache-Control", cache_headers.cache_control(", ".join(given))))
        config = self._installation.client.config
        kept.append(("Vary", cache_headers.vary_on_credentials(", ".join(vary), config) if vary else self._vary))
        return kept
