"""Start the example applications as processes of their own, on free ports, and wait until they answer."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_UVICORN = ["-m", "uvicorn", "--port", "{port}", "--log-level", "warning"]
_GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--threads", "4", "--log-level", "warning"]
COMMANDS: dict[str, list[str]] = {
    "FastAPI": [*_UVICORN, "examples.fastapi_app.main:app"],
    "Flask": [*_GUNICORN, "examples.flask_app.main:app"],
    "Django": [*_GUNICORN, "examples.django_project.wsgi"],
}


@contextlib.contextmanager
def running(names: list[str], environ: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run the named applications; yields their base URLs.

    Raises:
        RuntimeError: one did not come up within 30 seconds.
    """
    with contextlib.ExitStack() as stack:
        urls = {name: stack.enter_context(_running(COMMANDS[name], environ)) for name in names}
        yield urls


def running_asgi(app: str, environ: Mapping[str, str]) -> contextlib.AbstractContextManager[str]:
    """Run one ASGI application, named as for uvicorn; yields its base URL.

    Raises:
        RuntimeError: it did not come up within 30 seconds.
    """
    return _running([*_UVICORN, app], environ)


@contextlib.contextmanager
def _running(command: list[str], environ: Mapping[str, str]) -> Iterator[str]:
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, *(part.format(port=port) for part in command)],
        cwd=ROOT,
        env={**os.environ, **environ},
    )
    try:
        _wait_for(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"The server stopped at once, with exit code {process.returncode}.")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("The server did not come up.")
