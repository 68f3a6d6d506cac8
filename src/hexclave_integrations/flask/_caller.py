"""Who makes this request: asked at most once per request, and kept in its WSGI environ.

Never on `flask.g`: with an application context pushed by hand, `g` outlives the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from flask import current_app, request
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

__all__ = ["EXTENSION", "Caller", "Installation", "current_api_key", "current_caller", "current_user", "installation"]

EXTENSION: Final = "hexclave"


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
        """Whom a requirement let through on this request, else the regular user of its token, else None.

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

    def admit(self, requirement: Requirement, params: Mapping[str, Any]) -> None:
        """Hold the caller against a requirement, and remember whom it lets through.

        Raises:
            RequestRefused: he does not meet it, or it cannot be told now.
        """
        # A callable team gets the request itself; nobody else is worth looking through the proxy.
        real = request._get_current_object() if callable(requirement.team) else None  # type: ignore[attr-defined]
        principal = self._client.admit(requirement, self.attempt, params=params, request=real)
        if isinstance(principal, HexclaveApiKey):
            self.api_key = principal
        elif principal is not None:
            self._admitted = principal


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
        """Forget who made an earlier request with this environ; return where the caller of this one will be."""
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


def current_caller() -> Caller:
    """The caller of the current request.

    Raises:
        ConfigurationError: Hexclave is not installed on the current application.
    """
    return installation().caller(request.environ)


current_user: HexclaveUser = LocalProxy(lambda: current_caller().user())  # type: ignore[assignment]  # as flask.request
"""The verified user of the current request; false when nobody is signed in.

That is whom a requirement let through on this request. Where none was asked, only a regular user counts: bad
credentials, anonymous and restricted users are nobody. Write `if current_user:`; a proxy is never `None`. Where the
answer is streamed, read it before the stream begins: afterwards it is too late to forbid caches to store it.

Raises:
    Unavailable: on reading, where it cannot be told now; the caller is answered 503.
"""

current_api_key: HexclaveApiKey = LocalProxy(lambda: current_caller().api_key)  # type: ignore[assignment]
"""The API key that a requirement let through on this request; false without one."""
