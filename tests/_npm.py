"""npm packages for tests, of the versions in a lock file; installed once and kept outside of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from examples.demo.npm import CannotInstall, install

from ._services import do_without

_DATA: Final = Path(__file__).parent / "data"


def installed(name: str) -> Path:
    """A folder whose `node_modules` has what `tests/data/NAME` asks for; without npm the test is skipped."""
    try:
        return install(_DATA / name)
    except CannotInstall as error:
        do_without(str(error))
