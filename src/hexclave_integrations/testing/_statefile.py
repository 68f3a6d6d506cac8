"""The file that a sandbox's state survives a restart in: locked by one process, written whole or not at all."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from .._base import private_file

__all__ = ["Saver", "StateFile", "StateFileError"]

_KIND: Final = "hexclave-sandbox"
_FORMAT: Final = 1
_PAUSE: Final = 0.05
_SHARE: Final = 5
_RETRY: Final = 2.0


class StateFileError(Exception):
    """The file cannot be used; the message names it and says why."""


class StateFile:
    """Holds the lock of a state file from its making to `close`.

    Args:
        path: of the file; a symbolic link is followed. Beside it lies `FILE.lock`.

    Raises:
        StateFileError: another process holds it, or its folder cannot be written.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).resolve() if "\0" not in path else Path(path)
        if not path or self.path.is_dir():
            raise StateFileError(f"{path or '--state'}: this is no name of a file.")
        self._lock = self._open_lock()
        self._text: str | None = None

    def read(self) -> dict[str, Any] | None:
        """What was written last, or None where there is no file yet.

        Raises:
            StateFileError: it is no state of a sandbox, or one of a newer version.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise self.error(getattr(error, "strerror", None) or "it is no text in UTF-8") from None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise self.error("it is broken: no JSON") from None
        if not isinstance(value, dict) or value.get("kind") != _KIND:
            raise self.error("it is no state of a sandbox")
        if type(value.get("format")) is not int or value["format"] != _FORMAT:
            raise self.error("a newer version of this package wrote it" if _is_newer(value) else "it is broken")
        self._text = text
        return value

    def write(self, value: dict[str, Any]) -> bool:
        """Replace what is there, unless it is the same; whether it was replaced.

        A reader, and a machine that loses power, finds either the old state or the new one. The file is for its owner
        only: it holds private keys.

        Raises:
            OSError: it could not be written; the old one is still there.
        """
        text = json.dumps({"kind": _KIND, "format": _FORMAT} | value) + "\n"
        if text == self._text:
            return False
        private_file.replace(self.path, text)  # mode 0600
        self._text = text
        return True

    def close(self) -> None:
        """Give up the lock."""
        self._lock.close()

    def error(self, problem: str) -> StateFileError:
        """An error that names this file."""
        return StateFileError(f"{self.path}: {problem}.")

    def _open_lock(self) -> IO[bytes]:
        try:
            lock = os.fdopen(os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        except (OSError, ValueError) as error:
            raise self.error(getattr(error, "strerror", None) or "this is no name of a file") from None
        try:
            _take(lock)
        except OSError:
            lock.close()
            raise self.error("another sandbox uses it") from None
        return lock


class Saver:
    """Writes the state soon after each change, in a thread, and once more at the end.

    Args:
        state: what is to be written.
        report: told in words when writing begins to fail, and when it works again.
    """

    def __init__(self, file: StateFile, state: Callable[[], dict[str, Any]], report: Callable[[str], None]) -> None:
        self._file, self._state, self._report = file, state, report
        self._changed, self._ended = threading.Event(), threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._work, name="hexclave-sandbox-state", daemon=True)
        self._thread.start()

    def touch(self) -> None:
        """Say that something may have changed."""
        self._changed.set()

    def end(self) -> bool:
        """Write the last state; whether that worked."""
        self._ended.set()
        self._changed.set()
        self._thread.join()
        return self._save()

    def _work(self) -> None:
        while not self._ended.is_set():
            self._changed.wait()
            self._changed.clear()
            if self._ended.is_set():
                return
            began = time.monotonic()
            if self._save():
                # Changes come in crowds, and a large state holds the API up while it is copied.
                self._ended.wait(max(_PAUSE, _SHARE * (time.monotonic() - began)))
            else:
                self._changed.set()
                self._ended.wait(_RETRY)

    def _save(self) -> bool:
        try:
            self._file.write(self._state())
        except (OSError, RecursionError) as error:
            if not self._failing:
                problem = getattr(error, "strerror", None) or "something in it is nested too deeply"
                self._report(f"{self._file.path}: the state cannot be written: {problem}. It is tried again.")
            self._failing = True
            return False
        if self._failing:
            self._report(f"{self._file.path}: the state is written again.")
        self._failing = False
        return True


def _is_newer(value: dict[str, Any]) -> bool:
    number = value.get("format")
    return type(number) is int and number > _FORMAT


def _take(lock: IO[bytes]) -> None:
    """Lock a file for this process, without waiting; its end gives the lock back, whatever it dies of."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
    else:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
