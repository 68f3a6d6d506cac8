"""A backend whose users live in Hexclave and whose data live in Convex.

Write `convex/auth.config.ts` for your own project with the command in its header, deploy the folder `convex` with
`npx convex dev`, set HEXCLAVE_PROJECT_ID and CONVEX_URL (the deployment's URL), then::

    uvicorn examples.convex_app.main:app --reload

`python -m examples.convex_app` shows it at work without an account anywhere.
"""

import os
from typing import Any

import httpx
from fastapi import FastAPI, Request

from hexclave_integrations.convex import convex_headers, convex_identity
from hexclave_integrations.fastapi import CurrentUser, Hexclave

CONVEX_URL = os.environ["CONVEX_URL"]

app = FastAPI(title="Who am I")
hexclave = Hexclave(app)


@app.get("/whoami")
async def whoami(request: Request, user: CurrentUser) -> dict[str, Any]:
    """Whom this server sees, and whom Convex sees when it gets the caller's own token."""
    token = await hexclave.client.access_token(request.headers)
    call = {"path": "whoami:get", "args": {}, "format": "json"}
    async with httpx.AsyncClient(base_url=CONVEX_URL) as convex:
        answer = await convex.post("/api/query", json=call, headers=convex_headers(token))
    answer.raise_for_status()
    seen = convex_identity(answer.json()["value"])
    return {"here": user.display_name, "in_convex": seen.display_name if seen else None}
