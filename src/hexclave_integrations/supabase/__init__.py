"""Supabase tokens for users that Hexclave vouches for: `SupabaseSigner(key).token_for(user)`."""

from ._signer import MAX_EXPIRES_IN, ClaimsRefused, SupabaseSigner, SupabaseToken

__all__ = ["MAX_EXPIRES_IN", "ClaimsRefused", "SupabaseSigner", "SupabaseToken"]
