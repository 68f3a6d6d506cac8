"""Hexclave for Django REST framework: an authentication class and a permission class.

::

    class Reports(APIView):
        authentication_classes = [HexclaveAuthentication]
        permission_classes = [HexclavePermission.of(require_permission("{team_id}", "export_reports"))]

Refusals are raised past the framework to `HexclaveMiddleware`, which answers with the bytes every other view
gives. So a permission that refuses ends the request: in `A | HexclavePermission` it goes last.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AND, NOT, OR, BasePermission, OperandHolder, SingleOperandHolder
from rest_framework.request import Request

from ..api_key import HexclaveApiKey
from ..errors import ConfigurationError, NotAuthenticated
from ..user import HexclaveUser
from ._caller import caller_of, django_request
from ._requirements import DjangoRequirement, require_user
from ._truth import NoAnswer, no_answer, refuse

__all__ = ["HexclaveAuthentication", "HexclavePermission"]


class HexclaveAuthentication(BaseAuthentication, metaclass=no_answer(BaseAuthentication)):
    """`request.user` is the verified regular user: the `HexclaveUser`, or with `DJANGO_USERS` his row.

    Bad credentials are refused, on public views too, as this framework does. No credentials and users of other kinds
    leave `request.user` to the next class; a `HexclavePermission` that allows such a kind sets it.
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
        caller = caller_of(request)
        if caller.bears_api_key():
            return None
        user = caller.identify(request)
        if user is None or not user.is_authenticated:
            return None
        found = _user_for(request, user)
        self._has_found_somebody = True
        return found, None

    def authenticate_header(self, request: Request) -> str:
        """The challenge of this framework's own 401s."""
        return dict(NotAuthenticated().headers())["WWW-Authenticate"]


class _Combines:
    """What `&`, `|` and `~` make of permission classes: as the framework's own, without a truth value."""

    def __and__(self, other: Any) -> Any:
        return _Both(AND, self, other)

    def __rand__(self, other: Any) -> Any:
        return _Both(AND, other, self)

    def __or__(self, other: Any) -> Any:
        return _Both(OR, self, other)

    def __ror__(self, other: Any) -> Any:
        return _Both(OR, other, self)

    def __invert__(self) -> Any:
        return _Not(NOT, self)


class _Both(_Combines, NoAnswer, OperandHolder):
    """Two permission classes in one."""


class _Not(_Combines, NoAnswer, SingleOperandHolder):
    """The opposite of a permission class."""


class _PermissionClass(_Combines, no_answer(BasePermission)):  # type: ignore[misc]  # known only at run time
    """The class of our permission classes."""


class HexclavePermission(NoAnswer, BasePermission, metaclass=_PermissionClass):
    """Lets through whom a requirement lets through: regular users, or what `of` or a subclass says.

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
            RequestRefused: the answer is no, or cannot be told now.
        """
        principal = caller_of(request).admit(self.requirement, request, view.kwargs)
        if isinstance(principal, HexclaveApiKey):
            request.auth = principal
        elif principal is not None:
            request.user = _user_for(request, principal)
        return True


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

        target_class = HexclaveAuthentication
        name = "Hexclave access token"
        match_subclasses = True

        def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
            return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
