"""Which management command runs: most of them answer no requests and need no settings of Hexclave."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

__all__ = ["answers_no_requests"]

_PROGRAMS: Final = ("manage.py", "django-admin", "django-admin.py", "django-admin.exe")
_NEEDS_SETTINGS: Final = ("check", "test", "testserver", "hexclave_check")


def answers_no_requests() -> bool:
    """Whether this process is `manage.py makemigrations`, `collectstatic` or the like, as in the build of an image.

    A server, a test run, and a command that checks or serves (`check`, `test`, `runserver` and others that begin with
    `run`) are none. What cannot be told counts as none, too.
    """
    program = Path(sys.argv[0]) if sys.argv else Path()
    is_django = program.name in _PROGRAMS or program.parts[-2:] == ("django", "__main__.py")
    if not is_django or len(sys.argv) < 2:
        return False
    command = sys.argv[1]
    return not (command in _NEEDS_SETTINGS or command.startswith(("run", "-")))
