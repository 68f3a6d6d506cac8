"""`supabase_blueprint`: the endpoint that hands a signed-in user's Supabase token to the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response

from .._adapter.token_endpoint import guard_for
from ._caller import current_user
from ._requirements import require_user

if TYPE_CHECKING:
    from ..supabase import SupabaseSigner

__all__ = ["supabase_blueprint"]


def supabase_blueprint(
    signer: SupabaseSigner, path: str = "/supabase-token", name: str = "hexclave_supabase"
) -> Blueprint:
    """A blueprint with a route for GET that answers `{"token", "expires_at"}`.

    `app.register_blueprint(supabase_blueprint(signer))`. It lets the kinds of users through that the signer signs for,
    and refuses all others as `require_user` does. `Hexclave(app)` has to be on the application.

    Args:
        signer: signs the tokens.
        path: of the route.
        name: of the blueprint; one for each endpoint of an application.

    Raises:
        ConfigurationError: `signer` is no signer.
    """
    blueprint = Blueprint(name, __name__)

    @blueprint.get(path)
    @guard_for(signer, require_user)
    def supabase_token() -> Response:
        issued = signer.issue(current_user)
        return Response(issued.body(), 200, issued.headers())

    return blueprint
