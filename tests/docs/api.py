"""Which public names the reference lacks: `python -m tests.docs.api` prints them, one a line.

A process of its own, since the modules for Django need settings. What Sphinx leaves out is left out here too: with
`automodule` it describes the classes and functions of `__all__` that have a docstring, and other values with a text
below their assignment in that very module.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import django
from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "hexclave_integrations"
PAGES = ROOT / "docs" / "reference" / "api"

_DIRECTIVE = re.compile(r"^\.\. (?:auto|py:)(class|exception|function|data|module):: (\S+)", re.MULTILINE)
_CURRENT = re.compile(r"^\.\. py:currentmodule:: (\S+)", re.MULTILINE)


def public_modules() -> Iterator[Any]:
    """The modules that say what is public in them, and have no underscore in their path."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") for part in parts):
            module = importlib.import_module(".".join(parts))
            if hasattr(module, "__all__"):
                yield module


def is_described_by_itself(value: Any) -> bool:
    """Whether `automodule` describes it: by its kind, not by asking it anything, which our guards refuse."""
    return (inspect.isclass(value) or inspect.isroutine(value)) and isinstance(value.__doc__, str)


def variables_with_a_text(module: Any) -> set[str]:
    """The variables of a module that have a text below their assignment there."""
    body = ast.parse(inspect.getsource(module)).body
    found = set()
    for assignment, text in pairwise(body):
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            targets = (
                assignment.targets if isinstance(assignment, ast.Assign) else [getattr(assignment, "target", None)]
            )
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def described() -> tuple[set[str], set[int]]:
    """Full names in the reference, and the identities of classes and functions, whatever name they are there by."""
    names: set[str] = set()
    identities: set[int] = set()
    for page in PAGES.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for kind, name in _DIRECTIVE.findall(text):
            if kind == "module":
                module = importlib.import_module(name)
                found = {f"{name}.{one}": getattr(module, one) for one in module.__all__}
                said = variables_with_a_text(module)
                found = {
                    full: value
                    for full, value in found.items()
                    if is_described_by_itself(value) or full.rpartition(".")[2] in said
                }
            else:
                current = _CURRENT.search(text)
                full = name if "." in name or current is None else f"{current[1]}.{name}"
                owner, _, last = full.rpartition(".")
                found = {full: getattr(importlib.import_module(owner), last)}
            names |= set(found)
            identities |= {id(value) for value in found.values() if is_described_by_itself(value)}
    return names, identities


def main() -> None:
    settings.configure(
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "hexclave_integrations.django",
            "hexclave_integrations.django.users",
        ],
        USE_TZ=True,
    )
    django.setup()
    names, identities = described()
    for module in public_modules():
        for name in module.__all__:
            value = getattr(module, name)
            if f"{module.__name__}.{name}" not in names and id(value) not in identities:
                print(f"{module.__name__}.{name}")


if __name__ == "__main__":
    main()
