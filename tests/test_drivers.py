"""Drivers, over real sockets: one fetch for a crowd, outages, hostile servers, cancellation, loops and forks."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime as dt
import gc
import ipaddress
import itertools
import logging
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hexclave_integrations import (
    AsyncHexclaveClient,
    ConfigurationError,
    HexclaveClient,
    HexclaveUser,
    InvalidToken,
    Unavailable,
)
from hexclave_integrations._drivers import AsyncDriver, Flights, SyncDriver
from hexclave_integrations._drivers.http import MAX_BODY
from hexclave_integrations._drivers.lines import Line
from hexclave_integrations._policy.effects import Background, Call, Flow, Once
from hexclave_integrations.testing import Sandbox, SandboxUser

from ._server import (
    CROWD,
    DRIVE_IDS,
    DRIVES,
    GARBAGE,
    LIMIT,
    Clock,
    Drive,
    Server,
    SyncDrive,
    close,
    core_of,
    drip_body,
    drip_head,
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

SOURCE = Path(__file__).parent.parent / "src"
JWKS = "/jwks.json"


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
def user(sandbox: Sandbox) -> SandboxUser:
    return sandbox.create_user()


_names = itertools.count()


def unknown_key(sandbox: Sandbox, user: SandboxUser) -> str:
    """A token that names a key nobody has heard of, each time another one."""
    claims = jwt.decode(sandbox.token(user), options={"verify_signature": False})
    return sandbox.sign(claims, headers={"kid": f"unknown-{next(_names)}"})


def kinds(outcomes: list[Any]) -> set[type]:
    return {type(outcome) for outcome in outcomes}


def open_when_asked(server: Server) -> threading.Thread:
    """Open the gate a moment after the first request came, so that a crowd can gather."""

    def work() -> None:
        server.arrived.wait(LIMIT)
        time.sleep(0.1)
        server.gate.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


# --- the key set ----------------------------------------------------------------------------------------------


def test_crowd_at_a_cold_start_makes_one_fetch(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """However many first requests come at once, of whatever kind of user, the keys are fetched once."""
    tokens = [sandbox.token(sandbox.create_user(kind)) for kind in ("regular", "restricted", "anonymous")]
    with Server(gated(relay(sandbox))) as server:
        client = drive.client(settings(sandbox, server), clock=clock)
        opener = open_when_asked(server)
        outcomes = drive.crowd(client, (("verify_token", (tokens[number % 3],)) for number in range(CROWD)))
        opener.join(LIMIT)

        assert {HexclaveUser} == kinds(outcomes)
        assert server.count(JWKS) == 1


def test_crowd_at_a_cold_start_of_the_served_sandbox(drive: Drive, clock: Clock) -> None:
    """The same against the sandbox on real HTTP, whose connections are kept alive."""
    sandbox = Sandbox(clock=clock)
    with sandbox.serve():
        client = drive.client(sandbox.config, clock=clock)
        calls = [("verify_token", (sandbox.token(sandbox.create_user()),)) for _ in range(CROWD)]

        assert {HexclaveUser} == kinds(drive.crowd(client, calls))
        assert sandbox.count(JWKS) == 1
        drive.end()


def test_flood_of_unknown_keys_makes_one_fetch_per_cool_down(
    drive: Drive, sandbox: Sandbox, user: SandboxUser, clock: Clock
) -> None:
    """A flood of tokens with invented key ids costs one more fetch, and the next one after the cool-down."""
    with Server(relay(sandbox)) as server:
        client = drive.client(settings(sandbox, server), clock=clock)
        drive.run(client, "verify_token", sandbox.token(user))
        for seconds, expected in ((0, 2), (29, 2), (2, 3)):
            clock.advance(seconds)
            flood = [("verify_token", (unknown_key(sandbox, user),)) for _ in range(CROWD)]

            assert {InvalidToken} == kinds(drive.crowd(client, flood))
            assert expected == server.count(JWKS)
        assert user.id == drive.run(client, "verify_token", sandbox.token(user)).id


def test_known_key_never_waits_for_a_refresh(drive: Drive, sandbox: Sandbox, user: SandboxUser, clock: Clock) -> None:
    """While the key endpoint hangs, a request with a known key is answered before the refresh has ended."""
    with Server(relay(sandbox)) as server:
        client = drive.client(settings(sandbox, server, http_timeout=LIMIT), clock=clock)
        drive.run(client, "verify_token", sandbox.token(user))
        clock.advance(601)
        server.arrived.clear()
        server.behaviour = gated(relay(sandbox))
        outcomes = drive.crowd(client, [("verify_token", (sandbox.token(user),))] * CROWD)

        assert {HexclaveUser} == kinds(outcomes)
        assert server.arrived.wait(LIMIT)
        assert not core_of(client).ring.is_fresh(clock())  # the refresh is still under way
        assert server.count(JWKS) == 2
        server.gate.set()
        assert eventually(lambda: bool(core_of(client).ring.is_fresh(clock())))


def test_old_keys_serve_through_an_outage_up_to_their_bound(
    drive: Drive, sandbox: Sandbox, user: SandboxUser, clock: Clock
) -> None:
    """Known keys serve until `jwks_max_stale`; then the answer is 503 with `Retry-After`, and recovery is quick."""
    with Server(relay(sandbox)) as server:
        client = drive.client(settings(sandbox, server), clock=clock)
        drive.run(client, "verify_token", sandbox.token(user))
        server.behaviour = close
        for seconds in (601, 3600, 86_400 - 601 - 3600 - 1):
            clock.advance(seconds)
            assert user.id == drive.run(client, "verify_token", sandbox.token(user)).id
            wait_for_refresh()
        clock.advance(2)
        error = error_of(drive, client, "verify_token", sandbox.token(user))

        assert isinstance(error, Unavailable)
        assert error.status == 503
        assert 1 <= int(dict(error.headers())["Retry-After"]) <= 30
        server.behaviour = relay(sandbox)
        clock.advance(31)
        assert user.id == drive.run(client, "verify_token", sandbox.token(user)).id


@pytest.mark.parametrize("behaviour", [pytest.param(behaviour, id=name) for name, behaviour in GARBAGE.items()])
def test_garbage_never_replaces_a_good_key_set(
    drive: Drive, behaviour: Any, sandbox: Sandbox, user: SandboxUser, clock: Clock
) -> None:
    """Whatever the key endpoint sends, the keys that are there go on serving until good ones come."""
    with Server(relay(sandbox)) as server:
        client = drive.client(settings(sandbox, server, http_timeout=1), clock=clock)
        drive.run(client, "verify_token", sandbox.token(user))
        good = core_of(client).ring.current.keys
        server.behaviour = behaviour
        clock.advance(601)
        assert user.id == drive.run(client, "verify_token", sandbox.token(user)).id
        wait_for_refresh()

        assert server.count(JWKS) == 2
        assert server.count("/elsewhere") == 0
        assert good is core_of(client).ring.current.keys
        assert isinstance(error_of(drive, client, "verify_token", unknown_key(sandbox, user)), Unavailable)

        server.behaviour = relay(sandbox)
        clock.advance(31)
        assert isinstance(error_of(drive, client, "verify_token", unknown_key(sandbox, user)), InvalidToken)
        assert core_of(client).ring.is_fresh(clock())


@pytest.mark.parametrize("name", ["html", "redirect", "gzip bomb", "closed", "hanging", "rate limit"])
def test_garbage_at_a_cold_start_is_an_outage(
    drive: Drive, name: str, sandbox: Sandbox, user: SandboxUser, clock: Clock
) -> None:
    """Without keys every garbage is a 503, never a 401; the next attempt comes after the cool-down."""
    with Server(GARBAGE[name]) as server:
        client = drive.client(settings(sandbox, server, http_timeout=0.3), clock=clock)
        token = sandbox.token(user)
        outcomes = drive.crowd(client, [("verify_token", (token,))] * 5)

        assert {Unavailable} == kinds(outcomes)
        assert server.count(JWKS) == 1
        assert server.count("/elsewhere") == 0
        assert drive.run(client, "warm") is False


@pytest.mark.parametrize("behaviour", [hang, drip_body, drip_head])
def test_slow_server_is_bounded_by_the_time_out(
    drive: Drive, behaviour: Any, sandbox: Sandbox, user: SandboxUser
) -> None:
    """A server that hangs, or sends just enough to stay alive, holds nobody for long."""
    with Server(behaviour) as server:
        client = drive.client(settings(sandbox, server, http_timeout=0.2))
        start = time.monotonic()

        assert isinstance(error_of(drive, client, "get_user", user.id), Unavailable)
        assert time.monotonic() - start < 1.5


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors cannot be counted here")
@pytest.mark.parametrize("is_encrypted", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("behaviour", [drip_head, drip_body])
def test_drips_do_not_outlive_the_time_out(
    behaviour: Any,
    is_encrypted: bool,
    sandbox: Sandbox,
    user: SandboxUser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """120 answers that drip leave no thread and no connection, and Hexclave is asked again as soon as it is well."""
    tls = None
    if is_encrypted:
        tls = certificate(tmp_path / "certificate.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with Server(relay(sandbox), tls) as server, HexclaveClient(settings(sandbox, server, http_timeout=1)) as client:
        assert client.get_user(user.id) is not None
        before = len(os.listdir("/proc/self/fd"))
        server.behaviour = behaviour
        start = time.monotonic()
        outcomes = SyncDrive().crowd(client, [("get_user", (user.id,))] * 120)

        assert {Unavailable} == kinds(outcomes)
        assert time.monotonic() - start < 10
        assert eventually(lambda: all(thread.name != "hexclave-request" for thread in threading.enumerate()))
        assert eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)
        server.behaviour = relay(sandbox)
        assert client.get_user(user.id) is not None


def certificate(path: Path) -> ssl.SSLContext:
    """A server's side of TLS for 127.0.0.1, and the certificate to trust in a file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(1))
    public = made.add_extension(names, critical=True).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    path.write_bytes(public)
    with_key = path.with_name("with_key.pem")
    with_key.write_bytes(public + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(with_key)
    return context


def test_connections_are_kept_between_questions(clock: Clock) -> None:
    """Questions one after the other use one connection, and those at the same time leave at most some idle."""
    sandbox = Sandbox(clock=clock)
    user = sandbox.create_user()
    with sandbox.serve(), HexclaveClient(sandbox.config, clock=clock) as client:
        for _ in range(3):
            client.get_user(user.id)
        idle: list[Any] = client._driver.lines._idle
        assert len(idle) == 1
        assert {HexclaveUser} == kinds(SyncDrive().crowd(client, [("get_user", (user.id,))] * CROWD))

        assert 1 <= len(idle) <= 20
        idle[0].idle_since -= 60
        client.get_user(user.id)
        assert [line for line in idle if line.idle_since < time.monotonic() - 30] == []
        client.close()
        assert idle == []


def test_a_client_that_is_closed_again_and_again_keeps_nothing(clock: Clock) -> None:
    """`with client:` for each job leaves neither httpx clients nor their certificates behind."""
    sandbox = Sandbox(clock=clock)
    user = sandbox.create_user()
    with sandbox.serve():
        client = HexclaveClient(sandbox.config, clock=clock)

        def kept() -> int:
            gc.collect()
            return sum(type(one) in (httpx.Client, ssl.SSLContext, Line) for one in gc.get_objects())

        with client:
            client.get_user(user.id)
        before = kept()
        for _ in range(200):
            with client:
                client.get_user(user.id)

        assert kept() <= before


def test_line_that_is_in_use_while_the_driver_closes_is_closed_after_it(sandbox: Sandbox, user: SandboxUser) -> None:
    """Its exchange comes to its end, and nothing of it stays open."""
    with Server(gated(relay(sandbox))) as server:
        client = HexclaveClient(settings(sandbox, server))
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(client.get_user(user.id)), daemon=True)
        thread.start()
        assert server.arrived.wait(LIMIT)
        client.close()
        server.gate.set()
        thread.join(LIMIT)

        assert [user.id] == [one.id for one in found]
        assert client._driver.lines._idle == []


def test_nobody_waits_for_ever_for_another_threads_fetch(sandbox: Sandbox, user: SandboxUser) -> None:
    """A fetch that does not end holds those who wait for it for a bounded time, and nobody after them."""
    with Server(drip_head) as server:
        client = HexclaveClient(settings(sandbox, server, http_timeout=0.1, jwks_cooldown=0))
        token = sandbox.token(user)
        first = threading.Thread(target=client.warm, daemon=True)
        first.start()
        assert server.arrived.wait(LIMIT)

        with pytest.raises(Unavailable):
            client.verify_token(token)
        server.behaviour = relay(sandbox)
        assert user.id == client.verify_token(token).id
        server.gate.set()
        first.join(LIMIT)
        assert not first.is_alive()
        client.close()


def test_warm_reports_a_fetch_that_does_not_end(drive: Drive, sandbox: Sandbox) -> None:
    """`warm` promises a bool, also where it waited for a fetch in vain."""
    client = drive.client(replace(sandbox.config, http_timeout=0.01))
    client._driver.flights.join("jwks")

    assert drive.run(client, "warm") is False


def test_large_answers_are_given_up_early(drive: Drive, sandbox: Sandbox, user: SandboxUser) -> None:
    """Of 40 MB no more is read than the limit and what is on the way."""
    with Server(oversized) as server:
        client = drive.client(settings(sandbox, server))

        assert isinstance(error_of(drive, client, "get_user", user.id), Unavailable)
        assert server.sent < 16 * MAX_BODY


def test_redirects_are_not_followed(drive: Drive, sandbox: Sandbox, user: SandboxUser) -> None:
    """A redirect would carry the server key elsewhere."""
    with Server(fixed(307, b"", {"location": "/elsewhere"})) as server:
        client = drive.client(settings(sandbox, server))

        assert isinstance(error_of(drive, client, "get_user", user.id), Unavailable)
        assert [f"/api/v1/users/{user.id}"] == server.targets


def test_withdrawn_keys_void_their_tokens(drive: Drive, sandbox: Sandbox, user: SandboxUser, clock: Clock) -> None:
    """After a rotation is noticed, remembered tokens of the old keys are worth nothing."""
    with Server(relay(sandbox)) as server:
        client = drive.client(settings(sandbox, server), clock=clock)
        old = sandbox.token(user)
        drive.run(client, "verify_token", old)
        sandbox.rotate_keys()
        assert user.id == drive.run(client, "verify_token", old).id  # nobody can know yet

        assert user.id == drive.run(client, "verify_token", sandbox.token(user)).id
        assert isinstance(error_of(drive, client, "verify_token", old), InvalidToken)
        assert server.count(JWKS) == 3  # the old key might be newer than ours, as far as we know


def test_withdrawn_keys_are_noticed_by_the_background_refresh(
    drive: Drive, sandbox: Sandbox, user: SandboxUser, clock: Clock
) -> None:
    """The refresh alone is enough: no token of a new key has to come."""
    with Server(relay(sandbox)) as server:
        client = drive.client(settings(sandbox, server), clock=clock)
        old = sandbox.token(user, expires_in=3600)
        drive.run(client, "verify_token", old)
        sandbox.rotate_keys()
        clock.advance(601)
        drive.run(client, "verify_token", old)
        wait_for_refresh()

        assert isinstance(error_of(drive, client, "verify_token", old), InvalidToken)


# --- cancellation, loops --------------------------------------------------------------------------------------


def test_cancelled_waiter_disturbs_nobody(sandbox: Sandbox, user: SandboxUser) -> None:
    """Of those who wait for one fetch each may go away."""
    token = sandbox.token(user)

    async def main(server: Server) -> list[Any]:
        async with asyncio.timeout(LIMIT), AsyncHexclaveClient(settings(sandbox, server)) as client:
            tasks = [asyncio.create_task(client.verify_token(token)) for _ in range(5)]
            await asyncio.to_thread(server.arrived.wait, LIMIT)
            tasks[3].cancel()
            await asyncio.sleep(0)
            server.gate.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    with Server(gated(relay(sandbox))) as server:
        outcomes = asyncio.run(main(server))
        expected = [HexclaveUser, HexclaveUser, HexclaveUser, asyncio.CancelledError, HexclaveUser]

        assert expected == [type(outcome) for outcome in outcomes]
        assert server.count(JWKS) == 1


def test_a_fetch_outlives_its_first_asker(sandbox: Sandbox, user: SandboxUser) -> None:
    """When the request that began a fetch is cancelled, the fetch goes on for those who wait, and is the only one."""
    token = sandbox.token(user)

    async def main(server: Server) -> list[Any]:
        async with asyncio.timeout(LIMIT), AsyncHexclaveClient(settings(sandbox, server)) as client:
            tasks = [asyncio.create_task(client.verify_token(token)) for _ in range(5)]
            await asyncio.to_thread(server.arrived.wait, LIMIT)
            tasks[0].cancel()
            await asyncio.wait(tasks[:1])
            server.gate.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    with Server(gated(relay(sandbox))) as server:
        outcomes = asyncio.run(main(server))

        assert [asyncio.CancelledError] + [HexclaveUser] * 4 == [type(outcome) for outcome in outcomes]
        assert server.count(JWKS) == 1


@pytest.mark.parametrize("is_opened", [True, False], ids=["opened", "never opened"])
def test_a_question_outlives_its_askers(sandbox: Sandbox, user: SandboxUser, is_opened: bool) -> None:
    """The same for questions, however many askers are cancelled: one question, and the last one has its answer."""
    sandbox.grant(user, "read_logs")

    async def main(server: Server) -> list[Any]:
        client = AsyncHexclaveClient(settings(sandbox, server))
        async with asyncio.timeout(LIMIT), client if is_opened else contextlib.nullcontext():
            tasks = [asyncio.create_task(client.has_permission(user.id, "read_logs")) for _ in range(6)]
            await asyncio.to_thread(server.arrived.wait, LIMIT)
            for task in tasks[:5]:
                task.cancel()
                await asyncio.sleep(0)
            server.gate.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    with Server(gated(relay(sandbox))) as server:
        outcomes = asyncio.run(main(server))

        assert outcomes[5:] == [True]
        assert {asyncio.CancelledError} == kinds(outcomes[:5])
        assert len(server.targets) == 1


def test_a_question_without_any_asker_is_remembered(sandbox: Sandbox, user: SandboxUser) -> None:
    """What was asked for a request that went away is there for the next one."""
    sandbox.grant(user, "read_logs")

    async def main(server: Server) -> bool:
        async with asyncio.timeout(LIMIT), AsyncHexclaveClient(settings(sandbox, server)) as client:
            task = asyncio.create_task(client.has_permission(user.id, "read_logs"))
            await asyncio.to_thread(server.arrived.wait, LIMIT)
            task.cancel()
            await asyncio.wait([task])
            server.gate.set()
            assert await asyncio.to_thread(eventually, lambda: len(core_of(client).answers) == 1)
            return await client.has_permission(user.id, "read_logs")

    with Server(gated(relay(sandbox))) as server:
        assert asyncio.run(main(server))
        assert len(server.targets) == 1


def test_cancelled_asker_hears_nothing_of_a_failure(
    sandbox: Sandbox, user: SandboxUser, caplog: pytest.LogCaptureFixture
) -> None:
    """An error whose asker is gone is not complained about as "never retrieved", nor does it stay in memory."""

    async def main(server: Server) -> None:
        async with asyncio.timeout(LIMIT), AsyncHexclaveClient(settings(sandbox, server)) as client:
            task = asyncio.create_task(client.has_permission(user.id, "read_logs"))
            await asyncio.to_thread(server.arrived.wait, LIMIT)
            task.cancel()
            await asyncio.wait([task])
            server.gate.set()
            assert await asyncio.to_thread(eventually, lambda: not client._driver._tasks)
            gc.collect()

    with Server(gated(close)) as server:
        asyncio.run(main(server))
        assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_a_question_is_asked_in_the_context_of_its_asker(sandbox: Sandbox, user: SandboxUser) -> None:
    """Tracing finds the request that began it, although it runs as a task of its own."""
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    inner: Any = sandbox.config.transport
    seen: list[str] = []

    class Tracing(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(name.get("nobody"))
            found: httpx.Response = await inner.handle_async_request(request)
            return found

    async def main() -> None:
        name.set("the asker")
        await AsyncHexclaveClient(sandbox.config, transport=Tracing()).list_permissions(user.id)

    asyncio.run(main())
    assert seen == ["the asker"]


def test_close_ends_questions_under_way(sandbox: Sandbox, user: SandboxUser) -> None:
    """A request that waits for one on a loop whose client is closed gets a 503; later ones are asked anew."""

    async def main(server: Server) -> tuple[list[Any], bool]:
        client = AsyncHexclaveClient(settings(sandbox, server))
        async with asyncio.timeout(LIMIT):
            async with client:
                tasks = [asyncio.create_task(client.has_permission(user.id, "read_logs")) for _ in range(2)]
                await asyncio.to_thread(server.arrived.wait, LIMIT)
            server.gate.set()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            return outcomes, await client.has_permission(user.id, "read_logs")

    with Server(gated(relay(sandbox))) as server:
        (first, second), last = asyncio.run(main(server))

        assert isinstance(first, Unavailable)
        assert (second, last) == (False, False)


def test_loop_that_ends_lets_the_next_one_ask(sandbox: Sandbox, user: SandboxUser) -> None:
    """A loop that ends under a fetch, its asker cancelled before, leaves nothing that others would wait for."""
    token = sandbox.token(user)
    with Server(gated(relay(sandbox))) as server:
        client = AsyncHexclaveClient(settings(sandbox, server))

        async def impatient() -> None:
            async with asyncio.timeout(0.05):
                await client.verify_token(token)

        with pytest.raises(TimeoutError):
            asyncio.run(impatient())
        server.gate.set()
        start = time.monotonic()

        assert user.id == asyncio.run(client.verify_token(token)).id
        assert time.monotonic() - start < 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncio complains of such loops
def test_loop_that_is_closed_under_a_fetch_keeps_nobody_waiting(sandbox: Sandbox, user: SandboxUser) -> None:
    """Nor does one that did not even cancel its tasks, and they are not kept."""
    token = sandbox.token(user)
    with Server(gated(relay(sandbox))) as server:
        client = AsyncHexclaveClient(settings(sandbox, server))

        async def impatient() -> None:
            async with asyncio.timeout(0.05):
                await client.verify_token(token)

        loop = asyncio.new_event_loop()
        with pytest.raises(TimeoutError):
            loop.run_until_complete(impatient())
        loop.close()
        server.gate.set()
        start = time.monotonic()

        assert user.id == asyncio.run(client.verify_token(token)).id
        assert time.monotonic() - start < 2
        assert client._driver._tasks == set()
        gc.collect()


def test_waiter_of_a_loop_that_is_gone_disturbs_nobody(
    sandbox: Sandbox, user: SandboxUser, caplog: pytest.LogCaptureFixture
) -> None:
    """A request that waits for another loop's fetch may end with its whole loop before that does."""
    token = sandbox.token(user)
    with Server(gated(relay(sandbox))) as server:
        client = AsyncHexclaveClient(settings(sandbox, server))
        found: list[HexclaveUser] = []
        leader = threading.Thread(target=lambda: found.append(asyncio.run(client.verify_token(token))), daemon=True)
        leader.start()
        server.arrived.wait(LIMIT)

        async def impatient() -> None:
            async with asyncio.timeout(0.05):
                await client.verify_token(token)

        with pytest.raises(TimeoutError):
            asyncio.run(impatient())
        server.gate.set()
        leader.join(LIMIT)

        assert [user.id] == [one.id for one in found]
        assert server.count(JWKS) == 1
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_one_client_serves_several_loops(sandbox: Sandbox, user: SandboxUser) -> None:
    """Loops may follow one another, with and without `async with`, and share keys."""
    with Server(relay(sandbox)) as server:
        client = AsyncHexclaveClient(settings(sandbox, server))

        async def plain() -> Any:
            return (await client.verify_token(sandbox.token(user))).id, (await client.get_user(user.id)) is not None

        async def opened() -> Any:
            async with client:
                return await plain()

        for work in (plain, opened, opened, plain):
            assert (user.id, True) == asyncio.run(work())
            gc.collect()  # what is left open would warn here
        assert server.count(JWKS) == 1


def test_loops_at_the_same_time_share_one_fetch(sandbox: Sandbox, user: SandboxUser) -> None:
    """A crowd of threads, each with a loop of its own, makes one fetch."""
    token = sandbox.token(user)
    with Server(gated(relay(sandbox))) as server:
        client = AsyncHexclaveClient(settings(sandbox, server))
        found: list[str] = []
        threads = [
            threading.Thread(target=lambda: found.append(asyncio.run(client.verify_token(token)).id), daemon=True)
            for _ in range(8)
        ]
        opener = open_when_asked(server)
        for thread in threads:
            thread.start()
        for thread in (*threads, opener):
            thread.join(LIMIT)

        assert [user.id] * 8 == found
        assert server.count(JWKS) == 1


def test_background_refresh_outlives_a_short_loop(sandbox: Sandbox, user: SandboxUser, clock: Clock) -> None:
    """A refresh that a request of a short loop started comes to its end, and leaves no connection behind."""
    with Server(relay(sandbox)) as server:
        client = AsyncHexclaveClient(settings(sandbox, server), clock=clock)
        asyncio.run(client.verify_token(sandbox.token(user)))
        clock.advance(601)
        asyncio.run(client.verify_token(sandbox.token(user)))
        wait_for_refresh()

        assert core_of(client).ring.is_fresh(clock())


def test_background_refresh_leaves_no_kept_alive_connection(clock: Clock) -> None:
    """Nobody closes an async client that was never opened, so its refreshes close after themselves."""
    sandbox = Sandbox(clock=clock)
    user = sandbox.create_user()
    with sandbox.serve():
        client = AsyncHexclaveClient(sandbox.config, clock=clock)
        asyncio.run(client.verify_token(sandbox.token(user)))
        clock.advance(601)
        asyncio.run(client.verify_token(sandbox.token(user)))
        wait_for_refresh()

        assert core_of(client).ring.is_fresh(clock())
        del client
        gc.collect()  # a socket left open would warn here


def test_blocking_client_works_inside_a_running_loop(sandbox: Sandbox, user: SandboxUser) -> None:
    """It blocks the loop, and works."""
    with Server(relay(sandbox)) as server, HexclaveClient(settings(sandbox, server)) as client:

        async def main() -> str:
            return client.verify_token(sandbox.token(user)).id

        assert user.id == asyncio.run(main())


def test_close_while_a_request_is_under_way(drive: Drive, sandbox: Sandbox, user: SandboxUser) -> None:
    """A request that is surprised by the end of the client gets an answer or a 503, never another error."""
    with Server(gated(relay(sandbox))) as server:
        client = drive.client(settings(sandbox, server, http_timeout=1))
        if drive.is_async:

            async def main() -> Any:
                task = asyncio.create_task(client.get_user(user.id))
                await asyncio.to_thread(server.arrived.wait, LIMIT)
                await client.close()
                server.gate.set()
                return (await asyncio.gather(task, return_exceptions=True))[0]

            outcome = drive._runner.run(main())  # type: ignore[union-attr]  # the async half
        else:
            outcomes: list[Any] = []
            thread = threading.Thread(target=lambda: outcomes.extend(drive.crowd(client, [("get_user", (user.id,))])))
            thread.start()
            server.arrived.wait(LIMIT)
            client.close()
            server.gate.set()
            thread.join(LIMIT)
            (outcome,) = outcomes

        assert isinstance(outcome, HexclaveUser | Unavailable)
        assert user.id == drive.run(client, "get_user", user.id).id


# --- drivers by themselves ------------------------------------------------------------------------------------


def perform(drive: Drive, flow: Flow[Any], **options: Any) -> Any:
    config = Sandbox().config
    if drive.is_async:
        return asyncio.run(AsyncDriver(config, **options).run(flow))
    return SyncDriver(config, **options).run(flow)


def test_flow_is_closed_when_the_applications_code_fails(drive: Drive) -> None:
    """An error of the application ends the flow and reaches the application."""
    closed: list[bool] = []

    def flow() -> Flow[None]:
        try:
            yield Call(lambda: 1 / 0)
        finally:
            closed.append(True)

    with pytest.raises(ZeroDivisionError):
        perform(drive, flow())
    assert closed == [True]


def test_flow_may_end_with_stop_iteration_of_the_application(drive: Drive) -> None:
    """`StopIteration` out of the application's code is not taken for the end of the flow."""

    def fail() -> None:
        raise StopIteration("not the result")

    def flow() -> Flow[str]:
        yield Call(fail)
        return "the end"

    with pytest.raises((StopIteration, RuntimeError)):
        perform(drive, flow())


def test_coroutine_for_a_team_is_awaited_or_refused(drive: Drive) -> None:
    """Async awaits what the application's code returns; the blocking driver says that it cannot."""

    async def team() -> str:
        return "a team"

    def flow() -> Flow[str]:
        found: str = yield Call(team)
        return found

    if drive.is_async:
        assert perform(drive, flow()) == "a team"
    else:
        with pytest.raises(ConfigurationError, match="await"):
            perform(drive, flow())


def test_error_of_the_leader_lets_the_next_one_lead(drive: Drive) -> None:
    """A flow that fails leaves no trace among those under way."""

    def failing() -> Generator[Any, Any, None]:
        yield from ()
        raise LookupError

    def flow() -> Flow[Any]:
        yield Once("key", failing)

    flights = Flights()
    for _ in range(2):
        with pytest.raises(LookupError):
            perform(drive, flow(), flights=flights)
    assert flights.join("key")[0] is True


def test_problem_of_a_background_flow_is_logged(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for a background flow, so its problems go to the log."""

    def failing() -> Flow[None]:
        yield from ()
        raise LookupError

    def flow() -> Flow[str]:
        yield Background(failing)
        yield Call((lambda: asyncio.sleep(0.01)) if drive.is_async else lambda: None)
        return "done"

    assert perform(drive, flow(), transport=Sandbox().config.transport) == "done"
    wait_for_refresh()
    assert [record.getMessage() for record in caplog.records] == ["A background refresh failed"]


def test_landing_twice_leaves_the_next_flight_alone() -> None:
    """A flight that was given up and comes back late does not end the one that followed it."""
    flights = Flights()
    _, first = flights.join("key")
    flights.land("key", first)
    leads, second = flights.join("key")
    flights.land("key", first)

    assert leads
    assert (False, second) == flights.join("key")
    assert not second.done()


def test_future_of_a_flight_cannot_be_cancelled() -> None:
    """One waiter cannot end it for all."""
    _, future = Flights().join("key")

    assert not future.cancel()


class Failing(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport that raises."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.inner: Any = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.error is not None:
            raise self.error
        found: httpx.Response = self.inner.handle_request(request)
        return found

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


@pytest.mark.parametrize("error", [OSError("boom"), httpx.PoolTimeout("full"), ConnectionResetError(), TimeoutError()])
def test_transport_that_cannot_reach_hexclave_is_an_outage(
    drive: Drive, error: Exception, sandbox: Sandbox, user: SandboxUser
) -> None:
    """What a transport raises for the network's sake is a 503."""
    client = drive.client(sandbox.config, transport=Failing(error))

    assert isinstance(error_of(drive, client, "get_user", user.id), Unavailable)
    assert isinstance(error_of(drive, client, "verify_token", sandbox.token(user)), Unavailable)


def test_transport_with_a_bug_shows_it_and_blocks_nobody(drive: Drive, sandbox: Sandbox, user: SandboxUser) -> None:
    """A programming error is not hidden as an outage, and the next request starts afresh."""
    transport = Failing(RuntimeError("a bug"))
    client = drive.client(sandbox.config, transport=transport)
    sandbox.grant(user, "read_logs")
    for method, argument in (("verify_token", sandbox.token(user)), ("list_permissions", user.id)):
        found = kinds(drive.crowd(client, [(method, (argument,))] * 5))
        # A request that waited twice for others in vain cannot tell; none gets an answer.
        assert RuntimeError in found
        assert found <= {RuntimeError, Unavailable}
    transport.error, transport.inner = None, sandbox.config.transport

    assert user.id == drive.run(client, "verify_token", sandbox.token(user)).id
    assert frozenset({"read_logs"}) == drive.run(client, "list_permissions", user.id)


# --- processes ------------------------------------------------------------------------------------------------


def run_script(script: str, *options: str) -> str:
    """Run Python code; its output, which has to be all that it writes anywhere."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, *options, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


FORK = """
import logging, os, sys, threading, time, warnings
logging.getLogger("asyncio").setLevel(logging.ERROR)  # debug mode calls the first import of httpx slow
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
import asyncio, ctypes
from hexclave_integrations import AsyncHexclaveClient, HexclaveClient
from hexclave_integrations.stores import Claim, MemoryStore
from hexclave_integrations.testing import Sandbox

def connection_of(client):
    (line,) = client._driver.lines._idle
    return line._socket.getsockname()

fork = {"os.fork": os.fork, "fork in C": ctypes.PyDLL(None).fork}[HOW]
sandbox = Sandbox()
user = sandbox.create_user()
sandbox.grant(user, "read_logs")
read_end, write_end = os.pipe()
with sandbox.serve():
    blocking, waiting = HexclaveClient(sandbox.config), AsyncHexclaveClient(sandbox.config)
    blocking.warm()
    blocking.get_user(user.id)
    locks = []
    for client in (blocking, waiting):
        core, driver = client._core, client._driver
        locks += [core.verifier._lock, core.tokens._lock, core.answers._lock, core.api_keys._lock]
        locks.append(driver.flights._lock)
        driver.flights.join("jwks")  # a fetch that nobody ends in the child
        driver.flights.join(f"permissions:{user.id}")
    store = MemoryStore()
    locks += [blocking._driver.lines._lock, store._lock]
    held, release = threading.Event(), threading.Event()

    def hold():
        for lock in locks:
            lock.acquire()
        held.set()
        release.wait(30)
        for lock in locks:
            lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    before = connection_of(blocking)
    child = fork()
    if child == 0:
        code = 1
        try:
            assert blocking.verify_token(sandbox.token(user)).id == user.id
            assert blocking.has_permission(user.id, "read_logs")
            assert asyncio.run(waiting.verify_token(sandbox.token(user))).id == user.id
            assert asyncio.run(waiting.has_permission(user.id, "read_logs"))
            assert connection_of(blocking) != before
            assert store.claim("delivery", "token", 60) is Claim.CLAIMED
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + 30
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            sys.exit("the child hangs")
        time.sleep(0.01)
    release.set()
    thread.join(30)
    assert status == 0, status
    assert blocking.get_user(user.id).id == user.id
    assert connection_of(blocking) == before  # the parent's connection is still its own
    blocking.close()
print("both live")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.parametrize("how", ["os.fork", "fork in C"])
def test_child_of_a_fork_authenticates_while_the_parent_held_every_lock(how: str) -> None:
    """Locks, fetches under way and connections of the parent mean nothing to the child, were Python told or not."""
    for tries_left in (2, 1, 0) if how == "fork in C" else (0,):
        try:
            assert run_script(f"HOW = {how!r}\n{FORK}", "-X", "dev") == "both live\n"
        except AssertionError:
            # A child that Python is not told of may wait for a thread of the parent to take the interpreter's lock, if
            # one had just asked for it: not ours to mend. A lock of ours would stop every try.
            if not tries_left:
                raise
        else:
            return


NO_WARNINGS = """
import asyncio, gc, logging
from dataclasses import replace
from hexclave_integrations import AsyncHexclaveClient, HexclaveClient
from hexclave_integrations.testing import Sandbox

logging.getLogger("asyncio").setLevel(logging.ERROR)  # debug mode calls the first import of httpx slow
now = [1_800_000_000.0]
sandbox = Sandbox(clock=lambda: now[0])
user = sandbox.create_user()
with sandbox.serve():
    config = sandbox.config
    with HexclaveClient(config, clock=lambda: now[0]) as client:
        client.verify_token(sandbox.token(user))
        client.get_user(user.id)
    waiting = AsyncHexclaveClient(config, clock=lambda: now[0])

    async def opened():
        async with waiting:
            await waiting.get_user(user.id)
            await asyncio.gather(*(waiting.verify_token(sandbox.token(user)) for _ in range(10)))

    for _ in range(3):
        asyncio.run(waiting.get_user(user.id))
        asyncio.run(opened())
        gc.collect()
print("quiet")
"""


def test_development_mode_finds_nothing_to_complain_about() -> None:
    """No socket, loop or coroutine is left behind (`python -X dev`)."""
    assert run_script(NO_WARNINGS, "-X", "dev", "-W", "error") == "quiet\n"


def test_interpreter_ends_while_a_refresh_hangs(sandbox: Sandbox) -> None:
    """A refresh on a thread does not keep the process from ending."""
    script = """
import sys
from hexclave_integrations import HexclaveClient, HexclaveConfig
from hexclave_integrations._policy.effects import Background
client = HexclaveClient(HexclaveConfig(project_id="internal", api_url=sys.argv[1] if len(sys.argv) > 1 else URL))
def flow():
    from hexclave_integrations._policy import key_flows
    yield Background(lambda: key_flows._refresh(client._core))
client._driver.run(flow())
print("over")
"""
    with Server(hang) as server:
        assert run_script(f"URL = {server.url!r}\n" + script) == "over\n"


def test_every_lock_is_made_anew_in_a_child() -> None:
    """A lock that is not `ForkAware`'s may stay locked for ever in a forked child."""
    found = set()
    for path in sorted((SOURCE / "hexclave_integrations").rglob("*.py")):
        if "testing" in path.parts:
            continue  # the sandbox belongs to one process
        if path.name == "_webhooks.py":
            continue  # a lock of greenlets, made when first needed and held by a handler that is waited for
        text = path.read_text(encoding="utf-8")
        if "threading.Lock()" in text or "threading.RLock()" in text:
            found.add(path.name)
    assert found == {"fork.py"}


def test_an_unknown_project_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The id of another project, or of none, is a setting to mend: the log says so, and every token waits."""
    known = Sandbox()
    config = replace(known.config, project_id="11111111-1111-4111-8111-111111111111")
    with HexclaveClient(config) as client:
        assert not client.warm()
    messages = [record.getMessage() for record in caplog.records if record.name == "hexclave_integrations"]
    assert len(messages) == 1
    assert "knows no project with this project_id (HEXCLAVE_PROJECT_ID)" in messages[0]
