"""Where fuzzing starts: what real clients and servers have sent, and what a sandbox sends."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from hexclave_integrations.testing import Sandbox

from .._minting import KINDS, NOW, OTHER_PROJECT, PROJECT, claims_of, data, decode
from . import _keys, _tokens, _webhooks

__all__ = ["seeds"]


def seeds(name: str) -> list[bytes]:
    """The first inputs of a target.

    Args:
        name: of the target.
    """
    return _SEEDS[name]()


def _sandbox_tokens() -> list[str]:
    sandbox = Sandbox(project_id=PROJECT, clock=lambda: NOW)
    return [sandbox.token(sandbox.create_user(kind)) for kind in KINDS]


def _recorded_tokens() -> list[str]:
    return [text for text in _texts(data("tokens.json")) if text.count(".") == 2 and text.startswith("ey")]


def _texts(value: Any) -> list[str]:
    """All strings in a JSON value."""
    if isinstance(value, dict | list):
        return [text for item in (value.values() if isinstance(value, dict) else value) for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _token() -> list[bytes]:
    return [token.encode() for token in (*_tokens.GENUINE, *_sandbox_tokens(), *_recorded_tokens())]


def _claims() -> list[bytes]:
    old = claims_of(refreshTokenId=claims_of()["refresh_token_id"], branchId="main")
    for name in ("is_restricted", "restricted_reason", "refresh_token_id", "branch_id"):
        del old[name]
    minted = [json.dumps(claims).encode() for claims in (*_tokens.GENUINE.values(), old)]
    return [
        *(_tokens.HEADER + b"\x00" + payload for payload in minted),
        *(b"\x00".join(map(decode, token.split(".")[:2])) for token in (*_sandbox_tokens(), *_recorded_tokens())),
    ]


def _request() -> list[bytes]:
    sandbox = Sandbox(project_id=PROJECT, clock=lambda: NOW)
    user = sandbox.create_user()
    token, key = sandbox.token(user), sandbox.create_api_key(user=user).value
    envelope = json.dumps({"accessToken": token, "refreshToken": "r"}, separators=(",", ":"))
    encoded = base64.b64encode(envelope.encode()).decode()
    session = quote(json.dumps({"refresh_token": "r", "updated_at_millis": 1767225600000}))
    access = quote(json.dumps(["r", token], separators=(",", ":")))
    headers: list[dict[str, str]] = [
        dict(sandbox.headers(user)),
        {"x-hexclave-access-token": token, "x-stack-access-token": ""},
        {"x-stack-auth": envelope},
        {"authorization": f"Bearer stackauth_{encoded}"},
        {"authorization": f"Bearer hexclave_{encoded}", "x-api-key": key},
        {"authorization": f"Bearer {key}"},
        {"authorization": f"Basic eDp5, Bearer {token}"},
        {"cookie": f"hexclave-refresh-{PROJECT}--default={session}; hexclave-access={access}"},
        {"cookie": f"__Host-hexclave-refresh-{PROJECT}--default={session}; stack-access={access}; other=1"},
        {"cookie": f"stack-refresh-{PROJECT}=r; stack-access={access}"},
        *_mappings(data("token_transports.json")),
    ]
    return ["\n".join(f"{name}: {value}" for name, value in fields.items()).encode() for fields in headers]


def _mappings(value: Any) -> list[dict[str, str]]:
    """The recorded requests: the objects in a JSON value that map text to text."""
    if isinstance(value, list):
        return [found for item in value for found in _mappings(item)]
    if not isinstance(value, dict):
        return []
    if value and all(isinstance(item, str) for item in value.values()):
        return [value]
    return [found for item in value.values() for found in _mappings(item)]


def _json() -> list[bytes]:
    texts = [
        *_webhooks.EVENTS,
        _keys.KEY_SET,
        _tokens.HEADER,
        *(decode(token.split(".")[1]) for token in _tokens.GENUINE),
    ]
    return [*texts, b"{}", b'{"a":[1,-0.5,1e9,true,null,"\\u00e9\\n\\ud83d\\ude00"]}', b" {} "]


def _base64url() -> list[bytes]:
    return [b"", b"AQ", b"AQI", b"AQID", *(part for token in _tokens.GENUINE for part in token.encode().split(b"."))]


def _ids() -> list[bytes]:
    return [
        PROJECT.encode(),
        OTHER_PROJECT.upper().encode(),
        *(t.encode() for t in _texts(data("api_key_strings.json"))),
    ]


def _delivery() -> list[bytes]:
    sandbox = Sandbox(clock=lambda: NOW)
    body, headers = sandbox.webhook("user.deleted", {"id": sandbox.create_user().id})
    foreign = "\n".join(f"{name}: {value}" for name, value in headers.items()).encode() + b"\n\n" + body
    return [*_webhooks.GENUINE, foreign]


_RECORDED_KEY_SETS = ("jwks_plain", "jwks_include_anonymous")
_SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "token": _token,
    "claims": _claims,
    "request": _request,
    "json": _json,
    "base64url": _base64url,
    "ids": _ids,
    "delivery": _delivery,
    "event": lambda: _webhooks.EVENTS,
    "keys": lambda: [_keys.KEY_SET, *(json.dumps(data("tokens.json")[n]).encode() for n in _RECORDED_KEY_SETS)],
}
