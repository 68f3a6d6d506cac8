"""Every row through every column; a new adapter is one builder in `apps.py` and inherits it all."""

from __future__ import annotations

import pytest

from .apps import COLUMNS, Build
from .table import ROWS, Row, World


@pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in COLUMNS.items()])
@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_same_request_same_answer(row: Row, build: Build) -> None:
    """An adapter answers as the table says: status, body and the headers that protect caches and clients."""
    world = World()
    if row.starts_in_outage:
        world.sandbox.outage()
    with build(world.sandbox.config) as ask:
        for number, (path, headers, expected) in enumerate(row.steps(world), 1):
            answer = ask(path, headers)
            where = f"step {number}: {path}"

            assert (where, expected.status, expected.body) == (where, answer.status, answer.body)
            for name, value in expected.headers.items():
                assert (where, name, value) == (where, name, answer.headers.get(name))
            if expected.headers:
                unexpected = answer.headers.keys() - expected.headers.keys() - {"vary"}
                assert unexpected == set(), f"{where}: {unexpected}"
