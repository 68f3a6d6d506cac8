"""SECURITY.md names a test for each defence: they exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REFERENCES = sorted(set(re.findall(r"`(tests/[^`\s]+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))))


def names_in(path: Path) -> set[str]:
    """The tests of a file, as pytest names them."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


@pytest.mark.parametrize("reference", REFERENCES)
def test_the_named_test_exists(reference: str) -> None:
    """A defence without a test is a claim."""
    name, _, test = reference.partition("::")
    path = ROOT / name

    assert path.is_file() if test else path.exists()
    assert not test or test in names_in(path)


def test_every_defence_names_a_test() -> None:
    """Each row of the tables of defences ends with what shows it."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    defences = text[text.index("## Defences") : text.index("## What is not defended")]
    rows = [line for line in defences.splitlines() if line.startswith("| ") and not line.startswith("| threat")]

    assert len(rows) > 20
    assert [row for row in rows if "`tests/" not in row.split(" | ")[-1]] == []
