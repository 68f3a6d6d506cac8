"""The console command `hexclave`. Each of its commands is a module beside this one, with `add_to`.

A command's exit code: 0 done, 1 what was looked at is not as it should be, 2 nothing was done and a message says why.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from .._version import __version__
from . import check, convex_auth_config, explain, login, routes, sandbox

__all__ = ["main"]

_COMMANDS = (check, explain, routes, login, convex_auth_config, sandbox)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    Args:
        arguments: the words after `hexclave`; those of this process when None.
    """
    parser = argparse.ArgumentParser(prog="hexclave", description="Tools for Hexclave in Python projects.")
    parser.add_argument("--version", action="version", version=f"hexclave-integrations {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    for command in _COMMANDS:
        command.add_to(commands)
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)
