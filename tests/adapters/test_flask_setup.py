"""How Flask applications get their settings, what is looked at when they start, and what misuse is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import flask
import pytest

from hexclave_integrations import ConfigurationError, HexclaveConfig
from hexclave_integrations.flask import (
    Hexclave,
    current_user,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
    webhook_blueprint,
)
from hexclave_integrations.testing import Sandbox, SandboxUser
from hexclave_integrations.webhooks import Webhooks


def me() -> Any:
    return {"id": current_user.id}


def finished() -> flask.Flask:
    """A module's application: finished, and of a project that no test knows."""
    app = flask.Flask("example")
    app.config["HEXCLAVE_PROJECT_ID"] = "00000000-0000-4000-8000-000000000000"
    Hexclave(app)
    app.add_url_rule("/me", view_func=require_user(me))
    return app


def answers(app: flask.Flask, sandbox: Sandbox, user: SandboxUser) -> int:
    return app.test_client().get("/me", headers=sandbox.headers(user)).status_code


@pytest.mark.parametrize("name", ["HEXCLAVE_CONFIG", "HEXCLAVE"])
def test_a_whole_configuration_as_setting(name: str) -> None:
    """As in Django, the sandbox's `config` can be the setting, or a dictionary."""
    sandbox = Sandbox()
    app = flask.Flask("example")
    app.config[name] = sandbox.config
    app.add_url_rule("/me", view_func=require_user(me))
    Hexclave(app)

    assert answers(app, sandbox, sandbox.create_user()) == 200
    spelt = flask.Flask("example")
    spelt.config[name] = {"PROJECT_ID": sandbox.config.project_id}
    Hexclave(spelt)
    assert spelt.extensions["hexclave"].client.config.project_id == sandbox.config.project_id


def test_a_wrong_whole_configuration() -> None:
    """It is told at once, and so are settings given to the extension that are none."""
    app = flask.Flask("example")
    app.config["HEXCLAVE_CONFIG"] = "config"
    with pytest.raises(ConfigurationError, match=r'app.config\["HEXCLAVE_CONFIG"\] is no HexclaveConfig'):
        Hexclave(app)
    given: Any = {"PROJECT_ID": "x"}
    with pytest.raises(ConfigurationError, match=r"takes a HexclaveConfig"):
        Hexclave(flask.Flask("example"), given)


def test_a_finished_application_in_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test gives an imported application a sandbox, the next one another, and afterwards it is as it was."""
    app = finished()
    for _ in range(2):
        sandbox = Sandbox()
        alice = sandbox.create_user()
        assert answers(app, sandbox, alice) == 401
        with monkeypatch.context() as patch:
            patch.setitem(app.config, "HEXCLAVE_CONFIG", sandbox.config)
            assert answers(app, sandbox, alice) == 200
            with app.app_context():
                assert app.extensions["hexclave"].client.config == sandbox.config
        assert answers(app, sandbox, alice) == 401


def test_installing_twice_names_the_way_for_tests() -> None:
    """A second extension on one application is an error that says what a test does instead."""
    with pytest.raises(ConfigurationError, match=r'app.config\["HEXCLAVE_CONFIG"\] = sandbox.config'):
        Hexclave(finished(), HexclaveConfig(project_id="00000000-0000-4000-8000-000000000000"))


def test_a_request_context_without_a_server() -> None:
    """`app.test_request_context` with the sandbox's header is a request like any other."""
    sandbox = Sandbox()
    app = flask.Flask("example")
    Hexclave(app, sandbox.config)
    alice = sandbox.create_user()

    with app.test_request_context("/", headers=sandbox.headers(alice)):
        assert require_user(me)() == {"id": alice.id}
    with app.test_request_context("/"):
        assert not current_user


def test_what_is_looked_at_before_the_first_request() -> None:
    """`check` says everything at once, and nothing where all is well."""
    sandbox = Sandbox()
    app = flask.Flask("example")
    hexclave = Hexclave(app, dataclasses.replace(sandbox.config, secret_server_key=None))
    hexclave.check(app)
    app.add_url_rule("/one", "one", require_team("{team}")(me))
    with pytest.raises(ConfigurationError) as told:
        hexclave.check(app)
    assert "secret_server_key" in str(told.value)
    assert 'no parameter "team"' in str(told.value)
    with pytest.raises(ConfigurationError, match="not installed"):
        hexclave.check(flask.Flask("other"))


untyped: Any = require_user  # what a type checker would say of the following
untyped_permission: Any = require_permission
untyped_team: Any = require_team
untyped_project_permission: Any = require_project_permission


@pytest.mark.parametrize(
    ("misuse", "told"),
    [
        (lambda: untyped(), r"@require_user without \(\)"),
        (lambda: untyped.live()(), r"without \(\)"),
        (lambda: untyped.live(me), r"live was not called. Write require_user.live\(\)"),
        (lambda: untyped.allow(me), r"allow was not called"),
        (lambda: untyped_permission(me), r'Write @require_permission\("\{team_id\}"'),
        (lambda: untyped_permission(), r"Write @require_permission"),
        (lambda: untyped_team(), r"Write @require_team"),
        (lambda: untyped_project_permission(), r"Write @require_project_permission"),
    ],
)
def test_misuse_is_told_in_words(misuse: Any, told: str) -> None:
    """A requirement that is called, or not called, where it should not be says what to write."""
    with pytest.raises(ConfigurationError, match=told):
        misuse()


def test_webhooks_follow_the_configuration_of_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint without secrets of its own verifies with those of the sandbox that a test gives the application."""
    monkeypatch.setenv("HEXCLAVE_WEBHOOK_SECRET", Sandbox().config.webhook_secrets[0])
    app = finished()
    app.register_blueprint(webhook_blueprint(Webhooks(), "/hook"))
    sandbox = Sandbox()
    body, headers = sandbox.webhook("user.created", {"id": sandbox.create_user().id})

    assert app.test_client().post("/hook", data=body, headers=headers).status_code == 400
    monkeypatch.setitem(app.config, "HEXCLAVE_CONFIG", sandbox.config)
    assert app.test_client().post("/hook", data=body, headers=headers).status_code == 200
