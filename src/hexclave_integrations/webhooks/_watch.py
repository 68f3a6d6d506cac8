"""One delivery, of whose end an observer is told once."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ..config import HexclaveConfig
from ..errors import RequestRefused, Unavailable, WebhookHandlerFailed, WebhookInProgress
from ..telemetry._observer import Observer, checked
from ..telemetry._telling import Telling
from ._delivery import Outcome
from ._events import KNOWN_TYPES

__all__ = ["Watch", "Watches"]


class Watch:
    """Tells of the first end that a delivery comes to; as a context manager, of a refusal inside of it.

    Args:
        telling: the observer, if there is one.

    Attributes:
        event_type: of a genuine delivery, set when it gets known.
    """

    __slots__ = ("_telling", "event_type")

    def __init__(self, telling: Telling | None) -> None:
        self._telling = telling
        self.event_type: str | None = None

    def ended(self, outcome: Outcome) -> None:
        """It was handled, now or before."""
        self._tell(outcome, None)

    def refused(self, refusal: RequestRefused) -> None:
        """It was not: the sender was told so."""
        if isinstance(refusal, Unavailable):
            outcome = "unavailable"
        elif isinstance(refusal, WebhookInProgress):
            outcome = "in progress"
        else:
            outcome = "failed" if isinstance(refusal, WebhookHandlerFailed) else "refused"
        self._tell(outcome, refusal.code)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, RequestRefused):
            self.refused(error)

    def _tell(self, outcome: str, code: str | None) -> None:
        telling, self._telling = self._telling, None
        if telling is not None:
            kind = self.event_type if self.event_type in KNOWN_TYPES else None
            telling.delivery_ended(outcome, kind, code)


class Watches:
    """Begins a watch for each delivery to an endpoint.

    Args:
        observer: of the endpoint; that of the application when None.

    Raises:
        ConfigurationError: it is no observer.
    """

    def __init__(self, observer: Observer | None) -> None:
        self._observer = checked("observer", observer)
        self._telling: Telling | None = None

    def begin(self, config: HexclaveConfig | None) -> Watch:
        """Watch a delivery.

        Args:
            config: of the application that the endpoint is in, if it has one.
        """
        observer = config.observer if self._observer is None and config is not None else self._observer
        if observer is None:
            return Watch(None)
        telling = self._telling
        if telling is None or telling.observer is not observer:
            telling = self._telling = Telling(observer)
        return Watch(telling)
