"""Requests with the attributes of this adapter, for annotations: Django's own class does not name them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from django.http import HttpRequest

from ..api_key import HexclaveApiKey
from ..user import HexclaveUser

__all__ = ["HexclaveHttpRequest", "OptionalHexclaveHttpRequest"]

# The attributes are only declared: `_attributes.py` gives them to every request. A value in the class would hide it.


class OptionalHexclaveHttpRequest(HttpRequest):
    """A request of whoever it may be: for views without a requirement, or with `optional_user` or `require_api_key`.

    For annotations alone. Django makes requests of other classes, so `isinstance` is false for every one of them.

    Attributes:
        hexclave_user: the user, or None for nobody.
        hexclave_api_key: the API key that `require_api_key` let through, or None.
        ahexclave_user: `await request.ahexclave_user()` is the user in async code, or None.
    """

    hexclave_user: HexclaveUser | None
    hexclave_api_key: HexclaveApiKey | None
    ahexclave_user: Callable[[], Coroutine[Any, Any, HexclaveUser | None]]


class HexclaveHttpRequest(OptionalHexclaveHttpRequest):
    """The request of a view whose requirement lets through users alone, such as `require_user` or `require_team(...)`.

    For annotations alone, as the class it derives from.

    Attributes:
        hexclave_user: the user that was let through.
        ahexclave_user: `await request.ahexclave_user()` is the same user.
    """

    hexclave_user: HexclaveUser
    ahexclave_user: Callable[[], Coroutine[Any, Any, HexclaveUser]]
