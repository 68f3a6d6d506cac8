"""Bodies that other code reads before the webhook endpoint or after it, in FastAPI, Starlette and Litestar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import fastapi
import litestar
import litestar.testing
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.testclient import TestClient

from hexclave_integrations.fastapi import webhook_router
from hexclave_integrations.litestar import webhook_handler
from hexclave_integrations.starlette import webhook_route
from hexclave_integrations.webhooks import Webhooks

from .._webhooks import SECRET, event

PATH = "/webhooks/hexclave"
seen: list[bytes] = []


async def before(request: fastapi.Request) -> None:
    seen.append(await request.body())


async def as_json(request: fastapi.Request) -> None:
    await request.json()
    seen.append(await request.body())


async def afterwards(request: fastapi.Request) -> AsyncIterator[None]:
    yield
    seen.append(await request.body())


def declared(request: fastapi.Request, payload: dict[str, Any] = fastapi.Body()) -> None:  # noqa: B008  # FastAPI's way
    assert payload["type"] == "user.deleted"


def deliver(client: Any, body: Any, headers: dict[str, str]) -> int:
    status: int = client.post(PATH, content=body, headers={**headers, "content-type": "application/json"}).status_code
    return status


@pytest.mark.parametrize("read", [before, as_json, afterwards, declared])
def test_fastapi(read: Any) -> None:
    """A dependency of all routes."""
    app = fastapi.FastAPI(dependencies=[fastapi.Depends(read)])
    app.include_router(webhook_router(Webhooks([SECRET]), PATH))
    seen.clear()
    body, headers = event()
    assert deliver(TestClient(app), body, headers) == 200
    assert seen == ([] if read is declared else [body])


def test_starlette() -> None:
    """A middleware of Starlette's own kind."""

    async def middleware(request: Any, call_next: Any) -> Any:
        seen.append(await request.body())
        return await call_next(request)

    routes = [webhook_route(Webhooks([SECRET]), PATH)]
    seen.clear()
    body, headers = event()
    app = Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=middleware)])
    assert deliver(TestClient(app), body, headers) == 200
    assert seen == [body]


@pytest.mark.parametrize("hook", ["before_request", "after_response"])
def test_litestar(hook: str) -> None:
    """A hook of the application."""

    async def read(request: litestar.Request[Any, Any, Any]) -> None:
        seen.append(await request.body())

    hooks: Any = {hook: read}
    seen.clear()
    with litestar.testing.TestClient(litestar.Litestar([webhook_handler(Webhooks([SECRET]), PATH)], **hooks)) as client:
        body, headers = event()
        assert deliver(client, body, headers) == 200
    assert seen == [body]


@pytest.mark.parametrize("framework", ["starlette", "litestar"])
@pytest.mark.parametrize(("length", "status"), [(1000, 200), (1001, 400)])
@pytest.mark.parametrize("is_declared", [False, True])
def test_the_longest_body(framework: str, is_declared: bool, length: int, status: int) -> None:
    """A byte more than `max_body` is refused, whether its length was declared or not."""
    from .._webhooks import signed

    body, headers = signed('{"type": "x", "data": {}}'.ljust(length))
    content = body if is_declared else (body[start : start + 100] for start in range(0, length, 100))
    webhooks = Webhooks([SECRET], max_body=1000)
    if framework == "starlette":
        assert deliver(TestClient(Starlette(routes=[webhook_route(webhooks, PATH)])), content, headers) == status
        return
    with litestar.testing.TestClient(litestar.Litestar([webhook_handler(webhooks, PATH)])) as client:
        assert deliver(client, content, headers) == status
