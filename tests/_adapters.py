"""Which adapters there are: found in the source, so that a new folder is held to everything that holds for one."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import hexclave_integrations

SOURCE = Path(hexclave_integrations.__file__).parent
SHARED = {"_asgi"}
"""Folders that adapters share, and that know a framework as they do."""


def _bases(path: Path) -> set[str]:
    """The names of the classes that classes in a file derive from."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return {ast.unparse(base).rpartition(".")[2] for node in classes for base in node.bases}


def adapters(source: Path = SOURCE) -> set[str]:
    """The folders that define a subclass of `Requirement`."""
    return {path.relative_to(source).parts[0] for path in source.rglob("*/*.py") if "Requirement" in _bases(path)}


def frameworks() -> set[str]:
    """The packages from elsewhere that adapters import, by top name."""
    found: set[str] = set()
    for folder in adapters() | SHARED:
        for path in (SOURCE / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"_typeshed", "typing_extensions"}
