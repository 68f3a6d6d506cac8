"""Redis servers that are not what the URL says, that have become replicas, or that come as a ready-made client."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.sentinel import Sentinel

from hexclave_integrations import ConfigurationError, HexclaveClient
from hexclave_integrations._memory.fleet import FleetMemory
from hexclave_integrations._memory.redis import RedisScripts, RedisUnavailable
from hexclave_integrations.config import HexclaveConfig
from hexclave_integrations.stores import Claim, RedisStore, StoreUnavailable
from hexclave_integrations.testing import Sandbox

from ._pair import Pair, port_of
from ._services import Redis, _wait_until_ready, do_without, free_port, running_redis
from ._webhooks import new_id

TTL = 60.0
COLOURS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def claim(store: RedisStore, key: str, is_async: bool) -> Claim:
    return asyncio.run(store.aclaim(key, "a", TTL)) if is_async else store.claim(key, "a", TTL)


def problem(server: Any, is_async: bool, **options: Any) -> str:
    """What a store says that cannot ask a server."""
    store = RedisStore(server, **options)
    with pytest.raises(StoreUnavailable) as caught:
        claim(store, new_id(), is_async)
    store.close()
    prefix, _, words = str(caught.value).partition(": ")
    assert prefix == "Redis"
    return words


def certificate(directory: Path, host: str, days: int) -> tuple[Path, Path]:
    """A self-signed certificate for a host, which ends after some days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - dt.timedelta(days=30))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "redis.crt", directory / "redis.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@contextmanager
def redis_with_tls(host: str = "localhost", days: int = 2) -> Iterator[tuple[int, Path]]:
    """A Redis that speaks TLS alone: its port, and the certificate to trust."""
    binary = shutil.which("redis-server")
    if binary is None:
        do_without("redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="redis-") as name:
        port, directory = free_port(), Path(name)
        certificate_path, key_path = certificate(directory, host, days)
        files = ["--tls-cert-file", str(certificate_path), "--tls-key-file", str(key_path), "--tls-auth-clients", "no"]
        options = ["--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", name]
        with (directory / "redis.log").open("ab") as log:
            process = subprocess.Popen([binary, *options, *files], stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_until_ready(process, lambda: _is_open(port), directory / "redis.log")
            yield port, certificate_path
        finally:
            process.kill()
            process.wait(20)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class TestWords:
    """An operator reads what is wrong, and nothing that is secret."""

    @COLOURS
    def test_nobody_listens(self, is_async: bool) -> None:
        """A port that is closed."""
        said = problem(f"redis://user:hush@127.0.0.1:{free_port()}/0", is_async)
        assert said == "nobody listens there (connection refused)"

    @COLOURS
    def test_an_unknown_host(self, is_async: bool) -> None:
        """A name that leads nowhere is not shown, for it is a part of the URL."""
        assert problem("redis://user:hush@redis.invalid/0", is_async) == "its host name is not known"

    @COLOURS
    @pytest.mark.parametrize(
        ("host", "days", "trusted", "words"),
        [
            ("localhost", 2, False, "its certificate is self-signed, and not among those that are trusted"),
            ("localhost", -1, True, "its certificate has expired"),
            ("elsewhere.test", 2, True, "its certificate is for another host name"),
        ],
    )
    def test_a_certificate(self, is_async: bool, host: str, days: int, trusted: bool, words: str) -> None:
        """A certificate that is not good, and in what it is not."""
        with redis_with_tls(host, days) as (port, path):
            query = f"?ssl_ca_certs={path}&ssl_check_hostname=true" if trusted else ""
            assert problem(f"rediss://:hush@localhost:{port}/0{query}", is_async) == words

    @COLOURS
    def test_a_good_certificate(self, is_async: bool) -> None:
        """TLS works where the certificate is good, so that the tests before this one mean something."""
        with redis_with_tls() as (port, path):
            store = RedisStore(f"rediss://localhost:{port}/0?ssl_ca_certs={path}&ssl_check_hostname=true")
            assert claim(store, new_id(), is_async) is Claim.CLAIMED
            store.close()

    @COLOURS
    def test_no_tls_to_a_tlsport_of(self, is_async: bool) -> None:
        """A plain client at a port that speaks TLS is told of rediss://."""
        with redis_with_tls() as (port, _):
            assert "rediss://" in problem(f"redis://:hush@localhost:{port}/0", is_async)

    @COLOURS
    def test_tls_to_a_plainport_of(self, redis_url: str, is_async: bool) -> None:
        """A TLS client at a plain port is told of redis://, whatever the library makes of it."""
        said = problem(redis_url.replace("redis://", "rediss://"), is_async, timeout=1)
        assert "TLS" in said
        assert "begins with redis://" in said

    @COLOURS
    def test_passwords(self, own_redis: Redis, is_async: bool) -> None:
        """One where none is needed, none where one is needed, and a wrong one."""
        unneeded = problem(own_redis.url.replace("//", "//:hush@") + "?protocol=2", is_async)
        assert unneeded == "it has no password, and the URL has one"
        with redis.Redis.from_url(own_redis.url) as admin:
            admin.config_set("requirepass", "hush")
        assert problem(own_redis.url, is_async).startswith("it asks for a password and got none")
        wrong = problem(own_redis.url.replace("//", "//:hushhush@"), is_async)
        assert wrong == "it does not take the user name or password in the URL"

    @COLOURS
    def test_permissions(self, own_redis: Redis, is_async: bool) -> None:
        """A user of Redis who may not do what we do."""
        with redis.Redis.from_url(own_redis.url) as admin:
            admin.execute_command("ACL", "SETUSER", "app", "on", ">hush", "~hexclave:*", "+get")
        assert "ACL" in problem(own_redis.url.replace("//", "//app:hush@"), is_async)

    @COLOURS
    def test_other_keys(self, own_redis: Redis, is_async: bool) -> None:
        """A user of Redis who may run scripts, and not on our keys."""
        with redis.Redis.from_url(own_redis.url) as admin:
            admin.execute_command("ACL", "SETUSER", "app", "on", ">hush", "~other:*", "+@all")
        assert "ACL" in problem(own_redis.url.replace("//", "//app:hush@"), is_async)

    @COLOURS
    def test_a_full_memory(self, own_redis: Redis, is_async: bool) -> None:
        """A server that takes no writes any more."""
        with redis.Redis.from_url(own_redis.url) as admin:
            admin.config_set("maxmemory", "1")
        assert "memory is full" in problem(own_redis.url, is_async)

    def test_the_fleet_says_it_as_well(self, caplog: pytest.LogCaptureFixture) -> None:
        """Remembered answers do without Redis, and the log says in the same words why."""
        config = HexclaveConfig(**_settings(), redis_url=f"redis://:hush@127.0.0.1:{free_port()}/0")
        answers = FleetMemory.connect(config)
        answers.recall("key", ["tag"])
        assert "nobody listens there (connection refused)" in caplog.text
        assert "hush" not in caplog.text


class TestUrls:
    """Options in the URL."""

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("pool_timeout=5", 'does not know there: "pool_timeout"'),
            ("socket_timeout=1&tls=true", 'does not know there: "tls"'),
            ("ssl_cert_reqs=none", "need rediss://"),
            ("socket_timeout=soon", 'does not take: "socket_timeout"'),
            ("db=first", 'does not take: "db"'),
        ],
    )
    def test_an_option(self, query: str, words: str) -> None:
        """The message names the option, in a store and in the configuration, and nothing else of the URL."""
        url = f"redis://:hush@host.example/0?{query}"
        for make in (RedisStore, lambda url: FleetMemory.connect(HexclaveConfig(**_settings(), redis_url=url))):
            with pytest.raises(ConfigurationError) as caught:
                make(url)
            assert words in str(caught.value)
            assert "hush" not in str(caught.value)
            assert "host.example" not in str(caught.value)
            assert caught.value.__context__ is None


def _settings() -> dict[str, Any]:
    return {"project_id": "c7c61f2b-0bb3-4e4c-9c43-d2a2f1e2b6f1"}


@pytest.fixture
def pair() -> Iterator[Pair]:
    with running_redis() as old, running_redis() as new:
        pair = Pair(old, new)
        with closing(pair.address):
            yield pair


class Keeper:
    """Calls from one thread, or from one event loop that keeps its connections."""

    def __init__(self, scripts: RedisScripts, is_async: bool) -> None:
        self._runner = asyncio.Runner() if is_async else None
        self._scripts = scripts
        if self._runner is not None:
            self._runner.run(self._open())

    async def _open(self) -> None:
        self._scripts.open()

    def call(self, owner: Any, name: str, *arguments: Any) -> Any:
        if self._runner is None:
            return getattr(owner, name)(*arguments)
        return self._runner.run(getattr(owner, f"a{name}")(*arguments))

    def close(self) -> None:
        if self._runner is not None:
            self._runner.run(self._scripts.aclose())
            self._runner.close()
        self._scripts.close()


class TestFailOver:
    """A primary that was demoted behind a name keeps its connections open, and answers READONLY on them."""

    @COLOURS
    def test_claims(self, pair: Pair, is_async: bool) -> None:
        """The delivery that notices is claimed at the new primary, and so is what follows."""
        store = RedisStore(pair.address.url)
        with closing(Keeper(store._scripts, is_async)) as keeper:
            assert keeper.call(store, "claim", new_id(), "a", TTL) is Claim.CLAIMED
            pair.fail_over()
            key = new_id()
            assert keeper.call(store, "claim", key, "a", TTL) is Claim.CLAIMED
            assert keeper.call(store, "done", key, "a", TTL)
            assert keeper.call(store, "claim", key, "b", TTL) is Claim.DONE
            assert pair.address.connections == 2

    @COLOURS
    def test_threads(self, pair: Pair, is_async: bool) -> None:
        """Connections that others have kept are renewed as well."""
        store = RedisStore(pair.address.url)

        def crowd() -> list[Claim]:
            async def together() -> list[Claim]:
                store._scripts.open()
                return list(await asyncio.gather(*[store.aclaim(new_id(), "a", TTL) for _ in range(8)]))

            if is_async:
                return runner.run(together())
            found: list[Claim] = []
            barrier = threading.Barrier(8)

            def work() -> None:
                barrier.wait(20)
                found.append(store.claim(new_id(), "a", TTL))

            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
            return found

        with asyncio.Runner() as runner:
            assert crowd() == [Claim.CLAIMED] * 8
            pair.fail_over()
            assert crowd() == [Claim.CLAIMED] * 8
            runner.run(store._scripts.aclose())
        store.close()

    @COLOURS
    def test_remembered_answers(self, pair: Pair, is_async: bool) -> None:
        """A revocation reaches the new primary."""
        scripts = RedisScripts(pair.address.url, 1)
        answers = FleetMemory(scripts, "https://api.hexclave.com", "p")
        with closing(Keeper(scripts, is_async)) as keeper:
            keeper.call(answers, "forget", ["user:a"])
            pair.fail_over()
            keeper.call(answers, "forget", ["user:a"])
            with redis.Redis.from_url(pair._new.url, decode_responses=True) as server:
                assert [name for name in server.scan_iter() if name.endswith("forgotten:user:a")]

    @COLOURS
    def test_nobody_was_promoted(self, pair: Pair, is_async: bool) -> None:
        """Where the address leads to the old one still, that is said, and tried again with the next call."""
        store = RedisStore(pair.address.url)
        with closing(Keeper(store._scripts, is_async)) as keeper:
            keeper.call(store, "claim", new_id(), "a", TTL)
            pair.fail_over(is_switched=False)
            with pytest.raises(StoreUnavailable, match="read-only replica"):
                keeper.call(store, "claim", new_id(), "a", TTL)
            pair.address.target = port_of(pair._new)
            assert keeper.call(store, "claim", new_id(), "a", TTL) is Claim.CLAIMED

    @pytest.mark.parametrize("kind", [redis.Redis, redis.asyncio.Redis])
    def test_a_client_of_the_application(self, pair: Pair, kind: Any) -> None:
        """A client that was given finds the new primary too."""
        is_async = kind is redis.asyncio.Redis
        client = kind.from_url(pair.address.url)
        store = RedisStore(client)
        with asyncio.Runner() as runner:
            for _ in range(2):
                if is_async:
                    assert runner.run(store.aclaim(new_id(), "a", TTL)) is Claim.CLAIMED
                else:
                    assert store.claim(new_id(), "a", TTL) is Claim.CLAIMED
                pair.fail_over()
            if is_async:
                runner.run(client.aclose())
            else:
                client.close()


@contextmanager
def running_sentinel(primary: Redis) -> Iterator[int]:
    """A Sentinel that knows a primary by the name "main"; its port."""
    binary = shutil.which("redis-server")
    assert binary is not None
    with tempfile.TemporaryDirectory(prefix="sentinel-") as name:
        port, settings = free_port(), Path(name) / "sentinel.conf"
        settings.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {name}\nsentinel monitor main 127.0.0.1 {port_of(primary)} 1\n"
        )
        with (Path(name) / "log").open("ab") as log:
            process = subprocess.Popen(
                [binary, str(settings), "--sentinel"], stdout=log, stderr=log, start_new_session=True
            )
        try:
            _wait_until_ready(process, lambda: _is_open(port), Path(name) / "log")
            yield port
        finally:
            process.kill()
            process.wait(20)


class TestClients:
    """Ready-made clients in place of a URL."""

    @pytest.mark.parametrize("decodes", [False, True])
    def test_in_both_colours(self, redis_url: str, decodes: bool) -> None:
        """A sync client serves applications of both kinds, whether it decodes replies or not, and stays open."""
        client = redis.Redis.from_url(redis_url, decode_responses=decodes)
        store, key = RedisStore(client, prefix="p:"), new_id()
        assert store.claim(key, "a", TTL) is Claim.CLAIMED
        assert asyncio.run(store.aclaim(key, "b", TTL)) is Claim.BUSY
        assert store.done(key, "a", TTL)
        assert asyncio.run(store.aforget(key)) is Claim.DONE
        store.close()
        assert client.ping()
        client.close()

    def test_for_asyncio(self, redis_url: str) -> None:
        """A client for asyncio serves event loops; elsewhere the error says what to give."""

        async def use(store: RedisStore, client: Any) -> Claim:
            found = await store.aclaim(new_id(), "a", TTL)
            await client.aclose()
            return found

        client = redis.asyncio.Redis.from_url(redis_url)
        store = RedisStore(client)
        assert asyncio.run(use(store, client)) is Claim.CLAIMED
        with pytest.raises(StoreUnavailable, match=r"give redis\.Redis"):
            store.claim(new_id(), "a", TTL)

    def test_of_a_sentinel(self, own_redis: Redis) -> None:
        """Clients that Sentinels find the primary for."""
        make: Any = Sentinel
        make_async: Any = AsyncSentinel
        with running_sentinel(own_redis) as port:
            sentinel = make([("127.0.0.1", port)], socket_timeout=2)
            primary: Any = sentinel.master_for("main")
            assert RedisStore(primary).claim(new_id(), "a", TTL) is Claim.CLAIMED
            primary.close()
            sentinel.sentinels[0].close()

            async def use() -> Claim:
                sentinel = make_async([("127.0.0.1", port)], socket_timeout=2)
                primary: Any = sentinel.master_for("main")
                found = await RedisStore(primary).aclaim(new_id(), "a", TTL)
                await primary.aclose()
                await sentinel.sentinels[0].aclose()
                return found

            assert asyncio.run(use()) is Claim.CLAIMED
            sentinel = make([("127.0.0.1", port)], socket_timeout=2)
            other: Any = sentinel.master_for("other")
            assert problem(other, False) == "the Sentinels know no primary of that name"
            other.close()
            sentinel.sentinels[0].close()

    def test_as_a_setting(self, redis_url: str) -> None:
        """The configuration takes a client for remembered answers, and does not show it."""
        import dataclasses

        sandbox = Sandbox()
        user = sandbox.create_user()
        with redis.Redis.from_url(redis_url) as shared:
            config = dataclasses.replace(sandbox.config, redis_url=shared)
            assert "redis" not in repr(config).lower()
            for _ in range(2):
                with HexclaveClient(config) as client:
                    assert not client.has_permission(user.id, "read_logs")
        assert sandbox.count("/project-permissions") == 1

    @pytest.mark.parametrize("server", [redis.Redis, redis.asyncio.Redis, object(), 5])
    def test_what_is_none(self, server: Any) -> None:
        """Neither a URL nor a client: refused at the start."""
        with pytest.raises(ConfigurationError, match="redis_url"):
            RedisStore(server)
        with pytest.raises(ConfigurationError, match="redis_url"):
            HexclaveConfig(**_settings(), redis_url=server)


def test_other_errors_are_not_taken_for_a_fail_over(redis_url: str, key_of_another_type: str) -> None:
    """An error of a script is said once, and its connection is kept."""
    scripts = RedisScripts(redis_url, 1)
    calls: list[str] = []
    scripts._client.connection_pool.disconnect = lambda **_: calls.append("dropped")
    with pytest.raises(RedisUnavailable, match="another program"):
        scripts.run("return redis.call('GET', KEYS[1])", [key_of_another_type], [])
    assert calls == []
    scripts.close()


@pytest.fixture
def key_of_another_type(redis_url: str) -> str:
    key = new_id()
    with redis.Redis.from_url(redis_url) as client:
        client.lpush(key, "x")
    return key
