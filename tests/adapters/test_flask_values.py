"""Users and API keys as answers of Flask: always the public fields."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import flask
import pytest
from flask.json.provider import DefaultJSONProvider

from hexclave_integrations.flask import Hexclave, current_api_key, current_user, require_api_key, require_user
from hexclave_integrations.testing import Sandbox

VIEWS: dict[str, Callable[[], Any]] = {
    "returned": lambda: current_user,
    "returned with a status": lambda: (current_user, 200),
    "returned with headers": lambda: (current_user, 200, {"x-own": "1"}),
    "jsonify": lambda: flask.jsonify(current_user),
    "the user itself": lambda: flask.jsonify(current_user._get_current_object()),  # type: ignore[attr-defined]
    "returned itself": lambda: current_user._get_current_object(),  # type: ignore[attr-defined]
    "in a dictionary": lambda: {"user": current_user},
    "jsonify by name": lambda: flask.jsonify(user=current_user),
    "in a list": lambda: [current_user],
    "dumps": lambda: flask.json.dumps(current_user),
    "in a template": lambda: flask.render_template_string("{{ current_user|tojson }}"),
    "make_response": lambda: flask.make_response(current_user),
}


class OwnProvider(DefaultJSONProvider):
    """A provider as applications have them."""

    @staticmethod
    def default(value: Any) -> Any:
        return "own" if isinstance(value, complex) else DefaultJSONProvider.default(value)


@pytest.mark.parametrize("provider", [None, "before", "after"])
@pytest.mark.parametrize("view", VIEWS.values(), ids=list(VIEWS))
def test_a_user_as_answer_shows_the_public_fields(view: Callable[[], Any], provider: str | None) -> None:
    """However a view answers with the user, whichever JSON provider there is: six fields, no session, no claims."""
    sandbox = Sandbox()
    alice = sandbox.create_user(display_name="Alice")
    app = flask.Flask("example")
    app.config.update(TESTING=True)
    if provider == "before":
        app.json = OwnProvider(app)
    Hexclave(app, sandbox.config)
    if provider == "after":
        app.json = OwnProvider(app)
    app.add_url_rule("/", "page", require_user(view))
    app.add_url_rule("/other", "other", lambda: {"other": 1j})

    answer = app.test_client().get("/", headers=sandbox.headers(alice))
    found = json.loads(answer.data)
    found = found[0] if isinstance(found, list) else found.get("user", found)
    expected = {"id": alice.id, "kind": "regular", "display_name": "Alice", "primary_email": None}
    assert found == {**expected, "primary_email_verified": False, "selected_team_id": None}
    if provider is not None:
        assert app.test_client().get("/other").json == {"other": "own"}


@pytest.mark.parametrize(
    ("view", "body"),
    [(lambda: current_user, None), (lambda: {"user": current_user}, {"user": None}), (lambda: current_api_key, None)],
)
def test_nobody_as_answer_is_null(view: Callable[[], Any], body: Any) -> None:
    """Where nobody is signed in."""
    app = flask.Flask("example")
    Hexclave(app, Sandbox().config)
    app.add_url_rule("/", view_func=view)

    assert app.test_client().get("/").json == body


def test_an_api_key_as_answer_shows_the_public_fields() -> None:
    """Whose key it is, and not what its maker wrote."""
    sandbox = Sandbox()
    alice = sandbox.create_user()
    key = sandbox.create_api_key(alice)
    app = flask.Flask("example")
    Hexclave(app, sandbox.config)

    def owner() -> Any:
        return current_api_key

    app.add_url_rule("/", view_func=require_api_key(owner))

    found = app.test_client().get("/", headers={"x-api-key": key.value}).json
    assert found == {"id": key.id, "type": "user", "user_id": alice.id, "team_id": None}


def test_what_cannot_be_encoded_stays_an_error() -> None:
    """The encoder knows our values only."""
    app = flask.Flask("example")
    Hexclave(app, Sandbox().config)
    app.add_url_rule("/", view_func=lambda: {"no": object()})
    app.logger.disabled = True

    assert app.test_client().get("/").status_code == 500
