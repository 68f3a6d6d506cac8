"""What one request costs without a server: unprotected, behind the floor, behind the kit, behind the snippet.

The applications of a framework are called in turns, a process each; CPU time is counted, by each process itself. The
floor is what `_ideal.py` says. `x raw` is what the kit adds above it, in raw ES256 verifications of the same run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from hexclave_integrations.testing import Sandbox

from ._apps import ASGI, IDEAL, KIT, VARIANTS, WSGI
from ._measure import Contender, Scale, Table

__all__ = ["FRAMEWORKS", "TITLE", "environment", "tables", "tokens"]

ROOT = Path(__file__).resolve().parents[1]
FRAMEWORKS = (*ASGI, *WSGI)
ROUNDS = 15
REQUESTS = 400
USERS = 8
TITLE = "One request without a server"
NOTE = (
    "Microseconds of CPU: the least of the rounds, in which all take turns. `x raw` is what the kit costs above the "
    "floor, which is written by hand into the application; the unit is a raw ES256 verification of the same run."
)
COLUMNS = {
    "unprotected": ".1f",
    "floor": ".1f",
    "kit": ".1f",
    "snippet": ".1f",
    "kit over floor": ".1f",
    "x raw": ".3f",
}


def tables(scale: Scale, frameworks: Sequence[str] = FRAMEWORKS) -> list[Table]:
    """Measure."""
    sandbox = Sandbox()
    with sandbox.serve() as url:
        environ, given = environment(sandbox, url), tokens(sandbox)
        rows, raw = {}, _raw(scale.of(ROUNDS))
        for framework in frameworks:
            took = _measure(framework, environ, given, scale.of(ROUNDS), scale.of(REQUESTS, 10))
            over = took[KIT] - took[IDEAL]
            rows[framework] = (*(took[variant] for variant in VARIANTS), over, over / raw)
    return [Table(TITLE, COLUMNS, rows, NOTE)]


def environment(sandbox: Sandbox, url: str) -> dict[str, str]:
    """The settings of a sandbox as environment variables, for the kit, the floor and the snippet."""
    return {
        **os.environ,
        "HEXCLAVE_API_URL": url,
        "HEXCLAVE_PROJECT_ID": sandbox.config.project_id,
        "HEXCLAVE_SECRET_SERVER_KEY": sandbox.config.secret_server_key or "",
    }


def tokens(sandbox: Sandbox) -> str:
    """The line that `_inside` reads first."""
    made = [sandbox.token(sandbox.create_user(display_name="Ada Lovelace"), 3600) for _ in range(USERS)]
    return json.dumps(made) + "\n"


def _measure(framework: str, environ: Mapping[str, str], given: str, rounds: int, count: int) -> dict[str, float]:
    processes = {}
    try:
        for variant in VARIANTS:
            command = [sys.executable, "-m", "benchmarks._inside", framework, variant]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            processes[variant] = subprocess.Popen(command, cwd=ROOT, env={**environ}, text=True, **pipes)  # type: ignore[call-overload]  # a mapping of options
            _say(processes[variant], given)
        spent: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        for _ in range(rounds):
            for variant, process in processes.items():
                _say(process, f"{count}\n")
                spent[variant].append(float(process.stdout.readline()))
    finally:
        for process in processes.values():
            process.stdin.close()
            process.wait(30)
            process.stdout.close()
    return {variant: min(numbers) for variant, numbers in spent.items()}


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def _raw(rounds: int) -> float:
    """Microseconds of one raw ES256 verification."""
    key = ec.generate_private_key(ec.SECP256R1())
    algorithm, public, data = ec.ECDSA(hashes.SHA256()), key.public_key(), b"x" * 700
    signature = key.sign(data, algorithm)
    contender = Contender("raw", lambda _: public.verify(signature, data, algorithm), [range(50)])
    for number in range(rounds):
        contender.measure(number)
    return min(contender.per_call)
