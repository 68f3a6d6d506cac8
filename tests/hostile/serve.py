"""The applications under their real servers, in processes of their own whose every word is kept.

`python -m tests.hostile.serve` runs the servers that live on threads; gunicorn imports `wsgi` from here.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["SERVERS", "WEBSOCKETS", "Fleet", "running", "wsgi"]

_ROOT: Final = Path(__file__).parents[2]
_LIMIT: Final = 30.0
_HAS_HTTPTOOLS: Final = importlib.util.find_spec("httptools") is not None
# Which HTTP parser and websocket protocol of uvicorn go together is of no meaning; each is there.
_UVICORN: Final = {
    "fastapi, uvicorn h11": ("fastapi", "h11", "websockets-sansio"),
    "fastapi, uvicorn httptools": ("fastapi", "httptools", "websockets"),
    "starlette, uvicorn h11": ("starlette", "h11", "wsproto"),
    "starlette, uvicorn httptools": ("starlette", "httptools", "websockets-sansio"),
    "django asgi, uvicorn h11": ("django", "h11", "none"),
    "django asgi, uvicorn httptools": ("django", "httptools", "none"),
}
_GUNICORN: Final = {"flask, gunicorn": "flask", "django wsgi, gunicorn": "django"}
SERVERS: Final = (*_UVICORN, *_GUNICORN, "flask, werkzeug", "django wsgi, runserver")
"""The names of all servers; those with httptools run where it is installed."""
WEBSOCKETS: Final = tuple(name for name, (_, _, protocol) in _UVICORN.items() if protocol != "none")
"""Those that speak it."""


# --- servers on threads -----------------------------------------------------------------------------------------------


def wsgi(framework: str) -> Any:
    """The WSGI application of a framework, for gunicorn."""
    from . import apps_wsgi

    _log_everything()
    return {"flask": apps_wsgi.flask_app, "django": apps_wsgi.django_wsgi_app}[framework]()


def _log_everything() -> None:
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, force=True)


def _say(name: str, port: int) -> None:
    print(f"[{name}] listens on {port}", flush=True)


def _serve_asgi(name: str) -> None:
    import uvicorn

    from . import apps_asgi, apps_wsgi

    framework, http, websockets = _UVICORN[name]
    builders: dict[str, Callable[[], Any]] = {
        "fastapi": apps_asgi.fastapi_app,
        "starlette": apps_asgi.starlette_app,
        "django": apps_wsgi.django_asgi_app,
    }
    # At DEBUG the websockets library logs every header by itself, whatever is in it.
    options: dict[str, Any] = {"http": http, "ws": websockets, "log_config": None, "log_level": "info"}
    server = uvicorn.Server(uvicorn.Config(builders[framework](), host="127.0.0.1", port=0, **options))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.005)
    _say(name, server.servers[0].sockets[0].getsockname()[1])


def _serve_werkzeug(name: str) -> None:
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, wsgi("flask"), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _say(name, server.port)


def _serve_runserver(name: str) -> None:
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

    server = ThreadedWSGIServer(("127.0.0.1", 0), WSGIRequestHandler)
    server.set_app(wsgi("django"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _say(name, server.server_address[1])


def main() -> None:
    """Serve on threads until standard input ends."""
    _log_everything()
    for name, (_, http, _) in _UVICORN.items():
        if http != "httptools" or _HAS_HTTPTOOLS:
            _serve_asgi(name)
    _serve_werkzeug("flask, werkzeug")
    _serve_runserver("django wsgi, runserver")
    sys.stdin.read()


# --- from the outside -------------------------------------------------------------------------------------------------


class Fleet:
    """The running servers.

    Args:
        directory: where their output goes.
        environ: of the processes.
    """

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._directory = directory
        options = ["--bind", "127.0.0.1:0", "--threads", "4", "--log-level", "debug", "--access-logfile", "-"]
        self._start("threads", ["tests.hostile.serve"], environ)
        for name, framework in _GUNICORN.items():
            self._start(name, ["gunicorn", *options, f"tests.hostile.serve:wsgi('{framework}')"], environ)

    def _start(self, name: str, command: list[str], environ: Mapping[str, str]) -> None:
        with self._log(name).open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=_ROOT,
                env=dict(environ),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def output(self, server: str) -> str:
        """Everything that a server's process has said so far."""
        name = server if server in _GUNICORN else "threads"
        return self._log(name).read_text("utf-8", "backslashreplace")

    def port(self, server: str) -> int | None:
        """Where a server listens, once it does; None for one that cannot run here."""
        if "httptools" in server and not _HAS_HTTPTOOLS:
            return None
        pattern = (
            r"Listening at: http://127\.0\.0\.1:(\d+)" if server in _GUNICORN else rf"\[{server}\] listens on (\d+)"
        )
        end = time.monotonic() + _LIMIT
        while time.monotonic() < end:
            found = re.search(pattern, self.output(server))
            if found:
                return int(found[1])
            time.sleep(0.02)
        raise AssertionError(f"{server} did not come up:\n{self.output(server)}")

    def end(self) -> None:
        """Stop them all."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.communicate(timeout=_LIMIT)


@contextmanager
def running(directory: Path, settings: Mapping[str, str]) -> Iterator[Fleet]:
    """Start all servers, with these settings in their environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEXCLAVE_", "STACK_"))}
    python = {
        "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
        "PYTHONUNBUFFERED": "1",
    }
    fleet = Fleet(directory, {**kept, **python, **settings})
    try:
        yield fleet
    finally:
        fleet.end()


if __name__ == "__main__":
    main()
