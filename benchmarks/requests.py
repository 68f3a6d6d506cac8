"""What one request costs under the real servers: unprotected, and behind the floor, the kit and the documented snippet.

The servers of a framework run side by side, one process each, on one processor; only one of them is loaded at a time,
from another process on another processor. Eight connections keep it busy: with one it would wait for the client half
of the time, and throughput would hide what the server spends.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hexclave_integrations.testing import Sandbox

from ._apps import ASGI, IDEAL, KIT, OPEN, SNIPPET, VARIANTS, WSGI
from ._measure import Scale, Table

__all__ = ["FRAMEWORKS", "REPEATED", "UNPROTECTED", "tables", "title"]

ROOT = Path(__file__).resolve().parents[1]
FRAMEWORKS = (*ASGI, *WSGI)

ROUNDS = 9
REQUESTS = 1000
NEW_TOKENS = 300
USERS = 64
CONNECTIONS = 8
HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "application/json",
    "Accept-Language": "en-GB,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
    "Origin": "https://app.example.com",
    "Connection": "keep-alive",
}

UNPROTECTED = "unprotected"
FLOOR = "written by hand, repeated tokens"
REPEATED = "hexclave, repeated tokens"
NEW = "hexclave, every token new"
DOCUMENTED = "documented snippet, repeated tokens"
NOTE = (
    "Server CPU by the server's own account; medians of rounds, each held against the unprotected one of its round. "
    f"{CONNECTIONS} kept-alive connections keep one process busy, {USERS} users take turns."
)


@dataclass
class _Variant:
    """One row of a table.

    Attributes:
        cpu, rate: microseconds of server CPU a request, and requests a second, one number a round.
    """

    port: int
    rounds: Sequence[Sequence[str]]
    cpu: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)


def title(framework: str) -> str:
    """The title of a framework's table."""
    return f"One request through {framework}"


def tables(scale: Scale, frameworks: Sequence[str] = FRAMEWORKS) -> list[Table]:
    """Measure."""
    sandbox = Sandbox()
    rounds = scale.of(ROUNDS)
    with sandbox.serve() as url, _load_generator() as load:
        user = sandbox.create_user(display_name="Ada Lovelace", primary_email="ada@example.com")
        repeated = [sandbox.token(sandbox.create_user(display_name="Ada Lovelace"), 3600) for _ in range(USERS)]
        new = [[sandbox.token(user, 3600) for _ in range(scale.of(NEW_TOKENS, 8))] for _ in range(rounds)]
        environ = {
            "HEXCLAVE_API_URL": url,
            "HEXCLAVE_PROJECT_ID": sandbox.config.project_id,
            "HEXCLAVE_SECRET_SERVER_KEY": sandbox.config.secret_server_key or "",
        }
        found = []
        for framework in frameworks:
            with _servers(framework, environ) as ports:
                variants = {
                    UNPROTECTED: _Variant(ports[OPEN], [repeated]),
                    FLOOR: _Variant(ports[IDEAL], [repeated]),
                    REPEATED: _Variant(ports[KIT], [repeated]),
                    NEW: _Variant(ports[KIT], new),
                    DOCUMENTED: _Variant(ports[SNIPPET], [repeated]),
                }
                _measure(load, variants, rounds, scale.of(REQUESTS, 16))
            found.append(_table(framework, variants))
    return found


def _measure(load: subprocess.Popen[str], variants: Mapping[str, _Variant], rounds: int, count: int) -> None:
    for port in {variant.port for variant in variants.values()}:
        _send(load, port, variants[REPEATED].rounds[0], max(USERS, count // 4))  # to warm up
    for number in range(rounds):
        for variant in random.Random(number).sample(list(variants.values()), len(variants)):
            tokens = variant.rounds[number % len(variant.rounds)]
            requests = len(tokens) if len(variant.rounds) > 1 else count
            answer = _send(load, variant.port, tokens, requests)
            variant.cpu.append(answer["cpu"] / requests * 1e6)
            variant.rate.append(requests / answer["seconds"])


def _table(framework: str, variants: Mapping[str, _Variant]) -> Table:
    base = variants[UNPROTECTED]
    rows = {
        name: (
            statistics.median(variant.cpu),
            statistics.median(mine - theirs for mine, theirs in zip(variant.cpu, base.cpu, strict=True)),
            statistics.median(variant.rate),
            statistics.median(mine / theirs for mine, theirs in zip(variant.rate, base.rate, strict=True)),
        )
        for name, variant in variants.items()
    }
    columns = {"us CPU a request": ".1f", "added us": ".1f", "requests/s": ".0f", "x unprotected": ".3f"}
    return Table(title(framework), columns, rows, NOTE)


def _cores() -> tuple[str, str]:
    """The processors of the servers and of the load generator."""
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        return "-", "-"
    first, second, *_ = sorted(os.sched_getaffinity(0))
    return str(first), str(second)


@contextlib.contextmanager
def _servers(framework: str, environ: Mapping[str, str]) -> Iterator[dict[str, int]]:
    """The applications of a framework; yields their ports. They need not be up yet: connections wait."""
    with contextlib.ExitStack() as stack:
        ports, processes = {}, []
        for variant in VARIANTS:
            with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
                number = listener.fileno()
                command = [sys.executable, "-m", "benchmarks._serve", framework, variant, str(number), _cores()[0]]
                process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environ}, pass_fds=[number])
                stack.callback(_wait, process)
                processes.append(process)
                ports[variant] = listener.getsockname()[1]
        try:
            yield ports
        finally:
            for process in processes:
                process.terminate()


@contextlib.contextmanager
def _load_generator() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks._load"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    core = _cores()[1]
    if core != "-":
        os.sched_setaffinity(process.pid, {int(core)})
    with process:  # which closes its stdin, and so ends it
        yield process


def _send(load: subprocess.Popen[str], port: int, tokens: Sequence[str], count: int) -> dict[str, float]:
    """Make `count` requests; see `_load`.

    Raises:
        RuntimeError: the load generator gave up: a server did not answer as it has to.
    """
    assert load.stdin is not None
    assert load.stdout is not None
    job = {"port": port, "headers": HEADERS, "tokens": tokens, "count": count, "connections": CONNECTIONS}
    load.stdin.write(json.dumps(job) + "\n")
    load.stdin.flush()
    line = load.stdout.readline()
    if not line:
        raise RuntimeError("The load generator gave up")
    answer: dict[str, float] = json.loads(line)
    return answer


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
