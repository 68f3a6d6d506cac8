"""The log that strangers cannot fill."""

from __future__ import annotations

import logging

import pytest

from hexclave_integrations._base import log
from hexclave_integrations._base.log import SparingLog

from ._server import Clock

LOGGER = logging.getLogger("hexclave_integrations")


def test_each_kind_is_written_once_in_its_time(caplog: pytest.LogCaptureFixture) -> None:
    """A problem that comes again is counted, and the count stands in the next record of its kind."""
    clock = Clock()
    sparing = SparingLog(LOGGER, 10, clock)
    for _ in range(5):
        sparing.warning("Hexclave could not be asked about %s: %s", "users", OSError("away"))
    sparing.error("Hexclave could not be asked about %s: %s", "API keys", "away")
    clock.advance(10)
    for _ in range(2):
        sparing.warning("Hexclave could not be asked about %s: %s", "users", "away")
    clock.advance(20)
    sparing.warning("Hexclave could not be asked about %s: %s", "API keys", "away")

    text = "Hexclave could not be asked about"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"{text} users: away"),
        ("ERROR", f"{text} API keys: away"),
        ("WARNING", f"{text} users: away (and 4 times more since this was last written)"),
        ("WARNING", f"{text} API keys: away"),
    ]
    assert {record.filename for record in caplog.records} == {"test_log.py"}


def test_kinds_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Should a text vary with what a request brings along, memory stays small nevertheless."""
    caplog.set_level("CRITICAL")
    sparing = SparingLog(LOGGER)
    for number in range(3 * log._MAX_KINDS):
        sparing.warning("problem %s", number)

    assert len(sparing._kinds) <= log._MAX_KINDS
