"""`webhook_view`: the endpoint that Hexclave's deliveries go to, under WSGI and ASGI.

It is a sync view under both. Django's connections and transactions belong to a thread, so a delivery stays on the one
that it came on; under ASGI that is a thread beside the event loop, which goes on meanwhile. Coroutines, be they
handlers or receivers of signals, run on the server's event loop where there is one, and what they ask of Django's
models is done on the delivery's thread: it is part of the same transaction.

Under ASGI, Django cancels the view when the client hangs up, and asgiref passes that on to whatever coroutine the
view's thread is waiting for. A delivery that has begun must not be broken off by a sender with a short time-out, so
it is run by a task of its own, which nobody cancels before the event loop ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.handlers.asgi import ASGIRequest
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from .._adapter.endpoints import register_endpoint
from ..client import HexclaveClient
from ..errors import ConfigurationError
from ..webhooks import Handler, WebhookEvent, Webhooks
from ..webhooks._running import has_greenlets
from ._commands import answers_no_requests
from ._conf import get_client
from ._private import keep_body, kept_body
from .signals import send_signals

__all__ = ["webhook_view"]

T = TypeVar("T")

_CHUNK: Final = 64 * 1024
_NAMES: Final = {
    f"HTTP_{family}_{part}".upper(): f"{family}-{part}"
    for family in ("svix", "webhook")
    for part in ("id", "timestamp", "signature")
}


def webhook_view(webhooks: Webhooks) -> Callable[[HttpRequest], HttpResponseBase]:
    """A view for deliveries: `path("webhooks/hexclave", webhook_view(webhooks))`.

    A `Webhooks()` without secrets takes those of settings.HEXCLAVE["WEBHOOK_SECRETS"], or of the environment.

    It takes POST alone, needs no CSRF token and no login, and works without HexclaveMiddleware; with settings.HEXCLAVE,
    permissions that an event made untrue are forgotten at once. ATOMIC_REQUESTS does not apply to it: what handlers
    write is committed before the delivery counts as done, by themselves or in the transaction of a `DatabaseStore`.
    A body may have `webhooks.max_body` bytes, or DATA_UPLOAD_MAX_MEMORY_SIZE where that is less.

    The signals of `hexclave_integrations.django.signals` are sent after the handlers registered until now.

    Under gunicorn's gevent worker, coroutine handlers of a process take turns; coroutines that receive a signal do not
    know of each other there and fail when they meet, so that the sender has to come back.

    Args:
        webhooks: verifies and handles the deliveries.

    Raises:
        ConfigurationError: it is no `Webhooks`, or there is no secret.
    """
    if not isinstance(webhooks, Webhooks):
        raise ConfigurationError('webhook_view() takes a Webhooks: path("webhooks/hexclave", webhook_view(webhooks)).')
    client = _client()
    if not answers_no_requests():
        webhooks.check_secrets(None if client is None else client.config)
    if all(handler is not send_signals for _, handler in webhooks._handlers):
        webhooks.on("*")(send_signals)

    def receive_webhook(request: HttpRequest) -> HttpResponseBase:
        body, fields = _read(request, webhooks.max_body), _delivery_headers(request.META)

        def receive() -> tuple[int, list[tuple[str, str]], bytes]:
            return webhooks.receive(body, fields, _client(), call=_call, multiprocess=_multiprocess(request))

        is_cancellable = isinstance(request, ASGIRequest)
        status, headers, content = async_to_sync(_to_the_end)(receive) if is_cancellable else receive()
        return HttpResponse(content, status=status, headers=dict(headers))

    register_endpoint(receive_webhook, webhooks)
    view: Callable[[HttpRequest], HttpResponseBase] = require_POST(receive_webhook)
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return csrf_exempt(login_not_required(view))


def _read(request: HttpRequest, limit: int) -> bytes:
    """The raw body; nothing, which no signature is for, where it is longer than it may be or breaks off."""
    if settings.DATA_UPLOAD_MAX_MEMORY_SIZE is not None:
        limit = min(limit, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    body = kept_body(request) or _read_up_to(_stream(request), limit + 1)
    if len(body) > limit:
        return b""
    keep_body(request, body)
    return body


def _stream(request: HttpRequest) -> Any:
    """Where the body comes from. Of a body without a declared length Django itself reads nothing under WSGI."""
    is_chunked = request.META.get("wsgi.input_terminated") and not request.META.get("CONTENT_LENGTH")
    return request.META["wsgi.input"] if is_chunked else request


def _read_up_to(stream: Any, size: int) -> bytes:
    body = bytearray()
    try:
        while len(body) < size and (chunk := stream.read(min(_CHUNK, size - len(body)))):
            body += chunk
    except Exception:  # noqa: BLE001  # every server has errors of its own; whoever sent half waits for no answer
        return b""
    return bytes(body)


def _multiprocess(request: HttpRequest) -> bool | None:
    """Whether the server says that it runs several processes. Django says so for ASGI, and its client for tests."""
    is_said = not isinstance(request, ASGIRequest) and request.META.get("SERVER_NAME") != "testserver"
    return bool(request.META["wsgi.multiprocess"]) if is_said and "wsgi.multiprocess" in request.META else None


def _delivery_headers(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, meta[key]) for key, name in _NAMES.items() if key in meta]


def _client() -> HexclaveClient | None:
    """The application's client; None where nothing but webhooks is used, and so nothing else is configured."""
    try:
        return get_client()
    except ConfigurationError:
        return None


async def _to_the_end(function: Callable[[], T]) -> T:
    """Call a function on the thread that waits for this coroutine; whoever cancels the coroutine waits as well."""
    task = asyncio.create_task(sync_to_async(function)())
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    return task.result()


def _call(handler: Handler, event: WebhookEvent) -> Any:
    result = handler(event)
    if not inspect.isawaitable(result):
        return result
    with _turn() if has_greenlets() else contextlib.nullcontext():
        return async_to_sync(_awaited)(result)


@functools.cache
def _turn() -> AbstractContextManager[Any]:
    """Under gevent all greenlets are one thread to asyncio, which has room for one event loop at a time.

    It is made when first needed: a lock from before gevent replaced them would stop all greenlets.
    """
    return threading.Lock()


async def _awaited(work: Awaitable[Any]) -> None:
    await work
