"""The default of an application, in every framework: whom it keeps out, and which routes decide for themselves."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from hexclave_integrations import ConfigurationError
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

from .._webhooks import SECRET, event
from .driving import Server, StartRefused
from .frameworks import FRAMEWORKS, WEBHOOK_PATH, Framework, Route

INSTALLERS = ("Hexclave", "HexclaveMiddleware", "HexclavePlugin")
every_framework = pytest.mark.parametrize("framework", [pytest.param(each, id=each.name) for each in FRAMEWORKS])
BAD = {"x-stack-access-token": "garbage"}


def with_default(module: Any, default: Any) -> Any:
    """An adapter whose users have chosen a default."""
    names = {name: getattr(module, name) for name in dir(module) if not name.startswith("__")}
    installers = {name: functools.partial(names[name], default=default) for name in INSTALLERS if name in names}
    return SimpleNamespace(**{**names, **installers, "SETTINGS": {"DEFAULT": default}})


@contextmanager
def serving(
    framework: Framework, sandbox: Sandbox, *routes: Route, webhooks: Webhooks | None = None, default: Any = None
) -> Iterator[Server]:
    chosen = framework.module.require_user if default is None else default
    with framework.build(with_default(framework.module, chosen), sandbox.config, routes, webhooks) as server:
        yield server


def code_of(body: bytes) -> Any:
    return json.loads(body).get("code") if body else None


@every_framework
def test_a_route_without_a_requirement(framework: Framework) -> None:
    """It asks the default: nobody, bad credentials and other kinds of users are kept out, and its view does not run."""
    sandbox = Sandbox()
    route = Route("/bare", methods=["GET", "POST"])
    people = {kind: sandbox.headers(sandbox.create_user(kind)) for kind in ("restricted", "anonymous")}
    with serving(framework, sandbox, route) as server:
        for method in ("GET", "POST"):
            refused = server.send(method, "/bare")
            assert (refused.status, code_of(refused.body)) == (401, "USER_AUTHENTICATION_REQUIRED")
            assert refused.headers["www-authenticate"] == 'Bearer realm="hexclave"'
            assert refused.headers["cache-control"] == "private, no-store"
            assert server.send(method, "/bare", BAD).status == 401
            assert server.send(method, "/bare", people["restricted"]).status == 403
            assert server.send(method, "/bare", people["anonymous"]).status == 401
        assert server.send("HEAD", "/bare").status in (401, 405)
        assert route.visits == 0
        let_in = server.send("GET", "/bare", sandbox.headers(sandbox.create_user()))
    assert (let_in.status, route.visits) == (200, 1)
    assert let_in.headers["cache-control"] == "private, no-store"


@every_framework
def test_where_the_keys_are_not_there(framework: Framework) -> None:
    """It cannot be told, which is neither a yes nor a no."""
    sandbox = Sandbox()
    route = Route("/bare")
    headers = sandbox.headers(sandbox.create_user())
    sandbox.outage()
    with serving(framework, sandbox, route) as server:
        answer = server.send("GET", "/bare", headers)
    assert (answer.status, code_of(answer.body), route.visits) == (503, "HEXCLAVE_UNAVAILABLE", 0)


@every_framework
def test_a_public_route(framework: Framework) -> None:
    """Marked, it asks nobody anything, and a bad token is as good as none."""
    route = Route("/public", is_public=True)
    # Django REST framework refuses bad credentials wherever its authentication is on; here it is.
    expected = [200, 401] if framework.name == "drf" else [200, 200]
    with serving(framework, Sandbox(), route) as server:
        assert [server.send("GET", "/public", headers).status for headers in ({}, BAD)] == expected


@every_framework
def test_a_public_mark_takes_no_requirement_away(framework: Framework) -> None:
    """A route that is marked and has a requirement asks its requirement."""
    sandbox = Sandbox()
    route = Route("/both", guards=lambda adapter: [adapter.require_user], is_public=True)
    with serving(framework, sandbox, route) as server:
        assert server.send("GET", "/both").status == 401
        assert server.send("GET", "/both", sandbox.headers(sandbox.create_user())).status == 200


@every_framework
def test_a_requirement_of_its_own_decides_alone(framework: Framework) -> None:
    """Laxer or stricter than the default, and about API keys where the default is about users."""
    sandbox = Sandbox()
    alice = sandbox.create_user()
    key = {"x-api-key": str(getattr(sandbox.create_api_key(alice), "value", ""))}
    restricted = sandbox.headers(sandbox.create_user("restricted"))
    routes = [
        Route("/optional", guards=lambda adapter: [adapter.optional_user]),
        Route("/key", guards=lambda adapter: [adapter.require_api_key]),
        Route("/restricted", guards=lambda adapter: [adapter.require_user.allow(restricted=True)]),
        Route("/staff", guards=lambda adapter: [adapter.require_project_permission("staff")]),
        Route("/bare"),
    ]
    with serving(framework, sandbox, *routes) as server:

        def ask(path: str, headers: dict[str, str]) -> int:
            return server.send("GET", path, headers).status

        user = sandbox.headers(alice)
        assert [ask("/optional", headers) for headers in ({}, BAD, user)] == [200, 401, 200]
        assert [ask("/key", headers) for headers in ({}, user, key)] == [401, 401, 200]
        assert [ask("/restricted", headers) for headers in ({}, restricted)] == [401, 200]
        assert [ask("/staff", headers) for headers in ({}, user)] == [401, 403]
        assert [ask("/bare", headers) for headers in (key, restricted)] == [401, 403]


@every_framework
def test_what_is_no_route(framework: Framework) -> None:
    """An unknown path stays 404 and a method that a route lacks 405, for everybody."""
    sandbox = Sandbox()
    route = Route("/bare")
    user = sandbox.headers(sandbox.create_user())
    # A function of Django's answers every method: there is no 405. Django REST framework asks before it looks for one.
    kind = framework.name.partition(" ")[0]
    expected = {"django": [401, 200], "drf": [401, 405]}.get(kind, [405, 405])
    with serving(framework, sandbox, route) as server:
        assert [server.send("GET", "/nothing", headers).status for headers in ({}, user)] == [404, 404]
        assert [server.send("DELETE", "/bare", headers).status for headers in ({}, user)] == expected


@every_framework
def test_webhooks(framework: Framework) -> None:
    """Deliveries are admitted by their signature, and by nothing less."""
    if "webhooks" not in framework.can:
        pytest.skip("its views are another framework's")
    webhooks, seen = Webhooks([SECRET]), list[str]()
    webhooks.on("*")(lambda event: seen.append(event.id))
    body, headers = event()
    with serving(framework, Sandbox(), Route("/bare"), webhooks=webhooks) as server:
        sent = {"content-length": str(len(body)), **headers}
        assert server.send("POST", WEBHOOK_PATH, sent, [body]).status == 200
        assert (
            server.send("POST", WEBHOOK_PATH, {**sent, "content-length": str(len(body) + 1)}, [body, b" "]).status
            == 400
        )
        assert server.send("POST", "/bare", sent, [body]).status in (401, 405)
    assert seen == [headers["svix-id"]]


@every_framework
def test_websockets(framework: Framework) -> None:
    """A websocket is refused before it is accepted, unless it is public."""
    if "websocket" not in framework.can:
        pytest.skip("it has none")
    sandbox = Sandbox()
    bare, public = Route("/bare", is_websocket=True), Route("/public", is_websocket=True, is_public=True)
    with serving(framework, sandbox, bare, public) as served:
        server: Any = served
        refused = server.connect("/bare")
        assert [message["type"] for message in refused] == ["websocket.close"]
        assert (refused[0]["code"], bare.visits) == (1008, 0)
        assert server.connect("/bare", sandbox.headers(sandbox.create_user()))[0]["type"] == "websocket.accept"
        assert server.connect("/public")[0]["type"] == "websocket.accept"


@every_framework
@pytest.mark.parametrize("kind", ["allow", "permission", "api key"])
def test_other_defaults(framework: Framework, kind: str) -> None:
    """The default may be laxer or stricter than `require_user`."""
    sandbox = Sandbox()
    adapter = framework.module
    alice, restricted = sandbox.create_user(), sandbox.create_user("restricted")
    boss = sandbox.create_user()
    sandbox.grant(boss, "staff")
    key = {"x-api-key": str(getattr(sandbox.create_api_key(alice), "value", ""))}
    default, kept_out, let_in = {
        "allow": (adapter.require_user.allow(restricted=True), {}, sandbox.headers(restricted)),
        "permission": (adapter.require_project_permission("staff"), sandbox.headers(alice), sandbox.headers(boss)),
        "api key": (adapter.require_api_key, sandbox.headers(alice), key),
    }[kind]
    route = Route("/bare")
    with serving(framework, sandbox, route, default=default) as server:
        assert server.send("GET", "/bare", kept_out).status in (401, 403)
        assert route.visits == 0
        assert server.send("GET", "/bare", let_in).status == 200


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "not called": (lambda adapter: adapter.require_permission, "not called"),
    "optional": (lambda adapter: adapter.optional_user, "optional"),
    "of a route": (lambda adapter: adapter.require_team("{team_id}"), "from the path"),
    "no requirement": (lambda adapter: "nonsense", "no requirement|leads to nothing"),
    "a class": (lambda adapter: type(adapter.require_user), "not called"),
    "live": (lambda adapter: adapter.require_user.live, "not called"),
}


@every_framework
@pytest.mark.parametrize("kind", WRONG)
def test_a_default_that_cannot_be_one(framework: Framework, kind: str) -> None:
    """The application is not made, or does not start, and says what to write."""
    make, words = WRONG[kind]
    build = serving(framework, Sandbox(), Route("/bare"), default=make(framework.module))
    with pytest.raises((ConfigurationError, StartRefused), match=words):
        build.__enter__()
