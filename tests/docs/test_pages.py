"""Every block of code in the documentation runs, with the output that is shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .page import blocks

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts and blocks(path.read_text())
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_page_runs(page: Path) -> None:
    """What the page shows works as it says."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("HEXCLAVE_", "STACK_"))}
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:hexclave_integrations", "-m", "tests.docs.page", str(page)],
        cwd=ROOT,
        env=environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_blocks_are_found() -> None:
    """Code in tabs, with captions, in hidden lines, and what is excused; other directives are no code."""
    page = "\n".join(
        [
            "````{tab-set}",
            "````",
            ":::{tab-item} FastAPI",
            "```{code-block} python",
            ":caption: app.py",
            "x = 1",
            "```",
            ":::",
            "% run",
            "% assert x == 1",
            "%",
            "% assert x",
            "",
            "% not run: it is for a browser",
            "```js",
            "f()",
            "```",
            "```{toctree}",
            "a",
            "```",
            "```js",
            "g()",
            "```",
            "% exits with 1",
            "```console",
            "$ false",
            "```",
        ]
    )
    found = [(one.language, one.text, one.options, one.not_run, one.exits_with) for one in blocks(page)]

    assert found == [
        ("python", "x = 1\n", {"caption": "app.py"}, False, 0),
        ("python", "assert x == 1\n\nassert x", {}, False, 0),
        ("js", "f()\n", {}, True, 0),
        ("js", "g()\n", {}, False, 0),
        ("console", "$ false\n", {}, False, 1),
    ]
