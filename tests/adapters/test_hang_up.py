"""Clients that hang up, on real servers: they end nothing that others rely on."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jwt
import pytest

from hexclave_integrations.testing import Sandbox, SandboxUser

from .._server import LIMIT, Exchange, Server, eventually, relay, settings
from .._services import free_port

SERVERS = {
    "django, uvicorn": ["uvicorn", "--lifespan", "off", "--port"],
    "django, hypercorn": ["hypercorn", "--bind"],
    "django, daphne": ["daphne", "--port"],
    "fastapi, uvicorn": ["uvicorn", "--port"],
}
JWKS, PERMISSIONS = "/jwks.json", "/project-permissions"


@dataclass
class Stage:
    """A server with an application, and the Hexclave that it asks."""

    sandbox: Sandbox
    upstream: Server
    port: int

    def send(self, path: str, token: str) -> socket.socket:
        """Send a request; its answer is still to be read."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)
        head = [f"GET {path} HTTP/1.1", "Host: test", "Connection: close", f"x-stack-access-token: {token}", "", ""]
        connection.sendall("\r\n".join(head).encode())
        return connection

    def status(self, path: str, token: str) -> int:
        """Make a request and wait for its answer."""
        return status_on(self.send(path, token))


def status_on(connection: socket.socket) -> int:
    with connection, connection.makefile("rb") as answer:
        return int(answer.readline().split()[1])


@pytest.fixture(scope="module", params=SERVERS)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """One of the servers, whose Hexclave takes a moment to answer."""
    sandbox, port = Sandbox(), free_port()
    answer = relay(sandbox)

    def slowly(exchange: Exchange) -> None:
        if PERMISSIONS in exchange.target:
            exchange.server.gate.wait(LIMIT)
        else:
            time.sleep(0.3)
        answer(exchange)

    with Server(slowly) as upstream:
        config = settings(sandbox, upstream)
        environ = {
            "HEXCLAVE_API_URL": config.api_url,
            "HEXCLAVE_ISSUER_URLS": config.issuer_urls[0],
            "HEXCLAVE_PROJECT_ID": config.project_id,
            "HEXCLAVE_SECRET_SERVER_KEY": str(config.secret_server_key),
        }
        environ["FRAMEWORK"], _ = request.param.split(", ")
        command = SERVERS[request.param]
        address = f"127.0.0.1:{port}" if command[-1] == "--bind" else str(port)
        root = Path(__file__).parents[2]
        process = subprocess.Popen(
            [sys.executable, "-m", *command, address, "tests._patient_apps:app"],
            env={**os.environ, **environ},
            cwd=root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert eventually(lambda: is_listening(port) or process.poll() is not None)
            yield Stage(sandbox, upstream, port)
        finally:
            process.terminate()
            process.wait(LIMIT)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


_names = itertools.count()


def unknown_key(sandbox: Sandbox, user: SandboxUser) -> str:
    claims = jwt.decode(sandbox.token(user), options={"verify_signature": False})
    return sandbox.sign(claims, headers={"kid": f"unknown-{next(_names)}"})


def test_who_hangs_up_does_not_begin_a_fetch_each_time(stage: Stage) -> None:
    """A stranger with unknown key ids who closes after 30 ms causes one fetch of the key set in a cool-down."""
    user = stage.sandbox.create_user()
    assert stage.status("/me", stage.sandbox.token(user)) == 200
    before = stage.upstream.count(JWKS)
    for _ in range(30):
        with stage.send("/me", unknown_key(stage.sandbox, user)):
            time.sleep(0.03)
    assert stage.status("/me", unknown_key(stage.sandbox, user)) == 401

    assert stage.upstream.count(JWKS) == before + 1
    assert stage.status("/me", stage.sandbox.token(user)) == 200


def test_who_hangs_up_takes_no_answer_from_others(stage: Stage) -> None:
    """The question that a request began is answered for those who wait for it, although that request is gone."""
    user = stage.sandbox.create_user()
    stage.sandbox.grant(user, "read_logs")
    token = stage.sandbox.token(user)
    assert stage.status("/me", token) == 200
    stage.upstream.gate.clear()
    before = stage.upstream.count(PERMISSIONS)
    first = stage.send("/logs", token)
    assert eventually(lambda: stage.upstream.count(PERMISSIONS) == before + 1)
    others = [stage.send("/logs", token) for _ in range(3)]
    time.sleep(0.2)  # for them to begin to wait
    first.close()
    time.sleep(0.2)  # for the server to notice
    opener = threading.Timer(0, stage.upstream.gate.set)
    opener.start()

    assert [status_on(connection) for connection in others] == [200] * 3
    opener.join(LIMIT)
    assert stage.upstream.count(PERMISSIONS) == before + 1
