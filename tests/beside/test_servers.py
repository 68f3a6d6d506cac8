"""Servers as people run them: several workers, forks after the import, threads, greenlets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from hexclave_integrations.testing import Sandbox

from .._server import eventually
from .._services import free_port

_ROOT = Path(__file__).parents[2]
_GUNICORN = ["gunicorn", "--workers", "2", "--bind"]
SERVERS = {
    "gunicorn": ("flask", _GUNICORN, {}),
    "gunicorn, preload": ("flask", ["gunicorn", "--preload", *_GUNICORN[1:]], {"USED_AT_IMPORT": "1"}),
    "gunicorn, threads": ("flask", ["gunicorn", "--worker-class", "gthread", "--threads", "4", *_GUNICORN[1:]], {}),
    "gunicorn, gevent": ("flask", ["gunicorn", "--worker-class", "gevent", *_GUNICORN[1:]], {}),
    "uvicorn": ("fastapi", ["uvicorn", "--workers", "2", "--port"], {}),
    "hypercorn": ("fastapi", ["hypercorn", "--workers", "2", "--bind"], {}),
}


def variables(sandbox: Sandbox, framework: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEXCLAVE_", "STACK_"))}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
        "FRAMEWORK": framework,
        "HEXCLAVE_PROJECT_ID": sandbox.config.project_id,
        "HEXCLAVE_API_URL": sandbox.config.api_url,
        "HEXCLAVE_SECRET_SERVER_KEY": str(sandbox.config.secret_server_key),
    }


@contextmanager
def running(command: list[str], environ: dict[str, str]) -> Iterator[str]:
    port = free_port()
    address = str(port) if command[-1] == "--port" else f"127.0.0.1:{port}"
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", *command, address, "tests.beside._apps:application"],
        env=environ,
        cwd=_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/me", trust_env=False).status_code == 401
        except httpx.TransportError:
            return False

    try:
        assert eventually(lambda: answers() or process.poll() is not None)
        assert process.poll() is None
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("name", SERVERS)
def test_everybody_gets_their_own_answer(name: str) -> None:
    """Users of each kind, all at once: each is who they are, with what they may, and nobody else."""
    framework, command, more = SERVERS[name]
    sandbox = Sandbox()
    readers = [sandbox.create_user() for _ in range(4)]
    others = [sandbox.create_user() for _ in range(4)]
    for user in readers:
        sandbox.grant(user, "read_logs")
    with sandbox.serve(), running(command, variables(sandbox, framework) | more) as url:

        def ask(user: object, path: str) -> tuple[int, str]:
            headers = sandbox.headers(user) if user is not None else {}  # type: ignore[arg-type]  # of any user
            answer = httpx.get(url + path, headers=headers, trust_env=False, timeout=20)
            return answer.status_code, answer.text if answer.status_code == 200 else ""

        wanted: list[tuple[object, str, tuple[int, str]]] = []
        for user in (*readers, *others):
            wanted.append((user, "/me", (200, user.id)))
            wanted.append((user, "/logs", (200, user.id) if user in readers else (403, "")))
        wanted += [(None, "/me", (401, "")), (None, "/logs", (401, ""))]
        with ThreadPoolExecutor(8) as pool:
            for _ in range(3):
                found = list(pool.map(lambda each: ask(*each[:2]), wanted))
                assert found == [each[2] for each in wanted]


@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["workers", "preload"])
@pytest.mark.parametrize("wrong", ["route", "setting", "project"])
def test_a_wrong_flask_application_does_not_start(wrong: str, options: list[str]) -> None:
    """`hexclave.check(app)` where the server imports the application: gunicorn ends and says what is wrong."""
    environ = variables(Sandbox(), "flask")
    told = "HEXCLAVE_SECRET_SERVER_KEY"
    if wrong == "route":
        environ["WRONG_ROUTE"], told = "1", 'no parameter "team_id"'
    elif wrong == "setting":
        del environ["HEXCLAVE_SECRET_SERVER_KEY"]
    else:
        environ["HEXCLAVE_PROJECT_ID"], told = "nonsense", "HEXCLAVE_PROJECT_ID"
    command = [sys.executable, "-m", "gunicorn", *options, "--bind", "127.0.0.1:0", "tests.beside._apps:application"]
    done = subprocess.run(command, env=environ, cwd=_ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert told in done.stderr


def test_the_hook_of_gunicorn(tmp_path: Path) -> None:
    """The check may be in gunicorn's configuration as well, where the worker has the application."""
    hook = tmp_path / "gunicorn.conf.py"
    lines = ["from hexclave_integrations.flask import Hexclave", "def post_worker_init(worker):"]
    hook.write_text("\n".join([*lines, "    Hexclave().check(worker.wsgi)", ""]))
    environ = variables(Sandbox(), "flask") | {"WRONG_ROUTE": "1", "UNCHECKED": "1"}
    options = ["--config", str(hook), "--bind", "127.0.0.1:0"]
    command = [sys.executable, "-m", "gunicorn", *options, "tests.beside._apps:application"]
    done = subprocess.run(command, env=environ, cwd=_ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert 'no parameter "team_id"' in done.stderr
