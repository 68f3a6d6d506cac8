"""Delivery stores: every operation is one atomic step, and only a claim's holder can end it."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from hexclave_integrations import ConfigurationError
from hexclave_integrations.stores import Claim, MemoryStore, RedisStore, StoreUnavailable

from ._services import Redis, free_port

TTL = 60.0
LIMIT = 20.0
_numbers = itertools.count(time.time_ns())


class Subject:
    """A store in one colour, and a way to let time pass for it."""

    def __init__(self, store: Any, is_async: bool, pass_time: Callable[[float], None], tick: float) -> None:
        self.store = store
        self.tick = tick
        self.pass_time = pass_time
        self._runner = asyncio.Runner() if is_async else None

    def claim(self, key: str, token: str, ttl: float = TTL) -> Claim:
        claim: Claim = self._call("claim", key, token, ttl)
        return claim

    def done(self, key: str, token: str, ttl: float = TTL) -> bool:
        is_done: bool = self._call("done", key, token, ttl)
        return is_done

    def release(self, key: str, token: str) -> None:
        self._call("release", key, token)

    def forget(self, key: str) -> Claim | None:
        found: Claim | None = self._call("forget", key)
        return found

    def _call(self, operation: str, *arguments: object) -> Any:
        if self._runner is None:
            return getattr(self.store, operation)(*arguments)
        return self._runner.run(getattr(self.store, f"a{operation}")(*arguments))

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def key() -> str:
    return f"delivery:test:{next(_numbers)}"


@pytest.fixture(params=["memory", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def subject(kind: str, request: pytest.FixtureRequest) -> Iterator[Subject]:
    if kind == "memory":
        clock = Clock()
        subject = Subject(MemoryStore(clock), request.param, clock.advance, 1.0)
    else:
        store = RedisStore(request.getfixturevalue("redis_url"))
        subject = Subject(store, request.param, time.sleep, 0.3)
    yield subject
    subject.close()
    if kind == "redis":
        subject.store.close()


class TestEveryStore:
    """What stores have in common."""

    def test_one_holder(self, subject: Subject, key: str) -> None:
        """While one holds a claim the others are told so; other deliveries are free."""
        assert [subject.claim(key, token) for token in "ab"] == [Claim.CLAIMED, Claim.BUSY]
        assert Claim.CLAIMED is subject.claim(f"{key}x", "b")

    def test_done(self, subject: Subject, key: str) -> None:
        """What is done stays done, for its holder too."""
        subject.claim(key, "a")

        assert subject.done(key, "a")
        assert [subject.claim(key, token) for token in "ab"] == [Claim.DONE] * 2

    def test_release(self, subject: Subject, key: str) -> None:
        """A released claim is free at once."""
        subject.claim(key, "a")
        subject.release(key, "a")

        assert Claim.CLAIMED is subject.claim(key, "b")

    def test_expiry(self, subject: Subject, key: str) -> None:
        """A claim that nobody ended is free after its time."""
        subject.claim(key, "a", subject.tick)
        assert Claim.BUSY is subject.claim(key, "b")
        subject.pass_time(subject.tick * 1.2)

        assert Claim.CLAIMED is subject.claim(key, "b")

    def test_done_is_forgotten_in_time(self, subject: Subject, key: str) -> None:
        """What is done is remembered for as long as was asked."""
        subject.claim(key, "a")
        subject.done(key, "a", subject.tick)
        assert Claim.DONE is subject.claim(key, "b")
        subject.pass_time(subject.tick * 1.2)

        assert Claim.CLAIMED is subject.claim(key, "b")

    def test_a_lost_claim_ends_nothing(self, subject: Subject, key: str) -> None:
        """Who lost the claim can neither release another's nor mark it done."""
        subject.claim(key, "a", subject.tick)
        subject.pass_time(subject.tick * 1.2)
        subject.claim(key, "b")
        subject.release(key, "a")

        assert not subject.done(key, "a")
        assert Claim.BUSY is subject.claim(key, "c")
        assert subject.done(key, "b")

    def test_a_lost_claim_leaves_done_what_is_done(self, subject: Subject, key: str) -> None:
        """Nor can it undo what another has done."""
        subject.claim(key, "a", subject.tick)
        subject.pass_time(subject.tick * 1.2)
        subject.claim(key, "b")
        subject.done(key, "b")
        subject.release(key, "a")

        assert not subject.done(key, "a")
        assert Claim.DONE is subject.claim(key, "c")

    def test_an_expired_claim_that_nobody_took(self, subject: Subject, key: str) -> None:
        """Late work counts as long as nobody else began it."""
        subject.claim(key, "a", subject.tick)
        subject.pass_time(subject.tick * 1.2)

        assert subject.done(key, "a")
        assert Claim.DONE is subject.claim(key, "b")

    def test_every_operation_may_come_twice(self, subject: Subject, key: str) -> None:
        """After an answer that was lost, the same again changes nothing."""
        assert [subject.claim(key, "a") for _ in range(2)] == [Claim.CLAIMED] * 2
        assert [subject.done(key, "a") for _ in range(2)] == [True, True]

        subject.release(key, "a")
        subject.release(f"{key}x", "a")
        assert Claim.DONE is subject.claim(key, "b")

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
            subject.claim(key, "a", subject.tick)
            if is_done:
                subject.done(key, "a", subject.tick)
            subject.pass_time(subject.tick * 1.2)
            assert subject.forget(key) is None

    def test_a_token_that_looks_like_done(self, subject: Subject, key: str) -> None:
        """No token of a holder's is taken for a mark."""
        subject.claim(key, "done")

        assert Claim.BUSY is subject.claim(key, "b")

    def test_atomic(self, kind: str, key: str, request: pytest.FixtureRequest) -> None:
        """Of many who claim at once, in threads and on loops, one gets it."""
        url = request.getfixturevalue("redis_url") if kind == "redis" else ""
        store = MemoryStore() if kind == "memory" else RedisStore(url)
        barrier = threading.Barrier(20)

        async def together(number: int) -> list[Claim]:
            return list(await asyncio.gather(*[store.aclaim(key, f"{number}-{index}", TTL) for index in range(3)]))

        def work(number: int) -> list[Claim]:
            barrier.wait(LIMIT)
            return asyncio.run(together(number)) if number % 2 else [store.claim(key, str(number), TTL)]

        with ThreadPoolExecutor(20) as executor:
            claims = [claim for found in executor.map(work, range(20)) for claim in found]

        assert (claims.count(Claim.CLAIMED), claims.count(Claim.BUSY)) == (1, 39)
        if isinstance(store, RedisStore):
            store.close()


class TestMemoryStore:
    """Claims in one process."""

    def test_memory_is_bounded(self) -> None:
        """However many deliveries come, the oldest are forgotten, and the newest are not."""
        store = MemoryStore()
        for number in range(100_100):
            store.claim(str(number), "a", TTL)

        assert [store.claim(key, "b", TTL) for key in ("0", "100099")] == [Claim.CLAIMED, Claim.BUSY]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
    def test_a_fork_while_another_thread_is_within(self) -> None:
        """A child does not inherit a lock that was held."""
        store = MemoryStore()
        with store._lock:
            child = os.fork()
            if child == 0:
                os._exit(0 if store.claim("key", "a", TTL) is Claim.CLAIMED else 1)
        _, status = os.waitpid(child, 0)

        assert os.waitstatus_to_exitcode(status) == 0


class TestRedisStore:
    """Claims in Redis."""

    def test_two_stores_share(self, redis_url: str, key: str) -> None:
        """Every process that uses the server sees the same claims, unless its prefix is another."""
        stores = [RedisStore(redis_url), RedisStore(redis_url), RedisStore(redis_url, prefix="other:")]
        claims = [store.claim(key, str(number), TTL) for number, store in enumerate(stores)]
        for store in stores:
            store.close()

        assert claims == [Claim.CLAIMED, Claim.BUSY, Claim.CLAIMED]

    def test_nothing_stays_for_ever(self, redis_url: str, key: str) -> None:
        """Both claims and marks expire, in the server itself."""
        store = RedisStore(redis_url, prefix="p:")
        with redis.Redis.from_url(redis_url) as client:
            store.claim(key, "a", 60)
            claimed = client.pttl(f"p:{key}")
            store.done(key, "a", 600)
            done = client.pttl(f"p:{key}")
        store.close()

        assert 0 < claimed <= 60_000 < done <= 600_000

    def test_several_event_loops(self, redis_url: str, key: str) -> None:
        """Loops may come and go; none inherits another's connections."""
        store = RedisStore(redis_url)

        assert [asyncio.run(store.aclaim(key, token, TTL)) for token in ("a", "b", "c")] == [
            Claim.CLAIMED,
            Claim.BUSY,
            Claim.BUSY,
        ]

    def test_a_restarted_server(self, own_redis: Redis, key: str) -> None:
        """A connection that the server dropped meanwhile costs no delivery."""
        store = RedisStore(own_redis.url)
        assert Claim.CLAIMED is store.claim(key, "a", TTL)
        own_redis.stop()
        own_redis.start()

        assert Claim.CLAIMED is store.claim(key, "b", TTL)
        store.close()

    @pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
    def test_no_server(self, is_async: bool, key: str) -> None:
        """Without a server every operation says so at once."""
        store = RedisStore(f"redis://:hush@127.0.0.1:{free_port()}/0")
        subject = Subject(store, is_async, time.sleep, 1)
        begin = time.monotonic()
        for operation in (subject.claim, subject.done, subject.release, lambda key, _: subject.forget(key)):
            with pytest.raises(StoreUnavailable) as caught:
                operation(key, "a")
            assert str(caught.value) == "Redis: nobody listens there (connection refused)"
        subject.close()

        assert time.monotonic() - begin < 1

    @pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
    def test_a_server_that_hangs(self, own_redis: Redis, is_async: bool, key: str) -> None:
        """Nobody waits longer than the time-out, and the server's return is enough."""
        subject = Subject(RedisStore(own_redis.url, timeout=0.2), is_async, time.sleep, 1)
        subject.claim(key, "a")
        own_redis.pause()
        begin = time.monotonic()
        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            subject.claim(key, "b")
        assert time.monotonic() - begin < 1
        own_redis.resume()

        assert Claim.BUSY is subject.claim(key, "b")
        subject.close()
        subject.store.close()

    @pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
    def test_a_wrong_password(self, redis_url: str, is_async: bool, key: str) -> None:
        """No error shows the password, not even on the way to it."""
        store = RedisStore(redis_url.replace("//", "//user:hush@"))
        subject = Subject(store, is_async, time.sleep, 1)
        with pytest.raises(StoreUnavailable) as caught:
            subject.claim(key, "a")
        subject.close()
        store.close()

        seen: list[BaseException] = [caught.value]
        while seen[-1].__context__ is not None:
            seen.append(seen[-1].__context__)
        assert [error for error in seen if "hush" in f"{error}{error!r}"] == []
        assert "hush" not in repr(store)

    def test_a_key_of_somebody_else(self, redis_url: str, key: str) -> None:
        """A foreign value under our key is trouble with the store, not a crash."""
        with redis.Redis.from_url(redis_url) as client:
            client.lpush(f"hexclave:{key}", "x")
        store = RedisStore(redis_url)
        with pytest.raises(StoreUnavailable):
            store.claim(key, "a", TTL)
        store.close()

    @pytest.mark.parametrize(
        "url",
        ["", "localhost:6379", "http://user:hush@host", "redis://user:hush@host:port", "redis://:a?hush=b@host", None],
    )
    def test_urls(self, url: Any) -> None:
        """A URL of a wrong format is refused at once, and not shown."""
        with pytest.raises(ConfigurationError, match="redis_url") as caught:
            RedisStore(url)

        assert "hush" not in str(caught.value)


def test_a_redis_client_that_cannot_judge_its_url_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL is not blamed for a version of the client that changed."""
    monkeypatch.delattr(redis.ConnectionPool, "make_connection")

    with pytest.raises(ConfigurationError, match=r"redis \d.* use a version"):
        RedisStore("redis://127.0.0.1:1")
