"""What goes wrong on somebody's first day, and the line that says why: of `hexclave check`, `explain` or the log."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from flask import Flask

from hexclave_integrations import _reasons as reasons
from hexclave_integrations._tools.console import main
from hexclave_integrations.flask import Hexclave, current_user, require_team, require_user, webhook_blueprint
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

from . import _server

OTHER = "957c1a9c-0c38-48ee-a054-044694e00dbe"


class World:
    """A sandbox over HTTP, an environment that leads to it, and an application that reads its settings there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: Any) -> None:
        self.clock = _server.Clock()
        self.sandbox = Sandbox(clock=self.clock)
        self.monkeypatch = monkeypatch
        self.caplog = caplog
        self.capsys = capsys
        caplog.set_level(logging.DEBUG, "hexclave_integrations")

    def app(self) -> Flask:
        app = Flask(__name__)
        Hexclave(app)

        @app.get("/me")
        @require_user
        def me() -> dict[str, str]:
            return {"id": current_user.id}

        webhooks = Webhooks()
        app.register_blueprint(webhook_blueprint(webhooks, "/webhooks"))
        return app

    def set(self, name: str, value: str) -> None:
        self.monkeypatch.setenv(f"HEXCLAVE_{name}", value)

    def log(self) -> list[str]:
        """What the kit has logged, but for the deliveries that were handled: level and text."""
        return [
            f"{record.levelname} {record.getMessage()}"
            for record in self.caplog.records
            if record.name == "hexclave_integrations" and record.levelname != "INFO"
        ]

    def wrong(self) -> list[str]:
        """The lines of `hexclave check` that say "wrong"."""
        self.capsys.readouterr()
        main(["check"])
        return [line for line in self.capsys.readouterr().out.splitlines() if line.startswith("wrong")]

    def explain(self, token: str) -> str:
        """The last line of `hexclave explain`."""
        self.monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(token.encode())))
        self.capsys.readouterr()
        main(["explain"])
        return str(self.capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> Iterator[World]:
    for name in list(os.environ):
        if name.startswith(("HEXCLAVE", "STACK")):
            monkeypatch.delenv(name)
    world = World(monkeypatch, caplog, capsys)
    with world.sandbox.serve() as url:
        world.set("PROJECT_ID", world.sandbox.config.project_id)
        world.set("API_URL", url)
        world.set("SECRET_SERVER_KEY", str(world.sandbox.config.secret_server_key))
        world.set("WEBHOOK_SECRET", world.sandbox.config.webhook_secrets[0])
        yield world


def test_nothing_is_wrong(world: World) -> None:
    """The starting point of the tests below: everything works, and nothing is complained of."""
    token = world.sandbox.token(user := world.sandbox.create_user())
    client = world.app().test_client()
    body, headers = world.sandbox.webhook("user.created", {"id": user.id})

    assert client.get("/me", headers={"x-stack-access-token": token}).status_code == 200
    assert client.post("/webhooks", data=body, headers=headers).status_code == 200
    assert (world.wrong(), world.log()) == ([], [])
    assert world.explain(token) == "accepted: a regular user"


def test_a_wrong_api_url(world: World) -> None:
    """Another host than the frontend's: the log and `explain` say so, where the keys could be fetched all the same.

    An address where nobody is, or a website, is what `check` complains of.
    """
    token = world.sandbox.token(world.sandbox.create_user())
    config = world.sandbox.config
    keys = httpx.get(f"{config.api_url}/api/v1/projects/{config.project_id}/.well-known/jwks.json")
    with _server.Server(_server.fixed(200, keys.content)) as server:  # another port: a container's published one, say
        world.set("API_URL", server.url)
        answer = world.app().test_client().get("/me", headers={"x-stack-access-token": token})
        assert answer.status_code == 401
        assert world.log() == [f"DEBUG Refused: UNPARSABLE_ACCESS_TOKEN: {reasons.ISSUER_LOOPBACK}"]
        assert world.explain(token) == f"refused: UNPARSABLE_ACCESS_TOKEN: {reasons.ISSUER_LOOPBACK}"
    world.set("API_URL", server.url)  # where nobody is any more
    assert [reasons.NO_ANSWER in line for line in world.wrong()] == [True]
    with _server.Server(_server.fixed(200, b"<html>", {"content-type": "text/html"})) as website:
        world.set("API_URL", website.url)
        assert [reasons.KEYS_UNUSABLE in line for line in world.wrong()] == [True]


def test_a_wrong_project_id(world: World) -> None:
    """The log and `explain` say that the token is another project's, `check` that there is no such project."""
    token = world.sandbox.token(world.sandbox.create_user())
    world.set("PROJECT_ID", OTHER)
    assert world.app().test_client().get("/me", headers={"x-stack-access-token": token}).status_code == 401

    expected = f"INVALID_PROJECT_FOR_ACCESS_TOKEN: {reasons.OTHER_PROJECT}"
    assert world.log() == [f"DEBUG Refused: {expected}"]
    assert world.explain(token) == f"refused: {expected}"
    assert [reasons.KEYS_PROJECT in line for line in world.wrong()] == [True]


@pytest.mark.parametrize(
    ("minutes", "code", "reason"),
    [
        (15, "UNPARSABLE_ACCESS_TOKEN", reasons.NOT_YET_VALID),
        (-15, "ACCESS_TOKEN_EXPIRED", reasons.EXPIRED),
    ],
)
def test_a_clock_15_minutes_off(world: World, minutes: int, code: str, reason: str) -> None:
    """A machine whose clock is slow or fast: the log and `explain` name the clock, `check` says by how much."""
    world.clock.now = time.time() + 60 * minutes
    token = world.sandbox.token(world.sandbox.create_user())
    assert world.app().test_client().get("/me", headers={"x-stack-access-token": token}).status_code == 401

    assert world.log() == [f"DEBUG Refused: {code}: {reason}"]
    assert world.explain(token) == f"refused: {code}: {reason}"
    assert "clock" in reason
    (line,) = world.wrong()
    assert line.startswith("wrong    clock: it is ")


def test_a_missing_server_key(world: World) -> None:
    """`check` says what needs it; `flask hexclave check` names the route that does."""
    world.monkeypatch.delenv("HEXCLAVE_SECRET_SERVER_KEY")
    world.capsys.readouterr()
    main(["check"])
    lines = world.capsys.readouterr().out.splitlines()
    app = world.app()

    @app.get("/teams/<team_id>")
    @require_team("{team_id}")
    def team(team_id: str) -> str:
        return team_id

    result = app.test_cli_runner().invoke(args=["hexclave", "check"])

    assert [line for line in lines if line.startswith("skipped  server key: ") and "HEXCLAVE_SECRET_SERVER_KEY" in line]
    assert result.exit_code == 1
    assert "/teams/<team_id>" in result.output
    assert "HEXCLAVE_SECRET_SERVER_KEY" in result.output


def test_a_wrong_webhook_secret(world: World) -> None:
    """That of another endpoint: a warning, and with what is no secret at all a line of `check`."""
    body, headers = world.sandbox.webhook("user.created", {"id": OTHER})
    world.set("WEBHOOK_SECRET", f"whsec_{base64.b64encode(b'another endpoint').decode()}")
    assert world.app().test_client().post("/webhooks", data=body, headers=headers).status_code == 400
    assert world.log() == [f"WARNING A webhook delivery was refused: {reasons.WEBHOOK_SIGNATURE}"]
    assert "webhook_secrets" in reasons.WEBHOOK_SIGNATURE

    world.set("WEBHOOK_SECRET", "another endpoint")
    assert [line.startswith("wrong    webhook secrets: ") for line in world.wrong()] == [True]


@pytest.mark.parametrize("options", [{}, {"indent": 2}])
def test_a_proxy_that_rewrites_json(world: World, options: dict[str, Any]) -> None:
    """The warning says that the body was written anew."""
    body, headers = world.sandbox.webhook("user.created", {"id": OTHER})
    rewritten = json.dumps(json.loads(body), **options)
    answer = world.app().test_client().post("/webhooks", data=rewritten, headers=headers)

    assert answer.status_code == 400
    assert world.log() == [f"WARNING A webhook delivery was refused: {reasons.WEBHOOK_REWRITTEN}"]
