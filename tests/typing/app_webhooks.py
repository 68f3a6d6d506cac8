# pyright: strict
"""Webhook handlers, as their author would annotate them, and the endpoint in FastAPI and Flask."""

from __future__ import annotations

from typing import assert_type

from fastapi import FastAPI
from flask import Flask

from hexclave_integrations import WebhookVerificationFailed
from hexclave_integrations.fastapi import webhook_router
from hexclave_integrations.flask import webhook_blueprint
from hexclave_integrations.stores import MemoryStore, RedisStore
from hexclave_integrations.webhooks import (
    TeamMembershipDeleted,
    UserCreated,
    UserData,
    UserDeleted,
    UserUpdated,
    WebhookEvent,
    Webhooks,
)

webhooks = Webhooks(["whsec_dHlwZWQtdHlwZWQtdHlwZWQtdHlwZWQ="], MemoryStore(), endpoint="main")


@webhooks.on("user.created")
async def welcome(event: UserCreated) -> None:
    assert_type(event.data, UserData)
    assert_type(event.data.primary_email, str | None)


@webhooks.on("user.*", after_commit=True)
def note(event: UserCreated | UserUpdated | UserDeleted) -> str:
    return event.data.id


@webhooks.on("team_membership.deleted")
def leave(event: TeamMembershipDeleted) -> None:
    print(event.data.team_id, event.data.user_id)


@webhooks.on("*")
def everything(event: WebhookEvent) -> None:
    print(event.type)


async def calls(event: UserCreated) -> str:
    await welcome(event)
    assert_type(note(event), str)
    return note(event)


def verified(body: bytes, headers: dict[str, str]) -> UserData | None:
    try:
        event = webhooks.verify(body, headers)
    except WebhookVerificationFailed:
        return None
    assert_type(event, WebhookEvent)
    return event.data if isinstance(event, UserCreated) else None


app = FastAPI()
app.include_router(webhook_router(webhooks, "/webhooks/hexclave"))
flask_app = Flask(__name__)
flask_app.register_blueprint(webhook_blueprint(webhooks, "/webhooks/hexclave"))


def shared() -> Webhooks:
    return Webhooks(store=RedisStore("redis://localhost", prefix="typed:"))
