"""The answer of Supabase's token endpoint, for the ASGI adapters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from ..user import HexclaveUser

if TYPE_CHECKING:
    from ..supabase import SupabaseSigner

__all__ = ["answer_token"]


def answer_token(signer: SupabaseSigner, user: HexclaveUser) -> Response:
    """The endpoint's answer.

    Args:
        signer: signs the token.
        user: whom its guard let through.

    Raises:
        RequestRefused: the signer does not sign for him any more, as when his access token has just ended.
    """
    issued = signer.issue(user)
    return Response(issued.body(), 200, dict(issued.headers()))
