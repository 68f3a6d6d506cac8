"""`supabase_view`: the endpoint that hands a signed-in user's Supabase token to the browser, under WSGI and ASGI."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from .._adapter.token_endpoint import guard_for
from ._requirements import require_user

if TYPE_CHECKING:
    from ..supabase import SupabaseSigner

__all__ = ["supabase_view"]


def supabase_view(signer: SupabaseSigner) -> Callable[[HttpRequest], HttpResponse]:
    """A view for GET that answers `{"token", "expires_at"}`: `path("supabase-token", supabase_view(signer))`.

    It lets the users through that the signer signs for, and refuses as `require_user` does. HexclaveMiddleware has to
    be in the settings. It needs no other login.

    Args:
        signer: signs the tokens.

    Raises:
        ConfigurationError: it is no signer.
    """

    @guard_for(signer, require_user)
    def supabase_token(request: Any) -> HttpResponse:  # a request with the attributes of this adapter
        issued = signer.issue(request.hexclave_user)
        return HttpResponse(issued.body(), headers=dict(issued.headers()))

    view: Callable[[HttpRequest], HttpResponse] = require_safe(supabase_token)
    return view
