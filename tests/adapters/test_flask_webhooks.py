"""Flask's webhook endpoint: what is left of a body when others have read it, and what it is served with."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import flask
import pytest

from hexclave_integrations import ConfigurationError
from hexclave_integrations.flask import Hexclave, webhook_blueprint
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

from .._webhooks import SECRET, event, signed

PATH = "/webhooks/hexclave"


def app_with(webhooks: Webhooks) -> flask.Flask:
    app = flask.Flask("webhooks")
    app.register_blueprint(webhook_blueprint(webhooks, PATH))
    return app


READERS: dict[str, Any] = {
    "data": lambda: flask.request.data,
    "get_data": lambda: flask.request.get_data(),
    "get_json": lambda: flask.request.get_json(),
    "stream": lambda: flask.request.stream,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_body_that_was_read_before(read: Any) -> None:
    """Code that runs before the endpoint may look at the body."""
    app = app_with(Webhooks([SECRET]))
    app.before_request(lambda: read() and None)
    body, headers = event()

    answer = app.test_client().post(PATH, data=body, headers=headers, content_type="application/json")
    assert (answer.status_code, answer.json) == (200, {"status": "handled"})


def test_a_body_that_is_read_afterwards() -> None:
    """Code that runs after the endpoint may look at it as well."""
    app, seen = app_with(Webhooks([SECRET])), list[bytes]()

    @app.after_request
    def log(response: flask.Response) -> flask.Response:
        seen.append(flask.request.get_data())
        return response

    body, headers = event()
    assert app.test_client().post(PATH, data=body, headers=headers).status_code == 200
    assert seen == [body]


@pytest.mark.parametrize("read", [lambda: None, READERS["data"]], ids=["not read", "read before"])
@pytest.mark.parametrize(("length", "status"), [(1000, 200), (1001, 400)])
def test_the_longest_body(length: int, status: int, read: Any) -> None:
    """A byte more than `max_body` is refused, whoever reads it first."""
    app = app_with(Webhooks([SECRET], max_body=1000))
    app.before_request(lambda: read() and None)
    body, headers = signed('{"type": "x", "data": {}}'.ljust(length))

    assert app.test_client().post(PATH, data=body, headers=headers).status_code == status


@pytest.mark.parametrize(("length", "status"), [(1000, 200), (1001, 400)])
def test_a_chunked_body(length: int, status: int) -> None:
    """A body without a declared length is read up to its end or the limit."""
    app = app_with(Webhooks([SECRET], max_body=1000))
    body, headers = signed('{"type": "x", "data": {}}'.ljust(length))
    answer = app.test_client().post(
        PATH,
        input_stream=io.BytesIO(body),
        headers=headers,
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )
    assert answer.status_code == status


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret in the environment."""
    for name in (
        "HEXCLAVE_WEBHOOK_SECRET",
        "STACK_WEBHOOK_SECRET",
        "HEXCLAVE_WEBHOOK_SECRETS",
        "STACK_WEBHOOK_SECRETS",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_environment")
@pytest.mark.parametrize("blueprint_first", [False, True])
def test_secrets_of_the_application(blueprint_first: bool) -> None:
    """An endpoint without secrets of its own takes those that the application is configured with."""
    sandbox, webhooks = Sandbox(), Webhooks()
    app = flask.Flask("webhooks")
    if not blueprint_first:
        Hexclave(app, sandbox.config)
    app.register_blueprint(webhook_blueprint(webhooks, PATH))
    if blueprint_first:
        Hexclave(app, sandbox.config)
    client = app.test_client()
    body, headers = sandbox.webhook("user.deleted", {"id": "x"})

    assert client.post(PATH, data=body, headers=headers).status_code == 200
    assert client.post(PATH, data=event()[0], headers=event()[1]).status_code == 400


@pytest.mark.usefixtures("no_environment")
def test_no_secret_anywhere() -> None:
    """An application that has none does not start with such an endpoint."""
    app = flask.Flask("webhooks")
    Hexclave(app, dataclasses.replace(Sandbox().config, webhook_secrets=()))
    with pytest.raises(ConfigurationError, match="webhook_secrets is missing"):
        app.register_blueprint(webhook_blueprint(Webhooks(), PATH))


def test_secrets_of_its_own() -> None:
    """An endpoint that was given secrets takes no others."""
    sandbox = Sandbox()
    app = app_with(Webhooks([SECRET]))
    Hexclave(app, sandbox.config)
    answers = [
        app.test_client().post(PATH, data=body, headers=headers).status_code
        for body, headers in (event(), sandbox.webhook("user.deleted", {"id": "x"}))
    ]
    assert answers == [200, 400]
