"""Remembered answers in Redis: shared by a fleet, forgotten by all of it at once, and never an "allow" by mistake."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import redis

from hexclave_integrations import AsyncHexclaveClient, ConfigurationError, HexclaveClient, HexclaveConfig, Unavailable
from hexclave_integrations._memory.fleet import FleetMemory
from hexclave_integrations._memory.redis import RedisScripts, RedisUnavailable
from hexclave_integrations._policy.questions import FLEET_TTL
from hexclave_integrations._wire.messages import Reply
from hexclave_integrations.testing import Sandbox

from ._services import Redis, free_port

API = "https://api.hexclave.com"
REPLY = Reply(200, {}, b'{"items": []}')


class Moment:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["sync", "async"])
def make_client(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a client of a process of the fleet; its methods are called without a loop in both colours."""

    class Waiting:
        def __init__(self, client: AsyncHexclaveClient) -> None:
            self._client = client

        def __getattr__(self, name: str) -> Any:
            return lambda *args: asyncio.run(getattr(self._client, name)(*args))

    def make(config: HexclaveConfig, clock: Callable[[], float] = time.time) -> Any:
        if request.param == "sync":
            return HexclaveClient(config, clock=clock)
        return Waiting(AsyncHexclaveClient(config, clock=clock))

    return make


@pytest.fixture
def fleet(redis_url: str) -> HexclaveConfig:
    """The settings of a fleet; every sandbox is a project of its own, so keys do not meet."""
    return dataclasses.replace(Sandbox().config, redis_url=redis_url)


def of_fleet(sandbox: Sandbox, redis_url: str, **changes: Any) -> HexclaveConfig:
    return dataclasses.replace(sandbox.config, redis_url=redis_url, **changes)


def test_one_question_for_the_whole_fleet(make_client: Callable[..., Any], redis_url: str) -> None:
    """What one process asked, the others know: permissions, memberships, API keys, and that there is none."""
    sandbox = Sandbox()
    user, stranger, team = sandbox.create_user(), sandbox.create_user(), sandbox.create_team()
    sandbox.grant(user, "export_reports", team=team)
    key = sandbox.create_api_key(user=user)
    config = of_fleet(sandbox, redis_url)
    answers = []
    for _ in range(3):
        client = make_client(config)
        answers.append(
            (
                client.has_permission(user.id, "export_reports", team.id),
                client.has_permission(stranger.id, "export_reports", team.id),
                client.list_permissions(user.id),
                client.is_team_member(user.id, team.id),
                client.is_team_member(stranger.id, team.id),
                client.check_api_key(key.value).id,
            )
        )

    assert answers == [(True, False, frozenset(), True, False, key.id)] * 3
    assert len(sandbox.requests) == 7  # a key is one question, its owner another


@pytest.mark.parametrize(
    ("change", "kind", "data"),
    [
        pytest.param(
            lambda s, u, t: s.revoke(u, "export_reports", team=t),
            "team_permission.deleted",
            lambda u, t: {"id": "export_reports", "team_id": t.id, "user_id": u.id},
            id="permission",
        ),
        pytest.param(
            lambda s, u, t: s.remove_member(t, u),
            "team_membership.deleted",
            lambda u, t: {"team_id": t.id, "user_id": u.id},
            id="membership",
        ),
        pytest.param(lambda s, u, t: s.delete_team(t), "team.deleted", lambda u, t: {"id": t.id}, id="team"),
        pytest.param(lambda s, u, t: s.delete_user(u), "user.deleted", lambda u, t: {"id": u.id.upper()}, id="user"),
    ],
)
def test_an_event_is_heard_by_the_whole_fleet(
    make_client: Callable[..., Any], redis_url: str, change: Any, kind: str, data: Any
) -> None:
    """One process receives the webhook, and the others refuse once they look into Redis again."""
    sandbox, clock = Sandbox(), Moment()
    user, team = sandbox.create_user(), sandbox.create_team()
    sandbox.grant(user, "export_reports", team=team)
    config = of_fleet(sandbox, redis_url)
    first, second = make_client(config, clock), make_client(config, clock)
    assert first.has_permission(user.id, "export_reports", team.id)
    assert second.has_permission(user.id, "export_reports", team.id)

    change(sandbox, user, team)
    first.notice(kind, data(user, team))
    assert not first.has_permission(user.id, "export_reports", team.id)
    clock.now += FLEET_TTL

    assert not second.has_permission(user.id, "export_reports", team.id)


def test_a_restricted_owner_is_noticed(make_client: Callable[..., Any], redis_url: str) -> None:
    """`user.updated` makes the fleet look at the owner of an API key again."""
    from hexclave_integrations import RestrictedNotAllowed
    from hexclave_integrations.requirements import require_api_key

    sandbox, clock = Sandbox(), Moment()
    user = sandbox.create_user()
    key = sandbox.create_api_key(user=user)
    first, second = (HexclaveClient(of_fleet(sandbox, redis_url), clock=clock) for _ in range(2))
    for client in (first, second):
        client.admit(require_api_key, client.attempt({"x-api-key": key.value}))

    sandbox.restrict(user)
    first.notice("user.updated", {"id": user.id})
    clock.now += FLEET_TTL

    for client in (first, second):
        with pytest.raises(RestrictedNotAllowed):
            client.admit(require_api_key, client.attempt({"x-api-key": key.value}))


def test_an_answer_under_way_does_not_survive_a_drop(redis_url: str) -> None:
    """What was asked for before a revocation and comes after it is not remembered as if it were newer."""
    answers = FleetMemory(RedisScripts(redis_url, 1), API, str(uuid.uuid4()))
    sequence = answers.recall("question", ["tag"]).sequence
    assert sequence is not None
    answers.forget(["tag"])
    answers.remember("question", REPLY, sequence, 60)

    assert answers.recall("question", ["tag"]).reply is None


def test_an_answer_lives_from_when_it_was_asked_for(redis_url: str) -> None:
    """A server that hung runs what it was sent when it wakes: an answer that is over by then is not remembered."""
    project = str(uuid.uuid4())
    answers = FleetMemory(RedisScripts(redis_url, 1), API, project)
    sequence = answers.recall("question", ["tag"]).sequence
    assert sequence is not None
    time.sleep(0.1)

    answers.remember("question", REPLY, sequence, 0.05)
    assert answers.recall("question", ["tag"]).reply is None
    answers.remember("question", REPLY, sequence, 60)
    assert answers.recall("question", ["tag"]).reply == REPLY
    with redis.Redis.from_url(redis_url) as server:
        (key,) = server.scan_iter(f"*:{project}:answer:*")
        assert 0 < server.pttl(key) <= 59_900


def test_an_answer_never_lives_longer_than_its_time(redis_url: str) -> None:
    """Nor where the server's clock was set back meanwhile; and forgotten tags are known for longer than any answer."""
    project = str(uuid.uuid4())
    answers = FleetMemory(RedisScripts(redis_url, 1), API, project)
    number, _, asked = str(answers.recall("question", ["tag"]).sequence).partition("@")

    answers.remember("question", REPLY, f"{number}@{int(asked) + 3_600_000}", 60)
    answers.forget(["tag"])
    with redis.Redis.from_url(redis_url) as server:
        (answer,) = server.scan_iter(f"*:{project}:answer:*")
        (forgotten,) = server.scan_iter(f"*:{project}:forgotten:*")
        assert 0 < server.pttl(answer) <= 60_000
        assert server.ttl(forgotten) > 3600


def test_a_lost_sequence_does_not_go_back(redis_url: str) -> None:
    """After Redis lost its memory, an older answer still counts as older than the next forgotten tag."""
    project = str(uuid.uuid4())
    scripts = RedisScripts(redis_url, 1)
    answers = FleetMemory(scripts, API, project)
    for _ in range(3):
        answers.forget(["other"])  # so that a sequence that began anew would be behind
    sequence = answers.recall("question", ["tag"]).sequence
    assert sequence is not None
    time.sleep(1.1)  # the sequence begins with the second
    scripts.run("return redis.call('DEL', KEYS[1])", [f"hexclave:{quote(API, safe='')}:{project}:sequence"], [])
    answers.remember("question", REPLY, sequence, 60)
    answers.forget(["tag"])

    assert answers.recall("question", ["tag"]).reply is None


@pytest.mark.parametrize(
    "entry", ["", "x", "1|", "1|{}", "1|[1]", '99999999999999999|["x", {}, ""]', "99999999999999999|null"]
)
def test_a_spoilt_entry_is_as_good_as_none(make_client: Callable[..., Any], redis_url: str, entry: str) -> None:
    """Whatever stands in Redis under our key, the answer is Hexclave's."""
    sandbox = Sandbox()
    user = sandbox.create_user()
    sandbox.grant(user, "read_logs")
    key = f"hexclave:{quote(sandbox.config.api_url, safe='')}:{sandbox.config.project_id}:answer:permissions:{user.id}"
    RedisScripts(redis_url, 1).run("return redis.call('SET', KEYS[1], ARGV[1])", [key], [entry])

    assert make_client(of_fleet(sandbox, redis_url)).has_permission(user.id, "read_logs")


def test_projects_on_one_redis_do_not_meet(redis_url: str) -> None:
    """The same user id in two projects has two answers."""
    one, other = (FleetMemory(RedisScripts(redis_url, 1), API, str(uuid.uuid4())) for _ in range(2))
    sequence = one.recall("question", []).sequence
    assert sequence is not None
    one.remember("question", REPLY, sequence, 60)

    assert one.recall("question", []).reply is not None
    assert other.recall("question", []).reply is None


def test_no_secret_is_kept(redis_url: str) -> None:
    """Redis holds digests of API keys and no key, token or server key."""
    import redis

    sandbox = Sandbox()
    key = sandbox.create_api_key(user=sandbox.create_user())
    HexclaveClient(of_fleet(sandbox, redis_url)).check_api_key(key.value)
    with redis.Redis.from_url(redis_url, decode_responses=True) as server:
        names = list(server.scan_iter(f"hexclave:*:{sandbox.config.project_id}:*"))
        kept = repr([(name, server.get(name)) for name in names])

    assert len(names) == 3
    assert key.value not in kept
    assert str(sandbox.config.secret_server_key) not in kept


def test_redis_away_costs_speed_and_nothing_else(make_client: Callable[..., Any], own_redis: Redis) -> None:
    """Without Redis, and with one that hangs, Hexclave is asked; a webhook is then not acknowledged."""
    sandbox, clock = Sandbox(), Moment()
    user = sandbox.create_user()
    sandbox.grant(user, "read_logs")
    client = make_client(of_fleet(sandbox, own_redis.url), clock)
    assert client.has_permission(user.id, "read_logs")

    own_redis.pause()
    clock.now += FLEET_TTL
    sandbox.revoke(user, "read_logs")
    assert not client.has_permission(user.id, "read_logs")
    own_redis.resume()
    own_redis.stop()
    with pytest.raises(Unavailable):
        client.notice("project_permission.deleted", {"id": "read_logs", "user_id": user.id})

    own_redis.start()
    client.notice("project_permission.deleted", {"id": "read_logs", "user_id": user.id})


def test_zero_ttl_is_not_shared(make_client: Callable[..., Any], redis_url: str) -> None:
    """`permission_ttl=0` asks Hexclave every time, Redis or not."""
    sandbox = Sandbox()
    user = sandbox.create_user()
    client = make_client(of_fleet(sandbox, redis_url, permission_ttl=0))
    for _ in range(3):
        client.list_permissions(user.id)

    assert sandbox.count("/project-permissions") == 3


def test_a_url_that_is_none_stops_the_start(fleet: HexclaveConfig) -> None:
    """The error names the setting, and not the password in it."""
    with pytest.raises(ConfigurationError, match="redis_url") as caught:
        HexclaveClient(dataclasses.replace(fleet, redis_url="http://user:hunter2@redis"))

    assert "hunter2" not in str(caught.value)


def test_unavailable_redis_is_named_without_its_url() -> None:
    """The text of the failure is the kind of it."""
    scripts = RedisScripts(f"redis://:hunter2@127.0.0.1:{free_port()}/0", 0.2)
    with pytest.raises(RedisUnavailable) as caught:
        scripts.run("return 1", [], [])

    assert str(caught.value) == "ConnectionError"


@contextlib.contextmanager
def process(environ: dict[str, str]) -> Iterator[str]:
    """One process of the fleet; yields its URL."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests._fleet_app:app", "--port", str(port), "--log-level", "warning"]
    server = subprocess.Popen(command, env={**os.environ, **environ})
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/")
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def test_a_revocation_reaches_the_other_process_within_a_second(redis_url: str) -> None:
    """Two real servers: the webhook of a revocation goes to one, and the other refuses within a second."""
    sandbox = Sandbox()
    user, team = sandbox.create_user(), sandbox.create_team()
    sandbox.grant(user, "export_reports", team=team)
    with sandbox.serve() as api:
        environ = {
            "HEXCLAVE_API_URL": api,
            "HEXCLAVE_PROJECT_ID": sandbox.config.project_id,
            "HEXCLAVE_SECRET_SERVER_KEY": str(sandbox.config.secret_server_key),
            "HEXCLAVE_WEBHOOK_SECRET": sandbox.config.webhook_secrets[0],
            "HEXCLAVE_REDIS_URL": redis_url,
        }
        headers = sandbox.headers(user)
        with process(environ) as first, process(environ) as second:
            path = f"/teams/{team.id}/export"
            assert [httpx.get(url + path, headers=headers).status_code for url in (first, second)] == [200, 200]
            with sandbox.deliver_webhooks_to(f"{first}/webhooks/hexclave"):
                sandbox.revoke(user, "export_reports", team=team)
                sandbox.flush_webhooks()
            assert [delivery.status for delivery in sandbox.deliveries] == [200]
            time.sleep(1)
            answers = [httpx.get(url + path, headers=headers).status_code for url in (first, second)]

    assert answers == [403, 403]
