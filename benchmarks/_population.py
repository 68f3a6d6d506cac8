"""`python -m benchmarks._population SIZE COUNT...`: verify many distinct tokens in a process of its own.

`token_cache_size` is SIZE. At each COUNT of tokens it prints a JSON line: how many are remembered, by how many bytes
the process has grown since the first hundred, and what a repeated token costs, in microseconds, with up to
a thousand of the remembered ones taking turns.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import json
import subprocess
import sys
import uuid
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from hexclave_integrations import HexclaveClient
from hexclave_integrations.testing import Sandbox

from ._measure import Contender, Scale

__all__ = ["Crowd", "crowds", "steps"]

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 100
SAMPLE = 1000


@dataclasses.dataclass(frozen=True, slots=True)
class Crowd:
    """What a process was like after `count` tokens."""

    count: int
    remembered: int
    grown: int
    microseconds: float


def steps(scale: Scale) -> tuple[int, ...]:
    """The numbers of tokens at which a crowd is looked at."""
    return 1, scale.of(1000, 5), scale.of(10_000, 50), scale.of(100_000, 500)


@functools.cache  # two parts look at the same crowd
def crowds(size: int, counts: tuple[int, ...]) -> list[Crowd]:
    """Run the process; `size` is the `token_cache_size`, `counts` are ascending."""
    command = [sys.executable, "-m", "benchmarks._population", str(size), *map(str, counts)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [Crowd(**json.loads(line)) for line in done.stdout.splitlines()]


def _watch(size: int, counts: list[int]) -> Iterator[Crowd]:
    sandbox = Sandbox()
    user = sandbox.create_user(display_name="Ada Lovelace", primary_email="ada@example.com")
    client = HexclaveClient(dataclasses.replace(sandbox.config, token_cache_size=size))

    def verify_new() -> str:
        token = sandbox.token(user, 36000, claims={"sub": str(uuid.uuid4()), "refresh_token_id": str(uuid.uuid4())})
        client.verify_token(token)
        return token

    for _ in range(WARM_UP):
        verify_new()
    client._core.tokens.forget_all()
    before, seen, latest = _resident(), 0, deque[str](maxlen=min(SAMPLE, size))
    for count in counts:
        # Evenly over all that are remembered at the end, were they let in one after the other.
        step = max(1, min(count, size) // SAMPLE)
        while seen < count:
            token = verify_new()
            seen += 1
            if seen % step == 0 or count == 1:
                latest.append(token)
        grown = _resident() - before
        repeated = Contender("repeated", client.verify_token, [latest])
        for number in range(max(5, 20_000 // len(latest))):
            repeated.measure(number)
        yield Crowd(count, len(client._core.tokens), max(grown, 1), repeated.median)


def _resident() -> int:
    """Bytes of memory that this process has."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return pages * 4096


if __name__ == "__main__":
    for crowd in _watch(int(sys.argv[1]), [int(count) for count in sys.argv[2:]]):
        print(json.dumps(dataclasses.asdict(crowd)), flush=True)
