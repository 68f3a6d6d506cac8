"""`python -m tests.fuzz`: fuzz every target for a bounded time; a finding makes the exit code 1."""

from __future__ import annotations

import argparse
import base64
import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ._report import RESULTS, document, findings, table
from ._running import fuzz
from ._target import Finding, Target, run

__all__ = ["main"]

SECONDS = 30


def main(arguments: Sequence[str] | None = None, *, module: str = "tests.fuzz.targets") -> int:
    """Run what the command line asks for: 0 without findings, 1 with, 2 where atheris is missing.

    Args:
        module: has the targets, `TARGETS`.
    """
    targets: Mapping[str, Target] = importlib.import_module(module).TARGETS
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"for each target ({SECONDS})")
    parser.add_argument("--only", metavar="TARGET", choices=targets, action="append", help=f"of {', '.join(targets)}")
    parser.add_argument("--jobs", type=int, default=1, help="targets at once (1)")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--reproduce", metavar=("TARGET", "BASE64"), nargs=2, help="run one input, without atheris")
    options = parser.parse_args(arguments)
    if options.reproduce:
        return _reproduce(targets[options.reproduce[0]], base64.b64decode(options.reproduce[1]))
    if options.write and options.only:
        parser.error("--write needs all targets")
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: `make fuzz` installs it, or `pip install --group fuzz`.", file=sys.stderr)
        return 2
    chosen = [target for name, target in targets.items() if not options.only or name in options.only]
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(partial(fuzz, module=module, seconds=options.seconds), chosen))
    print(table(results))
    print(findings(results), end="")
    if options.write:
        RESULTS.write_text(document(results, f"python -m tests.fuzz --seconds {options.seconds} --write"))
        print(f"\nWritten to {RESULTS}")
    return 1 if any(result.findings for result in results) else 0


def _reproduce(target: Target, data: bytes) -> int:
    try:
        accepted = run(target, data)
    except Finding as broken:
        print(f"{target.name}: {broken}")
        return 1
    print(f"{target.name}: {'accepted' if accepted else 'refused'}, and no law is broken")
    return 0


if __name__ == "__main__":
    sys.exit(main())
