"""`hexclave sandbox` as a process of its own, for as long as a block lasts, and what its page would send it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from hexclave_integrations import HexclaveConfig

COMMAND: Final = [sys.executable, "-m", "hexclave_integrations", "sandbox"]
NAMES: Final = [
    "HEXCLAVE_PROJECT_ID",
    "HEXCLAVE_API_URL",
    "HEXCLAVE_PUBLISHABLE_CLIENT_KEY",
    "HEXCLAVE_SECRET_SERVER_KEY",
    "HEXCLAVE_WEBHOOK_SECRET",
]
LIMIT: Final = 30.0
"""Seconds that a process may take to start or end: only a broken one gets there."""
PLAIN: Final[dict[str, Any]] = {"verify": False, "trust_env": False}
"""For a request to a sandbox: no certificates, which take longer to load than its answer takes, and no proxy."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, in which the package's source is found, without settings of Hexclave."""
    own = {name: value for name, value in os.environ.items() if "HEXCLAVE_" not in name and "STACK_" not in name}
    source = str(Path(__file__).resolve().parents[1] / "src")
    return own | {"PYTHONPATH": source} | dict(extra or {})


class Running:
    """A sandbox that runs.

    Attributes:
        variables: what it printed.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        lines = [process.stdout.readline().rstrip("\n") for _ in NAMES]
        self.variables = dict(line.split("=", 1) for line in lines)

    @property
    def url(self) -> str:
        return self.variables["HEXCLAVE_API_URL"]

    @property
    def config(self) -> HexclaveConfig:
        """The settings of an application that has the variables in its environment."""
        return HexclaveConfig.from_env(self.variables)

    def act(self, name: str, **arguments: str) -> dict[str, Any]:
        """Do what a button of the page does."""
        url = f"{self.url}/_sandbox/do/{name}"
        answer = httpx.post(url, json=arguments, headers={"origin": self.url}, **PLAIN)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def state(self) -> dict[str, Any]:
        """What the page shows."""
        shown: dict[str, Any] = httpx.get(f"{self.url}/_sandbox/state", **PLAIN).json()
        return shown

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; the exit code, and what was written to standard error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, err


@contextmanager
def running(*options: str, extra: Mapping[str, str] | None = None, folder: Path | None = None) -> Iterator[Running]:
    """A sandbox at a port of its own choice, unless the options name one.

    Args:
        extra: further variables of its environment.
        folder: where it runs.
    """
    own = options[: options.index("--")] if "--" in options else options
    port = () if "--port" in own or "--state" in own else ("--port", "0")
    command = [*COMMAND, *port, *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment(extra),
        cwd=folder,
    )
    try:
        yield Running(process)
    finally:
        process.terminate()  # which ends its command too
        try:
            process.communicate(timeout=LIMIT)
        finally:
            process.kill()
