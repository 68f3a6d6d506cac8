"""What every adapter owes its application besides the answers of the table: one function a duty."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

from hexclave_integrations import ConfigurationError
from hexclave_integrations.webhooks import Webhooks

from .driving import AsgiServer, Garbage, StartRefused, WsgiServer, denial
from .frameworks import WEBHOOK_PATH, Framework, Guards, Route
from .table import BAD_TOKEN, NOBODY, VARY, World, read_answer, unavailable
from .views import PERMISSION

__all__ = ["DUTIES", "METHODS", "Duty", "duty", "require_user"]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
TOKEN = "x-stack-access-token"


@dataclass(frozen=True)
class Duty:
    """A name, what an adapter is held against, and what its framework needs to have for it."""

    name: str
    hold: Callable[[Framework], None]
    needs: str | None


DUTIES: list[Duty] = []


def duty(needs: str | None = None) -> Callable[[Callable[[Framework], None]], Callable[[Framework], None]]:
    def listed(function: Callable[[Framework], None]) -> Callable[[Framework], None]:
        DUTIES.append(Duty(function.__name__, function, needs))
        return function

    return listed


def require_user(adapter: Any) -> list[Any]:
    return [adapter.require_user]


# --- what is guarded ------------------------------------------------------------------------------------------


@duty()
def a_guard_guards_every_method(framework: Framework) -> None:
    """GET is not the only door."""
    w, route = World(), Route("/me", require_user, METHODS)
    alice = w.sandbox.headers(w.alice)
    with framework.serve(w.sandbox.config, route) as server:
        strangers = {method: server.send(method, "/me").status for method in METHODS}
        visits = route.visits
        users = {method: server.send(method, "/me", alice).status for method in METHODS}

    assert (strangers, visits) == (dict.fromkeys(METHODS, 401), 0)
    assert (users, route.visits) == (dict.fromkeys(METHODS, 200), len(METHODS))


@duty()
def options_that_nobody_wrote_run_no_view(framework: Framework) -> None:
    """A framework that answers a preflight by itself says which methods there are, and asks Hexclave nothing.

    Some answer 200, some 405, and some ask the guard first: that is theirs. None runs the view for a stranger.
    """
    w, route = World(), Route("/me", require_user, ("GET", "POST"))
    with framework.serve(w.sandbox.config, route) as server:
        asked = len(w.sandbox.requests)
        reply = server.send("OPTIONS", "/me", {"origin": "https://a.example", "access-control-request-method": "POST"})

    assert reply.status in (200, 204, 401, 405)
    assert (route.visits, len(w.sandbox.requests)) == (0, asked)


@duty("websocket")
def a_websocket_is_refused_before_it_is_accepted(framework: Framework) -> None:
    """1008 for who may not, 1013 for who cannot be judged now; the view never runs."""
    w, route = World(), Route("/ws", require_user, is_websocket=True)
    with w.sandbox.outage() as _, framework.serve(w.sandbox.config, route) as server:
        assert isinstance(server, AsgiServer)
        said = [server.connect("/ws", headers) for headers in ({}, {TOKEN: "garbage"}, w.sandbox.headers(w.alice))]
    codes = ["USER_AUTHENTICATION_REQUIRED", "UNPARSABLE_ACCESS_TOKEN", "HEXCLAVE_UNAVAILABLE"]

    assert [[message["type"] for message in one] for one in said] == [["websocket.close"]] * 3
    assert [one[0]["code"] for one in said] == [1008, 1008, 1013]
    assert [one[0]["reason"] for one in said] == codes
    assert route.visits == 0


@duty("websocket")
def a_websocket_is_denied_with_the_answer_of_http(framework: Framework) -> None:
    """Where the server can send one, the denial has the status, headers and body that a request would get."""
    w, route = World(), Route("/ws", require_user, is_websocket=True)
    with w.sandbox.outage() as _, framework.serve(w.sandbox.config, route) as server:
        assert isinstance(server, AsgiServer)
        kinds: list[dict[str, str]] = [{}, {TOKEN: "garbage"}, w.sandbox.headers(w.alice)]
        said = [denial(server.connect("/ws", headers, can_deny=True)) for headers in kinds]

    assert [read_answer(one.status, one.headers, one.body) for one in said] == [NOBODY, BAD_TOKEN, unavailable(30)]
    assert route.visits == 0


@duty("websocket")
def a_page_can_read_why_its_websocket_is_refused(framework: Framework) -> None:
    """With `websocket_close_codes` it is accepted and closed at once: 4401, 4403 or 1013; the view never runs."""
    w, route = World(), Route("/ws", require_user, is_websocket=True)
    installed = {"Hexclave", "HexclaveMiddleware", "HexclavePlugin"} & vars(framework.module).keys()
    exports = {name: partial(getattr(framework.module, name), websocket_close_codes=True) for name in installed}
    framework = dataclasses.replace(framework, module=SimpleNamespace(**{**vars(framework.module), **exports}))
    with framework.serve(w.sandbox.config, route) as server:
        assert isinstance(server, AsgiServer)
        expired = w.sandbox.token(w.alice, expires_in=-60)
        kinds: list[dict[str, str]] = [{}, {TOKEN: expired}, w.sandbox.headers(w.restricted)]
        said = [server.connect("/ws", headers, can_deny=can_deny) for headers in kinds for can_deny in (False, True)]
        accepted = server.connect("/ws", w.sandbox.headers(w.alice))
    with w.sandbox.outage() as _, framework.serve(w.sandbox.config, route) as server:
        assert isinstance(server, AsgiServer)
        said.append(server.connect("/ws", w.sandbox.headers(w.alice)))

    assert [[message["type"] for message in one] for one in said] == [["websocket.accept", "websocket.close"]] * 7
    assert [one[1]["code"] for one in said] == [4401, 4401, 4401, 4401, 4403, 4403, 1013]
    assert [one[1]["reason"] for one in said[2:7:2]] == [
        "ACCESS_TOKEN_EXPIRED",
        "RESTRICTED_USER_NOT_ALLOWED",
        "HEXCLAVE_UNAVAILABLE",
    ]
    assert [message["type"] for message in accepted] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert route.visits == 1


@duty("websocket")
def a_websocket_of_a_user_is_accepted(framework: Framework) -> None:
    """Whom the guard lets through reaches the view."""
    w, route = World(), Route("/ws", require_user, is_websocket=True)
    with framework.serve(w.sandbox.config, route) as server:
        assert isinstance(server, AsgiServer)
        said = server.connect("/ws", w.sandbox.headers(w.alice))

    assert [message["type"] for message in said] == ["websocket.accept", "websocket.send", "websocket.close"]
    assert route.visits == 1


# --- what stops the start -------------------------------------------------------------------------------------


def stopped(framework: Framework, path: str, guards: Guards, **changes: Any) -> str:
    """Why an application with this route does not start; empty if it does."""
    config = dataclasses.replace(World().sandbox.config, **changes)
    try:
        with framework.serve(config, Route(path, guards)):
            return ""
    except (ConfigurationError, StartRefused) as error:
        return str(error)


@duty()
def a_missing_server_key_stops_the_start(framework: Framework) -> None:
    """A permission cannot be asked for without one, and the first caller is not who should find out."""
    problem = stopped(
        framework,
        "/teams/{team_id}/export",
        lambda adapter: [adapter.require_permission("{team_id}", PERMISSION)],
        secret_server_key=None,
    )

    assert "secret_server_key" in problem.lower()


@duty()
def an_unknown_route_parameter_stops_the_start(framework: Framework) -> None:
    """A misspelt parameter is a team that nobody is in."""
    problem = stopped(framework, "/teams/{team_id}/export", lambda adapter: [adapter.require_team("{team}")])

    assert '"team"' in problem
    assert not stopped(framework, "/teams/{team_id}/export", lambda adapter: [adapter.require_team("{team_id}")])


@duty()
def a_requirement_without_its_call_stops_the_start(framework: Framework) -> None:
    """`require_permission` where `require_permission(team, permission)` belongs must not look like a guard."""
    for name in ("require_permission", "require_team", "require_project_permission"):

        def uncalled(adapter: Any, name: str = name) -> list[Any]:
            return [getattr(adapter, name)]

        try:
            problem = stopped(framework, "/teams/{team_id}/export", uncalled)
        except TypeError as error:  # of a decorator: arguments are missing
            problem = str(error)

        assert problem, name


# --- start and end --------------------------------------------------------------------------------------------


@duty("lifespan")
def keys_are_there_before_the_first_request(framework: Framework) -> None:
    """A start fetches them, so that no caller waits for it, and an outage just after it is no outage."""
    w = World()
    with framework.serve(w.sandbox.config, Route("/me", require_user)) as server:
        fetched = w.sandbox.count("jwks.json")
        with w.sandbox.outage():
            status = server.send("GET", "/me", w.sandbox.headers(w.alice)).status

    assert (fetched, status) == (1, 200)


@duty("lifespan")
def connections_end_with_the_application(framework: Framework) -> None:
    """What was kept open for the next request to Hexclave is closed at the end."""
    w, before = World(), connections()
    with w.sandbox.serve():
        config = dataclasses.replace(w.sandbox.config, transport=None)
        with framework.serve(config, Route("/me", require_user)) as server:
            assert isinstance(server, AsgiServer)
            status = server.send("GET", "/me", w.sandbox.headers(w.alice)).status
            server.stop()
            deadline = time.monotonic() + 3
            while (left := connections() - before) and time.monotonic() < deadline:
                time.sleep(0.01)

    assert (status, left) == (200, set())


def connections() -> set[threading.Thread]:
    """The sandbox's server has a thread for each connection."""
    return {thread for thread in threading.enumerate() if "process_request_thread" in thread.name}


# --- headers that are the application's -----------------------------------------------------------------------


@duty()
def what_an_application_says_of_caches_stays(framework: Framework) -> None:
    """Its own `Cache-Control` counts, with shared caches kept out whatever it says; its `Vary` is added to."""
    w = World()
    said = {
        "/public": {"cache-control": "public, max-age=60", "vary": "Accept-Language"},
        "/short": {"cache-control": "max-age=60"},
        "/silent": {},
    }
    with framework.serve(
        w.sandbox.config, *(Route(path, require_user, headers=headers) for path, headers in said.items())
    ) as server:
        replies = {path: server.send("GET", path, w.sandbox.headers(w.alice)).headers for path in said}
    vary = {name.strip().lower() for name in replies["/public"]["vary"].split(",")}

    assert {path: headers["cache-control"] for path, headers in replies.items()} == {
        "/public": "private, max-age=60",
        "/short": "max-age=60, private",
        "/silent": "private, no-store",
    }
    assert {"accept-language", *VARY.lower().split(", ")} <= vary


# --- webhooks -------------------------------------------------------------------------------------------------


@duty("webhooks")
def a_webhook_makes_the_application_forget(framework: Framework) -> None:
    """A permission that is remembered is gone at once when Hexclave says so, not when it was to be asked again."""
    w = World()
    path = f"/teams/{w.team.id}/export"
    route = Route("/teams/{team_id}/export", lambda adapter: [adapter.require_permission("{team_id}", PERMISSION)])
    webhooks = Webhooks(w.sandbox.config.webhook_secrets)
    data = {"id": PERMISSION, "team_id": w.team.id, "user_id": w.alice.id}
    body, headers = w.sandbox.webhook("team_permission.deleted", data)
    with framework.serve(w.sandbox.config, route, webhooks=webhooks) as server:
        alice = w.sandbox.headers(w.alice)
        statuses = [server.send("GET", path, alice).status]
        w.sandbox.revoke(w.alice, PERMISSION, w.team)
        statuses.append(server.send("GET", path, alice).status)
        statuses.append(server.send("POST", WEBHOOK_PATH, headers, [body]).status)
        statuses.append(server.send("GET", path, alice).status)

    assert statuses == [200, 200, 200, 403]


@duty("stream")
def a_webhook_body_without_end_is_not_read_to_its_end(framework: Framework) -> None:
    """Whoever sends more than a delivery can have is refused when that is known, and costs no more memory."""
    if "webhooks" not in framework.can:
        return
    w, chunk, read = World(), b"x" * 65536, 0
    webhooks = Webhooks(w.sandbox.config.webhook_secrets)

    def endless() -> Iterator[bytes]:
        nonlocal read
        while read < 64 * webhooks.max_body:
            read += len(chunk)
            yield chunk

    _, headers = w.sandbox.webhook("team.deleted", {"id": w.team.id})
    with framework.serve(w.sandbox.config, webhooks=webhooks) as server:
        if isinstance(server, WsgiServer):  # which has no bodies of unknown length
            headers["content-length"] = str(64 * webhooks.max_body)
        status = server.send("POST", WEBHOOK_PATH, headers, endless()).status

    assert status == 400
    assert read <= webhooks.max_body + 4 * len(chunk)


# --- one request ----------------------------------------------------------------------------------------------


@duty()
def a_callable_team_gets_the_request(framework: Framework) -> None:
    """The framework's own request, from which an application reads the team."""
    w, seen = World(), []

    def team_of(request: Any) -> Any:
        seen.append(type(request).__module__)
        return request.headers.get("x-team")

    route = Route("/member", lambda adapter: [adapter.require_team(team_of)])
    with framework.serve(w.sandbox.config, route) as server:
        alice = w.sandbox.headers(w.alice)
        statuses = [
            server.send("GET", "/member", {**alice, **team}).status
            for team in ({"x-team": w.team.id}, {"x-team": "nope"}, {})
        ]

    assert statuses == [200, 403, 403]
    assert not any(module.startswith("hexclave_integrations") for module in seen)


@duty()
def a_request_has_one_caller(framework: Framework) -> None:
    """Two guards of a route find out once who calls: the second counts on what the first one found."""
    w = World()

    def take_credentials_away(request: Any) -> str:
        for meta in (getattr(request, "META", None), getattr(request, "environ", None)):
            if meta is not None:
                meta.pop(f"HTTP_{TOKEN.upper().replace('-', '_')}", None)
        scope = getattr(request, "scope", None)
        if scope is not None:
            scope["headers"][:] = [pair for pair in scope["headers"] if pair[0] != TOKEN.encode()]
        return w.team.id

    route = Route("/me", lambda adapter: [adapter.require_team(take_credentials_away), adapter.require_user])
    with framework.serve(w.sandbox.config, route) as server:
        status = server.send("GET", "/me", w.sandbox.headers(w.alice)).status

    assert (status, route.visits) == (200, 1)


@duty()
def a_request_leaves_nothing_behind(framework: Framework) -> None:
    """Nothing of it waits for the garbage collector that does not wait without a guard; with cookies, too."""
    w = World()
    config = dataclasses.replace(w.sandbox.config, accept_cookies=True)
    with framework.serve(config, Route("/me", require_user), Route("/open")) as server:
        alice = {**w.sandbox.headers(w.alice), "cookie": "a=b"}
        left, unavoidable = (server.garbage(path, alice, 10) for path in ("/me", "/open"))

    assert adds_nothing(left, unavoidable)


@duty()
def a_refusal_leaves_nothing_behind(framework: Framework) -> None:
    """Nor does a refused request leave more than one that the view refuses."""
    w = World()
    with framework.serve(w.sandbox.config, Route("/me", require_user), Route("/refused", refuses=True)) as server:
        left = [server.garbage("/me", headers, 10) for headers in ({}, {TOKEN: "a.b.c"})]
        unavoidable = server.garbage("/refused", {}, 10)

    assert all(adds_nothing(one, unavoidable) for one in left)


def adds_nothing(left: Garbage, unavoidable: Garbage) -> bool:
    """Whether a guarded request leaves no more than one without a guard.

    Where the framework makes a cycle through each request by itself (Django's handler for ASGI does, on Python 3.12
    and newer), everything that belongs to the request hangs from it. Then the objects in cycles are what counts.
    """
    if unavoidable.objects < 1:
        return left.objects <= unavoidable.objects + 0.5
    return left.in_cycles <= unavoidable.in_cycles + 0.5
