"""A file for its owner alone, replaced as a whole: readers, and a loss of power, find the old text or the new one."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["check_writable", "replace"]


def replace(path: Path, text: str) -> None:
    """Write a text with mode 0600, in place of the file that is there.

    Args:
        path: of the file, without symbolic links that are to be followed.
        text: what it is to hold, in UTF-8.

    Raises:
        OSError: it could not be written; the old file is still there.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(path.parent)


def check_writable(path: Path) -> None:
    """Find out beforehand whether `replace` can work.

    Raises:
        OSError: it cannot.
        ValueError: this is no name of a file.
    """
    if path.is_dir():
        raise IsADirectoryError("this is a folder")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    os.unlink(name)


def _sync_folder(folder: Path) -> None:
    """Let the new name survive a loss of power, where the system can promise that."""
    with suppress(OSError):  # no folder can be opened on Windows
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
