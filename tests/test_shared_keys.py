"""The key set in Redis: one fetch for a fleet, keys through an outage, and none but those that Hexclave published."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from hexclave_integrations import HexclaveClient, HexclaveConfig, InvalidToken, Unavailable
from hexclave_integrations._token.kept_keys import KeptKeys
from hexclave_integrations.testing import Sandbox

from . import _server
from ._server import DRIVE_IDS, DRIVES, Clock, Drive, core_of, error_of
from ._services import Redis

PROCESSES = 8


@pytest.fixture(params=DRIVES, ids=DRIVE_IDS)
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    driving: Drive = request.param()
    yield driving
    driving.end()


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the certificate store for plain HTTP takes longer than most of these tests."""
    monkeypatch.setenv("SSL_CERT_DIR", str(Path(__file__).parent / "data"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Sandbox:
    return Sandbox(clock=clock)


@pytest.fixture
def config(sandbox: Sandbox, redis_url: str) -> HexclaveConfig:
    return dataclasses.replace(sandbox.config, redis_url=redis_url)


@pytest.fixture
def server(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


def fetches(sandbox: Sandbox) -> int:
    return sum("jwks.json" in request.path for request in sandbox.requests)


def name_of(config: HexclaveConfig) -> str:
    fleet = core_of(HexclaveClient(config)).fleet
    assert fleet is not None
    return fleet.keys(f"keys:{KeptKeys(config).name}")[0]


# --- one fetch ----------------------------------------------------------------------------------------------


def test_a_deploy_makes_one_fetch(sandbox: Sandbox, redis_url: str) -> None:
    """Processes that start together, in both colours, fetch the keys once, and again once when they rotate."""
    user = sandbox.create_user()

    def slowly(exchange: _server.Exchange) -> None:
        time.sleep(0.2)
        _server.relay(sandbox)(exchange)

    with _server.Server(slowly) as server:
        # Long enough that it is not a busy machine which ends somebody's patience.
        shared = redis.Redis.from_url(redis_url)
        config = _server.settings(sandbox, server, redis_url=shared, http_timeout=30)
        outcomes: list[Any] = []

        def begin(number: int, work: Callable[[Any], Any]) -> None:
            async def on_a_loop() -> None:
                from hexclave_integrations import AsyncHexclaveClient

                async with AsyncHexclaveClient(config) as client:
                    outcomes.append(await work(client))

            if number % 2:
                outcomes.append(work(HexclaveClient(config)))
            else:
                asyncio.run(on_a_loop())

        def all_at_once(work: Callable[[Any], Any]) -> None:
            outcomes.clear()
            threads = [threading.Thread(target=begin, args=(number, work)) for number in range(PROCESSES)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)

        all_at_once(lambda client: client.warm())
        assert outcomes == [True] * PROCESSES
        assert server.count("jwks.json") == 1

        sandbox.rotate_keys()
        token = sandbox.token(user)
        all_at_once(lambda client: client.verify_token(token))
        assert [found.id for found in outcomes] == [user.id] * PROCESSES
        assert server.count("jwks.json") == 2
        shared.close()


def test_refreshes_are_shared(drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock) -> None:
    """Processes of different ages fetch once in `jwks_max_age`, all together."""
    clients = []
    for _ in range(3):
        clients.append(drive.client(config, clock=clock))
        assert drive.run(clients[-1], "warm")
        clock.advance(100)
    assert fetches(sandbox) == 1
    for round_ in range(2, 5):
        clock.advance(config.jwks_max_age)
        for client in clients:
            assert drive.run(client, "warm")
        assert fetches(sandbox) == round_


def test_without_a_server_key_nothing_is_shared(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, server: Any
) -> None:
    """Nothing could be sealed then."""
    name = name_of(config)
    bare = dataclasses.replace(config, secret_server_key=None)
    for expected in (1, 2):
        assert drive.run(drive.client(bare, clock=clock), "warm")
        assert fetches(sandbox) == expected
    assert server.get(name) is None
    assert not list(server.scan_iter(f"*{config.project_id}:keys:*"))


def test_a_rolling_change_of_the_server_key(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Processes with the old and the new server key each share among themselves, and complain of nothing."""
    other = dataclasses.replace(config, secret_server_key="ssk_new")
    with caplog.at_level(logging.WARNING):
        for settings in (config, other) * 3:
            assert drive.run(drive.client(settings, clock=clock), "warm")
    assert fetches(sandbox) == 2
    assert not caplog.records


# --- an outage ----------------------------------------------------------------------------------------------


def test_a_start_during_an_outage(drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock) -> None:
    """A new process takes the keys from Redis while Hexclave is away, until they are `jwks_max_stale` old."""
    user = sandbox.create_user()
    assert drive.run(drive.client(config, clock=clock), "warm")
    with sandbox.outage():
        clock.advance(config.jwks_max_stale - 1)
        assert drive.run(drive.client(config, clock=clock), "verify_token", sandbox.token(user)).id == user.id
        clock.advance(1)
        late = drive.client(config, clock=clock)
        assert isinstance(error_of(drive, late, "verify_token", sandbox.token(user)), Unavailable)


def test_a_withdrawn_key_ends_with_the_start(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock
) -> None:
    """While Hexclave can be asked, an old set in Redis lets nobody in with a key that was withdrawn since."""
    user = sandbox.create_user()
    assert drive.run(drive.client(config, clock=clock), "warm")
    clock.advance(config.jwks_max_age)
    old = sandbox.token(user)
    sandbox.rotate_keys()

    assert isinstance(error_of(drive, drive.client(config, clock=clock), "verify_token", old), InvalidToken)


def test_what_redis_told_is_kept_in_the_file(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, tmp_path: Path
) -> None:
    """A process that never fetched by itself survives the loss of Redis as well."""
    user = sandbox.create_user()
    assert drive.run(drive.client(config, clock=clock), "warm")
    file = tmp_path / "keys"
    second = drive.client(dataclasses.replace(config, jwks_file=file), clock=clock)
    assert drive.run(second, "warm")

    def is_kept() -> bool:
        drive.run(second, "authenticate", {})
        return file.exists()

    assert _server.eventually(is_kept)
    with sandbox.outage():
        third = drive.client(dataclasses.replace(sandbox.config, jwks_file=file), clock=clock)
        assert drive.run(third, "verify_token", sandbox.token(user)).id == user.id


# --- Redis is not what it should be -------------------------------------------------------------------------


def _forged(config: HexclaveConfig, text: str) -> str:
    """A set of an attacker who can write into Redis, and knows this source but no server key."""
    forger = Sandbox(project_id=config.project_id, clock=lambda: time.time() + 5)
    client = HexclaveClient(forger.config)
    client.warm()
    seal = text.partition("\n")[0]
    unsealed = KeptKeys(dataclasses.replace(config, secret_server_key=None)).write(core_of(client).ring.current)
    return f"{seal}\n{unsealed.splitlines()[1]}\n"


POISON: dict[str, Callable[[HexclaveConfig, str], str]] = {
    "forged": _forged,
    "unsealed": lambda config, text: "unsealed\n" + text.partition("\n")[2],
    "nothing": lambda config, text: "",
    "garbage": lambda config, text: "\x00\r\n{}" * 100,
    "giant": lambda config, text: "x" * 1_000_000,
    "truncated": lambda config, text: text[:-20],
    "younger than it is": lambda config, text: text.replace('"fetched_at":', '"fetched_at":9'),
}


@pytest.mark.parametrize("what", [pytest.param(name, id=name) for name in POISON])
def test_who_writes_into_redis_adds_no_keys(
    drive: Drive,
    sandbox: Sandbox,
    config: HexclaveConfig,
    clock: Clock,
    server: Any,
    what: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A poisoned set lets nobody in and keeps nobody out, is said without its contents, and is replaced."""
    user = sandbox.create_user()
    assert drive.run(drive.client(config, clock=clock), "warm")
    genuine = server.get(name_of(config))
    poisoned = POISON[what](config, genuine)
    server.set(name_of(config), poisoned)
    client = drive.client(config, clock=clock)
    with sandbox.outage():
        assert isinstance(error_of(drive, client, "verify_token", sandbox.token(user)), Unavailable)
    clock.advance(config.jwks_cooldown)

    assert drive.run(client, "verify_token", sandbox.token(user)).id == user.id
    assert server.get(name_of(config)) != poisoned
    assert KeptKeys(config).read(server.get(name_of(config)), clock()).keys
    kids = list(KeptKeys(config).read(genuine, clock()).keys)
    assert not [part for part in (*kids, config.project_id) if part in caplog.text]


def test_a_set_of_another_kind_of_value(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, server: Any
) -> None:
    """Another program's list under our name costs the sharing alone."""
    server.rpush(name_of(config), "x")
    user = sandbox.create_user()
    client = drive.client(config, clock=clock)

    assert drive.run(client, "verify_token", sandbox.token(user)).id == user.id
    server.delete(name_of(config))


def test_a_claim_that_nobody_gives_back(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, server: Any
) -> None:
    """A process that died while it fetched, or an attacker, delays the others by a moment; then they fetch."""
    user = sandbox.create_user()
    server.set(f"{name_of(config)}:claim", "somebody")
    begin = time.monotonic()
    client = drive.client(dataclasses.replace(config, http_timeout=0.3), clock=clock)

    assert drive.run(client, "verify_token", sandbox.token(user)).id == user.id
    assert time.monotonic() - begin < _server.LIMIT
    assert server.get(f"{name_of(config)}:claim") == "somebody"  # it was not ours to give back
    assert drive.run(drive.client(config, clock=clock), "warm")
    assert fetches(sandbox) == 1
    server.delete(f"{name_of(config)}:claim")


def test_a_claim_ends_with_the_fetch(
    drive: Drive, sandbox: Sandbox, config: HexclaveConfig, clock: Clock, server: Any
) -> None:
    """Whether it succeeds or not; and by itself, should the process die."""
    claim = f"{name_of(config)}:claim"
    with sandbox.outage():
        assert not drive.run(drive.client(config, clock=clock), "warm")
    assert server.get(claim) is None
    assert drive.run(drive.client(config, clock=clock), "warm")
    assert server.get(claim) is None
    assert 0 < server.ttl(name_of(config)) <= config.jwks_max_stale
    shared = core_of(drive.client(config, clock=clock)).shared_keys
    assert shared is not None
    assert shared.claim("a").is_ours
    assert not shared.claim("b").is_ours
    assert 0 < server.pttl(claim) <= 1000 * (config.http_timeout + 1)
    shared.end("b", None, 0)
    assert server.get(claim) == "a"
    shared.end("a", None, 0)
    assert server.get(claim) is None


@pytest.mark.parametrize("state", ["stopped", "hanging"])
def test_without_redis_everybody_fetches(
    drive: Drive, sandbox: Sandbox, clock: Clock, own_redis: Redis, state: str
) -> None:
    """Redis costs speed and no keys."""
    config = dataclasses.replace(sandbox.config, redis_url=own_redis.url)
    user = sandbox.create_user()
    if state == "stopped":
        own_redis.stop()
    else:
        own_redis.pause()
    try:
        client = drive.client(config, clock=clock)
        assert drive.run(client, "verify_token", sandbox.token(user)).id == user.id
    finally:
        if state == "hanging":
            own_redis.resume()


def test_a_client_for_asyncio(sandbox: Sandbox, redis_url: str, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Where Redis was given as a client for asyncio, a refresh without a loop goes without it, and says nothing."""
    from hexclave_integrations import AsyncHexclaveClient

    async def work() -> None:
        given = redis.asyncio.Redis.from_url(redis_url)
        try:
            config = dataclasses.replace(sandbox.config, redis_url=given)
            for _ in range(2):
                async with AsyncHexclaveClient(config, clock=clock) as client:
                    assert await client.warm()
            without_a_loop = core_of(client).shared_keys
            assert without_a_loop is not None
            assert await asyncio.to_thread(without_a_loop.recall) is None
        finally:
            await given.aclose()

    asyncio.run(work())
    assert fetches(sandbox) == 1
    assert not caplog.records
