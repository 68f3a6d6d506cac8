"""`supabase_router`: the endpoint that hands a signed-in user's Supabase token to the browser, as a FastAPI router.

Framework types are imported for real here: FastAPI reads them from the annotations at run time.
"""

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, Field

from .._adapter.token_endpoint import guard_for
from .._asgi.token_endpoint import answer_token
from ..user import HexclaveUser
from ._dependencies import require_user

if TYPE_CHECKING:
    from ..supabase import SupabaseSigner

__all__ = ["supabase_router"]


class SupabaseTokenResponse(BaseModel):
    """The answer, as the OpenAPI description has it."""

    token: str = Field(description="The JWT, for Supabase's `accessToken`.")
    expires_at: int = Field(description="When it ends, in epoch seconds.")


def supabase_router(signer: "SupabaseSigner", path: str = "/supabase-token") -> APIRouter:
    """A router with a route for GET that answers `{"token", "expires_at"}`: `app.include_router(supabase_router(...))`.

    It lets through the users that the signer signs for, and refuses others as `require_user` does. The application
    needs `Hexclave(app)`.

    Args:
        signer: signs the tokens.
        path: of the route.

    Raises:
        ConfigurationError: it is no signer.
    """
    guard = guard_for(signer, require_user)
    router = APIRouter()

    @router.get(path, response_model=SupabaseTokenResponse)
    async def supabase_token(user: Annotated[HexclaveUser, Depends(guard)]) -> Response:
        """A Supabase token for the signed-in user."""
        return answer_token(signer, user)

    return router
