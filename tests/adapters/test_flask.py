"""What is Flask's own: the extension, the decorators and their misuse, `current_user`, the command, WSGI servers."""

from __future__ import annotations

import base64
import dataclasses
import functools
import gc
import importlib
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from flask.views import MethodView, View
from werkzeug.datastructures import Headers
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server
from werkzeug.test import Client, TestResponse

from hexclave_integrations import ConfigurationError, HexclaveConfig, RequestRefused, Unavailable, errors
from hexclave_integrations._adapter.cache_headers import vary_on_credentials
from hexclave_integrations.flask import (
    SELECTED_TEAM,
    FlaskRequirement,
    Hexclave,
    current_api_key,
    current_user,
    optional_user,
    require_api_key,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
)
from hexclave_integrations.testing import Sandbox, SandboxUser

PRIVATE = "private, no-store"
VARY = "X-Stack-Access-Token, X-Hexclave-Access-Token, Authorization, X-Stack-Auth, X-Api-Key"


class World:
    """A sandbox with people, and an application in front of it."""

    def __init__(self) -> None:
        self.sandbox = Sandbox()
        self.alice = self.sandbox.create_user(display_name="Alice")
        self.bob = self.sandbox.create_user(display_name="Bob")
        self.team = self.sandbox.create_team()
        self.sandbox.grant(self.alice, "export_reports", team=self.team)
        self.app = make_app(self.sandbox)

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def get(self, path: str, user: SandboxUser | None = None, **options: Any) -> TestResponse:
        headers = {} if user is None else self.sandbox.headers(user)
        return self.client.get(path, headers={**headers, **options.pop("headers", {})}, **options)


def make_app(sandbox: Sandbox, **settings: Any) -> flask.Flask:
    app = flask.Flask("example")
    Hexclave(app, dataclasses.replace(sandbox.config, **settings))
    return app


def who() -> dict[str, Any]:
    """Who is the caller?"""
    return {"id": current_user.id if current_user else None}


def me() -> Callable[[], dict[str, Any]]:
    """A new view that tells who the caller is. New: what is guarded once may not be registered bare elsewhere."""

    def view() -> dict[str, Any]:
        return who()

    return view


def greet() -> Callable[..., dict[str, Any]]:
    """A new view that must not run for just anybody."""

    def view(team_id: str = "") -> dict[str, Any]:
        return {"in": True, "team": team_id}

    return view


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine reaches a test."""
    for name in HexclaveConfig.__dataclass_fields__:
        for prefix in ("HEXCLAVE", "STACK"):
            monkeypatch.delenv(f"{prefix}_{name.upper()}", raising=False)


# --- what callers see ---------------------------------------------------------------------------------------


def test_regular_user_is_let_in_and_the_answer_is_private(world: World) -> None:
    """The view sees the verified user; the answer may be stored by nobody else."""
    world.app.add_url_rule("/me", view_func=require_user(me()))

    response = world.get("/me", world.alice)

    assert (200, {"id": world.alice.id}) == (response.status_code, response.json)
    assert (response.headers["Cache-Control"], response.headers["Vary"]) == (PRIVATE, VARY)


def refusals(w: World) -> Iterator[tuple[FlaskRequirement, dict[str, str], RequestRefused]]:
    token = "x-stack-access-token"
    bob, key = w.sandbox.headers(w.bob), w.sandbox.create_api_key(user=w.bob)
    restricted = w.sandbox.headers(w.sandbox.create_user("restricted"))
    permission = {"permission_id": "export_reports"}
    stranger = Sandbox()
    yield require_user, {}, errors.NotAuthenticated()
    yield require_user, {token: "garbage"}, errors.InvalidToken()
    yield require_user, {token: w.sandbox.token(w.bob, -60)}, errors.TokenExpired()
    yield require_user, stranger.headers(stranger.create_user()), errors.WrongProject()
    yield require_user, w.sandbox.headers(w.sandbox.create_user("anonymous")), errors.AnonymousNotAllowed()
    yield (
        require_user,
        restricted,
        errors.RestrictedNotAllowed(details={"restricted_reason": {"type": "email_not_verified"}}),
    )
    yield optional_user, {token: "garbage"}, errors.InvalidToken()
    yield require_permission(w.team.id, "export_reports"), bob, errors.TeamPermissionRequired(details=permission)
    yield require_permission(SELECTED_TEAM, "export_reports"), bob, errors.TeamPermissionRequired(details=permission)
    yield require_project_permission("export_reports"), bob, errors.ProjectPermissionRequired(details=permission)
    yield require_team(w.team.id), bob, errors.TeamMembershipRequired()
    yield require_api_key, bob, errors.NotAuthenticated()
    yield require_api_key, {"x-api-key": "sk_1"}, errors.ApiKeyNotFound()
    yield require_api_key, {"x-api-key": f"{key.value},{key.value}x"}, errors.ApiKeyNotFound()
    yield (
        require_user.allow(api_key=True),
        {"x-api-key": w.sandbox.create_api_key(team=w.team).value},
        errors.WrongApiKeyType(),
    )


@pytest.mark.parametrize("number", range(15))
def test_refusal_is_the_error_with_its_own_face(world: World, number: int) -> None:
    """Status, body and headers are those of the error, with `Vary`, and nothing of the view's."""
    rows = list(refusals(world))
    assert len(rows) == 15
    requirement, headers, error = rows[number]
    world.app.add_url_rule("/", view_func=requirement(greet()))

    response = world.client.get("/", headers=headers)

    assert (error.status, error.body()) == (response.status_code, response.data)
    assert Headers([*error.headers(), ("Content-Length", str(len(error.body()))), ("Vary", VARY)]) == response.headers


def test_head_is_refused_as_get_is(world: World) -> None:
    """HEAD runs the view, so it is guarded; the answer has the headers and no body."""
    world.app.add_url_rule("/", view_func=require_user(greet()))

    response = world.client.head("/")

    assert (response.status_code, response.data) == (401, b"")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="hexclave"'


def test_options_passes_without_credentials(world: World) -> None:
    """A CORS preflight has no credentials: Flask's own answer to OPTIONS passes, also on a guarded blueprint."""
    blueprint = flask.Blueprint("guarded", __name__)
    blueprint.before_request(require_user.check)
    blueprint.add_url_rule("/blueprint", view_func=greet())
    world.app.register_blueprint(blueprint)
    world.app.add_url_rule("/view", "view", require_user(functools.partial(greet())))

    for path in ("/view", "/blueprint"):
        response = world.client.options(path)

        assert (response.status_code, response.data) == (200, b"")
        assert {"GET", "HEAD", "OPTIONS"} == set(response.allow)
        assert world.get(path).status_code == 401


def test_options_that_runs_a_view_is_guarded(world: World) -> None:
    """Only the automatic answer passes: a view for OPTIONS is a view."""
    blueprint = flask.Blueprint("guarded", __name__)
    blueprint.before_request(require_user.check)
    blueprint.add_url_rule("/", view_func=greet(), methods=["GET", "OPTIONS"])
    world.app.register_blueprint(blueprint)

    assert world.client.options("/").status_code == 401


@pytest.mark.parametrize("setting", ["TESTING", "DEBUG", "PROPAGATE_EXCEPTIONS", "TRAP_HTTP_EXCEPTIONS"])
def test_refusal_is_an_answer_whatever_flask_does_with_exceptions(world: World, setting: str) -> None:
    """Tests and the debugger see 401, not an exception."""
    world.app.config[setting] = True
    world.app.add_url_rule("/", view_func=require_user(greet()))

    assert world.get("/").status_code == 401


def test_application_and_blueprint_may_answer_refusals_themselves(world: World) -> None:
    """The refusal goes through Flask's error handling; the guard for caches stays on."""
    blueprint = flask.Blueprint("api", __name__)
    blueprint.add_url_rule("/api", view_func=require_user(greet()))

    @blueprint.errorhandler(RequestRefused)
    def refuse_in_blueprint(error: RequestRefused) -> Any:
        return {"blueprint": error.code}, error.status

    @world.app.errorhandler(RequestRefused)
    def refuse_in_app(error: RequestRefused) -> Any:
        return {"app": error.code}, error.status

    @world.app.errorhandler(Unavailable)
    def unavailable(error: Unavailable) -> Any:
        return {"later": error.retry_after}, 503

    world.app.add_url_rule("/app", "app", view_func=require_user(greet()))
    world.app.register_blueprint(blueprint)

    in_blueprint, in_app = world.get("/api"), world.get("/app")
    assert (in_blueprint.json, in_blueprint.status_code) == ({"blueprint": "USER_AUTHENTICATION_REQUIRED"}, 401)
    assert (in_app.json, in_app.status_code) == ({"app": "USER_AUTHENTICATION_REQUIRED"}, 401)
    assert (in_app.headers["Cache-Control"], in_app.headers["Vary"]) == (PRIVATE, VARY)
    with world.sandbox.outage():
        assert "later" in world.get("/app", world.alice).get_json()


def test_handler_that_was_there_before_is_kept() -> None:
    """An application that answers refusals itself before `init_app` goes on doing so."""
    app = flask.Flask("example")
    app.register_error_handler(RequestRefused, lambda error: ("mine", 418))
    Hexclave(app, Sandbox().config)
    app.add_url_rule("/", view_func=require_user(greet()), endpoint="index")

    assert app.test_client().get("/").status_code == 418


# --- current_user -------------------------------------------------------------------------------------------


def test_current_user_on_a_public_route(world: World) -> None:
    """Only a regular user counts; nobody is refused; the answer depends on the caller and says so."""
    world.app.add_url_rule("/", view_func=me())
    nobody: tuple[dict[str, str], ...] = (
        {},
        {"x-stack-access-token": "garbage"},
        {"x-stack-access-token": world.sandbox.token(world.alice, -60)},
        world.sandbox.headers(world.sandbox.create_user("anonymous")),
        world.sandbox.headers(world.sandbox.create_user("restricted")),
    )

    for headers in nobody:
        response = world.client.get("/", headers=headers)
        assert (response.json, response.status_code) == ({"id": None}, 200)
        assert (response.headers["Cache-Control"], response.headers["Vary"]) == (PRIVATE, VARY)
    assert world.get("/", world.alice).json == {"id": world.alice.id}


def test_public_route_that_does_not_ask_stays_cacheable(world: World) -> None:
    """Nothing is verified and no header is added where nobody asks who the caller is."""
    world.app.add_url_rule("/", view_func=greet())

    response = world.get("/", world.alice)

    assert {"Cache-Control", "Vary"}.isdisjoint(name for name, _ in response.headers)
    assert world.sandbox.requests == []


def test_requirement_decides_which_kinds_current_user_shows(world: World) -> None:
    """Behind a requirement it is the user that the requirement let through; on the next request there is nobody."""
    world.app.add_url_rule("/anyone", "anyone", require_user.allow(anonymous=True)(me()))
    world.app.add_url_rule("/optional", "optional", optional_user(me()))
    world.app.add_url_rule("/public", "public", me())
    anonymous = world.sandbox.create_user("anonymous")

    assert world.get("/anyone", anonymous).json == {"id": anonymous.id}
    assert world.get("/optional", anonymous).json == {"id": anonymous.id}
    assert world.get("/optional").json == {"id": None}
    assert world.get("/public", anonymous).json == {"id": None}


def test_not_knowing_is_not_nobody(world: World) -> None:
    """A public route that asks during an outage answers 503: it cannot tell."""
    world.app.add_url_rule("/", view_func=me())

    with world.sandbox.outage():
        response = world.get("/", world.alice)
        assert (503, Unavailable().body()) == (response.status_code, response.data)
        assert world.get("/").json == {"id": None}


@pytest.mark.parametrize("setting", [None, "TESTING", "DEBUG", "PROPAGATE_EXCEPTIONS"])
def test_not_knowing_after_the_view_is_503_too(world: World, setting: str | None) -> None:
    """Flask looks for no error handler where an `after_request` function raises; the answer is 503 all the same."""
    if setting is not None:
        world.app.config[setting] = True
    world.app.add_url_rule("/", view_func=greet())

    @world.app.after_request
    def name_the_user(response: flask.Response) -> flask.Response:
        response.headers["X-User"] = current_user.id
        return response

    with world.sandbox.outage():
        response = world.get("/", world.alice)
    assert (503, Unavailable().body()) == (response.status_code, response.data)
    assert (response.headers["Cache-Control"], response.headers["Vary"]) == (PRIVATE, VARY)


@pytest.mark.parametrize("setting", [None, "TESTING", "DEBUG", "PROPAGATE_EXCEPTIONS"])
def test_a_page_that_is_made_outlives_not_knowing(world: World, setting: str | None) -> None:
    """What the view did is done: who asks whether there is a user, after the view and in an outage, is told no."""
    if setting is not None:
        world.app.config[setting] = True
    world.app.add_url_rule("/", view_func=lambda: "the page")

    @world.app.after_request
    def name_the_user(response: flask.Response) -> flask.Response:
        response.headers["X-User"] = current_user.id if current_user else "nobody"
        return response

    @world.app.teardown_request
    def ask_again(error: BaseException | None) -> None:
        assert current_user.id if current_user else True

    with world.sandbox.outage():
        response = world.get("/", world.alice)
        assert (response.status_code, response.data) == (200, b"the page")
        assert response.headers["X-User"] == world.get("/").headers["X-User"] == "nobody"
        assert (response.headers["Cache-Control"], response.headers["Vary"]) == (PRIVATE, VARY)


@pytest.mark.parametrize("reads_the_user", [False, True])
def test_the_applications_own_answer_after_the_view(world: World, reads_the_user: bool) -> None:
    """The application's error handler is asked there too, and may ask whether there is a user."""
    world.app.add_url_rule("/", view_func=greet())

    @world.app.after_request
    def name_the_user(response: flask.Response) -> flask.Response:
        response.headers["X-User"] = current_user.id
        return response

    @world.app.errorhandler(Unavailable)
    def later(error: Unavailable) -> Any:
        return {"user": bool(reads_the_user and current_user)}, error.status

    with world.sandbox.outage():
        response = world.get("/", world.alice)

    assert (response.status_code, response.json) == (503, {"user": False})


def test_a_fault_after_the_view_stays_one(world: World) -> None:
    """What is no refusal is Flask's 500, and is raised in tests."""
    world.app.add_url_rule("/", view_func=greet())
    world.app.logger.disabled = True

    @world.app.after_request
    def fail(response: flask.Response) -> flask.Response:
        raise KeyError("fault")

    assert world.get("/").status_code == 500
    world.app.testing = True
    with pytest.raises(KeyError):
        world.get("/")


def test_current_user_in_templates(world: World) -> None:
    """Templates have it without being given it, and a page that does not read it is as public as before."""
    page = "{% if current_user %}{{ current_user.display_name }}{% else %}nobody{% endif %}"
    world.app.add_url_rule("/", "page", lambda: flask.render_template_string(page))
    world.app.add_url_rule("/mine", "mine", lambda: flask.render_template_string(page, current_user=None))

    assert (world.get("/", world.alice).text, world.get("/").text) == ("Alice", "nobody")
    assert world.get("/", world.alice).headers["Cache-Control"] == PRIVATE
    assert world.get("/mine", world.alice).text == "nobody"
    assert "Cache-Control" not in world.get("/mine", world.alice).headers
    with make_app(world.sandbox).app_context():
        assert flask.render_template_string(page) == "nobody"


def test_not_knowing_in_a_template_is_503(world: World) -> None:
    """A template that asks during an outage shows nobody's page."""
    world.app.add_url_rule("/", "page", lambda: flask.render_template_string("{% if current_user %}in{% endif %}"))

    with world.sandbox.outage():
        assert world.get("/", world.alice).status_code == 503


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("max-age=60", "max-age=60, private"),
        ("no-cache", "no-cache, private"),
        ("public, max-age=60", "private, max-age=60"),
        ("private, max-age=5", "private, max-age=5"),
    ],
)
def test_shared_caches_are_kept_out(world: World, given: str, sent: str) -> None:
    """The view says how long the caller's own cache may keep the page, and cannot open shared ones."""

    @world.app.get("/")
    @require_user
    def index() -> flask.Response:
        response = flask.jsonify(id=current_user.id)
        response.headers["Cache-Control"] = given
        return response

    assert world.get("/", world.alice).headers.getlist("Cache-Control") == [sent]


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        pytest.param("GET", {}, 200, id="whole"),
        pytest.param("HEAD", {}, 200, id="HEAD"),
        pytest.param("GET", {"Range": "bytes=0-1"}, 206, id="a part"),
        pytest.param("GET", {"If-Modified-Since": "Fri, 31 Dec 2100 23:59:59 GMT"}, 304, id="not modified"),
    ],
)
@pytest.mark.parametrize("path", ["/argument", "/setting", "/static/secret.txt"])
def test_guarded_files_are_private(
    world: World, tmp_path: Path, path: str, method: str, headers: dict[str, str], status: int
) -> None:
    """Werkzeug calls a file with an age public; behind a requirement it is the caller's own, for that age."""
    (tmp_path / "secret.txt").write_text("secret")
    app = flask.Flask("example", static_folder=tmp_path, static_url_path="/static")
    Hexclave(app, world.sandbox.config)
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 3600
    app.before_request(require_user.check)
    app.add_url_rule("/argument", "argument", lambda: flask.send_file(tmp_path / "secret.txt", max_age=3600))
    app.add_url_rule("/setting", "setting", lambda: flask.send_from_directory(tmp_path, "secret.txt"))

    headers = headers | world.sandbox.headers(world.alice)
    with app.test_client().open(path, method=method, headers=headers) as response:
        assert response.status_code == status
        assert {part.strip() for part in response.headers["Cache-Control"].split(",")} == {"private", "max-age=3600"}
        assert response.headers["Vary"] == VARY


def test_an_application_may_name_its_own_shared_cache(world: World) -> None:
    """A header that no helper writes is the application's own word, and stays (RFC 9213)."""

    @world.app.get("/")
    @require_user
    def index() -> flask.Response:
        return flask.Response("all alike", headers={"CDN-Cache-Control": "max-age=60"})

    response = world.get("/", world.alice)

    assert (response.headers["CDN-Cache-Control"], response.headers["Cache-Control"]) == ("max-age=60", PRIVATE)


def test_view_may_say_how_to_cache(world: World) -> None:
    """`Cache-Control` of the view stays; `Vary` joins what is there."""

    @world.app.get("/")
    @require_user
    def index() -> flask.Response:
        response = flask.jsonify(id=current_user.id)
        response.headers["Cache-Control"] = "private, max-age=5"
        response.headers.add("Vary", "Accept")
        response.headers.add("Vary", "authorization")
        return response

    response = world.get("/", world.alice)

    assert response.headers.getlist("Cache-Control") == ["private, max-age=5"]
    assert response.headers.getlist("Vary") == [
        "Accept, authorization, X-Stack-Access-Token, X-Hexclave-Access-Token, X-Stack-Auth, X-Api-Key"
    ]


def test_error_pages_are_guarded_too(world: World) -> None:
    """An error after the caller was asked for is private as well."""

    @world.app.get("/")
    @require_user
    def index() -> str:
        flask.abort(404)

    response = world.get("/", world.alice)

    assert (response.status_code, response.headers["Cache-Control"], response.headers["Vary"]) == (404, PRIVATE, VARY)


def test_current_user_outside_of_a_request_is_false_and_has_nothing() -> None:
    """Where there is no request, nobody is signed in."""
    assert not current_user
    assert not current_api_key
    with pytest.raises(RuntimeError, match="context"):
        _ = current_user.id


def test_current_user_in_a_test_request_context(world: World) -> None:
    """Works without the WSGI server, for code that is tested by itself."""
    with world.app.test_request_context(headers=world.sandbox.headers(world.alice)):
        assert isinstance(current_user, errors.HexclaveError | type(current_user))
        assert current_user.id == world.alice.id
        require_user.check()
    with world.app.test_request_context():
        assert not current_user
        with pytest.raises(errors.NotAuthenticated):
            require_user.check()


def test_current_user_cannot_be_changed(world: World) -> None:
    """The proxy gives no way to write to the user."""
    with world.app.test_request_context(headers=world.sandbox.headers(world.alice)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            current_user.kind = "regular"  # type: ignore[misc]  # what is tested
        with pytest.raises(AttributeError):
            del current_user.kind


def test_current_user_in_a_copied_request_context(world: World) -> None:
    """A thread that took the request along sees the same caller, verified once."""

    @world.app.get("/")
    def index() -> dict[str, Any]:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(flask.copy_current_request_context(who)).result(5)

    response = world.get("/", world.alice)

    assert ({"id": world.alice.id}, VARY) == (response.json, response.headers["Vary"])


def test_pushed_application_context_leaks_nobody(world: World) -> None:
    """With an application context pushed for good, as scripts do, no request sees the caller of another."""
    world.app.add_url_rule("/public", "public", me())
    world.app.add_url_rule("/me", "me", require_user(me()))
    world.app.add_url_rule("/key", "key", require_api_key(show_key))
    world.app.add_url_rule("/no-key", "no_key", lambda: {"key": bool(current_api_key)})
    key = world.sandbox.create_api_key(user=world.alice)

    with world.app.app_context():
        assert world.get("/me", world.alice).json == {"id": world.alice.id}
        assert world.get("/public").json == {"id": None}
        assert world.get("/me").status_code == 401
        assert world.get("/public", world.bob).json == {"id": world.bob.id}
        assert world.get("/key", headers={"x-api-key": key.value}).json == {"id": key.id, "user": False}
        assert world.get("/no-key").json == {"key": False}


def test_interleaved_users_stay_apart(world: World) -> None:
    """Two users in threads at the same moment, under an application context pushed for good: each sees themselves."""
    meeting = threading.Barrier(2)

    @world.app.get("/")
    @require_user
    def index() -> dict[str, Any]:
        before = current_user.id
        meeting.wait(5)
        return {"before": before, "after": current_user.id}

    def ask(user: SandboxUser) -> bool:
        with world.app.app_context():
            return all(world.get("/", user).json == {"before": user.id, "after": user.id} for _ in range(20))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, (world.alice, world.bob))) == [True, True]


def test_environ_used_again_has_forgotten_its_caller(world: World) -> None:
    """Middleware may send an environ through the application twice, with other credentials."""
    world.app.add_url_rule("/", view_func=me())
    inner = world.app.wsgi_app

    def twice(environ: Any, start_response: Any) -> Any:
        b"".join(inner(environ, lambda *_: lambda _: None))
        del environ["HTTP_X_STACK_ACCESS_TOKEN"]
        return inner(environ, start_response)

    world.app.wsgi_app = twice  # type: ignore[method-assign]  # as Flask says to

    assert world.get("/", world.alice).json == {"id": None}


def test_middleware_inside_may_copy_the_environ(world: World) -> None:
    """The answer is guarded although the application saw another environ than the server's."""
    app = flask.Flask("example")
    inner = app.wsgi_app
    app.wsgi_app = lambda environ, start_response: inner(dict(environ), start_response)  # type: ignore[method-assign]
    Hexclave(app, world.sandbox.config)
    app.add_url_rule("/", view_func=me())

    response = app.test_client().get("/", headers=world.sandbox.headers(world.alice))

    assert ({"id": world.alice.id}, VARY) == (response.json, response.headers["Vary"])


# --- credentials --------------------------------------------------------------------------------------------


def test_underscored_names_are_the_servers_business(world: World) -> None:
    """WSGI hands over one name for both spellings; only a verified token counts either way."""
    world.app.add_url_rule("/", view_func=me())

    response = world.client.get("/", environ_overrides={"HTTP_X_STACK_ACCESS_TOKEN": "forged"})

    assert response.json == {"id": None}


def test_cookies_are_read_only_when_asked_for(world: World) -> None:
    """Cookies count with `accept_cookies` and join `Vary`; junk breaks nothing, whatever its name."""
    project = world.sandbox.config.project_id
    refresh = urllib.parse.quote(json.dumps({"refresh_token": "r", "updated_at_millis": 1}))
    access = urllib.parse.quote(json.dumps(["r", world.sandbox.token(world.alice)]))
    cookie = f"bad=\xff; hexclave-access=old; hexclave-refresh-{project}--default={refresh}; hexclave-access={access}"
    for accepts, expected in ((False, None), (True, world.alice.id)):
        app = make_app(world.sandbox, accept_cookies=accepts)
        app.add_url_rule("/", view_func=me())

        response = app.test_client(use_cookies=False).get("/", environ_overrides={"HTTP_COOKIE": cookie})

        assert response.json == {"id": expected}
        assert ("Cookie" in response.headers["Vary"]) is accepts


@pytest.mark.parametrize("planted", [["session"], ["token"], ["session", "token"], ["token"] * 2])
def test_a_neighbouring_subdomain_signs_nobody_out_or_in(world: World, planted: list[str]) -> None:
    """Beside a `__Host-` cookie, no cookie that a sibling can plant changes who the caller is."""
    app = make_app(world.sandbox, accept_cookies=True)
    app.add_url_rule("/", view_func=me())
    prefix = f"hexclave-refresh-{world.sandbox.config.project_id}--"

    def session(refresh: str, updated: int) -> str:
        return urllib.parse.quote(json.dumps({"refresh_token": refresh, "updated_at_millis": updated}))

    def token(refresh: str, user: SandboxUser) -> str:
        pair = [refresh, world.sandbox.token(user)]
        return "hexclave-access=" + urllib.parse.quote(json.dumps(pair, separators=(",", ":")))

    bobs = {"session": f"{prefix}custom-X={session('bob', 9)}", "token": token("bob", world.bob)}
    own = [f"__Host-{prefix}default={session('alice', 1)}", token("alice", world.alice)]
    for cookies in ([*own, *(bobs[name] for name in planted)], [*(bobs[name] for name in planted), *own]):
        response = app.test_client(use_cookies=False).get("/", headers={"Cookie": "; ".join(cookies)})

        assert response.json == {"id": world.alice.id}


def test_envelope_and_bearer(world: World) -> None:
    """The other forms a client may send."""
    world.app.add_url_rule("/", view_func=require_user(me()))
    token = world.sandbox.token(world.alice)
    pair = json.dumps({"accessToken": token, "refreshToken": None})
    envelope = base64.b64encode(pair.encode()).decode()

    for headers in (
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"Bearer stackauth_{envelope}"},
        {"X-Stack-Auth": pair},
        {"X-Hexclave-Access-Token": token},
    ):
        assert world.client.get("/", headers=headers).json == {"id": world.alice.id}


def show_key() -> dict[str, Any]:
    return {"id": current_api_key.id, "user": bool(current_user)}


def show_both() -> dict[str, Any]:
    return who() | {"key": bool(current_api_key)}


def test_api_keys(world: World) -> None:
    """A key is `current_api_key`; its owner is `current_user` only where a requirement about users took it."""
    world.app.add_url_rule("/key", "key", require_api_key(show_key))
    world.app.add_url_rule("/either", "either", require_user.allow(api_key=True)(show_both))
    key = world.sandbox.create_api_key(user=world.alice)
    team_key = world.sandbox.create_api_key(team=world.team)

    for headers in ({"X-Api-Key": key.value}, {"Authorization": f"Bearer {key.value}"}):
        assert world.client.get("/key", headers=headers).json == {"id": key.id, "user": False}
        assert world.client.get("/either", headers=headers).json == {"id": world.alice.id, "key": False}
    assert world.client.get("/key", headers={"X-Api-Key": team_key.value}).json == {"id": team_key.id, "user": False}


# --- permissions and outages --------------------------------------------------------------------------------


def test_permission_of_the_route_parameter_is_asked_once(world: World) -> None:
    """The team comes from the route; the answer is remembered; another team is another question."""
    world.app.add_url_rule("/teams/<team_id>", view_func=require_permission("{team_id}", "export_reports")(greet()))
    path = f"/teams/{world.team.id}"

    assert [world.get(path, world.alice).status_code for _ in range(3)] == [200, 200, 200]
    assert world.sandbox.count("/team-permissions") == 1
    assert world.get(f"/teams/{world.sandbox.create_team().id}", world.alice).status_code == 403
    assert world.get("/teams/none", world.alice).status_code == 403
    assert world.get(path, world.bob).status_code == 403


def test_team_from_a_callable_gets_flasks_request(world: World) -> None:
    """A callable reference takes the request itself, not a proxy that another thread would read anew."""
    seen: list[object] = []

    def team_of(request: flask.Request) -> str:
        seen.append(request)
        return request.args.get("team", "")

    world.app.add_url_rule("/", view_func=require_team(team_of)(greet()))

    assert world.get(f"/?team={world.team.id}", world.alice).status_code == 200
    assert world.get("/", world.alice).status_code == 403
    assert type(seen[0]) is flask.Request


@pytest.mark.parametrize("converter", ["<team_id>", "<uuid:team_id>"])
def test_team_parameter_with_a_converter(world: World, converter: str) -> None:
    """A converter may have made the parameter a `uuid.UUID`."""
    world.app.add_url_rule(f"/{converter}", view_func=require_team("{team_id}")(greet()), endpoint="team")

    assert world.get(f"/{world.team.id}", world.alice).status_code == 200
    assert world.get(f"/{world.team.id}", world.bob).status_code == 403


def test_view_called_by_another_view_is_held_to_the_team_it_is_given(world: World) -> None:
    """What counts is the argument the view acts on, not the parameter of the route that led there."""
    own, other = world.team, world.sandbox.create_team()
    guarded = require_team("{team_id}")(greet())

    @world.app.get("/<how>/<team_id>")
    def outer(how: str, team_id: str) -> Any:
        return guarded(other.id) if how == "position" else guarded(team_id=other.id)

    for how in ("position", "keyword"):
        assert world.get(f"/{how}/{own.id}", world.alice).status_code == 403


def test_live_notices_a_sign_out(world: World) -> None:
    """A token outlives its session; a live requirement does not."""
    world.app.add_url_rule("/live", view_func=require_user.live()(me()), endpoint="live")
    headers = world.sandbox.headers(world.alice)

    assert world.client.get("/live", headers=headers).json == {"id": world.alice.id}
    world.sandbox.sign_out(world.alice)
    assert world.client.get("/live", headers=headers).status_code == 401


def test_outage(world: World) -> None:
    """Known keys go on verifying; what cannot be checked is 503 with `Retry-After`, never 401 and never 200."""
    world.app.add_url_rule("/me", view_func=require_user(me()))
    world.app.add_url_rule("/teams/<team_id>", "team", require_permission("{team_id}", "export_reports")(greet()))
    bob = world.sandbox.headers(world.bob)
    assert world.get("/me", world.alice).status_code == 200

    with world.sandbox.outage():
        assert world.client.get("/me", headers=bob).json == {"id": world.bob.id}
        response = world.get(f"/teams/{world.team.id}", world.alice)
    assert (503, Unavailable().body(), PRIVATE) == (
        response.status_code,
        response.data,
        response.headers["Cache-Control"],
    )
    assert int(response.headers["Retry-After"]) >= 1


def test_cold_start_in_an_outage(world: World) -> None:
    """Without any key, nobody can be told from anybody."""
    world.app.add_url_rule("/me", view_func=require_user(me()))

    with world.sandbox.outage():
        assert world.get("/me", world.alice).status_code == 503
        assert world.get("/me").status_code == 401


# --- views of every kind ------------------------------------------------------------------------------------


def test_async_view(world: World) -> None:
    """An async view is guarded and sees the caller, also after it has waited."""

    async def index() -> dict[str, Any]:
        import asyncio

        before = current_user.id
        await asyncio.sleep(0)
        return {"before": before, "after": current_user.id}

    world.app.add_url_rule("/", view_func=require_user(index))
    world.app.add_url_rule("/public", "public", view_func=me())

    assert world.get("/").status_code == 401
    assert world.get("/", world.alice).json == {"before": world.alice.id, "after": world.alice.id}


def test_current_user_in_a_public_async_view(world: World) -> None:
    """Reading it verifies, on whatever thread Flask runs the view."""

    async def index() -> dict[str, Any]:
        return who()

    world.app.add_url_rule("/", view_func=index)

    response = world.get("/", world.alice)
    assert ({"id": world.alice.id}, VARY) == (response.json, response.headers["Vary"])


def test_class_based_views(world: World) -> None:
    """`decorators` guards every method; a decorated method guards itself, sync and async."""

    class Guarded(MethodView):
        decorators = [require_user]  # noqa: RUF012  # Flask's own spelling

        def get(self) -> dict[str, Any]:
            return who()

        def post(self) -> dict[str, Any]:
            return who()

    class Mixed(MethodView):
        def get(self, team_id: str) -> dict[str, Any]:
            return {"team": team_id}

        @require_team("{team_id}")
        def post(self, team_id: str) -> dict[str, Any]:
            return {"team": team_id}

        @require_user
        async def put(self, team_id: str) -> dict[str, Any]:
            return who()

    class Plain(View):
        init_every_request = False

        @require_user
        def dispatch_request(self) -> dict[str, Any]:
            return who()

    world.app.add_url_rule("/guarded", view_func=Guarded.as_view("guarded"))
    world.app.add_url_rule("/mixed/<team_id>", view_func=Mixed.as_view("mixed"))
    world.app.add_url_rule("/plain", view_func=Plain.as_view("plain"))
    bob, alice = world.sandbox.headers(world.bob), world.sandbox.headers(world.alice)
    mixed = f"/mixed/{world.team.id}"

    assert [world.client.open("/guarded", method=method).status_code for method in ("GET", "POST")] == [401, 401]
    assert world.client.post("/guarded", headers=bob).json == {"id": world.bob.id}
    assert tuple(world.client.open(mixed, method=method).status_code for method in ("GET", "POST", "PUT")) == (
        200,
        401,
        401,
    )
    assert world.client.post(mixed, headers=bob).status_code == 403
    assert world.client.post(mixed, headers=alice).status_code == 200
    assert world.client.put(mixed, headers=bob).json == {"id": world.bob.id}
    assert (world.get("/plain").status_code, world.get("/plain", world.bob).status_code) == (401, 200)


def test_requirements_add_up(world: World) -> None:
    """Each of several requirements has to be met, the blueprint's first."""
    blueprint = flask.Blueprint("teams", __name__, url_prefix="/teams/<team_id>")
    nested = flask.Blueprint("nested", __name__, url_prefix="/nested")
    blueprint.before_request(require_team("{team_id}").check)
    nested.add_url_rule("/", view_func=require_permission("{team_id}", "export_reports")(greet()))
    blueprint.add_url_rule("/", "index", view_func=greet())
    blueprint.register_blueprint(nested)
    world.app.register_blueprint(blueprint)
    carol = world.sandbox.create_user()
    world.sandbox.add_member(world.team, carol)
    path = f"/teams/{world.team.id}/"

    assert [world.get(path, user).status_code for user in (world.alice, carol, world.bob, None)] == [200, 200, 403, 401]
    path += "nested/"
    assert [world.get(path, user).status_code for user in (world.alice, carol, world.bob, None)] == [200, 403, 403, 401]


def test_check_of_the_application_guards_everything(world: World) -> None:
    """Paths without a route are guarded too: a stranger learns nothing from 404."""
    world.app.before_request(require_user.check)
    world.app.add_url_rule("/", view_func=greet())

    assert [world.get(path).status_code for path in ("/", "/none", "/static/none")] == [401, 401, 401]
    assert [world.get(path, world.alice).status_code for path in ("/", "/none")] == [200, 404]


def test_check_gives_nothing_to_take_for_an_answer(world: World) -> None:
    """It returns None, so that neither Flask nor an `if` takes it for more than it is."""
    with world.app.test_request_context(headers=world.sandbox.headers(world.alice)):
        result: object = require_user.check()  # type: ignore[func-returns-value]  # what is tested
        assert result is None


# --- several applications -----------------------------------------------------------------------------------


def test_factory_and_several_projects() -> None:
    """One `Hexclave` for several applications, each with the project of its own settings."""
    hexclave = Hexclave()

    def create_app(sandbox: Sandbox) -> flask.Flask:
        app = flask.Flask("example")
        for name in HexclaveConfig.__dataclass_fields__:
            app.config[f"HEXCLAVE_{name.upper()}"] = getattr(sandbox.config, name)
        hexclave.init_app(app)
        app.add_url_rule("/", view_func=require_user(me()))
        return app

    sandboxes = [Sandbox(), Sandbox()]
    users = [sandbox.create_user() for sandbox in sandboxes]
    apps = [create_app(sandbox) for sandbox in sandboxes]

    for app, own, user in zip(apps, sandboxes, users, strict=True):
        assert app.test_client().get("/", headers=own.headers(user)).json == {"id": user.id}
        with app.app_context():
            assert hexclave.client.config.project_id == own.config.project_id
            assert hexclave.client is app.extensions["hexclave"].client
    crossed = apps[0].test_client().get("/", headers=sandboxes[1].headers(users[1]))
    assert crossed.get_json()["code"] == "INVALID_PROJECT_FOR_ACCESS_TOKEN"
    with pytest.raises(RuntimeError, match="application context"):
        _ = hexclave.client


def test_application_called_by_another_with_its_environ() -> None:
    """Two applications with a project each may share one environ: each has its own caller, and guards its answer."""
    outer_box, inner_box = Sandbox(), Sandbox()
    outer, inner = make_app(outer_box), make_app(inner_box)
    inner.add_url_rule("/", view_func=me())

    @outer.get("/")
    def index() -> Any:
        own = bool(current_user)
        body = b"".join(inner(flask.request.environ, lambda *_: lambda _: None))
        return {"before": own, "inner": json.loads(body)["id"], "after": bool(current_user)}

    response = outer.test_client().get("/", headers=outer_box.headers(outer_box.create_user()))

    assert response.json == {"before": True, "inner": None, "after": True}
    assert response.headers["Vary"] == VARY


def test_mounted_applications() -> None:
    """A dispatcher in front changes nothing."""
    boxes = Sandbox(), Sandbox()
    apps = [make_app(box) for box in boxes]
    for app in apps:
        app.add_url_rule("/", view_func=require_user(me()))
    client = Client(DispatcherMiddleware(apps[0], {"/second": apps[1]}))
    user = boxes[1].create_user()

    assert client.get("/second/", headers=boxes[1].headers(user)).json == {"id": user.id}
    assert client.get("/", headers=boxes[1].headers(user)).status_code == 401


def test_extension_keeps_no_application_alive() -> None:
    """`Hexclave` holds no application: factories may throw theirs away."""
    hexclave = Hexclave(config=Sandbox().config)
    app = flask.Flask("example")
    hexclave.init_app(app)
    gone = weakref.ref(app)
    del app
    gc.collect()

    assert gone() is None


def test_settings_given_to_init_app_are_those_of_that_application() -> None:
    """A factory's tests hand in the settings of a sandbox."""
    usual, special = Sandbox().config, Sandbox().config
    hexclave = Hexclave(config=usual)
    apps = flask.Flask("one"), flask.Flask("two")
    hexclave.init_app(apps[0], special)
    hexclave.init_app(apps[1])

    assert [app.extensions["hexclave"].client.config for app in apps] == [special, usual]


def test_second_installation_is_refused(world: World) -> None:
    """Two on one application would disagree about who the caller is."""
    with pytest.raises(ConfigurationError, match="already"):
        Hexclave(world.app, world.sandbox.config)


def test_missing_installation_is_told() -> None:
    """A requirement without `Hexclave(app)` lets nobody in, and says what is missing."""
    app = flask.Flask("example")
    app.testing = True
    app.add_url_rule("/", view_func=require_user(greet()))
    app.add_url_rule("/public", "public", view_func=me())

    for path in ("/", "/public"):
        with pytest.raises(ConfigurationError, match=r"Hexclave\(app\)"):
            app.test_client().get(path)


def test_only_flask_applications_are_taken() -> None:
    """The WSGI callable inside is not the application."""
    with pytest.raises(ConfigurationError, match="the Flask application"):
        Hexclave(flask.Flask("example").wsgi_app, Sandbox().config)  # type: ignore[arg-type]  # what is tested


# --- settings -----------------------------------------------------------------------------------------------


def test_missing_project_stops_the_start() -> None:
    """Without a project there is no application."""
    with pytest.raises(ConfigurationError, match="HEXCLAVE_PROJECT_ID"):
        Hexclave(flask.Flask("example"))


def test_settings_come_from_the_application_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`app.config` wins; a blank or missing value there is looked up in the environment."""
    project, key = Sandbox().config.project_id, "ssk_from_environment"
    monkeypatch.setenv("HEXCLAVE_PROJECT_ID", "not read")
    monkeypatch.setenv("STACK_SECRET_SERVER_KEY", key)
    app = flask.Flask("example")
    app.config.update(HEXCLAVE_PROJECT_ID=project, HEXCLAVE_SECRET_SERVER_KEY=" ", HEXCLAVE_LEEWAY="3", OTHER=1)
    Hexclave(app)

    config = app.extensions["hexclave"].client.config
    assert (project, key, 3) == (config.project_id, config.secret_server_key, config.leeway)


def test_misspelt_setting_stops_the_start() -> None:
    """A misspelt setting would be a setting that is not in force."""
    app = flask.Flask("example")
    app.config.update(HEXCLAVE_PROJECT_ID=Sandbox().config.project_id, HEXCLAVE_PERMISION_TTL=0)

    with pytest.raises(ConfigurationError, match="HEXCLAVE_PERMISSION_TTL"):
        Hexclave(app)


# --- misuse -------------------------------------------------------------------------------------------------

# A type checker refuses most of it; these are for people without one.
kit: Any = importlib.import_module("hexclave_integrations.flask")


def decorated_late(app: Any) -> None:
    kit.require_user(app.get("/")(greet()))


def decorated_late_through_another_decorator(app: Any) -> None:
    view = app.get("/")(greet())
    kit.require_user(functools.wraps(view)(lambda: view()))


def half_guarded(app: Any) -> None:
    kit.require_team("{team_id}")(app.get("/teams/<team_id>")(kit.require_user(greet())))


def bare_team(app: Any) -> None:
    app.get("/")(kit.require_team(greet()))


def bare_team_with_an_endpoint(app: Any) -> None:
    app.get("/", endpoint="x")(kit.require_team(greet()))


def bare_team_below_another_decorator(app: Any) -> None:
    app.get("/")(kit.require_user(kit.require_team(greet())))


def bare_team_in_a_class(app: Any) -> None:
    class Guarded(MethodView):
        decorators = [kit.require_team]  # noqa: RUF012

        def get(self) -> str:
            return "in"

    app.add_url_rule("/", view_func=Guarded.as_view("guarded"))


def bare_team_on_a_method(app: Any) -> None:
    class Guarded(MethodView):
        get = kit.require_team(greet())

    app.add_url_rule("/", view_func=Guarded.as_view("guarded"))


def bare_permission(app: Any) -> None:
    app.get("/")(kit.require_permission(greet()))


def bare_project_permission(app: Any) -> None:
    app.get("/")(kit.require_project_permission(greet()))


def called_without_a_view(app: Any) -> None:
    kit.require_user()(greet())


def live_without_the_call(app: Any) -> None:
    kit.require_user.live(greet())


def allow_without_the_call(app: Any) -> None:
    kit.require_user.allow(greet())


def check_as_a_decorator(app: Any) -> None:
    kit.require_user.check(greet())


def check_called_by_mistake(app: Any) -> None:
    app.before_request(kit.require_user.check())


def requirement_as_a_view(app: Any) -> None:
    app.add_url_rule("/", view_func=kit.require_user)


def requirement_as_a_view_with_an_endpoint(app: Any) -> None:
    app.add_url_rule("/<view>", "x", kit.require_user)


def factory_as_a_view(app: Any) -> None:
    app.add_url_rule("/<team>", "x", kit.require_team)


def requirement_as_a_blueprints_view(app: Any) -> None:
    flask.Blueprint("b", __name__).add_url_rule("/", view_func=kit.require_user)


def requirement_before_requests(app: Any) -> None:
    app.before_request(kit.require_user)
    app.get("/")(greet())


def factory_before_requests(app: Any) -> None:
    app.before_request(kit.require_team)
    app.get("/")(greet())


def live_before_requests(app: Any) -> None:
    app.before_request(kit.require_user.live)
    app.get("/")(greet())


def allow_before_requests(app: Any) -> None:
    app.before_request(kit.require_user.allow)
    app.get("/")(greet())


def requirement_as_a_condition(app: Any) -> None:
    if kit.require_user:
        app.get("/")(greet())


def class_decorated(app: Any) -> None:
    class Guarded(MethodView):
        pass

    app.add_url_rule("/", view_func=kit.require_user(Guarded).as_view("x"))


def nothing_decorated(app: Any) -> None:
    kit.require_user("view")


def factory_decorated(app: Any) -> None:
    app.get("/")(kit.require_user(kit.require_permission))


def parameter_the_route_lacks_for_a_method_of_its_own(app: Any) -> None:
    class Guarded(MethodView):
        methods = ["QUERY"]  # noqa: RUF012  # Flask's own spelling
        query = kit.require_team("{team_id}")(greet())

    app.add_url_rule("/", view_func=Guarded.as_view("guarded"))


def parameter_the_route_lacks(app: Any) -> None:
    app.get("/<team>")(kit.require_team("{team_id}")(greet()))


def parameter_a_route_of_the_blueprint_lacks(app: Any) -> None:
    blueprint = flask.Blueprint("teams", __name__)
    blueprint.before_request(kit.require_team("{team_id}").check)
    blueprint.add_url_rule("/teams/<team_id>", "one", greet())
    blueprint.add_url_rule("/teams", "all", greet())
    app.register_blueprint(blueprint)


@pytest.mark.parametrize(
    "misuse",
    [
        decorated_late,
        decorated_late_through_another_decorator,
        half_guarded,
        bare_team,
        bare_team_with_an_endpoint,
        bare_team_below_another_decorator,
        bare_team_in_a_class,
        bare_team_on_a_method,
        bare_permission,
        bare_project_permission,
        called_without_a_view,
        live_without_the_call,
        allow_without_the_call,
        check_as_a_decorator,
        check_called_by_mistake,
        requirement_as_a_view,
        requirement_as_a_view_with_an_endpoint,
        factory_as_a_view,
        requirement_as_a_blueprints_view,
        requirement_before_requests,
        factory_before_requests,
        live_before_requests,
        allow_before_requests,
        requirement_as_a_condition,
        class_decorated,
        nothing_decorated,
        factory_decorated,
        parameter_the_route_lacks,
        parameter_the_route_lacks_for_a_method_of_its_own,
        parameter_a_route_of_the_blueprint_lacks,
    ],
)
def test_misuse_is_refused_before_any_answer(world: World, misuse: Callable[[flask.Flask], None]) -> None:
    """A wrong spelling fails when it is written, or before the first answer: never by letting somebody in."""
    try:
        misuse(world.app)
    except (ConfigurationError, TypeError, AttributeError, RuntimeError):
        return
    for _ in range(2):  # not only the first request
        with pytest.raises(ConfigurationError):
            world.get(f"/teams/{world.team.id}", world.alice)


def test_where_views_hide_their_class_nothing_is_answered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Flask whose class-based views cannot be looked at is named: their requirements are not taken for none."""
    original = flask.views.View.__dict__["as_view"].__func__

    def as_view(cls: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        view = original(cls, name, *args, **kwargs)
        del view.view_class
        return view

    monkeypatch.setattr(flask.views.View, "as_view", classmethod(as_view))
    world.app.add_url_rule("/open", view_func=lambda: "in", endpoint="open")

    with pytest.raises(ConfigurationError, match="class-based views cannot be read"):
        world.get("/open", world.alice)


@pytest.mark.parametrize("what", [MethodView, require_user, require_team, "view", None])
def test_only_functions_are_decorated(what: Any) -> None:
    """A class, another requirement or a factory is refused when it is written."""
    with pytest.raises(ConfigurationError, match="decorates a function or method"):
        require_user(what)


def test_late_decoration_is_explained(world: World) -> None:
    """The message names the route and the order."""
    decorated_late(world.app)

    with pytest.raises(ConfigurationError, match=r"/ runs .* below the route decorator"):
        world.get("/")


def test_guarded_views_may_share_a_function(world: World) -> None:
    """The same function behind several requirements and applications is no late decoration."""
    for app in (world.app, make_app(world.sandbox)):
        app.add_url_rule("/a", "a", require_user(me()))
        app.add_url_rule("/b", "b", optional_user(require_user(me())))
        app.add_url_rule("/c", "c", functools.wraps(who)(lambda: who()))

        assert [app.test_client().get(path).status_code for path in ("/a", "/b", "/c")] == [401, 401, 200]


def test_missing_server_key_stops_the_application(world: World) -> None:
    """A route that needs the key is found before the first answer, of whatever route."""
    for requirement in (require_team("{team_id}"), require_api_key, require_user.live()):
        app = make_app(world.sandbox, secret_server_key=None)
        app.add_url_rule("/public", "public", lambda: "in")
        app.add_url_rule("/<team_id>", "team", requirement(greet()))

        with pytest.raises(ConfigurationError, match="HEXCLAVE_SECRET_SERVER_KEY"):
            app.test_client().get("/public")


def test_missing_server_key_where_it_cannot_be_seen(world: World) -> None:
    """A requirement that no route shows fails when it is used."""
    app = make_app(world.sandbox, secret_server_key=None)
    app.testing = True

    @app.get("/")
    def index() -> str:
        require_team(world.team.id).check()
        return "in"

    with pytest.raises(ConfigurationError, match="HEXCLAVE_SECRET_SERVER_KEY"):
        app.test_client().get("/", headers=world.sandbox.headers(world.alice))


def test_requirement_keeps_name_and_signature_of_its_view() -> None:
    """Flask, documentation and debuggers see the view."""
    guarded: Any = require_user(who)

    assert (guarded.__name__, guarded.__doc__, guarded.__wrapped__) == ("who", who.__doc__, who)


# --- command ------------------------------------------------------------------------------------------------


def test_command_finds_no_problems(world: World) -> None:
    """It exits with 0 and sends nothing unless told to."""
    world.app.add_url_rule("/<team_id>", view_func=require_team("{team_id}")(greet()))

    result = world.app.test_cli_runner().invoke(args=["hexclave", "check"])

    assert (result.exit_code, world.sandbox.requests) == (0, [])
    assert world.sandbox.config.project_id in result.output


def test_command_names_every_problem(world: World) -> None:
    """All problems at once, and 1; no secret is printed."""
    app = make_app(world.sandbox, secret_server_key=None)
    app.add_url_rule("/teams", "teams", require_team("{team_id}")(greet()))
    require_user(app.get("/late")(who))

    result = app.test_cli_runner().invoke(args=["hexclave", "check"])

    assert result.exit_code == 1
    for part in ("HEXCLAVE_SECRET_SERVER_KEY", '/teams has no parameter "team_id"', "/late runs its view"):
        assert part in result.output
    assert (world.sandbox.config.publishable_client_key or "pck_") not in result.output


def test_command_asks_for_the_keys_when_told_to(world: World) -> None:
    """`--online` says whether the keys can be fetched."""
    runner = world.app.test_cli_runner()

    with world.sandbox.outage():
        failed = runner.invoke(args=["hexclave", "check", "--online"])
    assert (failed.exit_code, "cannot be fetched" in failed.output) == (1, True)


def test_command_is_content_with_reachable_keys(world: World) -> None:
    """`--online` fetches the keys once."""
    result = world.app.test_cli_runner().invoke(args=["hexclave", "check", "--online"])

    assert (result.exit_code, world.sandbox.count("/jwks.json")) == (0, 1)


# --- servers ------------------------------------------------------------------------------------------------


def test_wsgi_lint_accepts_the_application(world: World) -> None:
    """Every call and answer is within PEP 3333."""
    world.app.add_url_rule("/me", view_func=require_user(me()))
    world.app.add_url_rule("/public", "public", greet())

    @world.app.get("/stream")
    @require_user
    def stream() -> flask.Response:
        return flask.Response(flask.stream_with_context(str(current_user.id) for _ in range(2)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # WebOb imports `cgi`
        import webtest  # type: ignore[import-untyped]  # publishes no types
    tester = webtest.TestApp(world.app, lint=True)
    headers = world.sandbox.headers(world.alice)

    assert tester.get("/me", headers=headers).json == {"id": world.alice.id}
    assert tester.get("/stream", headers=headers).text == world.alice.id * 2
    assert tester.get("/me", status=401).json["code"] == "USER_AUTHENTICATION_REQUIRED"
    assert tester.head("/me", status=401).body == b""
    assert tester.options("/me").status_code == 200
    assert tester.get("/public").status_code == 200


@contextmanager
def served(app: flask.Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_real_server_and_real_hexclave_over_http(world: World) -> None:
    """The whole way over sockets: many callers at once, one fetch of the keys, everybody sees themselves."""
    with world.sandbox.serve():
        app = make_app(world.sandbox)
        app.add_url_rule("/me", view_func=require_user(me()))
        people = [world.sandbox.create_user() for _ in range(8)]

        with served(app) as url:

            def ask(user: SandboxUser) -> Any:
                with urllib.request.urlopen(
                    urllib.request.Request(f"{url}/me", headers=world.sandbox.headers(user))
                ) as got:
                    return json.load(got)["id"], got.headers["Cache-Control"]

            with ThreadPoolExecutor(8) as pool:
                assert list(pool.map(ask, people)) == [(user.id, PRIVATE) for user in people]
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"{url}/me")
            with refused.value as answer:
                assert (401, errors.NotAuthenticated().body()) == (answer.status, answer.read())
        app.extensions["hexclave"].client.close()
    assert world.sandbox.count("/jwks.json") == 1


def test_vary_is_the_cores(world: World) -> None:
    """The value this file compares with is the one every adapter sends."""
    assert vary_on_credentials(None, world.sandbox.config) == VARY
