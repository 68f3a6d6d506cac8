"""The server's own calls against what a real Hexclave server was asked, and what it answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from hexclave_integrations import HexclaveApiError, NotFound, Unavailable, VaultValueDamaged
from hexclave_integrations.testing import Sandbox

from ._server_calls import COLOURS, Calls
from .test_server_failures import expected_class

DATA = json.loads((Path(__file__).parent / "data" / "recordings_server_calls.json").read_text(encoding="utf-8"))
# What is always said, where the recorded request left the default to the server.
DEFAULTS = {"is_public": False, "is_impersonation": False, "expires_at_millis": None}


class Player:
    """A transport that gives recorded answers, one after the other, and keeps what it was asked."""

    def __init__(self, *answers: Mapping[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        headers = {"x-stack-request-id": "abc", "content-type": answer["content_type"]}
        if answer["known_error"] is not None:
            headers["x-stack-known-error"] = answer["known_error"]
        body = answer["answer"]
        content = body.encode() if isinstance(body, str) else json.dumps(body, indent=2).encode()
        return httpx.Response(answer["status"], headers=headers, content=content)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self.handle_request(request)


def call(server: Any, row: dict[str, Any]) -> Any:
    """The call that a row belongs to."""
    group, _, name = row["call"].partition(".")
    if group == "vault":
        vault = server.vault(*row["args"], secret="secret")
        return vault.get("key") if name == "get" else vault.set("key", "value")
    return getattr(getattr(server, group), name)(*row["args"], **row["options"])


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("row", DATA["rows"], ids=[row["source"] for row in DATA["rows"]])
def test_recorded(hexclave_sandbox: Sandbox, colour: str, row: dict[str, Any]) -> None:
    """What is asked is what the server was asked, and what it answered is what the caller gets."""
    player = Player(row)
    calls = Calls(colour, replace(hexclave_sandbox.config, transport=player))
    result: Any
    try:
        result = calls.do(call, row)
    except (HexclaveApiError, Unavailable, VaultValueDamaged) as error:
        result = error
    asked, answer = player.asked[0], row["answer"]

    recorded = httpx.URL(f"https://recorded.invalid{row['request'][1]}")
    assert (asked.method, asked.url.path) == (row["request"][0], f"/api/v1{recorded.path}")
    # The owner of a key is named as the SDK does (contract 4.4), which the recorded request could do without.
    owner = row["options"] if row["call"] == "api_keys.revoke" else {}
    assert dict(asked.url.params) == dict(recorded.params) | owner
    assert (asked.headers["x-stack-access-type"], "x-stack-secret-server-key" in asked.headers) == ("server", True)
    if row["body"] is None:
        assert asked.content == b""
    else:
        assert asked.headers["content-type"] == "application/json"
        sent = json.loads(asked.content)
        if row["call"].startswith("vault."):
            assert set(sent) == set(row["body"])
        else:
            assert DEFAULTS | sent == DEFAULTS | row["body"]

    if row["status"] >= 500:
        assert type(result) is Unavailable
    elif row["status"] >= 400 and row["known_error"] == "DATA_VAULT_STORE_HASHED_KEY_DOES_NOT_EXIST":
        assert result is None
    elif row["status"] >= 400:
        assert isinstance(result, HexclaveApiError)
        assert (result.code, result.status) == (row["known_error"], row["status"])
        if row["known_error"] is None:
            assert result.details == {"text": answer}
            assert type(result) is (NotFound if row["status"] == 404 else HexclaveApiError)
        else:
            assert result.details == answer.get("details")
            assert type(result) is expected_class(row["known_error"])
    elif row["call"] == "vault.get":  # what it holds is no ciphertext
        assert isinstance(result, VaultValueDamaged)
    elif isinstance(result, list):
        assert [dict(each) for each in result] == answer["items"]
    elif row["call"].startswith("permissions.") or answer == {"success": True}:
        assert result is None
    else:
        assert dict(result) == answer
        for name in answer.keys() - {"value"}:
            assert getattr(result, name, answer[name]) == answer[name]


@pytest.mark.parametrize("colour", COLOURS)
def test_recorded_pages(hexclave_sandbox: Sandbox, colour: str) -> None:
    """Two pages of users, the second by the cursor of the first."""
    last = DATA["pages"][1] | {"pagination": {"next_cursor": None}}
    answers = [
        {"status": 200, "known_error": None, "content_type": "application/json", "answer": page}
        for page in (DATA["pages"][0], last)
    ]
    player = Player(*answers)
    calls = Calls(colour, replace(hexclave_sandbox.config, transport=player))
    found = calls.do(lambda server: server.users.list())

    assert [user.id for user in found] == [user["id"] for page in DATA["pages"] for user in page["items"]]
    assert [request.url.params.get("cursor") for request in player.asked] == [
        None,
        DATA["pages"][0]["pagination"]["next_cursor"],
    ]
