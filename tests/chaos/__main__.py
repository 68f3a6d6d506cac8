"""`make chaos`: play all phases, print the timeline and the counts; exit with 1 where a promise was broken."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hexclave_integrations.testing import Sandbox

from .._services import running_redis
from ._conductor import length, play
from ._oracle import Bounds
from ._phases import PHASES, SETTINGS, Phase
from ._report import failures, render, versions
from ._servers import APPS

RESULTS = Path(__file__).with_name("RESULTS.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 is well, 1 is a broken promise, 2 is that it could not run."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--apps", default="fastapi,flask", help=f"two processes of each: {', '.join(APPS)}")
    parser.add_argument("--requests", type=int, default=20_000, help="how many at most")
    parser.add_argument("--seconds", type=float, help="how long about, recoveries included")
    parser.add_argument("--write", action="store_true", help=f"write the result to {RESULTS.name}")
    options = parser.parse_args(arguments)
    apps = [name for name in options.apps.split(",") for _ in range(2)]
    if not apps or not set(apps) <= set(APPS):
        parser.error(f"--apps takes {', '.join(APPS)}")
    if shutil.which("redis-server") is None:
        print("The chaos run needs redis-server, which is not installed.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _interrupt)  # so that whoever ends us ends the servers too
    try:
        with running_redis() as redis:
            run = play(_stretched(options.seconds), redis, apps=apps, requests=options.requests, say=_say)
    except KeyboardInterrupt:
        print("Interrupted; the servers have ended.", file=sys.stderr)
        return 130
    tables, broken = render(run), failures(run)
    print(f"\n{tables}\n")
    print("\n".join(["Broken promises, the first ones:", *broken]) if broken else "Every promise was kept.")
    if options.write:
        command = shlex.join(["python", "-m", "tests.chaos", *(sys.argv[1:] if arguments is None else arguments)])
        RESULTS.write_text(_page(command, tables, broken))
    return 1 if broken else 0


def _stretched(seconds: float | None) -> list[Phase]:
    """The phases, those of free length stretched or shortened so that the whole takes about so long."""
    if seconds is None:
        return list(PHASES)
    fixed = sum(phase.seconds for phase in PHASES if phase.fixed)
    free = sum(phase.seconds for phase in PHASES if not phase.fixed)
    rests = length(PHASES, Bounds(dataclasses.replace(Sandbox().config, **SETTINGS))) - fixed - free
    factor = max(0.5, (seconds - fixed - rests) / free)
    return [phase if phase.fixed else phase.lasting(phase.seconds * factor) for phase in PHASES]


def _page(command: str, tables: str, broken: list[str]) -> str:
    verdict = "\n".join(broken) if broken else "Every promise was kept."
    return f"""# The last chaos run

{datetime.now(UTC):%d %b %Y}, `{command}` (`make chaos`), {versions()}.

What goes wrong is in `_phases.py`, which answers are right then, and why, in `_oracle.py`. A phase's row holds the
requests that began in it; "recovery" is the time between phases.

```
{tables}

{verdict}
```
"""


def _say(text: str) -> None:
    print(text, flush=True)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
