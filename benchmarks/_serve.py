"""`python -m benchmarks._serve FRAMEWORK VARIANT SOCKET CORE`: one application under its real server, one process.

SOCKET is the number of an inherited listening socket; CORE the processor to stay on, or `-`.
"""

from __future__ import annotations

import os
import socket
import sys

from . import _apps

__all__ = ["main"]


def main(framework: str, variant: str, number: str, core: str) -> None:
    """Serve until the process is told to end: uvicorn here, gunicorn with one worker of four threads in our place."""
    if framework in _apps.ASGI:
        import uvicorn

        config = uvicorn.Config(_apps.ASGI[framework](variant), log_level="warning", access_log=False)
        server = uvicorn.Server(config)
        _stay_on(core)
        server.run([socket.socket(fileno=int(number))])
        return
    application = f"benchmarks._apps:{_apps.WSGI[framework].__name__}('{variant}')"
    options = ["--bind", f"fd://{number}", "--worker-class", "gthread", "--threads", "4", "--log-level", "critical"]
    _stay_on(core)
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *options, application])


def _stay_on(core: str) -> None:
    if core != "-":
        os.sched_setaffinity(0, {int(core)})


if __name__ == "__main__":
    main(*sys.argv[1:])
