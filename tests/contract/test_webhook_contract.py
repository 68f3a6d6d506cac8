"""Deliveries through every framework: the same bytes, whoever receives them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import fastapi as fastapi_framework
import flask as flask_framework
import pytest
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from fastapi.testclient import TestClient
from starlette.applications import Starlette

from hexclave_integrations import (
    RequestRefused,
    WebhookHandlerFailed,
    WebhookInProgress,
    WebhookStoreUnavailable,
    WebhookVerificationFailed,
)
from hexclave_integrations import _reasons as reasons
from hexclave_integrations.django import webhook_view
from hexclave_integrations.fastapi import webhook_router
from hexclave_integrations.flask import webhook_blueprint
from hexclave_integrations.starlette import webhook_route
from hexclave_integrations.stores import MemoryStore, StoreUnavailable
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

from .driving import listening
from .litestar_columns import post_to_litestar

Answer = tuple[int, bytes, dict[str, str]]
Post = Callable[[bytes, dict[str, str]], Answer]

PATH = "/webhooks/hexclave"
DATA = {"id": "ad962777-8244-496a-b6a2-e0c6a449c79e"}


def _answer(status: int, content: bytes, headers: Any) -> Answer:
    lowered = {name.lower(): value for name, value in dict(headers).items()}
    spoken_of = ("content-type", "cache-control", "retry-after")
    return status, content, {name: lowered[name] for name in spoken_of if name in lowered}


def by_fastapi(webhooks: Webhooks) -> Post:
    app = fastapi_framework.FastAPI()
    app.include_router(webhook_router(webhooks, PATH))
    client = TestClient(app)

    def post(body: bytes, headers: dict[str, str]) -> Answer:
        response = client.post(PATH, content=body, headers=headers)
        return _answer(response.status_code, response.content, response.headers)

    return post


def by_starlette(webhooks: Webhooks) -> Post:
    app = Starlette(routes=[webhook_route(webhooks, PATH)])
    client = TestClient(app)

    def post(body: bytes, headers: dict[str, str]) -> Answer:
        response = client.post(PATH, content=body, headers=headers)
        return _answer(response.status_code, response.content, response.headers)

    return post


def by_flask(webhooks: Webhooks) -> Post:
    app = flask_framework.Flask("webhooks")
    app.register_blueprint(webhook_blueprint(webhooks, PATH))
    client = app.test_client()

    def post(body: bytes, headers: dict[str, str]) -> Answer:
        response = client.post(PATH, data=body, headers=headers)
        return _answer(response.status_code, response.data, response.headers)

    return post


def by_django(webhooks: Webhooks) -> Post:
    patterns = (path(PATH[1:], webhook_view(webhooks)),)

    def post(body: bytes, headers: dict[str, str]) -> Answer:
        with override_settings(ROOT_URLCONF=patterns):
            client = Client(enforce_csrf_checks=True)
            response = client.post(PATH, body, content_type="application/json", headers=headers)
        return _answer(response.status_code, response.content, response.headers)

    return post


def by_django_asgi(webhooks: Webhooks) -> Post:
    from asgiref.sync import async_to_sync

    patterns = (path(PATH[1:], webhook_view(webhooks)),)

    def post(body: bytes, headers: dict[str, str]) -> Answer:
        with override_settings(ROOT_URLCONF=patterns):
            send = async_to_sync(AsyncClient(enforce_csrf_checks=True).post)
            response: Any = send(PATH, body, content_type="application/json", headers=headers)
        return _answer(response.status_code, response.content, response.headers)

    return post


def by_litestar(webhooks: Webhooks) -> Post:
    def post(body: bytes, headers: dict[str, str]) -> Answer:
        reply = post_to_litestar(webhooks, PATH, body, headers)
        return _answer(reply.status, reply.body, reply.headers)

    return post


RECEIVERS: dict[str, Callable[[Webhooks], Post]] = {
    "fastapi": by_fastapi,
    "starlette": by_starlette,
    "litestar": by_litestar,
    "flask": by_flask,
    "django": by_django,
    "django asgi": by_django_asgi,
}


@pytest.fixture(params=[pytest.param(receiver, id=name) for name, receiver in RECEIVERS.items()])
def receive(request: pytest.FixtureRequest) -> Callable[[Webhooks], Post]:
    """Puts a framework in front of webhooks."""
    put: Callable[[Webhooks], Post] = request.param
    return put


def refused(error: RequestRefused) -> Answer:
    return _answer(error.status, error.body(), error.headers())


def handled(status: str = "handled") -> Answer:
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return 200, b'{"status": "%b"}' % status.encode(), headers


def test_a_delivery_is_handled_once(receive: Callable[[Webhooks], Post], hexclave_sandbox: Sandbox) -> None:
    """Sync and async handlers run once; the repetition is acknowledged and runs nothing."""
    webhooks = Webhooks(hexclave_sandbox.config.webhook_secrets)
    seen: list[str] = []

    @webhooks.on("team.*")
    def count(event: Any) -> None:
        seen.append(event.data.id)

    @webhooks.on("team.deleted")
    async def count_too(event: Any) -> None:
        seen.append(event.type)

    post = receive(webhooks)
    body, headers = hexclave_sandbox.webhook("team.deleted", DATA)

    assert [post(body, headers), post(body, headers)] == [handled(), handled("duplicate")]
    assert seen == [DATA["id"], "team.deleted"]


def test_types_without_a_handler_are_acknowledged(
    receive: Callable[[Webhooks], Post], hexclave_sandbox: Sandbox
) -> None:
    """What Hexclave will send some day is no reason for it to try again."""
    post = receive(Webhooks(hexclave_sandbox.config.webhook_secrets))

    assert post(*hexclave_sandbox.webhook("team.renamed", DATA)) == handled()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda b, h: (b + b" ", h), id="body changed"),
        pytest.param(lambda b, h: (b, {}), id="no headers"),
        pytest.param(lambda b, h: (b, {**h, "svix-signature": "v1,AAAA"}), id="wrong signature"),
        pytest.param(lambda b, h: (b, {**h, "svix-signature": h["svix-signature"][:-2]}), id="cut signature"),
        pytest.param(lambda b, h: (b, {**h, "svix-signature": "v1"}), id="no signature"),
        pytest.param(lambda b, h: (b, {**h, "svix-timestamp": "0"}), id="old"),
        pytest.param(lambda b, h: (b, {**h, "svix-timestamp": "soon"}), id="no time"),
        pytest.param(lambda b, h: (b, {**h, "svix-timestamp": str(int(time.time()) + 3600)}), id="future"),
        pytest.param(lambda b, h: (b, {**h, "svix-id": "msg_other"}), id="another id"),
        pytest.param(
            lambda b, h: (b, {**{n: v for n, v in h.items() if n != "svix-id"}, "webhook-id": h["svix-id"]}),
            id="mixed families",
        ),
        pytest.param(lambda b, h: (b"\xff" + b, h), id="no UTF-8"),
        pytest.param(lambda b, h: (b"x" * (1024 * 1024 + 1), h), id="too long"),
    ],
)
def test_bad_deliveries(receive: Callable[[Webhooks], Post], hexclave_sandbox: Sandbox, spoil: Any) -> None:
    """Everything that is not a fresh, genuine delivery gets one answer, and no handler runs."""
    webhooks = Webhooks(hexclave_sandbox.config.webhook_secrets)
    webhooks.on("*")(lambda event: pytest.fail("a handler ran"))
    body, headers = hexclave_sandbox.webhook("team.deleted", DATA)

    assert receive(webhooks)(*spoil(body, headers)) == refused(WebhookVerificationFailed())


def test_a_genuine_body_that_is_no_event(receive: Callable[[Webhooks], Post], hexclave_sandbox: Sandbox) -> None:
    """The signature is right and there is nothing to handle in it."""
    post = receive(Webhooks(hexclave_sandbox.config.webhook_secrets))

    assert post(*hexclave_sandbox.webhook("team.deleted", [])) == refused(WebhookVerificationFailed())


def test_a_failing_handler_is_tried_again(receive: Callable[[Webhooks], Post], hexclave_sandbox: Sandbox) -> None:
    """The answer makes the sender come back, and then the handlers run again."""
    webhooks = Webhooks(hexclave_sandbox.config.webhook_secrets)
    attempts: list[int] = []

    @webhooks.on("*")
    def fail_once(event: Any) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("not yet")

    post = receive(webhooks)
    delivery = hexclave_sandbox.webhook("team.deleted", DATA)

    assert [post(*delivery), post(*delivery)] == [refused(WebhookHandlerFailed()), handled()]
    assert len(attempts) == 2


def test_a_delivery_in_progress(receive: Callable[[Webhooks], Post], hexclave_sandbox: Sandbox) -> None:
    """While its handlers run, a repetition is told to come back later."""
    webhooks = Webhooks(hexclave_sandbox.config.webhook_secrets)
    begun, go_on = threading.Event(), threading.Event()

    @webhooks.on("*")
    def wait(event: Any) -> None:
        begun.set()
        assert go_on.wait(20)

    delivery = hexclave_sandbox.webhook("team.deleted", DATA)
    answers: list[Any] = []
    worker = threading.Thread(target=lambda: answers.append(webhooks.receive(*delivery)[0]))
    worker.start()
    assert begun.wait(20)
    try:
        assert receive(webhooks)(*delivery) == refused(WebhookInProgress())
    finally:
        go_on.set()
        worker.join(20)
    assert answers == [200]


def test_a_store_that_is_down(receive: Callable[[Webhooks], Post], hexclave_sandbox: Sandbox) -> None:
    """Nothing runs without a claim; the sender comes back, and then it does."""

    class Store(MemoryStore):
        is_down = True

        def claim(self, *args: Any) -> Any:
            if self.is_down:
                raise StoreUnavailable("down")
            return super().claim(*args)

    store = Store()
    seen: list[str] = []
    webhooks = Webhooks(hexclave_sandbox.config.webhook_secrets, store)
    webhooks.on("*")(lambda event: seen.append(event.id))
    post = receive(webhooks)
    delivery = hexclave_sandbox.webhook("team.deleted", DATA)
    first = post(*delivery)
    store.is_down = False

    assert [first, post(*delivery)] == [refused(WebhookStoreUnavailable()), handled()]
    assert len(seen) == 1


def test_a_refused_delivery_says_why_in_the_log_alone(
    receive: Callable[[Webhooks], Post], hexclave_sandbox: Sandbox
) -> None:
    """One warning with the reason, whichever framework answers, and no reason in the answer."""
    post = receive(Webhooks(hexclave_sandbox.config.webhook_secrets))
    body, headers = hexclave_sandbox.webhook("team.deleted", DATA)
    with listening() as said:
        answers = [post(json.dumps(json.loads(body)).encode(), headers), post(b"", headers), post(body, {})]
    why = [reasons.WEBHOOK_REWRITTEN, reasons.WEBHOOK_EMPTY, reasons.WEBHOOK_NO_HEADERS]

    assert said == [f"A webhook delivery was refused: {reason}" for reason in why]
    assert answers == [refused(WebhookVerificationFailed())] * 3
