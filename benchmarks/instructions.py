"""How many instructions one request takes without a server, counted by callgrind.

Unlike times they hardly vary on a busy machine. They are no times either: without SHA instructions, which valgrind does
not have, a SHA-256 counts 30,000. Only in a run of its own (`--only instructions`): it takes minutes.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from hexclave_integrations.testing import Sandbox

from ._apps import VARIANTS
from ._measure import Scale, Table
from .inside import FRAMEWORKS, ROOT, environment, tokens

__all__ = ["TITLE", "tables"]

REQUESTS = 40
TITLE = "Instructions of one request without a server"
NOTE = "Thousands of instructions, by callgrind: what a process that makes requests needs above one that makes none."


def tables(scale: Scale, frameworks: Sequence[str] = FRAMEWORKS, variants: Sequence[str] = VARIANTS) -> list[Table]:
    """Count; nothing where valgrind is not installed."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("valgrind is not installed: no instructions are counted", file=sys.stderr)
        return []
    sandbox, count = Sandbox(), scale.of(REQUESTS)
    with sandbox.serve() as url:
        environ, given = environment(sandbox, url), tokens(sandbox)
        rows = {
            framework: [_count(valgrind, framework, variant, environ, given, count) / 1000 for variant in variants]
            for framework in frameworks
        }
    return [Table(TITLE, dict.fromkeys(variants, ".1f"), rows, NOTE)]


def _count(valgrind: str, framework: str, variant: str, environ: Mapping[str, str], given: str, count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = [valgrind, "-q", "--tool=callgrind", f"--callgrind-out-file={folder}/%p", sys.executable]
        command += ["-m", "benchmarks._inside", framework, variant, str(count)]
        settings = {**environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run(command, cwd=ROOT, env=settings, input=given, capture_output=True, text=True, check=True)
        none, some = (_total(Path(folder, str(process))) for process in json.loads(done.stdout.splitlines()[-1]))
    return (some - none) / count


def _total(profile: Path) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", profile.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
