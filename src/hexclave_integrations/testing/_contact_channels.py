"""`/contact-channels` of the sandbox: the addresses of users, and their verification (contract 4.8)."""

from __future__ import annotations

import uuid
from typing import Any

from . import _sign_in
from ._auth import CODE_FIELDS, check_code_route
from ._channels import channels_of, delete_channel, find_auth_channel, normalize, save_channel
from ._codes import send_code
from ._records import ContactChannel, User
from ._routing import BOOLEAN, EMAIL, EVERYBODY, URL, USER, UUID, Call, Field, Route, one_of, required
from ._wire import Refusal, Reply, json_reply, known_error, text_reply

__all__ = ["ROUTES"]


def _list(call: Call) -> Reply:
    user_id = call.query.get("user_id")
    _check_owner(call, user_id, "list")
    users = [user for user in call.project.users.values() if user_id in (None, user.id)]
    channels = [channel for user in users for channel in channels_of(call.project, user)]
    wanted = call.query.get("contact_channel_id")
    items = [channel.shape() for channel in channels if wanted in (None, channel.id)]
    return json_reply({"items": items, "is_paginated": False})


def _read(call: Call) -> Reply:
    _check_owner(call, call.params["user_id"], "read")
    return json_reply(_find(call, Refusal(text_reply("Contact channel not found.", 404))).shape())


def _create(call: Call) -> Reply:
    body = call.body
    _check_owner(call, body["user_id"], "create")
    user = call.project.users.get(body["user_id"])
    if user is None:
        raise known_error("USER_NOT_FOUND")
    value = normalize(body["value"])
    _check_value(call, user, value, None)
    if body["used_for_auth"] and find_auth_channel(call.project, value):
        raise _used_by_someone_else(value)
    channel = ContactChannel(
        id=str(uuid.uuid4()),
        user_id=user.id,
        value=value,
        created_at_millis=call.project.now_millis(),
        is_verified=body.get("is_verified", False),
        used_for_auth=body["used_for_auth"],
        is_primary=body.get("is_primary", False),
    )
    save_channel(call.project, channel)
    return json_reply(channel.shape(), 201)


def _update(call: Call) -> Reply:
    """Change a channel; another address has to be verified anew."""
    changes: dict[str, Any] = {name: value for name, value in call.body.items() if name != "type"}
    _check_owner(call, call.params["user_id"], "update")
    channel = _find(call, Refusal(text_reply("Contact channel not found", 400)))
    if "value" in changes:
        changes["value"] = normalize(changes["value"])
        changes.setdefault("is_verified", False)
        _check_value(call, call.project.users[channel.user_id], changes["value"], channel.id)
    if changes.get("used_for_auth", channel.used_for_auth):
        other = find_auth_channel(call.project, changes.get("value", channel.value))
        if other and other[1].id != channel.id:
            raise _used_by_someone_else(None)
    for name, value in changes.items():
        setattr(channel, name, value)
    save_channel(call.project, channel)
    return json_reply(channel.shape())


def _delete(call: Call) -> Reply:
    _check_owner(call, call.params["user_id"], "delete")
    delete_channel(call.project, _find(call, Refusal(text_reply("Contact channel not found", 400))))
    return json_reply({"success": True})


def _send_code(call: Call) -> Reply:
    user_id = call.params["user_id"]
    if call.caller.is_client and call.caller.require_user().id != user_id:
        raise Refusal(text_reply("Can only send verification code for your own user", 400))
    if user_id not in call.project.users:
        raise known_error("USER_ID_DOES_NOT_EXIST", user_id=user_id)
    channel = _find(call, Refusal(text_reply("Contact channel not found", 404)))
    return _send(call, channel.value, channel.user_id, is_verified=channel.is_verified)


def _send_code_to_primary(call: Call) -> Reply:
    """An older endpoint, which the SDK still uses for `user.sendVerificationEmail()`."""
    user = call.caller.require_signed_in()
    if user.primary_email is None or normalize(call.body["email"]) != normalize(user.primary_email):
        details = {"email": call.body["email"], "primary_email": user.primary_email}
        raise known_error("EMAIL_IS_NOT_PRIMARY_EMAIL", **details)
    return _send(call, user.primary_email, user.id, is_verified=user.primary_email_verified)


def _send(call: Call, email: str, user_id: str, *, is_verified: bool) -> Reply:
    if is_verified:
        raise known_error("EMAIL_ALREADY_VERIFIED")
    send_code(call.project, "email_verification", email, call.body["callback_url"], user_id)
    return json_reply({"success": True})


def _verify(call: Call) -> Reply:
    _sign_in.verify_address(call.project, call.body["code"])
    return json_reply({"success": True})


def _find(call: Call, missing: Refusal) -> ContactChannel:
    user = call.project.users.get(call.params["user_id"])
    channels = channels_of(call.project, user) if user else []
    for channel in channels:
        if channel.id == call.params["contact_channel_id"]:
            return channel
    raise missing


def _check_owner(call: Call, user_id: str | None, verb: str) -> None:
    if call.caller.is_client and call.caller.require_user().id != user_id:
        raise Refusal(text_reply(f"Client can only {verb} contact channels for their own user.", 403))


def _check_value(call: Call, user: User, value: str, own_id: str | None) -> None:
    if any(item.value == value and item.id != own_id for item in channels_of(call.project, user)):
        raise Refusal(text_reply("Contact channel already exists", 400))


def _used_by_someone_else(value: str | None) -> Refusal:
    return known_error(
        "CONTACT_CHANNEL_ALREADY_USED_FOR_AUTH_BY_SOMEONE_ELSE",
        {"shown": "" if value is None else f'"({value})"'},
        type="email",
        contact_channel_value=value,
        would_work_if_email_was_verified=False,
    )


_TYPE = one_of("email")
_QUERY = {"user_id": Field(USER), "contact_channel_id": Field(UUID)}
_CALLBACK = {"callback_url": required(URL)}
_CREATE_FIELDS = {
    "user_id": required(USER),
    "value": required(EMAIL),
    "type": required(_TYPE),
    "used_for_auth": required(BOOLEAN),
    "is_primary": Field(BOOLEAN),
}
_UPDATE_FIELDS = {
    "value": Field(EMAIL),
    "type": Field(_TYPE),
    "used_for_auth": Field(BOOLEAN),
    "is_primary": Field(BOOLEAN),
}
_SERVER_FIELDS = {"is_verified": Field(BOOLEAN)}
_ONE = "/contact-channels/{user_id}/{contact_channel_id}"

ROUTES = (
    Route(method="GET", pattern="/contact-channels", handler=_list, access=EVERYBODY, query=_QUERY),
    Route(
        method="POST",
        pattern="/contact-channels",
        handler=_create,
        access=EVERYBODY,
        query=_QUERY,
        body=_CREATE_FIELDS | _SERVER_FIELDS,
        client_body=_CREATE_FIELDS,
    ),
    Route(
        method="POST",
        pattern="/contact-channels/send-verification-code",
        handler=_send_code_to_primary,
        access=EVERYBODY,
        body=_CALLBACK | {"email": required(EMAIL)},
    ),
    Route(method="POST", pattern="/contact-channels/verify", handler=_verify, access=EVERYBODY, body=CODE_FIELDS),
    check_code_route("email_verification", "/contact-channels/verify"),
    Route(method="GET", pattern=_ONE, handler=_read, access=EVERYBODY, query=_QUERY),
    Route(
        method="PATCH",
        pattern=_ONE,
        handler=_update,
        access=EVERYBODY,
        query=_QUERY,
        body=_UPDATE_FIELDS | _SERVER_FIELDS,
        client_body=_UPDATE_FIELDS,
    ),
    Route(method="DELETE", pattern=_ONE, handler=_delete, access=EVERYBODY, query=_QUERY),
    Route(
        method="POST",
        pattern=f"{_ONE}/send-verification-code",
        handler=_send_code,
        access=EVERYBODY,
        body=_CALLBACK,
    ),
)
