# pyright: strict
"""An application of Flask, as its author would annotate it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_type

from flask import Blueprint, Flask, Response, jsonify, request
from flask.views import MethodView

from hexclave_integrations import HexclaveApiKey, HexclaveClient, HexclaveUser, RequestRefused
from hexclave_integrations.flask import (
    FlaskRequirement,
    Hexclave,
    current_api_key,
    current_user,
    optional_user,
    require_api_key,
    require_permission,
    require_team,
    require_user,
)

app = Flask(__name__)
app.config["HEXCLAVE_PROJECT_ID"] = "internal"
app.config["HEXCLAVE_SECRET_SERVER_KEY"] = "ssk_typed"
hexclave = Hexclave(app)
assert_type(require_team("{team_id}"), FlaskRequirement)


@app.get("/me")
@require_user
def me() -> dict[str, str]:
    assert_type(current_user, HexclaveUser)
    return {"id": current_user.id}


@app.post("/teams/<team_id>/reports/<int:number>")
@require_permission("{team_id}", "export_reports")
async def export(team_id: str, number: int) -> tuple[Response, int]:
    return jsonify(exported=team_id, number=number), 201


assert_type(me, Callable[[], Any])


@require_user.allow(restricted=True).live()
def render(team_id: str, number: int = 1) -> str:
    return f"{team_id} {number}"


def calls() -> None:
    me()
    render("team", number=2)


@app.get("/greeting")
@optional_user
def greeting() -> str:
    return f"Hello, {current_user.display_name}" if current_user else "Hello"


@app.get("/key")
@require_api_key
def key() -> dict[str, str | None]:
    assert_type(current_api_key, HexclaveApiKey)
    return {"team": current_api_key.team_id}


class Reports(MethodView):
    decorators = [require_user]  # noqa: RUF012

    def get(self) -> list[str]:
        return []


app.add_url_rule("/reports", view_func=Reports.as_view("reports"))

blueprint = Blueprint("admin", __name__)
blueprint.before_request(require_user.check)
app.register_blueprint(blueprint)


@app.errorhandler(RequestRefused)
def refused(error: RequestRefused) -> tuple[dict[str, str], int, list[tuple[str, str]]]:
    return {"code": error.code}, error.status, error.headers()


def token_text() -> str:
    assert_type(hexclave.client, HexclaveClient)
    return hexclave.client.access_token(request.headers).text
