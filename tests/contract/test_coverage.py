"""No adapter is left out of the contract: a new folder needs a builder in each of its three parts."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .._adapters import SOURCE, adapters
from .apps import COLUMNS
from .frameworks import FRAMEWORKS
from .test_webhook_contract import RECEIVERS

ADAPTERS = sorted(adapters())


def test_adapters_are_found(tmp_path: Path) -> None:
    """By what they define, wherever in their folder it stands; what is no adapter has no `Requirement` of its own."""
    (tmp_path / "tornado" / "deep").mkdir(parents=True)
    (tmp_path / "tornado" / "deep" / "_guards.py").write_text("class Guard(core.Requirement, Other): ...\n")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "x.py").write_text("from requirements import Requirement\nclass A(Base[Requirement]): ...\n")

    assert adapters(tmp_path) == {"tornado"}
    assert {"django", "fastapi", "flask", "starlette"} <= set(ADAPTERS)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_table_runs_over_it(adapter: str) -> None:
    """Add a builder to `COLUMNS` in `tests/contract/apps.py` under the name of the folder."""
    assert [name for name in COLUMNS if name.split()[0] == adapter], f"{adapter} has no column in apps.py"


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_its_duties_are_held(adapter: str) -> None:
    """Add a `Framework` to `FRAMEWORKS` in `tests/contract/frameworks.py` that names the folder as its adapter."""
    assert [one for one in FRAMEWORKS if one.adapter == adapter], f"{adapter} is not in frameworks.py"


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_its_webhooks_are_held(adapter: str) -> None:
    """Add a receiver to `RECEIVERS` in `test_webhook_contract.py`, and "webhooks" to what the framework can."""
    tree = ast.parse((SOURCE / adapter / "__init__.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    if any(name.startswith("webhook_") for name in names):
        assert [name for name in RECEIVERS if name.split()[0] == adapter], f"{adapter} receives no webhooks here"
        assert [one for one in FRAMEWORKS if one.adapter == adapter and "webhooks" in one.can]
