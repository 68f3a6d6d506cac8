"""`/connected-accounts` and `/oauth-providers` of the sandbox, as a test told of them (contract 4.8)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from ._project import Project
from ._records import OAuthAccount
from ._routing import BOOLEAN, EVERYBODY, STRING, USER, Call, Field, Route, nullable, required
from ._wire import Refusal, Reply, json_reply, known_error, text_reply

__all__ = ["PROVIDERS", "ROUTES", "add_account"]

PROVIDERS = (
    *("apple", "bitbucket", "discord", "facebook", "github", "gitlab", "google", "linkedin"),
    *("microsoft", "spotify", "twitch", "x"),
)


def add_account(
    project: Project,
    user_id: str,
    provider: str,
    account_id: str,
    *,
    email: str | None = None,
    access_token: str | None = None,
    scopes: Iterable[str] = (),
    allow_sign_in: bool = True,
    allow_connected_accounts: bool = True,
) -> OAuthAccount:
    """Connect a user with their account at a provider; one that is known already is told anew.

    Raises:
        Refusal: Hexclave knows no such provider.
    """
    if provider not in PROVIDERS:
        raise Refusal(text_reply(f"OAuth provider {provider} not found", 400))
    known = next((item for item in project.accounts_of(user_id) if _is(item, provider, account_id)), None)
    account = OAuthAccount(
        id=known.id if known else str(uuid.uuid4()),
        user_id=user_id,
        provider=provider,
        account_id=account_id,
        email=email,
        access_token=access_token,
        scopes=list(scopes),
        allow_sign_in=allow_sign_in,
        allow_connected_accounts=allow_connected_accounts,
    )
    project.oauth_accounts[account.id] = account
    return account


def _is(account: OAuthAccount, provider: str, account_id: str | None) -> bool:
    return account.provider == provider and account_id in (None, account.account_id)


# Connected accounts


def _list_connected(call: Call) -> Reply:
    accounts = _accounts_of(call, "Client can only list connected accounts for their own user.")
    items = [
        {"user_id": account.user_id, "provider": account.provider, "provider_account_id": account.account_id}
        for account in accounts
        if account.allow_connected_accounts
    ]
    return json_reply({"items": items, "is_paginated": False})


def _access_token(call: Call) -> Reply:
    """The provider's access token: what the sandbox was told, since nobody is asked."""
    provider = call.params["provider_id"]
    if provider not in PROVIDERS:
        raise known_error("OAUTH_PROVIDER_NOT_FOUND_OR_NOT_ENABLED")
    accounts = [
        account
        for account in _accounts_of(call, "Client can only access its own connected accounts")
        if account.allow_connected_accounts and _is(account, provider, call.params.get("account_id"))
    ]
    if not accounts:
        raise known_error("OAUTH_CONNECTION_NOT_CONNECTED_TO_USER")
    scopes = set((call.body.get("scope") or "").split())
    able = [account for account in accounts if scopes <= set(account.scopes)]
    if not able:
        raise known_error("OAUTH_CONNECTION_DOES_NOT_HAVE_REQUIRED_SCOPE")
    token = next((account.access_token for account in able if account.access_token is not None), None)
    if token is None:
        details = "The user needs to re-authorize this connected account."
        raise known_error("OAUTH_ACCESS_TOKEN_NOT_AVAILABLE", provider=provider, details=details)
    return json_reply({"access_token": token}, 201)


def _accounts_of(call: Call, forbidden: str) -> list[OAuthAccount]:
    _check_owner(call, call.params["user_id"], forbidden)
    return call.project.accounts_of(call.params["user_id"])


def _check_owner(call: Call, user_id: str | None, forbidden: str) -> None:
    if call.caller.is_client and user_id != call.caller.require_user().id:
        raise Refusal(text_reply(forbidden, 403))
    if user_id is not None and user_id not in call.project.users:
        raise known_error("USER_NOT_FOUND")


# OAuth providers: the same accounts, addressed by their own ids


def _list(call: Call) -> Reply:
    user_id = call.query.get("user_id")
    _check_owner(call, user_id, "Client can only list OAuth providers for their own user.")
    accounts = [item for item in call.project.oauth_accounts.values() if user_id in (None, item.user_id)]
    items = [account.shape(with_account=not call.caller.is_client) for account in accounts]
    return json_reply({"items": items, "is_paginated": False})


def _create(call: Call) -> Reply:
    fields = dict(call.body)
    user_id, provider = fields.pop("user_id"), fields.pop("provider_config_id")
    _check_owner(call, user_id, "")
    account = add_account(call.project, user_id, provider, fields.pop("account_id"), **fields)
    return json_reply(account.shape(with_account=True), 201)


def _read(call: Call) -> Reply:
    account = _find(call, "Client can only read OAuth providers for their own user.")
    return json_reply(account.shape(with_account=not call.caller.is_client))


def _update(call: Call) -> Reply:
    account = _find(call, "Client can only update OAuth providers for their own user.")
    for name, value in call.body.items():
        setattr(account, name, value)
    return json_reply(account.shape(with_account=not call.caller.is_client))


def _delete(call: Call) -> Reply:
    account = _find(call, "Client can only delete OAuth providers for their own user.")
    del call.project.oauth_accounts[account.id]
    return json_reply({"success": True})


def _find(call: Call, forbidden: str) -> OAuthAccount:
    accounts = _accounts_of(call, forbidden)
    account = next((item for item in accounts if item.id == call.params["provider_id"]), None)
    if account is None:
        raise Refusal(text_reply("OAuth provider not found for this user", 404))
    return account


_OWN_FIELDS = {"allow_sign_in": Field(BOOLEAN), "allow_connected_accounts": Field(BOOLEAN)}
_UPDATE_FIELDS = _OWN_FIELDS | {"email": Field(STRING), "account_id": Field(STRING)}
_CREATE_FIELDS = {
    "user_id": required(USER),
    "provider_config_id": required(STRING),
    "account_id": required(STRING),
    "email": Field(STRING),
    "allow_sign_in": required(BOOLEAN),
    "allow_connected_accounts": required(BOOLEAN),
}
_SCOPE = {"scope": Field(nullable(STRING))}
_CONNECTED = "/connected-accounts/{user_id}"
_BY_PROVIDER = f"{_CONNECTED}/{{provider_id}}/access-token"
_BY_ACCOUNT = f"{_CONNECTED}/{{provider_id}}/{{account_id}}/access-token"
_ONE = "/oauth-providers/{user_id}/{provider_id}"
ROUTES = (
    Route(method="GET", pattern=_CONNECTED, handler=_list_connected, access=EVERYBODY),
    Route(method="POST", pattern=_BY_PROVIDER, handler=_access_token, access=EVERYBODY, body=_SCOPE),
    Route(method="POST", pattern=_BY_ACCOUNT, handler=_access_token, access=EVERYBODY, body=_SCOPE),
    Route(method="GET", pattern="/oauth-providers", handler=_list, access=EVERYBODY, query={"user_id": Field(USER)}),
    Route(method="POST", pattern="/oauth-providers", handler=_create, body=_CREATE_FIELDS),
    Route(method="GET", pattern=_ONE, handler=_read, access=EVERYBODY),
    Route(
        method="PATCH",
        pattern=_ONE,
        handler=_update,
        access=EVERYBODY,
        body=_UPDATE_FIELDS,
        client_body=_OWN_FIELDS,
    ),
    Route(method="DELETE", pattern=_ONE, handler=_delete, access=EVERYBODY),
)
