# pyright: strict
"""An application of Starlette, as its author would annotate it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from hexclave_integrations import HexclaveConfig, HexclaveUser
from hexclave_integrations.starlette import (
    HexclaveMiddleware,
    optional_user,
    require_permission,
    require_user,
    supabase_route,
    webhook_route,
)
from hexclave_integrations.supabase import SupabaseSigner
from hexclave_integrations.webhooks import Webhooks


@require_user
async def me(request: Request) -> Response:
    user: HexclaveUser = request.user
    return JSONResponse({"id": user.id})


async def calls(request: Request) -> Response:
    assert_type(await export(request), Any)
    again: Callable[[Request], Coroutine[Any, Any, Response]] = me
    return await again(request)


@optional_user
def greeting(request: Request) -> Response:
    user: HexclaveUser | None = request.user
    return PlainTextResponse("Hello" if user is None else f"Hello, {user.display_name}")


@require_permission("{team_id}", "export_reports")
async def export(request: Request) -> Response:
    return JSONResponse({"exported": request.path_params["team_id"]})


class Reports(HTTPEndpoint):
    @require_user.allow(restricted=True)
    async def get(self, request: Request) -> Response:
        return PlainTextResponse("reports")


@require_user
async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


webhooks = Webhooks(["whsec_dHlwZWQtdHlwZWQtdHlwZWQtdHlwZWQ="])
signer = SupabaseSigner("typed-typed-typed-typed-typed-typed")
config = HexclaveConfig(project_id="internal", secret_server_key="ssk_typed")
app = Starlette(
    routes=[
        Route("/me", me),
        Route("/greeting", greeting),
        Route("/teams/{team_id}/reports", export, methods=["POST"]),
        Route("/reports", Reports),
        WebSocketRoute("/socket", socket),
        Mount("/static", app=require_user.guard(StaticFiles(directory="."))),
        Mount("/api", routes=[Route("/me", me)], middleware=[Middleware(require_user.guard)]),
        webhook_route(webhooks),
        supabase_route(signer),
    ],
    middleware=[Middleware(HexclaveMiddleware, config, websocket_close_codes=True)],
)
