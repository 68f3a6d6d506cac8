"""Django Channels: the way that works, and what a decorator on a consumer is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import tests.adapters._django  # noqa: F401  # sets Django up

# isort: split
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer  # type: ignore[import-untyped]
from channels.routing import URLRouter  # type: ignore[import-untyped]
from channels.testing import WebsocketCommunicator  # type: ignore[import-untyped]
from django.urls import path

from hexclave_integrations import ConfigurationError
from hexclave_integrations.django import require_user
from hexclave_integrations.starlette import HexclaveMiddleware
from hexclave_integrations.testing import Sandbox


class Greeting(AsyncWebsocketConsumer):  # type: ignore[misc]  # publishes no types
    """Lets regular users in."""

    async def connect(self) -> None:
        if not self.scope["user"].is_authenticated:
            await self.close()
            return
        await self.accept("hexclave" if "hexclave" in self.scope["subprotocols"] else None)
        await self.send(self.scope["user"].id)


def hear(sandbox: Sandbox, *, headers: dict[str, str] | None = None, offered: list[str] | None = None) -> str | None:
    """What the consumer says; None where it lets nobody in."""

    async def main() -> str | None:
        router: Any = URLRouter([path("ws", Greeting.as_asgi())])
        app = HexclaveMiddleware(router, sandbox.config)
        raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        communicator = WebsocketCommunicator(app, "/ws", headers=raw, subprotocols=offered or [])
        connected, _ = await communicator.connect(timeout=10)
        if not connected:
            return None
        heard: str = await communicator.receive_from(timeout=10)
        await communicator.disconnect()
        return heard

    return asyncio.run(main())


def test_the_middleware_around_the_router() -> None:
    """The Starlette middleware verifies the caller of a websocket: by header, or by a browser's subprotocol."""
    sandbox = Sandbox()
    alice, anonymous = sandbox.create_user(), sandbox.create_user("anonymous")

    assert hear(sandbox, headers=sandbox.headers(alice)) == alice.id
    assert hear(sandbox, offered=["hexclave", f"hexclave.access-token.{sandbox.token(alice)}"]) == alice.id
    assert hear(sandbox) is None
    assert hear(sandbox, headers={"x-stack-access-token": "garbage"}) is None
    assert hear(sandbox, headers=sandbox.headers(anonymous)) is None


def test_a_decorator_on_a_consumer_is_told_in_words() -> None:
    """It lets nobody in, and says what to write."""

    class Guarded(WebsocketConsumer):  # type: ignore[misc]  # publishes no types
        @require_user
        def connect(self) -> None:
            raise AssertionError("somebody got in")

    class AsyncGuarded(AsyncWebsocketConsumer):  # type: ignore[misc]  # as above
        @require_user
        async def connect(self) -> None:
            raise AssertionError("somebody got in")

    with pytest.raises(ConfigurationError, match="around the URLRouter"):
        Guarded().connect()
    with pytest.raises(ConfigurationError, match="around the URLRouter"):
        asyncio.run(AsyncGuarded().connect())
