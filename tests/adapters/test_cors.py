"""Frontends on another origin, with each framework's own package, as the guide configures it."""

from __future__ import annotations

import contextlib
import json
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from django.http import HttpRequest, JsonResponse
from django.test import Client, override_settings
from django.urls import path
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from litestar.testing import TestClient as LitestarClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from hexclave_integrations import django, fastapi, starlette
from hexclave_integrations.testing import Sandbox

from ..test_readme import examples
from . import _django

PAGE, OTHER = "http://localhost:3000", "http://evil.example"
TOKEN = "x-stack-access-token"

Ask = Callable[[str, str, Mapping[str, str]], tuple[int, dict[str, str], Any]]


def block(framework: str, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, url: str) -> dict[str, Any]:
    """What an example of the guide defines."""
    for name in ("api_url", "project_id", "secret_server_key"):
        value = url if name == "api_url" else str(getattr(sandbox.config, name))
        monkeypatch.setenv(f"HEXCLAVE_{name.upper()}", value)
    module = types.ModuleType("readme")  # Litestar looks names up in the module of a handler
    monkeypatch.setitem(sys.modules, "readme", module)
    names = vars(module)
    heading = "A frontend on another origin"
    (code,) = [text for title, text in examples().items() if title.startswith(heading) and framework in text]
    exec(compile(code, "browsers.md", "exec"), names)
    return names


def _asgi(client: Any) -> Ask:
    def ask(method: str, url: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], Any]:
        answer = client.request(method, url, headers=dict(headers))
        return answer.status_code, dict(answer.headers), answer.text

    return ask


@contextlib.contextmanager
def serve_fastapi(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, url: str) -> Iterator[Ask]:
    with TestClient(block("FastAPI()", monkeypatch, sandbox, url)["app"]) as client:
        yield _asgi(client)


@contextlib.contextmanager
def serve_fastapi_the_other_way_round(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, url: str) -> Iterator[Ask]:
    """Refusals are answered inside of both, so that this order works too."""
    app = FastAPI()
    app.add_middleware(
        CORSMiddleware,
        allow_origins=[PAGE],
        allow_methods=["*"],
        allow_headers=[TOKEN],
        expose_headers=["WWW-Authenticate", "Retry-After"],
    )
    fastapi.Hexclave(app, sandbox.config)

    @app.get("/me")
    async def me(user: fastapi.CurrentUser) -> dict[str, str]:
        return {"id": user.id}

    with TestClient(app) as client:
        yield _asgi(client)


@contextlib.contextmanager
def serve_starlette(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, url: str) -> Iterator[Ask]:
    @starlette.require_user
    async def me(request: Request) -> JSONResponse:
        return JSONResponse({"id": request.user.id})

    cors = Middleware(
        CORSMiddleware,
        allow_origins=[PAGE],
        allow_methods=["*"],
        allow_headers=[TOKEN],
        expose_headers=["WWW-Authenticate", "Retry-After"],
    )
    ours = Middleware(starlette.HexclaveMiddleware, config=sandbox.config)
    with TestClient(Starlette(routes=[Route("/me", me)], middleware=[cors, ours])) as client:
        yield _asgi(client)


@contextlib.contextmanager
def serve_litestar(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, url: str) -> Iterator[Ask]:
    with LitestarClient(block("Litestar(", monkeypatch, sandbox, url)["app"]) as client:
        yield _asgi(client)


@contextlib.contextmanager
def serve_flask(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, url: str) -> Iterator[Ask]:
    client = block("Flask(", monkeypatch, sandbox, url)["app"].test_client()

    def ask(method: str, url: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], Any]:
        answer = client.open(url, method=method, headers=dict(headers))
        return answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.text

    yield ask


@contextlib.contextmanager
def serve_django(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, url: str) -> Iterator[Ask]:
    @django.require_user
    def me(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"id": getattr(request, "hexclave_user").id})  # noqa: B009  # the middleware sets it

    settings = block("corsheaders", monkeypatch, sandbox, url)
    chosen = {name: value for name, value in settings.items() if name.isupper()}
    urls = (path("me", me),)
    with override_settings(ROOT_URLCONF=urls, HEXCLAVE=_django.as_settings(sandbox.config), **chosen):

        def ask(method: str, url: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], Any]:
            answer: Any = Client().generic(method, url, headers=dict(headers))
            return answer.status_code, {name.lower(): value for name, value in answer.items()}, answer.content.decode()

        yield ask


SERVERS = [
    serve_fastapi,
    serve_fastapi_the_other_way_round,
    serve_starlette,
    serve_litestar,
    serve_flask,
    serve_django,
]


@pytest.mark.parametrize("serve", SERVERS)
def test_a_page_of_another_origin(serve: Any, monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox) -> None:
    """The preflight is answered, and the page can read answers and refusals alike; pages of strangers cannot."""
    preflight = {"access-control-request-method": "GET", "access-control-request-headers": TOKEN}
    alice, restricted = hexclave_sandbox.create_user(), hexclave_sandbox.create_user("restricted")
    with hexclave_sandbox.serve() as url, serve(monkeypatch, hexclave_sandbox, url) as ask:
        status, headers, _ = ask("OPTIONS", "/me", {"origin": PAGE, **preflight})
        assert status in (200, 204)
        assert headers["access-control-allow-origin"] == PAGE
        assert TOKEN in headers["access-control-allow-headers"].lower()

        _, headers, _ = ask("OPTIONS", "/me", {"origin": OTHER, **preflight})
        assert headers.get("access-control-allow-origin") != OTHER

        for sent, expected in (
            (dict(hexclave_sandbox.headers(alice)), 200),
            ({}, 401),
            ({TOKEN: "garbage"}, 401),
            ({TOKEN: "null"}, 401),
            (dict(hexclave_sandbox.headers(restricted)), 403),
        ):
            status, headers, body = ask("GET", "/me", {"origin": PAGE, **sent})
            assert (status, headers["access-control-allow-origin"]) == (expected, PAGE)
            assert "www-authenticate" in headers["access-control-expose-headers"].lower()
            assert TOKEN in headers["vary"].lower()
            assert "origin" in headers["vary"].lower() or serve is serve_flask  # which allows one origin, always
            assert headers["cache-control"] == "private, no-store"
            assert ("id" if status == 200 else "code") in json.loads(body)
            _, headers, _ = ask("GET", "/me", {"origin": OTHER, **sent})
            assert headers.get("access-control-allow-origin") not in (OTHER, "*")


@pytest.mark.parametrize("serve", SERVERS)
def test_a_page_can_read_an_outage(serve: Any, monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox) -> None:
    """503 with `Retry-After` is an answer to the page too."""
    token = dict(hexclave_sandbox.headers(hexclave_sandbox.create_user()))
    with (
        hexclave_sandbox.serve() as url,
        hexclave_sandbox.outage("error"),
        serve(monkeypatch, hexclave_sandbox, url) as ask,
    ):
        status, headers, _ = ask("GET", "/me", {"origin": PAGE, **token})
    assert (status, headers["access-control-allow-origin"]) == (503, PAGE)
    assert "retry-after" in headers
