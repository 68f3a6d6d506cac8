"""Signing in from a terminal, against a sandbox over HTTP, in both colours and as the command `hexclave login`."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from hexclave_integrations import (
    CliLoginExpired,
    CliLoginUsed,
    ConfigurationError,
    HexclaveApiError,
    HexclaveClient,
    HexclaveConfig,
    Unavailable,
    cli_login,
)
from hexclave_integrations.testing import Sandbox, SandboxSignIn

from . import _server
from ._sandbox_command import LIMIT, environment

APP = "http://localhost:3000"
PASSWORD = "correct horse battery"


class World:
    """A sandbox over HTTP, whose time passes only while a program waits, and a person with a browser."""

    def __init__(self, colour: str) -> None:
        self.colour = colour
        self.clock = _server.Clock()
        self.sandbox = Sandbox(clock=self.clock)
        self.ada = self.sandbox.sign_up("ada@example.test", PASSWORD)
        self.config = self.sandbox.config
        self.links: list[str] = []
        self.pauses: list[float] = []
        self.during: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> Any:
        """Let the time pass, and let happen what happens meanwhile."""
        self.pauses.append(seconds)
        self.clock.advance(seconds)
        self.during()
        return asyncio.sleep(0) if self.colour == "async" else None

    def complete(self, who: SandboxSignIn | None = None, **fields: str) -> httpx.Response:
        """Confirm the last link in a browser."""
        code = parse_qs(urlsplit(self.links[-1]).query)["login_code"][0]
        body = {"login_code": code, "refresh_token": (who or self.ada).refresh_token} | fields
        return self.post("/auth/cli/complete", body)

    def post(self, path: str, body: Any) -> httpx.Response:
        config = self.config
        names = {"project-id": config.project_id, "access-type": "client"}
        names["publishable-client-key"] = str(config.publishable_client_key)
        headers = {f"x-stack-{name}": value for name, value in names.items()}
        return httpx.post(f"{config.api_url}/api/v1{path}", json=body, headers=headers, trust_env=False)

    def login(self, **options: Any) -> str:
        options = {
            "app_url": APP,
            "config": self.config,
            "prompt_link": self.links.append,
            "sleep": self.sleep,
        } | options
        return self._run("prompt_cli_login", **options)

    def refresh(self, token: str, **options: Any) -> str:
        return self._run("refresh_access_token", token, **({"config": self.config} | options))

    def _run(self, name: str, *args: Any, **options: Any) -> str:
        if self.colour == "sync":
            result: str = getattr(cli_login, name)(*args, **options)
        else:
            result = asyncio.run(getattr(cli_login, f"a{name}")(*args, **options))
        return result


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in list(os.environ):
        if name.startswith(("HEXCLAVE", "STACK")):
            monkeypatch.delenv(name)
    world = World(request.param)
    with world.sandbox.serve():
        world.config = dataclasses.replace(world.sandbox.config, transport=None)
        yield world


def test_a_person_signs_in(world: World, tmp_path: Path) -> None:
    """The program gets the session of the browser, keeps it for its owner alone, and works with it."""
    file = tmp_path / "token"
    file.write_text("an older one")
    file.chmod(0o644)
    world.during = lambda: len(world.pauses) == 3 and world.complete()
    token = world.login(keep=file)

    assert token == world.ada.refresh_token
    assert (type(token), world.pauses) == (str, [2, 2, 2])
    assert re.fullmatch(rf"{APP}/handler/cli-auth-confirm\?login_code=[\w-]{{20,}}", world.links[0])
    assert file.read_text() == f"{token}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["token"]
    access_token = world.refresh(file.read_text())
    with HexclaveClient(world.config) as client:
        assert client.verify_token(access_token).id == world.ada.user.id


def test_settings_come_from_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere; what a server has beside them is neither read nor sent."""
    monkeypatch.setenv("HEXCLAVE_APP_URL", f"{APP}/")
    monkeypatch.setenv("STACK_PROJECT_ID", world.config.project_id)
    monkeypatch.setenv("HEXCLAVE_API_URL", world.config.api_url)
    monkeypatch.setenv("HEXCLAVE_PUBLISHABLE_CLIENT_KEY", str(world.config.publishable_client_key))
    monkeypatch.setenv("HEXCLAVE_SECRET_SERVER_KEY", "no key at all")
    kept: list[str] = []
    world.during = world.complete
    assert world.login(app_url=None, config=None, keep=kept.append) == world.ada.refresh_token
    assert kept == [world.ada.refresh_token]
    assert world.links[0].startswith(f"{APP}/handler/")


def test_a_session_that_has_ended(world: World) -> None:
    """It gives no access tokens; nor does what is no refresh token, which is not sent."""
    with pytest.raises(HexclaveApiError) as caught:
        world.refresh("x" * 40)
    assert caught.value.code == "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED"
    for text in ("", "two words", "line\nbreak", "ünïcode", "x" * 5000):
        with pytest.raises(ConfigurationError, match="refresh token"):
            world.refresh(text)


def test_nobody_confirms(world: World) -> None:
    """The wait ends with the code, and the file stays as it was."""
    with pytest.raises(CliLoginExpired):
        world.login(expires_in=20)
    assert 20 <= sum(world.pauses) <= 24


def test_a_server_that_never_says_that_the_time_is_over(world: World) -> None:
    """The wait ends all the same."""

    def answer(exchange: _server.Exchange) -> None:
        is_poll = exchange.target.endswith("/poll")
        codes = {"login_code": "l", "polling_code": "p"}
        _server.fixed(200, {"status": "waiting"} if is_poll else codes)(exchange)

    with _server.Server(answer) as server, pytest.raises(CliLoginExpired):
        world.login(config=_server.settings(world.sandbox, server), expires_in=20)
    assert len(world.pauses) == 11


def test_an_answer_that_is_lost(world: World) -> None:
    """The token is told once: who did not get it begins anew."""
    world.during = lambda: world.complete() and world.post("/auth/cli/poll", {"polling_code": polling[0]})
    polling: list[str] = []
    project: Any = world.sandbox
    begin = world.links.append

    def note(link: str) -> None:
        begin(link)
        polling.append(project._project.cli_logins[-1].polling_code)

    with pytest.raises(CliLoginUsed):
        world.login(prompt_link=note)


def test_an_anonymous_account_is_taken_over(world: World) -> None:
    """The browser is told of the anonymous user, and only an anonymous one's token is taken."""
    visitor = world.sandbox.sign_up_anonymously()
    states: list[Any] = []

    def confirm() -> None:
        states.append(world.complete(mode="check").json())
        world.complete()

    world.during = confirm
    assert world.login(anon_refresh_token=visitor.refresh_token) == world.ada.refresh_token
    assert states == [{"cli_session_state": "anonymous"}]
    with pytest.raises(HexclaveApiError) as caught:
        world.login(anon_refresh_token=world.ada.refresh_token)
    assert (caught.value.status, len(world.links)) == (400, 1)


def test_interruptions_pass(world: World) -> None:
    """Ctrl-C is no error of ours, and nothing is left running."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    world.during = interrupt
    with pytest.raises(KeyboardInterrupt):
        world.login()


def test_an_outage_while_the_person_is_busy(world: World) -> None:
    """It is waited for, but not for ever; at the start it is said soon."""
    outages: list[Any] = []
    is_mended = True

    def fail() -> None:
        if not outages:
            outages.append(world.sandbox.outage())
            outages[0].__enter__()
        elif len(world.pauses) == 8 and is_mended:
            outages[0].__exit__(None, None, None)
            world.complete()

    world.during = fail
    assert world.login() == world.ada.refresh_token
    world.during, world.pauses = lambda: None, []
    with world.sandbox.outage(), pytest.raises(Unavailable):
        world.login()
    assert len(world.pauses) == 2
    outages.clear()
    is_mended = False
    world.during = fail
    with pytest.raises(Unavailable):
        world.login()
    outages[0].__exit__(None, None, None)


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"status": "success"}', b'{"status": "success", "refresh_token": ""}']
)
def test_answers_that_say_nothing(world: World, body: bytes) -> None:
    """Nobody is signed in by them."""

    def answer(exchange: _server.Exchange) -> None:
        codes = {"login_code": "l", "polling_code": "p"}
        _server.fixed(200, body if exchange.target.endswith("/poll") else codes)(exchange)

    with _server.Server(answer) as server, pytest.raises(Unavailable):
        world.login(config=_server.settings(world.sandbox, server))
    assert len(world.pauses) < 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"app_url": None}, "app_url"),
        ({"app_url": "http://example.com"}, "app_url"),
        ({"app_url": "javascript:alert(1)"}, "app_url"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": float("nan")}, "expires_in"),
        ({"expires_in": 90000}, "expires_in"),
        ({"interval": 0}, "interval"),
        ({"keep": "/nowhere/token"}, "kept"),
        ({"keep": "/"}, "kept"),
        ({"keep": "a\0b"}, "kept"),
        ({"project_id": "x"}, "config"),
    ],
)
def test_arguments_that_cannot_be_right(world: World, options: dict[str, Any], message: str) -> None:
    """They are told before anything is sent or shown."""
    with pytest.raises(ConfigurationError, match=message):
        world.login(**options)
    assert (world.links, world.sandbox.count("/auth/cli")) == ([], 0)


def test_a_wrong_key_or_project(world: World) -> None:
    """The message says which setting to mend."""
    wrong = {
        "publishable_client_key": dataclasses.replace(world.config, publishable_client_key="pck_wrong"),
        "project_id": dataclasses.replace(world.config, project_id="957c1a9c-0c38-48ee-a054-044694e00dbe"),
    }
    for name, config in wrong.items():
        with pytest.raises(ConfigurationError, match=name):
            world.login(config=config)


def test_what_fails_shows_no_token(world: World) -> None:
    """Not even in the local variables of a traceback of ours."""

    def keep(token: str) -> None:
        del token
        raise OSError(28, "No space left on device")

    world.during = world.complete
    with pytest.raises(OSError, match="space") as caught:
        world.login(keep=keep)
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    ours = re.sub(r'  File "[^"]*tests/[^\0]*?(?=\n  File|\Z)', "", shown)
    assert "cli_login.py" in ours
    assert world.ada.refresh_token not in ours


def test_coroutine_functions_keep_only_on_a_loop() -> None:
    """There is nobody to await them otherwise, and the token would be lost."""

    async def keep(token: str) -> None:
        kept.append(token)

    kept: list[str] = []
    world = World("sync")
    with pytest.raises(ConfigurationError, match="aprompt_cli_login"):
        world.login(keep=keep)
    world = World("async")
    with world.sandbox.serve():
        world.config = dataclasses.replace(world.sandbox.config, transport=None)
        world.during = world.complete
        assert kept == [] != [world.login(keep=keep)] == kept


# --- the command ----------------------------------------------------------------------------------------------


def command(config: HexclaveConfig, *options: str) -> subprocess.Popen[str]:
    variables = {
        "HEXCLAVE_PROJECT_ID": config.project_id,
        "HEXCLAVE_API_URL": config.api_url,
        "HEXCLAVE_PUBLISHABLE_CLIENT_KEY": str(config.publishable_client_key),
        "HEXCLAVE_APP_URL": APP,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "hexclave_integrations", "login", "--no-browser", *options],
        env=environment(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def real() -> Iterator[World]:
    world = World("sync")
    with world.sandbox.serve():
        world.config = dataclasses.replace(world.sandbox.config, transport=None)
        yield world


def read_link(world: World, process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if "login_code=" in line:
            world.links.append(line.strip())
            return
    raise AssertionError("no link")


@pytest.mark.parametrize("is_printed", [False, True])
def test_the_command(real: World, tmp_path: Path, is_printed: bool) -> None:
    """It prints the token only if it is asked to."""
    file = tmp_path / "token"
    with command(real.config, "--output", "-" if is_printed else str(file)) as process:
        read_link(real, process)
        assert real.complete().status_code == 200
        out, err = process.communicate(timeout=LIMIT)
    token = real.ada.refresh_token
    assert (process.returncode, token in err) == (0, False)
    assert (out, file.exists()) == ((f"{token}\n", False) if is_printed else ("", True))


def test_the_command_is_interrupted(real: World, tmp_path: Path) -> None:
    """By Ctrl-C: a line, no traceback, no file, and the code that shells know."""
    import signal

    with command(real.config, "--output", str(tmp_path / "token")) as process:
        read_link(real, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, out, os.listdir(tmp_path)) == (130, "", [])
    assert "interrupted" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--output", "token", "--timeout", "1"], 2, "Nobody confirmed"),
        (["--output", "/nowhere/token"], 2, "No such file"),
        (["--output", "token", "--app-url", "http://example.com"], 2, "app_url"),
        (["--output", "token", "--project-id", "957c1a9c-0c38-48ee-a054-044694e00dbe"], 2, "project_id"),
        (["--output", "token", "--api-url", "http://127.0.0.1:9"], 2, "api_url"),
        ([], 2, "--output"),
    ],
)
def test_the_command_fails(real: World, options: list[str], code: int, message: str) -> None:
    """With a line that says why, and no traceback."""
    with command(real.config, *options) as process:
        if "--timeout" in options:
            read_link(real, process)
            real.clock.advance(2)
        out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_a_browser_is_opened_where_there_is_a_screen(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """And the address is printed in any case, not to standard output."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    cli_login.open_link(f"{APP}/1")
    monkeypatch.setenv("DISPLAY", ":0")
    cli_login.open_link(f"{APP}/2")
    out, err = capfd.readouterr()
    assert (opened, out) == ([f"{APP}/2"], "")
    assert f"{APP}/1" in err
