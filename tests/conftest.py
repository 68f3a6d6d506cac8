"""Fixtures for tests of several files; what they need is imported when one is asked for."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from ._services import Redis


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell: children would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _logging_stays() -> Iterator[None]:
    """An application, of a test or of a module, may set up logging for the whole process, as Litestar does."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    root.setLevel(logging.WARNING)
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis server that all tests share: keys have to be told apart by their names."""
    from ._services import running_redis

    with running_redis() as server:
        yield server.url


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    """A Redis server of this test's own, to stop and start."""
    from ._services import running_redis

    with running_redis() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server that all tests share, as its superuser: `postgresql://...`."""
    from ._services import running_postgres

    with running_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def sdk() -> Path:
    """A folder whose `node_modules` has Hexclave's own JavaScript clients."""
    from ._npm import installed

    return installed("sdk")
