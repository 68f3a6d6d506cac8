"""Put tables and verdicts on paper: `RESULTS.md`, with everything that is needed to make it again."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from ._budget import verdicts
from ._measure import Table

__all__ = ["RESULTS", "machine", "render", "summary"]

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
NOTES = HERE / "NOTES.md"
"""What a reader should know besides the numbers; written by hand."""

PACKAGES = (
    "cryptography",
    "pyjwt",
    "httpx",
    "fastapi",
    "starlette",
    "uvicorn",
    "flask",
    "django",
    "gunicorn",
    "svix",
    "opentelemetry-sdk",
)


def machine() -> Iterator[tuple[str, str]]:
    """What the numbers depend on."""
    yield "Python", f"{platform.python_implementation()} {platform.python_version()}"
    yield "packages", ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    # uvicorn takes these where they are installed, and is much faster then.
    parts = {name: importlib.util.find_spec(name) is not None for name in ("httptools", "uvloop")}
    yield (
        "uvicorn runs on",
        ("httptools" if parts["httptools"] else "h11") + " and " + ("uvloop" if parts["uvloop"] else "asyncio"),
    )
    yield "system", f"{platform.system()} {platform.machine()}"
    yield "processor", f"{_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def summary(tables: Sequence[Table]) -> str:
    """The verdicts for a terminal."""
    lines = verdicts(tables)
    width = max((len(name) for name, *_ in lines), default=0)
    return "\n".join(f"{name:<{width}}  {measured:>8}  {verdict}" for name, measured, verdict, _ in lines)


def render(tables: Sequence[Table], command: str) -> str:
    """The whole document.

    Args:
        command: what made it.
    """
    facts = [("date", f"{datetime.now(UTC):%Y-%m-%d}"), ("command", f"`{command}`"), *machine()]
    budget = [("aim", "measured", "", "why"), ("---", "---:", "---", "---"), *verdicts(tables)]
    parts = [
        "# Benchmark results",
        "Written by the command below; do not edit. All ratios are to baselines of the same run.",
        "\n".join(f"- {name}: {text}" for name, text in facts),
        "## The budget",
        "\n".join(f"| {' | '.join(line)} |" for line in budget),
        *([NOTES.read_text().strip()] if NOTES.exists() else []),
        "## The numbers",
        *(table.markdown().strip() for table in tables),
    ]
    return "\n\n".join(parts) + "\n"
