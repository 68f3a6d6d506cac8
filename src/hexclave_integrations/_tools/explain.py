"""`hexclave explain` says why a token is accepted or refused, without showing it.

Exit codes: 0 accepted, 1 refused, or undecided because nobody was asked (`--offline`), 2 nothing was judged and a
message says why.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from datetime import UTC, datetime

__all__ = ["add_to"]

_LONGEST = 64 * 1024


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `hexclave`."""
    command = commands.add_parser(
        "explain",
        help="say why an access token is accepted or refused",
        description="Say why an access token is accepted or refused, with each check in its order and the verdict in "
        "the last line. The settings come from the environment (HEXCLAVE_..., STACK_...). Neither the token nor its "
        "signature is shown. Exit code 0: accepted; 1: refused or undecided; 2: nothing was judged.",
    )
    command.set_defaults(run=_run)
    command.add_argument(
        "token",
        nargs="?",
        default="-",
        help="a token, an envelope, an API key or a whole header line; - or nothing: read it from standard input, "
        "which keeps it out of the shell's history",
    )
    command.add_argument(
        "--offline", action="store_true", help="ask nobody: leave out what needs the key set, and accept nothing"
    )
    command.add_argument(
        "--at", metavar="TIME", type=_moment, help="judge as at this time: epoch seconds, or 2026-01-31T12:00:00Z"
    )
    command.add_argument("--project-id", help="default: HEXCLAVE_PROJECT_ID, then STACK_PROJECT_ID")
    command.add_argument(
        "--api-url", help="default: HEXCLAVE_API_URL, then STACK_API_URL, then https://api.hexclave.com"
    )


def _moment(text: str) -> float:
    """Epoch seconds, or a date and time of ISO 8601; UTC where it names no zone.

    Raises:
        ArgumentTypeError: it is neither.
    """
    try:
        if re.fullmatch(r"\d{1,11}(\.\d{1,6})?", text, re.ASCII):
            return float(text)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError("neither epoch seconds nor a time such as 2026-01-31T12:00:00Z") from None


def _run(options: argparse.Namespace) -> int:
    from ..client import HexclaveClient
    from ..config import HexclaveConfig
    from ..errors import ConfigurationError
    from ._explanation import explain, read

    try:
        config = HexclaveConfig.from_env(project_id=options.project_id, api_url=options.api_url)
    except ConfigurationError as error:
        return _refuse(f"{error} On this command line: --project-id, --api-url.")
    text = options.token
    if text == "-":
        if sys.stdin is None:
            return _refuse("standard input is closed.")
        if sys.stdin.isatty():
            print("Paste the token, then end the input with Ctrl-D:", file=sys.stderr)
        text = sys.stdin.buffer.read(_LONGEST + 1).decode("utf-8", "replace")
    text = text.strip()
    if not text:
        return _refuse("there is no token: give one on standard input.")
    if len(text) > _LONGEST:
        return _refuse("that is longer than any token.")
    now = time.time() if options.at is None else options.at
    line = ""
    with HexclaveClient(config, clock=lambda: now) as client:
        for line in explain(client, read(text), now, offline=options.offline):
            print(line, flush=True)
    return 0 if line.startswith("accepted: ") else 1


def _refuse(problem: str) -> int:
    print(f"hexclave explain: {problem}", file=sys.stderr)
    return 2
