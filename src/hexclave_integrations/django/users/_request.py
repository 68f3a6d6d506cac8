"""`request.user` and `request.auser()` that are the Hexclave user's row, where `DJANGO_USERS` is on."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import auth
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from ...errors import ConfigurationError
from ...user import HexclaveUser
from .._caller import Caller
from .._private import django_request

__all__ = ["become", "follow_hexclave_user", "is_followed", "row_of"]


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

    def user() -> Any:
        found = caller.user(request)
        return session_user if found is None else row_of(request, caller, found) or AnonymousUser()

    async def auser() -> Any:
        found = await caller.auser(request)
        if found is None:
            return await session_auser()
        return await sync_to_async(row_of)(request, caller, found) or AnonymousUser()

    caller.followed = anyone.user = SimpleLazyObject(user)
    anyone.auser = auser


def become(request: Any, caller: Caller, user: HexclaveUser) -> None:
    """Make the user whom a requirement let through the only one of this request, whoever the session belongs to.

    Args:
        request: Django's request, or the one that Django REST framework puts around it.
        caller: of this request.
        user: of any kind; only regular users have rows, the others make an anonymous user.
    """

    def row() -> Any:
        found = row_of(request, caller, user) if user.is_authenticated else None
        return found or AnonymousUser()

    async def auser() -> Any:
        return await sync_to_async(row)()

    caller.followed = request.user = SimpleLazyObject(row)
    django_request(request).auser = auser


def row_of(request: Any, caller: Caller, user: HexclaveUser) -> Any:
    """The row of a regular user, looked up once in a request by the backend in settings.AUTHENTICATION_BACKENDS.

    None when the row is refused.
    """
    if user.id not in caller.rows:
        row: Any = auth.authenticate(request, hexclave_user=user)
        if row is not None:
            row._hexclave_user = user  # for requests that a schema generator makes for this user
        caller.rows[user.id] = row
    return caller.rows[user.id]


def is_followed(request: HttpRequest, caller: Caller, user: HexclaveUser) -> bool:
    """Whether `request.user` is still ours to decide, or is this user or nobody.

    Something else may have put another user there: a log-in, or another authentication class of Django REST framework.
    """
    current = vars(request).get("user")
    if current is caller.followed or not getattr(current, "is_authenticated", False):
        return True
    if isinstance(current, HexclaveUser):
        return current.id == user.id
    row = caller.rows.get(user.id)
    return row is not None and current == row
