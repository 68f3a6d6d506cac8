# pyright: strict
"""A script with the blocking client, as its author would annotate it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, assert_type

import httpx

from hexclave_integrations import (
    SELECTED_TEAM,
    ConfigurationError,
    HexclaveApiKey,
    HexclaveClient,
    HexclaveConfig,
    HexclaveUser,
    NotAuthenticated,
    PermissionDenied,
    Unavailable,
)
from hexclave_integrations.convex import ConvexUser, convex_headers, convex_identity
from hexclave_integrations.requirements import Requirement, require_permission, require_team, require_user

config = HexclaveConfig(project_id="internal", secret_server_key="ssk_typed", permission_ttl=0)


def use(client: HexclaveClient, token: str) -> str:
    user = client.authenticate({"x-stack-access-token": token})
    assert_type(user, HexclaveUser | None)
    assert_type(client.authenticate([(b"authorization", b"Bearer x")]), HexclaveUser | None)
    if user is None:
        raise NotAuthenticated
    assert_type(user.kind, Literal["regular", "restricted", "anonymous"])
    assert_type(user.expires_at, datetime | None)
    assert_type(user.claims, dict[str, Any])

    assert_type(require_permission(SELECTED_TEAM, "export_reports"), Requirement)
    assert_type(client.authorize(require_team("{team_id}"), user), HexclaveUser | HexclaveApiKey | None)
    assert_type(client.verify_token(token), HexclaveUser)
    assert_type(client.list_permissions(user.id), frozenset[str])
    assert_type(client.has_permission(user.id, "export_reports", "team"), bool)
    assert_type(client.is_team_member(user.id, "team"), bool)
    assert_type(client.get_current_user(token), HexclaveUser)
    assert_type(client.check_api_key("key"), HexclaveApiKey)

    found = client.get_user(user.id)
    assert_type(found, HexclaveUser | None)
    if found is not None and found.primary_email is not None:
        return found.primary_email.lower()
    return user.id


def answer(client: HexclaveClient, headers: dict[str, str]) -> int:
    try:
        client.authorize(require_user.live(), client.authenticate(headers))
    except PermissionDenied as error:
        return error.status
    except Unavailable as error:
        return error.retry_after
    return 200


def ask_convex(client: HexclaveClient, headers: httpx.Headers) -> str | None:
    outgoing = convex_headers(client.access_token(headers))
    identity = convex_identity(httpx.get("https://convex.example", headers=outgoing).json())
    assert_type(identity, ConvexUser | None)
    return None if identity is None else identity.display_name


def connect() -> HexclaveClient:
    try:
        with HexclaveClient(config, transport=httpx.MockTransport(lambda request: httpx.Response(500))) as client:
            assert_type(client, HexclaveClient)
            return client
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None
