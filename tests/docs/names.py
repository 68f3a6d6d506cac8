"""Says which public names the built documentation does not describe: `python -m tests.docs.names OBJECTS.INV`."""

from __future__ import annotations

import ast
import re
import sys
import zlib
from pathlib import Path

from hexclave_integrations import requirements

__all__ = ["missing"]

SOURCE = Path(__file__).resolve().parents[2] / "src"


def public_names() -> set[str]:
    """What `__all__` has in each module without an underscore, by its whole name; what is imported again, once."""
    found: dict[str, set[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if any(part.startswith("_") and part != "__init__" for part in parts):
            continue
        exports = re.search(r"^__all__ = (\[.*?\])", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        if exports:
            found[".".join(part for part in parts if part != "__init__")] = set(ast.literal_eval(exports[1]))
    # The package itself is for shorter imports; the adapters' requirements are described once, with all of them.
    found["hexclave_integrations"] -= {name for module, names in found.items() if module.count(".") for name in names}
    for module, names in found.items():
        if module != "hexclave_integrations.requirements":
            names -= set(requirements.__all__)
    return {f"{module}.{name}" for module, names in found.items() for name in names}


def missing(inventory: bytes) -> set[str]:
    """The public names that an inventory of Sphinx lacks.

    Args:
        inventory: the content of `objects.inv`.
    """
    lines = zlib.decompress(inventory.split(b"\n", 4)[4]).decode().splitlines()
    return public_names() - {line.split(" ")[0] for line in lines if " py:" in line}


if __name__ == "__main__":
    lacking = missing(Path(sys.argv[1]).read_bytes())
    for name in sorted(lacking):
        print(f"docs/reference/api does not describe {name}")
    sys.exit(bool(lacking))
