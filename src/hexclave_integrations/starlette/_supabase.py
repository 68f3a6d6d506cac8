"""`supabase_route`: the endpoint that hands a signed-in user's Supabase token to the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .._token_endpoint import guard_for
from ..user import HexclaveUser
from ._requirements import require_user

if TYPE_CHECKING:
    from ..supabase import SupabaseSigner

__all__ = ["answer_token", "supabase_route"]


def supabase_route(signer: SupabaseSigner, path: str = "/supabase-token") -> Route:
    """A route for GET that answers `{"token", "expires_at"}`: `Starlette(routes=[supabase_route(signer), ...])`.

    It lets through whom the signer signs for, and refuses as `require_user` does; it needs `HexclaveMiddleware`.

    Args:
        signer: signs the tokens.
        path: of the route.

    Raises:
        ConfigurationError: it is no signer.
    """

    @guard_for(signer, require_user)
    async def supabase_token(request: Request) -> Response:
        return answer_token(signer, request.user)

    return Route(path, supabase_token, methods=["GET"])


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
