"""`jwks_file`: a small text in a file that only this user can change.

Reading never trusts the place: anything but a regular file of ours that nobody else may write is no file. Writing never
leaves half a file, whoever else writes at the same time and whenever the process ends.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from .._base import private_file

__all__ = ["FileUnusable", "KeyFile"]

# Not through a symbolic link, and without waiting for the other end of a pipe. Not every system knows all of these.
_READ: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class FileUnusable(Exception):
    """The file cannot be used or written; the text says why, and holds nothing of its contents."""


class KeyFile:
    """A text in a file.

    Args:
        path: of the file; its folder has to be there.
        max_size: how many bytes are read at most.
    """

    def __init__(self, path: str | os.PathLike[str], max_size: int) -> None:
        self._path = Path(path)
        self._max_size = max_size

    def read(self) -> str | None:
        """The text, or None where there is no file.

        Raises:
            FileUnusable: there is something else, or a file that somebody else can change.
        """
        try:
            number = os.open(self._path, _READ)
        except FileNotFoundError:
            return None
        except OSError as error:
            link = self._path.is_symlink()
            raise FileUnusable("it is a symbolic link" if link else f"it cannot be opened ({_name(error)})") from None
        try:
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode):
                raise FileUnusable("it is no regular file")
            if hasattr(os, "geteuid") and status.st_uid not in (os.geteuid(), 0):
                raise FileUnusable("it belongs to another user")
            if os.name == "posix" and status.st_mode & _OTHERS:
                raise FileUnusable("its group or everybody may write it: set its mode to 0600")
            if status.st_size > self._max_size:
                raise FileUnusable("it is too large")
            data = b""
            while chunk := os.read(number, self._max_size + 1 - len(data)):
                data += chunk
            return data.decode()
        except OSError as error:
            raise FileUnusable(f"it cannot be read ({_name(error)})") from None
        except UnicodeDecodeError:
            raise FileUnusable("it is no text") from None
        finally:
            os.close(number)

    def write(self, text: str) -> None:
        """Replace the file as a whole; nobody but this user can read or write it.

        Raises:
            FileUnusable: it cannot be written.
        """
        try:
            private_file.replace(self._path, text)
        except OSError as error:
            raise FileUnusable(_name(error)) from None


def _name(error: OSError) -> str:
    return error.strerror or type(error).__name__
