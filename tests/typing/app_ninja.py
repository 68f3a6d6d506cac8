# pyright: strict
"""An API of Django Ninja, as its author would annotate it."""

from __future__ import annotations

from typing import assert_type

from ninja import NinjaAPI, Schema

from hexclave_integrations import HexclaveUser
from hexclave_integrations.django import (
    HexclaveHttpRequest,
    OptionalHexclaveHttpRequest,
    optional_user,
    require_permission,
    require_user,
)
from hexclave_integrations.django.ninja import HexclaveAuth

api = NinjaAPI(auth=HexclaveAuth(), urls_namespace="typed")


class Me(Schema):
    id: str
    name: str | None


@api.get("/me", response=Me)
def me(request: HexclaveHttpRequest) -> Me:
    assert_type(request.hexclave_user, HexclaveUser)
    return Me(id=request.hexclave_user.id, name=request.hexclave_user.display_name)


@api.post("/teams/{team_id}/reports", auth=HexclaveAuth(require_permission("{team_id}", "export_reports")))
async def export(request: HexclaveHttpRequest, team_id: str) -> dict[str, str]:
    return {"exported": team_id}


@api.get("/any", auth=HexclaveAuth(require_user.allow(restricted=True)))
def any_kind(request: HexclaveHttpRequest) -> str:
    return request.hexclave_user.kind


@api.get("/greeting", auth=None)
@optional_user
def greeting(request: OptionalHexclaveHttpRequest) -> str:
    user = request.hexclave_user
    return "Hello" if user is None else f"Hello, {user.display_name}"
