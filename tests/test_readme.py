"""Every Python example of the README runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hexclave_integrations.testing import Sandbox

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"^## (.+?)$|^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


def examples() -> dict[str, str]:
    """The blocks by the heading they stand under."""
    found: dict[str, str] = {}
    heading = "Start"
    for title, code in BLOCKS:
        heading = title or heading
        if code:
            found[heading] = code
    return found


def run(code: str, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, url: str, **names: Any) -> dict[str, Any]:
    monkeypatch.setenv("HEXCLAVE_API_URL", url)
    monkeypatch.setenv("HEXCLAVE_PROJECT_ID", sandbox.config.project_id)
    monkeypatch.setenv("HEXCLAVE_SECRET_SERVER_KEY", str(sandbox.config.secret_server_key))
    namespace: dict[str, Any] = {"__name__": "readme", **names}
    exec(compile(code, str(README), "exec"), namespace)
    return namespace


@pytest.mark.parametrize("heading", ["Start", "Starlette"])
def test_application_examples(
    heading: str, monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox
) -> None:
    """The applications let a regular user in and nobody else."""
    from starlette.testclient import TestClient

    alice = hexclave_sandbox.create_user()
    with hexclave_sandbox.serve() as url:
        app = run(examples()[heading], monkeypatch, hexclave_sandbox, url)["app"]
        with TestClient(app) as client:
            assert 401 == client.get("/me").status_code
            assert {"id": alice.id} == client.get("/me", headers=hexclave_sandbox.headers(alice)).json()
            if heading == "Start":
                team = hexclave_sandbox.create_team()
                reports = f"/teams/{team.id}/reports"
                assert 403 == client.post(reports, headers=hexclave_sandbox.headers(alice)).status_code


def test_client_example(
    monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """The client finds the user, the permission and the address."""
    alice = hexclave_sandbox.create_user(display_name="Alice", primary_email="alice@example.com")
    team = hexclave_sandbox.create_team()
    hexclave_sandbox.grant(alice, "export_reports", team=team)
    with hexclave_sandbox.serve() as url:
        run(
            examples()["Anything else"],
            monkeypatch,
            hexclave_sandbox,
            url,
            token=hexclave_sandbox.token(alice),
            team_id=team.id,
        )

    assert "Alice alice@example.com\n" == capsys.readouterr().out


def test_testing_example(monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox) -> None:
    """The test of a user's own application passes."""
    namespace = run(examples()["Testing your application"], monkeypatch, hexclave_sandbox, "https://unused.invalid")

    namespace["test_me"](hexclave_sandbox)


def test_protected_route_comes_early() -> None:
    """A reader meets the first protected route before line 25."""
    lines = README.read_text().splitlines()

    assert any("CurrentUser" in line for line in lines[:25])
