"""The floor: the same decisions as the kit's for a repeated token in a header, written by hand into one application.

It takes the token from the headers that the kit reads, refuses several of them, holds the token's end against the clock
and its user's kind against "regular", keeps no token in memory, and keeps shared caches out. Cookies, websockets, API
keys, rotated keys and everything else the kit does for other requests are missing. What the kit costs above this is
what its structure costs. A token of first sight is verified by the kit.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from asgiref.sync import iscoroutinefunction

from hexclave_integrations import HexclaveClient, HexclaveUser

__all__ = ["Ideal", "Refused", "django_middleware"]

_TEXTS = ("x-stack-access-token", "x-hexclave-access-token", "authorization", "x-stack-auth")
_BYTES = frozenset(name.encode() for name in _TEXTS)
_VARIABLES = tuple("HTTP_" + name.upper().replace("-", "_") for name in _TEXTS)
_CONTROL = "private, no-store"
_VARY = "X-Stack-Access-Token, X-Hexclave-Access-Token, Authorization, X-Stack-Auth, X-Api-Key"
_ADDED = (("cache-control", _CONTROL), ("vary", _VARY))
_ADDED_BYTES = tuple((name.encode(), value.encode()) for name, value in _ADDED)

Scope = Any
Middleware = Callable[[Scope, Any, Any], Awaitable[None]]


class Refused(Exception):
    """401. No request of a benchmark gets it."""


class Ideal:
    """Verified tokens by digest. The settings come from the environment."""

    def __init__(self) -> None:
        self._client = HexclaveClient()
        self._known: dict[bytes, tuple[HexclaveUser, float]] = {}

    def judge(self, token: str | None) -> HexclaveUser:
        """The regular user of a token.

        Raises:
            Refused: it is not there, over, or another kind of user's.
        """
        if token is None or "," in token or not 90 <= len(token) <= 16384:
            raise Refused
        name = hashlib.sha256(token.encode()).digest()
        known = self._known.get(name)
        if known is None:
            user = self._client.verify_token(token)
            known = self._known[name] = (user, user.expires_at.timestamp() if user.expires_at else 0)
        if time.time() >= known[1] or known[0].kind != "regular":
            raise Refused
        return known[0]

    def user_of_scope(self, scope: Scope) -> HexclaveUser:
        """The user of an ASGI request.

        Raises:
            Refused: there is none.
        """
        token = None
        for name, value in scope["headers"]:
            if name in _BYTES:
                if token is not None:
                    raise Refused
                token = value.decode("latin-1")
        user = scope["user"] = self.judge(token)
        return user

    def user_of_environ(self, environ: Mapping[str, Any]) -> HexclaveUser:
        """The user of a WSGI request.

        Raises:
            Refused: there is none.
        """
        token = None
        for variable in _VARIABLES:
            if variable in environ:
                if token is not None:
                    raise Refused
                token = environ[variable]
        return self.judge(token)

    @staticmethod
    def around_asgi(app: Middleware) -> Middleware:
        """An ASGI application that keeps answers to users out of shared caches."""

        async def middleware(scope: Scope, receive: Any, send: Any) -> None:
            async def guarded_send(message: Any) -> None:
                if message["type"] == "http.response.start" and "user" in scope:
                    kept = [pair for pair in message["headers"] if pair[0] not in (b"cache-control", b"vary")]
                    message = {**message, "headers": [*kept, *_ADDED_BYTES]}
                await send(message)

            await app(scope, receive, guarded_send)

        return middleware

    @staticmethod
    def around_wsgi(app: Any, key: str) -> Any:
        """A WSGI application that keeps answers to users out of shared caches.

        Args:
            app: what it wraps.
            key: is in the environ once a user was told.
        """

        def middleware(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            def guarded_start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                if key in environ:
                    headers = [pair for pair in headers if pair[0].lower() not in ("cache-control", "vary")]
                    headers += _ADDED
                return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

            found: Iterable[bytes] = app(environ, guarded_start)
            return found

        return middleware


def django_middleware(get_response: Any) -> Any:
    """Django's middleware of the floor; its views put `hexclave_user` on the request."""
    from django.utils.decorators import sync_and_async_middleware

    return sync_and_async_middleware(_middleware)(get_response)


def _middleware(get_response: Any) -> Any:
    if iscoroutinefunction(get_response):

        async def amiddleware(request: Any) -> Any:
            return _guarded(request, await get_response(request))

        return amiddleware

    def middleware(request: Any) -> Any:
        return _guarded(request, get_response(request))

    return middleware


def _guarded(request: Any, response: Any) -> Any:
    if hasattr(request, "hexclave_user"):
        headers = response.headers
        headers["Cache-Control"], headers["Vary"] = _CONTROL, _VARY
    return response


django_middleware.sync_capable = django_middleware.async_capable = True  # type: ignore[attr-defined]  # as Django asks
