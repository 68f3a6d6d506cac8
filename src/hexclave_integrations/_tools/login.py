"""`hexclave login` signs a person in with their browser and keeps their refresh token.

Exit codes: 0 done, 2 nobody was signed in and a message says why, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys

__all__ = ["add_to"]

_INTERRUPTED = 130


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those of `hexclave`."""
    command = commands.add_parser(
        "login",
        help="sign in with a browser, and keep the refresh token in a file",
        description="Sign in with a browser, and keep the refresh token in a file that only its owner may read. The "
        "token is printed only if that is asked for, with --output -, which is meant for $(...).",
    )
    command.set_defaults(run=_run)
    command.add_argument("--app-url", help="whose pages people sign in at; default: HEXCLAVE_APP_URL")
    command.add_argument("--project-id", help="default: HEXCLAVE_PROJECT_ID, then STACK_PROJECT_ID")
    command.add_argument(
        "--api-url", help="default: HEXCLAVE_API_URL, then STACK_API_URL, then https://api.hexclave.com"
    )
    command.add_argument("--no-browser", action="store_true", help="print the address, and open no browser")
    command.add_argument("--timeout", type=float, metavar="SECONDS", default=600, help="default: %(default)s")
    command.add_argument(
        "--output", metavar="FILE", required=True, help="where the refresh token is kept; - for standard output"
    )


def _run(options: argparse.Namespace) -> int:
    from ..cli_login import open_link, print_link, prompt_cli_login
    from ..errors import HexclaveError, RequestRefused

    is_printed = options.output == "-"
    try:
        prompt_cli_login(
            app_url=options.app_url,
            project_id=options.project_id,
            api_url=options.api_url,
            keep=_print if is_printed else options.output,
            expires_in=options.timeout,
            prompt_link=print_link if options.no_browser else open_link,
        )
    except KeyboardInterrupt:
        print("hexclave login: interrupted; nobody was signed in.", file=sys.stderr)
        return _INTERRUPTED
    except HexclaveError as error:
        problem = error.reason if isinstance(error, RequestRefused) else str(error)
    except OSError as error:
        problem = f"the refresh token could not be written: {error.strerror}."
        if is_printed:
            sys.stdout = None  # nor is it tried again at exit
    else:
        if not is_printed:
            print(f"Signed in; the refresh token is in {options.output}.", file=sys.stderr)
        return 0
    print(f"hexclave login: {problem}", file=sys.stderr)
    return 2


def _print(token: str) -> None:
    print(token, flush=True)
