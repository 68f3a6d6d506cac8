"""The demo runs as its users run it: real servers, real requests, exit code 0."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "examples.demo"]


def test_every_answer_is_right() -> None:
    """The story ends well, and the table names who got what."""
    done = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every answer was right." in done.stdout
    assert "!" not in done.stdout


def test_keep_stays_up_and_prints_lines_to_try() -> None:
    """`--keep` serves until it is interrupted, and its curl lines name the running server."""
    process = subprocess.Popen(
        [*COMMAND, "--keep"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        seen: list[str] = []
        deadline = time.monotonic() + 120
        assert process.stdout is not None
        for line in process.stdout:
            seen.append(line)
            if line.startswith("Ctrl+C") or time.monotonic() > deadline:
                break
        process.send_signal(signal.SIGINT)
        process.wait(30)
    finally:
        process.kill()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()

    assert any(line.startswith("curl -i http://127.0.0.1:") for line in seen)
    assert process.returncode == 0
