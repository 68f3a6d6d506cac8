"""The adapters behind a real uvicorn: bytes on a socket, start-up that has to stop the process, and its logs."""

import asyncio
import dataclasses
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hexclave_integrations import starlette
from hexclave_integrations.fastapi import CurrentUser, Hexclave, require_permission, require_team, require_user
from hexclave_integrations.testing import Sandbox

TEAM = "11111111-1111-4111-8111-111111111111"


@pytest.fixture(autouse=True)
def uvicorn_logs_to_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever another test's server did to the process's logging, this one's records are seen here."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        log = logging.getLogger(name)
        monkeypatch.setattr(log, "propagate", True)
        monkeypatch.setattr(log, "disabled", False)
        monkeypatch.setattr(log, "level", logging.NOTSET)


@pytest.fixture
def sandbox() -> Sandbox:
    """A fresh project."""
    return Sandbox()


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[int]:
    """Run uvicorn on a free port for the length of the block; yields the port, or 0 when it would not start."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, **options)
    server = uvicorn.Server(config)

    def run() -> None:
        with suppress(SystemExit):  # how uvicorn ends a process whose application would not start
            server.run()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1] if server.started else 0
    finally:
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


def exchange(
    port: int, *lines: bytes, version: bytes = b"1.1", path: bytes = b"/me"
) -> tuple[int, dict[str, str], bytes]:
    """Send a request with these header lines as they are; return status, headers and body."""
    head = [b"GET " + path + b" HTTP/" + version, b"Host: test", b"Connection: close", *lines, b"", b""]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"\r\n".join(head))
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    top, _, body = answer.partition(b"\r\n\r\n")
    status, *rest = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
    return int(status.split()[1]), headers, body


def fastapi_app(sandbox: Sandbox) -> FastAPI:
    app = FastAPI()
    Hexclave(app, sandbox.config)

    @app.get("/me")
    async def me(user: CurrentUser) -> dict[str, str]:
        return {"id": user.id}

    @app.get("/explode")
    async def explode(user: CurrentUser) -> None:
        raise RuntimeError("a mistake of the view")

    return app


def starlette_app(sandbox: Sandbox) -> Starlette:
    @starlette.require_user
    async def me(request: Request) -> Response:
        return JSONResponse({"id": request.user.id})

    @starlette.require_user
    async def explode(request: Request) -> Response:
        raise RuntimeError("a mistake of the view")

    return Starlette(
        routes=[Route("/me", me), Route("/explode", explode)],
        middleware=[Middleware(starlette.HexclaveMiddleware, config=sandbox.config)],
    )


VERSIONS = (b"1.1", b"1.0")
APPS = [pytest.param(fastapi_app, id="fastapi"), pytest.param(starlette_app, id="starlette")]


def field(name: str, value: str) -> bytes:
    """A header line."""
    return f"{name}: {value}".encode("latin-1")


@pytest.mark.parametrize("build", APPS)
def test_bytes_on_a_socket(sandbox: Sandbox, build: Callable[[Sandbox], Any]) -> None:
    """Names in any case, HTTP/1.0 and repeats of one value are the user; whatever is unclear is refused, never 500."""
    user, other = sandbox.create_user(), sandbox.create_user()
    text, another = sandbox.token(user), sandbox.token(other)
    name = "x-stack-access-token"
    nobody, bad = "USER_AUTHENTICATION_REQUIRED", "UNPARSABLE_ACCESS_TOKEN"
    rows: dict[str, tuple[list[bytes], int, str]] = {
        "regular": ([field(name, text)], 200, user.id),
        "upper case": ([field(name.upper(), text)], 200, user.id),
        "mixed case": ([field("AuthoriZation", f"BEARER {text}")], 200, user.id),
        "white space": ([field(name, f"  \t{text} \t ")], 200, user.id),
        "same twice": ([field(name, text)] * 2, 200, user.id),
        "same in two cases": ([field(name, text), field(name.title(), text)], 200, user.id),
        "same bearer twice": ([field("authorization", f"Bearer {text}")] * 2, 200, user.id),
        "nobody": ([], 401, nobody),
        "empty": ([field(name, "")], 401, nobody),
        "two users": ([field(name, text), field(name, another)], 401, bad),
        "two bearers": ([field("authorization", f"Bearer {each}") for each in (text, another)], 401, bad),
        "8-bit bytes": ([b"x-stack-access-token: \xff\xfe\x80" + text.encode()], 401, bad),
        "UTF-8": (["x-stack-access-token: Bj\u00f6rk \u2603".encode()], 401, bad),
        "8-bit bearer": ([b"authorization: Bearer \xe9" + text.encode()], 401, bad),
        "8-bit envelope": ([b'x-stack-auth: {"accessToken":"\xff"}'], 401, bad),
        "oversized": ([field(name, "a" * 40_000)], 401, bad),
        "underscores": ([field(name.replace("-", "_"), text)], 401, nobody),
    }
    expected = [(row, version, status, shown) for row, (_, status, shown) in rows.items() for version in VERSIONS]
    actual = []
    with serving(build(sandbox)) as port:
        for row, (lines, _, _) in rows.items():
            for version in VERSIONS:
                status, headers, body = exchange(port, *lines, version=version)
                said = json.loads(body)
                actual.append((row, version, status, said.get("id") or said.get("code")))
                assert headers["cache-control"] == "private, no-store"
    assert expected == actual


@pytest.mark.parametrize("build", APPS)
def test_no_token_in_the_logs(
    sandbox: Sandbox, build: Callable[[Sandbox], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever happens to a request, and however much is logged, no token is among it."""
    caplog.set_level("DEBUG")
    user = sandbox.create_user()
    tokens = {
        "good": sandbox.token(user),
        "expired": sandbox.token(user, expires_in=-60),
        "forged": sandbox.token(user)[:-6] + "AAAAAA",
        "of nobody's keys": Sandbox().token(user.id)
        if False
        else Sandbox(project_id=sandbox.config.project_id).sign({}),
    }
    with serving(build(sandbox), log_level="debug") as port:
        for text in tokens.values():
            for path in (b"/me", b"/explode", b"/nowhere"):
                exchange(port, field("authorization", f"Bearer {text}"), path=path)
                exchange(port, field("x-stack-auth", json.dumps({"accessToken": text})), path=path)
    assert "a mistake of the view" in caplog.text
    assert "GET /me" in caplog.text
    parts = {part for text in tokens.values() for part in text.split(".")[1:]}
    assert [part for part in parts if part in caplog.text] == []
    assert user.id not in caplog.text


# --- start-up ---------------------------------------------------------------------------------------------------------


def needs_key(app: FastAPI) -> None:
    app.get("/x", dependencies=[Depends(require_team(TEAM))])(lambda: None)


def needs_key_in_included_router(app: FastAPI) -> None:
    router, outer = APIRouter(dependencies=[Depends(require_user.live())]), APIRouter()
    router.get("/x")(lambda: None)
    outer.include_router(router)
    app.include_router(outer, prefix="/outer")


def needs_key_in_mount(app: FastAPI) -> None:
    sub = FastAPI()
    needs_key_in_included_router(sub)
    app.mount("/sub", sub)


def lacks_parameter(app: FastAPI) -> None:
    app.get("/x", dependencies=[Depends(require_permission("{team_id}", "export_reports"))])(lambda: None)


def lacks_parameter_on_websocket(app: FastAPI) -> None:
    router = APIRouter()

    @router.websocket("/x", dependencies=[Depends(require_team("{team_id}"))])
    async def view() -> None: ...

    app.include_router(router)


def uncalled_in_included_router(app: FastAPI) -> None:
    router = APIRouter()
    router.get("/x")(lambda: None)
    app.include_router(router, dependencies=[Depends(require_team)])


def bare_in_included_router(app: FastAPI) -> None:
    router = APIRouter()
    router.get("/x")(lambda: None)
    app.include_router(router, dependencies=[require_user])  # type: ignore[list-item]


@pytest.mark.parametrize("lifespan", ["auto", "on"])
@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(needs_key, "HEXCLAVE_SECRET_SERVER_KEY", id="server key"),
        pytest.param(needs_key_in_included_router, "a requirement on /outer/x", id="server key, included"),
        pytest.param(needs_key_in_mount, "a requirement on /sub/outer/x", id="server key, mounted"),
        pytest.param(lacks_parameter, 'no parameter "team_id"', id="route parameter"),
        pytest.param(lacks_parameter_on_websocket, 'no parameter "team_id"', id="route parameter, websocket"),
        pytest.param(uncalled_in_included_router, "without calling it", id="uncalled, included"),
        pytest.param(bare_in_included_router, "has no attribute 'dependency'", id="without Depends, included"),
    ],
)
def test_what_is_wrong_stops_uvicorn(
    sandbox: Sandbox, build: Callable[[FastAPI], None], message: str, lifespan: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that takes any exception for "no lifespan" is told that the start failed, and why."""
    caplog.set_level("INFO")
    app = FastAPI()
    Hexclave(
        app, dataclasses.replace(sandbox.config, secret_server_key=None) if "key" in build.__name__ else sandbox.config
    )
    build(app)

    with serving(app, lifespan=lifespan) as port:
        assert port == 0
    assert message in caplog.text
    assert "Application startup failed" in caplog.text
    assert "unsupported" not in caplog.text


def test_missing_setting_of_a_starlette_application_stops_uvicorn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Starlette makes its middleware in the lifespan: a missing setting stops the start nevertheless."""
    caplog.set_level("INFO")
    monkeypatch.delenv("HEXCLAVE_PROJECT_ID", raising=False)
    monkeypatch.delenv("STACK_PROJECT_ID", raising=False)

    with serving(Starlette(middleware=[Middleware(starlette.HexclaveMiddleware)])) as port:
        assert port == 0
    assert "HEXCLAVE_PROJECT_ID" in caplog.text
    assert "unsupported" not in caplog.text


def test_keys_down_at_start(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """An application starts without keys and serves what needs none."""
    with sandbox.outage(), serving(fastapi_app(sandbox)) as port:
        status, headers, _ = exchange(port, field("x-stack-access-token", sandbox.token(sandbox.create_user())))
        assert exchange(port)[0] == 401
    assert (status, headers["retry-after"].isdigit()) == (503, True)
    assert "keys are not there yet" in caplog.text


def test_exit_status_of_the_uvicorn_command(tmp_path: Path) -> None:
    """The process itself ends with an error, so that a deployment notices."""
    (tmp_path / "wrong_app.py").write_text(
        "from fastapi import Depends, FastAPI\n"
        "from hexclave_integrations.fastapi import Hexclave, require_project_permission\n"
        "app = FastAPI()\n"
        "Hexclave(app)\n"
        "@app.get('/x', dependencies=[Depends(require_project_permission('access_admin_dashboard'))])\n"
        "async def view(): ...\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HEXCLAVE_", "STACK_"))}
    environment |= {"HEXCLAVE_PROJECT_ID": TEAM, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(tmp_path), "--port", "0", "wrong_app:app"]
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "HEXCLAVE_SECRET_SERVER_KEY" in ended.stderr
    assert ended.returncode not in (0, None)


# --- one caller at a time ---------------------------------------------------------------------------------------------


def test_nobody_sees_the_other(sandbox: Sandbox) -> None:
    """Requests of two users from many threads, on reused and fresh connections, never mix."""
    app = FastAPI()
    Hexclave(app, sandbox.config)
    ended: list[tuple[str, str]] = []

    @app.get("/async/{name}")
    async def in_task(name: str, user: CurrentUser, later: BackgroundTasks) -> str:
        later.add_task(lambda: ended.append((user.id, name)))
        await asyncio.sleep(0.001)
        return user.id

    @app.get("/thread/{name}")
    def in_thread(name: str, user: CurrentUser, later: BackgroundTasks) -> str:
        later.add_task(lambda: ended.append((user.id, name)))
        time.sleep(0.001)
        return user.id

    users = [sandbox.create_user(), sandbox.create_user()]
    headers = {user.id: field("x-stack-access-token", sandbox.token(user)) for user in users}

    def ask(number: int) -> tuple[str, str]:
        name = users[number % 2].id
        kind = "async" if number // 2 % 2 else "thread"
        _, _, body = exchange(port, headers[name], path=f"/{kind}/{name}".encode())
        return name, json.loads(body)

    with serving(app) as port, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(160)))
    assert [pair for pair in answers if pair[0] != pair[1]] == []
    assert len(ended) == 160
    assert [pair for pair in ended if pair[0] != pair[1]] == []
