"""Tell an observer, whatever it raises."""

from __future__ import annotations

import functools
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
        self.admitted = _guarded(observer.admitted, log)
        self.refused = _guarded(observer.refused, log)
        self.looked_up = _guarded(observer.looked_up, log)
        self.question_begins = _guarded(observer.question_begins, log)
        self.question_ended = _guarded(observer.question_ended, log)
        self.delivery_ended = _guarded(observer.delivery_ended, log)


def _guarded(method: Callable[P, T], log: SparingLog) -> Callable[P, T | None]:
    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # the application's code may raise anything
            # The name alone: what the text of somebody else's error holds, nobody knows.
            log.error("The observer failed in %s: %s", getattr(method, "__name__", "a method"), type(error).__name__)
            return None

    return call
