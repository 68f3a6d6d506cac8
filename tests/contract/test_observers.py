"""What an observer is told of requests and deliveries through every framework."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import flask as flask_framework
import pytest
from django.test import Client, override_settings
from django.urls import path
from fastapi import FastAPI
from fastapi.testclient import TestClient

from hexclave_integrations import HexclaveConfig, fastapi, flask
from hexclave_integrations.django import webhook_view
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

from .._observing import Failing, Recorder
from .apps import COLUMNS, Build
from .table import World
from .test_webhook_contract import PATH, RECEIVERS, Post

every_column = pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in COLUMNS.items()])


def token(text: str) -> dict[str, str]:
    return {"x-stack-access-token": text}


@every_column
def test_admissions_and_look_ups_are_told_once(build: Build) -> None:
    """One admission a request by scope and kind of caller; a token is looked up once a request, and then known."""
    world, observer = World(), Recorder()
    alice = token(world.sandbox.token(world.alice))
    key = {"x-api-key": world.sandbox.create_api_key(user=world.alice).value}
    export = f"/teams/{world.team.id}/export"
    with build(dataclasses.replace(world.sandbox.config, observer=observer)) as ask:
        requests = [
            *[("/me", alice)] * 3,
            ("/anyone", token(world.sandbox.token(world.anonymous))),
            ("/optional", {}),
            *[(export, alice)] * 2,
            *[("/key", key)] * 2,
            ("/either", key),
            ("/public", {}),
            ("/public", alice),
        ]
        assert [ask(where, headers).status for where, headers in requests] == [200] * len(requests)

    assert observer.admissions == {
        ("user", "regular"): 4,
        ("user", "anonymous"): 1,
        ("user", "nobody"): 1,
        ("team permission", "regular"): 2,
        ("api key", "user api key"): 2,
    }
    assert observer.refusals == {}
    assert observer.lookups["token", "memory", False] == 2  # of Alice, and of the anonymous user
    assert observer.lookups["token", "memory", True] in (4, 5)  # some adapters look also where nobody has to come
    assert observer.lookups["permissions", "memory", False] == 1
    assert observer.lookups["permissions", "memory", True] == 1
    assert observer.lookups["api key", "memory", False] == 1
    assert observer.lookups["api key", "memory", True] == 2
    assert observer.lookups["key set", "memory", True] + observer.lookups["key set", "memory", False] == 2
    assert sorted(observer.questions) == [
        ("api key", 200, None),
        ("key set", 200, None),
        ("team permissions", 200, None),
        ("user", 200, None),
    ]
    assert observer.under_way == {}
    assert all(0 <= seconds < 20 for seconds in observer.seconds)


@every_column
def test_refusals_are_told_once_by_their_codes(build: Build) -> None:
    """Each refused request counts once, under the code that its caller got."""
    world, observer = World(), Recorder()
    bob = token(world.sandbox.token(world.bob))
    other = Sandbox()
    with build(dataclasses.replace(world.sandbox.config, observer=observer)) as ask:
        requests = [
            *[("/me", {})] * 2,
            ("/me", token("garbage")),
            ("/me", token(world.forged(world.alice))),
            ("/me", token(world.sandbox.token(world.alice, expires_in=-60))),
            ("/me", token(other.token(other.create_user()))),
            ("/me", token(world.sandbox.token(world.anonymous))),
            ("/me", token(world.sandbox.token(world.restricted))),
            (f"/teams/{world.team.id}/member", bob),
            (f"/teams/{world.team.id}/export", bob),
            ("/project", bob),
            ("/key", {"x-api-key": world.sandbox.create_api_key(user=world.bob).value[:-1]}),
        ]
        codes = [ask(where, headers).body["code"] for where, headers in requests]

    assert observer.refusals == {code: codes.count(code) for code in codes}
    assert len(observer.refusals) == 10
    assert observer.admissions == {}
    # A "no" is an answer: that Bob is no member is a 404.
    assert ("team membership", 404, None) in observer.questions
    assert [failure for _, _, failure in observer.questions if failure] == []


@every_column
def test_an_outage_is_told(build: Build) -> None:
    """What cannot be asked has no status and a failure, a failing server its status; both requests are refused."""
    world, observer = World(), Recorder()
    alice, bob = (token(world.sandbox.token(user)) for user in (world.alice, world.bob))
    config = dataclasses.replace(world.sandbox.config, observer=observer)
    with build(config) as ask:
        assert ask("/me", alice).status == 200
        with world.sandbox.outage():
            assert ask("/project", alice).status == 503
        with world.sandbox.outage("error"):
            assert ask("/project", bob).status == 503

    assert observer.refusals == {"HEXCLAVE_UNAVAILABLE": 2}
    assert observer.questions == [
        ("key set", 200, None),
        ("project permissions", None, "ConnectError"),
        ("project permissions", 500, "500"),
    ]


@every_column
def test_an_observer_that_fails_changes_no_answer(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    """Status, headers and body are as without one, and the log says so once for each method."""
    world, observer = World(), Failing()
    headers = [{}, token("garbage"), token(world.sandbox.token(world.alice)), token(world.sandbox.token(world.bob))]
    paths = ["/me", "/optional", "/project", f"/teams/{world.team.id}/export"]
    answers = []
    with caplog.at_level(logging.ERROR, logger="hexclave_integrations"):
        for config in (world.sandbox.config, dataclasses.replace(world.sandbox.config, observer=observer)):
            with build(config) as ask:
                answers.append([ask(where, given) for where in paths for given in headers])

    assert answers[0] == answers[1]
    assert {200, 401, 403} == {answer.status for answer in answers[1]}
    assert observer.calls > 20
    said = [record.getMessage() for record in caplog.records if "observer" in record.getMessage()]
    assert len(said) == len(set(said))
    assert all(text.endswith(": RuntimeError") for text in said)


@every_column
def test_nothing_secret_is_told(build: Build) -> None:
    """No token, key, id or URL."""
    world, observer = World(), Recorder()
    key = world.sandbox.create_api_key(user=world.alice).value
    access = world.sandbox.token(world.alice)
    config = dataclasses.replace(world.sandbox.config, observer=observer)
    with build(config) as ask:
        for where in ("/me", "/key", "/live", "/project", f"/teams/{world.team.id}/export", "/teams/unknown/member"):
            ask(where, {**token(access), "x-api-key": key})
            ask(where, {**token(access[:-2]), "x-api-key": key[:-2]})

    secrets = [*access.split("."), key, world.alice.id, world.team.id, config.project_id, config.api_url, "://"]
    assert [secret for secret in secrets if secret in observer.told()] == []


# --- webhooks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("receiver", [pytest.param(receiver, id=name) for name, receiver in RECEIVERS.items()])
def test_deliveries_are_told_once(receiver: Callable[[Webhooks], Post], hexclave_sandbox: Sandbox) -> None:
    """By outcome, by type where the kit knows it, and with the code of a refusal."""
    observer = Recorder()
    webhooks = Webhooks(hexclave_sandbox.config.webhook_secrets, observer=observer)

    @webhooks.on("team.updated")
    def fail(event: Any) -> None:
        raise ValueError("the handler's own business")

    post = receiver(webhooks)
    data = {"id": "ad962777-8244-496a-b6a2-e0c6a449c79e"}
    deleted = hexclave_sandbox.webhook("team.deleted", data)
    statuses = [
        post(*deleted)[0],
        post(*deleted)[0],
        post(*hexclave_sandbox.webhook("team.renamed", data))[0],
        post(deleted[0] + b" ", deleted[1])[0],
        post(*hexclave_sandbox.webhook("team.updated", data))[0],
    ]

    assert statuses == [200, 200, 200, 400, 500]
    assert observer.deliveries == {
        ("handled", "team.deleted", None): 1,
        ("duplicate", "team.deleted", None): 1,
        ("handled", None, None): 1,
        ("refused", None, "WEBHOOK_VERIFICATION_FAILED"): 1,
        ("failed", "team.updated", "WEBHOOK_HANDLER_FAILED"): 1,
    }


def in_fastapi(config: HexclaveConfig, body: bytes, headers: dict[str, str]) -> int:
    app = FastAPI()
    fastapi.Hexclave(app, config)
    app.include_router(fastapi.webhook_router(Webhooks(), PATH))
    with TestClient(app) as client:
        return client.post(PATH, content=body, headers=headers).status_code


def in_flask(config: HexclaveConfig, body: bytes, headers: dict[str, str]) -> int:
    app = flask_framework.Flask("observed")
    flask.Hexclave(app, config)
    app.register_blueprint(flask.webhook_blueprint(Webhooks(), PATH))
    return app.test_client().post(PATH, data=body, headers=headers).status_code


def in_django(config: HexclaveConfig, body: bytes, headers: dict[str, str]) -> int:
    with override_settings(HEXCLAVE=config):
        patterns = (path(PATH[1:], webhook_view(Webhooks())),)
    with override_settings(HEXCLAVE=config, ROOT_URLCONF=patterns):
        response: Any = Client().post(PATH, body, content_type="application/json", headers=headers)
        status: int = response.status_code
        return status


@pytest.mark.parametrize("deliver", [in_fastapi, in_flask, in_django])
def test_an_endpoint_tells_the_observer_of_its_application(
    deliver: Callable[[HexclaveConfig, bytes, dict[str, str]], int], hexclave_sandbox: Sandbox
) -> None:
    """Without one of its own."""
    observer = Recorder()
    config = dataclasses.replace(hexclave_sandbox.config, observer=observer)

    assert deliver(config, *hexclave_sandbox.webhook("user.updated", {"id": hexclave_sandbox.create_user().id})) == 200
    assert observer.deliveries == {("handled", "user.updated", None): 1}
