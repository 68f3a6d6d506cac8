# pyright: strict
"""A user's own tests of an application, as their author would annotate them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from hexclave_integrations import HexclaveClient, HexclaveConfig
from hexclave_integrations.fastapi import CurrentUser, Hexclave
from hexclave_integrations.testing import Sandbox, SandboxApiKey, SandboxTeam, SandboxUser


def make_app(config: HexclaveConfig) -> FastAPI:
    app = FastAPI()
    Hexclave(app, config)

    @app.get("/me")
    async def me(user: CurrentUser) -> dict[str, str | None]:
        return {"name": user.display_name}

    assert callable(me)
    return app


@pytest.fixture
def client(hexclave_sandbox: Sandbox) -> Iterator[TestClient]:
    with TestClient(make_app(hexclave_sandbox.config)) as client:
        yield client


def test_me(client: TestClient, hexclave_sandbox: Sandbox) -> None:
    alice = hexclave_sandbox.create_user(display_name="Alice")
    assert_type(alice, SandboxUser)
    assert client.get("/me").status_code == 401
    assert client.get("/me", headers=hexclave_sandbox.headers(alice)).json() == {"name": "Alice"}


def test_of_everything_else() -> None:
    sandbox = Sandbox()
    alice = sandbox.create_user(kind="restricted", primary_email="alice@example.com")
    team = sandbox.create_team()
    assert_type(team, SandboxTeam)
    sandbox.define_permission("export_reports", contains=["read_reports"])
    sandbox.grant(alice, "export_reports", team=team)
    key = sandbox.create_api_key(alice)
    assert_type(key, SandboxApiKey)
    sandbox.revoke_api_key(key)
    with sandbox.outage():
        assert sandbox.count("/jwks.json") == 0
    with sandbox.serve() as url, HexclaveClient(sandbox.config) as client:
        assert_type(url, str)
        assert client.get_user(alice.id) is not None
    body, headers = sandbox.webhook("user.created", {"id": alice.id})
    assert_type(body, bytes)
    assert_type(headers, dict[str, str])
    sandbox.close()
