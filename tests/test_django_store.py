"""The stores of the Django adapter: claims in caches and databases, and effects that happen exactly once."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
import time_machine
from asgiref.sync import sync_to_async

from ._services import free_port
from ._webhooks import SECRET, Delivery, event, new_id
from .adapters._django import COLOURS

# isort: split
from django.core.asgi import get_asgi_application
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.models.signals import pre_delete
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import include, path

from hexclave_integrations import ConfigurationError
from hexclave_integrations.django import webhook_view
from hexclave_integrations.django.models import Delivery as Row
from hexclave_integrations.django.signals import webhook_received
from hexclave_integrations.django.stores import DatabaseStore, DjangoCacheStore
from hexclave_integrations.stores import Claim, MemoryStore, StoreUnavailable
from hexclave_integrations.webhooks import WebhookEvent, Webhooks

TTL = 60.0
LIMIT = 20.0
LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
REDIS = "django.core.cache.backends.redis.RedisCache"
_numbers = itertools.count(time.time_ns())


class Database:
    """A database of settings.DATABASES, and the table in which effects are counted."""

    def __init__(self, alias: str, settings: dict[str, Any]) -> None:
        self.alias = alias
        self.settings = settings

    def execute(self, statement: str, *values: str) -> None:
        with connections[self.alias].cursor() as cursor:
            cursor.execute(statement, values)

    def write(self, delivery_id: str) -> None:
        """The effect of a handler."""
        self.execute("INSERT INTO effects (delivery) VALUES (%s)", delivery_id)

    def effects(self, delivery_id: str) -> int:
        """How often it happened."""
        with connections[self.alias].cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM effects WHERE delivery = %s", [delivery_id])
            count: int = cursor.fetchone()[0]
            return count

    def store(self, **options: Any) -> DatabaseStore:
        return DatabaseStore(self.alias, **options)

    def webhooks(self, *handlers: Callable[[WebhookEvent], Any], clock: Any = time.time, **options: Any) -> Webhooks:
        """An endpoint whose handlers are these; all endpoints are one."""
        webhooks = Webhooks([SECRET], self.store(clock=clock), endpoint="test", **options)
        for handler in handlers:
            webhooks.on("*")(handler)
        return webhooks


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@contextmanager
def in_settings(alias: str, **settings: Any) -> Iterator[Database]:
    """One more database, for as long as the block lasts."""
    connections.settings[alias] = connections.configure_settings({"default": {}, alias: settings})[alias]
    try:
        yield Database(alias, settings)
    finally:
        connections[alias].close()
        del connections[alias], connections.settings[alias]


@contextmanager
def with_tables(alias: str, **settings: Any) -> Iterator[Database]:
    with in_settings(alias, **settings) as database:
        call_command("migrate", "hexclave", database=alias, verbosity=0, skip_checks=True)
        database.execute("CREATE TABLE effects (delivery VARCHAR(100))")
        yield database


@pytest.fixture(scope="module")
def sqlite_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    file = tmp_path_factory.mktemp("sqlite") / "db.sqlite3"
    options = {"timeout": LIMIT}
    with with_tables("sqlite", ENGINE="django.db.backends.sqlite3", NAME=str(file), OPTIONS=options) as database:
        yield database


@pytest.fixture(scope="module")
def postgres_settings(postgres_url: str) -> dict[str, Any]:
    """A database of this module's own on the server that all tests share."""
    name = f"django_{next(_numbers)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url = urlsplit(postgres_url)
    engine = "django.db.backends.postgresql"
    return {"ENGINE": engine, "NAME": name, "USER": url.username, "HOST": url.hostname, "PORT": url.port}


@pytest.fixture(scope="module")
def postgres_database(postgres_settings: dict[str, Any]) -> Iterator[Database]:
    with with_tables("postgres", **postgres_settings) as database:
        yield database


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


@pytest.fixture
def key() -> str:
    return f"delivery:test:{next(_numbers)}"


def in_threads(database: Database, *work: Callable[[], int]) -> list[int]:
    """What these return when they begin at once."""
    barrier = threading.Barrier(len(work))

    def one(function: Callable[[], int]) -> int:
        try:
            barrier.wait(LIMIT)
            return function()
        finally:
            connections[database.alias].close()

    with ThreadPoolExecutor(len(work)) as executor:
        return list(executor.map(one, work))


def post(colour: str, webhooks: Webhooks, delivery: Delivery) -> int:
    """The status that a server answers."""
    body, headers = delivery
    with override_settings(ROOT_URLCONF=(path("hooks", webhook_view(webhooks)),)):
        if colour == "wsgi":
            return Client().generic("POST", "/hooks", body, "application/json", headers=headers).status_code
        return asyncio.run(asgi_status(body, headers))


async def asgi_status(body: bytes, headers: dict[str, str]) -> int:
    """As an ASGI server does it: a view that is no coroutine function runs on a thread of its request's own."""
    sent: list[dict[str, Any]] = []
    incoming = asyncio.Queue[dict[str, Any]]()
    incoming.put_nowait({"type": "http.request", "body": body, "more_body": False})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/hooks", "query_string": b"", "http_version": "1.1"}
    fields = {"content-length": str(len(body)), **headers}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in fields.items()]
    application: Any = get_asgi_application()
    async with asyncio.timeout(LIMIT):
        await application(scope, incoming.get, send)
    status: int = sent[0]["status"]
    return status


class Subject:
    """A store, and a way to let time pass for it."""

    def __init__(self, store: Any, pass_time: Callable[[float], object]) -> None:
        self.store = store
        self.pass_time = pass_time

    def claim(self, key: str, token: str, ttl: float = TTL) -> Claim:
        claim: Claim = self.store.claim(key, token, ttl)
        return claim

    def done(self, key: str, token: str, ttl: float = TTL) -> bool:
        is_done: bool = self.store.done(key, token, ttl)
        return is_done

    def release(self, key: str, token: str) -> None:
        self.store.release(key, token)

    def forget(self, key: str) -> Claim | None:
        found: Claim | None = self.store.forget(key)
        return found


@pytest.fixture(params=["locmem", "redis", "sqlite", "postgres"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "locmem":
        local = {"default": {"BACKEND": LOCMEM, "LOCATION": f"{next(_numbers)}"}}
        with override_settings(CACHES=local), time_machine.travel(time.time(), tick=False) as traveller:
            yield Subject(DjangoCacheStore(), traveller.shift)
    elif request.param == "redis":
        url, prefix = request.getfixturevalue("redis_url"), f"p{next(_numbers)}"

        def pass_time(seconds: float) -> None:
            with redis.Redis.from_url(url) as client:
                for name in client.scan_iter(f"{prefix}:*"):
                    client.pexpire(name, max(0, int(client.pttl(name) - seconds * 1000)))

        with override_settings(CACHES={"default": {"BACKEND": REDIS, "LOCATION": url, "KEY_PREFIX": prefix}}):
            yield Subject(DjangoCacheStore(), pass_time)
    else:
        clock = Clock()
        yield Subject(request.getfixturevalue(f"{request.param}_database").store(clock=clock), clock.advance)


class TestEveryStore:
    """What these stores have in common with all others."""

    def test_one_holder(self, subject: Subject, key: str) -> None:
        """While one holds a claim the others are told so; other deliveries are free."""
        assert [subject.claim(key, token) for token in "ab"] == [Claim.CLAIMED, Claim.BUSY]
        assert subject.claim(key.upper(), "b") is Claim.CLAIMED

    def test_done(self, subject: Subject, key: str) -> None:
        """What is done stays done, for its holder too."""
        subject.claim(key, "a")

        assert subject.done(key, "a")
        assert [subject.claim(key, token) for token in "ab"] == [Claim.DONE] * 2

    def test_release(self, subject: Subject, key: str) -> None:
        """A released claim is free at once."""
        subject.claim(key, "a")
        subject.release(key, "a")

        assert subject.claim(key, "b") is Claim.CLAIMED

    def test_expiry(self, subject: Subject, key: str) -> None:
        """A claim that nobody ended is free after its time, however short that was."""
        subject.claim(key, "a", 0.4)
        assert subject.claim(key, "b") is Claim.BUSY
        subject.pass_time(1.2)

        assert subject.claim(key, "b") is Claim.CLAIMED

    def test_done_is_forgotten_in_time(self, subject: Subject, key: str) -> None:
        """What is done is remembered for as long as was asked."""
        subject.claim(key, "a")
        subject.done(key, "a", 1)
        assert subject.claim(key, "b") is Claim.DONE
        subject.pass_time(1.2)

        assert subject.claim(key, "b") is Claim.CLAIMED

    def test_a_lost_claim_ends_nothing(self, subject: Subject, key: str) -> None:
        """Who lost the claim can neither release another's nor mark it done."""
        subject.claim(key, "a", 1)
        subject.pass_time(1.2)
        subject.claim(key, "b")
        subject.release(key, "a")

        assert not subject.done(key, "a")
        assert subject.claim(key, "c") is Claim.BUSY
        assert subject.done(key, "b")

    def test_a_lost_claim_leaves_done_what_is_done(self, subject: Subject, key: str) -> None:
        """Nor can it undo what another has done."""
        subject.claim(key, "a", 1)
        subject.pass_time(1.2)
        subject.claim(key, "b")
        subject.done(key, "b")
        subject.release(key, "a")

        assert not subject.done(key, "a")
        assert subject.claim(key, "c") is Claim.DONE

    def test_an_expired_claim_that_nobody_took(self, subject: Subject, key: str) -> None:
        """Late work counts as long as nobody else began it."""
        subject.claim(key, "a", 1)
        subject.pass_time(1.2)

        assert subject.done(key, "a")
        assert subject.claim(key, "b") is Claim.DONE

    def test_every_operation_may_come_twice(self, subject: Subject, key: str) -> None:
        """After an answer that was lost, the same again changes nothing."""
        assert [subject.claim(key, "a") for _ in range(2)] == [Claim.CLAIMED] * 2
        assert [subject.done(key, "a") for _ in range(2)] == [True, True]

        subject.release(key, "a")
        subject.release(f"{key}x", "a")
        assert subject.claim(key, "b") is Claim.DONE

    def test_forget(self, subject: Subject, key: str) -> None:
        """What is done can be handled again; what is being handled, or unknown, is left as it is."""
        assert subject.forget(key) is None
        subject.claim(key, "a")
        assert subject.forget(key) is Claim.BUSY
        assert Claim.BUSY is subject.claim(key, "b")
        assert subject.done(key, "a")
        assert [subject.forget(key), subject.forget(key)] == [Claim.DONE, None]
        assert Claim.CLAIMED is subject.claim(key, "b")
        assert Claim.BUSY is subject.claim(key, "c")

    def test_forget_what_is_over(self, subject: Subject, key: str) -> None:
        """A mark or a claim whose time is over is nothing."""
        for is_done in (False, True):
            subject.claim(key, "a", 30)
            if is_done:
                subject.done(key, "a", 30)
            subject.pass_time(31)
            assert subject.forget(key) is None

    @pytest.mark.parametrize("was_expired", [False, True], ids=["new", "expired"])
    def test_atomic(self, subject: Subject, key: str, was_expired: bool) -> None:
        """Of many who claim at once one gets it, also where they take over what a dead one left."""
        if was_expired:
            subject.claim(key, "dead", 1)
            subject.pass_time(1.2)
        barrier = threading.Barrier(20)

        def work(number: int) -> Claim:
            try:
                barrier.wait(LIMIT)
                return subject.claim(key, str(number))
            finally:
                connections.close_all()

        with ThreadPoolExecutor(20) as executor:
            claims = list(executor.map(work, range(20)))

        assert (claims.count(Claim.CLAIMED), claims.count(Claim.BUSY)) == (1, 19)


class TestCacheStore:
    """Claims in Django's cache."""

    def test_no_server(self, key: str) -> None:
        """Without a server every operation says so, and shows no password."""
        location = f"redis://:hush@127.0.0.1:{free_port()}"
        with override_settings(CACHES={"default": {"BACKEND": REDIS, "LOCATION": location}}):
            subject = Subject(DjangoCacheStore(), time.sleep)
            for operation in (subject.claim, subject.done, subject.release):
                with pytest.raises(StoreUnavailable) as caught:
                    operation(key, "a")
                assert str(caught.value) == "ConnectionError"

    def test_another_cache(self, key: str) -> None:
        """The alias says which, and the prefix which part of it."""
        names = {alias: {"BACKEND": LOCMEM, "LOCATION": f"{alias}{next(_numbers)}"} for alias in ("default", "other")}
        with override_settings(CACHES=names):
            stores = [DjangoCacheStore(), DjangoCacheStore("other"), DjangoCacheStore("other", prefix="x:")]
            assert [store.claim(key, "a", TTL) for store in stores] == [Claim.CLAIMED] * 3
            assert [store.claim(key, "b", TTL) for store in stores] == [Claim.BUSY] * 3

    def test_any_key(self, subject: Subject) -> None:
        """Keys that caches would not take, or databases not tell apart, are keys."""
        keys = ["x" * 500, "with space", "\n", "Ä", "a", "A"]
        assert [subject.claim(key, "a") for key in keys] == [Claim.CLAIMED] * len(keys)

    def test_unknown_alias(self) -> None:
        """A cache that is not there is found out at the start."""
        with pytest.raises(ConfigurationError, match="CACHES"):
            DjangoCacheStore("nowhere")

    @pytest.mark.parametrize("colour", COLOURS)
    def test_through_the_view(self, colour: str) -> None:
        """A delivery is handled once, and again if that failed."""
        seen: list[str] = []

        def handler(event: WebhookEvent) -> None:
            seen.append(event.id)
            if len(seen) == 1:
                raise RuntimeError

        with override_settings(CACHES={"default": {"BACKEND": LOCMEM, "LOCATION": f"{next(_numbers)}"}}):
            webhooks = Webhooks([SECRET], DjangoCacheStore())
            webhooks.on("*")(handler)
            delivery = event()
            assert [post(colour, webhooks, delivery) for _ in range(3)] == [500, 200, 200]
        assert len(seen) == 2


class TestExactlyOnce:
    """What handlers write to the database of a DatabaseStore happens once."""

    def test_a_crowd(self, database: Database) -> None:
        """Twenty threads that bring the same delivery until it is accepted."""
        name = new_id()
        delivery = event(name)
        webhooks = database.webhooks(lambda event: database.write(event.id))

        def send_until_accepted() -> int:
            status, end = 0, time.monotonic() + LIMIT
            while status != 200 and time.monotonic() < end:
                status = webhooks.receive(*delivery)[0]
                assert status in (200, 409)
                time.sleep(0.01)
            return status

        assert in_threads(database, *[send_until_accepted] * 20) == [200] * 20
        assert database.effects(name) == 1

    def test_many_deliveries(self, database: Database) -> None:
        """Threads that bring different ones do not hinder each other, and each brings its own twice."""
        names = [new_id() for _ in range(10)]
        webhooks = database.webhooks(lambda event: database.write(event.id))
        work = [lambda name=name: webhooks.receive(*event(name))[0] for name in names * 2]
        statuses = in_threads(database, *work)

        assert set(statuses) <= {200, 409}
        assert [database.effects(name) for name in names] == [1] * 10

    @pytest.mark.parametrize("colour", COLOURS)
    def test_a_failure(self, database: Database, colour: str) -> None:
        """What was written before a handler failed is rolled back, and the retry writes it."""
        name, failures = new_id(), [RuntimeError()]

        def second(event: WebhookEvent) -> None:
            if failures:
                raise failures.pop()

        webhooks = database.webhooks(lambda event: database.write(event.id), second)
        assert (post(colour, webhooks, event(name)), database.effects(name)) == (500, 0)
        assert (post(colour, webhooks, event(name)), database.effects(name)) == (200, 1)
        assert (post(colour, webhooks, event(name)), database.effects(name)) == (200, 1)

    @pytest.mark.parametrize("colour", COLOURS)
    def test_coroutines(self, database: Database, colour: str) -> None:
        """What async handlers and receivers ask of the database is part of the same transaction."""
        name, failures = new_id(), [RuntimeError()]

        async def handler(event: WebhookEvent) -> None:
            await asyncio.sleep(0)
            await sync_to_async(database.write)(event.id)

        async def receiver(event: WebhookEvent, **kwargs: Any) -> None:
            await sync_to_async(database.write)(event.id)
            if failures:
                raise failures.pop()

        webhooks = database.webhooks(handler)
        webhook_received.connect(receiver)
        try:
            assert (post(colour, webhooks, event(name)), database.effects(name)) == (500, 0)
            assert (post(colour, webhooks, event(name)), database.effects(name)) == (200, 2)
        finally:
            webhook_received.disconnect(receiver)

    def test_on_an_event_loop(self, database: Database) -> None:
        """Whoever receives without Django's view, on an event loop, has the same transaction."""
        name, failures = new_id(), [RuntimeError()]

        async def fail(event: WebhookEvent) -> None:
            if failures:
                raise failures.pop()

        webhooks = database.webhooks(lambda event: database.write(event.id), fail)

        async def receive() -> int:
            with ThreadPoolExecutor(1) as executor:
                loop = asyncio.get_running_loop()
                loop.set_default_executor(executor)
                status = (await webhooks.areceive(*event(name)))[0]
                await loop.run_in_executor(executor, lambda: connections[database.alias].close())
                return status

        assert (asyncio.run(receive()), database.effects(name)) == (500, 0)
        assert (asyncio.run(receive()), database.effects(name)) == (200, 1)

    def test_a_claim_that_was_taken_over(self, database: Database) -> None:
        """Who took longer than the claim lasts and lost it rolls back, whatever was done."""
        name, clock = new_id(), Clock()
        begun, go_on = threading.Event(), threading.Event()

        def slow(event: WebhookEvent) -> None:
            begun.set()
            assert go_on.wait(LIMIT)
            database.write(event.id)

        lost = database.webhooks(slow, clock=clock)
        prompt = database.webhooks(lambda event: database.write(event.id), clock=clock)

        def overtake() -> int:
            assert begun.wait(LIMIT)
            assert prompt.receive(*event(name))[0] == 409
            clock.advance(301)
            status = prompt.receive(*event(name))[0]
            go_on.set()
            return status

        statuses = in_threads(database, lambda: lost.receive(*event(name))[0], overtake)
        assert (statuses, database.effects(name)) == ([409, 200], 1)
        assert (lost.receive(*event(name))[0], database.effects(name)) == (200, 1)

    def test_a_claim_that_expired(self, database: Database) -> None:
        """Who took longer and lost nothing has done it."""
        name, clock = new_id(), Clock()

        def slow(event: WebhookEvent) -> None:
            clock.advance(301)
            database.write(event.id)

        webhooks = database.webhooks(slow, clock=clock)
        assert [webhooks.receive(*event(name))[0] for _ in range(2)] == [200, 200]
        assert database.effects(name) == 1

    def test_a_claim_that_expired_and_was_swept_away(self, database: Database) -> None:
        """The same where the row is gone meanwhile."""
        name, clock = new_id(), Clock()

        def slow(event: WebhookEvent) -> None:
            clock.advance(301)
            Row.objects.using(database.alias).filter(expires_at__lte=clock()).delete()

        webhooks = database.webhooks(slow, lambda event: database.write(event.id), clock=clock)
        assert [webhooks.receive(*event(name))[0] for _ in range(2)] == [200, 200]
        assert database.effects(name) == 1

    def test_a_transaction_around_it(self, database: Database) -> None:
        """Within another transaction nothing could be promised: it is refused, and nothing is written."""
        name = new_id()
        webhooks = database.webhooks(lambda event: database.write(event.id))
        with transaction.atomic(using=database.alias):
            assert webhooks.receive(*event(name))[0] == 500
        assert database.effects(name) == 0
        assert (webhooks.receive(*event(name))[0], database.effects(name)) == (200, 1)

    @pytest.mark.parametrize("colour", COLOURS)
    def test_atomic_requests(self, database: Database, colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """ATOMIC_REQUESTS would be such a transaction; the view is not part of it."""
        monkeypatch.setitem(connections.settings[database.alias], "ATOMIC_REQUESTS", True)
        name = new_id()
        webhooks = database.webhooks(lambda event: database.write(event.id))

        assert (post(colour, webhooks, event(name)), database.effects(name)) == (200, 1)

    def test_after_the_commit(self, database: Database) -> None:
        """What is put off until the commit happens after it, and not at all when work is rolled back."""
        name, failures, seen = new_id(), [RuntimeError()], list[int]()

        def handler(event: WebhookEvent) -> None:
            database.write(event.id)
            transaction.on_commit(lambda: seen.append(database.effects(name)), using=database.alias)
            if failures:
                raise failures.pop()

        webhooks = database.webhooks(handler)
        assert [webhooks.receive(*event(name))[0] for _ in range(3)] == [500, 200, 200]
        assert seen == [1]

    def test_an_error_after_the_commit(self, database: Database, caplog: pytest.LogCaptureFixture) -> None:
        """What on_commit() raises is lost: the delivery is done already, and the log names what to write instead."""
        name, seen = new_id(), list[str]()

        def call_broker() -> None:
            seen.append("called")
            raise ConnectionError("no broker")

        def handler(event: WebhookEvent) -> None:
            database.write(event.id)
            transaction.on_commit(call_broker, using=database.alias)

        webhooks = database.webhooks(handler)
        assert [webhooks.receive(*event(name))[0] for _ in range(2)] == [500, 200]
        assert (database.effects(name), seen) == (1, ["called"])
        assert "after_commit=True" in caplog.text

    @pytest.mark.parametrize("colour", COLOURS)
    def test_a_broker_that_is_down(self, database: Database, colour: str) -> None:
        """A handler for after the commit sees what was written, and is repeated by itself until it succeeds."""
        name, outages, sent = new_id(), [ConnectionError(), ConnectionError()], list[int]()

        def send_task(event: WebhookEvent) -> None:
            assert not connections[database.alias].in_atomic_block
            if outages:
                raise outages.pop()
            sent.append(database.effects(event.id))

        webhooks = database.webhooks(lambda event: database.write(event.id))
        webhooks.on("*", after_commit=True)(send_task)
        statuses = [(post(colour, webhooks, event(name)), database.effects(name)) for _ in range(4)]
        assert statuses == [(500, 1), (500, 1), (200, 1), (200, 1)]
        assert sent == [1]

    def test_not_before_the_commit(self, database: Database) -> None:
        """Where the others fail nothing is sent."""
        name, failures, sent = new_id(), [RuntimeError()], list[str]()

        def handler(event: WebhookEvent) -> None:
            if failures:
                raise failures.pop()

        webhooks = database.webhooks(handler)
        webhooks.on("*", after_commit=True)(lambda event: sent.append(event.id))
        assert (webhooks.receive(*event(name))[0], sent) == (500, [])
        assert (webhooks.receive(*event(name))[0], sent) == (200, [name])

    def test_create_or_ignore(self, database: Database, key: str, caplog: pytest.LogCaptureFixture) -> None:
        """Who hides an error within the transaction has broken it: a failure of the handler, and the log says how."""
        name = new_id()
        rows = Row.objects.using(database.alias)
        rows.create(key=key, expires_at=4e9)

        def careless(event: WebhookEvent) -> None:
            database.write(event.id)
            with suppress(IntegrityError):
                rows.create(key=key, expires_at=4e9)

        def careful(event: WebhookEvent) -> None:
            database.write(event.id)
            with suppress(IntegrityError), transaction.atomic(using=database.alias):
                rows.create(key=key, expires_at=4e9)

        status, _, body = database.webhooks(careless).receive(*event(name))
        assert (status, json.loads(body)["code"], database.effects(name)) == (500, "WEBHOOK_HANDLER_FAILED", 0)
        assert [record.getMessage() for record in caplog.records] == [
            "A webhook handler for 'user.deleted' caught an error of the database that had ended its transaction, so "
            "nothing was saved; wrap the statement that may fail in transaction.atomic(). The sender will try again"
        ]
        assert (database.webhooks(careful).receive(*event(name))[0], database.effects(name)) == (200, 1)

    def test_a_transaction_that_a_handler_broke(self, postgres_database: Database) -> None:
        """An error of the database that a handler hid is no success, and no outage of the store."""
        name = new_id()

        def careless(event: WebhookEvent) -> None:
            postgres_database.write(event.id)
            with pytest.raises(DatabaseError):
                postgres_database.execute("SELECT nonsense")

        webhooks = postgres_database.webhooks(careless)
        assert (webhooks.receive(*event(name))[0], postgres_database.effects(name)) == (500, 0)
        repaired = postgres_database.webhooks(lambda event: postgres_database.write(event.id))
        assert (repaired.receive(*event(name))[0], postgres_database.effects(name)) == (200, 1)

    def test_a_connection_that_breaks_meanwhile(self, postgres_database: Database, postgres_url: str) -> None:
        """A database that goes away within a handler is an outage of the store, and nothing is written."""
        name = new_id()

        def cut(event: WebhookEvent) -> None:
            postgres_database.write(event.id)
            connection: Any = connections[postgres_database.alias]
            with psycopg.connect(postgres_url) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])

        status, _, body = postgres_database.webhooks(cut).receive(*event(name))
        assert (status, json.loads(body)["code"]) == (503, "WEBHOOK_STORE_UNAVAILABLE")
        connections[postgres_database.alias].close()
        assert postgres_database.effects(name) == 0


class Worker:
    """A process that receives deliveries."""

    def __init__(self, database: Database, mode: str, claim_ttl: float) -> None:
        arguments = [json.dumps(database.settings), str(claim_ttl), mode]
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests._django_webhook_worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "HEXCLAVE_WEBHOOK_SECRET": SECRET},
        )
        assert self.says() == "ready"

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def receive(self, delivery: Delivery) -> str:
        """What it says next."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([delivery[0].decode(), delivery[1]]) + "\n")
        self.process.stdin.flush()
        return self.says()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=LIMIT)


class TestProcesses:
    """Workers that die."""

    def test_killed_within_a_handler(self, database: Database) -> None:
        """What it had written is gone; when its claim has expired another does it all."""
        name, clock = new_id(), Clock()
        webhooks = database.webhooks(lambda event: database.write(event.id), clock=clock)
        with closing(Worker(database, "hang", 60)) as worker:
            assert worker.receive(event(name)) == "written"
        assert (webhooks.receive(*event(name))[0], database.effects(name)) == (409, 0)
        clock.advance(90)

        assert (webhooks.receive(*event(name))[0], database.effects(name)) == (200, 1)
        assert (webhooks.receive(*event(name))[0], database.effects(name)) == (200, 1)

    def test_killed_between_commit_and_answer(self, database: Database) -> None:
        """What was committed stays, and a sender who heard nothing is told so when they come back."""
        name = new_id()
        with closing(Worker(database, "hang-after-commit", 60)) as worker:
            assert worker.receive(event(name)) == "committed"
        webhooks = database.webhooks(lambda event: database.write(event.id))
        status, _, body = webhooks.receive(*event(name))

        assert (status, body, database.effects(name)) == (200, b'{"status": "duplicate"}', 1)

    def test_alive(self, postgres_database: Database) -> None:
        """The worker that the others are killed instances of."""
        name = new_id()
        with closing(Worker(postgres_database, "deliver", 60)) as worker:
            assert (worker.receive(event(name)), postgres_database.effects(name)) == ("200", 1)


class TestAgain:
    """`manage.py hexclave_webhook_again`."""

    def run(self, *ids: str) -> tuple[str, str | None]:
        """What is written, and the error that it ends with."""
        out = io.StringIO()
        try:
            call_command("hexclave_webhook_again", *ids, stdout=out, stderr=out)
        except CommandError as error:
            return out.getvalue(), str(error)
        return out.getvalue(), None

    def test_again(self, database: Database, key: str) -> None:
        """The repetition of a delivery that the command was given is handled, and its writes happen again."""
        webhooks = database.webhooks(lambda event: database.write(event.id))
        deliveries = [event(), event()]
        ids = [headers["svix-id"] for _, headers in deliveries]
        patterns = (path("in/", include([path("hooks", webhook_view(webhooks))])),)
        assert [post("wsgi", webhooks, each) for each in deliveries] == [200, 200]
        with override_settings(ROOT_URLCONF=patterns):
            written, error = self.run(ids[0])
            assert (written, error) == (f"{ids[0]}: the next repetition of it will be handled.\n", None)
            written, error = self.run(*ids[:1], "msg_unknown", ids[1])
        assert error == "2 of 3 deliveries were not forgotten."
        assert [line.partition(":")[2][:20] for line in written.splitlines()] == [
            " it is not known as ",
            " it is not known as ",
            " the next repetition",
        ]
        assert [post("wsgi", webhooks, each) for each in deliveries * 2] == [200] * 4
        assert [database.effects(each) for each in ids] == [2, 2]

    def test_while_it_is_handled(self, database: Database) -> None:
        """It says so and changes nothing."""
        said: list[Any] = []

        def handler(event: WebhookEvent) -> None:
            thread = threading.Thread(target=ask, args=(event.id,))
            thread.start()
            thread.join(LIMIT)

        def ask(delivery_id: str) -> None:
            said.append(self.run(delivery_id))
            connections[database.alias].close()

        webhooks = database.webhooks(handler)
        delivery = event()
        with override_settings(ROOT_URLCONF=(path("hooks", webhook_view(webhooks)),)):
            body, headers = delivery
            assert Client().generic("POST", "/hooks", body, "application/json", headers=headers).status_code == 200
        assert "being handled at this moment" in said[0][0]
        assert said[0][1] == "1 of 1 deliveries were not forgotten."
        assert post("wsgi", webhooks, delivery) == 200
        assert len(said) == 1

    @pytest.mark.parametrize("store", [MemoryStore, DjangoCacheStore])
    def test_memory_of_another_process(self, store: Any) -> None:
        """A command cannot forget what another process remembers, and says what to do."""
        patterns = (path("hooks", webhook_view(Webhooks([SECRET], store()))),)
        with override_settings(ROOT_URLCONF=patterns, CACHES={"default": {"BACKEND": LOCMEM}}):
            assert "restart them, or use DatabaseStore" in str(self.run("msg_1")[1])

    def test_no_endpoint(self) -> None:
        """A project without webhooks."""
        with override_settings(ROOT_URLCONF=()):
            assert str(self.run("msg_1")[1]).startswith("No webhook_view(...)")

    def test_a_store_that_cannot_be_asked(self) -> None:
        """Nothing can be told."""
        settings = {"ENGINE": "django.db.backends.postgresql", "NAME": "x", "HOST": "127.0.0.1", "PORT": free_port()}
        with in_settings("away", **settings) as database:
            patterns = (path("hooks", webhook_view(database.webhooks())),)
            with override_settings(ROOT_URLCONF=patterns):
                assert "cannot be asked now" in str(self.run("msg_1")[1])


class TestDatabaseStore:
    """The rest of it."""

    def test_old_rows_are_deleted(self, database: Database, key: str) -> None:
        """Expired rows go on the way, once in a while, and others stay."""
        clock = Clock()
        store = database.store(clock=clock)
        rows = Row.objects.using(database.alias)
        store.claim(f"{key}dead", "a", 1)
        before = rows.count()
        store.claim(f"{key}done", "a", 1)
        store.done(f"{key}done", "a", 10_000)
        clock.advance(599)
        store.claim(f"{key}1", "a", 1000)
        assert rows.count() == before + 2
        clock.advance(2)
        store.claim(f"{key}2", "a", 1000)

        assert rows.filter(expires_at__lte=clock()).count() == 0
        assert rows.filter(expires_at__gt=clock()).count() >= 3

    def test_the_sweep_is_one_statement(self, database: Database, key: str) -> None:
        """Even where something listens to all deletions: what is looked up first could be somebody's when it goes."""
        clock, seen = Clock(), list[str]()
        store = database.store(clock=clock)
        store.claim(f"{key}1", "a", 1)
        clock.advance(601)

        def audit(instance: Any, **kwargs: Any) -> None:
            seen.append(str(instance))
            store.claim(f"{key}1", "b", 1000)

        pre_delete.connect(audit)
        try:
            with CaptureQueriesContext(connections[database.alias]) as queries:
                store.claim(f"{key}2", "a", 1000)
        finally:
            pre_delete.disconnect(audit)
        statements = [query["sql"].split()[0] for query in queries.captured_queries]
        assert (statements[0], statements.count("DELETE"), seen) == ("DELETE", 1, [])
        assert store.claim(f"{key}1", "c", 1000) is Claim.CLAIMED

    def test_no_server(self, key: str) -> None:
        """Without a server every operation says so, and the sender comes back."""
        engine = "django.db.backends.postgresql"
        with in_settings("down", ENGINE=engine, NAME="x", HOST="127.0.0.1", PORT=free_port(), PASSWORD="hush") as down:
            subject = Subject(down.store(), time.sleep)
            for operation in (subject.claim, subject.done, subject.release):
                with pytest.raises(StoreUnavailable) as caught:
                    operation(key, "a")
                assert str(caught.value) == "OperationalError"
            assert down.webhooks().receive(*event())[0] == 503

    def test_a_dropped_connection(self, postgres_database: Database, postgres_url: str) -> None:
        """Outside of requests, where nobody else does it, a broken connection is replaced."""
        webhooks = postgres_database.webhooks()
        connection: Any = connections[postgres_database.alias]
        assert webhooks.receive(*event())[0] == 200
        with psycopg.connect(postgres_url) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
        delivery = event()

        assert [webhooks.receive(*delivery)[0] for _ in range(2)] == [503, 200]

    def test_no_table(self, tmp_path: Path, key: str) -> None:
        """A migration that was not run is trouble with the store, not a lost delivery."""
        name = str(tmp_path / "db.sqlite3")
        with in_settings("empty", ENGINE="django.db.backends.sqlite3", NAME=name) as empty:
            assert empty.webhooks().receive(*event())[0] == 503

    def test_migrations_are_complete(self) -> None:
        """The models have not changed since the latest migration."""
        call_command("makemigrations", "hexclave", check=True, dry_run=True, verbosity=0, skip_checks=True)

    def test_row(self) -> None:
        """A row shows no delivery's id."""
        assert str(Row(key="0" * 64)) == "0" * 64

    def test_configuration(self) -> None:
        """What cannot work is found out at the start."""
        with pytest.raises(ConfigurationError, match="DATABASES"):
            DatabaseStore("nowhere")
        others = override_settings(INSTALLED_APPS=["django.contrib.contenttypes"])
        with others, pytest.raises(ConfigurationError, match="INSTALLED_APPS"):
            DatabaseStore()
