"""A small Flask application behind Hexclave.

Set HEXCLAVE_PROJECT_ID and HEXCLAVE_SECRET_SERVER_KEY, and for webhooks HEXCLAVE_WEBHOOK_SECRET, then::

    flask --app examples.flask_app.main run

`flask --app examples.flask_app.main hexclave check` says beforehand what would be wrong.
"""

from __future__ import annotations

from flask import Blueprint, Flask

from hexclave_integrations import HexclaveConfig
from hexclave_integrations.flask import (
    Hexclave,
    current_api_key,
    current_user,
    optional_user,
    require_api_key,
    require_permission,
    require_user,
    webhook_blueprint,
)
from hexclave_integrations.webhooks import Webhooks

hexclave = Hexclave()
pages = Blueprint("pages", __name__)
account = Blueprint("account", __name__, url_prefix="/account")

# Too dangerous to trust a token that outlives its session: Hexclave is asked on every request.
account.before_request(require_user.live().check)


@pages.get("/")
@optional_user
def welcome() -> dict[str, str]:
    """Everyone may come in; we greet those we know."""
    return {"hello": (current_user.display_name if current_user else None) or "stranger"}


@pages.get("/me")
@require_user
def me() -> dict[str, str | None]:
    """For signed-in users: not for anonymous ones, nor for restricted ones."""
    return {"id": current_user.id, "name": current_user.display_name}


@pages.post("/teams/<team_id>/reports")
@require_permission("{team_id}", "export_reports")
def export(team_id: str) -> dict[str, str]:
    """For those who hold the permission in that team."""
    return {"exported": team_id}


@account.delete("")
def delete_account() -> dict[str, str]:
    """Guarded by the blueprint."""
    return {"deleted": current_user.id}


@pages.get("/machine")
@require_api_key
def machine() -> dict[str, str]:
    """For scripts, with an API key."""
    return {"key": current_api_key.description}


def create_app() -> Flask:
    """The application, configured from the environment."""
    app = Flask(__name__)
    hexclave.init_app(app)
    app.register_blueprint(pages)
    app.register_blueprint(account)
    if secrets := HexclaveConfig.webhook_secrets_from_env():
        # Handlers would be added here; a permission that was revoked is forgotten without our doing.
        app.register_blueprint(webhook_blueprint(Webhooks(secrets)))
    return app


app = create_app()
