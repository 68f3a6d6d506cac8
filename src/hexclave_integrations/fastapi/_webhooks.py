"""`webhook_router`: the webhook endpoint as a FastAPI router."""

from fastapi import APIRouter
from fastapi.requests import Request
from fastapi.responses import Response

from .._adapter.endpoints import register_endpoint
from .._asgi.webhooks import receive_webhook
from ..webhooks import Webhooks

__all__ = ["webhook_router"]


def webhook_router(webhooks: Webhooks, path: str = "/webhooks/hexclave") -> APIRouter:
    """A router with the endpoint that Hexclave's deliveries go to: `app.include_router(webhook_router(webhooks))`.

    With `Hexclave(app)` on the same application, permissions that an event made untrue are forgotten at once.
    A `Webhooks()` without secrets takes those of that application's configuration, or of the environment.
    Requirements in the application's `dependencies=[...]` let the endpoint pass; whatever else guards all routes has
    to leave it out.

    Args:
        webhooks: verifies and handles the deliveries.
        path: where they are sent to.
    """
    router = APIRouter()

    @router.post(path, include_in_schema=False)
    async def receive(request: Request) -> Response:
        return await receive_webhook(webhooks, request)

    register_endpoint(receive, webhooks)
    return router
