"""Who makes this request: asked at most once per request, and kept on the request object.

Never on `flask.g`: with an application context pushed by hand, `g` outlives the request.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, Request, current_app, request
from werkzeug.local import LocalProxy

from .._adapter.cache_headers import HeaderGuard
from .._adapter.subprotocol import split_offered
from .._base.log import SparingLog
from .._policy.attempt import Attempt
from .._token.find import STACK_TOKEN, are_there, read_cookies, wanted_names
from ..api_key import HexclaveApiKey
from ..client import HexclaveClient
from ..errors import AuthenticationError, ConfigurationError, CrossOriginRefused, Unavailable
from ..requirements import Requirement
from ..user import HexclaveUser

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = [
    "EXTENSION",
    "Caller",
    "Installation",
    "caller_of",
    "current_api_key",
    "current_request",
    "current_user",
    "installation",
    "known_caller",
    "note_answered",
]

EXTENSION: Final = "hexclave"
_ATTRIBUTE: Final = "_hexclave_caller"
_ANSWERED: Final = "_hexclave_is_answered"

_log = SparingLog(logging.getLogger("hexclave_integrations"))


class Caller:
    """The caller of one request.

    Args:
        client: verifies and authorizes.
        attempt: the credentials, and what came of them.

    Attributes:
        attempt: the same.
        api_key: the API key that a requirement let through, or None.
        reads: how often somebody has asked who the caller is.
    """

    __slots__ = ("_admitted", "_client", "api_key", "attempt", "reads")

    def __init__(self, client: HexclaveClient, attempt: Attempt) -> None:
        self._client = client
        self._admitted: HexclaveUser | None = None
        self.attempt = attempt
        self.api_key: HexclaveApiKey | None = None
        self.reads = 0

    def user(self) -> HexclaveUser | None:
        """The user that a requirement let through on this request, else the regular user of its token, else None.

        Raises:
            Unavailable: it cannot be told now.
        """
        self.attempt.asked = True
        self.reads += 1
        if self._admitted is not None:
            return self._admitted
        try:
            user = self._client.identify(self.attempt)
        except (AuthenticationError, CrossOriginRefused):
            return None
        return user if user is not None and user.is_authenticated else None

    def admit(self, requirement: Requirement, params: Mapping[str, Any], request: Request) -> None:
        """Hold the caller against a requirement, and remember the user or API key that it lets through.

        Args:
            requirement: what the route asks for.
            params: the route's parameters, for `"{name}"` teams.
            request: what a callable team is called with.

        Raises:
            RequestRefused: the caller does not meet it, or it cannot be told now.
        """
        self.reads += 1
        principal = self._client.admit(requirement, self.attempt, params=params, request=request)
        if isinstance(principal, HexclaveApiKey):
            self.api_key = principal
        elif principal is not None:
            self._admitted = principal

    def conclude(self, status: int | None) -> None:
        """Say how the request ended, so that what it had spent is given back where that is due.

        Args:
            status: of the answer; None where there is none.
        """
        self._client.conclude(self.attempt, status)


class Installation:
    """Hexclave as one application has it, in `app.extensions["hexclave"]`.

    Args:
        client: verifies and authorizes for this application.
        default: what routes without a requirement of their own ask; None for nothing.

    Attributes:
        client, default: the same.
        guard_caches: puts cache headers on an answer that may differ between callers.
    """

    def __init__(self, client: HexclaveClient, default: Any = None) -> None:
        self.client = client
        self.default = default
        self.guard_caches = HeaderGuard(client.config, str)
        # One key per installation: an application may hand its environ on to another one, of another project.
        self._environ_key = f"hexclave_integrations.caller.{id(self)}"
        names = wanted_names(client.config)
        # WSGI cannot tell x_stack_access_token from x-stack-access-token; servers that matter drop the former.
        self._variables = [(f"HTTP_{name.upper().replace('-', '_')}", name) for name in names]

    def begin(self, environ: WSGIEnvironment) -> dict[str, Caller]:
        """Forget the caller of an earlier request with this environ; return where the caller of this one will be."""
        slot: dict[str, Caller] = {}
        environ[self._environ_key] = slot
        return slot

    def caller(self, environ: WSGIEnvironment) -> Caller:
        """The caller of the request, made when first asked for."""
        # A mutable slot: middleware in between may copy the environ, and the answer is guarded outside of it.
        slot: dict[str, Caller] = environ.setdefault(self._environ_key, {})
        known = slot.get("caller")
        if known is not None:
            return known
        is_websocket = environ.get("HTTP_UPGRADE", "").lower() == "websocket"
        tokens = _take_subprotocol_tokens(environ) if is_websocket else ()
        found = {name: environ[variable] for variable, name in self._variables if variable in environ}
        if tokens and not are_there(found):
            found[STACK_TOKEN] = ", ".join(tokens)  # several are as bad as a header that came more than once
        cookie = environ.get("HTTP_COOKIE", "")
        method = environ.get("REQUEST_METHOD")
        attempt = Attempt(found, lambda: read_cookies([cookie]), method, is_websocket=is_websocket)
        return slot.setdefault("caller", Caller(self.client, attempt))


def _take_subprotocol_tokens(environ: WSGIEnvironment) -> list[str]:
    """Take the tokens out of the offered subprotocols, so that nothing selects or logs one."""
    offered = environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(",")
    tokens, others = split_offered(name.strip() for name in offered)
    if tokens and others:
        environ["HTTP_SEC_WEBSOCKET_PROTOCOL"] = ", ".join(others)
    elif tokens:
        del environ["HTTP_SEC_WEBSOCKET_PROTOCOL"]
    return tokens


def installation() -> Installation:
    """Hexclave of the current application.

    Raises:
        ConfigurationError: it has none.
    """
    # As in `current_request`: the application itself, since each look through its proxy takes time.
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # a proxy, typed as its object
    found: Installation | None = app.extensions.get(EXTENSION)
    if found is None:
        raise ConfigurationError(
            "Hexclave is used and not installed on this application: call Hexclave(app), or hexclave.init_app(app)."
        )
    return found


def current_request() -> Request:
    """The current request itself, instead of the proxy `flask.request`: each look through a proxy takes time.

    Raises:
        RuntimeError: there is none.
    """
    return request._get_current_object()  # type: ignore[attr-defined,no-any-return]  # a proxy, typed as its object


def caller_of(request: Request) -> Caller:
    """The caller of a request that the current application handles.

    Raises:
        ConfigurationError: Hexclave is not installed on the application.
    """
    caller: Caller | None = getattr(request, _ATTRIBUTE, None)
    if caller is None:
        caller = installation().caller(request.environ)
        setattr(request, _ATTRIBUTE, caller)
    return caller


def known_caller() -> Caller | None:
    """The caller of the current request, if somebody has asked for them."""
    caller: Caller | None = getattr(current_request(), _ATTRIBUTE, None)
    return caller


def note_answered() -> None:
    """Note that the view of the current request has made its answer."""
    setattr(current_request(), _ANSWERED, True)


class _Unknown:
    """The user where it cannot be told: false, as nobody is, and an `Unavailable` to those who read more than that."""

    def __init__(self, error: Unavailable) -> None:
        self._error = error

    def __bool__(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self._error.repeated()


def _current_user() -> Any:
    request = current_request()
    try:
        return caller_of(request).user()
    except Unavailable as error:
        if not getattr(request, _ANSWERED, False):
            raise
        # The page is made, and what the view did is done: an `after_request` function must not turn that into an error.
        _log.warning("Who the caller is cannot be told now; after the view, current_user is false.")
        return _Unknown(error.repeated())


def _current_api_key() -> HexclaveApiKey | None:
    caller = caller_of(current_request())
    caller.reads += 1
    return caller.api_key


current_user: HexclaveUser = LocalProxy(_current_user)  # type: ignore[assignment]
"""The verified user of the current request, in views and templates; false when there is none.

Behind a requirement about users it is the user that the requirement let through, of any kind that it allows: behind
`optional_user` and `.allow(anonymous=True)` an anonymous user is a user too, and true. On a route without such a
requirement only a regular user counts: anonymous users, restricted users and bad credentials are nobody.

Write `if current_user:`, since a proxy is never `None`. Where the answer is streamed, read it before the stream begins:
afterwards it is too late to forbid caches to store the answer.

Where it cannot be told now, reading it ends the request with 503, in the view and before it. After the view, in
`after_request`, it is false and the page stands; only an attribute of it, `current_user.id` say, is still a 503.

Raises:
    Unavailable: on reading, as described.
"""

current_api_key: HexclaveApiKey = LocalProxy(_current_api_key)  # type: ignore[assignment]
"""The API key that a requirement let through on this request; false without one."""
