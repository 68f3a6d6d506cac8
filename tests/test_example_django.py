"""The Django example, on real WSGI and ASGI servers, against a sandbox over HTTP."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from hexclave_integrations.testing import Sandbox

ROOT = Path(__file__).parents[1]
EXAMPLE = "examples.django_project"
# How each server is started on a free port, which its log then names.
SERVERS = {
    "gunicorn": ["gunicorn", "--bind", "127.0.0.1:0", "--threads", "4", f"{EXAMPLE}.wsgi"],
    "uvicorn": ["uvicorn", "--port", "0", f"{EXAMPLE}.asgi:application"],
}


def environ_of(sandbox: Sandbox) -> dict[str, str]:
    config = sandbox.config
    hidden = ("HEXCLAVE_", "STACK_", "DJANGO_")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(hidden)},
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONUNBUFFERED": "1",
        "HEXCLAVE_API_URL": config.api_url,
        "HEXCLAVE_PROJECT_ID": config.project_id,
        "HEXCLAVE_SECRET_SERVER_KEY": config.secret_server_key or "",
    }


@contextmanager
def running(server: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Start the example; yields the URL that the server's log names."""
    command = [sys.executable, "-m", *SERVERS[server]]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    reader = None
    try:
        lines: list[str] = []
        for line in process.stderr:
            lines.append(line)
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                reader = threading.Thread(target=process.stderr.read)  # lest the server waits for a full pipe
                reader.start()
                yield found[0]
                break
        else:
            pytest.fail(f"{server} did not come up:\n{''.join(lines)}")
    finally:
        process.terminate()
        process.wait(30)
        if reader is not None:
            reader.join()
        process.stderr.close()


@pytest.mark.parametrize("server", SERVERS)
def test_example(server: str) -> None:
    """Every view of the example lets in whom it says, and nobody else."""
    sandbox = Sandbox()
    ada = sandbox.create_user(display_name="Ada")
    guest = sandbox.create_user("anonymous")
    team = sandbox.create_team()
    sandbox.grant(ada, "export_reports", team=team)
    key = sandbox.create_api_key(ada, description="nightly")
    reports, rest = f"/teams/{team.id}/reports", f"/api/teams/{team.id}/reports"
    with sandbox.serve(), running(server, environ_of(sandbox)) as url, httpx.Client(base_url=url, timeout=30) as client:
        as_ada, as_guest = sandbox.headers(ada), sandbox.headers(guest)

        assert client.get("/").json() == {"hello": "stranger"}
        assert client.get("/", headers=as_ada).json() == {"hello": "Ada"}
        assert client.get("/me", headers=as_ada).json() == {"id": ada.id, "name": "Ada"}
        assert client.post(reports, headers=as_ada).json() == {"exported": team.id}
        assert client.get(rest, headers=as_ada).json() == {"team": team.id, "for": ada.id}
        assert client.get("/machine", headers={"x-api-key": key.value}).json() == {"key": "nightly"}
        assert client.delete("/account", headers=as_ada).json() == {"deleted": ada.id}
        sandbox.sign_out(ada)
        assert client.delete("/account", headers=as_ada).status_code == 401
        for method, path in (
            ("GET", "/me"),
            ("POST", reports),
            ("GET", rest),
            ("DELETE", "/account"),
            ("GET", "/machine"),
        ):
            strangers = client.request(method, path)
            assert (strangers.status_code, strangers.json()["code"]) == (401, "USER_AUTHENTICATION_REQUIRED")
            assert client.request(method, path, headers=as_guest).status_code == 401
        bare = client.get("/me")
        assert bare.headers["www-authenticate"] == 'Bearer realm="hexclave"'
        assert bare.headers["cache-control"] == "private, no-store"


def manage(*args: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", EXAMPLE, *args]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_its_checks() -> None:
    """The command's exit code tells a deployment whether to go on."""
    sandbox = Sandbox()
    with sandbox.serve():
        environ = environ_of(sandbox)
        right = manage("hexclave_check", "--online", environ=environ)
        wrong = manage("hexclave_check", environ={**environ, "HEXCLAVE_PROJECT_ID": "nonsense"})
        refused = manage("check", environ={**environ, "HEXCLAVE_SECRET_SERVER_KEY": ""})

    assert (right.returncode, "correctly" in right.stdout) == (0, True), right.stderr
    assert (wrong.returncode, "hexclave.E001" in wrong.stderr) == (1, True)
    assert (refused.returncode, "hexclave.E007" in refused.stderr) == (1, True)
