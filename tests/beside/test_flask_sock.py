"""Flask-Sock on a real server: a websocket is refused before it is opened, and a browser's token counts."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import flask
import flask_sock  # type: ignore[import-untyped]  # publishes no types
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from werkzeug.serving import make_server

from hexclave_integrations.flask import Hexclave, current_user, require_team, require_user
from hexclave_integrations.testing import Sandbox, SandboxUser


class World:
    """A server with websockets, and a user."""

    def __init__(self) -> None:
        self.sandbox = Sandbox()
        self.alice = self.sandbox.create_user()
        self.team = self.sandbox.create_team()
        self.calls: list[str] = []
        app = flask.Flask("example")
        app.config["SOCK_SERVER_OPTIONS"] = {"subprotocols": "hexclave"}
        Hexclave(app, dataclasses.replace(self.sandbox.config, accept_cookies=True))
        sock = flask_sock.Sock(app)

        @sock.route("/me")  # type: ignore[untyped-decorator]  # publishes no types
        @require_user
        def me(ws: Any) -> None:
            self.calls.append("me")
            ws.send(current_user.id)

        @sock.route("/teams/<team_id>")  # type: ignore[untyped-decorator]  # as above
        @require_team("{team_id}")
        def team(ws: Any, team_id: str) -> None:
            self.calls.append("team")
            ws.send(current_user.id)

        @sock.route("/offered")  # type: ignore[untyped-decorator]  # as above
        @require_user
        def offered(ws: Any) -> None:
            ws.send(flask.request.headers.get("Sec-WebSocket-Protocol", "nothing"))

        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.port = self._server.port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def hear(self, path: str, headers: dict[str, str] | None = None, **options: Any) -> str | int:
        """What the handler says; the status where the handshake is refused."""
        try:
            url = f"ws://127.0.0.1:{self.port}{path}"
            with connect(url, additional_headers=headers, proxy=None, **options) as websocket:
                heard = websocket.recv(timeout=10)
                assert isinstance(heard, str)
                return heard
        except InvalidStatus as error:
            return error.response.status_code

    def offer(self, user: SandboxUser) -> list[Any]:
        return ["hexclave", f"hexclave.access-token.{self.sandbox.token(user)}"]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A running server."""
    made = World()
    yield made
    made.close()


def test_a_refused_websocket_is_never_opened(world: World) -> None:
    """The handshake is answered with the refusal, and the handler does not run."""
    world.calls.clear()
    assert world.hear("/me") == 401
    assert world.hear(f"/teams/{world.team.id}", world.sandbox.headers(world.alice)) == 403
    assert world.calls == []


def test_who_is_let_in(world: World) -> None:
    """By a header, and by the token that a browser offers as a subprotocol."""
    assert world.hear("/me", world.sandbox.headers(world.alice)) == world.alice.id
    assert world.hear("/me", subprotocols=world.offer(world.alice)) == world.alice.id


def test_the_application_does_not_see_the_offered_token(world: World) -> None:
    """It could log it, or select it and send it back."""
    assert world.hear("/offered", subprotocols=world.offer(world.alice)) == "hexclave"


def test_bad_tokens_are_refused(world: World) -> None:
    """Garbage, two tokens at once, and a token in place of a better header."""
    offered: list[Any] = ["hexclave", "hexclave.access-token.garbage"]
    assert world.hear("/me", subprotocols=offered) == 401
    assert world.hear("/me", subprotocols=[*offered, *world.offer(world.alice)[1:]]) == 401
    assert world.hear("/me", {"x-stack-access-token": "garbage"}, subprotocols=world.offer(world.alice)) == 401


def test_cookies_count_for_pages_of_the_same_host_only(world: World) -> None:
    """A page of another origin opens a websocket with the user's cookies, and is refused."""
    cookie = f"stack-refresh=r1; stack-access=%5B%22r1%22%2C%22{world.sandbox.token(world.alice)}%22%5D"
    host = f"http://127.0.0.1:{world.port}"

    assert world.hear("/me", {"Cookie": cookie}, origin=host) == world.alice.id
    for origin in (None, "http://blog.shop.test", "http://127.0.0.1:1"):
        assert world.hear("/me", {"Cookie": cookie}, origin=origin) == 403
