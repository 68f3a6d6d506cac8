"""`make fleet`: play all phases with and without Redis, print the counts; exit with 1 where a promise was broken."""

from __future__ import annotations

import argparse
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ..chaos.__main__ import _interrupt, _say
from ..chaos._report import versions
from ._members import APPS
from ._play import ALL, SETTINGS, play
from ._report import failures, render

RESULTS = Path(__file__).with_name("RESULTS.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 is well, 1 is a broken promise, 2 is that it could not run."""
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__)
    parser.add_argument("--apps", default=",".join(APPS), help=f"two processes of each: {', '.join(APPS)}")
    parser.add_argument("--users", type=int, default=60, help="how many call")
    parser.add_argument("--seconds", type=float, default=8, help="how long a phase lasts, about")
    parser.add_argument("--only", choices=["with", "without"], help="only with Redis, or without it")
    parser.add_argument("--write", action="store_true", help=f"write the result to {RESULTS.name}")
    options = parser.parse_args(arguments)
    apps = [name for name in options.apps.split(",") for _ in range(2)]
    if not apps or not set(apps) <= set(APPS):
        parser.error(f"--apps takes {', '.join(APPS)}")
    if shutil.which("redis-server") is None:
        print("The fleet needs redis-server, which is not installed.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    tables, broken = [], []
    try:
        for has_redis in [True, False] if options.only is None else [options.only == "with"]:
            _say(f"{len(apps)} processes, {'one Redis' if has_redis else 'no Redis'}")
            run = play(ALL, apps=apps, users=options.users, seconds=options.seconds, has_redis=has_redis, say=_say)
            tables.append(render(run))
            broken += failures(run)
            print(f"\n{tables[-1]}\n", flush=True)
    except KeyboardInterrupt:
        print("Interrupted; the servers have ended.", file=sys.stderr)
        return 130
    print("\n".join(["Broken promises:", *broken]) if broken else "Every promise was kept.")
    if options.write:
        command = shlex.join(["python", "-m", "tests.fleet", *(sys.argv[1:] if arguments is None else arguments)])
        RESULTS.write_text(_page(command, tables, broken))
    return 1 if broken else 0


def _page(command: str, tables: list[str], broken: list[str]) -> str:
    verdict = "\n".join(broken) if broken else "Every promise was kept."
    tables_text = "\n\n\n".join(tables)
    settings = ", ".join(f"{name}={value}" for name, value in SETTINGS.items())
    return f"""# The last fleet run

{datetime.now(UTC):%d %b %Y}, `{command}` (`make fleet`), {versions()}.

Settings: {settings}. Calls are requests that reached Hexclave; "keys" to "users" count them by what they asked for.
What happens in a phase is in `_play.py`, which promises the counts keep in `_report.py`.

```
{tables_text}

{verdict}
```
"""


if __name__ == "__main__":
    sys.exit(main())
