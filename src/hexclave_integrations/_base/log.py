"""A log that strangers cannot fill: each kind of problem is written at most once in some seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .fork import ForkAware

__all__ = ["SparingLog"]

_MAX_KINDS: Final = 256


@dataclass(slots=True)
class _Kind:
    """A problem that was written down at a moment, and how often it came again since."""

    written_at: float
    left_out: int = 0


class SparingLog(ForkAware):
    """Writes each kind of problem at most once in `seconds`; the next record says how many were left out.

    A kind is a text with its arguments, which therefore must be few: names of problems, and nothing that a request
    brings along.

    Args:
        logger: where to write.
        seconds: how long a kind is not written again.
        clock: gives seconds.
    """

    def __init__(
        self, logger: logging.Logger, seconds: float = 10, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._logger = logger
        self._seconds = seconds
        self._clock = clock
        self._kinds: dict[tuple[object, ...], _Kind] = {}

    def warning(self, text: str, *arguments: object) -> None:
        """Write at WARNING; arguments as for `logging`."""
        self._write(logging.WARNING, text, arguments)

    def error(self, text: str, *arguments: object) -> None:
        """Write at ERROR; arguments as for `logging`."""
        self._write(logging.ERROR, text, arguments)

    def _write(self, level: int, text: str, arguments: tuple[object, ...]) -> None:
        # As texts: an exception among the arguments is another object each time, and holds its frames.
        named = tuple(str(argument) for argument in arguments)
        now, left_out = self._clock(), 0
        with self._lock:
            known = self._kinds.get((text, *named))
            if known is not None:
                if now - known.written_at < self._seconds:
                    known.left_out += 1
                    return
                left_out = known.left_out
            elif len(self._kinds) >= _MAX_KINDS:
                self._kinds.clear()
            self._kinds[text, *named] = _Kind(now)
        if left_out:
            text, named = text + " (and %s times more since this was last written)", (*named, str(left_out))
        self._logger.log(level, text, *named, stacklevel=3)
