"""Who makes this request: asked at most once per request, and kept on the request object.

Never on `flask.g`: with an application context pushed by hand, `g` outlives the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from flask import Request, current_app, request
from werkzeug.local import LocalProxy

from .._policy.attempt import Attempt
from .._token.find import HEADER_NAMES, read_cookies
from ..api_key import HexclaveApiKey
from ..client import HexclaveClient
from ..errors import AuthenticationError, ConfigurationError
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
]

EXTENSION: Final = "hexclave"
_ATTRIBUTE: Final = "_hexclave_caller"


class Caller:
    """The caller of one request.

    Args:
        client: verifies and authorizes.
        attempt: the credentials, and what came of them.

    Attributes:
        attempt: the same.
        api_key: the API key that a requirement let through, or None.
    """

    __slots__ = ("_admitted", "_client", "api_key", "attempt")

    def __init__(self, client: HexclaveClient, attempt: Attempt) -> None:
        self._client = client
        self._admitted: HexclaveUser | None = None
        self.attempt = attempt
        self.api_key: HexclaveApiKey | None = None

    def user(self) -> HexclaveUser | None:
        """The user that a requirement let through on this request, else the regular user of its token, else None.

        Raises:
            Unavailable: it cannot be told now.
        """
        self.attempt.asked = True
        if self._admitted is not None:
            return self._admitted
        try:
            user = self._client.identify(self.attempt)
        except AuthenticationError:
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

    Attributes:
        client: the same.
    """

    def __init__(self, client: HexclaveClient) -> None:
        self.client = client
        # One key per installation: an application may hand its environ on to another one, of another project.
        self._environ_key = f"hexclave_integrations.caller.{id(self)}"
        names = (*HEADER_NAMES, client.config.api_key_header)
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
        found = {name: environ[variable] for variable, name in self._variables if variable in environ}
        cookie = environ.get("HTTP_COOKIE", "")
        return slot.setdefault("caller", Caller(self.client, Attempt(found, lambda: read_cookies([cookie]))))


def installation() -> Installation:
    """Hexclave of the current application.

    Raises:
        ConfigurationError: it has none.
    """
    found: Installation | None = current_app.extensions.get(EXTENSION)
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


current_user: HexclaveUser = LocalProxy(lambda: caller_of(current_request()).user())  # type: ignore[assignment]
"""The verified user of the current request, in views and templates; false when there is none.

Behind a requirement about users it is the user that the requirement let through, of any kind that it allows: behind
`optional_user` and `.allow(anonymous=True)` an anonymous user is a user too, and true. On a route without such a
requirement only a regular user counts: anonymous users, restricted users and bad credentials are nobody.

Write `if current_user:`, since a proxy is never `None`. Where the answer is streamed, read it before the stream begins:
afterwards it is too late to forbid caches to store the answer.

Raises:
    Unavailable: on reading, where it cannot be told now; the request is answered with 503.
"""

current_api_key: HexclaveApiKey = LocalProxy(lambda: caller_of(current_request()).api_key)  # type: ignore[assignment]
"""The API key that a requirement let through on this request; false without one."""
