# pyright: strict
"""An application of FastAPI, as its author would annotate it."""

from __future__ import annotations

from typing import Annotated, assert_type

from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from hexclave_integrations import (
    SELECTED_TEAM,
    AsyncHexclaveClient,
    HexclaveApiKey,
    HexclaveConfig,
    HexclaveUser,
    RequestRefused,
)
from hexclave_integrations.fastapi import (
    CurrentUser,
    FastAPIRequirement,
    Hexclave,
    OptionalUser,
    optional_user,
    override_config,
    require_api_key,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
)

app = FastAPI()
hexclave = Hexclave(app, HexclaveConfig(project_id="internal", secret_server_key="ssk_typed"))
assert_type(hexclave.client, AsyncHexclaveClient)

AnyKind = Annotated[HexclaveUser, Depends(require_user.allow(restricted=True, anonymous=True))]
Checked = Annotated[HexclaveUser, Depends(require_user.live())]
ApiKey = Annotated[HexclaveApiKey, Depends(require_api_key)]
can_export = require_permission("{team_id}", "export_reports")
assert_type(can_export, FastAPIRequirement)


class Me(BaseModel):
    id: str
    name: str | None


@app.get("/me")
async def me(user: CurrentUser) -> Me:
    assert_type(user, HexclaveUser)
    return Me(id=user.id, name=user.display_name)


@app.get("/greeting")
def greeting(user: OptionalUser) -> str:
    assert_type(user, HexclaveUser | None)
    return "Hello" if user is None else f"Hello, {user.display_name}"


@app.get("/visitor")
async def visitor(user: Annotated[HexclaveUser | None, Depends(optional_user)]) -> bool:
    return user is not None and user.is_authenticated


@app.get("/any")
async def any_kind(user: AnyKind) -> str:
    return user.kind


@app.delete("/me")
async def delete(user: Checked) -> str:
    return user.id


@app.get("/key")
async def key(api_key: ApiKey) -> str | None:
    return api_key.team_id


@app.post("/teams/{team_id}/reports", dependencies=[Depends(can_export)])
async def export(team_id: str) -> dict[str, str]:
    return {"exported": team_id}


@app.get("/selected", dependencies=[Depends(require_team(SELECTED_TEAM))])
async def selected(request: Request) -> bool:
    user = await hexclave.identify(request)
    assert_type(user, HexclaveUser | None)
    return user is not None


def team_of(request: Request) -> str:
    return request.headers["x-team"]


router = APIRouter(dependencies=[Depends(require_project_permission("admin")), Depends(require_team(team_of))])
app.include_router(router)


@app.websocket("/socket")
async def socket(websocket: WebSocket, user: CurrentUser) -> None:
    await websocket.accept()
    await websocket.send_text(user.id)


@app.exception_handler(RequestRefused)
async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)
    assert_type(error.details, dict[str, object] | None)
    return JSONResponse({"code": error.code}, error.status, headers=dict(error.headers()))


async def permissions_of(user: HexclaveUser, client: AsyncHexclaveClient) -> frozenset[str]:
    return await client.list_permissions(user.id)


def overridden(config: HexclaveConfig) -> None:
    app.dependency_overrides[require_user] = lambda: HexclaveUser(id="1", kind="regular", project_id="internal")
    with override_config(app, config):
        pass
