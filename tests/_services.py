"""Private servers from installed binaries: Redis and PostgreSQL, for as long as a block lasts.

Nothing is kept, and nothing else uses them. Without the binary a test is skipped with the reason, except in CI
(`CI=true`), where it fails: there, a test that did not run is a test that did not pass.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import pytest

LIMIT: Final = 30.0
"""Seconds that a server may take to start or stop: only a broken one gets there."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Redis:
    """A Redis server that can be stopped and started again, with nothing remembered.

    Attributes:
        url: the same across restarts.
        process: the running server, or None.
    """

    def __init__(self, binary: str, directory: Path) -> None:
        self._binary = binary
        self._directory = directory
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and return when it answers."""
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self._directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._binary, *options, "--dir", str(self._directory)], stdout=log, stderr=log, start_new_session=True
            )
        _wait_until_ready(self.process, self._answers, self._directory / "redis.log")

    def stop(self) -> None:
        """Stop at once, without a word to its clients."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(LIMIT)

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@contextmanager
def running_redis() -> Iterator[Redis]:
    """A private Redis server."""
    binary = shutil.which("redis-server")
    if binary is None:
        do_without("redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        server = Redis(binary, Path(directory))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def running_postgres() -> Iterator[str]:
    """A private PostgreSQL server; yields its URL."""
    binaries = _postgres_binaries()
    if binaries is None:
        do_without("PostgreSQL's initdb is not installed")
    as_postgres: list[str] = []
    if os.geteuid() == 0:  # which PostgreSQL refuses
        if not _has_user("postgres"):
            do_without("PostgreSQL does not run as root, and there is no user postgres")
        setpriv = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        as_postgres = setpriv if shutil.which("setpriv") else ["runuser", "-u", "postgres", "--"]
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        directory = Path(name)
        if as_postgres:
            shutil.chown(directory, "postgres", "postgres")
        data, log, port = directory / "data", directory / "log", free_port()
        initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "-E", "UTF8", "-N"]
        _run([*as_postgres, *initdb, "--locale=C"], directory)
        settings = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "listen_addresses=127.0.0.1"]
        options = [f"port={port}", f"unix_socket_directories={directory}", *settings]
        flags = [part for option in options for part in ("-c", option)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*as_postgres, str(binaries / "postgres"), "-D", str(data), *flags],
                stdout=output,
                stderr=output,
                cwd=directory,
                start_new_session=True,
            )
        try:
            ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            _wait_until_ready(process, lambda: subprocess.run(ready, check=False).returncode == 0, log)
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # fast shutdown
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(LIMIT)


def do_without(reason: str) -> NoReturn:
    """Skip the test, saying why; in CI fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI must not do without it", pytrace=False)
    pytest.skip(reason)


def _postgres_binaries() -> Path | None:
    found = shutil.which("initdb")
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    candidates += [Path(found).resolve().parent] if found else []
    needed = ("initdb", "postgres", "pg_isready")
    return next((path for path in candidates if all((path / name).exists() for name in needed)), None)


def _version(path: Path) -> int:
    name = path.parent.name
    return int(name) if name.isdecimal() else 0


def _has_user(name: str) -> bool:
    return any(line.startswith(f"{name}:") for line in Path("/etc/passwd").read_text().splitlines())


def _run(command: Sequence[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=LIMIT, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[-1]} failed: {done.stdout}{done.stderr}")


def _wait_until_ready(process: subprocess.Popen[bytes], answers: Callable[[], bool], log: Path) -> None:
    end = time.monotonic() + LIMIT
    while not answers():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"The server did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.02)
