"""`python -m benchmarks`: measure everything on this machine, print it, and hold it against the budget."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence

from ._measure import FULL, QUICK, Table
from ._report import RESULTS, machine, render, summary

__all__ = ["PARTS", "main"]

PARTS = (
    "verify",
    "telemetry",
    "refresh",
    "inside",
    "requests",
    "permissions",
    "webhooks",
    "imports",
    "memory",
    "growth",
    "timing",
)
SLOW = ("instructions",)
"""Parts that run only if they are asked for by name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts, one after the other: 0 even where an aim is missed, since a machine may be busy."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", metavar="NAME", choices=(*PARTS, *SLOW), help=f"one part: {', '.join((*PARTS, *SLOW))}"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args(arguments)
    if options.write and options.only:
        parser.error("--write needs all parts")
    for name, text in machine():
        print(f"{name}: {text}")
    tables: list[Table] = []
    for name in [options.only] if options.only else PARTS:
        begin = time.monotonic()
        part = importlib.import_module(f"{__package__}.{name}")
        found: list[Table] = part.tables(QUICK if options.quick else FULL)
        for table in found:
            print(f"\n{table.text()}", flush=True)
        print(f"[{name}: {time.monotonic() - begin:.0f} s]", file=sys.stderr, flush=True)
        tables += found
    print(f"\n{summary(tables)}")
    if options.write:
        command = " ".join(["python -m benchmarks", *(["--quick"] if options.quick else []), "--write"])
        RESULTS.write_text(render(tables, command))
        print(f"\nWritten to {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
