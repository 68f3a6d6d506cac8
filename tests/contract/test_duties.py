"""Every duty of `duties.py` and `paid_duties.py`, of every adapter."""

from __future__ import annotations

import pytest

from .duties import Duty
from .frameworks import FRAMEWORKS, Framework
from .paid_duties import DUTIES


@pytest.mark.parametrize(
    ("duty", "framework"),
    [
        pytest.param(duty, framework, id=f"{duty.name}-{framework.name}")
        for duty in DUTIES
        for framework in FRAMEWORKS
        if duty.needs is None or duty.needs in framework.can
    ],
)
def test_an_adapter_does_its_duty(duty: Duty, framework: Framework) -> None:
    """What the docstring of the duty says, where the framework has what it takes."""
    duty.hold(framework)
