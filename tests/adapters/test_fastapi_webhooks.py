"""FastAPI's webhook endpoint: what reaches `Webhooks`, and what the sender gets back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.types import Message

from hexclave_integrations.errors import (
    ConfigurationError,
    RequestRefused,
    WebhookHandlerFailed,
    WebhookStoreUnavailable,
    WebhookVerificationFailed,
)
from hexclave_integrations.fastapi import Hexclave, require_permission, webhook_router
from hexclave_integrations.stores import RedisStore
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import WebhookEvent, Webhooks

from .._services import free_port
from .._webhooks import LIMIT, SECRET, event, signed

PATH = "/webhooks/hexclave"


@pytest.fixture
def webhooks() -> Webhooks:
    return Webhooks([SECRET])


@pytest.fixture(params=[False, True], ids=["alone", "with Hexclave(app)"])
def client(request: pytest.FixtureRequest, webhooks: Webhooks) -> Iterator[TestClient]:
    app = FastAPI()
    if request.param:
        Hexclave(app, Sandbox().config)
    app.include_router(webhook_router(webhooks))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def face(answer: Any) -> tuple[int, bytes, dict[str, str | None]]:
    names = ("content-type", "cache-control", "retry-after", "www-authenticate", "vary")
    return answer.status_code, answer.content, {name: answer.headers.get(name) for name in names}


def expected_face(error: RequestRefused) -> tuple[int, bytes, dict[str, str | None]]:
    headers = {name.lower(): value for name, value in error.headers()}
    names = ("content-type", "cache-control", "retry-after", "www-authenticate", "vary")
    return error.status, error.body(), {name: headers.get(name) for name in names}


class TestEndpoint:
    """One route, with and without the authentication middleware."""

    def test_a_delivery(self, client: TestClient, webhooks: Webhooks) -> None:
        """A genuine delivery reaches its handler once, and the answer says what became of it."""
        seen: list[WebhookEvent] = []
        webhooks.on("user.deleted")(seen.append)
        body, headers = event()
        answers = [client.post(PATH, content=body, headers=headers) for _ in range(2)]

        assert [(answer.status_code, answer.json()) for answer in answers] == [
            (200, {"status": "handled"}),
            (200, {"status": "duplicate"}),
        ]
        assert [answer.headers["cache-control"] for answer in answers] == ["no-store"] * 2
        assert [headers["svix-id"]] == [item.id for item in seen]

    def test_raw_bytes(self, client: TestClient, webhooks: Webhooks) -> None:
        """What was signed is what is verified, whatever its type is said to be."""
        seen: list[WebhookEvent] = []
        webhooks.on("*")(seen.append)
        text = '{ "data":{"id":"\\u0061","é":1.0},\r\n "type" : "team.updated" } '
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            body, headers = signed(text)
            answer = client.post(PATH, content=body, headers=headers | {"content-type": kind})
            assert (answer.status_code, answer.json()["status"]) == (200, "handled")

        assert [text.encode()] * 4 == [item.body for item in seen]

    @pytest.mark.parametrize("family", ["svix", "webhook"])
    def test_a_forgery(self, client: TestClient, family: str) -> None:
        """Body and headers of the refusal are the error's own."""
        body, headers = signed(event()[0], family=family)
        answer = client.post(PATH, content=body + b" ", headers=headers)

        assert expected_face(WebhookVerificationFailed()) == face(answer)

    def test_repeated_headers(self, client: TestClient) -> None:
        """Two values of one header are none."""
        body, headers = event()
        answer = client.post(PATH, content=body, headers=[*headers.items(), ("svix-id", headers["svix-id"])])

        assert answer.status_code == 400

    def test_a_failure(self, client: TestClient, webhooks: Webhooks) -> None:
        """A handler's failure is answered with our error, and not shown."""

        @webhooks.on("*")
        async def handler(event: object) -> None:
            raise ValueError("hush")

        body, headers = event()
        assert expected_face(WebhookHandlerFailed()) == face(client.post(PATH, content=body, headers=headers))

    def test_the_store_is_down(self, client: TestClient, webhooks: Webhooks) -> None:
        """Without the store the sender is told to come back."""
        webhooks.store = RedisStore(f"redis://127.0.0.1:{free_port()}/0")
        body, headers = event()

        assert expected_face(WebhookStoreUnavailable()) == face(client.post(PATH, content=body, headers=headers))

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def test_other_methods(self, client: TestClient, method: str) -> None:
        """Only POST is a delivery."""
        answer = client.request(method, PATH)

        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    def test_types_of_the_future(self, client: TestClient) -> None:
        """A type of a known family that is not known yet does no harm, whatever its data is."""
        kinds: list[Any] = [{}, [], None, "x"]
        for data in kinds:
            body, headers = signed({"type": "team_permission.renamed", "data": data})
            assert client.post(PATH, content=body, headers=headers).status_code == 200

    def test_credentials_are_no_matter(self, client: TestClient) -> None:
        """A bad token in a delivery neither helps nor hurts."""
        body, headers = event()
        answer = client.post(PATH, content=body, headers=headers | {"authorization": "Bearer nonsense"})

        assert answer.status_code == 200

    def test_another_path(self, webhooks: Webhooks) -> None:
        """The path is the application's choice, and prefixes add up; the schema does not mention it."""
        app = FastAPI()
        app.include_router(webhook_router(webhooks, "/hooks/{tenant}"), prefix="/api")
        with TestClient(app) as client:
            body, headers = event()
            answer = client.post("/api/hooks/x", content=body, headers=headers)

        assert (answer.status_code, app.openapi()["paths"]) == (200, {})

    def test_several_endpoints(self) -> None:
        """Endpoints with secrets of their own stand side by side."""
        first, second = Sandbox(), Sandbox()
        app = FastAPI()
        for name, sandbox in (("/a", first), ("/b", second)):
            app.include_router(webhook_router(Webhooks(sandbox.config.webhook_secrets), name))
        with TestClient(app) as client:
            body, headers = first.webhook("stack.test", {})
            statuses = [client.post(path, content=body, headers=headers).status_code for path in ("/a", "/b")]

        assert statuses == [200, 400]


class TestBodies:
    """How much of a body is read."""

    def test_the_largest(self, client: TestClient) -> None:
        """One MiB is read, one byte more refused."""
        text = '{"type":"x","data":{"a":"' + "a" * (1024 * 1024 - 28) + '"}}'
        statuses = []
        for extra in ("", " "):
            body, headers = signed(text + extra)
            statuses.append(client.post(PATH, content=body, headers=headers).status_code)

        assert statuses == [200, 400]

    def test_a_stream_without_end(self, webhooks: Webhooks) -> None:
        """Reading stops where a body is too large to be genuine, whatever length it claims to have."""
        chunks = 0

        async def receive() -> Message:
            nonlocal chunks
            chunks += 1
            return {"type": "http.request", "body": b" " * 65536, "more_body": True}

        status, _ = asyncio.run(call(webhooks, receive))
        assert (status, chunks) == (400, 17)

    def test_a_sender_who_leaves(self, webhooks: Webhooks) -> None:
        """A body that breaks off is no delivery, and no error of ours."""
        messages: list[Message] = [
            {"type": "http.request", "body": b'{"type"', "more_body": True},
            {"type": "http.disconnect"},
        ]

        async def receive() -> Message:
            return messages.pop(0)

        status, body = asyncio.run(call(webhooks, receive))
        assert (400, WebhookVerificationFailed().body()) == (status, body)


async def call(webhooks: Webhooks, receive: Any) -> tuple[int, bytes]:
    """Send one request to the bare application."""
    app = FastAPI()
    app.include_router(webhook_router(webhooks))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in event()[1].items()]
    scope = {"type": "http", "method": "POST", "path": PATH, "headers": headers, "query_string": b"", "root_path": ""}
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


class TestLoop:
    """The event loop stays free."""

    @pytest.mark.parametrize("with_hexclave", [False, True], ids=["alone", "with Hexclave(app)"])
    def test_sync_handlers(self, webhooks: Webhooks, with_hexclave: bool) -> None:
        """While a handler blocks, other requests are answered; the handler even waits for one."""
        app = FastAPI()
        if with_hexclave:
            Hexclave(app, Sandbox().config)
        app.include_router(webhook_router(webhooks))
        answered = threading.Event()

        @app.get("/other")
        async def other() -> None:
            answered.set()

        @webhooks.on("*")
        def handler(event: object) -> None:
            assert answered.wait(LIMIT)

        async def main() -> list[int]:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                body, headers = event()
                delivery = asyncio.create_task(client.post(PATH, content=body, headers=headers))
                await asyncio.sleep(0.02)
                other = await client.get("/other")
                return [other.status_code, (await delivery).status_code]

        assert asyncio.run(main()) == [200, 200]


class TestPermissions:
    """With `Hexclave(app)` an event takes back at once what it made untrue."""

    def test_a_revoked_permission(self) -> None:
        """A permission that is remembered is asked for again once the sandbox's webhook has arrived."""
        sandbox = Sandbox()
        user, team = sandbox.create_user(), sandbox.create_team()
        sandbox.grant(user, "export", team)
        app = FastAPI()
        Hexclave(app, sandbox.config)
        app.include_router(webhook_router(Webhooks(sandbox.config.webhook_secrets)))

        @app.get("/{team_id}", dependencies=[Depends(require_permission("{team_id}", "export"))])
        async def export(team_id: str) -> None: ...

        with TestClient(app) as client:

            def deliver(body: bytes, headers: Any) -> int:
                return client.post(PATH, content=body, headers=headers).status_code

            def ask() -> int:
                return client.get(f"/{team.id}", headers=sandbox.headers(user)).status_code

            with sandbox.deliver_webhooks_to(deliver):
                before = [ask(), ask()]
                sandbox.revoke(user, "export", team)
                sandbox.flush_webhooks()
                after = ask()

        assert (before, after) == ([200, 200], 403)
        assert [delivery.status for delivery in sandbox.deliveries] == [200]


class TestSecrets:
    """An endpoint without secrets of its own."""

    @pytest.fixture(autouse=True)
    def no_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No secret in the environment."""
        for name in ("WEBHOOK_SECRET", "WEBHOOK_SECRETS"):
            monkeypatch.delenv(f"HEXCLAVE_{name}", raising=False)
            monkeypatch.delenv(f"STACK_{name}", raising=False)

    def test_of_the_application(self) -> None:
        """It takes those that the application is configured with, each application its own."""
        webhooks, sandboxes = Webhooks(), [Sandbox(), Sandbox()]
        deliveries = [sandbox.webhook("user.deleted", {"id": "x"}) for sandbox in sandboxes]
        statuses = []
        for sandbox in sandboxes:
            app = FastAPI()
            Hexclave(app, sandbox.config)
            app.include_router(webhook_router(webhooks))
            with TestClient(app) as client:
                statuses += [
                    client.post(PATH, content=body, headers=headers).status_code for body, headers in deliveries
                ]

        assert statuses == [200, 400, 400, 200]

    def test_none_anywhere(self) -> None:
        """Nothing is accepted, and the server's log says what is missing."""
        app = FastAPI()
        app.include_router(webhook_router(Webhooks()))
        body, headers = event()
        with TestClient(app) as client, pytest.raises(ConfigurationError, match="webhook_secrets is missing"):
            client.post(PATH, content=body, headers=headers)
