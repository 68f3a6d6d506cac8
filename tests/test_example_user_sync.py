"""A table of users that is kept in step, whatever becomes of the deliveries."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine

from examples.user_sync.fastapi_app import UserTable, create_app
from examples.user_sync.steps import reconcile, refresh
from hexclave_integrations import HexclaveClient
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

from ._user_sync import Story

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[UserTable]:
    engine = create_engine(f"sqlite:///{tmp_path / 'users.sqlite'}", connect_args={"timeout": 30})
    yield UserTable(engine)
    engine.dispose()


def test_on_sqlalchemy(table: UserTable) -> None:
    """Deliveries out of order, repeated and lost: the table ends as Hexclave's."""
    sandbox = Sandbox()
    with sandbox.serve(), HexclaveClient(replace(sandbox.config, transport=None)) as client:
        app = create_app(table, client, Webhooks(sandbox.config.webhook_secrets))
        with TestClient(app) as browser:

            def post(body: bytes, headers: dict[str, str]) -> int:
                return browser.post("/webhooks/hexclave", content=body, headers=headers).status_code

            Story(sandbox, post, table.rows, lambda: reconcile(table, client.server)).tell()
    sandbox.close()


def test_on_django(tmp_path: Path) -> None:
    """The same, in a project of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("HEXCLAVE_", "STACK_"))}
    environ |= {
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "DATABASE_FILE": str(tmp_path / "users.sqlite"),
    }
    command = [sys.executable, "-W", "error", "-m", "tests._user_sync"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, "equal\n"), done.stderr


class _Slow:
    """The server's own calls; the first answer is under way until another one was written, or would have been."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.users = self
        self.has_asked, self.may_go_on = threading.Event(), threading.Event()

    def get(self, user_id: str) -> Any:
        user = self._server.users.get(user_id)
        if not self.has_asked.is_set():
            self.has_asked.set()
            self.may_go_on.wait(1)
        return user


def test_the_older_of_two_answers_is_not_written_last(table: UserTable) -> None:
    """Two deliveries for one user at one moment take turns."""
    sandbox = Sandbox()
    with HexclaveClient(sandbox.config) as client:
        user = client.server.users.create(display_name="oldest")
        refresh(table, client.server, user.id)
        client.server.users.update(user.id, display_name="old")
        slow: Any = _Slow(client.server)
        first = threading.Thread(target=refresh, args=(table, slow, user.id))
        first.start()
        assert slow.has_asked.wait(30)
        client.server.users.update(user.id, display_name="new")
        refresh(table, slow, user.id)
        slow.may_go_on.set()
        first.join(30)
    assert [row.display_name for row in table.rows()] == ["new"]


def test_a_late_update_brings_nobody_back(table: UserTable) -> None:
    """Hexclave is not even asked; a reconciliation asks."""
    sandbox = Sandbox()
    with HexclaveClient(sandbox.config) as client:
        user = client.server.users.create(display_name="Ada")
        refresh(table, client.server, user.id)
        client.server.users.delete(user.id)
        refresh(table, client.server, user.id)
        (row,) = table.rows()
        assert (row.is_deleted, row.display_name) == (True, None)
        before = sandbox.count(f"/users/{user.id}")
        refresh(table, client.server, user.id)
        assert sandbox.count(f"/users/{user.id}") == before
        refresh(table, client.server, user.id, even_if_deleted=True)
        assert [row.is_deleted for row in table.rows()] == [True]
        assert reconcile(table, client.server) == 0
