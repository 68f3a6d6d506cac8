"""pytest plugin: the fixture `hexclave_sandbox`. Loading it costs nothing and opens no socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..testing import Sandbox

__all__ = ["hexclave_sandbox"]


@pytest.fixture
def hexclave_sandbox() -> Iterator[Sandbox]:
    """A fresh Hexclave in memory for one test. What it grants, revokes or deletes, applications notice at once."""
    from ..testing import Sandbox

    sandbox = Sandbox(tells_clients=True)
    yield sandbox
    sandbox.close()
