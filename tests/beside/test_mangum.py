"""Mangum, which runs an ASGI application in AWS Lambda: an event loop of its own for each call, or one that goes on."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from mangum import Mangum

from hexclave_integrations.fastapi import CurrentUser, Hexclave, require_project_permission
from hexclave_integrations.testing import Sandbox

SESSION = "stack-refresh=r1"


def application(sandbox: Sandbox, **changes: Any) -> FastAPI:
    app = FastAPI()
    Hexclave(app, dataclasses.replace(sandbox.config, **changes))

    @app.get("/me")
    async def me(user: CurrentUser) -> dict[str, str]:
        return {"id": user.id}

    @app.get("/logs", dependencies=[Depends(require_project_permission("read_logs"))])
    async def logs(user: CurrentUser) -> dict[str, str]:
        return {"id": user.id}

    return app


def event(version: str, path: str, headers: dict[str, str], cookies: list[str] | None = None) -> dict[str, Any]:
    """What API Gateway hands over: an HTTP API (2.0) or a REST API (1.0)."""
    context = {"http": {"method": "GET", "path": path, "sourceIp": "192.0.2.1", "protocol": "HTTP/1.1"}}
    if version == "2.0":
        found: dict[str, Any] = {"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": ""}
        return {**found, "headers": headers, "cookies": cookies or [], "requestContext": context}
    several = {name: [value] for name, value in headers.items()}
    if cookies:
        several["cookie"] = ["; ".join(cookies)]
    rest: dict[str, Any] = {"resource": path, "path": path, "httpMethod": "GET", "queryStringParameters": None}
    return {
        **rest,
        "headers": {name: values[0] for name, values in several.items()},
        "multiValueHeaders": several,
        "multiValueQueryStringParameters": None,
        "requestContext": {"resourcePath": path, "identity": {"sourceIp": "192.0.2.1"}},
        "body": None,
        "isBase64Encoded": False,
    }


@pytest.fixture(params=["one loop", "a loop for each call"])
def call(request: pytest.FixtureRequest) -> Any:
    """Hands an event to a handler, as one process of Lambda does again and again."""
    loops = [asyncio.new_event_loop()]
    asyncio.set_event_loop(loops[0])  # else Mangum makes one and nobody closes it

    def hand(handler: Any, given: dict[str, Any]) -> tuple[int, str, dict[str, str]]:
        answer = handler(given, {})
        if request.param != "one loop":
            loops[-1].close()
            loops.append(asyncio.new_event_loop())
            asyncio.set_event_loop(loops[-1])
        headers = answer.get("headers") or {k: v[0] for k, v in answer.get("multiValueHeaders", {}).items()}
        return answer["statusCode"], answer["body"], headers

    yield hand
    asyncio.set_event_loop(None)
    loops[-1].close()


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("lifespan", ["auto", "off"])
def test_calls_of_one_process(call: Any, version: str, lifespan: str) -> None:
    """Each caller is who they are, and keys and permissions are kept from one call to the next."""
    sandbox = Sandbox()
    alice, bob = sandbox.create_user(), sandbox.create_user()
    sandbox.grant(alice, "read_logs")
    handler = Mangum(application(sandbox), lifespan=lifespan)  # type: ignore[arg-type]  # a literal

    for _ in range(3):
        status, body, headers = call(handler, event(version, "/me", sandbox.headers(alice)))
        assert (status, body) == (200, f'{{"id":"{alice.id}"}}')
        assert "private" in headers["cache-control"]
        assert call(handler, event(version, "/logs", sandbox.headers(alice)))[0] == 200
        assert call(handler, event(version, "/logs", sandbox.headers(bob)))[0] == 403
        assert call(handler, event(version, "/me", {}))[0] == 401
        assert call(handler, event(version, "/me", {"x-stack-access-token": "garbage"}))[0] == 401
    assert sandbox.count("/jwks.json") == 1
    assert sandbox.count("/project-permissions") == 2


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_cookies(call: Any, version: str) -> None:
    """An HTTP API hands cookies over apart from the headers; they count where they were asked for, and only there."""
    sandbox = Sandbox()
    alice = sandbox.create_user()
    cookies = [SESSION, f"stack-access=%5B%22r1%22%2C%22{sandbox.token(alice)}%22%5D"]

    accepts = Mangum(application(sandbox, accept_cookies=True), lifespan="off")
    assert call(accepts, event(version, "/me", {}, cookies))[0] == 200
    assert call(accepts, event(version, "/me", {}, cookies[1:]))[0] == 401
    assert call(Mangum(application(sandbox), lifespan="off"), event(version, "/me", {}, cookies))[0] == 401
