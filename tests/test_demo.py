"""The demo runs as its users run it: real servers, real requests, exit code 0."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from examples.demo.javascript import sign_up
from examples.demo.npm import CannotInstall, install
from hexclave_integrations import HexclaveClient
from hexclave_integrations.testing import Sandbox

from ._services import do_without

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "examples.demo"]


def test_every_answer_is_right() -> None:
    """The story ends well, and the table names who got what."""
    done = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every answer was right." in done.stdout
    assert "!" not in done.stdout
    assert ("signed up with the JS SDK" in done.stdout) != ("Left out: a sign-up" in done.stdout)


def test_nobody_needs_node(tmp_path: Path) -> None:
    """Without Node one line says what was left out, and why."""
    environ = {name: value for name, value in os.environ.items() if name != "PATH"} | {"PATH": str(tmp_path)}
    code = "from examples.demo.javascript import sign_up; print(sign_up({}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True, env=environ
    )

    *lines, token = done.stdout.splitlines()
    assert token == "None"
    assert lines[-1].startswith("Left out: a sign-up with the JavaScript client, since node and npm are not installed")


def test_somebody_signs_up_with_the_javascript_client() -> None:
    """The demo's user who came through the SDK is a regular user of the sandbox."""
    sandbox = Sandbox()
    try:
        install(ROOT / "examples" / "demo" / "sdk")
    except CannotInstall as error:
        do_without(str(error))
    with sandbox.serve() as url:
        token = sign_up({"HEXCLAVE_API_URL": url, "HEXCLAVE_PROJECT_ID": sandbox.config.project_id})
        with HexclaveClient(sandbox.config) as client:
            user = client.authenticate({"x-stack-access-token": str(token)})

    assert user is not None
    assert (user.kind, user.display_name) == ("regular", "Sam")


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
