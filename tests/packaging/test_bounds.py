"""The bounds that are promised are those that are tested."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .bounds import PYPROJECT, lowest, promised


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))


def test_lowest_versions() -> None:
    """Extras, other clauses and spelling do not matter; a package that is named twice counts once."""
    found = lowest(["Flask[async]>=3.0.3", "httpx>=0.27,<1", "fastapi<2,!=0.138.*,>=0.137", "flask>=3.0.3"])

    assert found == ["fastapi==0.137", "flask==3.0.3", "httpx==0.27"]


@pytest.mark.parametrize(
    ("requirements", "problem"),
    [
        (["httpx"], "no lower bound"),
        (["httpx<1"], "no lower bound"),
        (["httpx>0.27"], "no lower bound"),
        (["django>=5.2", "Django>=5.2.13"], "two lower bounds"),
    ],
)
def test_what_has_no_lowest_version(requirements: list[str], problem: str) -> None:
    """A promise that nobody could test is refused."""
    with pytest.raises(ValueError, match=problem):
        lowest(requirements)


def test_all_that_is_promised_has_one_lower_bound(pyproject: dict[str, Any]) -> None:
    """Every package has a bound, the same one in every extra, and no other clause shuts that version out."""
    bounds = {
        (one := Requirement(line)).name: next(iter(one.specifier)).version for line in lowest(promised(pyproject))
    }

    for requirement in map(Requirement, promised(pyproject)):
        assert requirement.specifier.contains(bounds[canonicalize_name(requirement.name)])


def test_the_tests_install_what_is_promised(pyproject: dict[str, Any]) -> None:
    """What an extra names, the tests install within the same bounds."""
    tested = {
        canonicalize_name((one := Requirement(text)).name): one for text in pyproject["dependency-groups"]["test"]
    }
    for extra in pyproject["project"]["optional-dependencies"].values():
        for requirement in map(Requirement, extra):
            assert tested[canonicalize_name(requirement.name)].specifier == requirement.specifier
