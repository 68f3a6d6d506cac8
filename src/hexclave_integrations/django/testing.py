"""For tests that call a view by itself, without the middleware.

::

    request = RequestFactory().get("/me")
    sign_in(request, get_client().authenticate(sandbox.headers(alice)))
    assert me(request).status_code == 200

Tests that go through Django's client need nothing of this: they send `sandbox.headers(alice)`.
"""

from __future__ import annotations

from django.http import HttpRequest

from ..user import HexclaveUser
from ._caller import bare_caller

__all__ = ["sign_in"]


def sign_in(request: HttpRequest, user: HexclaveUser | None) -> None:
    """Make a request of Django's RequestFactory what it is after the middleware.

    Requirements are held against this user as against any other: kinds, teams and permissions count.

    Args:
        request: not yet seen by a view.
        user: who makes the request; None for nobody.
    """
    caller = bare_caller(request, user)
    if user is not None and caller.installation.django_users:
        from .users._request import become

        become(request, caller, user)
