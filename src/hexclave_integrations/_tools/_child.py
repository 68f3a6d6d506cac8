"""Run a command, pass on to it what asks this process to end, and come back with its exit code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

__all__ = ["handling", "run_child"]

_PATIENCE: Final = 10.0
"""Seconds that a command has to end after SIGTERM, before it is killed."""


def run_child(
    command: Sequence[str], environment: Mapping[str, str], say: Callable[[str], None], stop: threading.Event
) -> int:
    """Run a command to its end.

    At a terminal it stays in the foreground, so that it can read keys, and Ctrl-C reaches it from the terminal.
    Elsewhere it gets a process group of its own, to which every signal is passed on, so that what it started
    (`npm` a server, for instance) ends too.

    Args:
        say: told why it cannot be run.
        stop: set where a signal came before there was a command to pass it on to.

    Returns:
        Its exit code; 128 and the signal's number where one ended it; 127 where it was not found, 126 where it
        cannot be run.
    """
    if stop.is_set():
        return 128 + signal.SIGTERM
    at_terminal = _is_terminal()
    try:
        child = _Child(command, environment, own_group=os.name == "posix" and not at_terminal)
    except (FileNotFoundError, NotADirectoryError):
        say(f"{command[0]}: command not found.")
        return 127
    except (OSError, ValueError) as error:
        say(f"{command[0]}: it cannot be run: {getattr(error, 'strerror', None) or 'its words are malformed'}.")
        return 126

    def pass_on(number: int, frame: FrameType | None) -> None:
        if not (at_terminal and number == signal.SIGINT):  # which the terminal sent to the command as well
            child.send(number)

    with handling(pass_on):
        if stop.is_set():  # the signal came while the command was started
            child.send(signal.SIGTERM)
        code = child.wait()
    return 128 - code if code < 0 else code


@contextmanager
def handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have the signals that ask this process to end handled for the length of the block.

    One that was ignored before stays so: `nohup` means it.
    """
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    wanted = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    for number in wanted:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in wanted.items():
            signal.signal(number, old)


class _Child:
    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, own_group: bool) -> None:
        self._own_group = own_group
        self._deadline: float | None = None
        # On Windows a name such as npm is found with its ending only where it is looked for like this.
        name = shutil.which(command[0], path=environment.get("PATH")) or command[0]
        self._process = subprocess.Popen(  # noqa: S603 - to run what was asked for is what this is for
            [name, *command[1:]] if os.name == "nt" else command,
            env=dict(environment),
            process_group=0 if own_group else None,
        )

    def send(self, number: int) -> None:
        """Pass a signal on. One that ends is followed by a kill, at once where it comes again."""
        if number != signal.SIGINT:  # which a command may use for something else
            again = self._deadline is not None
            self._deadline = time.monotonic() + (0 if again else _PATIENCE)
        self._signal(number)

    def wait(self) -> int:
        """The exit code, once it ended; what it left behind in its group is asked to end too."""
        while True:
            try:
                code = self._process.wait(0.2)
            except subprocess.TimeoutExpired:
                if self._deadline is not None and time.monotonic() >= self._deadline:
                    self._kill()
                continue
            if self._own_group:
                self._signal_group(signal.SIGTERM)
            return code

    def _signal(self, number: int) -> None:
        if self._own_group:
            self._signal_group(number)
        elif os.name == "nt":
            self._process.terminate()
        else:
            self._process.send_signal(number)

    def _signal_group(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _kill(self) -> None:
        if self._own_group:
            self._signal_group(signal.SIGKILL)
        else:
            self._process.kill()


def _is_terminal() -> bool:
    """Whether the terminal's keys, Ctrl-C among them, come to this process's group."""
    try:
        if sys.stdin is None or not sys.stdin.isatty():
            return False
        return os.name == "nt" or os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # it was closed, or is the terminal of another session
        return False
