"""Flask extensions that handle errors by themselves: a refusal is the same answer behind each of them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import apiflask
import flask
import flask_smorest  # type: ignore[import-untyped]  # publishes no types
import pytest
from flask.views import MethodView
from werkzeug.test import TestResponse

from hexclave_integrations import ConfigurationError, RequestRefused, errors
from hexclave_integrations.flask import (
    Hexclave,
    current_user,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
)
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


class TestStartOfFlaskRestx:
    """`method_decorators`, which the extension applies while a request runs, are looked at before the first one."""

    def start(self, decorators: Any, path: str = "/teams/<team_id>", **changes: Any) -> None:
        class Team(flask_restx.Resource):  # type: ignore[misc]  # publishes no types
            method_decorators = decorators

            def get(self, team_id: str = "") -> Any:
                return who()

        app = flask.Flask("example")
        hexclave = Hexclave(app, dataclasses.replace(Sandbox().config, **changes))
        flask_restx.Api(app).add_resource(Team, path)
        hexclave.check(app)

    def test_right_ones(self) -> None:
        """A requirement with the route's own parameter."""
        self.start([require_user, require_team("{team_id}")])

    @pytest.mark.parametrize("decorators", [[require_team], [require_user.live], {"get": [require_permission]}])
    def test_a_requirement_that_was_not_called(self, decorators: Any) -> None:
        """It would ask nobody."""
        with pytest.raises(ConfigurationError, match=r"not called|without calling"):
            self.start(decorators)

    def test_a_parameter_that_the_route_lacks(self) -> None:
        """The requirement could never be met."""
        with pytest.raises(ConfigurationError, match='no parameter "team"'):
            self.start([require_team("{team}")])
        with pytest.raises(ConfigurationError, match='no parameter "team_id"'):
            self.start({"get": [require_team("{team_id}")]}, "/team")

    def test_a_server_key_that_is_not_set(self) -> None:
        """Every request would be an error."""
        with pytest.raises(ConfigurationError, match="secret_server_key"):
            self.start([require_team("{team_id}")], secret_server_key=None)


def test_namespaces_of_flask_restx() -> None:
    """The decorators of a namespace guard its resources, are answered alike, and are looked at as well."""
    sandbox = Sandbox()
    app = flask.Flask("example")
    Hexclave(app, sandbox.config)
    api = flask_restx.Api(app)
    namespace = api.namespace("things", decorators=[require_team("{team_id}")])

    @namespace.route("/<team_id>")
    class Thing(flask_restx.Resource):  # type: ignore[misc]  # publishes no types
        def get(self, team_id: str) -> Any:
            return {"user": current_user}

    other = flask.Flask("other")
    wrong = Hexclave(other, sandbox.config)
    flask_restx.Api(other).namespace("n", decorators=[require_team("{team_id}")]).add_resource(
        flask_restx.Resource, "/x"
    )
    with pytest.raises(ConfigurationError, match="/n/x has no parameter"):
        wrong.check(other)

    alice, team = sandbox.create_user(), sandbox.create_team()
    client = app.test_client()
    assert client.get(f"/things/{team.id}").data == errors.NotAuthenticated().body()
    assert client.get(f"/things/{team.id}", headers=sandbox.headers(alice)).status_code == 403
    bob = sandbox.create_user()
    sandbox.add_member(team, bob)
    answer: Any = client.get(f"/things/{team.id}", headers=sandbox.headers(bob))
    assert (answer.status_code, answer.json["user"]["id"]) == (200, bob.id)
    assert "session_id" not in answer.json["user"]


@pytest.mark.parametrize("handled", [Exception, "blueprint", 500])
def test_error_handlers_of_the_application(handled: Any) -> None:
    """Handlers for everything, which log and answer 500, get no refusal to see; nor do those of a blueprint."""
    app = flask.Flask("example")
    Hexclave(app, Sandbox().config)
    blueprint = flask.Blueprint("part", __name__)
    blueprint.add_url_rule("/me", view_func=require_user(who))

    def broken(error: Any) -> Any:
        return "broken", 500

    if handled == "blueprint":
        blueprint.register_error_handler(Exception, broken)
    else:
        app.register_error_handler(handled, broken)
    app.register_blueprint(blueprint)

    answer = app.test_client().get("/me")
    assert (answer.status_code, answer.data) == (401, errors.NotAuthenticated().body())


def test_a_blueprint_may_answer_refusals_itself() -> None:
    """Its handler for refusals counts for its own routes, and those of other routes go on as before."""
    app = flask.Flask("example")
    Hexclave(app, Sandbox().config)
    for name in ("own", "other"):
        blueprint = flask.Blueprint(name, __name__, url_prefix=f"/{name}")
        blueprint.add_url_rule("/me", view_func=require_user(who))
        if name == "own":
            blueprint.register_error_handler(errors.AuthenticationError, lambda error: (error.code, 418))
        app.register_blueprint(blueprint)

    assert app.test_client().get("/own/me").status_code == 418
    assert app.test_client().get("/other/me").status_code == 401
