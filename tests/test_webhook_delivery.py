"""The delivery contract: at least once, each delivery's handlers once while they succeed, nothing lost."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from hexclave_integrations import ConfigurationError, HexclaveClient, WebhookInProgress, WebhookStoreUnavailable
from hexclave_integrations.stores import Claim, MemoryStore, RedisStore, StoreUnavailable
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import WebhookEvent, Webhooks

from ._services import Redis, free_port
from ._webhooks import (
    LIMIT,
    OLD_SECRET,
    RUNNERS,
    SECRET,
    AsyncRunner,
    Delivery,
    Runner,
    SyncRunner,
    event,
    new_id,
)

CROWD = 40
ROOT = Path(__file__).parent.parent


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Place:
    """A store and a way to deliver: what the contract must not depend on.

    Attributes:
        claim_ttl: short enough for `expire`.
        expire: lets claims of `claim_ttl` expire.
    """

    runner: Runner
    store: Any
    claim_ttl: float
    expire: Callable[[], None]

    def webhooks(self, **options: Any) -> Webhooks:
        return Webhooks([SECRET], self.store, **options)

    def receive(self, webhooks: Webhooks, delivery: Delivery) -> int:
        return self.runner.receive(webhooks, delivery)


@pytest.fixture(params=["memory-sync", "memory-async", "redis-sync", "redis-async"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    kind, _, colour = request.param.partition("-")
    runner: Runner = AsyncRunner() if colour == "async" else SyncRunner()
    if kind == "memory":
        clock = Clock()

        def expire() -> None:
            clock.now += 61

        yield Place(runner, MemoryStore(clock), 60, expire)
    else:
        store = RedisStore(request.getfixturevalue("redis_url"))
        yield Place(runner, store, 0.2, lambda: time.sleep(0.25))
        store.close()
    runner.close()


class Effects:
    """A handler that counts how often it began and ended, and waits or fails when told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.errors: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, event: object) -> None:
        with self._lock:
            self.begun += 1
        self.entered.set()
        assert self.gate.wait(LIMIT)
        with self._lock:
            if self.errors:
                raise self.errors.pop()
            self.ended += 1


def counting(webhooks: Webhooks) -> Effects:
    effects = Effects()
    webhooks.on("*")(effects)
    return effects


class InBackground:
    """A delivery on a thread, for which another one can be made meanwhile."""

    def __init__(self, webhooks: Webhooks, delivery: Delivery, *, is_async: bool) -> None:
        self.status = 0

        def work() -> None:
            receiving = asyncio.run(webhooks.areceive(*delivery)) if is_async else webhooks.receive(*delivery)
            self.status = receiving[0]

        self._thread = threading.Thread(target=work)
        self._thread.start()

    def join(self) -> int:
        self._thread.join(LIMIT)
        return self.status


class TestOnce:
    """Each delivery's handlers run once while they succeed."""

    def test_a_repetition(self, place: Place) -> None:
        """A repetition of what is done is accepted without running anything."""
        webhooks = place.webhooks()
        effects = counting(webhooks)
        delivery = event()

        assert [place.receive(webhooks, delivery) for _ in range(3)] == [200, 200, 200]
        assert (effects.begun, effects.ended) == (1, 1)

    def test_another_delivery(self, place: Place) -> None:
        """The same news with another id is another delivery."""
        webhooks = place.webhooks()
        effects = counting(webhooks)

        assert [place.receive(webhooks, event()) for _ in range(2)] == [200, 200]
        assert effects.ended == 2

    def test_a_crowd(self, place: Place) -> None:
        """Of many deliveries of one id at once one is handled; the others are done or told to come back."""
        webhooks = place.webhooks()
        effects = counting(webhooks)
        statuses = place.runner.crowd(webhooks, [event(new_id())] * CROWD)

        assert {200, 409} >= set(statuses)
        assert 200 in statuses
        assert (effects.begun, effects.ended) == (1, 1)

    def test_crowds_of_several(self, place: Place) -> None:
        """Many deliveries of several ids at once: each is handled once."""
        webhooks = place.webhooks()
        seen: list[str] = []
        webhooks.on("*")(lambda event: seen.append(event.id))
        ids = [new_id() for _ in range(8)]
        place.runner.crowd(webhooks, [event(message_id) for message_id in ids * 5])

        assert sorted(ids) == sorted(seen)

    def test_while_it_is_handled(self, place: Place) -> None:
        """A repetition while the handler runs is answered so that the sender comes back later."""
        webhooks = place.webhooks()
        effects = counting(webhooks)
        effects.gate.clear()
        delivery = event()
        first = InBackground(webhooks, delivery, is_async=place.runner.is_async)
        assert effects.entered.wait(LIMIT)
        status, headers, body = webhooks.receive(*delivery)
        effects.gate.set()

        assert (status, dict(headers)["Retry-After"]) == (409, "5")
        assert json.loads(body)["code"] == "WEBHOOK_IN_PROGRESS"
        assert [first.join(), place.receive(webhooks, delivery)] == [200, 200]
        assert effects.begun == 1

    def test_endpoints_are_apart(self, place: Place) -> None:
        """A delivery has one id at all endpoints, and is done at each for itself."""
        endpoints = [
            Webhooks([SECRET], place.store),
            Webhooks([SECRET], place.store, endpoint="a"),
            Webhooks([SECRET], place.store, endpoint="b"),
            Webhooks([OLD_SECRET, SECRET], place.store, endpoint="b"),
        ]
        effects = [counting(webhooks) for webhooks in endpoints]
        delivery = event()
        other = Webhooks([SECRET, OLD_SECRET], place.store)
        effects.append(counting(other))

        assert [place.receive(webhooks, delivery) for webhooks in [*endpoints, other]] == [200] * 5
        assert [effect.ended for effect in effects] == [1, 1, 1, 0, 1]

    def test_rotation_keeps_the_memory(self, place: Place) -> None:
        """A new secret before the old one does not make what is done new again."""
        delivery = event()
        for secrets, expected in ((["whsec_" + "A" * 32, SECRET], 1), ([SECRET], 0)):
            webhooks = Webhooks(secrets, place.store)
            effects = counting(webhooks)
            assert place.receive(webhooks, delivery) == 200
            assert expected == effects.ended

    def test_several_processes(self, start_worker: Callable[..., Worker], tmp_path: Path) -> None:
        """Processes that get one delivery at once handle it once between them."""
        workers = [start_worker(60, "deliver") for _ in range(4)]
        delivery = event()
        for worker in workers:
            worker.wait_until_ready()
        for worker in workers:
            worker.deliver(delivery)
        statuses = [worker.end() for worker in workers]

        assert {"200", "409"} >= set(statuses)
        assert effects_in(tmp_path) == ["begun", "ended"]


class TestAfterCommit:
    """Handlers that run when the others are done, and are repeated by themselves."""

    def test_in_order(self, place: Place) -> None:
        """They run last, whenever they were registered, for their types alone."""
        webhooks, ran = place.webhooks(), list[str]()
        for name, pattern, after_commit in (("c", "*", True), ("a", "*", False), ("d", "user.*", True)):
            webhooks.on(pattern, after_commit=after_commit)(lambda event, name=name: ran.append(name))
        webhooks.on("team.*", after_commit=True)(lambda event: pytest.fail("a handler ran"))
        webhooks.on("user.deleted")(lambda event: ran.append("b"))

        assert place.receive(webhooks, event()) == 200
        assert ran == ["a", "b", "c", "d"]

    def test_a_failure(self, place: Place) -> None:
        """The sender comes back and they run again, while what was done before does not."""
        webhooks = place.webhooks()
        first = counting(webhooks)
        later = Effects()
        later.errors = [ConnectionError(), ConnectionError()]
        webhooks.on("*", after_commit=True)(later)
        delivery = event()

        assert [place.receive(webhooks, delivery) for _ in range(4)] == [500, 500, 200, 200]
        assert (first.begun, later.begun, later.ended) == (1, 3, 1)

    def test_a_failure_before(self, place: Place) -> None:
        """They wait until the others have succeeded."""
        webhooks = place.webhooks()
        counting(webhooks).errors = [ValueError()]
        later = Effects()
        webhooks.on("*", after_commit=True)(later)
        delivery = event()

        assert (place.receive(webhooks, delivery), later.begun) == (500, 0)
        assert (place.receive(webhooks, delivery), later.begun) == (200, 1)

    def test_while_they_run(self, place: Place) -> None:
        """A repetition meanwhile is put off."""
        webhooks = place.webhooks()
        first, later = counting(webhooks), Effects()
        later.gate.clear()
        webhooks.on("*", after_commit=True)(later)
        delivery = event()
        running = InBackground(webhooks, delivery, is_async=place.runner.is_async)
        assert later.entered.wait(LIMIT)
        early = webhooks.receive(*delivery)[0]
        later.gate.set()

        assert [early, running.join(), place.receive(webhooks, delivery)] == [409, 200, 200]
        assert (first.begun, later.begun) == (1, 1)


class TestForget:
    """A done delivery can be handled once more, when its handler was mended."""

    def forget(self, place: Place, webhooks: Webhooks, delivery_id: str) -> bool:
        if isinstance(place.runner, AsyncRunner):
            return asyncio.run(webhooks.aforget(delivery_id))
        return webhooks.forget(delivery_id)

    def test_again(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        """The repetition runs all handlers, and the log has said which id that is."""
        caplog.set_level("INFO", "hexclave_integrations")
        webhooks = place.webhooks()
        first, later = Effects(), Effects()
        webhooks.on("*")(first)
        webhooks.on("*", after_commit=True)(later)
        delivery = event()
        assert [place.receive(webhooks, delivery) for _ in range(2)] == [200, 200]
        delivery_id = delivery[1]["svix-id"]
        assert [record.getMessage().partition(delivery_id)[2] for record in caplog.records] == [
            " ('user.deleted'): handled",
            " ('user.deleted'): duplicate",
        ]

        assert self.forget(place, webhooks, delivery_id)
        assert not self.forget(place, webhooks, delivery_id)
        assert [place.receive(webhooks, delivery) for _ in range(2)] == [200, 200]
        assert (first.ended, later.ended) == (2, 2)

    def test_others_stay_done(self, place: Place) -> None:
        """Nothing else is forgotten: no other delivery, and nothing of another endpoint."""
        webhooks, neighbour = place.webhooks(), place.webhooks(endpoint="neighbour")
        effects = counting(webhooks)
        other, delivery = event(), event()
        for each in (other, delivery):
            place.receive(webhooks, each)
        assert not self.forget(place, neighbour, delivery[1]["svix-id"])
        assert not self.forget(place, webhooks, new_id())
        assert self.forget(place, webhooks, delivery[1]["svix-id"])
        place.receive(webhooks, other)
        assert effects.ended == 2

    @pytest.mark.parametrize("after_commit", [False, True])
    def test_while_it_is_handled(self, place: Place, after_commit: bool) -> None:
        """Handlers that run are not joined by others, whichever they are."""
        webhooks = replace(place, claim_ttl=60).webhooks()
        effects = Effects()
        webhooks.on("*", after_commit=after_commit)(effects)
        effects.gate.clear()
        delivery = event()
        background = InBackground(webhooks, delivery, is_async=isinstance(place.runner, AsyncRunner))
        assert effects.entered.wait(LIMIT)
        try:
            with pytest.raises(WebhookInProgress):
                self.forget(place, webhooks, delivery[1]["svix-id"])
            assert place.receive(webhooks, delivery) == 409
        finally:
            effects.gate.set()
        assert background.join() == 200
        assert place.receive(webhooks, delivery) == 200
        assert effects.begun == 1

    def test_a_failure_in_between(self, place: Place) -> None:
        """Of a delivery whose later handlers failed, the first ones run again as well."""
        webhooks = place.webhooks()
        first, later = Effects(), Effects()
        later.errors = [ValueError()]
        webhooks.on("*")(first)
        webhooks.on("*", after_commit=True)(later)
        delivery = event()
        assert place.receive(webhooks, delivery) == 500
        assert self.forget(place, webhooks, delivery[1]["svix-id"])
        assert place.receive(webhooks, delivery) == 200
        assert (first.ended, later.ended) == (2, 1)

    @pytest.mark.parametrize("make_runner", RUNNERS, ids=["sync", "async"])
    def test_the_store_is_down(self, make_runner: type[Runner]) -> None:
        """That is no "not known": nothing can be told."""
        webhooks = Webhooks([SECRET], RedisStore(f"redis://127.0.0.1:{free_port()}/0"))
        with pytest.raises(WebhookStoreUnavailable):
            asyncio.run(webhooks.aforget("msg_1")) if make_runner is AsyncRunner else webhooks.forget("msg_1")

    def test_a_store_that_cannot(self) -> None:
        """An application's own store need not be able to."""
        with pytest.raises(ConfigurationError, match="forget"):
            Webhooks([SECRET], SlowAsyncStore()).forget("msg_1")

    def test_secrets_of_the_application(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the secrets are in a configuration, the endpoint knows it, or is told."""
        for name in ("HEXCLAVE_WEBHOOK_SECRET", "STACK_WEBHOOK_SECRET"):
            monkeypatch.delenv(name, raising=False)
        sandbox, store = Sandbox(), MemoryStore()
        body, headers = sandbox.webhook("user.deleted", {"id": "x"})
        webhooks = Webhooks(store=store)
        with HexclaveClient(sandbox.config) as client:
            webhooks.receive(body, headers, client)
            assert webhooks.forget(headers["svix-id"])
            webhooks.receive(body, headers, client)
            elsewhere = Webhooks(store=store)  # in another process, a shell for example
            with pytest.raises(ConfigurationError, match="webhook_secrets"):
                elsewhere.forget(headers["svix-id"])
            assert elsewhere.forget(headers["svix-id"], sandbox.config)


class TestNothingLost:
    """What was not handled to its end is handled again."""

    def test_a_handler_that_fails(self, place: Place) -> None:
        """The answer to a failure makes the sender come back, and the claim does not stand in its way."""
        webhooks = place.webhooks()
        effects = counting(webhooks)
        effects.errors = [ValueError(), ValueError()]
        delivery = event()

        assert [place.receive(webhooks, delivery) for _ in range(4)] == [500, 500, 200, 200]
        assert (effects.begun, effects.ended) == (3, 1)

    def test_a_claim_that_expires(self, place: Place, caplog: pytest.LogCaptureFixture) -> None:
        """A claim nobody ended is free after its time; who comes late cannot undo what was done meanwhile."""
        webhooks = place.webhooks(claim_ttl=place.claim_ttl)
        effects = counting(webhooks)
        effects.gate.clear()
        delivery = event()
        first = InBackground(webhooks, delivery, is_async=place.runner.is_async)
        assert effects.entered.wait(LIMIT)
        place.expire()
        second = InBackground(webhooks, delivery, is_async=place.runner.is_async)
        assert eventually(lambda: effects.begun == 2)
        effects.gate.set()

        assert [first.join(), second.join(), place.receive(webhooks, delivery)] == [200, 200, 200]
        assert effects.begun == 2
        assert ["took longer than claim_ttl" for record in caplog.records if "took longer" in record.message] == [
            "took longer than claim_ttl"
        ]

    def test_a_lost_claim_releases_nothing(self, place: Place) -> None:
        """Who lost the claim and then fails leaves the other's claim alone."""
        webhooks, slow = (place.webhooks(claim_ttl=place.claim_ttl) for _ in range(2))
        late, other = counting(slow), counting(webhooks)
        late.gate.clear()
        other.gate.clear()
        late.errors = [ValueError()]
        delivery = event()
        first = InBackground(slow, delivery, is_async=place.runner.is_async)
        assert late.entered.wait(LIMIT)
        place.expire()
        longer = place.webhooks(claim_ttl=600)
        longer.on("*")(other)
        second = InBackground(longer, delivery, is_async=place.runner.is_async)
        assert other.entered.wait(LIMIT)
        late.gate.set()

        assert first.join() == 500
        assert place.receive(webhooks, delivery) == 409
        other.gate.set()
        assert [second.join(), place.receive(webhooks, delivery)] == [200, 200]
        assert (other.begun, other.ended) == (1, 1)

    @pytest.mark.parametrize("make_runner", RUNNERS, ids=["sync", "async"])
    def test_the_store_is_down(
        self, own_redis: Redis, make_runner: type[Runner], caplog: pytest.LogCaptureFixture
    ) -> None:
        """While the store is away the answer is 503 and nothing runs; after its return the repetition is handled."""
        store = RedisStore(own_redis.url)
        webhooks = Webhooks([SECRET], store)
        effects = counting(webhooks)
        runner, delivery = make_runner(), event()
        assert runner.receive(webhooks, event()) == 200
        own_redis.stop()
        statuses = [runner.receive(webhooks, delivery) for _ in range(2)]
        status, headers, body = webhooks.receive(*delivery)
        own_redis.start()

        assert [*statuses, status, dict(headers)["Retry-After"]] == [503, 503, 503, "5"]
        assert json.loads(body)["code"] == "WEBHOOK_STORE_UNAVAILABLE"
        assert effects.begun == 1
        assert [runner.receive(webhooks, delivery) for _ in range(2)] == [200, 200]
        assert effects.ended == 2
        assert {"The webhook store cannot be asked: Redis: nobody listens there (connection refused)"} == {
            record.message for record in caplog.records
        }
        runner.close()
        store.close()

    @pytest.mark.parametrize("make_runner", RUNNERS, ids=["sync", "async"])
    def test_the_store_goes_down_meanwhile(self, own_redis: Redis, make_runner: type[Runner]) -> None:
        """If the mark cannot be made the sender is told to come back: at least once comes first."""
        store = RedisStore(own_redis.url)
        webhooks = Webhooks([SECRET], store)
        ran: list[str] = []

        @webhooks.on("*")
        def handler(event: object) -> None:
            if not ran:
                own_redis.stop()
            ran.append("handler")

        runner, delivery = make_runner(), event()
        assert runner.receive(webhooks, delivery) == 503
        own_redis.start()

        assert [runner.receive(webhooks, delivery) for _ in range(2)] == [200, 200]
        assert ran == ["handler"] * 2
        runner.close()
        store.close()

    @pytest.mark.parametrize("make_runner", RUNNERS, ids=["sync", "async"])
    def test_the_store_is_down_when_a_handler_fails(self, own_redis: Redis, make_runner: type[Runner]) -> None:
        """A claim that cannot be released does not hide that the handler failed."""
        store = RedisStore(own_redis.url)
        webhooks = Webhooks([SECRET], store)

        @webhooks.on("*")
        def handler(event: object) -> None:
            own_redis.stop()
            raise ValueError

        runner = make_runner()
        assert runner.receive(webhooks, event()) == 500
        runner.close()
        store.close()

    @pytest.mark.parametrize("make_runner", RUNNERS, ids=["sync", "async"])
    def test_an_answer_of_the_store_that_is_lost(self, make_runner: type[Runner]) -> None:
        """A claim that was made though we were not told is no obstacle to the repetition."""
        webhooks = Webhooks([SECRET], HardOfHearing())
        effects = counting(webhooks)
        runner, delivery = make_runner(), event()

        assert [runner.receive(webhooks, delivery) for _ in range(3)] == [503, 200, 200]
        assert effects.ended == 1
        runner.close()

    @pytest.mark.parametrize("make_runner", RUNNERS, ids=["sync", "async"])
    def test_a_store_that_hangs(self, own_redis: Redis, make_runner: type[Runner]) -> None:
        """Nobody waits longer than the time-out; afterwards, at the latest when claims expire, all is well."""
        store = RedisStore(own_redis.url, timeout=0.2)
        webhooks = Webhooks([SECRET], store, claim_ttl=0.5)
        effects = counting(webhooks)
        runner, delivery = make_runner(), event()
        assert runner.receive(webhooks, event()) == 200
        own_redis.pause()
        assert runner.receive(webhooks, delivery) == 503
        own_redis.resume()

        assert eventually(lambda: runner.receive(webhooks, delivery) == 200)
        assert effects.ended == 2
        runner.close()
        store.close()


class HardOfHearing(MemoryStore):
    """A store whose first answer is lost."""

    lost = False

    def claim(self, key: str, token: str, ttl: float) -> Claim:
        claim = super().claim(key, token, ttl)
        if not self.lost:
            self.lost = True
            raise StoreUnavailable("lost")
        return claim


class OddStore:
    """An application's own store, in one colour, whose operations fail as they like or wait."""

    def __init__(self, failing: str = "", error: Exception | None = None) -> None:
        self.inner = MemoryStore()
        self.failing = failing
        self.error = error

    def claim(self, key: str, token: str, ttl: float) -> Claim:
        self._fail("claim")
        return self.inner.claim(key, token, ttl)

    def done(self, key: str, token: str, ttl: float) -> bool:
        self._fail("done")
        return self.inner.done(key, token, ttl)

    def release(self, key: str, token: str) -> None:
        self._fail("release")
        self.inner.release(key, token)

    def _fail(self, operation: str) -> None:
        if operation == self.failing and self.error is not None:
            raise self.error


class SlowAsyncStore:
    """A store for event loops only, that does an operation and then waits before it says so."""

    def __init__(self, slow: str = "") -> None:
        self.inner = MemoryStore()
        self.slow = slow
        self.entered = threading.Event()

    async def aclaim(self, key: str, token: str, ttl: float) -> Claim:
        claim = self.inner.claim(key, token, ttl)
        await self._wait("claim")
        return claim

    async def adone(self, key: str, token: str, ttl: float) -> bool:
        is_done = self.inner.done(key, token, ttl)
        await self._wait("done")
        return is_done

    async def arelease(self, key: str, token: str) -> None:
        self.inner.release(key, token)
        await self._wait("release")

    async def _wait(self, operation: str) -> None:
        if operation == self.slow:
            self.entered.set()
            await asyncio.sleep(0.05)


class TestStoresOfOthers:
    """Any object with the operations, in one colour or both."""

    @pytest.mark.parametrize("make_store", [OddStore, SlowAsyncStore], ids=["sync only", "async only"])
    @pytest.mark.parametrize("make_runner", RUNNERS, ids=["sync", "async"])
    def test_one_colour_is_enough(self, make_store: Callable[[], Any], make_runner: type[Runner]) -> None:
        """A store of one colour serves deliveries of both."""
        webhooks = Webhooks([SECRET], make_store())
        effects = counting(webhooks)
        effects.errors = [ValueError()]
        runner, delivery = make_runner(), event()

        assert [runner.receive(webhooks, delivery) for _ in range(3)] == [500, 200, 200]
        runner.close()

    @pytest.mark.parametrize("operation", ["claim", "done", "release"])
    @pytest.mark.parametrize("error", [StoreUnavailable("away"), ConnectionError("hush"), KeyError("hush")], ids=repr)
    @pytest.mark.parametrize("make_runner", RUNNERS, ids=["sync", "async"])
    def test_errors(
        self, operation: str, error: Exception, make_runner: type[Runner], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whatever an operation raises is an outage, of which the log names the kind and not the words."""
        store = OddStore(operation, error)
        webhooks = Webhooks([SECRET], store)
        effects = counting(webhooks)
        effects.errors = [ValueError()] if operation == "release" else []
        runner, delivery = make_runner(), event()
        with caplog.at_level(logging.DEBUG, "hexclave_integrations"):
            status = runner.receive(webhooks, delivery)

        assert status == (500 if operation == "release" else 503)
        assert (0 if operation == "claim" else 1) == effects.begun
        assert "hush" not in caplog.text
        runner.close()

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit], ids=lambda error: str(error.__name__))
    def test_interrupts(self, error: type[BaseException]) -> None:
        """What ends the process ends it, after the claim was released."""
        webhooks = Webhooks([SECRET])
        errors = [error]

        @webhooks.on("*")
        def handler(event: object) -> None:
            if errors:
                raise errors.pop()

        delivery = event()
        with pytest.raises(error):
            webhooks.receive(*delivery)

        assert webhooks.receive(*delivery)[0] == 200


class TestCancellation:
    """An event loop may give a delivery up at any point."""

    @pytest.fixture(params=["memory", "redis"])
    def store(self, request: pytest.FixtureRequest) -> Iterator[Any]:
        if request.param == "memory":
            yield MemoryStore()
            return
        store = RedisStore(request.getfixturevalue("redis_url"))
        yield store
        store.close()

    def test_in_a_coroutine(self, store: Any) -> None:
        """A handler that has begun ends by itself; a repetition meanwhile is put off, and a later one runs nothing."""
        webhooks = Webhooks([SECRET], store)
        entered, gate, ended = asyncio.Event(), asyncio.Event(), list[str]()

        @webhooks.on("*")
        async def handler(event: WebhookEvent) -> None:
            entered.set()
            await gate.wait()
            ended.append(event.id)

        async def main() -> list[int]:
            delivery = event()
            task = asyncio.create_task(webhooks.areceive(*delivery))
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            statuses = [(await webhooks.areceive(*delivery))[0]]
            gate.set()
            return [*statuses, *(await until_done(webhooks, delivery))[-1:]]

        assert asyncio.run(main()) == [409, 200]
        assert len(ended) == 1

    def test_in_a_thread(self, store: Any) -> None:
        """A thread goes on as well, and what it has handled is done."""
        webhooks = Webhooks([SECRET], store)
        effects = counting(webhooks)
        effects.gate.clear()

        async def main() -> int:
            delivery = event()
            task = asyncio.create_task(webhooks.areceive(*delivery))
            await asyncio.to_thread(effects.entered.wait, LIMIT)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await webhooks.areceive(*delivery))[0] == 409
            effects.gate.set()
            return (await until_done(webhooks, delivery))[-1]

        assert asyncio.run(main()) == 200
        assert (effects.begun, effects.ended) == (1, 1)

    @pytest.mark.parametrize("second", ["function", "coroutine function", "coroutine of a function"])
    def test_between_handlers(self, store: Any, second: str) -> None:
        """The handlers after the one that was running run as well: the delivery ends as if nobody had cancelled."""
        webhooks = Webhooks([SECRET], store)
        effects = counting(webhooks)
        effects.gate.clear()
        ran: list[str] = []

        async def coroutine_function(event: object) -> None:
            ran.append("second")

        kinds: dict[str, Callable[[object], Any]] = {
            "function": lambda event: ran.append("second"),
            "coroutine function": coroutine_function,
            "coroutine of a function": lambda event: coroutine_function(event),
        }
        webhooks.on("*")(kinds[second])

        async def main() -> int:
            delivery = event()
            task = asyncio.create_task(webhooks.areceive(*delivery))
            await asyncio.to_thread(effects.entered.wait, LIMIT)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ran == []
            effects.gate.set()
            return (await until_done(webhooks, delivery))[-1]

        assert asyncio.run(main()) == 200
        assert (effects.ended, ran) == (1, ["second"])

    @pytest.mark.parametrize("operation", ["claim", "done", "release"])
    def test_in_the_store(self, operation: str) -> None:
        """An operation that was begun is carried through: no claim stays behind, and what is done stays done."""
        store = SlowAsyncStore(operation)
        webhooks = Webhooks([SECRET], store)
        effects = counting(webhooks)
        effects.errors = [ValueError()] if operation == "release" else []

        async def main() -> int:
            delivery = event()
            task = asyncio.create_task(webhooks.areceive(*delivery))
            await asyncio.to_thread(store.entered.wait, LIMIT)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await until_done(webhooks, delivery))[-1]

        assert asyncio.run(main()) == 200
        assert effects.ended == 1

    def test_twice(self, store: Any) -> None:
        """Who cancels again does not wait for the thread, whose work is counted all the same."""
        webhooks = Webhooks([SECRET], store)
        effects = counting(webhooks)
        effects.gate.clear()

        async def main() -> list[int]:
            delivery = event()
            task = asyncio.create_task(webhooks.areceive(*delivery))
            await asyncio.to_thread(effects.entered.wait, LIMIT)
            for _ in range(2):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
            statuses = [(await webhooks.areceive(*delivery))[0]]
            effects.gate.set()
            while statuses[-1] != 200:
                await asyncio.sleep(0.005)
                statuses.append((await webhooks.areceive(*delivery))[0])
            return statuses

        statuses = asyncio.run(main())
        assert {409, 200} == set(statuses)
        assert (effects.begun, effects.ended) == (1, 1)

    def test_twice_and_a_failure(self, store: Any, caplog: pytest.LogCaptureFixture) -> None:
        """A failure that nobody waits for any more is logged once, as any other, and the claim is released."""
        webhooks = Webhooks([SECRET], store)
        effects = counting(webhooks)
        effects.gate.clear()
        effects.errors = [ValueError()]

        async def main() -> int:
            delivery = event()
            task = asyncio.create_task(webhooks.areceive(*delivery))
            await asyncio.to_thread(effects.entered.wait, LIMIT)
            for _ in range(2):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
            del task
            effects.gate.set()
            statuses = [409]
            while statuses[-1] == 409:
                await asyncio.sleep(0.005)
                statuses.append((await webhooks.areceive(*delivery))[0])
            return statuses[-1]

        assert asyncio.run(main()) == 200
        gc.collect()
        assert [record.name for record in caplog.records] == ["hexclave_integrations"]
        assert effects.ended == 1

    @pytest.mark.parametrize("kind", ["asyncio", "anyio"])
    def test_timeouts(self, store: Any, kind: str) -> None:
        """Time-outs around a delivery come when they are due, and the delivery goes on behind them."""
        webhooks = Webhooks([SECRET], store)
        gate, ended = asyncio.Event(), list[str]()

        @webhooks.on("*")
        async def handler(event: WebhookEvent) -> None:
            await gate.wait()
            ended.append(event.id)

        async def receive_in_time(delivery: Delivery) -> None:
            if kind == "asyncio":
                async with asyncio.timeout(0.02):
                    await webhooks.areceive(*delivery)
            else:
                with anyio.fail_after(0.02):
                    await webhooks.areceive(*delivery)

        async def main() -> list[int]:
            delivery = event()
            with pytest.raises(TimeoutError):
                await receive_in_time(delivery)
            statuses = [(await webhooks.areceive(*delivery))[0]]
            gate.set()
            return [*statuses, *(await until_done(webhooks, delivery))[-1:]]

        assert asyncio.run(main()) == [409, 200]
        assert len(ended) == 1

    def test_the_loop_ends(self, store: Any) -> None:
        """A server that shuts down in mid-handler leaves the delivery to the next."""
        webhooks = Webhooks([SECRET], store)
        entered = asyncio.Event()

        @webhooks.on("*")
        async def handler(event: object) -> None:
            if not entered.is_set():
                entered.set()
                await asyncio.sleep(LIMIT)

        delivery = event()

        async def main() -> asyncio.Task[Any]:
            task = asyncio.create_task(webhooks.areceive(*delivery))
            await entered.wait()
            return task

        assert asyncio.run(main()).cancelled()
        assert asyncio.run(webhooks.areceive(*delivery))[0] == 200

    @pytest.mark.parametrize("more", [False, True], ids=["alone", "with another handler"])
    def test_the_loop_ends_around_a_thread(self, store: Any, more: bool) -> None:
        """A thread is waited for and counts if it was all there was; no other handler begins any more."""
        webhooks = Webhooks([SECRET], store)
        effects = counting(webhooks)
        effects.gate.clear()
        ran: list[str] = []

        async def second(event: WebhookEvent) -> None:
            ran.append(event.id)

        if more:
            webhooks.on("*")(second)
        delivery = event()

        async def main() -> None:
            task = asyncio.create_task(webhooks.areceive(*delivery))
            await asyncio.to_thread(effects.entered.wait, LIMIT)
            threading.Timer(0.05, effects.gate.set).start()
            del task

        asyncio.run(main())
        assert (effects.begun, effects.ended, ran) == (1, 1, [])
        assert asyncio.run(webhooks.areceive(*delivery))[0] == 200
        assert (effects.ended, len(ran)) == ((2, 1) if more else (1, 0))


async def until_done(webhooks: Webhooks, delivery: Delivery) -> list[int]:
    """The statuses of repetitions, as long as the delivery is being handled and once afterwards."""
    statuses = [409]
    async with asyncio.timeout(LIMIT):
        while statuses[-1] == 409:
            await asyncio.sleep(0.005)
            statuses.append((await webhooks.areceive(*delivery))[0])
    return statuses


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true in time."""
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def effects_in(directory: Path) -> list[str]:
    """What the workers' handlers did so far."""
    path = directory / "effects"
    return path.read_text().splitlines() if path.exists() else []


class Worker:
    """A process of its own with a handler that notes its effects."""

    def __init__(
        self, redis_url: str, directory: Path, claim_ttl: float, mode: str, *arguments: str, secret: str = SECRET
    ) -> None:
        command = [sys.executable, "-m", "tests._webhook_worker", redis_url, str(directory / "effects")]
        self.process = subprocess.Popen(
            [*command, str(claim_ttl), mode, *arguments],
            cwd=ROOT,
            env={**os.environ, "HEXCLAVE_WEBHOOK_SECRET": secret, "PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def deliver(self, delivery: Delivery) -> None:
        assert self.process.stdin is not None
        body, headers = delivery
        self.process.stdin.write(json.dumps([body.decode(), headers]) + "\n")
        self.process.stdin.flush()

    def end(self) -> str:
        """The last line it wrote, once it has ended by itself."""
        output, _ = self.process.communicate(timeout=LIMIT)
        assert self.process.returncode == 0
        return output.strip()

    def kill(self) -> None:
        """Kill it, without a chance to say anything."""
        assert self.process.poll() is None
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=LIMIT)


@pytest.fixture
def start_worker(redis_url: str, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts workers that do not outlive the test."""
    workers: list[Worker] = []

    def start(claim_ttl: float, mode: str, *arguments: str, secret: str = SECRET) -> Worker:
        workers.append(Worker(redis_url, tmp_path, claim_ttl, mode, *arguments, secret=secret))
        return workers[-1]

    yield start
    for worker in workers:
        if worker.process.returncode is None:
            worker.process.kill()
            worker.process.communicate(timeout=LIMIT)


class TestDeath:
    """A worker process that is killed in mid-handler."""

    @pytest.mark.parametrize("make_runner", RUNNERS, ids=["sync", "async"])
    def test_its_delivery_is_handled_by_another(
        self, start_worker: Callable[..., Worker], redis_url: str, tmp_path: Path, make_runner: type[Runner]
    ) -> None:
        """Until the dead one's claim expires the sender is told to come back; then the handler runs, once."""
        worker = start_worker(2, "hang")
        worker.wait_until_ready()
        delivery = event()
        worker.deliver(delivery)
        assert eventually(lambda: effects_in(tmp_path) == ["begun"])
        worker.kill()
        store = RedisStore(redis_url)
        webhooks = Webhooks([SECRET], store)
        effects = counting(webhooks)
        runner = make_runner()
        early = runner.receive(webhooks, delivery)
        untouched = effects.begun
        assert eventually(lambda: runner.receive(webhooks, delivery) == 200)

        assert (early, untouched) == (409, 0)
        assert runner.crowd(webhooks, [delivery] * 2) == [200, 200]
        assert (effects.begun, effects.ended) == (1, 1)
        assert effects_in(tmp_path) == ["begun"]
        runner.close()
        store.close()

    def test_the_senders_own_retries_are_enough(self, start_worker: Callable[..., Worker], tmp_path: Path) -> None:
        """Over real HTTP: the server dies within a delivery, another takes its place, and the retry is handled."""
        sandbox, port = Sandbox(), free_port()
        secret = sandbox.config.webhook_secrets[0]
        url = f"http://127.0.0.1:{port}/hooks"
        first = start_worker(1, "serve-hang", str(port), secret=secret)
        with sandbox.deliver_webhooks_to(url, retries=[0.1] * 200):
            sandbox.create_user()
            assert eventually(lambda: effects_in(tmp_path) == ["begun"])
            first.kill()
            second = start_worker(60, "serve", str(port), secret=secret)
            sandbox.flush_webhooks(LIMIT)
        assert second.process.poll() is None

        assert effects_in(tmp_path) == ["begun", "begun", "ended"]
        statuses = [delivery.status for delivery in sandbox.deliveries]
        assert {None, 409} >= set(statuses[:-1])
        assert statuses[-1] == 200
        assert len({delivery.id for delivery in sandbox.deliveries}) == 1
