"""`webhook_view` and the signals of the Django adapter, through the handlers of WSGI and ASGI."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from asgiref.sync import async_to_sync

from .._webhooks import EVENTS, EXTRA_EVENTS, LIMIT, SECRET, Delivery, event, new_id, signed
from ._django import COLOURS, World

# isort: split
from django.core.asgi import get_asgi_application
from django.core.handlers.wsgi import WSGIRequest
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path

from hexclave_integrations import ConfigurationError, RequestRefused, errors
from hexclave_integrations.django import get_client, require_permission, signals, webhook_view
from hexclave_integrations.stores import Claim, MemoryStore, StoreUnavailable
from hexclave_integrations.webhooks import UserCreated, WebhookEvent, Webhooks

both_colours = pytest.mark.parametrize("colour", COLOURS)
HANDLED, DUPLICATE = b'{"status": "handled"}', b'{"status": "duplicate"}'
FIELDS = ("Content-Type", "Cache-Control", "Retry-After", "Vary", "WWW-Authenticate")
LOGIN_REQUIRED = "django.contrib.auth.middleware.LoginRequiredMiddleware"


def post(colour: str, webhooks: Webhooks | Any, delivery: Delivery, method: str = "POST", **options: Any) -> Any:
    """One delivery through Django's WSGI or ASGI handler, with the CSRF protection of a browser's client."""
    body, headers = delivery
    view = webhook_view(webhooks) if isinstance(webhooks, Webhooks) else webhooks
    options = {"ROOT_URLCONF": (path("hooks", view),), **options}
    with override_settings(**options):
        if colour == "wsgi":
            return Client(enforce_csrf_checks=True).generic(method, "/hooks", body, "application/json", headers=headers)
        client = AsyncClient(enforce_csrf_checks=True)

        async def send() -> Any:
            return await client.generic(method, "/hooks", body, "application/json", headers=headers)

        return async_to_sync(send)()


def face(response: Any) -> tuple[int, bytes, dict[str, str | None]]:
    return response.status_code, response.content, {name: response.headers.get(name) for name in FIELDS}


def face_of(error: RequestRefused) -> tuple[int, bytes, dict[str, str | None]]:
    return error.status, error.body(), dict.fromkeys(FIELDS) | dict(error.headers())


def endpoint(*handlers: Callable[[Any], Any], store: Any = None, **options: Any) -> Webhooks:
    webhooks = Webhooks([SECRET], store, **options)
    for handler in handlers:
        webhooks.on("*")(handler)
    return webhooks


@contextmanager
def connected(signal: Signal, receiver: Callable[..., Any], sender: Any = None) -> Iterator[None]:
    signal.connect(receiver, sender=sender)
    try:
        yield
    finally:
        signal.disconnect(receiver, sender=sender)


class Broken(MemoryStore):
    def claim(self, key: str, token: str, ttl: float) -> Claim:
        raise StoreUnavailable("OperationalError")


# --- answers ------------------------------------------------------------------------------------------------------


@both_colours
def test_a_delivery_is_handled_once(colour: str) -> None:
    """The first is handled, its repetitions are not, and all are accepted."""
    seen: list[WebhookEvent] = []
    webhooks, delivery = endpoint(seen.append), event()
    answers = [face(post(colour, webhooks, delivery)) for _ in range(3)]
    headers = dict.fromkeys(FIELDS) | {"Content-Type": "application/json", "Cache-Control": "no-store"}

    assert answers == [(200, HANDLED, headers), (200, DUPLICATE, headers), (200, DUPLICATE, headers)]
    assert [(item.id, item.type, item.body) for item in seen] == [
        (delivery[1]["svix-id"], "user.deleted", delivery[0]),
    ]


@both_colours
def test_the_sandbox_signs_as_the_real_sender(colour: str) -> None:
    """What the sandbox makes is accepted with the secrets of its configuration."""
    world, seen = World(), list[WebhookEvent]()
    webhooks = Webhooks(world.sandbox.config.webhook_secrets)
    webhooks.on("user.*")(seen.append)
    body, headers = world.sandbox.webhook("user.created", {"id": world.alice.id})

    assert post(colour, webhooks, (body, headers)).content == HANDLED
    assert [item.data.id for item in seen] == [world.alice.id]
    assert face(post(colour, endpoint(), (body, headers))) == face_of(errors.WebhookVerificationFailed())


@both_colours
@pytest.mark.parametrize("family", ["svix", "webhook"])
def test_both_names_of_the_headers(colour: str, family: str) -> None:
    """Svix's own names and those of Standard Webhooks."""
    assert post(colour, endpoint(), signed(EVENTS[0], family=family)).content == HANDLED


@both_colours
@pytest.mark.parametrize("text", ['{"type": "x", "data": {"name": "Ä\u2028ß"}}', ' { "type":"x" , "data":{} } \r\n'])
def test_raw_bytes(colour: str, text: str) -> None:
    """The bytes that came are what was signed, not what a parser would make of them."""
    seen: list[WebhookEvent] = []

    assert post(colour, endpoint(seen.append), signed(text)).content == HANDLED
    assert [item.body for item in seen] == [text.encode()]


@both_colours
@pytest.mark.parametrize(
    "spoil",
    [
        lambda body, headers: (body + b" ", headers),
        lambda body, headers: (b"", headers),
        lambda body, headers: (body, {}),
        lambda body, headers: (body, {**headers, "svix-id": "msg_other"}),
        lambda body, headers: (body, {**headers, "svix-signature": "v1,AAAA"}),
        lambda body, headers: (body, {name.replace("svix-i", "webhook-i"): text for name, text in headers.items()}),
        lambda body, headers: (body, {**headers, "svix-signature": headers["svix-signature"] + ",v1,"}),
        lambda body, headers: signed(body, timestamp=1_700_000_000),
        lambda body, headers: signed(b"[]"),
    ],
    ids=["body", "no body", "no headers", "id", "signature", "two families", "joined", "old", "no event"],
)
def test_what_is_not_genuine(colour: str, spoil: Callable[[bytes, dict[str, str]], Delivery]) -> None:
    """All look the same from outside, and no handler runs."""
    seen: list[WebhookEvent] = []

    answer = post(colour, endpoint(seen.append), spoil(*event()))
    assert face(answer) == face_of(errors.WebhookVerificationFailed())
    assert seen == []


@both_colours
def test_a_handler_that_fails(colour: str) -> None:
    """The sender is asked to come back, and then it is done."""
    failures = [ValueError("hush")]

    def handler(event: WebhookEvent) -> None:
        if failures:
            raise failures.pop()

    webhooks, delivery = endpoint(handler), event()
    assert face(post(colour, webhooks, delivery)) == face_of(errors.WebhookHandlerFailed())
    assert [post(colour, webhooks, delivery).content for _ in range(2)] == [HANDLED, DUPLICATE]


@both_colours
def test_somebody_is_working_on_it(colour: str) -> None:
    """A delivery that comes while it is being handled is neither accepted nor handled twice."""
    again: list[Any] = []
    delivery = event()

    def deliver_again() -> None:
        # On a thread of its own, as another request; without one the client would be asked from within itself.
        thread = threading.Thread(target=lambda: again.append(post(colour, webhooks, delivery)))
        thread.start()
        thread.join(LIMIT)

    webhooks = endpoint(lambda event: deliver_again())
    assert post(colour, webhooks, delivery).content == HANDLED
    assert [face(answer) for answer in again] == [face_of(errors.WebhookInProgress())]


@both_colours
def test_a_store_that_cannot_be_asked(colour: str) -> None:
    """The sender is told to come back later."""
    assert face(post(colour, endpoint(store=Broken()), event())) == face_of(errors.WebhookStoreUnavailable())


# --- the request --------------------------------------------------------------------------------------------------


@both_colours
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods(colour: str, method: str) -> None:
    """Only POST is taken, even of what is signed."""
    seen: list[WebhookEvent] = []
    answer = post(colour, endpoint(seen.append), event(), method)

    assert (answer.status_code, answer.headers["Allow"], seen) == (405, "POST", [])


@both_colours
@pytest.mark.parametrize(("length", "status"), [(1000, 200), (1001, 400)])
@pytest.mark.parametrize("site_limit", [None, 1000, 2_621_440])
def test_the_longest_body(colour: str, length: int, status: int, site_limit: int | None) -> None:
    """A byte more than max_body is refused, however much the site takes elsewhere."""
    text = '{"type": "x", "data": {}}'.ljust(length)
    answer = post(colour, endpoint(max_body=1000), signed(text), DATA_UPLOAD_MAX_MEMORY_SIZE=site_limit)

    assert answer.status_code == status


@both_colours
def test_the_longest_body_of_the_site(colour: str) -> None:
    """DATA_UPLOAD_MAX_MEMORY_SIZE holds here as well, and what is longer has our answer."""
    deliveries = [signed('{"type": "x", "data": {}}'.ljust(length)) for length in (100, 101)]
    answers = [post(colour, endpoint(), item, DATA_UPLOAD_MAX_MEMORY_SIZE=100) for item in deliveries]

    assert answers[0].content == HANDLED
    assert face(answers[1]) == face_of(errors.WebhookVerificationFailed())


class Endless:
    """A body without end, which tells how much of it was read."""

    def __init__(self) -> None:
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0
        self.taken += min(size, 10_000)
        return b" " * min(size, 10_000)

    readline = read


def test_no_more_is_read_than_needed() -> None:
    """Of a longer body a byte more than max_body is read, and a stream that gives little at a time is read on."""
    stream = Endless()
    environ = {"wsgi.input": stream, "CONTENT_LENGTH": str(10**9), "CONTENT_TYPE": "application/json"}
    request = RequestFactory().post("/hooks", **environ)  # type: ignore[arg-type]  # how it takes an environ

    assert webhook_view(endpoint(max_body=200_000))(request).status_code == 400
    assert stream.taken == 200_001


class Interrupted(Endless):
    def read(self, size: int = -1) -> bytes:
        raise OSError("the client is gone")


def test_a_body_that_breaks_off() -> None:
    """Half a body is no delivery."""
    environ = {"wsgi.input": Interrupted(), "CONTENT_LENGTH": "1000"}
    request = RequestFactory().post("/hooks", **environ)  # type: ignore[arg-type]  # as above

    assert webhook_view(endpoint())(request).status_code == 400


class ReadsBodies:
    """Middleware of the kind that logs what comes."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        assert request.body
        assert not request.POST
        return self.get_response(request)


@both_colours
def test_middleware_that_has_read_the_body(colour: str) -> None:
    """The delivery is still there for the view."""
    middleware = [f"{__name__}.ReadsBodies", "django.middleware.csrf.CsrfViewMiddleware"]

    assert post(colour, endpoint(), event(), MIDDLEWARE=middleware).content == HANDLED


class ReadsBodiesAfterwards:
    """Middleware that logs what came, when it knows what the answer was."""

    seen: ClassVar[list[bytes]] = []

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        self.seen.append(request.body)
        return response


@both_colours
@pytest.mark.parametrize("others", [[], [f"{__name__}.ReadsBodies"]], ids=["alone", "and before"])
def test_middleware_that_reads_the_body_afterwards(colour: str, others: list[str]) -> None:
    """It gets what was delivered."""
    ReadsBodiesAfterwards.seen.clear()
    delivery = event()

    middleware = [f"{__name__}.ReadsBodiesAfterwards", *others]
    assert post(colour, endpoint(), delivery, MIDDLEWARE=middleware).content == HANDLED
    assert ReadsBodiesAfterwards.seen == [delivery[0]]


@pytest.mark.parametrize(("length", "status"), [(100, 200), (1000, 200), (1001, 400)])
@pytest.mark.parametrize("read_before", [False, True])
def test_a_chunked_body_under_wsgi(length: int, status: int, read_before: bool) -> None:
    """A server that decodes chunks itself says so, and then the body is read up to its end or the limit."""
    body, headers = signed('{"type": "x", "data": {}}'.ljust(length))
    environ: dict[str, Any] = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    request = RequestFactory().post("/hooks", content_type="application/json", **environ)
    del request.META["CONTENT_LENGTH"]
    request = WSGIRequest(request.META | {"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True})
    if read_before:
        assert request.body == b""

    assert webhook_view(endpoint(max_body=1000))(request).status_code == status
    if status == 200:
        assert request.body == body


@both_colours
def test_a_site_that_requires_a_login(colour: str) -> None:
    """The sender cannot log in; its signature is what lets it in."""
    middleware = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        LOGIN_REQUIRED,
    ]
    assert post(colour, endpoint(), event(), MIDDLEWARE=middleware).content == HANDLED


def test_atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction around the whole request would be committed after the delivery counts as done."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    inside: list[bool] = []
    webhooks = endpoint(lambda event: inside.append(connections["default"].in_atomic_block))

    assert post("wsgi", webhooks, event()).content == HANDLED
    assert inside == [False]


@pytest.mark.parametrize("what", [None, HttpRequest(), "whsec_"])
def test_misuse(what: Any) -> None:
    """Without a Webhooks, as in a route that calls nothing, there is an error and no endpoint."""
    with pytest.raises(ConfigurationError, match="webhook_view"):
        webhook_view(what)


@both_colours
def test_secrets_of_the_settings(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint without secrets of its own takes those of the settings, and without any there is no endpoint."""
    for name in ("HEXCLAVE_WEBHOOK_SECRET", "STACK_WEBHOOK_SECRET"):
        monkeypatch.delenv(name, raising=False)
    world, webhooks = World(), Webhooks()
    with pytest.raises(ConfigurationError, match="webhook_secrets is missing"):
        webhook_view(webhooks)
    with world.settings():
        delivery = world.sandbox.webhook("user.deleted", {"id": world.alice.id})
        answers = [post(colour, webhooks, item).status_code for item in (delivery, event())]
    assert answers == [200, 400]


# --- the rest of the application ----------------------------------------------------------------------------------


@both_colours
@pytest.mark.parametrize("ours", [{}, {"PROJECT_ID": "no project"}], ids=["none", "wrong"])
def test_without_the_rest(colour: str, ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With secrets of its own it needs neither middleware nor settings."""
    for name in ("HEXCLAVE_PROJECT_ID", "STACK_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)

    assert post(colour, endpoint(), event(), MIDDLEWARE=[], HEXCLAVE=ours).content == HANDLED


@both_colours
def test_permissions_are_forgotten_at_once(colour: str) -> None:
    """A permission that an event says is gone no longer lets anybody in."""
    world = World()
    webhooks = Webhooks(world.sandbox.config.webhook_secrets)
    data = {"id": "export_reports", "team_id": world.team.id, "user_id": world.alice.id}
    export = require_permission(world.team.id, "export_reports")(lambda request: HttpResponse())

    with world.settings():
        ours = get_client()
        with override_settings(ROOT_URLCONF=(path("export", export),)):
            client = Client(headers=world.headers(world.alice))
            assert client.get("/export").status_code == 200
            world.sandbox.revoke(world.alice, "export_reports", team=world.team)
            assert client.get("/export").status_code == 200
        delivery = world.sandbox.webhook("team_permission.deleted", data)
        assert post(colour, webhooks, delivery).content == HANDLED
        with override_settings(ROOT_URLCONF=(path("export", export),)):
            assert client.get("/export").status_code == 403
        assert get_client() is ours


# --- handlers and signals -----------------------------------------------------------------------------------------


@both_colours
def test_every_type_has_a_signal(colour: str) -> None:
    """One of the type's own where Hexclave documents it, and the general one for all."""
    general: list[tuple[type, str]] = []
    own: list[str] = []

    def receive_any(sender: type, event: WebhookEvent, **kwargs: Any) -> None:
        general.append((sender, event.type))

    def receive_own(sender: type, event: WebhookEvent, signal: Signal, **kwargs: Any) -> None:
        assert getattr(signals, event.type.replace(".", "_")) is signal
        own.append(event.type)

    documented = [item["type"] for item in EVENTS]
    others = [item["type"] for item in EXTRA_EVENTS] + ["new.kind"]
    webhooks = endpoint()
    for name in documented:
        getattr(signals, name.replace(".", "_")).connect(receive_own)
    try:
        with connected(signals.webhook_received, receive_any):
            for item in [*EVENTS, *EXTRA_EVENTS, {"type": "new.kind", "data": {}}]:
                assert post(colour, webhooks, signed(item)).content == HANDLED
    finally:
        for name in documented:
            getattr(signals, name.replace(".", "_")).disconnect(receive_own)

    assert own == documented
    assert [kind for _, kind in general] == documented + others
    assert general[0] == (UserCreated, "user.created")
    assert {name for name in signals.__all__ if isinstance(getattr(signals, name), Signal)} == {
        "webhook_received",
        *(name.replace(".", "_") for name in documented),
    }


@both_colours
def test_receivers_of_one_class(colour: str) -> None:
    """The event's class is the sender, so that one can connect to it alone."""
    seen: list[str] = []

    def receiver(event: WebhookEvent, **kwargs: Any) -> None:
        seen.append(event.type)

    webhooks = endpoint()
    with connected(signals.webhook_received, receiver, UserCreated):
        for item in EVENTS:
            post(colour, webhooks, signed(item))
    assert seen == ["user.created"]


@both_colours
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_receiver_that_fails(colour: str, is_async: bool) -> None:
    """It is a handler's failure: the sender comes back, and it runs again."""
    failures, seen = [RuntimeError()], list[str]()

    def receiver(event: WebhookEvent, **kwargs: Any) -> None:
        if failures:
            raise failures.pop()
        seen.append(event.id)

    async def areceiver(event: WebhookEvent, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        receiver(event)

    webhooks, name = endpoint(), new_id()
    with connected(signals.user_deleted, areceiver if is_async else receiver):
        assert face(post(colour, webhooks, event(name))) == face_of(errors.WebhookHandlerFailed())
        assert [post(colour, webhooks, event(name)).content for _ in range(2)] == [HANDLED, DUPLICATE]
    assert seen == [name]


@both_colours
def test_two_views_of_one_endpoint(colour: str) -> None:
    """However many views are made of it, signals are sent once, after the handlers."""
    seen: list[str] = []

    def receiver(**kwargs: Any) -> None:
        seen.append("receiver")

    webhooks = endpoint(lambda event: seen.append("handler"))
    views = [webhook_view(webhooks) for _ in range(3)]
    with connected(signals.webhook_received, receiver):
        assert post(colour, views[0], event()).content == HANDLED
    assert seen == ["handler", "receiver"]


@both_colours
@pytest.mark.parametrize("make", ["function", "coroutine function", "object", "returns a coroutine"])
def test_handlers_of_all_kinds(colour: str, make: str) -> None:
    """Sync and async handlers run to their end before the answer."""
    seen: list[str] = []

    async def coroutine(event: WebhookEvent) -> None:
        await asyncio.sleep(0)
        seen.append(event.id)

    class Handler:
        async def __call__(self, event: WebhookEvent) -> None:
            await coroutine(event)

    def function(event: WebhookEvent) -> None:
        seen.append(event.id)

    kinds: dict[str, Callable[[WebhookEvent], Any]] = {
        "function": function,
        "coroutine function": coroutine,
        "object": Handler(),
    }
    name = new_id()
    webhooks = endpoint(kinds.get(make, lambda event: coroutine(event)))
    assert post(colour, webhooks, event(name)).content == HANDLED
    assert seen == [name]


def test_a_handler_that_would_run_nothing() -> None:
    """A generator that a handler returns is no success."""

    def generate() -> Iterator[int]:
        yield 1

    assert post("wsgi", endpoint(lambda event: generate()), event()).status_code == 500


# --- servers ------------------------------------------------------------------------------------------------------


async def deliver_over_asgi(delivery: Delivery, *, declared: bool = True, piece: int = 50) -> tuple[int, bytes]:
    """Send a delivery to the ASGI application as a server does, in pieces, with its length declared or not."""
    body, headers = delivery
    incoming = asyncio.Queue[dict[str, Any]]()
    for start in range(0, len(body), piece):
        incoming.put_nowait({"type": "http.request", "body": body[start : start + piece], "more_body": True})
    incoming.put_nowait({"type": "http.request"})
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    fields = {**headers, **({"content-length": str(len(body))} if declared else {})}
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/hooks", "query_string": b""}
    scope |= {"http_version": "1.1", "headers": [(name.encode(), value.encode()) for name, value in fields.items()]}
    application: Any = get_asgi_application()
    async with asyncio.timeout(LIMIT):
        await application(scope, incoming.get, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize("declared", [False, True], ids=["chunked", "declared"])
def test_asgi_bodies(declared: bool) -> None:
    """A body without a declared length is read as well, up to the same limit."""
    longer = signed('{"type": "x", "data": {}}'.ljust(1001))
    with override_settings(
        ROOT_URLCONF=(path("hooks", webhook_view(endpoint(max_body=1000))),), DATA_UPLOAD_MAX_MEMORY_SIZE=None
    ):
        assert asyncio.run(deliver_over_asgi(event(), declared=declared)) == (200, HANDLED)
        assert asyncio.run(deliver_over_asgi(longer, declared=declared))[0] == 400


def test_asgi_goes_on_meanwhile() -> None:
    """A handler that blocks holds up neither the event loop nor other deliveries; coroutines run on that loop."""
    meeting = threading.Barrier(3)
    loops: list[Any] = []

    async def handler(event: WebhookEvent) -> None:
        loops.append(asyncio.get_running_loop())

    async def deliver() -> Any:
        deliveries = [asyncio.create_task(deliver_over_asgi(event())) for _ in range(2)]
        await asyncio.to_thread(meeting.wait, LIMIT)  # only when both handlers are there
        return asyncio.get_running_loop(), await asyncio.gather(*deliveries)

    webhooks = endpoint(handler, lambda event: meeting.wait(LIMIT))
    with override_settings(ROOT_URLCONF=(path("hooks", webhook_view(webhooks)),)):
        loop, answers = asyncio.run(deliver())
    assert answers == [(200, HANDLED)] * 2
    assert loops == [loop, loop]


def test_wsgi_application() -> None:
    """The WSGI application itself, with what a server gives it."""
    from wsgiref.util import setup_testing_defaults

    body, headers = event()
    environ: dict[str, Any] = {"REQUEST_METHOD": "POST", "PATH_INFO": "/hooks", "CONTENT_LENGTH": str(len(body))}
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    environ["wsgi.input"] = io.BytesIO(body + b"and what else is on the line")
    setup_testing_defaults(environ)
    statuses: list[str] = []
    with override_settings(ROOT_URLCONF=(path("hooks", webhook_view(endpoint())),)):
        application: Any = get_wsgi_application()
        response: Any = application(environ, lambda status, headers: statuses.append(status))
        content = b"".join(response)
        response.close()

    assert (statuses, json.loads(content)) == (["200 OK"], {"status": "handled"})
