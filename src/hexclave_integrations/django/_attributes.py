"""The attributes that this adapter gives to every request of Django."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.http import HttpRequest

from ..user import HexclaveUser
from ._caller import caller_of, find_caller
from ._default import asked_of
from ._private import CACHE_NOTE, CSRF_NOTE

__all__ = ["install_on_requests"]


class _LazyUser:
    """`request.hexclave_user`: a real None for nobody, which Django's SimpleLazyObject cannot be.

    It is no data descriptor, so the user whom a requirement let through, who is set on the request itself, comes first.
    """

    def __get__(self, request: HttpRequest | None, owner: type) -> Any:
        return self if request is None else caller_of(request).user(request)


async def _ahexclave_user(self: HttpRequest) -> HexclaveUser | None:
    """As `request.hexclave_user`, in async code."""
    if "hexclave_user" in self.__dict__:
        user: HexclaveUser | None = self.__dict__["hexclave_user"]
        return user
    return await caller_of(self).auser(self)


class _CacheNote:
    """The note that Django's page cache leaves on a request: whether the answer is to be stored.

    It reads as False once somebody has asked who the caller is. The headers that forbid storing are not enough where
    `cache_page` stands below a guard: it stores what the view returns before the guard can add them.
    """

    def __get__(self, request: Any, owner: type) -> Any:
        if request is None:
            return self
        caller = find_caller(request)
        if caller is not None and caller.attempt.asked:
            return False
        try:
            return vars(request)[CACHE_NOTE]
        except KeyError:
            raise AttributeError(CACHE_NOTE) from None

    def __set__(self, request: Any, value: object) -> None:
        vars(request)[CACHE_NOTE] = value

    def __delete__(self, request: Any) -> None:
        vars(request).pop(CACHE_NOTE, None)


class _CsrfDone:
    """Django's note that the CSRF check is done: true where the default is about to be asked, which checks it itself.

    A guarded view is exempt from Django's CSRF middleware: no other site can make a browser send a header, and a user
    whose token came in a cookie is held against the CSRF check all the same. So is a view that the default guards.
    """

    def __get__(self, request: Any, owner: type) -> Any:
        if request is None:
            return self
        caller, match = find_caller(request), getattr(request, "resolver_match", None)
        default = caller.installation.default if caller is not None and match is not None else None
        if default is not None and asked_of(request.resolver_match.func, request.method or "", default) is not None:
            return True
        raise AttributeError(CSRF_NOTE)


def install_on_requests() -> None:
    """Give every request the attributes of this adapter; they work where the middleware has run."""
    request_class: Any = HttpRequest
    request_class.hexclave_user = _LazyUser()
    request_class.ahexclave_user = _ahexclave_user
    request_class.hexclave_api_key = None
    setattr(request_class, CACHE_NOTE, _CacheNote())
    setattr(request_class, CSRF_NOTE, _CsrfDone())
    if apps.is_installed("rest_framework"):
        from rest_framework.request import Request  # `cache_page` on a method of a view there leaves its note here

        setattr(Request, CACHE_NOTE, _CacheNote())
