"""The webhook endpoint as an ASGI answer; works without the authentication middleware."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from .._adapter.bodies import read_body
from ..webhooks import Webhooks
from .caller import SCOPE_KEY

__all__ = ["receive_webhook"]


async def receive_webhook(webhooks: Webhooks, request: Request) -> Response:
    """Receive one delivery: the endpoint of a route for POST.

    Args:
        webhooks: verifies and handles it.
    """
    try:
        body = await read_body(request, webhooks.max_body)
    except ClientDisconnect:
        body = b""  # half a body is not a delivery, and nobody waits for the answer
    caller = request.scope.get(SCOPE_KEY)
    client = None if caller is None else caller.client
    status, headers, content = await webhooks.areceive(body, request.scope["headers"], client)
    return Response(content, status, dict(headers))
