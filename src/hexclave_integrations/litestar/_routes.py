"""Endpoints in a box: where Hexclave's deliveries go, and where a browser gets its Supabase token.

Framework types are imported for real here: Litestar reads them from the annotations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get, post
from litestar.exceptions import InternalServerException
from litestar.handlers import HTTPRouteHandler

from .._adapter.bodies import read_body
from .._adapter.endpoints import register_endpoint
from .._adapter.token_endpoint import guard_for
from ..webhooks import Webhooks
from ._caller import SCOPE_KEY
from ._guards import require_user

if TYPE_CHECKING:
    from ..supabase import SupabaseSigner

__all__ = ["supabase_handler", "webhook_handler"]


def webhook_handler(webhooks: Webhooks, path: str = "/webhooks/hexclave") -> HTTPRouteHandler:
    """The handler for Hexclave's deliveries: `Litestar([webhook_handler(webhooks), ...])`.

    With `HexclavePlugin` on the same application, permissions that an event made untrue are forgotten at once.
    Requirements among the application's guards let the handler pass.

    Args:
        webhooks: verifies and handles the deliveries.
        path: where they are sent to.
    """

    async def receive_webhook(request: Request[Any, Any, Any]) -> Response[bytes]:
        try:
            body = await read_body(request, webhooks.max_body)
        except InternalServerException:  # the sender has gone: what has arrived is no delivery
            body = b""
        caller: Any = request.scope.get(SCOPE_KEY)
        client = None if caller is None else caller.client
        status, headers, content = await webhooks.areceive(body, request.scope["headers"], client)
        return _respond(status, dict(headers), content)

    register_endpoint(receive_webhook, webhooks)
    return post(path, include_in_schema=False, request_max_body_size=None, exclude_from_csrf=True)(receive_webhook)


def supabase_handler(signer: SupabaseSigner, path: str = "/supabase-token") -> HTTPRouteHandler:
    """A handler for GET that answers `{"token", "expires_at"}`; it needs `HexclavePlugin`.

    It lets through whom the signer signs for, and refuses as `require_user` does.

    Args:
        signer: signs the tokens.
        path: of the route.

    Raises:
        ConfigurationError: it is no signer.
    """

    @get(path, guards=[guard_for(signer, require_user)])
    async def supabase_token(request: Request[Any, Any, Any]) -> Response[bytes]:
        issued = signer.issue(request.user)
        return _respond(200, dict(issued.headers()), issued.body())

    return supabase_token


def _respond(status: int, headers: dict[str, str], content: bytes) -> Response[bytes]:
    """An answer whose content type is among its headers."""
    media_type = headers.pop("Content-Type", "application/json")
    return Response(content, status_code=status, media_type=media_type, headers=headers)
