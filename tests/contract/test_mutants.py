"""The duties notice: for each careless adapter of `paid_mutants.py`, which has all, those named there and no others."""

from __future__ import annotations

import pytest

from .mutants import Mutant
from .paid_duties import DUTIES
from .paid_mutants import MUTANTS


@pytest.mark.parametrize("mutant", [pytest.param(one, id=one.name) for one in MUTANTS])
def test_a_careless_adapter_is_noticed(mutant: Mutant) -> None:
    """By the duties that are about what it is careless with."""
    failed = set()
    for duty in DUTIES:
        if duty.needs is None or duty.needs in mutant.framework.can:
            try:
                duty.hold(mutant.framework)
            except AssertionError:
                failed.add(duty.name)

    assert failed == mutant.noticed_by


def test_each_duty_notices_something() -> None:
    """A duty that no careless adapter fails holds nobody to anything; those named here are shown by others."""
    others = {
        "options_that_nobody_wrote_run_no_view",  # the framework's own answer, which no adapter gives
        "a_websocket_of_a_user_is_accepted",  # what keeps the duties about refusals from passing for everything closed
    }

    assert {duty.name for duty in DUTIES} - {name for mutant in MUTANTS for name in mutant.noticed_by} == others
