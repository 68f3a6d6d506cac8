"""Citations of the wire contract lead somewhere: `docs/contract.md` has what they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = ROOT / "docs" / "contract.md"
# Between the words there may be a line's end and the next comment's mark.
_GAP = r"[\s#]+"
_CITED = re.compile(
    rf"\bcontract{_GAP}(?:sections?{_GAP})?(\d+(?:\.\d+)?(?:(?:,{_GAP}|{_GAP}and{_GAP})\d+(?:\.\d+)?)*)"
)
_STEP = re.compile(rf"\bcontract{_GAP}(\d+\.\d+),{_GAP}step{_GAP}(\d+)")
_ELSEWHERE = re.compile(rf"\bdesign,?{_GAP}(?:sections?{_GAP})?\d")


def texts() -> dict[str, str]:
    """What people read in the repository, by path."""
    paths = [path for folder in ("src", "tests", "examples", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    paths += [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/*.md")]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def places(contract: str) -> set[str]:
    """What can be cited: the numbers of headings, and of the items below them, joined with a dot."""
    found: set[str] = set()
    section = ""
    for line in contract.splitlines():
        if heading := re.match(r"#{2,3} (\d+(?:\.\d+)?)\.? ", line):
            section = heading[1]
            found.add(section)
        elif item := re.match(r"(\d+)\. ", line):
            found.add(f"{section}.{item[1]}")
    return found


def cited(text: str) -> set[str]:
    """The numbers that a text cites, each as `places` has it."""
    numbers = {number for match in _CITED.finditer(text) for number in re.findall(r"\d+(?:\.\d+)?", match[1])}
    return numbers | {f"{match[1]}.{match[2]}" for match in _STEP.finditer(text)}


def test_every_citation_has_its_place() -> None:
    """Whoever follows a citation finds a heading or a numbered item."""
    known = places(CONTRACT.read_text(encoding="utf-8"))
    found = {(path, number) for path, text in texts().items() for number in cited(text)}

    assert len(found) > 80
    assert {(path, number) for path, number in found if number not in known} == set()


def test_nothing_cites_what_is_not_here() -> None:
    """A document that is not in the repository is no reference."""
    assert [path for path, text in texts().items() if _ELSEWHERE.search(text)] == []


def test_sections_are_numbered_without_gap_or_repetition() -> None:
    """A number means one place, and removing a section does not go unnoticed."""
    text = CONTRACT.read_text(encoding="utf-8")
    numbers = re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\.? ", text, re.MULTILINE)
    top = [int(number) for number in numbers if "." not in number]

    assert top == list(range(12))
    assert len(set(numbers)) == len(numbers)
    assert len([number for number in places(text) if number.startswith("9.")]) == 25


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param("(contract 4.3)", {"4.3"}, id="number"),
        pytest.param("(contract section 2, JWKS)", {"2"}, id="section"),
        pytest.param("(contract 9.3 and 4.4).", {"9.3", "4.4"}, id="two"),
        pytest.param("contract 4.1, 4.2, 4.8)", {"4.1", "4.2", "4.8"}, id="several"),
        pytest.param("(contract\n    # section 6)", {"6"}, id="over two lines"),
        pytest.param("(contract 3.4, step 4)", {"3.4", "3.4.4"}, id="step"),
        pytest.param("tests/contract/table.py", set(), id="none"),
    ],
)
def test_citations_are_recognized(text: str, numbers: set[str]) -> None:
    """In each form in which comments and docstrings cite."""
    assert cited(text) == numbers
