"""A small FastAPI application behind Hexclave.

Set HEXCLAVE_PROJECT_ID and HEXCLAVE_SECRET_SERVER_KEY, and for webhooks HEXCLAVE_WEBHOOK_SECRET, then::

    uvicorn examples.fastapi_app.main:app --reload

and open http://127.0.0.1:8000/docs: "Authorize" takes an access token.
"""

from typing import Annotated

from fastapi import Depends, FastAPI

from hexclave_integrations import HexclaveApiKey, HexclaveConfig, HexclaveUser
from hexclave_integrations.fastapi import (
    CurrentUser,
    Hexclave,
    OptionalUser,
    require_api_key,
    require_permission,
    require_user,
    webhook_router,
)
from hexclave_integrations.webhooks import UserCreated, Webhooks

app = FastAPI(title="Reports")
Hexclave(app)


@app.get("/")
async def welcome(user: OptionalUser) -> dict[str, str]:
    """Everyone may come in; we greet those we know."""
    return {"hello": (user.display_name if user else None) or "stranger"}


@app.get("/me")
async def me(user: CurrentUser) -> dict[str, str | None]:
    """For signed-in users: not for anonymous ones, nor for restricted ones."""
    return {"id": user.id, "name": user.display_name}


@app.post("/teams/{team_id}/reports", dependencies=[Depends(require_permission("{team_id}", "export_reports"))])
async def export(team_id: str) -> dict[str, str]:
    """For those who hold the permission in that team."""
    return {"exported": team_id}


@app.delete("/account")
async def delete_account(user: Annotated[HexclaveUser, Depends(require_user.live())]) -> dict[str, str]:
    """Too dangerous to trust a token that outlives its session: Hexclave is asked on every request."""
    return {"deleted": user.id}


@app.get("/machine")
async def machine(key: Annotated[HexclaveApiKey, Depends(require_api_key)]) -> dict[str, str]:
    """For scripts, with an API key."""
    return {"key": key.description}


if secrets := HexclaveConfig.webhook_secrets_from_env():
    webhooks = Webhooks(secrets)
    app.include_router(webhook_router(webhooks))

    @webhooks.on("user.created")
    async def welcome_mail(event: UserCreated) -> None:
        """Here a welcome would be sent; a permission that was revoked is forgotten without our doing."""
        assert event.data.id
