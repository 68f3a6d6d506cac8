"""The table of a run, for a terminal and for `RESULTS.md`, and the findings with their reproducers."""

from __future__ import annotations

import base64
import platform
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from ._running import Result

__all__ = ["RESULTS", "document", "findings", "table"]

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
PACKAGES = ("atheris", "hexclave-integrations", "cryptography", "pyjwt")
_HEAD = ("target", "what", "executions", "edges", "features", "corpus", "findings")


def table(results: Sequence[Result]) -> str:
    """For both: Markdown that lines up."""
    numbers = (
        (f"{item.executions:,}", item.coverage, item.features, item.corpus, len(item.findings)) for item in results
    )
    cells = [[item.target.name, item.target.what, *map(str, row)] for item, row in zip(results, numbers, strict=True)]
    widths = [max(map(len, column)) for column in zip(_HEAD, *cells, strict=True)]
    rules = ["-" * width if index < 2 else "-" * (width - 1) + ":" for index, width in enumerate(widths)]
    lines = [
        [
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in (_HEAD, rules, *cells)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def findings(results: Sequence[Result]) -> str:
    """Each with the command that shows it again; nothing where there are none."""
    return "".join(
        f"\n{result.target.name}: {law}\n"
        f"    python -m tests.fuzz --reproduce {result.target.name} {shlex.quote(base64.b64encode(data).decode())}\n"
        for result in results
        for law, data in result.findings
    )


def document(results: Sequence[Result], command: str) -> str:
    """The whole of `RESULTS.md`.

    Args:
        command: what made it.
    """
    versions = [f"{platform.python_implementation()} {platform.python_version()}"]
    versions += [f"{name} {metadata.version(name)}" for name in PACKAGES]
    facts = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "command": f"`{command}`", "versions": ", ".join(versions)}
    parts = [
        "# Fuzzing results",
        "Written by the command below; do not edit. Each target starts from its seeds alone.",
        "\n".join(f"- {name}: {text}" for name, text in facts.items()),
        table(results),
    ]
    if found := findings(results):
        parts.append(f"```{found}```")
    return "\n\n".join(parts) + "\n"
