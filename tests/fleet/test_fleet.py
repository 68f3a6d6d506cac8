"""A short run of the fleet, and proof that its report can say no."""

from __future__ import annotations

import dataclasses
import shutil
from typing import Any

from .._services import do_without
from ..chaos._proxy import Arrival
from ._crowd import Answer, Kind
from ._play import SHORT, Part, Run, play
from ._report import failures, render

NOW = 1_800_000_000.0


def test_a_short_run_breaks_no_promise() -> None:
    """FastAPI, Flask and Django on one Redis, through a start, strangers, a rotation, a revocation and an outage."""
    if shutil.which("redis-server") is None:
        do_without("redis-server is not installed")
    run = play(SHORT, apps=["fastapi", "flask", "django"], users=12, seconds=1.5, has_redis=True)

    assert failures(run) == [], render(run)
    assert {answer.status for answer in run.answers} == {200, 401, 403, 503}


def a_run(*answers: Answer, arrivals: tuple[str, ...] = (), name: str = "steady", **facts: Any) -> Run:
    """One phase of ten seconds."""
    part = Part(name, NOW, NOW + 10, 10.0, **facts)
    return Run(2, 10, True, [part], list(answers), [Arrival(NOW + 1, "a", what) for what in arrivals])


def answer(kind: Kind, status: int | None, **changes: Any) -> Answer:
    made = Answer(kind, "somebody", "fastapi-1", 1, 0, NOW + 5, NOW + 5.1, status)
    return dataclasses.replace(made, **changes)


def test_the_right_answers_are_right_and_no_others() -> None:
    """For each kind of caller."""
    for kind in Kind:
        for status in (200, 401, 403, 404, 500, 503, None):
            is_right = status == kind.right or (kind is Kind.REVOKED and status == 200)
            assert (failures(a_run(answer(kind, status))) == []) is is_right, (kind, status)


def test_an_outage_excuses_who_needs_hexclave() -> None:
    """Users are known all the same, and nobody is let in by it."""
    outage = (NOW, NOW + 9)
    assert failures(a_run(answer(Kind.HOLDER, 503), outage=outage)) == []
    assert failures(a_run(answer(Kind.USER, 503), outage=outage))
    assert failures(a_run(answer(Kind.OTHER, 200), outage=outage))


def test_a_flood_excuses_who_was_never_seen() -> None:
    """Whom a process has let in once, it goes on to let in; knowing a user is not knowing them in a team."""
    strangers, begun = answer(Kind.INVENTED_KEY, 503), {"begin": NOW + 1}
    name, denied = "strangers make things up", answer(Kind.HOLDER, 503)
    assert failures(a_run(strangers, denied, name=name)) == []
    assert failures(a_run(strangers, denied, answer(Kind.USER, 200, **begun), name=name)) == []
    assert failures(a_run(strangers, denied, answer(Kind.HOLDER, 200, **begun), name=name))
    assert failures(a_run(strangers, answer(Kind.USER, 503), name=name))


def test_counts_are_held_against_their_bounds() -> None:
    """Fetches, how long a revoked permission lived, a slow answer, a flood that reached Hexclave, and a log."""
    fine = answer(Kind.USER, 200)
    assert failures(a_run(fine, arrivals=("keys",), name="cold start")) == []
    assert failures(a_run(fine, arrivals=("keys",) * 2, name="cold start"))
    assert failures(a_run(fine, arrivals=("keys",), name="deploy"))
    assert failures(a_run(fine, revoked=0.9)) == []
    assert failures(a_run(fine, revoked=1.1))
    assert failures(a_run(answer(Kind.USER, 200, end=NOW + 12)))
    assert failures(a_run())
    flood = [answer(Kind.INVENTED_KEY, 503)]
    assert failures(a_run(*flood, arrivals=("API keys",) * 200, name="strangers make things up")) == []
    assert failures(a_run(*flood, arrivals=("API keys",) * 240, name="strangers make things up"))
    assert failures(a_run(fine, name="strangers make things up"))
    run = a_run(fine)
    run.complaints.append("fastapi-1 logged something")
    assert failures(run)
