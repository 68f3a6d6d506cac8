"""Hexclave for Django REST framework: an authentication class and a permission class.

::

    class Reports(APIView):
        authentication_classes = [HexclaveAuthentication]
        permission_classes = [HexclavePermission.of(require_permission("{team_id}", "export_reports"))]

Refusals are raised past the framework to `HexclaveMiddleware`, which answers with the bytes every other view
gives. So a permission that refuses ends the request: in `A | HexclavePermission` it goes last.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self, cast

from .._base.extras import extra
from ..api_key import HexclaveApiKey
from ..errors import AuthenticationError, ConfigurationError, NotAuthenticated, RequestRefused
from ..user import HexclaveUser
from ._caller import Caller, caller_of, find_caller, guarded_caller, refuse_event_loop
from ._conf import get_client
from ._private import django_request
from ._requirements import DjangoRequirement, require_user
from ._truth import NoAnswer, NoAnswerClass, refuse

with extra("drf", "rest_framework"):
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.exceptions import AuthenticationFailed
    from rest_framework.permissions import (
        AND,
        NOT,
        OR,
        BasePermission,
        BasePermissionMetaclass,
        OperandHolder,
        SingleOperandHolder,
    )
    from rest_framework.request import ForcedAuthentication, Request

    from ._rest import Misconfigured, is_for_itself, note_when_served
    from ._rest import refuse as refuse_in

__all__ = ["HexclaveAuthentication", "HexclavePermission", "HexclaveRequest", "OptionalHexclaveRequest"]


class OptionalHexclaveRequest(Request):
    """A request of whoever it may be; for annotations alone, as `OptionalHexclaveHttpRequest` of Django's views.

    Attributes:
        hexclave_user: the user, or None for nobody.
        hexclave_api_key: the API key that `require_api_key` let through, or None.
    """

    hexclave_user: HexclaveUser | None
    hexclave_api_key: HexclaveApiKey | None


class HexclaveRequest(OptionalHexclaveRequest):
    """The request of a view whose `HexclavePermission` lets through users alone; for annotations alone.

    Attributes:
        hexclave_user: the user that was let through.
    """

    hexclave_user: HexclaveUser


class HexclaveAuthentication(BaseAuthentication, metaclass=NoAnswerClass):
    """`request.user` is the verified regular user: the `HexclaveUser`, or with `DJANGO_USERS` their row.

    Bad credentials are refused, on public views too, as this framework does. No credentials, a bearer token that is
    plainly another issuer's, and users of other kinds leave `request.user` to the next class; a `HexclavePermission`
    that allows such a kind sets it.
    """

    asks_hexclave = True  # for the system checks
    _has_found_somebody = False

    def __bool__(self) -> bool:
        """True when this object has authenticated the request, which the framework asks; else no answer at all.

        Raises:
            NotADependency: it has not.
        """
        return self._has_found_somebody or refuse(type(self))

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """The user and nothing further, or None.

        Raises:
            RequestRefused: the credentials are not acceptable, or it cannot be told now.
            AuthenticationFailed: the user's row is refused.
        """
        caller = guarded_caller(request)
        if caller.bears_api_key():
            return None
        try:
            user = caller.identify(request)
        except RequestRefused as error:
            if isinstance(error, AuthenticationError) and caller.attempt.is_foreign(caller.installation.config):
                return None
            refuse_in(error, request.parser_context.get("view"), has_middleware=caller.has_middleware)
        if user is None or not user.is_authenticated:
            return None
        found = _user_for(request, user)
        self._has_found_somebody = True
        return found, None

    def authenticate_header(self, request: Request) -> str:
        """The challenge of this framework's own 401s."""
        return dict(NotAuthenticated().headers())["WWW-Authenticate"]


_AND, _OR, _NOT = cast("tuple[Any, Any, Any]", (AND, OR, NOT))


class _Combines:
    """What `&`, `|` and `~` make of permission classes: as the framework's own, without a truth value."""

    def __and__(self: Any, other: Any) -> Any:
        return _Both(_AND, self, other)

    def __rand__(self: Any, other: Any) -> Any:
        return _Both(_AND, other, self)

    def __or__(self: Any, other: Any) -> Any:
        return _Both(_OR, self, other)

    def __ror__(self: Any, other: Any) -> Any:
        return _Both(_OR, other, self)

    def __invert__(self: Any) -> Any:
        return _Not(_NOT, self)


class _Both(_Combines, NoAnswer, OperandHolder):
    """Two permission classes in one."""


class _Not(_Combines, NoAnswer, SingleOperandHolder):
    """The opposite of a permission class."""


class _PermissionClass(_Combines, NoAnswerClass, BasePermissionMetaclass):
    """The class of our permission classes."""


class HexclavePermission(NoAnswer, BasePermission, metaclass=_PermissionClass):
    """Asks a requirement: by default a regular user, else what `of` or a subclass says.

    Attributes:
        requirement: from `hexclave_integrations.django`.

    Raises:
        ConfigurationError: a subclass has none, or one that was not called.
    """

    requirement: ClassVar[DjangoRequirement] = require_user

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not isinstance(cls.requirement, DjangoRequirement):
            raise ConfigurationError(f"requirement of {cls.__name__} is none: use require_user or call the others.")

    @classmethod
    def of(cls, requirement: DjangoRequirement) -> type[Self]:
        """A permission class for another requirement.

        Raises:
            ConfigurationError: it is no requirement, or one that was not called.
        """
        meta: Any = type(cls)
        made: type[Self] = meta(cls.__name__, (cls,), {"requirement": requirement, "__doc__": cls.__doc__})
        return made

    def has_permission(self, request: Request, view: Any) -> bool:
        """True; `request.user` is then the user let through, `request.auth` the API key.

        Raises:
            RequestRefused: the answer is no, or cannot be told now; it is one of the framework's exceptions as well.
        """
        try:
            imagined = None if find_caller(request) is not None else _hexclave_principal(request)
            if imagined is not None and find_caller(request) is None:
                _admit_imagined(self.requirement, request, imagined, view.kwargs)
                return True
            caller, requirement = _caller(request), self.requirement
            if requirement.spend and not is_for_itself(request, view):
                requirement = requirement.without_spending()
            principal = _admit(caller, requirement, request, view.kwargs)
            if requirement.spend:
                note_when_served(view, request.method, caller.attempt)
        except (RequestRefused, Misconfigured) as error:
            known = find_caller(request)
            refuse_in(error, view, has_middleware=known is None or known.has_middleware)
        if isinstance(principal, HexclaveApiKey):
            request.auth = principal
        elif principal is not None:
            request.user = _user_for(request, principal)
        return True


def _admit(caller: Caller, requirement: DjangoRequirement, request: Request, params: dict[str, Any]) -> Any:
    """Hold the caller of a request against a requirement, or the user that a test has put in their place."""
    if not any(isinstance(item, ForcedAuthentication) for item in request.authenticators or ()):
        return caller.admit(requirement, request, params)
    # A test has called force_authenticate; no request can bring that about.
    forced = _hexclave_principal(request)
    if forced is None:
        raise ConfigurationError(
            "force_authenticate needs the HexclaveUser of a user, as user, or a HexclaveApiKey, as token: "
            "get_client().authenticate(sandbox.headers(user))."
        )
    refuse_event_loop()
    caller.ask()
    if requirement.spend and isinstance(forced, HexclaveUser):
        get_client().presume(caller.attempt, forced)  # so that it is given back, as to any caller
        return caller.admit(requirement, request, params)
    principal = get_client().authorize(requirement, forced, params=params, request=request)
    return caller.let_in(principal, request)


def _caller(request: Request) -> Caller:
    """The caller of a request, also of one that a test or a schema generator has made.

    Raises:
        Misconfigured: the middleware is missing.
    """
    try:
        return guarded_caller(request)
    except ConfigurationError as error:
        raise Misconfigured(str(error)) from None


def _admit_imagined(
    requirement: DjangoRequirement,
    request: Request,
    known: HexclaveUser | HexclaveApiKey,
    params: dict[str, Any],
) -> None:
    """Hold the user of a request that was never sent against a requirement.

    A schema generator makes such a request for each route and gives it the user of the real one; a test does by
    `force_authenticate`. What cannot be told without the real route, the team in its path above all, counts as refused.

    Raises:
        RequestRefused: that user is not let through.
        Misconfigured: it cannot be told.
    """
    try:
        refuse_event_loop()
        get_client().authorize(requirement.without_spending(), known, params=params, request=request)
    except ConfigurationError as error:
        raise Misconfigured(str(error)) from None


def _hexclave_principal(request: Request) -> HexclaveUser | HexclaveApiKey | None:
    """The user or API key that code, and not the caller, has put on a request, if Hexclave vouches for it."""
    user: Any = request.user
    key: Any = request.auth
    if isinstance(key, HexclaveApiKey):
        return key
    if not isinstance(user, HexclaveUser):
        user = getattr(user, "_hexclave_user", None)  # of a row that the backend found
    return user if isinstance(user, HexclaveUser) else None


def _user_for(request: Request, user: HexclaveUser) -> Any:
    caller = caller_of(request)
    if not user.is_authenticated or not caller.installation.django_users:
        return user
    from .users._request import row_of

    row = row_of(django_request(request), caller, user)
    if row is None:
        raise AuthenticationFailed("User inactive or deleted.", code="user_inactive")
    return row


try:
    from drf_spectacular.extensions import OpenApiAuthenticationExtension
except ImportError:
    pass
else:

    class HexclaveScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers the subclass
        """How drf-spectacular describes `HexclaveAuthentication`."""

        target_class: str | type[object] | None = HexclaveAuthentication
        name: str | list[str] = "Hexclave access token"
        match_subclasses = True

        def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
            return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
