"""`webhook_route`: the webhook endpoint as a route of Starlette; works without `HexclaveMiddleware`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .._adapter.endpoints import register_endpoint
from .._asgi.webhooks import receive_webhook
from ..errors import ConfigurationError
from ..webhooks import Webhooks

__all__ = ["webhook_route"]


def webhook_route(webhooks: Webhooks, path: str = "/webhooks/hexclave") -> Route:
    """The route that Hexclave's deliveries go to: `Starlette(routes=[webhook_route(webhooks), ...])`.

    With `HexclaveMiddleware` on the same application, permissions that an event made untrue are forgotten at once.
    A `Webhooks()` without secrets takes those of that application's configuration, or of the environment.

    Args:
        webhooks: verifies and handles the deliveries.
        path: where they are sent to.

    Raises:
        ConfigurationError: it is no `Webhooks`.
    """
    if not isinstance(webhooks, Webhooks):
        raise ConfigurationError("webhook_route() takes a Webhooks: Starlette(routes=[webhook_route(webhooks)]).")

    async def receive(request: Request) -> Response:
        return await receive_webhook(webhooks, request)

    register_endpoint(receive, webhooks)
    return Route(path, receive, methods=["POST"], include_in_schema=False)
