"""Whether a server runs several processes, as far as one of them can tell: each would have its own memory.

gunicorn, uWSGI and mod_wsgi say so with each request (`wsgi.multiprocess`, PEP 3333). ASGI has no word for it; there
the options that the server was started with are looked at, and whether the application was loaded before a fork.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Final

__all__ = ["sign_of_several"]

_COUNTS: Final = ("WEB_CONCURRENCY", "UVICORN_WORKERS", "GRANIAN_WORKERS")
_SERVERS: Final = ("gunicorn", "uvicorn", "hypercorn", "granian", "fastapi")


def sign_of_several(
    environ: Mapping[str, str], argv: Sequence[str], *, multiprocess: bool | None, was_forked: bool
) -> str | None:
    """What speaks for several processes, in words; None for nothing.

    Args:
        environ: the environment variables.
        argv: how the process was started.
        multiprocess: what the server says, None where it says nothing.
        was_forked: whether the endpoint was made before this process was.
    """
    if multiprocess:
        return "the server says that it runs several processes"
    for name in _COUNTS:
        if _count(environ.get(name, "")) > 1:
            return f"{name} is above 1"
    if _workers(_arguments(environ.get("GUNICORN_CMD_ARGS", ""))) > 1:
        return "GUNICORN_CMD_ARGS names several workers"
    if argv and _program(argv[0]) in _SERVERS and _workers(argv[1:]) > 1:
        return "the server was started with several workers"
    if was_forked and multiprocess is None:
        return "the application was loaded before this process was forked"
    return None


def _program(path: str) -> str:
    found = PurePath(path)
    # `python -m uvicorn` runs its `__main__.py`.
    return found.parent.name if found.name == "__main__.py" else found.stem


def _arguments(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _workers(arguments: Sequence[str]) -> int:
    count = 1
    for argument, following in itertools.zip_longest(arguments, arguments[1:], fillvalue=""):
        if argument in ("-w", "--workers"):
            count = _count(following)
        elif argument.startswith("--workers="):
            count = _count(argument.partition("=")[2])
        elif argument.startswith("-w"):
            count = _count(argument[2:].removeprefix("="))
    return count


def _count(text: str) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
