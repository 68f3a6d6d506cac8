"""One target under atheris, in a process of its own: `python -m tests.fuzz._child MODULE TARGET [arguments]`.

It ends by libFuzzer's will: 0 when the time is over, another code with a finding, whose input is left as a file.
"""

from __future__ import annotations

import importlib
import random
import sys
from typing import Any


def main(module: str, name: str, arguments: list[str]) -> None:
    """Fuzz until the time is over or a law is broken.

    Args:
        module: has `TARGETS`.
        name: of the target.
        arguments: libFuzzer's options and the folder of the corpus.
    """
    # Not a dependency of the tests, and without types: only this process needs it.
    atheris: Any = importlib.import_module("atheris")
    # Nothing of ours may have been imported before this: only what is imported in here is watched.
    with atheris.instrument_imports(include=["hexclave_integrations", "standardwebhooks"]):
        target = importlib.import_module(module).TARGETS[name]
        run = importlib.import_module("tests.fuzz._target").run

    def test_one_input(data: bytes) -> None:
        run(target, data)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        # libFuzzer's own mutations know what its watch on comparisons found; ours know the format.
        changed: bytes = target.mutate(data, rng) if rng.random() < 0.5 else atheris.Mutate(data, max_size)
        return changed[:max_size]

    atheris.Setup([sys.argv[0], *arguments], test_one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
