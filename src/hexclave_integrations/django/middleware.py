"""The middleware: puts the caller on the request, answers refusals, and guards caches."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import FileResponse, HttpRequest, HttpResponse

from ..errors import RequestRefused
from ._attributes import install_on_requests
from ._caller import Caller, answer_to, find_caller
from ._conf import Installation, installation
from ._default import asked_of
from ._encoders import extend_encoders
from ._private import refuse_unsafe

__all__ = ["HexclaveMiddleware"]


class HexclaveMiddleware:
    """Makes requirements and `request.hexclave_user` work, under WSGI and ASGI; refuses nobody by itself.

    With `HEXCLAVE = {"DEFAULT": "require_user"}` every view asks that which has no requirement of its own and is not
    marked `@public`; Django's admin, which asks for its own users, and `staticfiles` are left alone.

    A streamed body that asks who the caller is has to be asked for in the view, before the headers go: first asking
    while it is made raises a RuntimeError.

    It stands after caching middleware (so that nothing private is stored) and, where `DJANGO_USERS` is on, after
    Django's AuthenticationMiddleware; the system checks see to it.

    Raises:
        ConfigurationError: a setting is missing or wrong, or an installed framework would let people past guards.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
            self.process_view = self._aprocess_view  # type: ignore[assignment,method-assign]  # else it is run in a thread
        install_on_requests()
        extend_encoders()
        _ = installation().default  # wrong settings stop the start
        refuse_unsafe("django")

    def __call__(self, request: HttpRequest) -> Any:
        if self._is_async:
            return self._acall(request)
        caller, status = self._begin(request), None
        try:
            response = self._finish(request, caller, self.get_response(request))
            status = getattr(response, "status_code", None)
            return response
        finally:
            if caller.attempt.spending is not None:
                caller.conclude(status)

    async def _acall(self, request: HttpRequest) -> Any:
        caller, status = self._begin(request), None
        try:
            response = self._finish(request, caller, await self.get_response(request))
            status = getattr(response, "status_code", None)
            return response
        finally:
            if caller.attempt.spending is not None:
                await caller.aconclude(status)

    def refuse(self, request: HttpRequest, error: RequestRefused) -> HttpResponse:
        """The answer for a refusal; override it to answer in another form. Must not block: async views call it too.

        Args:
            request: Django's request.
            error: knows its status, headers and body.
        """
        return answer_to(error)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """Ask the default, where the view has no requirement of its own and is not public."""
        caller = find_caller(request)
        default = None if caller is None else asked_of(view, request.method or "", caller.installation.default)
        if caller is None or default is None:
            return None
        try:
            caller.admit(default, request, kwargs)
        except RequestRefused as error:
            return self.refuse(request, error)
        return None

    async def _aprocess_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        caller = find_caller(request)
        default = None if caller is None else asked_of(view, request.method or "", caller.installation.default)
        if caller is None or default is None:
            return None
        try:
            await caller.aadmit(default, request, kwargs)
        except RequestRefused as error:
            return self.refuse(request, error)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer refusals that a view lets pass, its own questions to a client included."""
        if not isinstance(exception, RequestRefused):
            return None
        exception.__traceback__ = None  # frameworks in between keep it in a frame: a cycle, with the request in it
        return self.refuse(request, exception)

    def _begin(self, request: HttpRequest) -> Caller:
        found: Installation = installation()
        caller = Caller(found, request, self.refuse)
        if found.django_users:
            from .users._request import follow_hexclave_user

            follow_hexclave_user(request, caller)
        return caller

    def _finish(self, request: HttpRequest, caller: Caller, response: Any) -> Any:
        refused = caller.refused
        if refused is not None and response.status_code == refused.status and not hasattr(request, "auth"):
            # Django Ninja has answered this refusal in its own way: it sets `auth` only when it lets a caller in.
            response = self.refuse(request, refused)
        if (
            getattr(response, "streaming", False)
            and not caller.attempt.asked
            and not isinstance(response, FileResponse)
        ):
            chunks: Any = _noticing_async if response.is_async else _noticing
            response.streaming_content = chunks(caller, response.streaming_content)
        return caller.guard_caches(response)


def _noticing(caller: Caller, chunks: Iterable[bytes]) -> Iterator[bytes]:
    caller.is_streaming = True
    yield from chunks


async def _noticing_async(caller: Caller, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    caller.is_streaming = True
    async for chunk in chunks:
        yield chunk
