"""The sandbox's webhooks: what a change sends, as a real server was seen to, and how it is delivered."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest

from hexclave_integrations.testing import Sandbox, SandboxUser
from hexclave_integrations.webhooks import WebhookEvent, Webhooks

from ._services import free_port
from ._webhooks import EVENTS, LIMIT

Told = list[tuple[str, Any]]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()


def accept(body: bytes, headers: Mapping[str, str]) -> int:
    return 200


class World:
    """A sandbox with an endpoint, the REST API as its server uses it, and what the endpoint was told of a change."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.webhooks = Webhooks(sandbox.config.webhook_secrets)
        self._told: list[WebhookEvent] = []
        self.webhooks.on("*")(self._told.append)
        sandbox.deliver_webhooks_to(self.webhooks.receive)
        config = sandbox.config
        self._http = httpx.Client(
            transport=config.transport,  # type: ignore[arg-type]  # its sync half
            base_url=f"{config.api_url}/api/v1",
            headers={"x-stack-project-id": config.project_id},
        )

    def api(self, method: str, path: str, body: Any = None, *, user: SandboxUser | None = None) -> int:
        """Make a request as the server, or as a user's browser; return its status."""
        key = {"x-stack-secret-server-key": str(self.sandbox.config.secret_server_key)}
        headers = {"x-stack-access-type": "server"} | key
        if user is not None:
            headers = {"x-stack-access-type": "client"} | self.sandbox.headers(user)
        return self._http.request(method, path, json=body, headers=headers).status_code

    def told(self) -> Told:
        """What came since the last time, in the order it was sent."""
        self.sandbox.flush_webhooks()
        told = [(event.type, dict(event.data)) for event in self._told]
        self._told.clear()
        return told

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def world(sandbox: Sandbox) -> Iterator[World]:
    world = World(sandbox)
    yield world
    world.close()


class Cast:
    """Who takes part: Ada is a member of `team`, Bob is not; both permissions are defined."""

    def __init__(self, world: World) -> None:
        self.sandbox = world.sandbox
        self.api = world.api
        self.ada = self.sandbox.create_user(primary_email="ada@example.com")
        self.bob = self.sandbox.create_user()
        self.team = self.sandbox.create_team("Hook Team")
        self.sandbox.add_member(self.team, self.ada)
        self.sandbox.define_permission("w_read")
        self.sandbox.define_permission("w_write", ["w_read"])
        self.sandbox.define_permission("w_user", scope="project")
        self.in_team = {"team_id": self.team.id, "user_id": self.ada.id}
        world.told()

    def is_of(self, user: SandboxUser) -> dict[str, str]:
        return {"team_id": self.team.id, "user_id": user.id}


def do(*changes: Callable[[], object]) -> None:
    for change in changes:
        change()


def fail(change: Callable[[], object]) -> None:
    with pytest.raises(LookupError):
        change()


Change = Callable[[Cast], object]
Expected = Callable[[Cast], Told]

# label of the recording, or what it is -> (through the sandbox's methods, through its REST API, what is told of it).
# A dictionary stands for any data that has at least its items. None: there is no such way.
CHANGES: dict[str, tuple[Change | None, Change | None, Expected]] = {
    "client updates own display name": (
        None,
        lambda c: c.api("PATCH", "/users/me", {"display_name": "New Name"}, user=c.ada),
        lambda c: [("user.updated", {"id": c.ada.id, "display_name": "New Name"})],
    ),
    "server updates server_metadata": (
        None,
        lambda c: c.api("PATCH", f"/users/{c.ada.id}", {"server_metadata": {"tier": 2}}),
        lambda c: [("user.updated", {"id": c.ada.id, "server_metadata": {"tier": 2}})],
    ),
    "server update that changes nothing": (
        None,
        lambda c: c.api("PATCH", f"/users/{c.ada.id}", {}),
        lambda c: [("user.updated", {"id": c.ada.id})],
    ),
    "server restricts user by admin": (
        lambda c: c.sandbox.restrict(c.ada),
        lambda c: c.api("PATCH", f"/users/{c.ada.id}", {"restricted_by_admin": True}),
        lambda c: [
            (
                "user.updated",
                {"id": c.ada.id, "is_restricted": True, "restricted_reason": {"type": "restricted_by_administrator"}},
            )
        ],
    ),
    "server lifts the restriction": (
        lambda c: c.sandbox.unrestrict(c.ada),
        lambda c: c.api("PATCH", f"/users/{c.ada.id}", {"restricted_by_admin": False}),
        lambda c: [("user.updated", {"id": c.ada.id, "is_restricted": False, "restricted_reason": None})],
    ),
    "server creates a team": (
        lambda c: c.sandbox.create_team("Other", client_metadata={"a": 1}, server_metadata={"b": 2}),
        lambda c: c.api(
            "POST", "/teams", {"display_name": "Other", "client_metadata": {"a": 1}, "server_metadata": {"b": 2}}
        ),
        lambda c: [
            ("team.created", {"display_name": "Other", "client_metadata": {"a": 1}, "server_metadata": {"b": 2}})
        ],
    ),
    "client creates a team (creator = me)": (
        lambda c: c.sandbox.create_team("Hers", c.ada),
        lambda c: c.api("POST", "/teams", {"display_name": "Hers", "creator_user_id": "me"}, user=c.ada),
        lambda c: [("team.created", {"display_name": "Hers"})],
    ),
    "server adds a member": (
        lambda c: c.sandbox.add_member(c.team, c.bob),
        lambda c: c.api("POST", f"/team-memberships/{c.team.id}/{c.bob.id}", {}),
        lambda c: [
            ("team_membership.created", c.is_of(c.bob)),
            ("team_permission.created", {"id": "team_member"} | c.is_of(c.bob)),
        ],
    ),
    "client selects a team": (
        lambda c: c.sandbox.select_team(c.ada, c.team),
        lambda c: c.api("PATCH", "/users/me", {"selected_team_id": c.team.id}, user=c.ada),
        lambda c: [("user.updated", {"id": c.ada.id, "selected_team_id": c.team.id})],
    ),
    "server updates the team": (
        None,
        lambda c: c.api("PATCH", f"/teams/{c.team.id}", {"display_name": "Hook Team 2"}),
        lambda c: [("team.updated", {"id": c.team.id, "display_name": "Hook Team 2"})],
    ),
    "server grants team permission w_write (contains w_read)": (
        lambda c: c.sandbox.grant(c.ada, "w_write", c.team),
        lambda c: c.api("POST", f"/team-permissions/{c.team.id}/{c.ada.id}/w_write", {}),
        lambda c: [("team_permission.created", {"id": "w_write"} | c.in_team)],
    ),
    "server grants it again": (
        lambda c: do(*[lambda: c.sandbox.grant(c.ada, "w_write", c.team)] * 2),
        lambda c: [c.api("POST", f"/team-permissions/{c.team.id}/{c.ada.id}/w_write", {}) for _ in range(2)],
        lambda c: [("team_permission.created", {"id": "w_write"} | c.in_team)] * 2,
    ),
    "server revokes team permission w_write": (
        lambda c: c.sandbox.revoke(c.ada, "team_member", c.team),
        lambda c: c.api("DELETE", f"/team-permissions/{c.team.id}/{c.ada.id}/team_member"),
        lambda c: [("team_permission.deleted", {"id": "team_member"} | c.in_team)],
    ),
    "server revokes it again (error)": (
        lambda c: fail(lambda: c.sandbox.revoke(c.ada, "w_write", c.team)),
        lambda c: c.api("DELETE", f"/team-permissions/{c.team.id}/{c.ada.id}/w_write"),
        lambda c: [],
    ),
    "server grants project permission": (
        lambda c: c.sandbox.grant(c.ada, "w_user"),
        lambda c: c.api("POST", f"/project-permissions/{c.ada.id}/w_user", {}),
        lambda c: [("project_permission.created", {"id": "w_user", "user_id": c.ada.id})],
    ),
    "server revokes project permission": (
        lambda c: do(lambda: c.sandbox.grant(c.ada, "w_user"), lambda: c.sandbox.revoke(c.ada, "w_user")),
        lambda c: [c.api(verb, f"/project-permissions/{c.ada.id}/w_user", {}) for verb in ("POST", "DELETE")],
        lambda c: [
            (f"project_permission.{what}", {"id": "w_user", "user_id": c.ada.id}) for what in ("created", "deleted")
        ],
    ),
    "sign-in": (
        lambda c: c.sandbox.new_session(c.ada),
        lambda c: c.api("POST", "/auth/sessions", {"user_id": c.ada.id}),
        lambda c: [],
    ),
    "session refresh": (lambda c: c.sandbox.token(c.ada), None, lambda c: []),
    "server removes the second member (who holds a granted permission)": (
        lambda c: c.sandbox.remove_member(c.team, c.ada),
        lambda c: c.api("DELETE", f"/team-memberships/{c.team.id}/{c.ada.id}"),
        lambda c: [("team_membership.deleted", c.in_team)],
    ),
    "server deletes the team (still has a member, selected by the member)": (
        lambda c: c.sandbox.delete_team(c.team),
        lambda c: c.api("DELETE", f"/teams/{c.team.id}"),
        lambda c: [("team.deleted", {"id": c.team.id})],
    ),
    "server deletes a user who is member of another team": (
        lambda c: c.sandbox.delete_user(c.ada),
        lambda c: c.api("DELETE", f"/users/{c.ada.id}"),
        lambda c: [
            ("team_membership.deleted", c.in_team),
            ("user.deleted", {"id": c.ada.id, "teams": [{"id": c.team.id}]}),
        ],
    ),
    "server deletes a user without teams": (
        lambda c: c.sandbox.delete_user(c.bob),
        lambda c: c.api("DELETE", f"/users/{c.bob.id}"),
        lambda c: [("user.deleted", {"id": c.bob.id, "teams": []})],
    ),
    "client deletes own user": (
        None,
        lambda c: c.api("DELETE", "/users/me", user=c.bob),
        lambda c: [("user.deleted", {"id": c.bob.id, "teams": []})],
    ),
    "password sign-up": (
        lambda c: c.sandbox.create_user(primary_email="new@example.com", display_name="New"),
        None,
        lambda c: [
            ("user.created", {"display_name": "New", "primary_email": "new@example.com", "selected_team": None})
        ],
    ),
    "anonymous sign-up": (
        lambda c: c.sandbox.create_user("anonymous"),
        None,
        lambda c: [("user.created", {"is_anonymous": True, "restricted_reason": {"type": "anonymous"}})],
    ),
    "anonymous user upgrades by password sign-up": (
        None,
        lambda c: c.api("PATCH", f"/users/{c.bob.id}", {"is_anonymous": False}),
        lambda c: [("user.updated", {"id": c.bob.id, "is_anonymous": False})],
    ),
    "a member is added once more": (
        lambda c: c.sandbox.add_member(c.team, c.ada),
        lambda c: c.api("POST", f"/team-memberships/{c.team.id}/{c.ada.id}", {}),
        lambda c: [],
    ),
    "who is no member is removed": (
        lambda c: c.sandbox.remove_member(c.team, c.bob),
        lambda c: c.api("DELETE", f"/team-memberships/{c.team.id}/{c.bob.id}"),
        lambda c: [],
    ),
    "a refused change": (
        None,
        lambda c: c.api("PATCH", f"/teams/{c.team.id}", {"display_name": "x"}, user=c.bob),
        lambda c: [],
    ),
    "a grant that makes a member first": (
        lambda c: c.sandbox.grant(c.bob, "w_read", c.team),
        None,
        lambda c: [
            ("team_membership.created", c.is_of(c.bob)),
            ("team_permission.created", {"id": "team_member"} | c.is_of(c.bob)),
            ("team_permission.created", {"id": "w_read"} | c.is_of(c.bob)),
        ],
    ),
    "definitions, keys and sessions": (
        lambda c: do(
            lambda: c.sandbox.define_permission("w_new"),
            lambda: c.sandbox.create_api_key(c.ada),
            lambda: c.sandbox.sign_out(c.ada),
            c.sandbox.rotate_keys,
        ),
        lambda c: c.api("POST", "/user-api-keys", {"user_id": c.ada.id, "description": "x", "expires_at_millis": None}),
        lambda c: [],
    ),
}
WAYS = [
    pytest.param(change, expected, id=f"{label} ({way})")
    for label, (method, rest, expected) in CHANGES.items()
    for way, change in (("method", method), ("REST", rest))
    if change is not None
]


class TestSequences:
    """What a change sends; the labels are those of the recording of a real server (contract 6 and 11)."""

    @pytest.mark.parametrize(("change", "expected"), WAYS)
    def test_what_a_change_sends(self, world: World, change: Change, expected: Expected) -> None:
        """Types, data and order, whether a test changes the sandbox or the application asks its API."""
        cast = Cast(world)
        change(cast)
        told, wanted = world.told(), expected(cast)

        assert [kind for kind, _ in wanted] == [kind for kind, _ in told]
        for (_, data), (_, part) in zip(told, wanted, strict=True):
            assert part == {name: data.get(name, "missing") for name in part}

    def test_shapes(self, world: World) -> None:
        """Each of the twelve types has the fields of the contract's examples, all of them and no other."""
        cast = Cast(world)
        cast.sandbox.grant(cast.ada, "w_user")
        cast.sandbox.revoke(cast.ada, "w_user")
        cast.sandbox.grant(cast.ada, "w_read", cast.team)
        cast.sandbox.revoke(cast.ada, "w_read", cast.team)
        cast.sandbox.select_team(cast.ada, cast.team)
        cast.sandbox.add_member(cast.team, cast.sandbox.create_user())
        cast.api("PATCH", f"/teams/{cast.team.id}", {})
        cast.sandbox.delete_team(cast.sandbox.create_team())
        cast.sandbox.delete_user(cast.ada)
        shapes = {kind: sorted(data) for kind, data in world.told()}

        assert {sent["type"]: sorted(sent["data"]) for sent in EVENTS} == shapes

    def test_data_of_the_moment(self, world: World) -> None:
        """An event shows its object as it was when it was sent, however late it is delivered."""
        user = world.sandbox.create_user(display_name="Before")
        world.api("PATCH", f"/users/{user.id}", {"display_name": "After"})

        assert [data["display_name"] for _, data in world.told()] == ["Before", "After"]

    def test_any_other_event(self, world: World) -> None:
        """What nothing in a sandbox makes happen can be sent by hand."""
        world.sandbox.send_webhook("stack.test", {"message": "hello", "endpointUrl": "http://x"})

        assert world.told() == [("stack.test", {"message": "hello", "endpointUrl": "http://x"})]


class Receiver:
    """A real HTTP server that answers deliveries with given statuses, then 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.received: list[tuple[bytes, dict[str, str], float]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append((body, headers, time.monotonic()))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class TestDelivery:
    """How messages reach an endpoint."""

    def test_over_http(self, sandbox: Sandbox) -> None:
        """A URL gets genuine deliveries, and the sandbox keeps a record of them."""
        with Receiver() as receiver, sandbox.deliver_webhooks_to(receiver.url):
            user = sandbox.create_user()
            sandbox.flush_webhooks()
        ((body, headers, _),) = receiver.received
        event = Webhooks(sandbox.config.webhook_secrets).verify(body, headers)
        (delivery,) = sandbox.deliveries

        assert ("user.created", user.id, "application/json") == (event.type, event.data.id, headers["content-type"])
        assert (event.id, "user.created", dict(event.data)) == (delivery.id, delivery.type, delivery.data)
        assert (receiver.url, 1, 200, True) == (
            delivery.endpoint,
            delivery.attempt,
            delivery.status,
            delivery.accepted,
        )

    def test_retries(self, sandbox: Sandbox) -> None:
        """Anything but 2xx is tried again after the next delay, with the same id and body and a new signature."""
        with Receiver(500, 302, 404) as receiver:
            sandbox.deliver_webhooks_to(receiver.url, retries=[0.05, 0.1, 0.05])
            sandbox.create_user()
            sandbox.flush_webhooks()
        times = [moment for _, _, moment in receiver.received]

        assert [(item.attempt, item.status) for item in sandbox.deliveries] == [(1, 500), (2, 302), (3, 404), (4, 200)]
        assert len({(body, headers["svix-id"]) for body, headers, _ in receiver.received}) == 1
        assert all(
            later - earlier >= delay for earlier, later, delay in zip(times, times[1:], (0.05, 0.1, 0.05), strict=False)
        )

    def test_giving_up(self, sandbox: Sandbox) -> None:
        """When the delays are used up the message is given up, and nothing is left to wait for."""
        with Receiver(*[503] * 10) as receiver:
            sandbox.deliver_webhooks_to(receiver.url, retries=[0, 0])
            sandbox.create_user()
            sandbox.flush_webhooks()

        assert [delivery.status for delivery in sandbox.deliveries] == [503, 503, 503]
        assert not any(delivery.accepted for delivery in sandbox.deliveries)

    @pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "nonsense", "http://", ""])
    def test_nobody_there(self, sandbox: Sandbox, url: str) -> None:
        """Without an answer there is no status, and the next attempt follows all the same."""
        sandbox.deliver_webhooks_to(url.format(port=free_port()), retries=[0])
        sandbox.create_user()
        sandbox.flush_webhooks()

        assert [(delivery.attempt, delivery.status) for delivery in sandbox.deliveries] == [(1, None), (2, None)]

    def test_an_answer_that_does_not_come(self, sandbox: Sandbox) -> None:
        """An endpoint that hangs is left after the time-out."""
        with socket.create_server(("127.0.0.1", 0)) as deaf:  # connections wait, and nobody takes them
            url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
            sandbox.deliver_webhooks_to(url, retries=[], timeout=0.1)
            sandbox.create_user()
            sandbox.flush_webhooks()

        assert [delivery.status for delivery in sandbox.deliveries] == [None]

    def test_others_overtake_a_retry(self, sandbox: Sandbox) -> None:
        """A message that waits for its next attempt holds up no other: order is not promised."""
        with Receiver(500) as receiver:
            sandbox.deliver_webhooks_to(receiver.url, retries=[0.15])
            sandbox.create_user(display_name="first")
            sandbox.create_user(display_name="second")
            sandbox.flush_webhooks()

        assert [(delivery.data["display_name"], delivery.status) for delivery in sandbox.deliveries] == [
            ("first", 500),
            ("second", 200),
            ("first", 200),
        ]

    def test_several_endpoints(self, sandbox: Sandbox) -> None:
        """Every endpoint is told, with the same id; one that fails disturbs no other."""
        with Receiver() as first, Receiver(*[500] * 2) as second:
            for receiver in (first, second):
                sandbox.deliver_webhooks_to(receiver.url, retries=[0])
            sandbox.create_user()
            sandbox.flush_webhooks()

        assert (len(first.received), len(second.received)) == (1, 2)
        assert len({delivery.id for delivery in sandbox.deliveries}) == 1

    def test_in_process(self, sandbox: Sandbox) -> None:
        """Functions serve as endpoints, in either colour; what they raise is no answer."""
        webhooks = Webhooks(sandbox.config.webhook_secrets)
        seen: list[str] = []
        webhooks.on("*")(lambda event: seen.append(event.type))

        def fail(body: bytes, headers: Mapping[str, str]) -> int:
            raise ValueError

        for receiver in (webhooks.receive, webhooks.areceive, accept, fail, lambda body, headers: None):
            with sandbox.deliver_webhooks_to(receiver, retries=[]):
                sandbox.create_user()
                sandbox.flush_webhooks()

        assert [delivery.status for delivery in sandbox.deliveries] == [200, 200, 200, None, None]
        assert seen == ["user.created"] * 2
        names = [delivery.endpoint.rpartition(".")[2] for delivery in sandbox.deliveries]
        assert names == ["receive", "areceive", "accept", "fail", "<lambda>"]

    def test_an_endpoint_that_asks_the_sandbox(self, sandbox: Sandbox) -> None:
        """An endpoint may use the sandbox while it is told, and cause further messages."""
        team = sandbox.create_team()

        def receive(body: bytes, headers: Mapping[str, str]) -> int:
            if b'"user.created"' in body:
                event = Webhooks(sandbox.config.webhook_secrets).verify(body, headers)
                sandbox.add_member(team, event.data.id)
            return 204

        sandbox.deliver_webhooks_to(receive)
        sandbox.create_user()
        sandbox.flush_webhooks()

        assert [delivery.type for delivery in sandbox.deliveries] == [
            "user.created",
            "team_membership.created",
            "team_permission.created",
        ]

    def test_from_many_threads(self, sandbox: Sandbox) -> None:
        """Changes from many threads are all told, once each."""
        sandbox.deliver_webhooks_to(accept)
        threads = [threading.Thread(target=sandbox.create_user) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        sandbox.flush_webhooks()

        assert len({delivery.data["id"] for delivery in sandbox.deliveries}) == len(sandbox.deliveries) == 30

    def test_the_sandboxs_clock(self) -> None:
        """Deliveries are of the sandbox's time, retries of theirs."""
        now = [1_800_000_000.0]
        sandbox = Sandbox(clock=lambda: now[0])
        stamps: list[str] = []

        def receive(body: bytes, headers: Mapping[str, str]) -> int:
            stamps.append(headers["svix-timestamp"])
            now[0] += 100
            return 200 if len(stamps) == 2 else 500

        with sandbox.deliver_webhooks_to(receive, retries=[0]):
            sandbox.create_user()
            sandbox.flush_webhooks()

        assert stamps == ["1800000000", "1800000100"]


class TestEnd:
    """Starting and stopping."""

    def test_nothing_without_endpoints(self, sandbox: Sandbox) -> None:
        """Nothing is sent, and no thread started, unless somebody asked for it."""
        sandbox.create_user()
        sandbox.send_webhook("stack.test", {})
        sandbox.flush_webhooks()

        assert (sandbox.deliveries, webhook_threads()) == ([], [])

    def test_only_what_happens_from_now_on(self, sandbox: Sandbox) -> None:
        """An endpoint is told neither what was before it nor what is after its end."""
        sandbox.create_user(display_name="before")
        with sandbox.deliver_webhooks_to(accept):
            sandbox.create_user(display_name="during")
            sandbox.flush_webhooks()
        sandbox.create_user(display_name="after")
        sandbox.flush_webhooks()

        assert [delivery.data["display_name"] for delivery in sandbox.deliveries] == ["during"]

    def test_threads_end_by_themselves(self, sandbox: Sandbox) -> None:
        """When nothing is left to send there is no thread, and a later message is sent all the same."""
        sandbox.deliver_webhooks_to(accept)
        for _ in range(3):
            sandbox.create_user()
            sandbox.flush_webhooks()
            assert eventually(lambda: webhook_threads() == [])

        assert len(sandbox.deliveries) == 3

    def test_end_drops_what_waits(self, sandbox: Sandbox) -> None:
        """The end of an endpoint is the end of its retries; a second end does no harm."""
        endpoint = sandbox.deliver_webhooks_to(lambda body, headers: 500, retries=[60])
        sandbox.create_user()
        assert eventually(lambda: len(sandbox.deliveries) == 1)
        endpoint.end()
        endpoint.end()
        sandbox.flush_webhooks(0.5)

        assert webhook_threads() == []

    def test_end_within_a_delivery(self, sandbox: Sandbox) -> None:
        """An endpoint may end itself."""
        endpoint = sandbox.deliver_webhooks_to(lambda body, headers: endpoint.end(), retries=[60])
        sandbox.create_user()

        assert eventually(lambda: len(sandbox.deliveries) == 1 and webhook_threads() == [])

    def test_flush_gives_up(self, sandbox: Sandbox) -> None:
        """What does not get through in time is an error."""
        sandbox.deliver_webhooks_to(lambda body, headers: 500, retries=[60])
        sandbox.create_user()

        with pytest.raises(TimeoutError, match="on their way"):
            sandbox.flush_webhooks(0.05)

    def test_close(self, sandbox: Sandbox) -> None:
        """Closing ends every endpoint, and the sandbox goes on without them."""
        for _ in range(2):
            sandbox.deliver_webhooks_to(lambda body, headers: 500, retries=[60])
        sandbox.create_user()
        sandbox.close()
        sandbox.create_user()

        assert webhook_threads() == []
        assert len(sandbox.deliveries) <= 2

    def test_nothing_is_left_open(self) -> None:
        """A sandbox that is forgotten leaves no socket behind; warnings are errors here."""
        with Receiver() as receiver:
            sandbox = Sandbox()
            sandbox.deliver_webhooks_to(receiver.url)
            sandbox.create_user()
            sandbox.flush_webhooks()
            assert eventually(lambda: webhook_threads() == [])
            del sandbox
            gc.collect()

        assert len(receiver.received) == 1

    def test_within_an_event_loop(self, sandbox: Sandbox) -> None:
        """A test on an event loop may change the sandbox; endpoints run on a thread, whatever their colour."""
        webhooks = Webhooks(sandbox.config.webhook_secrets)

        async def main() -> None:
            with sandbox.deliver_webhooks_to(webhooks.areceive):
                sandbox.create_user()
                await asyncio.to_thread(sandbox.flush_webhooks)

        asyncio.run(main())
        assert [delivery.status for delivery in sandbox.deliveries] == [200]


def webhook_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "hexclave-sandbox-webhooks"]


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true in time."""
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
