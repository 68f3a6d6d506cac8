"""The processes of the fleet: example applications that can be restarted, each on a port of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from .._services import free_port
from ..chaos._servers import APPS as CHAOS_APPS
from ..chaos._servers import LIMIT, ROOT

__all__ = ["APPS", "Fleet", "Member"]

APPS: Final[dict[str, list[str]]] = {
    **CHAOS_APPS,
    "django-asgi": [
        *("-m", "uvicorn", "--port", "{port}", "--log-level", "warning", "--lifespan", "off"),
        "examples.django_project.asgi:application",
    ],
}


class Member:
    """One process.

    Args:
        name: the application's, with a number.
        app: the application's.
        environ: its settings.
        directory: where it logs.

    Attributes:
        starts: how often it was started.
    """

    def __init__(self, name: str, app: str, environ: Mapping[str, str], directory: Path) -> None:
        self.name, self._app, self._environ = name, app, environ
        self.port, self.log = free_port(), directory / f"{name}.log"
        self.starts = 0
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start; `wait` until it takes connections."""
        self.starts += 1
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, *(part.format(port=self.port) for part in APPS[self._app])],
                cwd=ROOT,
                env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.chaos.django_settings", **self._environ},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it takes connections.

        Raises:
            RuntimeError: it does not.
        """
        assert self._popen is not None
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline and self._popen.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} did not come up:\n{self.log.read_text(errors='replace')[-2000:]}")

    def terminate(self) -> None:
        """Ask it to end; `stop` waits for that."""
        if self._popen is not None:
            self._popen.terminate()

    def stop(self) -> None:
        """Wait for its end, and enforce it."""
        popen, self._popen = self._popen, None
        if popen is None:
            return
        try:
            popen.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(popen.pid, signal.SIGKILL)  # its workers too
            popen.wait(5)


class Fleet:
    """All processes.

    Args:
        members: the processes.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = list(members)

    def start(self) -> None:
        """Start all at once."""
        for member in self.members:
            member.start()
        for member in self.members:
            member.wait()

    def stop(self) -> None:
        """End all at once."""
        for member in self.members:
            member.terminate()
        for member in self.members:
            member.stop()
