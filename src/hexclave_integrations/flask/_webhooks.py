"""`webhook_blueprint`: the webhook endpoint as a Flask blueprint; works without `Hexclave(app)`."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, request
from flask.sansio.blueprints import BlueprintSetupState

from .._adapter.endpoints import register_endpoint
from ..client import HexclaveClient
from ..webhooks import Webhooks
from ._caller import EXTENSION

__all__ = ["webhook_blueprint"]


def webhook_blueprint(
    webhooks: Webhooks, path: str = "/webhooks/hexclave", name: str = "hexclave_webhooks"
) -> Blueprint:
    """A blueprint with the endpoint that Hexclave's deliveries go to: `app.register_blueprint(webhook_blueprint(...))`.

    With `Hexclave(app)` on the same application, permissions that an event made untrue are forgotten at once.
    A `Webhooks()` without secrets takes those of that application's configuration, or of the environment.
    `before_request(require_user.check)` lets the endpoint pass. If the application has CSRF protection of its own,
    exempt this blueprint, as in Flask-WTF's `csrf.exempt(blueprint)`: deliveries are signed.

    Args:
        webhooks: verifies and handles the deliveries.
        path: where they are sent to.
        name: of the blueprint; one for each endpoint of an application.

    Raises:
        ConfigurationError: on registration with an application that has `Hexclave(app)`: there is no secret.
    """
    blueprint = Blueprint(name, __name__)

    @blueprint.record
    def check(state: BlueprintSetupState) -> None:
        installation = state.app.extensions.get(EXTENSION)
        if installation is not None:  # else it may be there later
            webhooks.check_secrets(installation.client.config)

    @blueprint.post(path)
    def receive() -> Response:
        body = _read(webhooks.max_body)
        installation = current_app.extensions.get(EXTENSION)
        client: HexclaveClient | None = None if installation is None else installation.client
        multiprocess = request.environ.get("wsgi.multiprocess")
        status, headers, content = webhooks.receive(
            body, request.headers.items(), client, multiprocess=None if multiprocess is None else bool(multiprocess)
        )
        return Response(content, status, headers)

    register_endpoint(receive, webhooks)
    return blueprint


def _read(limit: int) -> bytes:
    """The raw body, which may have been read before, or enough of it to show that it is longer than it may be."""
    if request.content_length is not None and request.content_length <= limit:
        return request.get_data()
    return request.stream.read(limit + 1) or request.get_data()
