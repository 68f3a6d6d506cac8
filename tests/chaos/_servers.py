"""The example applications as processes of a fleet, each on a port of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .._services import free_port

__all__ = ["APPS", "Process", "fleet"]

ROOT: Final = Path(__file__).resolve().parents[2]
LIMIT: Final = 30.0
"""Seconds that a server may take to come up; only a broken one gets there."""

_GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--threads", "8", "--log-level", "warning"]
_UVICORN = ["-m", "uvicorn", "--port", "{port}", "--log-level", "warning"]
APPS: Final[dict[str, list[str]]] = {
    "fastapi": [*_UVICORN, "examples.fastapi_app.main:app"],
    "flask": [*_GUNICORN, "examples.flask_app.main:app"],
    "django": [*_GUNICORN, "examples.django_project.wsgi"],
}


@dataclass(frozen=True, slots=True)
class Process:
    """A server that runs.

    Attributes:
        name: the application's, with a number.
        port: on 127.0.0.1.
        log: what it writes.
    """

    name: str
    port: int
    log: Path
    popen: subprocess.Popen[bytes]

    def memory(self) -> float:
        """Resident memory of it and its workers, MB; 0 where the system does not tell."""
        total = 0
        waiting = [str(self.popen.pid)]
        while waiting:
            pid = waiting.pop()
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
                waiting += Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return total / 1024


@contextlib.contextmanager
def fleet(names: Sequence[str], environs: Sequence[Mapping[str, str]], directory: Path) -> Iterator[list[Process]]:
    """Run an application, by name, with each of the environments.

    Raises:
        RuntimeError: one did not come up.
    """
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(_running(f"{name}-{number}", APPS[name], environ, directory))
            for number, (name, environ) in enumerate(zip(names, environs, strict=True), 1)
        ]
        for process in processes:
            _wait_for(process)
        yield processes


@contextlib.contextmanager
def _running(name: str, command: Sequence[str], environ: Mapping[str, str], directory: Path) -> Iterator[Process]:
    port, log = free_port(), directory / f"{name}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, *(part.format(port=port) for part in command)],
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.chaos.django_settings", **environ},
            stdout=output,
            stderr=output,
            start_new_session=True,  # an interrupt from the keyboard is for us, and we end it
        )
    try:
        yield Process(name, port, log, popen)
    finally:
        popen.terminate()
        try:
            popen.wait(5)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if popen.poll() is None:
                os.killpg(popen.pid, signal.SIGKILL)  # its workers too
                popen.wait(5)


def _wait_for(process: Process) -> None:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if process.popen.poll() is not None:
            raise RuntimeError(f"{process.name} stopped at once:\n{process.log.read_text(errors='replace')}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", process.port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.name} did not come up.")
