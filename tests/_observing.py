"""Observers for tests: one that keeps what it is told, and one that fails."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any, NoReturn

from hexclave_integrations.telemetry import Observer

__all__ = ["Failing", "Recorder"]


class Recorder(Observer):
    """Keeps what it is told.

    Attributes:
        admissions, refusals, lookups, deliveries: how often each was told.
        questions: kind, status and failure of each, in the order of their ends.
        seconds: how long each took.
        under_way: the questions that have begun and not ended.
    """

    def __init__(self) -> None:
        self.admissions: Counter[tuple[str, str]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.lookups: Counter[tuple[str, str, bool]] = Counter()
        self.deliveries: Counter[tuple[str, str | None, str | None]] = Counter()
        self.questions: list[tuple[str, int | None, str | None]] = []
        self.seconds: list[float] = []
        self.under_way: dict[int, str] = {}
        self._numbers = itertools.count()

    def admitted(self, scope: str, principal: str) -> None:
        self.admissions[scope, principal] += 1

    def refused(self, code: str) -> None:
        self.refusals[code] += 1

    def looked_up(self, cache: str, location: str, is_hit: bool) -> None:
        self.lookups[cache, location, is_hit] += 1

    def question_begins(self, kind: str) -> int:
        number = next(self._numbers)
        self.under_way[number] = kind
        return number

    def question_ended(self, begun: Any, kind: str, seconds: float, status: int | None, failure: str | None) -> None:
        assert self.under_way.pop(begun) == kind
        self.questions.append((kind, status, failure))
        self.seconds.append(seconds)

    def delivery_ended(self, outcome: str, event_type: str | None, code: str | None) -> None:
        self.deliveries[outcome, event_type, code] += 1

    def told(self) -> str:
        """All of it as one text."""
        return repr(vars(self))


class Failing(Observer):
    """Raises whatever it is told; counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def admitted(self, scope: str, principal: str) -> None:
        self._fail(scope, principal)

    def refused(self, code: str) -> None:
        self._fail(code)

    def looked_up(self, cache: str, location: str, is_hit: bool) -> None:
        self._fail(cache, location, is_hit)

    def question_begins(self, kind: str) -> object:
        self._fail(kind)

    def question_ended(self, begun: Any, kind: str, seconds: float, status: int | None, failure: str | None) -> None:
        self._fail(begun, kind, seconds, status, failure)

    def delivery_ended(self, outcome: str, event_type: str | None, code: str | None) -> None:
        self._fail(outcome, event_type, code)

    def _fail(self, *arguments: object) -> NoReturn:
        self.calls += 1
        raise RuntimeError(f"told of {arguments}")
