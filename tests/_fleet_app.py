"""An application of which a test runs several processes: one permission, and the webhook endpoint."""

from fastapi import Depends, FastAPI

from hexclave_integrations.fastapi import Hexclave, require_permission, webhook_router
from hexclave_integrations.webhooks import Webhooks

app = FastAPI()
Hexclave(app)
app.include_router(webhook_router(Webhooks()))


@app.get("/teams/{team_id}/export", dependencies=[Depends(require_permission("{team_id}", "export_reports"))])
async def export(team_id: str) -> str:
    return team_id
