"""The rows of the Supabase token endpoint; with them the table is whole."""

from __future__ import annotations

import dataclasses
import json
from urllib.parse import quote

from hexclave_integrations.testing import Sandbox

from .signers import signed
from .table import (
    ANONYMOUS,
    BAD_TOKEN,
    EXPIRED,
    NOBODY,
    ROWS,
    VARY,
    WRONG_PROJECT,
    Answer,
    Steps,
    World,
    let_in,
    restricted,
    row,
    token,
    unavailable,
)

__all__ = ["ROWS"]


def cookie(w: World, access: str) -> dict[str, str]:
    """The SDK's cookies (contract 1.3)."""
    refresh = quote(json.dumps({"refresh_token": "r", "updated_at_millis": 1}))
    pair = quote(json.dumps(["r", access], separators=(",", ":")))
    name = f"__Host-hexclave-refresh-{w.sandbox.config.project_id}--default"
    return {"cookie": f"{name}={refresh}; hexclave-access={pair}"}


def varying_on_cookies(answer: Answer) -> Answer:
    return dataclasses.replace(answer, headers={**answer.headers, "vary": f"{VARY}, Cookie"})


@row
def supabase_token_of_a_regular_user(w: World) -> Steps:
    for path in ("/supabase", "/supabase/restricted", "/supabase/anonymous"):
        yield path, w.sandbox.headers(w.alice), let_in(signed(w.alice))
    yield "/supabase", {"authorization": f"Bearer {w.sandbox.token(w.bob)}"}, let_in(signed(w.bob))


@row
def no_supabase_token_for_nobody(w: World) -> Steps:
    for path in ("/supabase", "/supabase/restricted", "/supabase/anonymous"):
        yield path, {}, NOBODY
        yield path, token("garbage"), BAD_TOKEN
        yield path, token(w.forged(w.alice)), BAD_TOKEN
        yield path, token(w.sandbox.token(w.alice, expires_in=-60)), EXPIRED


@row
def no_supabase_token_for_another_project(w: World) -> Steps:
    other = Sandbox()
    yield "/supabase/anonymous", other.headers(other.create_user()), WRONG_PROJECT


@row
def supabase_token_of_a_restricted_user(w: World) -> Steps:
    headers = w.sandbox.headers(w.restricted)
    yield "/supabase", headers, restricted()
    yield "/supabase/restricted", headers, let_in(signed(w.restricted))
    yield "/supabase/anonymous", headers, let_in(signed(w.restricted))


@row
def supabase_token_of_an_anonymous_user(w: World) -> Steps:
    headers = w.sandbox.headers(w.anonymous)
    yield "/supabase", headers, ANONYMOUS
    yield "/supabase/restricted", headers, ANONYMOUS
    yield "/supabase/anonymous", headers, let_in(signed(w.anonymous, is_anonymous=True))


@row
def an_api_key_gets_no_supabase_token(w: World) -> Steps:
    key = w.sandbox.create_api_key(user=w.alice)
    yield "/supabase", {"x-api-key": key.value}, NOBODY
    yield "/supabase", {"authorization": f"Bearer {key.value}"}, BAD_TOKEN


@row
def the_signer_itself_refuses(w: World) -> Steps:
    yield "/supabase/late", w.sandbox.headers(w.alice), EXPIRED


@row
def supabase_token_with_keys_down_cold(w: World) -> Steps:
    yield "/supabase", {}, NOBODY
    yield "/supabase", w.sandbox.headers(w.alice), unavailable(30)


@row
def supabase_token_with_keys_down_warm(w: World) -> Steps:
    yield "/supabase", w.sandbox.headers(w.alice), let_in(signed(w.alice))
    with w.sandbox.outage():
        yield "/supabase", w.sandbox.headers(w.bob), let_in(signed(w.bob))


@row
def no_supabase_token_by_cookie(w: World) -> Steps:
    yield "/supabase", cookie(w, w.sandbox.token(w.alice)), NOBODY


@row
def supabase_token_accepting_cookies(w: World) -> Steps:
    yield "/supabase", cookie(w, w.sandbox.token(w.alice)), varying_on_cookies(let_in(signed(w.alice)))
    yield "/supabase", cookie(w, w.forged(w.alice)), varying_on_cookies(BAD_TOKEN)
    yield "/supabase", cookie(w, w.sandbox.token(w.restricted)), varying_on_cookies(restricted())
    yield "/supabase", {}, varying_on_cookies(NOBODY)
