"""Deliveries on real servers: senders that hang up in mid-handler, chunked bodies, handlers under gevent."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ._services import free_port
from ._webhooks import LIMIT, SECRET, Delivery, event

ROOT = Path(__file__).parent.parent
# The last words are put before the port; the pause is how long a server takes to lose patience after a hang-up.
SERVERS = {
    "gunicorn, several": ["gunicorn", "--workers", "2", "--bind", "127.0.0.1:"],
    "gunicorn, preloaded": ["gunicorn", "--preload", "--bind", "127.0.0.1:"],
    "uvicorn, several": ["uvicorn", "--workers=2", "--port"],
    "hypercorn, several": ["hypercorn", "-w", "2", "--bind", "127.0.0.1:"],
    "uvicorn": ["uvicorn", "--log-level", "warning", "--timeout-graceful-shutdown", "1", "--port"],
    "hypercorn": ["hypercorn", "--bind", "127.0.0.1:"],
    "gunicorn": ["gunicorn", "--threads", "8", "--worker-class", "gthread", "--bind", "127.0.0.1:"],
    "gunicorn, gevent": ["gunicorn", "--worker-class", "gevent", "--bind", "127.0.0.1:"],
    "daphne": ["daphne", "--application-close-timeout", "1", "--port"],
}
PAUSE = {"uvicorn": 0.3, "hypercorn": 0.3, "daphne": 3.0}
CASES = [
    *(pytest.param("django", server, "handler", id=f"django, {server}") for server in PAUSE),
    pytest.param("django", "uvicorn", "receiver", id="django, uvicorn, receiver of a signal"),
    pytest.param("fastapi", "uvicorn", "handler", id="fastapi, uvicorn"),
]


class Application:
    """A server process, and what its handlers have noted."""

    def __init__(self, directory: Path, framework: str, server: str, mode: str) -> None:
        self._directory = directory
        self._port = free_port()
        *command, last = SERVERS[server]
        place = [f"{last}{self._port}"] if last.endswith(":") else [last, str(self._port)]
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command, *place, "tests._slow_webhooks:application"],
                cwd=ROOT,
                env={
                    **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
                    "HEXCLAVE_WEBHOOK_SECRET": SECRET,
                    "PYTHONPATH": str(ROOT / "src"),
                    "EFFECTS": str(directory),
                    "MODE": mode,
                    "FRAMEWORK": framework,
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + LIMIT
        while not self._listens():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.02)

    @property
    def log(self) -> str:
        return (self._directory / "log").read_text()

    @property
    def effects(self) -> list[str]:
        path = self._directory / "effects"
        return [line for line in path.read_text().splitlines() if line != "gone"] if path.exists() else []

    def end(self) -> None:
        """End it, and first of all its workers, if it has some."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(LIMIT)

    def open_gate(self) -> None:
        """Let the handler end."""
        (self._directory / "gate").touch()

    def hang_up(self, delivery: Delivery) -> None:
        """Deliver, and leave when the handler has begun."""
        body, headers = delivery
        lines = [f"{name}: {value}" for name, value in {**headers, "content-length": str(len(body))}.items()]
        with socket.create_connection(("127.0.0.1", self._port), timeout=LIMIT) as connection:
            connection.sendall("\r\n".join(["POST /hooks HTTP/1.1", "host: test", *lines, "", ""]).encode() + body)
            end = time.monotonic() + LIMIT
            while "begun" not in self.effects and time.monotonic() < end:
                time.sleep(0.01)
        assert self.effects[-1:] == ["begun"], self.log

    def deliver(self, delivery: Delivery, *, chunked: bool = False) -> tuple[int, bytes]:
        """Status and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=LIMIT)
        body, headers = delivery
        pieces = (body[start : start + 50] for start in range(0, len(body), 50))
        try:
            connection.request("POST", "/hooks", pieces if chunked else body, headers, encode_chunked=chunked)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return True


@pytest.fixture
def application(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Application]:
    framework, server, mode = request.param
    found = Application(tmp_path, framework, server, mode)
    try:
        yield found
    finally:
        found.end()


@pytest.mark.parametrize(("application", "pause"), [
    pytest.param(case.values, PAUSE[str(case.values[1])], id=case.id) for case in CASES
], indirect=["application"])  # fmt: skip
def test_a_sender_who_hangs_up(application: Application, pause: float) -> None:
    """Meanwhile repetitions are put off; the handlers end, once; and what they did counts as done."""
    delivery = event()
    application.hang_up(delivery)
    time.sleep(pause)
    assert application.deliver(delivery)[0] == 409, application.log
    application.open_gate()
    answer = (409, b"")
    end = time.monotonic() + LIMIT
    while answer[0] == 409 and time.monotonic() < end:
        time.sleep(0.05)
        answer = application.deliver(delivery)

    assert answer == (200, b'{"status": "duplicate"}'), application.log
    assert sorted(application.effects) == ["begun", "ended", "second"]


@pytest.mark.parametrize("application", [
    pytest.param(("django", "uvicorn", "handler"), id="django"),
    pytest.param(("fastapi", "uvicorn", "handler"), id="fastapi"),
], indirect=True)  # fmt: skip
def test_a_server_that_is_stopped(application: Application) -> None:
    """A handler of a sender who has gone does not keep the server from ending."""
    application.hang_up(event())
    application.process.send_signal(signal.SIGTERM)

    assert application.process.wait(LIMIT) in (0, -signal.SIGTERM), application.log
    assert application.effects == ["begun"]


@pytest.mark.parametrize("application", [
    pytest.param((framework, server, "none"), id=f"{framework}, {server}")
    for framework in ("django wsgi", "flask") for server in ("gunicorn", "gunicorn, gevent")
], indirect=True)  # fmt: skip
def test_a_chunked_body(application: Application) -> None:
    """A body without a declared length is read."""
    assert application.deliver(event(), chunked=True) == (200, b'{"status": "handled"}'), application.log


@pytest.mark.parametrize("application", [
    pytest.param((framework, "gunicorn, gevent", "handler"), id=framework) for framework in ("django wsgi", "flask")
], indirect=True)  # fmt: skip
def test_coroutines_under_gevent(application: Application) -> None:
    """Deliveries that come at once have coroutine handlers that run to their end, each once."""
    deliveries = [event() for _ in range(8)]
    with ThreadPoolExecutor(8) as executor:
        answers = executor.map(application.deliver, deliveries)
        time.sleep(0.5)
        application.open_gate()
        assert list(answers) == [(200, b'{"status": "handled"}')] * 8, application.log
    assert sorted(application.effects) == ["begun"] * 8 + ["ended"] * 8 + ["second"] * 8


SEVERAL = [
    *((framework, "gunicorn, several") for framework in ("django wsgi", "flask")),
    *((framework, f"{server}, several") for framework in ("django", "fastapi") for server in ("uvicorn", "hypercorn")),
]
ALONE = [
    *((framework, server) for framework in ("django wsgi", "flask") for server in ("gunicorn", "gunicorn, preloaded")),
    *((framework, server) for framework in ("django", "fastapi") for server in ("uvicorn", "hypercorn")),
]


@pytest.mark.parametrize("application", [
    pytest.param((*case, "none"), id=", ".join(case)) for case in [*SEVERAL, *ALONE]
], indirect=True)  # fmt: skip
def test_a_memory_that_others_do_not_share(application: Application, request: pytest.FixtureRequest) -> None:
    """Where several processes receive deliveries, each with its own memory, the log says so, and else it does not."""
    for _ in range(2):
        assert application.deliver(event()) == (200, b'{"status": "handled"}'), application.log
    application.end()
    warnings = application.log.count("remembered in the memory of this process alone")
    assert warnings in ((1, 2) if "several" in request.node.name else (0,)), application.log
