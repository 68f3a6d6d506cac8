"""The middleware: puts the caller on the request, answers refusals, and guards caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse

from ..errors import RequestRefused
from ._caller import Caller, install_on_requests
from ._conf import Installation, installation

__all__ = ["HexclaveMiddleware"]


class HexclaveMiddleware:
    """Makes requirements and `request.hexclave_user` work, under WSGI and ASGI; refuses nobody.

    It stands after caching middleware (so that nothing private is stored) and, where `DJANGO_USERS` is on, after
    Django's AuthenticationMiddleware; the system checks see to it.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        install_on_requests()
        installation()  # wrong settings stop the start

    def __call__(self, request: HttpRequest) -> Any:
        if self._is_async:
            return self._acall(request)
        caller = self._begin(request)
        return self._finish(request, caller, self.get_response(request))

    async def _acall(self, request: HttpRequest) -> Any:
        caller = self._begin(request)
        return self._finish(request, caller, await self.get_response(request))

    def refuse(self, request: HttpRequest, error: RequestRefused) -> HttpResponse:
        """The answer for a refusal; override it to answer in another form. Must not block: async views call it too.

        Args:
            request: Django's request.
            error: knows its status, headers and body.
        """
        return HttpResponse(error.body(), status=error.status, headers=dict(error.headers()))

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer refusals that a view lets pass, its own questions to a client included."""
        return self.refuse(request, exception) if isinstance(exception, RequestRefused) else None

    def _begin(self, request: HttpRequest) -> Caller:
        found: Installation = installation()
        caller = Caller(found, request, self.refuse)
        if found.django_users:
            from .users._request import follow_hexclave_user

            follow_hexclave_user(request, caller)
        return caller

    def _finish(self, request: HttpRequest, caller: Caller, response: Any) -> Any:
        if caller.refused is not None and response.status_code == 500:
            # A framework in between knows no refusals and made a failure of this one.
            response = self.refuse(request, caller.refused)
        return caller.guard_caches(response)
