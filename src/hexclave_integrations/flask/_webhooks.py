"""`webhook_blueprint`: the webhook endpoint as a Flask blueprint; works without `Hexclave(app)`."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, request

from ..client import HexclaveClient
from ..webhooks import Webhooks
from ._caller import EXTENSION

__all__ = ["webhook_blueprint"]


def webhook_blueprint(
    webhooks: Webhooks, path: str = "/webhooks/hexclave", name: str = "hexclave_webhooks"
) -> Blueprint:
    """A blueprint with the endpoint that Hexclave's deliveries go to: `app.register_blueprint(webhook_blueprint(...))`.

    With `Hexclave(app)` on the same application, permissions that an event made untrue are forgotten at once.
    If the application has CSRF protection of its own, exempt this blueprint: deliveries are signed.

    Args:
        webhooks: verifies and handles the deliveries.
        path: where they are sent to.
        name: of the blueprint; one for each endpoint of an application.
    """
    blueprint = Blueprint(name, __name__)

    @blueprint.post(path)
    def receive() -> Response:
        body = _read(webhooks.max_body)
        installation = current_app.extensions.get(EXTENSION)
        client: HexclaveClient | None = None if installation is None else installation.client
        status, headers, content = webhooks.receive(body, request.headers.items(), client)
        return Response(content, status, headers)

    return blueprint


def _read(limit: int) -> bytes:
    """The raw body, which may have been read before, or enough of it to show that it is longer than it may be."""
    if request.content_length is not None and request.content_length <= limit:
        return request.get_data()
    return request.stream.read(limit + 1) or request.get_data()
