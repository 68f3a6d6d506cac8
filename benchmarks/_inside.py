"""`python -m benchmarks._inside FRAMEWORK VARIANT`: one application without a server, called in a loop.

Reads tokens from stdin, a JSON list, then a number a line: it makes so many requests, and answers with the microseconds
of CPU that each took. Started with a number as third argument it makes so many requests in a process forked off, and
none in another, and answers with the ids of the two: under valgrind the difference is what the requests take.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from . import _apps
from .requests import HEADERS

__all__ = ["main"]

WARM = 20


def main(framework: str, variant: str, count: str = "") -> None:
    """Call one application until stdin ends."""
    tokens: list[str] = json.loads(sys.stdin.readline())
    if framework in _apps.ASGI:
        run = _asgi(_apps.ASGI[framework](variant), tokens)
    else:
        run = _wsgi(_apps.WSGI[framework](variant), tokens)
    run(max(WARM, 2 * len(tokens)))
    if count:
        print(json.dumps([_forked(run, each) for each in (0, int(count))]), flush=True)
        return
    for line in sys.stdin:
        begin = time.process_time()
        run(int(line))
        print((time.process_time() - begin) / int(line) * 1e6, flush=True)


def _forked(run: Callable[[int], None], count: int) -> int:
    """The id of a process that made so many requests; it is over."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        if status:
            raise RuntimeError("The requests failed")
        return child
    run(count)
    os._exit(0)


def _asgi(app: Any, tokens: Sequence[str]) -> Callable[[int], None]:
    """Make requests of an ASGI application, one after the other, on an event loop of their own."""
    heads = itertools.cycle(_headers(tokens))

    async def calls(count: int) -> None:
        for _ in range(count):
            received = False

            async def receive() -> Any:
                nonlocal received
                if received:
                    await asyncio.get_running_loop().create_future()  # the client stays connected
                received = True
                return {"type": "http.request", "body": b"", "more_body": False}

            statuses: list[int] = []

            async def send(message: Any, statuses: list[int] = statuses) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])

            scope = {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": "1.1",
                "server": ("127.0.0.1", 80),
                "client": ("127.0.0.1", 40000),
                "scheme": "http",
                "method": "GET",
                "root_path": "",
                "path": "/me",
                "raw_path": b"/me",
                "query_string": b"",
                "headers": next(heads),
                "state": {},
            }
            await app(scope, receive, send)
            _expect(statuses == [200])

    return lambda count: asyncio.run(calls(count))


def _headers(tokens: Sequence[str]) -> list[list[tuple[bytes, bytes]]]:
    given = [("Host", "127.0.0.1"), *HEADERS.items()]
    common = [(name.lower().encode(), value.encode()) for name, value in given]
    return [[*common, (_apps.HEADER.encode(), token.encode())] for token in tokens]


def _wsgi(app: Any, tokens: Sequence[str]) -> Callable[[int], None]:
    """Make requests of a WSGI application."""
    import io

    common: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/me",
        "QUERY_STRING": "",
        "RAW_URI": "/me",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in HEADERS.items()},
    }
    variable = f"HTTP_{_apps.HEADER.upper().replace('-', '_')}"
    turns = itertools.cycle(tokens)

    def calls(count: int) -> None:
        for _ in range(count):
            statuses: list[str] = []

            def start(status: str, headers: Any, exc_info: Any = None, statuses: list[str] = statuses) -> Any:
                statuses.append(status)
                return statuses.append

            answer = app({**common, "wsgi.input": io.BytesIO(), variable: next(turns)}, start)
            b"".join(answer)
            if hasattr(answer, "close"):
                answer.close()
            _expect(statuses == ["200 OK"])

    return calls


def _expect(is_right: bool) -> None:
    if not is_right:
        raise RuntimeError("The application answered with an error")


if __name__ == "__main__":
    main(*sys.argv[1:])
