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
        user: the user that its guard let through.

    Raises:
        RequestRefused: the signer no longer signs for this user, for example because their access token has just ended.
    """
    issued = signer.issue(user)
    return Response(issued.body(), 200, dict(issued.headers()))
