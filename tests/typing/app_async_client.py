# pyright: strict
"""A worker with the client for an event loop, as its author would annotate it."""

from __future__ import annotations

from typing import assert_type

from hexclave_integrations import AsyncHexclaveClient, HexclaveApiKey, HexclaveConfig, HexclaveUser
from hexclave_integrations.requirements import require_permission
from hexclave_integrations.user import AccessToken


async def use(client: AsyncHexclaveClient, token: str, team_id: str) -> str | None:
    user = await client.authenticate({"authorization": f"Bearer {token}"}, {"cookie": "value"})
    assert_type(user, HexclaveUser | None)
    principal = await client.authorize(require_permission(team_id, "export_reports"), user)
    assert_type(principal, HexclaveUser | HexclaveApiKey | None)
    if isinstance(principal, HexclaveApiKey):
        return principal.team_id
    assert_type(await client.access_token({}), AccessToken)
    assert_type(await client.verify_token(token), HexclaveUser)
    assert_type(await client.list_permissions("id", team_id), frozenset[str])
    assert_type(await client.has_permission("id", "export_reports"), bool)
    assert_type(await client.is_team_member("id", team_id), bool)
    assert_type(await client.get_current_user(token), HexclaveUser)
    assert_type(await client.check_api_key("key"), HexclaveApiKey)
    found = await client.get_user("id")
    assert_type(found, HexclaveUser | None)
    return None if found is None else found.primary_email


async def main() -> None:
    async with AsyncHexclaveClient(HexclaveConfig(project_id="internal")) as client:
        assert_type(client, AsyncHexclaveClient)
        await client.warm()
        await use(client, "token", "team")
