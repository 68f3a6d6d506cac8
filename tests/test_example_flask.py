"""The Flask example, on a real WSGI server, against a sandbox over HTTP."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from hexclave_integrations.testing import Sandbox

ROOT = Path(__file__).parents[1]
EXAMPLE = "examples.flask_app.main"
# Of each server: how it is started on a free port, in the words of its log.
SERVERS = {
    "gunicorn": ["gunicorn", "--bind", "127.0.0.1:0", "--threads", "4", f"{EXAMPLE}:app"],
    "flask": ["flask", "--app", EXAMPLE, "run", "--port", "0"],
}


def environ_of(sandbox: Sandbox) -> dict[str, str]:
    config = sandbox.config
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HEXCLAVE_", "STACK_"))},
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONUNBUFFERED": "1",
        "HEXCLAVE_API_URL": config.api_url,
        "HEXCLAVE_PROJECT_ID": config.project_id,
        "HEXCLAVE_SECRET_SERVER_KEY": config.secret_server_key or "",
    }


@contextmanager
def running(server: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Start the example; yields the URL that the server's log names."""
    process = subprocess.Popen(
        [sys.executable, "-m", *SERVERS[server]],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                yield found[0]
                break
        else:
            pytest.fail(f"{server} did not come up:\n{''.join(lines)}")
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.parametrize("server", SERVERS)
def test_example(server: str) -> None:
    """Everybody gets the answer that the routes promise."""
    pytest.importorskip(server)
    sandbox = Sandbox()
    with sandbox.serve():
        alice = sandbox.create_user(display_name="Alice")
        bob = sandbox.create_user(display_name="Bob")
        anonymous = sandbox.create_user("anonymous")
        team = sandbox.create_team()
        sandbox.grant(alice, "export_reports", team=team)
        key = sandbox.create_api_key(user=alice, description="nightly job")
        a, b, reports = sandbox.headers(alice), sandbox.headers(bob), f"/teams/{team.id}/reports"
        with running(server, environ_of(sandbox)) as url, httpx.Client(base_url=url, timeout=10) as client:
            assert client.get("/").json() == {"hello": "stranger"}
            assert client.get("/", headers=a).json() == {"hello": "Alice"}
            assert client.get("/", headers=sandbox.headers(anonymous)).status_code == 200
            assert client.get("/", headers={"x-stack-access-token": "bad"}).status_code == 401
            assert client.get("/me").status_code == 401
            assert client.get("/me", headers=sandbox.headers(anonymous)).status_code == 401
            assert client.get("/me", headers=b).json() == {"id": bob.id, "name": "Bob"}
            assert client.post(reports, headers=a).json() == {"exported": team.id}
            assert client.post(reports, headers=b).status_code == 403
            assert client.get("/machine", headers={"x-api-key": key.value}).json() == {"key": "nightly job"}
            assert client.get("/machine").status_code == 401
            assert client.delete("/account", headers=b).json() == {"deleted": bob.id}
            sandbox.sign_out(bob)
            assert client.delete("/account", headers=b).status_code == 401
            assert client.options("/account").status_code == 200
            with sandbox.outage():
                assert client.get("/me", headers=a).status_code == 200
                assert client.post(reports, headers=b).status_code == 403  # still remembered
                assert client.delete("/account", headers=a).status_code == 503


def test_example_has_no_problems() -> None:
    """`flask hexclave check` is content with it, and says so with its exit code."""
    sandbox = Sandbox()
    with sandbox.serve():
        environ = environ_of(sandbox) | {"PYTHONDEVMODE": "1"}  # speaks of every connection that is left open
        command = [sys.executable, "-m", "flask", "--app", EXAMPLE, "hexclave", "check", "--online"]
        good = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        del environ["HEXCLAVE_SECRET_SERVER_KEY"]
        bad = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)

    assert (good.returncode, good.stderr) == (0, "")
    assert bad.returncode == 1
    assert "HEXCLAVE_SECRET_SERVER_KEY" in bad.stderr
