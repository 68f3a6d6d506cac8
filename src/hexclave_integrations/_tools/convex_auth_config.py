"""`hexclave convex-auth-config` writes `convex/auth.config.ts`.

Exit codes: 0 done, 1 `--check` found another text, 2 nothing was done and the message says why.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from ..config import HexclaveConfig
from ..convex._config import COMMAND, is_rendered, render_auth_config
from ..errors import ConfigurationError

__all__ = ["add_to"]

_DEFAULT_OUTPUT: Final = "convex/auth.config.ts"


class _Refused(Exception):
    """Nothing was done; the message says why and what helps."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `hexclave`."""
    command = commands.add_parser(
        "convex-auth-config",
        help="write convex/auth.config.ts, so that Convex accepts the project's tokens",
        description="Write convex/auth.config.ts, so that a Convex deployment accepts the project's tokens.",
    )
    command.set_defaults(run=_run)
    command.add_argument("--project-id", help="default: HEXCLAVE_PROJECT_ID, then STACK_PROJECT_ID")
    command.add_argument(
        "--api-url", help="default: HEXCLAVE_API_URL, then STACK_API_URL, then https://api.hexclave.com"
    )
    command.add_argument("--include-restricted", action="store_true", help="let Convex accept restricted users too")
    command.add_argument(
        "--output", metavar="FILE", default=_DEFAULT_OUTPUT, help="default: %(default)s; - for standard output"
    )
    mode = command.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the file is another")
    mode.add_argument("--force", action="store_true", help="overwrite a file that this command did not write")


def _run(options: argparse.Namespace) -> int:
    try:
        return _write(options)
    except ConfigurationError as error:
        problem = f"{error} On this command line: --project-id, --api-url."
    except _Refused as error:
        problem = str(error)
    except (OSError, ValueError) as error:  # a name with NUL is a ValueError
        problem = f"{options.output or repr('')}: {getattr(error, 'strerror', None) or 'this is no name of a file'}."
        if options.output == "-":
            sys.stdout = None  # nor is it tried again at exit
    print(f"{COMMAND}: {problem}", file=sys.stderr)
    return 2


def _write(options: argparse.Namespace) -> int:
    # No other setting is looked at: a wrong one is no reason not to write this file.
    environ = {name: value for name, value in os.environ.items() if name.endswith(("_PROJECT_ID", "_API_URL"))}
    config = HexclaveConfig.from_env(environ, project_id=options.project_id, api_url=options.api_url)
    text = render_auth_config(config.project_id, config.api_url, options.include_restricted)
    if options.output == "-":
        if options.check:
            raise _Refused("--check needs a file: leave out --output -, or name one.")
        if sys.stdout is None:
            raise _Refused("standard output is closed.")
        sys.stdout.write(text)
        sys.stdout.flush()  # so that a full disk is told here, and not at exit
        return 0
    path = Path(options.output)
    found = _read(path)
    if found == text:
        _say(f"{path} is up to date.")
        return 0
    if options.check:
        state = "does not exist" if found is None else "is not what this command writes"
        again = "without --check" if found is None or is_rendered(found) else "with --force instead of --check"
        print(f"{COMMAND}: {path} {state}: run the command again {again}.", file=sys.stderr)
        return 1
    if found is not None and not options.force and not is_rendered(found):
        raise _Refused(f"{path} was written or edited by hand: --force overwrites it, --output - shows the new text.")
    if not path.parent.is_dir():
        raise _Refused(f"There is no folder {path.parent}: run this in the Convex project, or name a file by --output.")
    path.write_text(text, encoding="utf-8", newline="\n")
    _say(f"Wrote {path}. `npx convex dev` or `npx convex deploy` puts it into force.")
    return 0


def _say(text: str) -> None:
    """Tell how it went. What was done stays done where nobody listens, or where a name cannot be shown."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError:
        sys.stdout = None  # nor is it tried again at exit


def _read(path: Path) -> str | None:
    """A file's text, whatever its line ends, or None if it does not exist."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
