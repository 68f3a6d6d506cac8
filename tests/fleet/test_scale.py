"""`docs/scale.md` says what its formulas give, and the formulas say what was measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ._crowd import Kind
from ._model import questions, table
from ._play import _RATE, SETTINGS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
RESULTS = Path(__file__).with_name("RESULTS.md").read_text()
TOTAL = sum(kind.weight for kind in Kind)


def test_the_page_has_the_table() -> None:
    """Every row, as the formulas give it."""
    text = PAGE.read_text()
    for row in table():
        assert f"| {' | '.join(row)} |" in text


def steady(title: str) -> dict[str, float]:
    """What was counted while nothing happened, a second."""
    part = RESULTS[RESULTS.index(title) :]
    head = re.split(r"  +", next(line for line in part.splitlines() if line.startswith("phase ")))
    row = re.split(r"  +", next(line for line in part.splitlines() if line.startswith("steady ")))
    found = dict(zip(head, row, strict=True))
    return {what: float(found[what]) / float(found["s"]) for what in ("permissions", "API keys")}


@pytest.mark.parametrize("has_redis", [True, False], ids=["with Redis", "without Redis"])
def test_the_formulas_agree_with_the_run(has_redis: bool) -> None:
    """Within a third: some dozens of questions were counted."""
    processes, users = 8, 60
    measured = steady(f"{processes} processes, {users} users, {'one Redis' if has_redis else 'no Redis'}")

    def expected(who: int, kind: Kind, ttl: str) -> float:
        pace = _RATE * kind.weight / TOTAL / who
        return questions(who, pace, SETTINGS[ttl], processes, has_redis=has_redis)

    permissions = expected(users, Kind.HOLDER, "permission_ttl") + expected(users // 10, Kind.OTHER, "permission_ttl")
    keys = expected(users // 10, Kind.MACHINE, "api_key_ttl")
    assert measured["permissions"] == pytest.approx(permissions, rel=0.34)
    assert measured["API keys"] == pytest.approx(keys, rel=0.34)
