"""A backend whose users live in Hexclave and whose rows live in Supabase.

Run schema.sql in Supabase's SQL editor, set HEXCLAVE_PROJECT_ID, SUPABASE_URL, SUPABASE_ANON_KEY (the publishable key
or the legacy anon key) and SUPABASE_JWT_SECRET (the legacy secret, or a private signing key as JWK), then::

    uvicorn examples.supabase.main:app --reload

`python -m examples.supabase` shows it at work without an account anywhere.
"""

import os
from typing import Any

import httpx
from fastapi import FastAPI

from hexclave_integrations.fastapi import Hexclave, OptionalUser, supabase_router
from hexclave_integrations.supabase import SupabaseSigner

SUPABASE_URL = os.environ["SUPABASE_URL"]
SUPABASE_ANON_KEY = os.environ["SUPABASE_ANON_KEY"]

app = FastAPI(title="Notes")
Hexclave(app)
signer = SupabaseSigner(os.environ["SUPABASE_JWT_SECRET"])


# What the browser's `createClient(url, key, { accessToken })` fetches, to ask Supabase by itself.
app.include_router(supabase_router(signer, "/supabase-token"))


@app.get("/notes")
async def notes(user: OptionalUser) -> list[dict[str, Any]]:
    """The rows that the caller may see, read by this server in the caller's name: the database decides."""
    headers = signer.headers_for(user, SUPABASE_ANON_KEY) if user else {"apikey": SUPABASE_ANON_KEY}
    async with httpx.AsyncClient(base_url=SUPABASE_URL) as supabase:
        answer = await supabase.get("/rest/v1/data", params={"select": "*", "order": "id"}, headers=headers)
    answer.raise_for_status()
    rows: list[dict[str, Any]] = answer.json()
    return rows
