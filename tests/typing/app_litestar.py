# pyright: strict
"""An application of Litestar, as its author would annotate it."""

from __future__ import annotations

from typing import Any, assert_type

from litestar import Controller, Litestar, Request, get, post

from hexclave_integrations import AsyncHexclaveClient, HexclaveConfig, HexclaveUser
from hexclave_integrations.litestar import (
    HexclavePlugin,
    LitestarRequirement,
    optional_user,
    require_permission,
    require_team,
    require_user,
    supabase_handler,
    webhook_handler,
)
from hexclave_integrations.supabase import SupabaseSigner
from hexclave_integrations.webhooks import Webhooks

UserRequest = Request[HexclaveUser, Any, Any]
can_export = require_permission("{team_id}", "export_reports")
assert_type(can_export, LitestarRequirement)


@get("/me", guards=[require_user])
async def me(request: UserRequest) -> dict[str, str]:
    assert_type(request.user, HexclaveUser)
    return {"id": request.user.id}


@get("/greeting", guards=[optional_user])
async def greeting(request: Request[HexclaveUser | None, Any, Any]) -> str:
    return "Hello" if request.user is None else f"Hello, {request.user.display_name}"


@post("/teams/{team_id:str}/reports", guards=[can_export])
async def export(request: UserRequest) -> dict[str, str]:
    return {"exported": str(request.path_params["team_id"]), "by": request.user.id}


class Reports(Controller):
    path = "/reports/{team_id:uuid}"
    guards = [require_user.allow(restricted=True), require_team("{team_id}").live()]  # noqa: RUF012

    @get()
    async def list_reports(self) -> list[str]:
        return []


config = HexclaveConfig(project_id="internal", secret_server_key="ssk_typed")
plugin = HexclavePlugin(config, websocket_close_codes=True)
assert_type(plugin.client, AsyncHexclaveClient)


@get("/visitor")
async def visitor(request: UserRequest) -> bool:
    user = await plugin.identify(request)
    assert_type(user, HexclaveUser | None)
    return user is not None


app = Litestar(
    [
        me,
        greeting,
        export,
        Reports,
        visitor,
        webhook_handler(Webhooks(["whsec_dHlwZWQtdHlwZWQtdHlwZWQtdHlwZWQ="])),
        supabase_handler(SupabaseSigner("typed-typed-typed-typed-typed-typed")),
    ],
    plugins=[plugin],
)
