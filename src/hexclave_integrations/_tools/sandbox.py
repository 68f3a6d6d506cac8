"""`hexclave sandbox` serves a Hexclave of one's own on this machine, and runs a command against it.

Exit codes: 0 ended by Ctrl-C or SIGTERM, 2 nothing was served and the message says why. With a command, the command's
own; 128 and the signal's number where one ended it, 127 where it was not found, 126 where it cannot be run.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Mapping
from types import FrameType
from typing import Final

from ._child import handling, run_child

__all__ = ["add_to"]

_COMMAND: Final = "hexclave sandbox"
_PUBLIC: Final = ("HEXCLAVE_PROJECT_ID", "HEXCLAVE_API_URL", "HEXCLAVE_PUBLISHABLE_CLIENT_KEY")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `hexclave`."""
    command = commands.add_parser(
        "sandbox",
        help="serve a Hexclave on this machine, to develop without cloud and network",
        description="Serve a Hexclave on this machine, for development: sign-in, users, teams, permissions and keys, "
        "with a page that shows and changes them. It prints the variables that lead there, one a line, for a shell or "
        "an .env file. A command after -- gets them in its environment, and ends the sandbox when it ends.",
        usage="hexclave sandbox [--port N] [--project-id UUID] [--state FILE] [--webhook-url URL] [-- COMMAND ...]",
    )
    command.set_defaults(run=_run)
    command.add_argument(
        "--port", type=_port, metavar="N", help="default: that of the state file, then 8102, or any if that is taken"
    )
    command.add_argument("--project-id", metavar="UUID", help="default: that of the state file, then a new one")
    command.add_argument(
        "--state", metavar="FILE", help="keep users, keys and sessions in this file; it holds secrets of the sandbox"
    )
    command.add_argument("--webhook-url", metavar="URL", help="deliver webhooks there")
    command.add_argument("command", nargs="*", metavar="-- COMMAND ...", help="run it, and end with it")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:9]) < 65536):
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _run(options: argparse.Namespace) -> int:
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    # From here on a signal ends the sandbox in order, however early it comes.
    with handling(end):
        return _serve(options, stop)


def _serve(options: argparse.Namespace, stop: threading.Event) -> int:
    from ..testing._local import LocalError, local_sandbox

    try:
        with local_sandbox(
            port=options.port,
            project_id=options.project_id,
            state=options.state,
            webhook_url=options.webhook_url,
            report=_say,
        ) as variables:
            _print(variables)
            _say(f"The sandbox's page: {variables['HEXCLAVE_API_URL']}/")
            if options.command:
                return run_child(options.command, _environment(os.environ, variables), _say, stop)
            _say("Ctrl-C ends it.")
            while not stop.wait(3600):  # a wait without an end cannot be interrupted on Windows
                pass
            return 0
    except LocalError as error:
        _say(str(error))
        return 2


def _environment(inherited: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of the command: the variables, and for JavaScript the public ones as it reads them too.

    Other settings of Hexclave that were there are left out: one that outranks ours would send the command, with keys of
    the sandbox, to the cloud (contract section 8).
    """
    environment = {name: value for name, value in inherited.items() if not _is_setting(name)}
    public = {f"{prefix}{name}": variables[name] for name in _PUBLIC for prefix in ("NEXT_PUBLIC_", "VITE_")}
    return environment | dict(variables) | public


def _is_setting(name: str) -> bool:
    for prefix in ("NEXT_PUBLIC_", "VITE_"):
        name = name.removeprefix(prefix)
    name = name.removeprefix("SERVER_")
    for prefix in ("HEXCLAVE_", "STACK_"):
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            return rest.startswith(("API_URL", "WEBHOOK_SECRET")) or rest in _SETTINGS
    return False


_SETTINGS: Final = frozenset(
    {
        "EXTRA_REQUEST_HEADERS",
        "ISSUER_URLS",
        "JWKS_FILE",
        "PROJECT_ID",
        "PUBLISHABLE_CLIENT_KEY",
        "SECRET_SERVER_KEY",
        "SUPER_SECRET_ADMIN_KEY",
        "URL",
    }
)


def _print(variables: Mapping[str, str]) -> None:
    """Write the variables to standard output, and nothing else: it may go into a file."""
    try:
        if sys.stdout is not None:
            sys.stdout.write("".join(f"{name}={value}\n" for name, value in variables.items()))
            sys.stdout.flush()
    except OSError:
        sys.stdout = None  # nobody reads it; nor is it tried again at exit


def _say(text: str) -> None:
    try:
        print(f"{_COMMAND}: {text}", file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = None
