"""npm packages for tests, of the versions in a lock file; installed once and kept outside of the repository."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from examples.demo.npm import CannotInstall, install

from ._services import do_without

_DATA: Final = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def sdk() -> Path:
    """A folder whose `node_modules` has Hexclave's JavaScript clients; without npm the test is skipped."""
    try:
        return install(_DATA / "sdk")
    except CannotInstall as error:
        do_without(str(error))
