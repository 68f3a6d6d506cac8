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

from hexclave_integrations import (
    ApiKeyNotFound,
    AsyncHexclaveClient,
    ConfigurationError,
    HexclaveClient,
    HexclaveConfig,
    ProductRequired,
    Unavailable,
)
from hexclave_integrations._memory.fleet import FleetMemory
from hexclave_integrations._memory.redis import RedisScripts, RedisUnavailable
from hexclave_integrations._policy import events
from hexclave_integrations._policy.asking import FLEET_TTL
from hexclave_integrations._policy.effects import UseFleet
from hexclave_integrations._wire.messages import Reply
from hexclave_integrations.requirements import require_item, require_product
from hexclave_integrations.testing import Sandbox

from ._server import core_of
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


def test_products_are_one_question_for_the_whole_fleet(make_client: Callable[..., Any], redis_url: str) -> None:
    """Every page of them, for who owns one and for who does not; a balance is asked for each time."""
    sandbox = Sandbox()
    owner, other = sandbox.create_user(), sandbox.create_user()
    for number in range(101):
        sandbox.define_product(f"product-{number}")
        sandbox.grant_product(f"product-{number}", owner)
    sandbox.items.set("credits", owner, 1)
    users = [HexclaveClient(sandbox.config).verify_token(sandbox.token(user)) for user in (owner, other)]
    config, asked = of_fleet(sandbox, redis_url), len(sandbox.requests)
    for _ in range(3):
        client = make_client(config)
        assert client.authorize(require_product("product-100"), users[0]) == users[0]
        with pytest.raises(ProductRequired):
            client.authorize(require_product("product-100"), users[1])
    assert len(sandbox.requests) - asked == 3  # two pages, and an empty one
    for _ in range(2):
        make_client(config).authorize(require_item("credits"), users[0])
    assert len(sandbox.requests) - asked == 5


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


def test_deployments_on_one_redis_do_not_meet(make_client: Callable[..., Any], redis_url: str) -> None:
    """Staging made from production has its project and user ids, and answers of its own."""
    production = Sandbox()
    staging = Sandbox(project_id=production.config.project_id)
    user = staging.create_user()
    staging.grant(user, "read_logs")
    urls = ("https://api.hexclave.example", "https://api.staging.hexclave.example")
    answers = [
        make_client(of_fleet(sandbox, redis_url, api_url=url)).has_permission(user.id, "read_logs")
        for sandbox, url in ((staging, urls[1]), (production, urls[0]))
    ]

    assert answers == [True, False]
    with redis.Redis.from_url(redis_url, decode_responses=True) as server:
        names = set(server.scan_iter(f"*:{production.config.project_id}:sequence"))
    assert names == {f"hexclave:{quote(url, safe='')}:{production.config.project_id}:sequence" for url in urls}


def test_nothing_is_copied_back_while_the_fleet_is_told(redis_url: str) -> None:
    """A question between two steps of forgetting may still hear the old answer; after the last step nobody does."""
    sandbox = Sandbox()
    user = sandbox.create_user()
    sandbox.grant(user, "read_logs")
    client = HexclaveClient(of_fleet(sandbox, redis_url))
    assert client.has_permission(user.id, "read_logs")
    sandbox.revoke(user, "read_logs")

    flow = events.forget(core_of(client), "project_permission.deleted", {"id": "read_logs", "user_id": user.id})
    effect = next(flow)
    while True:
        client.has_permission(user.id, "read_logs")
        assert isinstance(effect, UseFleet)
        outcome = getattr(effect.memory, effect.operation)(*effect.arguments)
        client.has_permission(user.id, "read_logs")
        try:
            effect = flow.send(outcome)
        except StopIteration:
            break

    assert not client.has_permission(user.id, "read_logs")


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["Redis fails", "cancelled"])
def test_this_process_forgets_although_the_fleet_cannot_be_told(fleet: HexclaveConfig, is_cancelled: bool) -> None:
    """What happens to Redis, or to the request of the webhook, does not keep an old answer in this process."""
    core = core_of(HexclaveClient(fleet))
    for cache in (core.answers, core.api_keys):
        cache.put("question", "answer", now=core.clock(), ttl=60, tags=("user:1",))
    flow = events.forget(core, "user.deleted", {"id": "1"})
    assert isinstance(next(flow), UseFleet)
    if is_cancelled:
        flow.close()
    else:
        with pytest.raises(Unavailable):
            flow.throw(RedisUnavailable("ConnectionError"))

    assert core.answers.get("question", core.clock()) is None
    assert core.api_keys.get("question", core.clock()) is None


def test_a_deleted_team_takes_its_api_keys_along(make_client: Callable[..., Any], redis_url: str) -> None:
    """`team.deleted` makes the fleet forget the team's keys, and those of nobody else."""
    sandbox, clock = Sandbox(), Moment()
    team, other = sandbox.create_team(), sandbox.create_team()
    key, kept = (sandbox.create_api_key(team=one) for one in (team, other))
    config = of_fleet(sandbox, redis_url)
    first, second, third = (make_client(config, clock) for _ in range(3))
    for client in (first, second):
        assert (client.check_api_key(key.value).id, client.check_api_key(kept.value).id) == (key.id, kept.id)
    assert sandbox.count("/team-api-keys/check") == 2

    sandbox.delete_team(team)
    first.notice("team.deleted", {"id": team.id.upper()})
    clock.now += FLEET_TTL
    for client in (first, second, third):  # the third remembers nothing by itself
        with pytest.raises(ApiKeyNotFound):
            client.check_api_key(key.value)
        assert client.check_api_key(kept.value).id == kept.id
    assert sandbox.count("/team-api-keys/check") == 3


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


def test_redis_away_is_written_down_once(own_redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """Requests while Redis is away do not fill the log."""
    memory = FleetMemory(RedisScripts(own_redis.url, 1), API, str(uuid.uuid4()))
    own_redis.stop()
    for _ in range(20):
        memory._away_until = 0
        assert memory.recall("question", ["tag"]).reply is None

    assert [record.getMessage() for record in caplog.records] == [
        "Redis cannot be asked for remembered answers: nobody listens there (connection refused)"
    ]


FORK = """
import ctypes, os, sys, time
import redis
from hexclave_integrations._memory.redis import RedisScripts

scripts = RedisScripts(URL, 5)
assert scripts.run("return 1", [], []) == 1
child = ctypes.PyDLL(None).fork()  # as uWSGI does: no hook of Python's runs
if child == 0:
    code = 1
    try:
        assert scripts.run("return 2", [], []) == 2
        time.sleep(1)  # the parent counts meanwhile
        code = 0
    finally:
        os._exit(code)
with redis.Redis.from_url(URL) as observer:
    deadline = time.monotonic() + 20
    while len(observer.client_list()) < 3 and time.monotonic() < deadline:  # the parent's, the child's, this one
        time.sleep(0.01)
    print(len(observer.client_list()))
for number in range(50):
    assert scripts.run("return tonumber(ARGV[1])", [], [str(number)]) == number
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_child_of_a_fork_in_c_has_connections_of_its_own(own_redis: Redis) -> None:
    """Replies to one process never reach the other."""
    script = f"URL = {own_redis.url!r}\n{FORK}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert (done.stdout, done.stderr, done.returncode) == ("3\n", "", 0)


def test_a_url_that_is_none_stops_the_start(fleet: HexclaveConfig) -> None:
    """The error names the setting, and not the password in it."""
    with pytest.raises(ConfigurationError, match="redis_url") as caught:
        HexclaveClient(dataclasses.replace(fleet, redis_url="http://user:hunter2@redis"))

    assert "hunter2" not in str(caught.value)


def test_unavailable_redis_is_named_without_its_url() -> None:
    """The text of the failure says what is wrong."""
    scripts = RedisScripts(f"redis://:hunter2@127.0.0.1:{free_port()}/0", 0.2)
    with pytest.raises(RedisUnavailable) as caught:
        scripts.run("return 1", [], [])

    assert str(caught.value) == "nobody listens there (connection refused)"


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
