"""Views that fail under Sentry's integrations, in a process of their own: the integrations patch frameworks for good.

`python -m tests._sentry_apps` prints, for each request, what Sentry made of it before and after the hook, and which
credentials came with it.
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

import flask as framework
import sentry_sdk
import werkzeug.test
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from django.urls import path
from fastapi import Depends, FastAPI
from fastapi import Request as Connection
from fastapi.testclient import TestClient
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.fastapi import FastApiIntegration
from sentry_sdk.integrations.flask import FlaskIntegration
from sentry_sdk.integrations.starlette import StarletteIntegration
from sentry_sdk.transport import Transport
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from hexclave_integrations import HexclaveConfig, django, fastapi, flask, starlette
from hexclave_integrations.sentry import scrub
from hexclave_integrations.testing import Sandbox

from .adapters import _django

KEY_HEADER = "x-partner-key"
CSRF = 32 * "c"


@dataclass
class Request:
    """A request to a view that fails, with the credentials in it."""

    path: str
    headers: dict[str, str]
    secrets: list[str]
    query: str = ""
    body: Any = field(default_factory=dict)


def requests(sandbox: Sandbox, config: HexclaveConfig) -> Iterator[tuple[str, Request]]:
    """Every form in which a credential may come (contract 1.1), and places where it should not."""
    alice = sandbox.create_user(display_name="Alice")
    refresh = sandbox.new_session(alice).refresh_token
    token = sandbox.token(alice)
    key = sandbox.create_api_key(alice).value
    pair = json.dumps({"accessToken": token, "refreshToken": refresh}, separators=(",", ":"))
    envelope = base64.b64encode(pair.encode()).decode()
    session = json.dumps({"refresh_token": refresh, "updated_at_millis": 1}, separators=(",", ":"))
    access = json.dumps([refresh, token], separators=(",", ":"))
    both = [token, refresh, envelope, quote(envelope, safe="")]

    def cookies(spell: Callable[[str], str]) -> str:
        name = f"hexclave-refresh-{config.project_id}--default"
        return f"theme=dark; {name}={spell(session)}; hexclave-access={spell(access)}; stack-refresh={refresh}"

    yield "x-stack-access-token", Request("/user", {"x-stack-access-token": token}, [token])
    yield "x-hexclave-access-token", Request("/user", {"x-hexclave-access-token": token}, [token])
    yield "bearer", Request("/user", {"authorization": f"Bearer {token}"}, [token])
    yield "stackauth envelope", Request("/user", {"authorization": f"Bearer stackauth_{envelope}"}, both)
    yield "hexclave envelope", Request("/user", {"authorization": f"bearer  hexclave_{envelope}"}, both)
    yield "x-stack-auth", Request("/user", {"x-stack-auth": pair}, both)
    yield "cookies", Request("/user", {"cookie": cookies(quote)}, both)
    yield "cookies as they are", Request("/user", {"cookie": cookies(str)}, both)
    for brand in ("stack", "hexclave"):
        headers = {"x-stack-access-token": token, f"x-{brand}-refresh-token": refresh}
        yield f"x-{brand}-refresh-token", Request("/user", headers, both)
    secret = key[:48]  # the rest has the key's id, which is none
    yield "api key", Request("/key", {KEY_HEADER: key}, [secret])
    yield "api key as bearer", Request("/key", {"authorization": f"Bearer {key}"}, [secret])
    query = urlencode({"access_token": token, "refresh_token": refresh, "auth": f"stackauth_{envelope}", "key": key})
    yield "query", Request("/user", {"x-stack-access-token": token}, [*both, secret], query=query)
    body = {"accessToken": token, "nested": [{"refreshToken": refresh, "apiKey": key}], "text": pair}
    yield "body", Request("/user", {"x-stack-access-token": token}, [*both, secret], body=body)
    offer = f"hexclave, hexclave.access-token.{token}"
    yield (
        "subprotocol",
        Request("/user", {"sec-websocket-protocol": offer, "x-stack-access-token": token}, [token]),
    )
    server = {
        "x-stack-secret-server-key": str(config.secret_server_key),
        "x-stack-publishable-client-key": str(config.publishable_client_key),
        "x-stack-super-secret-admin-key": sandbox.super_secret_admin_key,
    }
    secrets = [*server.values(), *config.webhook_secrets]
    body = {"webhook": config.webhook_secrets[0]}
    yield "project keys", Request("/user", server | {"x-stack-access-token": token}, [token, *secrets], body=body)


def fail(headers: Any, cookies: Any, query: str) -> None:
    """What an application may do with a request before it fails: locals, logs, spans, extras."""
    everything = {"copied": dict(headers), "deep": [{"cookies": dict(cookies)}], "pairs": list(dict(headers).items())}
    raw = [(name.encode(), value.encode()) for name, value in dict(headers).items()]
    values = list(dict(headers).values())
    described = f"headers={dict(headers)!r} cookies={dict(cookies)!r} query={query}"
    segments = [part for value in values for part in value.split(".")]
    logging.getLogger("shop").warning("the request: %s", described)
    sentry_sdk.set_extra("request", everything)
    sentry_sdk.set_context("caller", {"headers": dict(headers), "text": described, quote(described): 1})
    sentry_sdk.set_tag("first", values[0][:200])
    sentry_sdk.add_breadcrumb(category="http", data={"url": f"https://shop.test/?{query}", "headers": dict(headers)})
    with sentry_sdk.start_span(op="http.client", name=described) as span:
        span.set_data("headers", dict(headers))
    raise ValueError(f"{described} {len(raw)} {len(segments)} {len(everything)}")


def fastapi_ask(config: HexclaveConfig) -> Callable[[Request], None]:
    app = FastAPI()
    fastapi.Hexclave(app, config)

    @app.post("/user")
    async def user(request: Connection, user: fastapi.CurrentUser) -> None:
        await request.json()
        fail(request.headers, request.cookies, request.url.query)

    @app.post("/key", dependencies=[Depends(fastapi.require_api_key)])
    def key(request: Connection) -> None:
        fail(request.headers, request.cookies, request.url.query)

    client = TestClient(app, raise_server_exceptions=False)
    return lambda request: _posted(client, request)


def starlette_ask(config: HexclaveConfig) -> Callable[[Request], None]:
    async def view(request: Connection) -> None:
        await request.json()
        fail(request.headers, request.cookies, request.url.query)

    guarded = {"/user": starlette.require_user, "/key": starlette.require_api_key}
    app = Starlette(
        routes=[Route(url, item(view), methods=["POST"]) for url, item in guarded.items()],
        middleware=[Middleware(starlette.HexclaveMiddleware, config=config)],
    )
    client = TestClient(app, raise_server_exceptions=False)
    return lambda request: _posted(client, request)


def _posted(client: Any, request: Request) -> None:
    client.cookies.clear()
    response = client.post(f"{request.path}?{request.query}", headers=request.headers, json=request.body)
    assert response.status_code == 500, response.text


def flask_ask(config: HexclaveConfig) -> Callable[[Request], None]:
    app = framework.Flask("sentry")
    flask.Hexclave(app, config)

    def view() -> None:
        framework.request.get_json()
        query = framework.request.query_string.decode()
        fail(framework.request.headers, framework.request.cookies, query)

    for url, item in {"/user": flask.require_user, "/key": flask.require_api_key}.items():
        app.add_url_rule(url, url[1:], item(view), methods=["POST"])
    client = app.test_client(use_cookies=False)

    def ask(request: Request) -> None:
        response = client.post(f"{request.path}?{request.query}", headers=request.headers, json=request.body)
        assert response.status_code == 500, response.data

    return ask


def django_ask(config: HexclaveConfig) -> Callable[[Request], None]:
    def view(request: Any) -> Any:
        json.loads(request.body)
        fail(request.headers, request.COOKIES, request.META["QUERY_STRING"])

    guarded = {"user": django.require_user, "key": django.require_api_key}
    patterns = [path(name, item(view)) for name, item in guarded.items()]

    def ask(request: Request) -> None:
        with override_settings(ROOT_URLCONF=tuple(patterns), HEXCLAVE=_django.as_settings(config)):
            client = werkzeug.test.Client(WSGIHandler(), use_cookies=False)  # Django's own goes past Sentry
            headers = dict(request.headers)
            if "cookie" in headers:  # Django wants its own token with one of ours
                headers |= {"cookie": f"csrftoken={CSRF}; {headers['cookie']}", "x-csrftoken": CSRF}
            response = client.post(f"{request.path}?{request.query}", headers=headers, json=request.body)
        assert response.status_code == 500, response.data

    return ask


class Captured(Transport):
    """A transport that keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.sent += [item.payload.json for item in envelope.items]


def main() -> None:
    """Ask every framework in every form, and print what Sentry was told."""
    logging.lastResort = None
    raw: list[Any] = []
    transport = Captured()

    def hook(event: Any, hint: Any) -> Any:
        raw.append(copy.deepcopy(event))
        return scrub(event, names=[KEY_HEADER])

    sentry_sdk.init(
        dsn="https://key@sentry.invalid/1",
        transport=transport,
        before_send=hook,
        before_send_transaction=hook,
        traces_sample_rate=1.0,
        send_default_pii=True,
        include_local_variables=True,
        max_request_body_size="always",
        auto_enabling_integrations=False,
        integrations=[FastApiIntegration(), StarletteIntegration(), FlaskIntegration(), DjangoIntegration()],
    )
    sandbox = Sandbox()
    config = replace(sandbox.config, accept_cookies=True, api_key_header=KEY_HEADER)
    asks = {"fastapi": fastapi_ask, "starlette": starlette_ask, "flask": flask_ask, "django": django_ask}
    for column, build in asks.items():
        ask = build(config)
        for name, request in requests(sandbox, config):
            raw.clear()
            transport.sent.clear()
            ask(request)
            line = {
                "framework": column,
                "form": name,
                "secrets": request.secrets,
                "raw": raw,
                "sent": transport.sent,
            }
            json.dump(line, sys.stdout, default=str)
            print()


if __name__ == "__main__":
    main()
