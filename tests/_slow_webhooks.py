"""Applications whose webhook handlers take their time, for the servers of `test_webhook_servers.py`.

`EFFECTS` names a directory. The coroutine notes `begun` in its file `effects`, waits until the file `gate` is there,
and notes `ended`; the handler after it notes `second`. `MODE` says what the coroutine is: a `handler`, or a `receiver`
of Django's signal, which runs last. `FRAMEWORK` says which application `application` is.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

from hexclave_integrations.webhooks import WebhookEvent, Webhooks


def note(text: str) -> None:
    """Append a line."""
    with (Path(os.environ["EFFECTS"]) / "effects").open("a") as file:
        file.write(f"{text}\n")


async def take_time(event: WebhookEvent, **kwargs: Any) -> None:
    """What a sender does not wait for."""
    note("begun")
    while not (Path(os.environ["EFFECTS"]) / "gate").exists():  # noqa: ASYNC110  # another process makes it
        await asyncio.sleep(0.02)
    note("ended")


def endpoint() -> Webhooks:
    """An endpoint with both handlers; its secret is in the environment."""
    webhooks = Webhooks()
    if os.environ["MODE"] == "handler":
        webhooks.on("*")(take_time)
    webhooks.on("*")(lambda event: note("second"))
    return webhooks


def django_app(is_asgi: bool = True) -> Any:
    """Django's application."""
    from django.conf import settings
    from django.urls import path

    settings.configure(SECRET_KEY="only for tests", ALLOWED_HOSTS=["*"], ROOT_URLCONF=())
    import django
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    from hexclave_integrations.django import signals, webhook_view

    django.setup(set_prefix=False)
    settings.ROOT_URLCONF = (path("hooks", webhook_view(endpoint())),)
    if os.environ["MODE"] == "receiver":
        signals.webhook_received.connect(take_time)
    return get_asgi_application() if is_asgi else get_wsgi_application()


def flask_app() -> Any:
    """Flask's application."""
    from flask import Flask

    from hexclave_integrations.flask import webhook_blueprint

    app = Flask(__name__)
    app.register_blueprint(webhook_blueprint(endpoint(), "/hooks"))
    return app


def fastapi_app() -> Any:
    """FastAPI under middleware that cancels the endpoint when the client has gone."""
    from fastapi import FastAPI, Request
    from starlette.middleware.base import BaseHTTPMiddleware

    from hexclave_integrations.fastapi import webhook_router

    async def passes_on(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    app = FastAPI()
    app.include_router(webhook_router(endpoint(), "/hooks"))
    app.add_middleware(BaseHTTPMiddleware, dispatch=passes_on)
    app.add_middleware(EndsWithTheClient)
    return app


class EndsWithTheClient:
    """Cancels what is inside of it when the client has gone, in the way of anyio's task groups."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        messages = asyncio.Queue[Any]()
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                kind = ""
                while kind != "http.disconnect":
                    messages.put_nowait(message := await receive())
                    kind = message["type"]
                note("gone")
                group.cancel_scope.cancel()

            group.start_soon(watch)
            await self.app(scope, messages.get, send)
            group.cancel_scope.cancel()


if "FRAMEWORK" in os.environ:  # not where this module is only imported
    makers: dict[str, Callable[[], Any]] = {
        "django": django_app,
        "django wsgi": lambda: django_app(is_asgi=False),
        "fastapi": fastapi_app,
        "flask": flask_app,
    }
    application = makers[os.environ["FRAMEWORK"]]()
