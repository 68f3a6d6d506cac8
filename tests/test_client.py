"""The clients: the same in both colours, permissions for a crowd, live checks, transports, and what reaches the log."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from werkzeug.test import EnvironBuilder

from hexclave_integrations import (
    AnonymousNotAllowed,
    AsyncHexclaveClient,
    ConfigurationError,
    HexclaveClient,
    HexclaveUser,
    InvalidToken,
    NotAuthenticated,
    RestrictedNotAllowed,
    ServerKeyRefused,
    SessionEnded,
    TeamPermissionRequired,
    Unavailable,
)
from hexclave_integrations._drivers import AsyncDriver
from hexclave_integrations._memory import caches
from hexclave_integrations._policy.state import Core
from hexclave_integrations.requirements import (
    optional_user,
    require_api_key,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
)
from hexclave_integrations.testing import Sandbox, SandboxTeam, SandboxUser

from ._server import (
    CROWD,
    DRIVE_IDS,
    DRIVES,
    LIMIT,
    Clock,
    Drive,
    Server,
    core_of,
    error_of,
    gated,
    relay,
    settings,
    wait_for_refresh,
)

UNKNOWN = "11111111-1111-4111-8111-111111111111"


@pytest.fixture(params=DRIVES, ids=DRIVE_IDS)
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    driving: Drive = request.param()
    yield driving
    driving.end()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Sandbox:
    return Sandbox(clock=clock)


@pytest.fixture
def user(sandbox: Sandbox) -> SandboxUser:
    return sandbox.create_user(display_name="Ada", primary_email="ada@example.com")


@pytest.fixture
def team(sandbox: Sandbox, user: SandboxUser) -> SandboxTeam:
    team = sandbox.create_team()
    sandbox.grant(user, "export_reports", team=team)
    return team


# --- the same in both colours ---------------------------------------------------------------------------------


def public(kind: type) -> dict[str, Any]:
    """The public methods of a client."""
    return {name: value for name, value in inspect.getmembers(kind, callable) if not name.startswith("_")}


METHODS = sorted(public(HexclaveClient))


def test_both_clients_have_the_same_methods() -> None:
    """What one can do the other can."""
    assert sorted(public(AsyncHexclaveClient)) == METHODS


@pytest.mark.parametrize("name", [*METHODS, "__init__"])
def test_both_clients_have_the_same_signatures(name: str) -> None:
    """Parameters, defaults, annotations and text agree; only the colour differs."""
    blocking, waiting = getattr(HexclaveClient, name), getattr(AsyncHexclaveClient, name)
    if name == "__init__":
        assert list(inspect.signature(blocking).parameters) == list(inspect.signature(waiting).parameters)
        return
    assert inspect.signature(blocking) == inspect.signature(waiting)
    assert (name not in ("attempt", "presume")) is inspect.iscoroutinefunction(waiting)
    assert not inspect.iscoroutinefunction(blocking)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", [HexclaveClient, AsyncHexclaveClient])
def test_every_method_is_documented(kind: type, name: str) -> None:
    """A contract in a sentence, ended by a full stop."""
    first = inspect.getdoc(public(kind)[name])

    assert first
    assert "." in first


def test_context_managers_are_of_the_clients_colour() -> None:
    """`with` for one, `async with` for the other."""
    assert {"__enter__", "__exit__"} <= set(dir(HexclaveClient))
    assert {"__aenter__", "__aexit__"} <= set(dir(AsyncHexclaveClient))
    assert not hasattr(HexclaveClient, "__aenter__")
    assert not hasattr(AsyncHexclaveClient, "__enter__")


# --- who ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["regular", "restricted", "anonymous"])
def test_authenticate_returns_users_of_every_kind(drive: Drive, kind: Any, sandbox: Sandbox, clock: Clock) -> None:
    """Who the caller is is one question, what they may do is another."""
    user = sandbox.create_user(kind)
    client = drive.client(sandbox.config, clock=clock)
    headers = sandbox.headers(user)
    for form in (headers, list(headers.items()), [(b"X-Stack-Access-Token", headers["x-stack-access-token"].encode())]):
        found = drive.run(client, "authenticate", form)
        assert (user.id, kind) == (found.id, found.kind)
    assert drive.run(client, "authenticate", {}) is None
    assert isinstance(error_of(drive, client, "authenticate", {"authorization": "Bearer nonsense"}), InvalidToken)
    assert len(sandbox.requests) == 1


def test_cookies_count_only_where_they_are_wanted(drive: Drive, sandbox: Sandbox, user: SandboxUser) -> None:
    """Without `accept_cookies` they are not even looked at."""
    token = sandbox.token(user)
    cookies = {"stack-refresh": "r", "stack-access": f'["r","{token}"]'}
    assert drive.run(drive.client(sandbox.config), "authenticate", {}, cookies) is None
    client = drive.client(replace(sandbox.config, accept_cookies=True))
    assert user.id == drive.run(client, "authenticate", {}, cookies).id


def test_admit_lets_through_or_refuses(drive: Drive, sandbox: Sandbox, user: SandboxUser, clock: Clock) -> None:
    """The whole decision in one call, with and without a remembered token."""
    client = drive.client(sandbox.config, clock=clock)
    restricted = sandbox.create_user("restricted")
    for _ in range(2):
        attempt = client.attempt(sandbox.headers(user))
        assert user.id == drive.run(client, "admit", require_user, attempt).id
        attempt = client.attempt(sandbox.headers(restricted))
        assert isinstance(error_of(drive, client, "admit", require_user, attempt), RestrictedNotAllowed)
        assert isinstance(error_of(drive, client, "admit", require_user, client.attempt({})), NotAuthenticated)
        assert drive.run(client, "admit", optional_user, client.attempt({})) is None


# --- permissions ----------------------------------------------------------------------------------------------


def test_crowd_asks_once_for_user_and_team(
    drive: Drive, sandbox: Sandbox, user: SandboxUser, team: SandboxTeam
) -> None:
    """However many checks of whatever permissions come at once, one question is asked."""
    with Server(gated(relay(sandbox))) as server:
        client = drive.client(settings(sandbox, server))
        names = ("export_reports", "$read_members", "nothing")
        opener = threading.Timer(0.3, server.gate.set)
        opener.start()
        outcomes = drive.crowd(client, (("has_permission", (user.id, names[n % 3], team.id)) for n in range(CROWD)))
        opener.join(LIMIT)

        assert [number % 3 != 2 for number in range(CROWD)] == outcomes
        assert len(server.targets) == 1


def test_permissions_are_asked_again_after_their_time(
    drive: Drive, sandbox: Sandbox, user: SandboxUser, team: SandboxTeam, clock: Clock
) -> None:
    """An answer serves for `permission_ttl`, a "no" as well as a "yes"."""
    stranger = sandbox.create_user()
    client = drive.client(sandbox.config, clock=clock)
    for seconds, expected in ((0, 1), (59, 1), (2, 2)):
        clock.advance(seconds)
        asked = [("has_permission", (one.id, "export_reports", team.id)) for one in (user, stranger) for _ in range(5)]
        assert drive.crowd(client, asked) == [True] * 5 + [False] * 5
        assert 2 * expected == sandbox.count("/team-permissions")
    sandbox.revoke(user, "export_reports", team=team)
    assert drive.run(client, "has_permission", user.id, "export_reports", team.id) is True
    clock.advance(61)
    assert drive.run(client, "has_permission", user.id, "export_reports", team.id) is False


def test_lifetime_of_zero_asks_every_time(drive: Drive, sandbox: Sandbox, user: SandboxUser, team: SandboxTeam) -> None:
    """`permission_ttl=0` remembers nothing and shares nothing."""
    client = drive.client(replace(sandbox.config, permission_ttl=0))
    for _ in range(3):
        drive.run(client, "has_permission", user.id, "export_reports", team.id)

    assert sandbox.count("/team-permissions") == 3
    assert len(core_of(client).answers) == 0


def test_memory_of_permissions_is_bounded(drive: Drive, sandbox: Sandbox) -> None:
    """A flood of teams cannot fill the process."""
    client = drive.client(sandbox.config)
    for number in range(caches.MAX_ANSWERS + 50):
        core_of(client).answers.put(number, "x", now=core_of(client).clock(), ttl=60)
    drive.run(client, "is_team_member", UNKNOWN, UNKNOWN)

    assert len(core_of(client).answers) == caches.MAX_ANSWERS


def test_failure_is_shared_and_soon_forgotten(
    drive: Drive, sandbox: Sandbox, user: SandboxUser, team: SandboxTeam, clock: Clock
) -> None:
    """A crowd meets an outage with one question; a second later the next one is asked."""
    client = drive.client(sandbox.config, clock=clock)
    call = ("has_permission", (user.id, "export_reports", team.id))
    with sandbox.outage():
        assert {Unavailable} == {type(outcome) for outcome in drive.crowd(client, [call] * CROWD)}
        assert len(sandbox.requests) == 1
    assert isinstance(error_of(drive, client, call[0], *call[1]), Unavailable)
    clock.advance(1.1)
    assert drive.crowd(client, [call] * CROWD) == [True] * CROWD
    assert len(sandbox.requests) == 2


@pytest.mark.parametrize(("seconds", "expected"), [(7, 7), (None, 1), (100_000, 300)], ids=["7", "missing", "absurd"])
def test_rate_limit_pauses_all_questions(
    drive: Drive, seconds: int | None, expected: int, sandbox: Sandbox, user: SandboxUser, clock: Clock
) -> None:
    """A 429 holds back every question for its time; tokens are verified all the same."""
    client = drive.client(sandbox.config, clock=clock)
    drive.run(client, "verify_token", sandbox.token(user))
    with sandbox.outage("rate_limit", retry_after=seconds):
        error = error_of(drive, client, "list_permissions", user.id)
    asked = len(sandbox.requests)

    assert isinstance(error, Unavailable)
    assert expected == error.retry_after
    clock.advance(expected - 0.5)
    assert isinstance(error_of(drive, client, "get_user", user.id), Unavailable)
    assert user.id == drive.run(client, "verify_token", sandbox.token(user, 10_000)).id
    assert asked == len(sandbox.requests)
    clock.advance(2)
    assert user.id == drive.run(client, "get_user", user.id).id


@pytest.mark.parametrize("kind", ["refused", "error", "garbage", "rate_limit"])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda team: require_permission(team.id, "export_reports"), id="permission"),
        pytest.param(lambda team: require_team(team.id), id="team"),
        pytest.param(lambda team: require_user.live(), id="live"),
        pytest.param(lambda team: require_project_permission("admin"), id="project permission"),
    ],
)
def test_outage_is_never_an_allow(
    drive: Drive, kind: Any, make: Any, sandbox: Sandbox, user: SandboxUser, team: SandboxTeam
) -> None:
    """No kind of failure lets anybody through or signs anybody out."""
    sandbox.grant(user, "admin")
    client = drive.client(sandbox.config)
    principal = drive.run(client, "verify_token", sandbox.token(user))
    with sandbox.outage(kind):
        error = error_of(drive, client, "authorize", make(team), principal)

    assert isinstance(error, Unavailable)
    assert error.status == 503


def test_refused_server_key_is_a_configuration_error_and_a_503(
    drive: Drive, sandbox: Sandbox, user: SandboxUser, caplog: pytest.LogCaptureFixture
) -> None:
    """Its owner reads about it in the log, the caller is told to come back."""
    client = drive.client(replace(sandbox.config, secret_server_key="ssk_wrong"))
    error = error_of(drive, client, "list_permissions", user.id)

    assert isinstance(error, ServerKeyRefused)
    assert isinstance(error, ConfigurationError)
    assert isinstance(error, Unavailable)
    assert "ssk_wrong" not in f"{error!r} {error.body()!r} {error.headers()} {caplog.text}"
    assert [record.levelname for record in caplog.records if record.name == "hexclave_integrations"] == ["ERROR"]


def test_questions_of_the_client_match_the_sandbox(
    drive: Drive, sandbox: Sandbox, user: SandboxUser, team: SandboxTeam
) -> None:
    """Users, permissions and memberships come out as they are there."""
    sandbox.grant(user, "access_admin_dashboard")
    client = drive.client(sandbox.config)
    found = drive.run(client, "get_user", user.id)

    assert (user.id, "regular", "Ada", "ada@example.com") == (
        found.id,
        found.kind,
        found.display_name,
        found.primary_email,
    )
    assert (found.session_id, found.expires_at) == (None, None)
    assert drive.run(client, "get_user", UNKNOWN) is None
    assert drive.run(client, "get_user", "me") is None
    held = {"team_member", "$read_members", "$invite_members", "export_reports"}
    assert held == drive.run(client, "list_permissions", user.id, team.id)
    assert {"access_admin_dashboard"} == drive.run(client, "list_permissions", user.id)
    assert frozenset() == drive.run(client, "list_permissions", user.id, UNKNOWN)
    assert frozenset() == drive.run(client, "list_permissions", UNKNOWN)
    assert drive.run(client, "has_permission", user.id, "access_admin_dashboard") is True
    assert drive.run(client, "has_permission", user.id, "access_admin_dashboard", team.id) is False
    assert drive.run(client, "is_team_member", user.id, team.id.upper()) is True
    assert drive.run(client, "is_team_member", user.id, UNKNOWN) is False
    assert drive.run(client, "is_team_member", UNKNOWN, team.id) is False


@pytest.mark.parametrize("kind", ["regular", "restricted", "anonymous"])
@pytest.mark.parametrize("with_server_key", [True, False], ids=["server", "client"])
def test_current_user_is_as_hexclave_knows_him(
    drive: Drive, kind: Any, with_server_key: bool, sandbox: Sandbox, clock: Clock
) -> None:
    """Every kind of user is told, with client access too; the session comes from the token."""
    user = sandbox.create_user(kind, display_name="Before")
    token = sandbox.token(user, claims={"name": "After"})
    config = sandbox.config if with_server_key else replace(sandbox.config, secret_server_key=None)
    client = drive.client(config, clock=clock)
    found = drive.run(client, "get_current_user", token)

    assert (user.id, kind, "Before", "After") == (found.id, found.kind, found.display_name, found.claims["name"])
    assert found.session_id is not None
    sandbox.delete_user(user)
    assert isinstance(error_of(drive, client, "get_current_user", token), SessionEnded)


# --- live -----------------------------------------------------------------------------------------------------


def test_live_requirement_follows_the_facts(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """Sign-out, another's session, deletion and restriction count at once; the token alone knows nothing of them."""
    client = drive.client(sandbox.config, clock=clock)
    live = require_user.live()

    def changed(change: Any) -> Any:
        user = sandbox.create_user()
        principal = drive.run(client, "verify_token", sandbox.token(user))
        assert user.id == drive.run(client, "authorize", live, principal).id
        principal = change(user, principal) or principal
        assert user.id == drive.run(client, "authorize", require_user, principal).id
        return type(error_of(drive, client, "authorize", live, principal))

    other = drive.run(client, "verify_token", sandbox.token(sandbox.create_user()))
    assert SessionEnded is changed(lambda user, _: sandbox.sign_out(user))
    assert SessionEnded is changed(lambda user, _: sandbox.delete_user(user))
    assert RestrictedNotAllowed is changed(lambda user, _: sandbox.restrict(user))
    assert SessionEnded is changed(lambda _, principal: replace(principal, session_id=other.session_id))
    assert SessionEnded is changed(lambda _, principal: replace(principal, session_id=None))


def test_user_without_a_session_is_refused_live(drive: Drive, sandbox: Sandbox, user: SandboxUser) -> None:
    """A user read from the API has no session to confirm, however many they have."""
    sandbox.token(user)
    client = drive.client(sandbox.config)
    found = drive.run(client, "get_user", user.id)

    assert isinstance(error_of(drive, client, "authorize", require_user.live(), found), SessionEnded)


def test_upgraded_anonymous_user_needs_a_new_session(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """An upgrade keeps the user and ends the old session: the old token is refused live, whatever it says."""
    user = sandbox.create_user("anonymous")
    client = drive.client(sandbox.config, clock=clock)
    live = require_user.allow(anonymous=True).live()
    old = drive.run(client, "verify_token", sandbox.token(user))
    assert drive.run(client, "authorize", live, old).kind == "anonymous"
    sandbox.sign_out(user)
    with sandbox._lock:
        sandbox._project.users[user.id].is_anonymous = False
    new = drive.run(client, "verify_token", sandbox.token(user))

    assert isinstance(error_of(drive, client, "authorize", live, old), SessionEnded)
    assert isinstance(error_of(drive, client, "authorize", require_user.live(), old), AnonymousNotAllowed)
    assert drive.run(client, "authorize", require_user.live(), new).kind == "regular"


def test_live_permission_is_asked_now(
    drive: Drive, sandbox: Sandbox, user: SandboxUser, team: SandboxTeam, clock: Clock
) -> None:
    """A remembered permission does not count for a live requirement."""
    requirement = require_permission(team.id, "export_reports")
    client = drive.client(sandbox.config, clock=clock)
    principal = drive.run(client, "verify_token", sandbox.token(user))
    assert user.id == drive.run(client, "authorize", requirement, principal).id
    sandbox.revoke(user, "export_reports", team=team)
    assert user.id == drive.run(client, "authorize", requirement, principal).id
    assert isinstance(error_of(drive, client, "authorize", requirement.live(), principal), TeamPermissionRequired)


# --- life, transports, environment ----------------------------------------------------------------------------


def test_closed_client_opens_again(drive: Drive, sandbox: Sandbox, user: SandboxUser) -> None:
    """Closing is about connections, not about the client; closing twice is closing once."""
    with sandbox.serve():
        client = drive.client(sandbox.config)
        for _ in range(2):
            assert user.id == drive.run(client, "get_user", user.id).id
            drive.run(client, "close")
            drive.run(client, "close")
        drive.end()


def test_context_managers_return_the_client(sandbox: Sandbox, user: SandboxUser) -> None:
    """They may be entered again, and let errors pass."""
    blocking, waiting = HexclaveClient(sandbox.config), AsyncHexclaveClient(sandbox.config)

    async def enter() -> None:
        async with waiting as entered:
            assert waiting is entered
            assert user.id == (await entered.verify_token(sandbox.token(user))).id

    for _ in range(2):
        with blocking as entered:
            assert blocking is entered
            assert user.id == entered.verify_token(sandbox.token(user)).id
        asyncio.run(enter())
    with pytest.raises(LookupError), blocking:
        raise LookupError


class Watched(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A caller's transport that remembers whether it was closed."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.inner: Any = sandbox.config.transport
        self.closed = False
        self.used = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.used += 1
        found: httpx.Response = self.inner.handle_request(request)
        return found

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("place", ["argument", "config"])
def test_transport_of_the_caller_is_used_and_never_closed(
    drive: Drive, place: str, sandbox: Sandbox, user: SandboxUser
) -> None:
    """It stays its owner's."""
    transport = Watched(sandbox)
    if place == "argument":
        client = drive.client(replace(sandbox.config, transport=None), transport=transport)
    else:
        client = drive.client(replace(sandbox.config, transport=transport))
    assert user.id == drive.run(client, "get_user", user.id).id
    drive.run(client, "close")
    assert user.id == drive.run(client, "get_user", user.id).id
    drive.run(client, "close")

    assert (transport.used, transport.closed) == (2, False)


def test_mock_transports_of_httpx_serve(drive: Drive, sandbox: Sandbox, user: SandboxUser) -> None:
    """`httpx.MockTransport` takes a function of either colour."""
    inner: Any = sandbox.config.transport

    async def waiting(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        found: httpx.Response = await inner.handle_async_request(request)
        return found

    handler: Any = waiting if drive.is_async else inner.handle_request
    client = drive.client(sandbox.config, transport=httpx.MockTransport(handler))

    assert user.id == drive.run(client, "verify_token", sandbox.token(user)).id
    assert user.id == drive.run(client, "get_user", user.id).id


def test_transport_of_the_wrong_colour_stops_the_start(drive: Drive, sandbox: Sandbox) -> None:
    """It is found out when the client is made."""

    class Half:
        def handle_other(self) -> None: ...

    transport: Any = Half()
    setattr(transport, "handle_request" if drive.is_async else "handle_async_request", print)
    with pytest.raises(ConfigurationError, match="transport"):
        drive.client(sandbox.config, transport=transport)


def test_client_without_configuration_reads_the_environment(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    """`HEXCLAVE_X` wins over `STACK_X`; without a project the start is stopped."""
    for prefix in ("HEXCLAVE", "STACK"):
        for name in ("PROJECT_ID", "SECRET_SERVER_KEY", "API_URL", "HTTP_TIMEOUT"):
            monkeypatch.delenv(f"{prefix}_{name}", raising=False)
    monkeypatch.setenv("STACK_PROJECT_ID", "internal")
    monkeypatch.setenv("HEXCLAVE_PROJECT_ID", UNKNOWN)
    monkeypatch.setenv("STACK_SECRET_SERVER_KEY", "ssk_x")
    monkeypatch.setenv("HEXCLAVE_HTTP_TIMEOUT", "1.5")
    client = drive.client(None)
    config = client.config
    assert (config.project_id, config.secret_server_key, config.http_timeout) == (UNKNOWN, "ssk_x", 1.5)
    monkeypatch.delenv("STACK_PROJECT_ID")
    monkeypatch.delenv("HEXCLAVE_PROJECT_ID")
    with pytest.raises(ConfigurationError, match="HEXCLAVE_PROJECT_ID"):
        drive.client(None)


def test_two_projects_in_one_process_know_nothing_of_each_other(drive: Drive) -> None:
    """There is no module state: each client has its own keys and memories."""
    boxes = Sandbox(), Sandbox()
    users = [box.create_user() for box in boxes]
    clients = [drive.client(box.config) for box in boxes]
    for box, user, client in zip(boxes, users, clients, strict=True):
        assert user.id == drive.run(client, "verify_token", box.token(user)).id
        other = boxes[1] if box is boxes[0] else boxes[0]
        stranger = other.create_user()
        assert error_of(drive, client, "verify_token", other.token(stranger)) is not None
        assert drive.run(client, "get_user", stranger.id) is None


# --- the log --------------------------------------------------------------------------------------------------


def test_no_secret_reaches_the_log(
    drive: Drive, sandbox: Sandbox, user: SandboxUser, team: SandboxTeam, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG, through success, refusal and every outage: no token, key or secret anywhere, no id in our own lines."""
    caplog.set_level(logging.DEBUG)
    key = sandbox.create_api_key(user=user)
    token = sandbox.token(user, 10_000)
    with sandbox.serve():
        config = sandbox.config
        client = drive.client(config, clock=clock)
        calls: list[tuple[str, tuple[Any, ...]]] = [
            ("authenticate", ({"x-stack-access-token": token},)),
            ("authenticate", ({"authorization": f"Bearer {token}x"},)),
            ("admit", (require_user.live(), client.attempt({"x-stack-access-token": token}))),
            ("admit", (require_api_key, client.attempt({"x-api-key": key.value}))),
            ("admit", (require_api_key.live(), client.attempt({"x-api-key": key.value}))),
            ("get_current_user", (token,)),
            ("list_permissions", (user.id, team.id)),
            ("list_permissions", (user.id,)),
            ("is_team_member", (user.id, team.id)),
            ("get_user", (user.id,)),
        ]
        for kind in (None, "refused", "error", "garbage", "rate_limit"):
            outage = sandbox.outage(kind) if kind else None
            clock.advance(700)
            for method, args in calls:
                error_of(drive, client, method, *args)
            wait_for_refresh()
            if outage:
                outage.end()
        wrong = drive.client(replace(config, secret_server_key="ssk_wrong"), clock=clock)
        error_of(drive, wrong, "list_permissions", user.id)
        drive.end()
    secrets = [token, token.split(".")[2], key.value, key.value[3:48], str(config.secret_server_key), "ssk_wrong"]
    secrets.append(str(config.publishable_client_key))
    lines = [(record.name, f"{record.getMessage()} {record.args!r} {record.exc_text}") for record in caplog.records]

    assert {"hexclave_integrations", "httpx"} <= {name for name, _ in lines}
    assert [line for _, line in lines if any(secret in line for secret in secrets)] == []
    # httpx itself names URLs at INFO, and with them ids: an application silences it with its level.
    ours = [line for name, line in lines if name == "hexclave_integrations"]
    assert [line for line in ours if any(one in line for one in (user.id, team.id, key.id, config.project_id))] == []


def test_values_of_the_package_show_no_secret(drive: Drive, sandbox: Sandbox, user: SandboxUser) -> None:
    """`repr` of what passes through an application's hands."""
    client = drive.client(sandbox.config)
    token = sandbox.token(user)
    attempt = client.attempt({"x-stack-access-token": token})
    principal = drive.run(client, "identify", attempt)
    shown = f"{client!r} {attempt!r} {principal!r} {core_of(client)!r} {sandbox.config!r}"

    assert isinstance(principal, HexclaveUser)
    for secret in (token, sandbox.config.secret_server_key, principal.session_id, "ada@example.com"):
        assert str(secret) not in shown


def test_twin_shares_the_state_and_makes_none(sandbox: Sandbox) -> None:
    """The async client of a process that answers in both colours knows what the other one knows."""
    client = HexclaveClient(sandbox.config)
    user = sandbox.create_user()
    token = sandbox.token(user)
    client.verify_token(token)
    sandbox.requests.clear()
    called = set()
    sys.setprofile(lambda frame, event, argument: called.add(frame.f_code))
    twin = client._twin()
    sys.setprofile(None)

    assert AsyncDriver.__init__.__code__ in called
    assert Core.__init__.__code__ not in called
    assert core_of(twin) is core_of(client)
    assert twin._driver.flights is client._driver.flights
    assert asyncio.run(twin.verify_token(token)).id == user.id
    assert sandbox.requests == []


def _no_headers(name: str) -> Any:
    token = {"x-stack-access-token": "x"}
    scope: Any = {"type": "http", "asgi": {"version": "3.0"}, "headers": [(b"x-stack-access-token", b"x")]}
    makers: dict[str, Callable[[], Any]] = {
        "environ": lambda: EnvironBuilder(headers=list(token.items())).get_environ(),
        "request.META under ASGI": lambda: {"HTTP_X_STACK_ACCESS_TOKEN": "x", "wsgi.multiprocess": True},
        "scope": lambda: scope,
        "request of Starlette": lambda: Request(scope),
        "request of Werkzeug": lambda: EnvironBuilder(headers=list(token.items())).get_request(),
        "request of httpx": lambda: httpx.Request("GET", "http://test", headers=token),
    }
    return makers[name]()


NO_HEADERS = ["environ", "request.META under ASGI", "scope"]
NO_HEADERS += ["request of Starlette", "request of Werkzeug", "request of httpx"]


@pytest.mark.parametrize("name", NO_HEADERS)
@pytest.mark.parametrize("use", ["attempt", "authenticate", "access_token"])
def test_what_is_no_headers(name: str, use: str) -> None:
    """An environ, a scope or a whole request is refused in words: nobody's token would be found in it."""
    config = Sandbox().config
    with HexclaveClient(config) as client, pytest.raises(ConfigurationError, match=r"pass request\.headers"):
        getattr(client, use)(_no_headers(name))

    async def with_loop() -> None:
        async with AsyncHexclaveClient(config) as client:
            found = getattr(client, use)(_no_headers(name))
            if use != "attempt":
                await found

    with pytest.raises(ConfigurationError, match=r"pass request\.headers"):
        asyncio.run(with_loop())


@pytest.mark.parametrize("header", ["wsgi.version", "asgi", "wsgi.multiprocess"])
def test_headers_that_are_called_like_that(header: str) -> None:
    """A stranger who sends such headers is who they are."""
    sandbox = Sandbox()
    alice = sandbox.create_user()
    for headers in ({}, sandbox.headers(alice)):
        for value in ("True", "(1, 0)", ""):
            with HexclaveClient(sandbox.config) as client:
                found = client.authenticate({header: value, **headers})
                repeated = client.authenticate([(header, value), (header.encode(), b"x"), *headers.items()])
            assert (found and found.id) == (repeated and repeated.id) == (alice.id if headers else None)
