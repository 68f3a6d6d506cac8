"""Under Trio, and around Django Channels."""

from __future__ import annotations

import importlib
from typing import Any

import httpx2
import pytest
import trio
from django.urls import path
from fastapi import FastAPI
from litestar import Litestar, get
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from hexclave_integrations import AsyncHexclaveClient, ConfigurationError, HexclaveConfig
from hexclave_integrations.fastapi import CurrentUser, Hexclave
from hexclave_integrations.litestar import HexclavePlugin
from hexclave_integrations.litestar import require_user as guard
from hexclave_integrations.starlette import HexclaveMiddleware, require_user
from hexclave_integrations.testing import Sandbox

from . import _django  # noqa: F401  # sets Django up, which Channels imports

WORDS = "runs on asyncio, and this is another library such as Trio"


def fastapi_app(config: HexclaveConfig) -> Any:
    app = FastAPI()
    Hexclave(app, config)

    @app.get("/me")
    async def me(user: CurrentUser) -> dict[str, str]:
        return {"id": user.id}

    return app


def starlette_app(config: HexclaveConfig) -> Any:
    @require_user
    async def me(request: Request) -> JSONResponse:
        return JSONResponse({"id": request.user.id})

    return Starlette(routes=[Route("/me", me)], middleware=[Middleware(HexclaveMiddleware, config=config)])


def litestar_app(config: HexclaveConfig) -> Any:
    @get("/me", guards=[guard])
    async def me() -> None: ...

    return Litestar([me], plugins=[HexclavePlugin(config)])


async def start(app: Any) -> list[dict[str, Any]]:
    """What an application answers to the start of its lifespan."""
    said: list[dict[str, Any]] = []
    pending = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Any:
        return pending.pop(0)

    async def send(message: Any) -> None:
        said.append(message)

    try:
        await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    except BaseException:
        if not said:
            raise
    return said


@pytest.mark.parametrize("build", [fastapi_app, starlette_app, litestar_app])
def test_under_trio_an_application_does_not_start(hexclave_sandbox: Sandbox, build: Any) -> None:
    """The server is told why, in words."""
    said = trio.run(start, build(hexclave_sandbox.config))
    assert [message["type"] for message in said] == ["lifespan.startup.failed"]
    assert WORDS in said[0]["message"]


def test_under_trio_a_test_without_a_lifespan_is_told_as_well(hexclave_sandbox: Sandbox) -> None:
    """A request that has to ask Hexclave names the reason, and nobody is let in."""
    headers = hexclave_sandbox.headers(hexclave_sandbox.create_user())

    async def ask() -> None:
        transport = httpx2.ASGITransport(app=fastapi_app(hexclave_sandbox.config))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            assert (await client.get("/me")).status_code == 401  # nothing had to be asked
            await client.get("/me", headers=dict(headers))

    with pytest.raises(ConfigurationError, match=WORDS):
        trio.run(ask)

    async def enter() -> None:
        async with AsyncHexclaveClient(hexclave_sandbox.config):
            raise AssertionError

    with pytest.raises(ConfigurationError, match="--worker-class asyncio"):
        trio.run(enter)


def test_channels(hexclave_sandbox: Sandbox) -> None:
    """A consumer behind the middleware knows who connects, by header and by subprotocol, and lets in whom it wants."""
    consumers: Any = importlib.import_module("channels.generic.websocket")  # only once Django is set up
    routing: Any = importlib.import_module("channels.routing")

    class Consumer(consumers.AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # it has no types
        async def connect(self) -> None:
            if not self.scope["user"].is_authenticated:
                await self.accept()
                await self.close(4401)
                return
            await self.accept()
            await self.send_json({"id": self.scope["user"].id})
            await self.close()

    async def http(scope: Scope, receive: Receive, send: Send) -> None:
        """Django itself, in a real application."""

    consumer: Any = Consumer.as_asgi()
    routes = routing.URLRouter([path("ws", consumer)])
    app: Any = routing.ProtocolTypeRouter(
        {"http": http, "websocket": HexclaveMiddleware(routes, hexclave_sandbox.config)}
    )
    alice = hexclave_sandbox.create_user()
    client = TestClient(app)
    token = hexclave_sandbox.token(alice)
    ways: list[dict[str, Any]] = [
        {"headers": hexclave_sandbox.headers(alice)},
        {"subprotocols": ["hexclave", f"hexclave.access-token.{token}"]},
    ]
    for way in ways:
        with client.websocket_connect("/ws", **way) as websocket:
            assert websocket.receive_json() == {"id": alice.id}
    refused: list[dict[str, Any]] = [
        {},
        {"headers": {"x-stack-access-token": "garbage"}},
        {"headers": hexclave_sandbox.headers(hexclave_sandbox.create_user("restricted"))},
    ]
    for way in refused:
        with client.websocket_connect("/ws", **way) as websocket, pytest.raises(WebSocketDisconnect) as closed:
            websocket.receive_json()
        assert closed.value.code == 4401
    with pytest.raises((WebSocketDenialResponse, ValueError)):
        client.websocket_connect("/nothing").__enter__()
