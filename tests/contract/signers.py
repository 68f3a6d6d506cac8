"""The signers of the token endpoints that every column has, by path; clocks that stand make their tokens the same."""

from __future__ import annotations

from typing import Any

import jwt

from hexclave_integrations.supabase import SupabaseSigner

SECRET = "jI4uWv0O5fCYgdq2Vp1zHn8sKtXb7LmR"
NOW = 1767225600
LATE = 4102444800

SIGNERS = {
    "/supabase": SupabaseSigner(SECRET, clock=lambda: NOW),
    "/supabase/restricted": SupabaseSigner(SECRET, allow_restricted=True, clock=lambda: NOW),
    "/supabase/anonymous": SupabaseSigner(SECRET, allow_anonymous=True, clock=lambda: NOW),
    "/supabase/late": SupabaseSigner(SECRET, clock=lambda: LATE),
}


def signed(user: Any, **claims: Any) -> dict[str, Any]:
    """What an endpoint answers: a token with these claims and no others, and its end."""
    expires_at = NOW + 3600
    claims = {"sub": user.id, "role": "authenticated", "iat": NOW, "exp": expires_at, **claims}
    return {"token": jwt.encode(claims, SECRET, "HS256"), "expires_at": expires_at}
