"""The budget: what the kit aims at, which number of a run tells, and why an aim is missed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import refresh, requests, verify
from ._measure import Table

__all__ = ["AIMS", "WHY", "Aim", "verdicts"]


@dataclass(frozen=True, slots=True)
class Aim:
    """One line of the budget.

    Args:
        name: what is aimed at, with the number.
        table, row, column: where a run says how far it got.
        limit: the number aimed at.
        unit: of the number.
        is_least: whether more is better.
    """

    name: str
    table: str
    row: str
    column: str
    limit: float
    unit: str
    is_least: bool = False

    def measured(self, table: Table) -> float:
        """What a run found."""
        return table.value(self.row, self.column)

    def miss(self, table: Table) -> float:
        """By which share of the limit the aim is missed; 0 or less if it is met."""
        excess = self.measured(table) / self.limit - 1
        return -excess if self.is_least else excess


def _throughput(framework: str) -> Aim:
    return Aim(
        f"{framework}: 0.95 of the unprotected throughput, tokens repeated",
        requests.title(framework),
        requests.REPEATED,
        "x unprotected",
        0.95,
        "x",
        is_least=True,
    )


AIMS = (
    Aim("first sight of a token: 1.5 x raw", verify.TITLE, verify.FIRST_SIGHT, "x raw", 1.5, "x"),
    Aim("repeated token: 3 us, extraction included", verify.TITLE, verify.REPEATED, "us", 3, "us"),
    *(_throughput(framework) for framework in requests.FRAMEWORKS),
    Aim("rejecting garbage: 5 us", verify.TITLE, verify.GARBAGE, "us", 5, "us"),
    Aim("rejecting an unknown key: 20 us", verify.TITLE, verify.UNKNOWN_KEY, "us", 20, "us"),
    Aim(
        "no request waits for a key refresh that is not its first: 0.1 of what the key endpoint takes",
        refresh.TITLE,
        refresh.LATER,
        "x the key endpoint",
        0.1,
        "x",
    ),
)

_FIRST_SIGHT, _REPEATED, *_THROUGHPUTS, _GARBAGE, _UNKNOWN_KEY, _WAITING = AIMS
_BY_FRAMEWORK = dict(zip(requests.FRAMEWORKS, _THROUGHPUTS, strict=True))

WHY: Mapping[str, str] = {
    _FIRST_SIGHT.name: "The raw verification runs in a tight loop, with its tables and code in the processor's caches; "
    "before and after a real one other code has run, and everything costs twice what a hot loop shows. Hot, the rest "
    "is about 25 us: SHA-256, one strict parse, twenty claims held to their types, one user object.",
    _REPEATED.name: "1.1 us are SHA-256, so that no token is kept in memory, 0.9 us the look at six headers; the rest "
    "is ten calls, one for each thing that is decided. `verify_token` alone is within the aim.",
    _GARBAGE.name: "2 us are the look at the headers, 2 us raising and catching the error.",
    _UNKNOWN_KEY.name: "The audience is judged before a key is looked for, so the whole token is parsed, its header "
    "included, which only genuine tokens have remembered.",
    **{
        aim.name: {
            "FastAPI": "A request of 160 us leaves 8 for this aim. An empty dependency costs 15 to 20 by FastAPI's own "
            "doing; the rest is a layer of ASGI, the look at the headers, the judging, two more headers.",
            "Starlette": "A request of 95 us leaves 5 for this aim. The judging alone is 6 in place, a layer of ASGI, "
            "the look at the headers and two more of them the rest.",
            "Flask": "A request of 400 us leaves 20 for this aim. Each look at `request` and at `current_app` or "
            "`current_user` goes through a proxy of Flask's: 1 us hot, more in place.",
        }.get(
            framework,
            "Middleware, guard, judging, and two headers, which Django encodes and checks one by one, cost 30 us in "
            "process. Under ASGI the aim is met in one run and missed in another.",
        )
        for framework, aim in _BY_FRAMEWORK.items()
    },
}
"""Why an aim is missed, by its name; shown only where a run misses it."""


def verdicts(tables: Iterable[Table]) -> list[tuple[str, str, str, str]]:
    """Name, measured, verdict and reason of each aim that the tables say something about."""
    by_title = {table.title: table for table in tables}
    found = []
    for aim in AIMS:
        table = by_title.get(aim.table)
        if table is None:
            continue
        miss = aim.miss(table)
        verdict = "met" if miss <= 0 else f"missed by {miss:.0%}"
        why = WHY.get(aim.name, "not explained yet") if miss > 0 else ""
        found.append((aim.name, f"{aim.measured(table):.3g} {aim.unit}", verdict, why))
    return found
