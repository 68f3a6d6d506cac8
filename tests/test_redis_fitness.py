"""Redis as people run it: a cluster is refused, a server that evicts is spoken of, a user with few rights is enough."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from hexclave_integrations import AsyncHexclaveClient, ConfigurationError, HexclaveClient, HexclaveConfig
from hexclave_integrations._adapter.check import check
from hexclave_integrations._memory.redis_fitness import read_info
from hexclave_integrations.stores import Claim, RedisStore
from hexclave_integrations.testing import Sandbox

from ._server import DRIVE_IDS, DRIVES, Drive
from ._services import LIMIT, Redis, _wait_until_ready, do_without, free_port
from ._webhooks import new_id


@pytest.fixture(params=DRIVES, ids=DRIVE_IDS)
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    driving: Drive = request.param()
    yield driving
    driving.end()


@pytest.fixture(scope="module")
def cluster() -> Iterator[int]:
    """A Redis Cluster of one server that has all slots; its port."""
    binary = shutil.which("redis-server")
    if binary is None:
        do_without("redis-server is not installed")
    with tempfile.TemporaryDirectory(prefix="redis-") as name:
        port, bus = free_port(), free_port()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", name]
        options += ["--cluster-enabled", "yes", "--cluster-port", str(bus)]
        with (Path(name) / "redis.log").open("ab") as log:
            process = subprocess.Popen([binary, *options], stdout=log, stderr=log, start_new_session=True)
        with redis.Redis(port=port, decode_responses=True) as admin:

            def answers() -> bool:
                try:
                    return bool(admin.ping())
                except redis.RedisError:
                    return False

            try:
                _wait_until_ready(process, answers, Path(name) / "redis.log")
                admin.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
                end = time.monotonic() + LIMIT
                while "cluster_state:ok" not in str(admin.execute_command("CLUSTER", "INFO")):
                    assert time.monotonic() < end
                    time.sleep(0.05)
                yield port
            finally:
                process.kill()
                process.wait(20)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "hexclave_integrations"]


def redis_line(config: HexclaveConfig) -> tuple[str, str]:
    return next((found.state, found.text) for found in check(config) if found.what == "Redis")


# --- clusters -----------------------------------------------------------------------------------------------


def test_a_url_of_a_cluster_stops_the_start(drive: Drive, cluster: int) -> None:
    """`warm`, which applications call as they start, says so in words; so does `hexclave check`."""
    sandbox = Sandbox()
    config = dataclasses.replace(sandbox.config, redis_url=f"redis://127.0.0.1:{cluster}/0")
    with pytest.raises(ConfigurationError, match="Cluster"):
        drive.run(drive.client(config), "warm")
    if not drive.is_async:
        assert redis_line(config)[0] == "wrong"
        assert "Cluster" in redis_line(config)[1]


def test_where_nobody_warms_the_log_says_it(drive: Drive, cluster: int, caplog: pytest.LogCaptureFixture) -> None:
    """Requests go on without a shared memory."""
    sandbox = Sandbox()
    user = sandbox.create_user()
    client = drive.client(dataclasses.replace(sandbox.config, redis_url=f"redis://127.0.0.1:{cluster}/0"))
    with caplog.at_level(logging.WARNING):
        assert drive.run(client, "verify_token", sandbox.token(user)).id == user.id
    assert sum("Redis Cluster" in line for line in said(caplog)) == 1


def test_a_client_of_a_cluster_is_refused(cluster: int) -> None:
    """By both clients and by the store, before anything is asked."""
    config = Sandbox().config
    with redis.RedisCluster(host="127.0.0.1", port=cluster) as client:
        with pytest.raises(ConfigurationError, match="Cluster"):
            RedisStore(client)
        for kind in (HexclaveClient, AsyncHexclaveClient):
            with pytest.raises(ConfigurationError, match="Cluster"):
                kind(dataclasses.replace(config, redis_url=client))

    async def use() -> None:
        client: Any = redis.asyncio.RedisCluster(host="127.0.0.1", port=cluster)
        try:
            with pytest.raises(ConfigurationError, match="Cluster"):
                RedisStore(client)
        finally:
            await client.aclose()

    asyncio.run(use())


# --- eviction -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "limit", "is_told"),
    [
        ("allkeys-lru", "100mb", True),
        ("volatile-ttl", "100mb", True),
        ("allkeys-random", "100mb", True),
        ("noeviction", "100mb", False),
        ("allkeys-lru", "0", False),
    ],
)
def test_a_server_that_evicts_is_told_once(
    drive: Drive, own_redis: Redis, policy: str, limit: str, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What a webhook made untrue may be lost there; the application starts all the same."""
    with redis.Redis.from_url(own_redis.url) as admin:
        admin.config_set("maxmemory", limit)
        admin.config_set("maxmemory-policy", policy)
    config = dataclasses.replace(Sandbox().config, redis_url=own_redis.url)
    client = drive.client(config)
    with caplog.at_level(logging.WARNING):
        assert drive.run(client, "warm")
        assert drive.run(client, "warm")
    assert sum("evict" in line and policy in line for line in said(caplog)) == is_told
    if not drive.is_async:
        assert redis_line(config)[0] == ("wrong" if is_told else "ok")


def test_info_is_read_strictly() -> None:
    """What is no INFO says nothing, and a policy that nobody knows is not repeated."""
    assert read_info(None) is None
    assert read_info(["x"]) is None
    for text in ("", "garbage", "redis_mode:standalone\r\nmaxmemory:1\r\nmaxmemory_policy:<script>\r\n"):
        found = read_info(text)
        assert found is not None
        assert found.complaint is None


# --- rights -------------------------------------------------------------------------------------------------

RIGHTS = ("~hexclave:*", "+eval", "+get", "+set", "+del", "+incr", "+expire", "+pexpire", "+time")


def test_a_user_with_few_rights(drive: Drive, own_redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """Scripts on our own names are enough, and what INFO would tell is done without in silence."""
    with redis.Redis.from_url(own_redis.url) as admin:
        admin.execute_command("ACL", "SETUSER", "kit", "on", ">hush", "resetkeys", *RIGHTS)
    url = own_redis.url.replace("//", "//kit:hush@")
    sandbox = Sandbox()
    user, team = sandbox.create_user(), sandbox.create_team()
    sandbox.grant(user, "export_reports", team=team)
    config = dataclasses.replace(sandbox.config, redis_url=url)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            client = drive.client(config)
            assert drive.run(client, "warm")
            assert drive.run(client, "has_permission", user.id, "export_reports", team.id)
        drive.run(client, "notice", "team_permission.deleted", {"team_id": team.id, "user_id": user.id})
        store = RedisStore(url)
        delivery = new_id()
        assert store.claim(delivery, "a", 5) is Claim.CLAIMED
        store.done(delivery, "a", 5)
        assert store.claim(delivery, "b", 5) is Claim.DONE
        store.close()
    assert said(caplog) == []
    assert sandbox.count("/team-permissions") == 1
    assert sandbox.count("jwks.json") == 1
    if not drive.is_async:
        assert redis_line(config) == ("ok", "it answers.")
