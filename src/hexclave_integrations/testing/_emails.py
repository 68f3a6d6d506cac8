"""`/emails` of the sandbox: what a server sends lands in the project's mailbox (contract 4.6)."""

from __future__ import annotations

from typing import Any

from ._mailbox import SandboxEmail
from ._project import Project
from ._routing import ANYTHING, BOOLEAN, EVERYBODY, NUMBER, STRING, UUID, Call, Field, Route, list_of, one_of, required
from ._wire import Refusal, Reply, json_reply, known_error, text_reply

__all__ = ["ROUTES"]

# Of every Hexclave project: id -> (name, whether a user may say no).
_CATEGORIES = {
    "7bb82d33-2f54-4a3d-9d23-82739e0d66ef": ("Transactional", False),
    "4f6f8873-3d04-46bd-8bef-18338b1a1b4c": ("Marketing", True),
}


def _send(call: Call) -> Reply:
    """Send to each user's primary address; who has none, or does not want such e-mails, is left out unmentioned."""
    body = call.body
    if ("user_ids" in body) == ("all_users" in body):
        raise known_error("SCHEMA_ERROR", message="Exactly one of user_ids or all_users must be provided")
    if sum(name in body for name in ("html", "template_id", "draft_id")) != 1:
        raise known_error("SCHEMA_ERROR", message="Exactly one of html, template_id or draft_id must be provided")
    if "draft_id" in body:
        raise Refusal(text_reply("No draft found with given draft_id", 400))
    category_name = body.get("notification_category_name")
    if category_name is not None and category_name not in (name for name, _ in _CATEGORIES.values()):
        raise Refusal(text_reply("Notification category not found with given name", 400))
    user_ids = body.get("user_ids", list(call.project.users))
    for user_id in user_ids:
        if user_id not in call.project.users:
            raise known_error("USER_ID_DOES_NOT_EXIST", user_id=user_id)
    for user_id in user_ids:
        address = call.project.users[user_id].primary_email
        if address is not None and _wants(call.project, user_id, category_name):
            subject, html = body.get("subject", ""), body.get("html")
            call.project.emails.append(SandboxEmail(to=address, kind="message", subject=subject, html=html))
    return json_reply({"results": [{"user_id": user_id} for user_id in user_ids]})


def _wants(project: Project, user_id: str, category_name: str | None) -> bool:
    chosen = project.notifications.get(user_id, {})
    return all(chosen.get(key, True) for key, (name, can_refuse) in _CATEGORIES.items() if name == category_name)


def _list_preferences(call: Call) -> Reply:
    user_id = _owner(call, "You can only view your own notification preferences")
    items = [_preference(call.project, user_id, category_id) for category_id in _CATEGORIES]
    return json_reply({"items": items, "is_paginated": False})


def _set_preference(call: Call) -> Reply:
    category_id = call.params["category_id"]
    if category_id not in _CATEGORIES:
        raise Refusal(text_reply("Notification category not found", 404))
    user_id = _owner(call, "You can only manage your own notification preferences")
    call.project.notifications.setdefault(user_id, {})[category_id] = call.body["enabled"]
    return json_reply(_preference(call.project, user_id, category_id))


def _preference(project: Project, user_id: str, category_id: str) -> dict[str, Any]:
    name, can_disable = _CATEGORIES[category_id]
    return {
        "notification_category_id": category_id,
        "notification_category_name": name,
        "enabled": project.notifications.get(user_id, {}).get(category_id, True),
        "can_disable": can_disable,
    }


def _owner(call: Call, forbidden: str) -> str:
    user_id = call.params["user_id"]
    if call.caller.is_client and call.caller.user is None:
        raise known_error("USER_AUTHENTICATION_REQUIRED")
    if call.caller.is_client and user_id != call.caller.require_user().id:
        raise Refusal(text_reply(forbidden, 403))
    if user_id not in call.project.users:
        raise known_error("USER_NOT_FOUND")
    return user_id


def _delivery_info(call: Call) -> Reply:
    """All is well: what is sent has arrived."""
    sent = len(call.project.emails)
    windows = {name: {"sent": sent, "bounced": 0, "marked_as_spam": 0} for name in ("hour", "day", "week", "month")}
    capacity = {
        "rate_per_second": 1,
        "boost_multiplier": 1,
        "penalty_factor": 1,
        "is_boost_active": False,
        "boost_expires_at": None,
    }
    return json_reply({"stats": windows, "capacity": capacity})


def _theme(value: object) -> str | None:
    return None if value is None or value is False or type(value) is str else "must be a string, false or null"


_PREFERENCES = "/emails/notification-preference/{user_id}"
_MESSAGE = {
    "user_ids": Field(list_of(STRING)),
    "all_users": Field(one_of(True)),
    "html": Field(STRING),
    "template_id": Field(UUID),
    "variables": Field(ANYTHING),
    "draft_id": Field(STRING),
    "subject": Field(STRING),
    "notification_category_name": Field(STRING),
    "theme_id": Field(_theme),
    "is_high_priority": Field(BOOLEAN),
    "scheduled_at_millis": Field(NUMBER),
}
ROUTES = (
    Route(method="POST", pattern="/emails/send-email", handler=_send, body=_MESSAGE),
    Route(method="GET", pattern="/emails/delivery-info", handler=_delivery_info),
    Route(method="GET", pattern=_PREFERENCES, handler=_list_preferences, access=EVERYBODY),
    Route(
        method="PATCH",
        pattern=f"{_PREFERENCES}/{{category_id}}",
        handler=_set_preference,
        access=EVERYBODY,
        body={"enabled": required(BOOLEAN)},
    ),
)
