# pyright: strict
"""A job that makes the server's own calls, in both colours, as its author would annotate it."""

from __future__ import annotations

from typing import assert_type

from hexclave_integrations import AsyncHexclaveClient, HexclaveApiError, HexclaveClient, NotFound
from hexclave_integrations.records import (
    ApiKeyData,
    ConnectedAccount,
    InvitationData,
    ItemData,
    ProductData,
    ProjectData,
    SessionData,
    SessionTokens,
    TeamData,
    TeamMemberData,
    TeamMembershipData,
    UserData,
)


def work(client: HexclaveClient, some: str) -> int:
    server = client.server
    assert_type(server.users.get(some), UserData)
    assert_type(server.users.create(primary_email="ada@example.com", display_name="Ada"), UserData)
    assert_type(server.users.update(some, server_metadata={"plan": "pro"}), UserData)
    server.users.delete(some)
    assert_type(server.teams.get(some), TeamData)
    assert_type(server.teams.list(user_id=some), list[TeamData])
    assert_type(server.teams.create(display_name="Engines"), TeamData)
    assert_type(server.teams.update(some, display_name="Looms"), TeamData)
    server.teams.delete(some)
    assert_type(server.teams.members(some), list[TeamMemberData])
    assert_type(server.teams.add_member(some, some), TeamMembershipData)
    server.teams.remove_member(some, some)
    assert_type(server.teams.invite(some, "grace@example.com", "https://app.example.com/join"), InvitationData)
    assert_type(server.teams.invitations(some), list[InvitationData])
    server.permissions.grant(some, "export_reports", team_id=some)
    server.permissions.revoke(some, "export_reports")
    assert_type(server.api_keys.create("for the crawler", user_id=some), ApiKeyData)
    assert_type(server.api_keys.list(team_id=some), list[ApiKeyData])
    assert_type(server.api_keys.revoke(some, user_id=some), ApiKeyData)
    assert_type(server.sessions.create(some, expires_in=3600), SessionTokens)
    assert_type(server.sessions.list(some), list[SessionData])
    server.sessions.revoke(some, some)
    assert_type(server.items.get("credits", user_id=some), ItemData)
    server.items.change("credits", 10, custom_id="acme")
    assert_type(server.items.try_spend("credits", 3, team_id=some), bool)
    assert_type(server.products.list(user_id=some), list[ProductData])
    assert_type(server.products.grant("pro", user_id=some), str | None)
    server.products.cancel("pro", user_id=some)
    assert_type(server.products.checkout_url("pro", user_id=some), str)
    assert_type(server.checkout_url("pro", user_id=some), str)
    assert_type(server.emails.send(user_ids=[some], subject="Hello", html="<p>Hello</p>"), list[str])
    assert_type(server.connected_accounts.list(some), list[ConnectedAccount])
    assert_type(server.connected_accounts.access_token(some, "github", ["repo"]), str)
    assert_type(server.project.get(), ProjectData)
    assert_type(list(server.users.list(team_id=some)), list[UserData])
    vault = server.vault("provider-keys", secret="a secret")
    vault.set("openai", "sk-...")
    assert_type(vault.get("openai"), str | None)
    try:
        user = server.users.get(some)
    except NotFound as error:
        assert_type(error.code, str | None)
        return error.status
    assert_type(user.primary_email, str | None)
    assert_type(user.primary_email_verified, bool)
    return user.signed_up_at_millis or 0


async def work_on_a_loop(client: AsyncHexclaveClient, some: str) -> str:
    server = client.server
    assert_type(await server.users.get(some), UserData)
    assert_type(await server.users.create(primary_email="ada@example.com", display_name="Ada"), UserData)
    assert_type(await server.users.update(some, server_metadata={"plan": "pro"}), UserData)
    await server.users.delete(some)
    assert_type(await server.teams.get(some), TeamData)
    assert_type(await server.teams.list(user_id=some), list[TeamData])
    assert_type(await server.teams.create(display_name="Engines"), TeamData)
    assert_type(await server.teams.update(some, display_name="Looms"), TeamData)
    await server.teams.delete(some)
    assert_type(await server.teams.members(some), list[TeamMemberData])
    assert_type(await server.teams.add_member(some, some), TeamMembershipData)
    await server.teams.remove_member(some, some)
    assert_type(await server.teams.invite(some, "grace@example.com", "https://app.example.com/join"), InvitationData)
    assert_type(await server.teams.invitations(some), list[InvitationData])
    await server.permissions.grant(some, "export_reports", team_id=some)
    await server.permissions.revoke(some, "export_reports")
    assert_type(await server.api_keys.create("for the crawler", user_id=some), ApiKeyData)
    assert_type(await server.api_keys.list(team_id=some), list[ApiKeyData])
    assert_type(await server.api_keys.revoke(some, user_id=some), ApiKeyData)
    assert_type(await server.sessions.create(some, expires_in=3600), SessionTokens)
    assert_type(await server.sessions.list(some), list[SessionData])
    await server.sessions.revoke(some, some)
    assert_type(await server.items.get("credits", user_id=some), ItemData)
    await server.items.change("credits", 10, custom_id="acme")
    assert_type(await server.items.try_spend("credits", 3, team_id=some), bool)
    assert_type(await server.products.list(user_id=some), list[ProductData])
    assert_type(await server.products.grant("pro", user_id=some), str | None)
    await server.products.cancel("pro", user_id=some)
    assert_type(await server.products.checkout_url("pro", user_id=some), str)
    assert_type(await server.checkout_url("pro", user_id=some), str)
    assert_type(await server.emails.send(user_ids=[some], subject="Hello", html="<p>Hello</p>"), list[str])
    assert_type(await server.connected_accounts.list(some), list[ConnectedAccount])
    assert_type(await server.connected_accounts.access_token(some, "github", ["repo"]), str)
    assert_type(await server.project.get(), ProjectData)
    assert_type([user async for user in server.users.list(query="ada")], list[UserData])
    vault = server.vault("provider-keys", secret="a secret")
    await vault.set("openai", "sk-...")
    assert_type(await vault.get("openai"), str | None)
    try:
        tokens = await server.sessions.create(some, expires_in=3600)
    except HexclaveApiError as error:
        return error.code or ""
    return tokens.access_token
