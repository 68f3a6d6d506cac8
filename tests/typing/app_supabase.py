# pyright: strict
"""An application that gives out Supabase tokens, as its author would annotate it."""

from __future__ import annotations

from typing import assert_type

from fastapi import FastAPI
from flask import Flask

from hexclave_integrations import HexclaveConfig
from hexclave_integrations.fastapi import CurrentUser, Hexclave, supabase_router
from hexclave_integrations.flask import supabase_blueprint
from hexclave_integrations.supabase import SupabaseSigner, SupabaseToken

signer = SupabaseSigner("typed-typed-typed-typed-typed-typed", expires_in=300, allow_restricted=True)

app = FastAPI()
Hexclave(app, HexclaveConfig(project_id="internal"))
app.include_router(supabase_router(signer, "/supabase-token"))


@app.get("/notes")
async def notes(user: CurrentUser) -> dict[str, str]:
    assert_type(signer.token_for(user, {"tier": "gold"}), str)
    issued = signer.issue(user)
    assert_type(issued, SupabaseToken)
    return signer.headers_for(user, "anon-key")


flask_app = Flask(__name__)
flask_app.register_blueprint(supabase_blueprint(signer))
