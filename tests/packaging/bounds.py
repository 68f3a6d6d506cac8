"""The lower bounds of `pyproject.toml` as constraints for pip: `python -m tests.packaging.bounds > FILE`."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["PYPROJECT", "lowest", "promised"]

PYPROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"


def promised(pyproject: dict[str, Any]) -> list[str]:
    """What an application may have installed: the dependencies, and those of every extra."""
    project = pyproject["project"]
    return [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]


def lowest(requirements: Iterable[str]) -> list[str]:
    """Each requirement at the oldest version that it admits, sorted: `httpx>=0.27,<1` becomes `httpx==0.27`.

    Raises:
        ValueError: one has no lower bound, or two say different things of one package.
    """
    found: dict[str, str] = {}
    for text in requirements:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        versions = [one.version for one in requirement.specifier if one.operator == ">="]
        if len(versions) != 1:
            raise ValueError(f"{text} has no lower bound")
        if found.setdefault(name, versions[0]) != versions[0]:
            raise ValueError(f"{name} has two lower bounds")
    return [f"{name}=={version}" for name, version in sorted(found.items())]


if __name__ == "__main__":
    sys.stdout.writelines(
        f"{line}\n" for line in lowest(promised(tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))))
    )
