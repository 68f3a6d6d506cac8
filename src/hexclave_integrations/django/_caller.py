"""Who makes a request: worked out at most once, and kept on Django's request."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from .._adapter import cache_headers
from .._base.event_loop import in_event_loop
from .._policy.attempt import Attempt
from ..api_key import HexclaveApiKey, looks_like_api_key
from ..errors import AuthenticationError, ConfigurationError, CrossOriginRefused, InvalidToken, RequestRefused
from ..requirements import Requirement
from ..user import HexclaveUser
from ._conf import Installation, installation
from ._csrf import check_csrf
from ._private import django_request

__all__ = [
    "Caller",
    "answer_to",
    "bare_caller",
    "caller_of",
    "find_caller",
    "guarded_caller",
    "refuse_event_loop",
]

_STATE: Final = "_hexclave_caller"

Refuse = Callable[[HttpRequest, RequestRefused], HttpResponse]


class Caller:
    """The caller of one request.

    Args:
        installation: what answers the questions.
        request: whose caller this is. It keeps this object; this object does not keep it, which would be a cycle.
        refuse: makes the answer for a refusal.

    Attributes:
        refused: the refusal with which Django Ninja has ended the request, since it makes an answer of its own of it.
        rows: the rows of Django's user model that were looked up for Hexclave users, by their ids.
        followed: what was put on the request as `request.user`, with `DJANGO_USERS`.
        is_streaming: whether the headers of the answer are gone and its body is being made.
        has_middleware: whether the middleware will see the answer; not in tests of a single view.
    """

    __slots__ = (
        "attempt",
        "followed",
        "has_middleware",
        "installation",
        "is_streaming",
        "refuse",
        "refused",
        "rows",
    )

    def __init__(self, installation: Installation, request: HttpRequest, refuse: Refuse) -> None:
        self.installation: Installation = installation
        self.attempt: Attempt = installation.attempt(request.META)
        self.refuse: Refuse = refuse
        self.refused: RequestRefused | None = None
        self.rows: dict[str, Any] = {}
        self.followed: Any = None
        self.is_streaming: bool = False
        self.has_middleware: bool = True
        setattr(request, _STATE, self)

    def ask(self) -> None:
        """Note that the answer depends on who the caller is.

        Raises:
            RuntimeError: its headers, which keep shared caches away, have been sent without that.
        """
        if self.is_streaming and not self.attempt.asked:
            raise RuntimeError(
                "Who the caller is was first asked while the body was streamed, too late to keep caches from sharing "
                "it: read request.hexclave_user in the view, before it returns the StreamingHttpResponse."
            )
        self.attempt.asked = True

    def admit(
        self, requirement: Requirement, request: Any, params: Mapping[str, Any]
    ) -> HexclaveUser | HexclaveApiKey | None:
        """Hold the caller against a requirement, and put the user or API key that it lets through on the request.

        Args:
            requirement: what is asked.
            request: Django's request or one around it; a callable team is called with it.
            params: the route's parameters.

        Raises:
            RequestRefused: the caller does not meet it, or it cannot be told now.
            SynchronousOnlyOperation: this would wait in an event loop.
        """
        self.ask()
        refuse_event_loop()
        client = self.installation.client
        if requirement.spend:  # for a request that another site may have made, nothing is taken first
            with contextlib.suppress(AuthenticationError):
                self._check_csrf(client.identify(self.attempt), request)
        principal = client.admit(requirement, self.attempt, params=params, request=request)
        self._check_csrf(principal, request)
        return self.let_in(principal, request)

    async def aadmit(
        self, requirement: Requirement, request: Any, params: Mapping[str, Any]
    ) -> HexclaveUser | HexclaveApiKey | None:
        """As `admit`, in an event loop."""
        self.ask()
        client = self.installation.async_client
        if requirement.spend:
            with contextlib.suppress(AuthenticationError):
                await self._acheck_csrf(await client.identify(self.attempt), request)
        principal = await client.admit(requirement, self.attempt, params=params, request=request)
        await self._acheck_csrf(principal, request)
        return self.let_in(principal, request)

    def conclude(self, status: int | None) -> None:
        """Say how the request ended, so that what it had spent is given back where that is due.

        Args:
            status: of the answer; None where there is none.
        """
        self.installation.client.conclude(self.attempt, status)

    async def aconclude(self, status: int | None) -> None:
        """As `conclude`, in an event loop."""
        await self.installation.async_client.conclude(self.attempt, status)

    def identify(self, request: Any) -> HexclaveUser | None:
        """The verified user of any kind, or None when no credentials came.

        Raises:
            RequestRefused: credentials came that are not acceptable, or it cannot be told now.
            SynchronousOnlyOperation: this would wait in an event loop.
        """
        self.ask()
        refuse_event_loop()
        user = self.installation.client.identify(self.attempt)
        self._check_csrf(user, request)
        return user

    def user(self, request: HttpRequest) -> HexclaveUser | None:
        """The verified regular user, or None.

        None stands for other kinds of users and for bad credentials, and for a token in a cookie where another site may
        have made the request.

        Raises:
            Unavailable: it cannot be told now.
            SynchronousOnlyOperation: this would wait in an event loop.
        """
        self.ask()
        if not self.attempt.settled:
            refuse_event_loop()
        try:
            user = _regular(self.installation.client.identify(self.attempt))
            self._check_csrf(user, request)
        except (AuthenticationError, CrossOriginRefused):
            return None
        return self._unless_replaced(user, request)

    async def auser(self, request: HttpRequest) -> HexclaveUser | None:
        """As `user`, in an event loop."""
        self.ask()
        try:
            user = _regular(await self.installation.async_client.identify(self.attempt))
            await self._acheck_csrf(user, request)
        except (AuthenticationError, CrossOriginRefused):
            return None
        return self._unless_replaced(user, request)

    def bears_api_key(self) -> bool:
        """Whether the request has an API key in place of a token; only requirements that take keys look at it."""
        self.ask()
        try:
            token = self.attempt.find_token(self.installation.config)
        except (InvalidToken, CrossOriginRefused):
            return False
        return token is not None and looks_like_api_key(token)

    def guard_caches(self, response: Any) -> Any:
        """Name the credentials in `Vary`, and keep shared caches out unless the view said `public`.

        A guard does this itself, before the middleware does: `cache_page` around a guarded view stores what it sees.
        """
        if self.attempt.asked and isinstance(response, HttpResponseBase):
            headers, plain = response.headers, self.installation.vary
            given, vary = headers.get("Cache-Control"), headers.get("Vary")
            if given != cache_headers.PRIVATE:
                headers["Cache-Control"] = cache_headers.cache_control(given)
            if vary != plain:
                headers["Vary"] = (
                    plain if vary is None else cache_headers.vary_on_credentials(vary, self.installation.config)
                )
        return response

    def _check_csrf(self, principal: HexclaveUser | HexclaveApiKey | None, request: Any) -> None:
        """Run Django's CSRF check for a user whose token came in a cookie, which a browser sends unasked.

        Raises:
            CsrfFailed: the request may have been made by another site.
        """
        if self._came_in_cookie(principal):
            check_csrf(django_request(request))

    async def _acheck_csrf(self, principal: HexclaveUser | HexclaveApiKey | None, request: Any) -> None:
        """As `_check_csrf`, in an event loop; a check that reads a session runs in a thread."""
        if self._came_in_cookie(principal):
            if settings.CSRF_USE_SESSIONS:
                await sync_to_async(check_csrf)(django_request(request))
            else:
                check_csrf(django_request(request))

    def let_in(
        self, principal: HexclaveUser | HexclaveApiKey | None, request: Any
    ) -> HexclaveUser | HexclaveApiKey | None:
        """Put who was let through on the request: `hexclave_user`, and `user` is then nobody else."""
        target = django_request(request)
        if isinstance(principal, HexclaveApiKey):
            target.hexclave_api_key = principal
            return principal
        target.hexclave_user = principal
        if principal is not None and self.installation.django_users:
            from .users._request import become

            become(request, self, principal)
        elif principal is not None:
            # Whoever the session or the authentication classes of Django REST framework have found: the guard has let
            # this user in, and one request has one user.
            request.user = target.user = principal
            target.auser = _always(principal)
        return principal

    def _unless_replaced(self, user: HexclaveUser | None, request: HttpRequest) -> HexclaveUser | None:
        """The user, or None where something else has made `request.user` another person."""
        if user is None or not self.installation.django_users:
            return user
        from .users._request import is_followed

        return user if is_followed(request, self, user) else None

    def _came_in_cookie(self, principal: HexclaveUser | HexclaveApiKey | None) -> bool:
        return self.attempt.by_cookie and isinstance(principal, HexclaveUser)


def _always(user: HexclaveUser) -> Any:
    async def auser() -> HexclaveUser:
        return user

    return auser


def _regular(user: HexclaveUser | None) -> HexclaveUser | None:
    return user if user is not None and user.is_authenticated else None


def refuse_event_loop() -> None:
    """Raise where waiting would hold up an event loop.

    Raises:
        SynchronousOnlyOperation: this thread runs one.
    """
    if in_event_loop():
        raise SynchronousOnlyOperation(
            "Hexclave was asked from an event loop: write await request.ahexclave_user(), or make the view async def."
        )


def find_caller(request: Any) -> Caller | None:
    """The caller that the middleware put on the request, or None where it has not seen the request."""
    caller = getattr(django_request(request), _STATE, None)
    return caller if isinstance(caller, Caller) else None


def guarded_caller(request: Any) -> Caller:
    """The caller of a request that has come as far as a guard, which is in front of a view.

    Where the middleware is in settings.MIDDLEWARE, a request without it has come from no server: a test has made it,
    and calls the view by itself. Its headers count as everywhere, or the user whom the test has put on it.

    Raises:
        ConfigurationError: the middleware is missing.
    """
    caller = find_caller(request)
    if caller is not None:
        return caller
    target = django_request(request)
    user = vars(target).get("hexclave_user") if isinstance(target, HttpRequest) else None
    if isinstance(user, HexclaveUser):
        return bare_caller(target, user)
    return bare_caller(target) if _is_in_settings() else caller_of(request)


def bare_caller(request: HttpRequest, *users: HexclaveUser | None) -> Caller:
    """Give a request that has not come through the middleware a caller.

    Args:
        request: made by a test.
        users: whose request it is, or None for nobody; without one the request's headers tell.
    """
    found = installation()
    caller = Caller(found, request, lambda request, error: answer_to(error))
    caller.has_middleware = False
    # A test client may spell META in its own way.
    caller.attempt = found.attempt(
        {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()}
        | {"REQUEST_METHOD": request.method}
    )
    if users:
        found.client.presume(caller.attempt, users[0])
    return caller


def _is_in_settings() -> bool:
    from .middleware import HexclaveMiddleware

    for path in settings.MIDDLEWARE:
        found = import_string(path)
        if isinstance(found, type) and issubclass(found, HexclaveMiddleware):
            return True
    return False


def caller_of(request: Any) -> Caller:
    """The caller that the middleware put on the request.

    Raises:
        ConfigurationError: the middleware is missing, or has not run yet.
    """
    caller = find_caller(request)
    if caller is None:
        raise ConfigurationError(
            "Hexclave was asked about a request that its middleware has not seen: add "
            '"hexclave_integrations.django.middleware.HexclaveMiddleware" to settings.MIDDLEWARE. In a test of a view '
            "by itself, call hexclave_integrations.django.testing.sign_in(request, user)."
        )
    return caller


def answer_to(error: RequestRefused) -> HttpResponse:
    """The answer to a refusal, as every framework gives it."""
    return HttpResponse(error.body(), status=error.status, headers=dict(error.headers()))
