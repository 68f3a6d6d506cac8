"""`hexclave check` against a sandbox over HTTP: a line for each thing that may be wrong, with what mends it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from hexclave_integrations import HexclaveConfig
from hexclave_integrations import _reasons as reasons
from hexclave_integrations._adapter.check import check
from hexclave_integrations._tools.console import main
from hexclave_integrations.testing import Sandbox

from . import _server
from ._services import Redis, free_port

OTHER = "957c1a9c-0c38-48ee-a054-044694e00dbe"
WHAT = ["settings", "project", "keys", "server key", "clock", "Redis", "webhook secrets"]


class World:
    """A sandbox over HTTP, whose clock can be moved, and the environment that leads to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.clock = _server.Clock()
        self.sandbox = Sandbox(clock=self.clock)
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def set(self, **settings: str | None) -> None:
        """Set variables, or unset them with None."""
        for name, value in settings.items():
            if value is None:
                self.monkeypatch.delenv(f"HEXCLAVE_{name}", raising=False)
            else:
                self.monkeypatch.setenv(f"HEXCLAVE_{name}", value)

    def check(self, *options: str) -> dict[str, tuple[str, str]]:
        """State and text of each check; the exit code is 1 exactly where one is wrong, and nothing secret is shown."""
        self.capsys.readouterr()
        code = main(["check", *options])
        output = self.capsys.readouterr()
        for name, value in os.environ.items():
            if name.startswith("HEXCLAVE_") and ("SECRET" in name or "KEY" in name):
                assert value not in output.out + output.err
        assert output.err == ""
        found = {}
        for line in output.out.splitlines():
            state, rest = line.split(None, 1)
            what, text = rest.split(": ", 1)
            found[what] = (state, text)
        assert code == int(any(state == "wrong" for state, _ in found.values()))
        return found

    def states(self, *options: str) -> dict[str, str]:
        return {what: state for what, (state, _) in self.check(*options).items()}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[World]:
    for name in list(os.environ):
        if name.startswith(("HEXCLAVE", "STACK")):
            monkeypatch.delenv(name)
    world = World(monkeypatch, capsys)
    with world.sandbox.serve() as url:
        world.set(
            PROJECT_ID=world.sandbox.config.project_id,
            API_URL=url,
            SECRET_SERVER_KEY=world.sandbox.config.secret_server_key,
            WEBHOOK_SECRET=world.sandbox.config.webhook_secrets[0],
        )
        yield world


def test_all_is_well(world: World, redis_url: str) -> None:
    """Every check is made, in one order."""
    world.set(REDIS_URL=redis_url)

    assert list(world.states().items()) == [(what, "ok") for what in WHAT]


def test_what_is_not_set_is_skipped(world: World) -> None:
    """Nothing is wrong with an application that needs no server key, Redis or webhooks; each line says who does."""
    world.set(SECRET_SERVER_KEY=None, WEBHOOK_SECRET=None)
    found = world.check()

    assert [what for what, (state, _) in found.items() if state == "skipped"] == [
        "server key",
        "Redis",
        "webhook secrets",
    ]
    assert "HEXCLAVE_SECRET_SERVER_KEY" in found["server key"][1]
    assert "HEXCLAVE_WEBHOOK_SECRET" in found["webhook secrets"][1]


def test_wrong_settings(world: World) -> None:
    """The message of the settings themselves; the webhook secrets are looked at nevertheless."""
    world.set(PROJECT_ID="nonsense")
    found = world.check()

    assert {what: state for what, (state, _) in found.items()} == {"settings": "wrong", "webhook secrets": "ok"}
    assert "HEXCLAVE_PROJECT_ID" in found["settings"][1]


def test_wrong_project(world: World) -> None:
    """Hexclave knows no such project; the clock is told all the same."""
    found = world.check("--project-id", OTHER)

    assert found["project"][0] == "wrong"
    assert reasons.KEYS_PROJECT in found["project"][1]
    assert (found["keys"][0], found["server key"][0], found["clock"][0]) == ("skipped", "skipped", "ok")


def test_nobody_listens(world: World) -> None:
    """A wrong port: the line names the address."""
    url = f"http://127.0.0.1:{free_port()}"
    found = world.check("--api-url", url)

    assert found["project"][0] == "wrong"
    assert reasons.NO_ANSWER in found["project"][1]
    assert url in found["project"][1]
    assert [found[what][0] for what in ("keys", "server key", "clock")] == ["skipped"] * 3


@pytest.mark.parametrize("status", [200, 404])
def test_a_website_answers(world: World, status: int) -> None:
    """The dashboard or a frontend, in place of the API."""
    with _server.Server(_server.fixed(status, b"<!doctype html>", {"content-type": "text/html"})) as server:
        found = world.check("--api-url", server.url)

    assert found["project"][0] == "wrong"
    assert reasons.KEYS_UNUSABLE in found["project"][1]


def test_a_server_that_hangs(world: World) -> None:
    """`http_timeout` holds."""
    world.set(HTTP_TIMEOUT="0.2")
    with _server.Server(_server.hang) as server:
        found = world.check("--api-url", server.url)

    assert reasons.TIMED_OUT in found["project"][1]


def test_wrong_server_key(world: World) -> None:
    """Hexclave refuses it; the line says where the right one is."""
    world.set(SECRET_SERVER_KEY="ssk_of_another_project")
    found = world.check()

    assert [what for what, (state, _) in found.items() if state == "wrong"] == ["server key"]
    assert "dashboard" in found["server key"][1]


def test_an_api_that_fails(world: World) -> None:
    """The server key can then not be judged."""
    with world.sandbox.outage("error", paths="/users"):
        assert world.check()["server key"][0] == "wrong"


@pytest.mark.parametrize(("minutes", "how"), [(15, "900 seconds behind"), (-15, "900 seconds ahead of")])
def test_a_clock_that_is_off(world: World, minutes: int, how: str) -> None:
    """The server's `Date` against this machine's clock, either way."""
    world.clock.now = time.time() + 60 * minutes + 0.5
    state, text = world.check()["clock"]

    assert state == "wrong"
    number = float(text.split("it is ")[1].split(" ")[0])
    assert abs(number - 900) < 60
    assert how.partition(" ")[2] in text


def test_a_clock_within_the_leeway(world: World) -> None:
    """What tokens are forgiven is no fault of the clock's."""
    world.clock.now = time.time() + 6

    assert world.check()["clock"][0] == "ok"


@pytest.mark.parametrize(("headers", "state"), [({"date": "soon"}, "skipped"), ({}, "skipped")])
def test_an_answer_without_a_time(headers: dict[str, str], state: str) -> None:
    """Nothing is said about the clock."""
    from ._minting import PROJECT, jwk, key_set, new_key

    with _server.Server(_server.fixed(200, key_set(jwk(new_key().public_key())), headers)) as server:
        found = {one.what: one.state for one in check(HexclaveConfig(project_id=PROJECT, api_url=server.url))}

    assert (found["keys"], found["clock"]) == ("ok", state)


def test_a_cache_on_the_way() -> None:
    """An old answer out of a cache says how old it is."""
    from email.utils import formatdate

    from ._minting import NOW, PROJECT, jwk, key_set, new_key

    headers = {"date": formatdate(NOW - 1000, usegmt=True), "age": "1000"}
    with _server.Server(_server.fixed(200, key_set(jwk(new_key().public_key())), headers)) as server:
        found = {
            one.what: one.state for one in check(HexclaveConfig(project_id=PROJECT, api_url=server.url), lambda: NOW)
        }

    assert found["clock"] == "ok"


def test_redis_is_down(world: World, own_redis: Redis) -> None:
    """Nobody listens where redis_url leads."""
    own_redis.stop()
    world.set(REDIS_URL=own_redis.url)
    state, text = world.check()["Redis"]

    assert (state, "connection refused" in text) == ("wrong", True)


def test_a_wrong_password_for_redis(world: World, own_redis: Redis) -> None:
    """The line says so, and does not show it."""
    import redis

    with redis.Redis.from_url(own_redis.url) as admin:
        admin.config_set("requirepass", "right")
    world.set(REDIS_URL=own_redis.url.replace("redis://", "redis://:wrong-one@"))
    state, text = world.check()["Redis"]
    world.set(REDIS_URL=own_redis.url)
    without = world.check()["Redis"]

    assert (state, "password" in text, "wrong-one" in text) == ("wrong", True, False)
    assert (without[0], "password" in without[1]) == ("wrong", True)


def test_ready_made_clients_of_redis(redis_url: str) -> None:
    """One for threads is asked; one for event loops cannot be used from here, which is no fault."""
    import redis
    import redis.asyncio

    with redis.Redis.from_url(redis_url) as client:
        clients = {client: "ok", redis.asyncio.Redis.from_url(redis_url): "skipped"}
        for given, state in clients.items():
            config = HexclaveConfig(project_id=OTHER, api_url=f"http://127.0.0.1:{free_port()}", redis_url=given)
            assert {one.what: one.state for one in check(config)}["Redis"] == state
        assert client.ping()  # it is still its owner's


def test_no_redis_url(world: World) -> None:
    """Not even a URL."""
    world.set(REDIS_URL="nonsense")

    assert world.check()["Redis"][0] == "wrong"


def test_a_malformed_webhook_secret(world: World) -> None:
    """The rest is looked at nevertheless."""
    world.set(WEBHOOK_SECRET="whsec_x")
    found = world.check()

    assert [what for what, (state, _) in found.items() if state == "wrong"] == ["webhook secrets"]
    assert "whsec_" in found["webhook secrets"][1]


def test_a_transport_for_event_loops(world: World) -> None:
    """What cannot be asked from here is not called wrong."""

    class Transport:
        async def handle_async_request(self, request: object) -> object:
            raise NotImplementedError

    config = HexclaveConfig(project_id=OTHER, transport=Transport())
    assert [finding.state for finding in check(config)] == ["skipped"] * 3


def test_the_commands_of_the_frameworks_say_the_same(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """`flask hexclave check --online` and `manage.py hexclave_check --online` print the same lines, and exit alike."""
    from django.core.management import CommandError, call_command
    from django.test import override_settings
    from flask import Flask

    from hexclave_integrations.flask import Hexclave

    from .adapters import _django  # noqa: F401  # sets Django up

    def flask_check() -> tuple[int, list[str]]:
        app = Flask(__name__)
        Hexclave(app)
        result = app.test_cli_runner().invoke(args=["hexclave", "check", "--online"])
        return result.exit_code, result.output.splitlines()

    def django_check() -> tuple[int, list[str]]:
        with override_settings(HEXCLAVE={}):
            try:
                call_command("hexclave_check", "--online")
                code = 0
            except CommandError:
                code = 1
        return code, capsys.readouterr().out.splitlines()

    for key, code in ((world.sandbox.config.secret_server_key, 0), ("ssk_wrong", 1)):
        world.set(SECRET_SERVER_KEY=key)
        capsys.readouterr()
        assert main(["check"]) == code
        lines = capsys.readouterr().out.splitlines()[1:]  # they have read the settings already
        for exit_code, found in (flask_check(), django_check()):
            assert exit_code == code
            assert [line for line in found if line in lines] == lines
