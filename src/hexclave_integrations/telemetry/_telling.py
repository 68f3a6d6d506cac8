"""Tell an observer, whatever it raises."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from .._base.log import SparingLog
from ._observer import Observer

__all__ = ["Telling"]

P = ParamSpec("P")
T = TypeVar("T")


class Telling:
    """The methods of an observer, none of which raises: an answer does not depend on who watches.

    Args:
        observer: the application's.
    """

    def __init__(self, observer: Observer) -> None:
        log = SparingLog(logging.getLogger("hexclave_integrations"))
        self.observer = observer
        self.admitted = _guarded("admitted", observer.admitted, log)
        self.refused = _guarded("refused", observer.refused, log)
        self.looked_up = _guarded("looked_up", observer.looked_up, log)
        self.question_begins = _guarded("question_begins", observer.question_begins, log)
        self.question_ended = _guarded("question_ended", observer.question_ended, log)
        self.delivery_ended = _guarded("delivery_ended", observer.delivery_ended, log)


def _guarded(name: str, method: Callable[P, T], log: SparingLog) -> Callable[P, T | None]:
    def call(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # the application's code may raise anything
            # The name alone: what the text of somebody else's error holds, nobody knows.
            log.error("The observer failed in %s: %s", name, type(error).__name__)
            return None

    return call
