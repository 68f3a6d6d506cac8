"""What Chromium really sends with a user's cookies, from the application's own pages and from a sibling's.

Chromium sends `Sec-Fetch-Site` to trustworthy addresses only. So plain http at names under `test` stands for a browser
without it, and names under `localhost`, which are trustworthy, for one with it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import flask as flask_framework
import flask_sock  # type: ignore[import-untyped]  # publishes no types
import pytest
import uvicorn
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from fastapi import FastAPI, WebSocket
from fastapi.responses import HTMLResponse
from werkzeug.serving import make_server

from hexclave_integrations import HexclaveConfig, django, fastapi, flask
from hexclave_integrations.testing import Sandbox

from ._browser import running_chromium
from ._services import free_port
from .adapters import _django

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LIMIT: Final = 20.0
CSRF_TOKEN: Final = "a" * 32  # of Django: in its cookie, in each form and, by our own pages, in a header
HTML: Final = "<!doctype html><title>A page</title>"
SITES: Final = {"shop.test": None, "shop.localhost": "same-site"}
"""A site, and what Chromium says of a page of a sibling there."""

Seen = list[tuple[str | None, str | None]]
"""`Origin` and `Sec-Fetch-Site` of each POST and each handshake of a websocket that arrived."""


# --- one application in each framework: a page, /me for users and, in two of them, a websocket ---------------------


@contextmanager
def serve_fastapi(config: HexclaveConfig, port: int, seen: Seen) -> Iterator[None]:
    app = FastAPI()
    fastapi.Hexclave(app, config)

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(HTML)

    @app.api_route("/me", methods=["GET", "POST"])
    async def me(user: fastapi.CurrentUser) -> dict[str, str]:
        return {"id": user.id}

    @app.websocket("/ws")
    async def talk(websocket: WebSocket, user: fastapi.CurrentUser) -> None:
        await websocket.accept()
        await websocket.send_text(user.id)
        await websocket.close()

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket" or scope.get("method") == "POST":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            seen.append((headers.get("origin"), headers.get("sec-fetch-site")))
        await app(scope, receive, send)

    server = uvicorn.Server(uvicorn.Config(noting, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", port))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(LIMIT)
        listener.close()


@contextmanager
def serve_flask(config: HexclaveConfig, port: int, seen: Seen) -> Iterator[None]:
    app = flask_framework.Flask("browser")
    flask.Hexclave(app, config)
    sock = flask_sock.Sock(app)

    @app.get("/")
    def page() -> str:
        return HTML

    @app.route("/me", methods=["GET", "POST"])
    @flask.require_user
    def me() -> dict[str, str]:
        return {"id": flask.current_user.id}

    @sock.route("/ws")  # type: ignore[untyped-decorator]  # publishes no types
    @flask.require_user
    def talk(ws: Any) -> None:
        ws.send(flask.current_user.id)
        ws.receive()  # until the page closes it

    with serve_wsgi(app, port, seen):
        yield


@contextmanager
def serve_django(config: HexclaveConfig, port: int, seen: Seen) -> Iterator[None]:
    def page(request: HttpRequest) -> HttpResponse:
        return HttpResponse(HTML)

    def me(request: HttpRequest) -> HttpResponse:
        return HttpResponse(request.hexclave_user.id)  # type: ignore[attr-defined]  # of the middleware

    urls = (path("", page), path("me", django.require_user(me)))
    trusted = list(config.trusted_origins)  # this framework's own check has to be told as well
    changes = {"ROOT_URLCONF": urls, "HEXCLAVE": _django.as_settings(config), "CSRF_TRUSTED_ORIGINS": trusted}
    with override_settings(**changes), serve_wsgi(WSGIHandler(), port, seen):
        yield


@contextmanager
def serve_wsgi(app: Any, port: int, seen: Seen) -> Iterator[None]:
    def noting(environ: Any, start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] == "POST" or "HTTP_UPGRADE" in environ:
            seen.append((environ.get("HTTP_ORIGIN"), environ.get("HTTP_SEC_FETCH_SITE")))
        return app(environ, start_response)

    server = make_server("127.0.0.1", port, noting, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(LIMIT)
        server.server_close()


Serve = Callable[[HexclaveConfig, int, Seen], AbstractContextManager[None]]
APPS: Final[dict[str, Serve]] = {"fastapi": serve_fastapi, "flask": serve_flask, "django": serve_django}


# --- the browser --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser, which looks for every name under `test` on this machine."""
    with running_chromium("--host-resolver-rules=MAP *.test 127.0.0.1") as found:
        yield found


class Shop:
    """The application at `app.SITE`, and a browser whose user is signed in there.

    Args:
        browser: Chromium.
        site: `shop.test`, or another one.
        serve: how the application is served.
    """

    def __init__(self, browser: Browser, site: str, serve: Serve) -> None:
        self.sandbox = Sandbox()
        self.user = self.sandbox.create_user()
        self.seen: Seen = []
        self._browser, self._serve = browser, serve
        self._site, self._port = site, free_port()
        self.app = self.url("app")

    def url(self, name: str) -> str:
        """The address of a host of the site, without the slash at the end."""
        return f"http://{name}.{self._site}:{self._port}"

    @contextmanager
    def open(self) -> Iterator[None]:
        """The application runs, and the user has signed in."""
        config = dataclasses.replace(self.sandbox.config, accept_cookies=True, trusted_origins=(self.url("partner"),))
        pair = f'["r1","{self.sandbox.token(self.user)}"]'.replace('"', "%22").replace(",", "%2C")
        jar = {"stack-refresh": "r1", "stack-access": pair, "csrftoken": CSRF_TOKEN}
        with self._serve(config, self._port, self.seen):
            self._context = self._browser.new_context()
            self._context.set_default_timeout(LIMIT * 1000)
            for name, value in jar.items():  # as the SDK sets them
                self._context.add_cookies([{"name": name, "value": value, "url": self.app, "sameSite": "Lax"}])
            try:
                yield
            finally:
                self._context.close()

    @contextmanager
    def page(self, host: str) -> Iterator[Page]:
        """A new tab with the page of a host of the site."""
        page = self._context.new_page()
        page.goto(f"{self.url(host)}/")
        yield page
        page.close()

    def sent_from(self, host: str, script: str) -> tuple[int, str]:
        """Status and body of the answer to the request that a script makes a page send; no body for a `fetch`."""
        with self.page(host) as page:
            with page.expect_response(f"{self.app}/me") as found:
                page.evaluate(script, [self.app, CSRF_TOKEN])
            return found.value.status, "" if script is FETCH else found.value.text()


FORM: Final = """([app, csrf]) => {
    const form = document.createElement("form");
    form.method = "post"; form.action = app + "/me";
    form.innerHTML = `<input name=csrfmiddlewaretoken value=${csrf}>`;
    document.body.append(form); form.submit();
}"""
FETCH: Final = """([app, csrf]) => {
    fetch(app + "/me", {method: "POST", mode: "no-cors", credentials: "include",
        body: new URLSearchParams({csrfmiddlewaretoken: csrf})});
}"""
LINK: Final = "([app]) => { location.href = app + '/me'; }"
WEBSOCKET: Final = """([app]) => new Promise(resolve => {
    const socket = new WebSocket(app.replace("http", "ws") + "/ws");
    socket.onmessage = event => { resolve(event.data); socket.close(); };
    socket.onclose = () => resolve(null);
})"""
every_site = pytest.mark.parametrize("site", SITES)


@every_site
@pytest.mark.parametrize("name", APPS)
def test_a_form_and_a_fetch(browser: Browser, name: str, site: str) -> None:
    """They are refused from a sibling's page, although the cookies come along, and count from the application's own."""
    shop = Shop(browser, site, APPS[name])
    with shop.open():
        hosts = ("app", "blog", "partner")
        answers = {host: [shop.sent_from(host, script) for script in (FORM, FETCH, LINK)] for host in hosts}
        _, refusal = shop.sent_from("blog", FORM)

    statuses = {host: [status for status, _ in found] for host, found in answers.items()}
    assert statuses == {"app": [200, 200, 200], "blog": [403, 403, 200], "partner": [200, 200, 200]}
    assert "CSRF_CHECK_FAILED" in refusal
    own = None if SITES[site] is None else "same-origin"
    assert shop.seen == [
        *[(shop.app, own)] * 2,
        *[(shop.url("blog"), SITES[site])] * 2,
        *[(shop.url("partner"), SITES[site])] * 2,
        (shop.url("blog"), SITES[site]),
    ]


@every_site
@pytest.mark.parametrize("name", ["fastapi", "flask"])
def test_a_websocket(browser: Browser, name: str, site: str) -> None:
    """It opens for the application's own page and a trusted one, and for no sibling."""
    shop = Shop(browser, site, APPS[name])
    heard = {}
    with shop.open():
        for host in ("app", "blog", "partner"):
            with shop.page(host) as page:
                heard[host] = page.evaluate(WEBSOCKET, [shop.app])

    assert heard == {"app": shop.user.id, "blog": None, "partner": shop.user.id}
    assert [origin for origin, _ in shop.seen] == [shop.url(host) for host in ("app", "blog", "partner")]
