"""What all parts share: how large a run is, contenders that are measured in turns, and tables.

Contenders of a part are measured in rounds, each in small batches and in another order, and the median of the rounds
counts: a busy moment of the machine hits all of them alike, and is forgotten.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from hexclave_integrations import RequestRefused

__all__ = ["FULL", "QUICK", "AsyncContender", "Contender", "Scale", "Table", "compare", "interleave", "refusing"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of a full run is made.

    Args:
        share: 1 for all of it.
    """

    share: float

    def of(self, full: int, least: int = 2) -> int:
        """A number of rounds, requests or tokens on this scale."""
        return max(least, round(full * self.share))


FULL = Scale(1)
QUICK = Scale(0.1)


@dataclass
class Contender(Generic[T]):
    """Something to measure.

    Args:
        run: called with each item of a batch.
        batches: the items, one batch a round; used again when there are more rounds.

    Attributes:
        per_call: microseconds per call, one number a round.
    """

    name: str
    run: Callable[[T], Any]
    batches: Sequence[Sequence[T]]
    per_call: list[float] = field(default_factory=list)

    def measure(self, number: int) -> None:
        """Time one batch."""
        items = self.batches[number % len(self.batches)]
        self.per_call.append(self._time(items) / len(items) * 1e6)

    def _time(self, items: Sequence[T]) -> float:
        run = self.run
        begin = time.perf_counter()
        for item in items:
            run(item)
        return time.perf_counter() - begin

    @property
    def median(self) -> float:
        """Microseconds per call."""
        return statistics.median(self.per_call)


@dataclass
class AsyncContender(Contender[T]):
    """As `Contender`, awaited one after the other on the loop of `runner`."""

    run: Callable[[T], Awaitable[Any]]
    runner: asyncio.Runner = field(kw_only=True)

    def _time(self, items: Sequence[T]) -> float:
        async def timed() -> float:
            begin = time.perf_counter()
            for item in items:
                await self.run(item)
            return time.perf_counter() - begin

        return self.runner.run(timed())


def interleave(contenders: Sequence[Contender[Any]], rounds: int) -> None:
    """Measure every contender once a round, each time after another one."""
    for number in range(rounds):
        for contender in random.Random(number).sample(contenders, len(contenders)):
            contender.measure(number)


def refusing(verify: Callable[[T], Any]) -> Callable[[T], None]:
    """Measure a refusal.

    Raises:
        AssertionError: (when called) it was accepted.
    """

    def run(item: T) -> None:
        try:
            verify(item)
        except RequestRefused:
            return
        raise AssertionError("what has to be refused was accepted")

    return run


@dataclass(frozen=True, slots=True)
class Table:
    """What a part found.

    Args:
        title: unique among all tables.
        columns: how the numbers of each column are written, by its heading.
        rows: the numbers, by the name of the row.
        note: how they came about.
    """

    title: str
    columns: Mapping[str, str]
    rows: Mapping[str, Sequence[float]]
    note: str = ""

    def value(self, row: str, column: str) -> float:
        """One number.

        Raises:
            KeyError, ValueError: there is no such row or column.
        """
        return self.rows[row][list(self.columns).index(column)]

    def text(self) -> str:
        """For a terminal."""
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = (
            row[0].ljust(widths[0])
            + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
            for row in cells
        )
        return "\n".join([self.title.upper(), *lines, *([f"({self.note})"] if self.note else [])])

    def markdown(self) -> str:
        """For a document."""
        head, *body = self._cells()
        lines = [head, ["---", *("---:" for _ in self.columns)], *body]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"### {self.title}\n\n{table}\n" + (f"\n{self.note}\n" if self.note else "")

    def _cells(self) -> list[list[str]]:
        formats = self.columns.values()
        return [
            ["", *self.columns],
            *(
                [name, *(format(number, spec) for number, spec in zip(numbers, formats, strict=True))]
                for name, numbers in self.rows.items()
            ),
        ]


def compare(title: str, contenders: Sequence[Contender[Any]], baselines: Mapping[str, str], note: str = "") -> Table:
    """A table of medians, and their ratios to those of the named baselines.

    Args:
        baselines: the name of the contender, by the heading of the column.
    """
    medians = {contender.name: contender.median for contender in contenders}
    rows = {name: (us, *(us / medians[base] for base in baselines.values())) for name, us in medians.items()}
    return Table(title, {"us": ".1f", **dict.fromkeys(baselines, ".3f")}, rows, note)
