"""`request.user` and `request.auser()` that follow the Hexclave user, where `DJANGO_USERS` is on."""

from __future__ import annotations

from typing import Any

from django.contrib import auth
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from ..errors import ConfigurationError
from ..user import HexclaveUser
from ._caller import Caller

__all__ = ["follow_hexclave_user", "row_of"]


def follow_hexclave_user(request: HttpRequest, caller: Caller) -> None:
    """Put the row of the regular user whom a token names before the user of the session.

    Without acceptable credentials the session's user stays; a row that is refused makes an anonymous user.

    Raises:
        ConfigurationError: Django's AuthenticationMiddleware has not run before.
    """
    anyone: Any = request
    if not hasattr(anyone, "user") or not hasattr(anyone, "auser"):
        raise ConfigurationError(
            "DJANGO_USERS needs django.contrib.auth.middleware.AuthenticationMiddleware before HexclaveMiddleware."
        )
    session_user, session_auser = anyone.user, anyone.auser
    known: list[Any] = []

    def user() -> Any:
        if not known:
            found = caller.user(request)
            known.append(session_user if found is None else row_of(request, found) or AnonymousUser())
        return known[0]

    async def auser() -> Any:
        if not known:
            found = await caller.auser(request)
            if found is None:
                known.append(await session_auser())
            else:
                known.append(await auth.aauthenticate(request, hexclave_user=found) or AnonymousUser())
        return known[0]

    anyone.user, anyone.auser = SimpleLazyObject(user), auser


def row_of(request: HttpRequest, user: HexclaveUser) -> Any:
    """The row of a regular user, from the backend in settings.AUTHENTICATION_BACKENDS, or None when it is refused."""
    return auth.authenticate(request, hexclave_user=user)
