"""What an observer is told of questions to Hexclave, of look-ups in Redis and of deliveries, in both colours."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from hexclave_integrations import (
    AsyncHexclaveClient,
    ConfigurationError,
    HexclaveClient,
    Unavailable,
    WebhookHandlerFailed,
    WebhookVerificationFailed,
)
from hexclave_integrations._policy.state import Core
from hexclave_integrations._token.keys import KeyRing
from hexclave_integrations.requirements import require_user
from hexclave_integrations.stores import MemoryStore, StoreUnavailable
from hexclave_integrations.telemetry import Observer
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

from ._observing import Failing, Recorder
from ._server import (
    CROWD,
    DRIVE_IDS,
    DRIVES,
    LIMIT,
    Behaviour,
    Clock,
    Drive,
    Server,
    close,
    core_of,
    drip_body,
    error_of,
    eventually,
    fixed,
    gated,
    hang,
    oversized,
    relay,
    settings,
    wait_for_refresh,
)

DATA = {"id": "ad962777-8244-496a-b6a2-e0c6a449c79e"}


@pytest.fixture(params=DRIVES, ids=DRIVE_IDS)
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    driving: Drive = request.param()
    yield driving
    driving.end()


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture
def observer() -> Recorder:
    return Recorder()


# --- questions ------------------------------------------------------------------------------------------------

REFUSED = fixed(401, {"code": "INVALID_SECRET_SERVER_KEY"}, {"x-stack-known-error": "INVALID_SECRET_SERVER_KEY"})
NO_MEMBER = fixed(404, {}, {"x-stack-known-error": "TEAM_MEMBERSHIP_NOT_FOUND"})
HIDDEN = fixed(200, b"", {"x-stack-actual-status": "503"})


@pytest.mark.parametrize(
    ("behaviour", "status", "failure"),
    [
        pytest.param(fixed(200, {"items": []}), 200, None, id="an answer"),
        pytest.param(NO_MEMBER, 404, None, id="a no"),
        pytest.param(fixed(404, b"<html>"), 404, "404", id="another server"),
        pytest.param(REFUSED, 401, "401", id="a wrong server key"),
        pytest.param(fixed(429, b""), 429, "429", id="too many questions"),
        pytest.param(fixed(500, b""), 500, "500", id="an error"),
        pytest.param(HIDDEN, 503, "503", id="a hidden error"),
        pytest.param(hang, None, "timeout", id="nothing"),
        pytest.param(drip_body, None, "timeout", id="drips"),
        pytest.param(close, None, "RemoteProtocolError", id="a closed connection"),
        pytest.param(oversized, None, "too much data", id="too much"),
    ],
)
def test_a_question_is_told_with_its_status_or_failure(
    drive: Drive, sandbox: Sandbox, observer: Recorder, behaviour: Behaviour, status: int | None, failure: str | None
) -> None:
    """Over real connections: one question, which has ended, however that came."""
    with Server(behaviour) as server:
        client = drive.client(settings(sandbox, server, observer=observer, http_timeout=0.3 if not status else 5))
        error_of(drive, client, "is_team_member", sandbox.create_user().id, sandbox.create_team().id)

    assert observer.questions == [("team membership", status, failure)]
    assert observer.under_way == {}


def test_kinds_of_questions_have_plain_names(drive: Drive, sandbox: Sandbox, observer: Recorder) -> None:
    """Those that the documentation names."""
    user, team = sandbox.create_user(), sandbox.create_team()
    sandbox.add_member(team, user)
    client = drive.client(dataclasses.replace(sandbox.config, observer=observer))
    drive.run(client, "warm")
    drive.run(client, "list_permissions", user.id)
    drive.run(client, "list_permissions", user.id, team.id)
    drive.run(client, "is_team_member", user.id, team.id)
    drive.run(client, "get_user", user.id)
    drive.run(client, "get_current_user", sandbox.token(user))
    drive.run(client, "check_api_key", sandbox.create_api_key(user=user).value)
    drive.run(client, "admit", require_user.live(), client.attempt(sandbox.headers(user)))

    assert [kind for kind, _, _ in observer.questions] == [
        "key set",
        "project permissions",
        "team permissions",
        "team membership",
        "user",
        "current user",
        "api key",
        "user",
        "sessions",
        "user",
    ]
    documented = Observer.question_begins.__doc__ or ""
    assert [kind for kind, _, _ in observer.questions if f"`{kind}`" not in documented] == []


def test_a_crowd_asks_one_question(drive: Drive, sandbox: Sandbox, observer: Recorder) -> None:
    """Who waits for the question of another one has asked none, and has looked once."""
    user, team = sandbox.create_user(), sandbox.create_team()
    with Server(gated(relay(sandbox))) as server:
        client = drive.client(settings(sandbox, server, observer=observer))
        threading.Timer(0.2, server.gate.set).start()
        outcomes = drive.crowd(client, [("is_team_member", (user.id, team.id))] * CROWD)

    assert outcomes == [False] * CROWD
    assert observer.questions == [("team membership", 404, None)]
    assert sum(observer.lookups.values()) == CROWD


def test_a_refresh_in_the_background_is_told(drive: Drive, sandbox: Sandbox, observer: Recorder) -> None:
    """It is a question like another, though nobody waits for it."""
    clock, token = Clock(), sandbox.token(sandbox.create_user(), 86400)
    with Server(relay(sandbox)) as server:
        client = drive.client(settings(sandbox, server, observer=observer), clock=clock)
        drive.run(client, "verify_token", token)
        clock.advance(700)
        drive.run(client, "verify_token", token)
        wait_for_refresh()

    assert observer.questions == [("key set", 200, None)] * 2
    assert observer.lookups["key set", "memory", False] == 2


def test_a_cancelled_question_has_an_end(sandbox: Sandbox, observer: Recorder) -> None:
    """Closing the client ends what is under way, and the observer hears of it."""

    async def work(client: AsyncHexclaveClient, server: Server) -> None:
        async with client:
            waiting = asyncio.create_task(client.verify_token(sandbox.token(sandbox.create_user())))
            assert await asyncio.to_thread(server.arrived.wait, LIMIT)
        with pytest.raises(Unavailable):
            await waiting

    with Server(hang) as server:
        client = AsyncHexclaveClient(settings(sandbox, server, observer=observer))
        asyncio.run(work(client, server))

    assert observer.questions == [("key set", None, "CancelledError")]
    assert observer.under_way == {}


def test_an_observer_that_fails_does_not_lose_questions(drive: Drive, sandbox: Sandbox) -> None:
    """Over real connections, in time and out of it."""
    user = sandbox.create_user()
    with Server(relay(sandbox)) as server:
        client = drive.client(settings(sandbox, server, observer=Failing()))
        assert drive.run(client, "verify_token", sandbox.token(user)).id == user.id
        server.behaviour = fixed(500, b"")
        assert isinstance(error_of(drive, client, "list_permissions", user.id), Unavailable)


def test_a_failing_end_still_follows_a_failing_begin(sandbox: Sandbox) -> None:
    """`question_ended` then gets None in place of what was begun."""
    seen: list[object] = []

    class HalfBroken(Recorder):
        def question_begins(self, kind: str) -> int:
            raise KeyError(kind)

        def question_ended(self, begun: Any, *arguments: object) -> None:
            seen.append(begun)

    assert HexclaveClient(dataclasses.replace(sandbox.config, observer=HalfBroken())).warm()
    assert seen == [None]


def test_threads_share_an_observer(sandbox: Sandbox) -> None:
    """Each request is told by its own thread, and none is left out."""
    headers, names = sandbox.headers(sandbox.create_user()), set()

    class Named(Recorder):
        def admitted(self, scope: str, principal: str) -> None:
            names.add(threading.current_thread().name)

    client = HexclaveClient(dataclasses.replace(sandbox.config, observer=Named()))
    threads = [
        threading.Thread(target=lambda: client.admit(require_user, client.attempt(headers)), name=f"request-{number}")
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)

    assert names == {thread.name for thread in threads}


# --- decisions ------------------------------------------------------------------------------------------------


def test_without_an_observer_nothing_is_in_the_way(sandbox: Sandbox, observer: Recorder) -> None:
    """The state is the plain class, with the plain key ring; with one, both are others."""
    plain = core_of(HexclaveClient(sandbox.config))
    watched = core_of(HexclaveClient(dataclasses.replace(sandbox.config, observer=observer)))

    assert (type(plain), type(plain.ring)) == (Core, KeyRing)
    assert type(watched) is not Core
    assert type(watched.ring) is not KeyRing


def test_a_refusal_that_comes_up_twice_in_a_request_is_told_once(
    drive: Drive, sandbox: Sandbox, observer: Recorder
) -> None:
    """As where a page asks who is there before its guard does; another request counts again."""
    client = drive.client(dataclasses.replace(sandbox.config, observer=observer))
    headers = {"x-stack-access-token": sandbox.token(sandbox.create_user(), expires_in=-60)}
    for _ in range(2):
        attempt = client.attempt(headers)
        for method, arguments in (("identify", ()), ("admit", (require_user,)), ("identify", ())):
            assert error_of(drive, client, method, *arguments, attempt) is not None

    assert observer.refusals == {"ACCESS_TOKEN_EXPIRED": 2}


def test_calls_without_a_request_are_told(drive: Drive, sandbox: Sandbox, observer: Recorder) -> None:
    """`authenticate`, `verify_token`, `authorize` and `check_api_key`, which an application calls by itself."""
    client = drive.client(dataclasses.replace(sandbox.config, observer=observer))
    user = drive.run(client, "authenticate", sandbox.headers(sandbox.create_user()))
    assert drive.run(client, "authorize", require_user, user) == user
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("authenticate", ({"x-stack-access-token": "garbage"},)),
        ("verify_token", ("garbage",)),
        ("get_current_user", ("garbage",)),
        ("authorize", (require_user, None)),
        ("check_api_key", ("garbage",)),
    ]
    for method, arguments in calls:
        assert error_of(drive, client, method, *arguments) is not None

    assert observer.admissions == {("user", "regular"): 1}
    assert observer.refusals == {
        "UNPARSABLE_ACCESS_TOKEN": 3,
        "USER_AUTHENTICATION_REQUIRED": 1,
        "API_KEY_NOT_FOUND": 1,
    }


def test_look_ups_in_redis_are_told(drive: Drive, sandbox: Sandbox, redis_url: str) -> None:
    """The second process finds in Redis what the first one asked."""
    user = sandbox.create_user()
    key = sandbox.create_api_key(user=user).value
    observers = [Recorder(), Recorder()]
    for observer in observers:
        client = drive.client(dataclasses.replace(sandbox.config, redis_url=redis_url, observer=observer))
        drive.run(client, "list_permissions", user.id)
        drive.run(client, "check_api_key", key)

    first, second = observers
    assert first.lookups == {
        ("permissions", "memory", False): 1,
        ("permissions", "redis", False): 1,
        ("api key", "memory", False): 1,
        ("api key", "redis", False): 2,  # the key, and its owner
    }
    assert second.lookups["permissions", "redis", True] == 1
    assert second.lookups["api key", "redis", True] == 2
    assert second.questions == []


# --- deliveries -----------------------------------------------------------------------------------------------


def test_a_delivery_under_way_and_a_store_that_is_away(sandbox: Sandbox, observer: Recorder) -> None:
    """A repetition meanwhile is `in progress`; where the claim cannot be made it is `unavailable`."""

    class Away(MemoryStore):
        def claim(self, key: str, token: str, ttl: float) -> Any:
            raise StoreUnavailable("away")

    webhooks = Webhooks(sandbox.config.webhook_secrets, observer=observer)
    delivery = sandbox.webhook("team.created", DATA)
    webhooks.on("team.created")(lambda event: webhooks.receive(*delivery))
    webhooks.receive(*delivery)
    Webhooks(sandbox.config.webhook_secrets, Away(), observer=observer).receive(*delivery)

    assert observer.deliveries == {
        ("in progress", "team.created", "WEBHOOK_IN_PROGRESS"): 1,
        ("handled", "team.created", None): 1,
        ("unavailable", "team.created", "WEBHOOK_STORE_UNAVAILABLE"): 1,
    }


def test_a_genuine_delivery_that_cannot_be_read_is_refused(sandbox: Sandbox, observer: Recorder) -> None:
    """With its type, as far as that can be told."""
    webhooks = Webhooks(sandbox.config.webhook_secrets, observer=observer)

    assert webhooks.receive(*sandbox.webhook("team.created", {"id": 5}))[0] == 400
    assert {outcome for outcome, _, _ in observer.deliveries} == {"refused"}


def test_a_sender_that_hangs_up_does_not_hide_the_end(sandbox: Sandbox, observer: Recorder) -> None:
    """The waiting is cancelled, the delivery goes on, and its end is told."""
    webhooks = Webhooks(sandbox.config.webhook_secrets, observer=observer)
    begun, go_on = asyncio.Event(), asyncio.Event()

    @webhooks.on("team.created")
    async def wait(event: Any) -> None:
        begun.set()
        await go_on.wait()

    async def work() -> None:
        sender = asyncio.create_task(webhooks.areceive(*sandbox.webhook("team.created", DATA)))
        await begun.wait()
        sender.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sender
        assert observer.deliveries == {}
        go_on.set()
        await asyncio.to_thread(eventually, lambda: bool(observer.deliveries))

    asyncio.run(asyncio.wait_for(work(), LIMIT))

    assert observer.deliveries == {("handled", "team.created", None): 1}


def test_the_parts_of_a_delivery_are_told_once(sandbox: Sandbox, observer: Recorder) -> None:
    """`handle` verifies and dispatches, in both colours: one end each."""
    webhooks = Webhooks(sandbox.config.webhook_secrets, observer=observer)
    body, headers = sandbox.webhook("team.created", DATA)
    webhooks.verify(body, headers)
    assert observer.deliveries == {}
    webhooks.handle(body, headers)
    asyncio.run(webhooks.ahandle(body, headers))
    for _ in range(2):
        with pytest.raises(WebhookVerificationFailed):
            webhooks.handle(body + b" ", headers)
    webhooks.on("team.deleted")(lambda event: event.data.nothing)
    with pytest.raises(WebhookHandlerFailed):
        webhooks.handle(*sandbox.webhook("team.deleted", DATA))

    assert observer.deliveries == {
        ("handled", "team.created", None): 1,
        ("duplicate", "team.created", None): 1,
        ("refused", None, "WEBHOOK_VERIFICATION_FAILED"): 2,
        ("failed", "team.deleted", "WEBHOOK_HANDLER_FAILED"): 1,
    }


def test_what_a_fleet_cannot_be_told_is_unavailable(sandbox: Sandbox, observer: Recorder) -> None:
    """Redis is away: the sender has to come back, and no handler has run."""
    config = dataclasses.replace(sandbox.config, redis_url="redis://127.0.0.1:1", observer=observer)
    client = HexclaveClient(config)
    status, _, _ = Webhooks().receive(*sandbox.webhook("user.deleted", {"id": sandbox.create_user().id}), client)

    assert status == 503
    assert observer.deliveries == {("unavailable", "user.deleted", "HEXCLAVE_UNAVAILABLE"): 1}


def test_what_is_no_observer_is_refused_at_the_start() -> None:
    """As in the configuration."""
    wrong: Any = object()
    with pytest.raises(ConfigurationError, match="observer is no observer: pass an object of a subclass"):
        Webhooks(observer=wrong)


def test_an_observer_by_itself_does_nothing(sandbox: Sandbox) -> None:
    """The base has every method, for subclasses that want some."""
    client = HexclaveClient(dataclasses.replace(sandbox.config, observer=Observer()))

    assert client.admit(require_user, client.attempt(sandbox.headers(sandbox.create_user()))) is not None
