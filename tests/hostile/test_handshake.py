"""A websocket handshake as older servers hand it over: bytes above 0x7f as lone surrogates."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from hexclave_integrations.testing import Sandbox

from .apps_asgi import fastapi_app, starlette_app


@pytest.mark.parametrize("build", [fastapi_app, starlette_app])
@pytest.mark.parametrize("others", [[], ["chat\udce9"], ["hexclave"]])
def test_surrogates_in_a_subprotocol(
    hexclave_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, build: Any, others: list[str]
) -> None:
    """A token with one is refused as any other bad token, and the application sees no error."""
    monkeypatch.setenv("HEXCLAVE_PROJECT_ID", hexclave_sandbox.config.project_id)
    token = hexclave_sandbox.token(hexclave_sandbox.create_user())
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "path": "/ws",
        "query_string": b"",
        "headers": [],
        "subprotocols": [*others, f"hexclave.access-token.{token}\udce9"],
        "extensions": {"websocket.http.response": {}},
    }
    asyncio.run(build()(scope, receive, send))
    assert [message.get("status") for message in sent] == [401, None]
    assert b"UNPARSABLE_ACCESS_TOKEN" in sent[1]["body"]
