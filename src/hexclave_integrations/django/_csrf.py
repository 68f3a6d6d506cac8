"""Django's own CSRF protection, held against users whose token came in a cookie."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware

from .. import _reasons as reasons
from ..errors import CrossOriginRefused
from ._private import CSRF_NOTE

__all__ = ["CsrfFailed", "check_csrf"]


class CsrfFailed(CrossOriginRefused):
    """A cookie vouched for the user, and nothing shows that the request is not another site's doing."""

    text = "The CSRF check failed. Send the token in a header, or Django's CSRF token with the cookie."
    reason = reasons.DJANGO_CSRF


class _Check(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def check_csrf(request: HttpRequest) -> None:
    """Let the requests through that Django's CsrfViewMiddleware would, safe methods among them.

    Raises:
        CsrfFailed: it would not.
    """
    if CSRF_NOTE not in vars(request):
        setattr(request, CSRF_NOTE, False)  # Django's middleware may have been told that it is done: this is the check
    check: Any = _Check(lambda request: HttpResponse())
    check.process_request(request)
    if check.process_view(request, None, (), {}):
        raise CsrfFailed
