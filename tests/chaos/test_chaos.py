"""A short chaos run, and proof that the oracle can say no."""

from __future__ import annotations

import dataclasses
import itertools
import time

import pytest

from hexclave_integrations.testing import Sandbox

from .._services import Redis
from ._conductor import play
from ._oracle import Bounds, Caller, Fate, History, Outcome, Stage, Ticket, verdict
from ._phases import CALM, PHASES, SETTINGS, SHORT, Phase
from ._report import failures, render

BOUNDS = Bounds(dataclasses.replace(Sandbox().config, **SETTINGS))
NOW = 1_800_000_000.0


def test_a_short_run_breaks_no_promise(own_redis: Redis) -> None:
    """FastAPI and Flask under load, while keys rotate and then everything fails at once, answer as they should."""
    begin = time.monotonic()
    run = play(SHORT, own_redis, apps=["fastapi", "flask"], requests=900)

    assert failures(run) == [], render(run)
    assert len(run.outcomes) > 300
    assert {outcome.status for outcome in run.outcomes} == {200, 401, 403, 503}
    assert time.monotonic() - begin < 60  # takes about ten


@pytest.mark.parametrize("phases", [PHASES, SHORT], ids=["all", "short"])
def test_no_stranger_spends_the_fetch_that_a_rotation_needs(phases: tuple[Phase, ...]) -> None:
    """Before each rotation comes a recovery, or a phase in which every token names a key that is known."""
    for before, phase in itertools.pairwise(phases):
        if phase.rotates:
            assert before.is_trouble or not (before.strangers or before.rotates), phase.name


def judge(
    caller: Caller,
    status: int | None,
    *,
    at: float,
    took: float = 0.01,
    phase: Phase = CALM,
    rotated: float | None = None,
    **facts: object,
) -> str | None:
    """The oracle's word on an answer `at` seconds into a phase of 100 s that followed 100 s of calm."""
    stages = [Stage(CALM, NOW - 100, NOW), Stage(phase, NOW, NOW + 100), Stage(CALM, NOW + 100, NOW + 200)]
    history = History(stages, [] if rotated is None else [NOW + rotated])
    ticket = Ticket(caller=caller, method="GET", path="/me", headers={}, **facts)  # type: ignore[arg-type]
    begin = NOW + at
    outcome = Outcome(ticket=ticket, server="fastapi-1", begin=begin, end=begin + took, status=status)
    return verdict(BOUNDS, history, outcome)


NO_KEYS = Phase(name="keys fail", seconds=100, keys=("error",))
NO_API = Phase(name="API fails", seconds=100, api=("error",))


@pytest.mark.parametrize("caller", list(Caller))
def test_the_calm_answer_is_right_and_no_other(caller: Caller) -> None:
    """While nothing is wrong, each kind of caller has one right answer."""
    assert judge(caller, caller.answer, at=50) is None
    for status in {200, 401, 403, 404, 500, 503, None} - {caller.answer}:
        assert judge(caller, status, at=50) is not None, status


@pytest.mark.parametrize("phase", [CALM, NO_KEYS, NO_API])
@pytest.mark.parametrize(
    "caller", [caller for caller in Caller if caller.answer != 200], ids=lambda caller: str(caller.name)
)
def test_nobody_gets_in_because_something_fails(caller: Caller, phase: Phase) -> None:
    """A forger, a stranger to the team or a restricted user who is let in is found, whatever fails."""
    assert judge(caller, 200, at=1, phase=phase) == "wrongly allowed"


def test_an_outage_is_no_reason_for_a_401() -> None:
    """A known user who is signed out by an outage is found; so is one who is told to come back too early."""
    assert judge(Caller.KNOWN, 401, at=1, phase=NO_KEYS) == "wrongly refused"
    assert judge(Caller.KNOWN, 503, at=1, phase=NO_KEYS) == "needlessly unavailable"
    assert judge(Caller.HOLDER, 403, at=1, phase=NO_API) == "wrongly refused"
    assert judge(Caller.HOLDER, 503, at=1, phase=NO_API) is None
    assert judge(Caller.HOLDER, 503, at=1, phase=NO_API, remembered=NOW - 0.5) == "needlessly unavailable"
    assert judge(Caller.NEW, 503, at=2, phase=NO_KEYS, rotated=1, epoch=1) is None
    assert judge(Caller.NEW, 401, at=2, phase=NO_KEYS, rotated=1, epoch=1) == "wrongly refused"


def test_bounds_end() -> None:
    """Old keys, replaced keys, expired tokens and revoked permissions let in until their bound and not after it."""
    assert judge(Caller.KNOWN, 200, at=8, phase=NO_KEYS) is None
    assert judge(Caller.KNOWN, 200, at=10, phase=NO_KEYS) == "wrongly allowed"
    assert judge(Caller.RETIRED, 200, at=3, rotated=0) is None
    assert judge(Caller.RETIRED, 200, at=4, rotated=0) == "wrongly allowed"
    assert judge(Caller.EXPIRING, 200, at=0.5, expires=NOW) is None
    assert judge(Caller.EXPIRING, 200, at=1.1, expires=NOW) == "wrongly allowed"
    revoked = Fate(revoked=NOW)
    assert judge(Caller.REVOKED_UNHEARD, 200, at=3.9, fate=revoked) is None
    assert judge(Caller.REVOKED_UNHEARD, 200, at=4.1, fate=revoked) == "wrongly allowed"
    heard = Fate(revoked=NOW, heard=NOW + 0.1)
    assert judge(Caller.REVOKED, 200, at=1, fate=heard) is None
    assert judge(Caller.REVOKED, 200, at=1.2, fate=heard) == "wrongly allowed"
    assert judge(Caller.REVOKED, 403, at=-1, fate=heard) == "wrongly refused"


def test_everything_is_well_again_in_time() -> None:
    """What is granted to a trouble is granted for a moment after its end, and no longer."""
    assert judge(Caller.HOLDER, 503, at=100 + BOUNDS.settle - 0.1, phase=NO_API) is None
    assert judge(Caller.HOLDER, 503, at=100 + BOUNDS.settle + 0.1, phase=NO_API) == "needlessly unavailable"


def test_waiting_has_an_end() -> None:
    """A known user who waits for keys is found, and whoever waits longer than all questions together may take."""
    assert judge(Caller.KNOWN, 200, at=1, took=0.9, phase=NO_KEYS) is None
    assert judge(Caller.KNOWN, 200, at=1, took=1.1, phase=NO_KEYS) == "too slow"
    assert judge(Caller.STRANGER, 503, at=1, took=2.4, phase=NO_KEYS) is None
    assert judge(Caller.STRANGER, 503, at=1, took=2.6, phase=NO_KEYS) == "too slow"
    assert judge(Caller.HOLDER, 503, at=1, took=2.6, phase=NO_API) == "too slow"
