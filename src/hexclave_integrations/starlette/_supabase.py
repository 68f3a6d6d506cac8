"""`supabase_route`: the endpoint that hands a signed-in user's Supabase token to the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .._adapter.token_endpoint import guard_for
from .._asgi.token_endpoint import answer_token
from ._requirements import require_user

if TYPE_CHECKING:
    from ..supabase import SupabaseSigner

__all__ = ["supabase_route"]


def supabase_route(signer: SupabaseSigner, path: str = "/supabase-token") -> Route:
    """A route for GET that answers `{"token", "expires_at"}`: `Starlette(routes=[supabase_route(signer), ...])`.

    It lets through the users that the signer signs for, and refuses others as `require_user` does. The application
    needs `HexclaveMiddleware`.

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
