"""Flask extensions that handle errors by themselves: a refusal is the same answer behind each of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import apiflask
import flask
import flask_smorest  # type: ignore[import-untyped]  # publishes no types
import pytest
from flask.views import MethodView
from werkzeug.test import TestResponse

from hexclave_integrations import RequestRefused, errors
from hexclave_integrations.flask import Hexclave, current_user, require_project_permission, require_user
from hexclave_integrations.testing import Sandbox

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports a part of jsonschema that is going away
    import flask_restx  # type: ignore[import-untyped]  # publishes no types

Guard = Callable[[Callable[..., Any]], Callable[..., Any]]
Extension = Callable[[flask.Flask, Guard], None]


def who() -> dict[str, Any]:
    return {"id": current_user.id}


def restx(app: flask.Flask, requirement: Guard) -> None:
    class Me(flask_restx.Resource):  # type: ignore[misc]  # publishes no types
        method_decorators = [requirement]  # noqa: RUF012  # the extension's own spelling

        def get(self) -> Any:
            return who()

    flask_restx.Api(app).add_resource(Me, "/me")


def restx_marshalled(app: flask.Flask, requirement: Guard) -> None:
    class Me(flask_restx.Resource):  # type: ignore[misc]  # publishes no types
        pass

    api = flask_restx.Api(app)
    Me.get = api.marshal_with(api.model("Me", {"id": flask_restx.fields.String}))(requirement(lambda resource: who()))
    api.add_resource(Me, "/me")


def restx_blueprint(app: flask.Flask, requirement: Guard) -> None:
    class Me(flask_restx.Resource):  # type: ignore[misc]  # publishes no types
        @requirement
        def get(self) -> Any:
            return who()

    blueprint = flask.Blueprint("api", __name__)
    flask_restx.Api(blueprint).add_resource(Me, "/me")
    app.register_blueprint(blueprint)


def smorest(app: flask.Flask, requirement: Guard) -> None:
    app.config.update(API_TITLE="example", API_VERSION="1", OPENAPI_VERSION="3.1.0")
    blueprint = flask_smorest.Blueprint("api", __name__)

    class Me(MethodView):
        get = blueprint.response(200)(requirement(lambda view: who()))

    blueprint.route("/me")(Me)
    flask_smorest.Api(app).register_blueprint(blueprint)


def apiflask_blueprint(app: flask.Flask, requirement: Guard) -> None:
    blueprint = apiflask.APIBlueprint("api", __name__)

    @blueprint.get("/me")
    @requirement
    def me() -> Any:
        return who()

    app.register_blueprint(blueprint)


def new_app(extension: Extension) -> flask.Flask:
    if extension is apiflask_blueprint:
        return apiflask.APIFlask("example")
    return flask.Flask("example")


EXTENSIONS = [restx, restx_marshalled, restx_blueprint, smorest, apiflask_blueprint]
each_extension = pytest.mark.parametrize("extension", EXTENSIONS)


@each_extension
@pytest.mark.parametrize("setting", [None, "TESTING", "DEBUG", "PROPAGATE_EXCEPTIONS"])
@pytest.mark.parametrize("is_first", [True, False], ids=["Hexclave first", "Hexclave last"])
def test_refusals_behind_extensions(extension: Extension, setting: str | None, is_first: bool) -> None:
    """401, 403 and 503 with the same bytes and headers as everywhere, in whatever order the two are installed."""
    sandbox = Sandbox()
    alice = sandbox.create_user()
    app = new_app(extension)
    if setting is not None:
        app.config[setting] = True
    if is_first:
        Hexclave(app, sandbox.config)
    extension(app, require_project_permission("read"))
    if not is_first:
        Hexclave(app, sandbox.config)
    client, headers = app.test_client(), sandbox.headers(alice)

    refused: list[tuple[TestResponse, RequestRefused]] = [
        (client.get("/me"), errors.NotAuthenticated()),
        (client.get("/me", headers=headers), errors.ProjectPermissionRequired(details={"permission_id": "read"})),
    ]
    with sandbox.outage():
        bobs = sandbox.headers(sandbox.create_user())
        refused.append((client.get("/me", headers=bobs), errors.Unavailable()))
    for answer, error in refused:
        assert (answer.status_code, answer.data) == (error.status, error.body())
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.headers.get("WWW-Authenticate") == dict(error.headers()).get("WWW-Authenticate")


@each_extension
def test_who_is_let_in_behind_extensions(extension: Extension) -> None:
    """The view of the extension sees the user."""
    sandbox = Sandbox()
    alice = sandbox.create_user()
    app = new_app(extension)
    Hexclave(app, sandbox.config)
    extension(app, require_user)

    assert app.test_client().get("/me", headers=sandbox.headers(alice)).json == {"id": alice.id}


@each_extension
def test_the_applications_own_answer_wins_behind_extensions(extension: Extension) -> None:
    """An application that answers refusals itself does so behind an extension too."""
    app = new_app(extension)
    Hexclave(app, Sandbox().config)
    extension(app, require_user)

    @app.errorhandler(RequestRefused)
    def mine(error: RequestRefused) -> Any:
        return {"mine": error.code}, 418

    answer = app.test_client().get("/me")
    assert (answer.status_code, answer.json) == (418, {"mine": "USER_AUTHENTICATION_REQUIRED"})


@each_extension
def test_other_errors_stay_the_extensions(extension: Extension) -> None:
    """What is no refusal is answered as without Hexclave."""
    app, plain = new_app(extension), new_app(extension)
    Hexclave(app, Sandbox().config)

    def failing(view: Any) -> Any:
        def fail(*args: Any, **kwargs: Any) -> Any:
            raise KeyError("fault")

        return fail

    for one in (app, plain):
        extension(one, failing)
        one.logger.disabled = True
    answer, expected = (one.test_client().get("/me") for one in (app, plain))
    assert (answer.status_code, answer.data) == (500, expected.data)
