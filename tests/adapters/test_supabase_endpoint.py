"""Supabase's token endpoint: the bytes on the wire, and what is each framework's own; decisions are in the contract."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import fastapi as fastapi_framework
import flask as flask_framework
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.testclient import TestClient

from . import _django

# isort: split
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from django.views.decorators.cache import cache_page

from hexclave_integrations import (
    ConfigurationError,
    HexclaveConfig,
    RequestRefused,
    TokenExpired,
    django,
    fastapi,
    flask,
    starlette,
)
from hexclave_integrations.django import checks
from hexclave_integrations.django.middleware import HexclaveMiddleware
from hexclave_integrations.requirements import Requirement
from hexclave_integrations.supabase import SupabaseSigner
from hexclave_integrations.testing import Sandbox

from ..test_public_api import loaded_by

SECRET = "jI4uWv0O5fCYgdq2Vp1zHn8sKtXb7LmR"
PATH = "/supabase-token"
MIDDLEWARE = "hexclave_integrations.django.middleware.HexclaveMiddleware"
LATE = 4102444800
"""A signer whose clock stands here takes every access token for over."""

Answer = tuple[int, bytes, dict[str, str]]
Send = Callable[..., Answer]
"""`send(headers, method="GET", at=PATH)`."""


def read(status: int, content: bytes, headers: Any) -> Answer:
    return status, content, {name.lower(): value for name, value in headers.items()}


@contextmanager
def by_asgi(app: Any) -> Iterator[Send]:
    with TestClient(app) as client:

        def send(headers: dict[str, str], method: str = "GET", at: str = PATH) -> Answer:
            response = client.request(method, at, headers=headers)
            return read(response.status_code, response.content, response.headers)

        yield send


def by_starlette(signer: SupabaseSigner, config: HexclaveConfig | None) -> AbstractContextManager[Send]:
    middleware = [] if config is None else [Middleware(starlette.HexclaveMiddleware, config=config)]
    return by_asgi(Starlette(routes=[starlette.supabase_route(signer)], middleware=middleware))


def by_fastapi(signer: SupabaseSigner, config: HexclaveConfig | None) -> AbstractContextManager[Send]:
    app = fastapi_framework.FastAPI()
    if config is not None:
        fastapi.Hexclave(app, config)
    app.include_router(fastapi.supabase_router(signer))
    return by_asgi(app)


@contextmanager
def by_flask_app(app: flask_framework.Flask) -> Iterator[Send]:
    app.testing = True  # exceptions come out
    client = app.test_client()

    def send(headers: dict[str, str], method: str = "GET", at: str = PATH) -> Answer:
        response = client.open(at, method=method, headers=headers)
        return read(response.status_code, response.data, response.headers)

    yield send


def by_flask(signer: SupabaseSigner, config: HexclaveConfig | None) -> AbstractContextManager[Send]:
    app = flask_framework.Flask("supabase")
    if config is not None:
        flask.Hexclave(app, config)
    app.register_blueprint(flask.supabase_blueprint(signer))
    return by_flask_app(app)


@contextmanager
def by_django(colour: str, signer: SupabaseSigner, config: HexclaveConfig | None, **options: Any) -> Iterator[Send]:
    def send(headers: dict[str, str], method: str = "GET", at: str = PATH) -> Answer:
        response = _django.ask(colour, at, headers, method=method, raises=True, enforce_csrf_checks=True)
        return read(response.status_code, response.content, response.headers)

    options.setdefault("ROOT_URLCONF", (path(PATH[1:], django.supabase_view(signer)),))
    options.setdefault("MIDDLEWARE", [] if config is None else [MIDDLEWARE])
    with override_settings(HEXCLAVE={} if config is None else _django.as_settings(config), **options):
        yield send


def by_django_wsgi(signer: SupabaseSigner, config: HexclaveConfig | None) -> AbstractContextManager[Send]:
    return by_django("wsgi", signer, config)


def by_django_asgi(signer: SupabaseSigner, config: HexclaveConfig | None) -> AbstractContextManager[Send]:
    return by_django("asgi", signer, config)


FRAMEWORKS = {
    "starlette": by_starlette,
    "fastapi": by_fastapi,
    "flask": by_flask,
    "django wsgi": by_django_wsgi,
    "django asgi": by_django_asgi,
}
Serve = Callable[[SupabaseSigner, HexclaveConfig | None], AbstractContextManager[Send]]
every_framework = pytest.mark.parametrize("serve", [pytest.param(serve, id=name) for name, serve in FRAMEWORKS.items()])
MAKERS: dict[str, Callable[[Any], Any]] = {
    "starlette": starlette.supabase_route,
    "fastapi": fastapi.supabase_router,
    "flask": flask.supabase_blueprint,
    "django": django.supabase_view,
}
every_maker = pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in MAKERS.items()])


class LiveSigner(SupabaseSigner):
    """Asks Hexclave whether the user is still there, which needs a secret server key."""

    def guard(self, requirement: Any) -> Any:
        return super().guard(requirement).live()


class OwnAnswers(HexclaveMiddleware):
    """An application's own form of refusals, in Django."""

    def refuse(self, request: Any, error: RequestRefused) -> HttpResponse:
        return HttpResponse(error.code, status=418)


def late_signer() -> SupabaseSigner:
    return SupabaseSigner(SECRET, clock=lambda: LATE)


def without_key(sandbox: Sandbox) -> HexclaveConfig:
    return HexclaveConfig(project_id=sandbox.config.project_id, transport=sandbox.config.transport)


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


# --- the same everywhere --------------------------------------------------------------------------------------


@every_framework
def test_the_answer(sandbox: Sandbox, serve: Serve) -> None:
    """Two fields and no others: a token that is now valid and speaks for the user alone, and its end."""
    alice = sandbox.create_user(display_name="Alice")
    before = int(time.time())
    with serve(SupabaseSigner(SECRET, expires_in=60), sandbox.config) as send:
        status, content, headers = send(sandbox.headers(alice))
    body = json.loads(content)
    claims = jwt.decode(body["token"], SECRET, ["HS256"])

    assert content == b'{"token":"%s","expires_at":%d}' % (body["token"].encode(), claims["exp"])
    assert claims == {"sub": alice.id, "role": "authenticated", "iat": claims["exp"] - 60, "exp": claims["exp"]}
    assert before <= claims["iat"] <= time.time()
    spoken_of = ("content-type", "cache-control", "vary")
    assert (status, {name: headers[name] for name in spoken_of}) == (
        200,
        {"content-type": "application/json", "cache-control": _django.PRIVATE, "vary": _django.VARY},
    )


@every_framework
def test_signing_keys(sandbox: Sandbox, serve: Serve) -> None:
    """An imported key signs as well; whoever has the public one can check it."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    alice = sandbox.create_user()
    with serve(SupabaseSigner(pem, kid="k1"), sandbox.config) as send:
        body = json.loads(send(sandbox.headers(alice))[1])
    claims = jwt.decode(body["token"], key.public_key(), ["ES256"], audience="authenticated")

    assert (jwt.get_unverified_header(body["token"])["kid"], claims["sub"]) == ("k1", alice.id)


@every_framework
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_methods(sandbox: Sandbox, serve: Serve, method: str) -> None:
    """Only reading gets a token; what the caller is makes no difference."""
    with serve(SupabaseSigner(SECRET), sandbox.config) as send:
        answers = [send(headers, method) for headers in (sandbox.headers(sandbox.create_user()), {})]

    for status, content, headers in answers:
        assert (status, "GET" in headers["allow"]) == (405, True)
        assert b"token" not in content


@every_framework
def test_head(sandbox: Sandbox, serve: Serve) -> None:
    """HEAD tells no more than the headers, where the framework has it for a GET; FastAPI does not."""
    with serve(SupabaseSigner(SECRET), sandbox.config) as send:
        status, content, headers = send(sandbox.headers(sandbox.create_user()), "HEAD")
        nobody, _, _ = send({}, "HEAD")

    assert content == b""
    if serve is by_fastapi:
        assert (status, nobody) == (405, 405)
    else:
        assert (status, nobody, headers["cache-control"]) == (200, 401, _django.PRIVATE)


@every_framework
def test_a_refusal_of_the_signer(sandbox: Sandbox, serve: Serve) -> None:
    """An access token that its guard still accepted and that is over for the signer: answered like any other."""
    with serve(late_signer(), sandbox.config) as send:
        status, content, headers = send(sandbox.headers(sandbox.create_user()))
    expected = {name.lower(): value for name, value in TokenExpired().headers()} | {"vary": _django.VARY}

    assert (status, content) == (401, TokenExpired().body())
    assert expected == {name: headers[name] for name in expected}


@every_framework
def test_without_hexclave(sandbox: Sandbox, serve: Serve) -> None:
    """Nobody gets in where nothing asks who they are, and the error says what is missing."""
    headers = sandbox.headers(sandbox.create_user())
    message = r"Hexclave\(app\)|HexclaveMiddleware"
    with serve(SupabaseSigner(SECRET), None) as send, pytest.raises(ConfigurationError, match=message):
        send(headers)


@every_framework
def test_checks_at_start_up(sandbox: Sandbox, serve: Serve) -> None:
    """The route is known as a guarded one: what its guard needs and is not configured is found without a caller."""
    missing = "HEXCLAVE_SECRET_SERVER_KEY"
    if serve in (by_django_wsgi, by_django_asgi):
        with serve(LiveSigner(SECRET), without_key(sandbox)):
            (found,) = checks.check_routes()
        assert (found.id, missing in found.msg, PATH in found.msg) == ("hexclave.E007", True, True)
    else:
        with (
            pytest.raises(ConfigurationError, match=rf"{PATH}(.|\n)*{missing}|{missing}(.|\n)*{PATH}"),
            serve(LiveSigner(SECRET), without_key(sandbox)) as send,
        ):
            send({}, at="/nowhere")


@every_maker
@pytest.mark.parametrize("wrong", [None, SECRET, SECRET.encode(), SupabaseSigner, {"kty": "oct"}, Requirement()])
def test_a_wrong_argument(make: Callable[[Any], Any], wrong: Any) -> None:
    """What is no signer fails when the route is made; the error does not show what may be a key."""
    with pytest.raises(ConfigurationError, match="the signer itself") as caught:
        make(wrong)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", MAKERS)
def test_importing_an_adapter_loads_no_signing(name: str) -> None:
    """Who has no Supabase does not pay for JWT libraries."""
    prepare = "from django.conf import settings; settings.configure(); " if name == "django" else ""
    loaded = loaded_by(f"{prepare}import hexclave_integrations.{name}")

    assert f"hexclave_integrations.{name}._supabase" in loaded
    assert set() == loaded & {"jwt", "hexclave_integrations.supabase"}


# --- starlette and fastapi ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("signer", "expected"), [(SupabaseSigner(SECRET), 200), (late_signer(), 401)])
@pytest.mark.parametrize("inner", ["starlette", "fastapi"])
@pytest.mark.parametrize("outer", ["starlette", "fastapi"])
def test_in_a_mounted_application(
    sandbox: Sandbox, outer: str, inner: str, signer: SupabaseSigner, expected: int
) -> None:
    """A mounted application, which knows no refusals, passes on the signer's as well."""
    mounted: Any = Starlette(routes=[starlette.supabase_route(signer)])
    if inner == "fastapi":
        mounted = fastapi_framework.FastAPI()
        mounted.include_router(fastapi.supabase_router(signer))
    middleware = [Middleware(starlette.HexclaveMiddleware, config=sandbox.config)]
    app: Any = Starlette(routes=[Mount("/api", mounted)], middleware=middleware)
    if outer == "fastapi":
        app = fastapi_framework.FastAPI()
        fastapi.Hexclave(app, sandbox.config)
        app.mount("/api", mounted)
    with by_asgi(app) as send:
        status, content, headers = send(sandbox.headers(sandbox.create_user()), at="/api" + PATH)

    assert (status, headers["cache-control"]) == (expected, _django.PRIVATE)
    assert (TokenExpired().body() == content) is (expected == 401)


def test_paths_of_starlette(sandbox: Sandbox) -> None:
    """The path is the application's choice, in a `Mount` too, and has a name."""
    routes = [Mount("/api", routes=[starlette.supabase_route(SupabaseSigner(SECRET), "/{tenant}/token")], name="api")]
    middleware = [Middleware(starlette.HexclaveMiddleware, config=sandbox.config)]
    app = Starlette(routes=routes, middleware=middleware)
    with by_asgi(app) as send:
        status, _, _ = send(sandbox.headers(sandbox.create_user()), at="/api/x/token")

    assert (status, str(app.url_path_for("api:supabase_token", tenant="y"))) == (200, "/api/y/token")


def test_router_of_fastapi(sandbox: Sandbox) -> None:
    """A prefix and further dependencies are the application's; the description names fields, scheme and refusals."""
    app = fastapi_framework.FastAPI()
    fastapi.Hexclave(app, sandbox.config)
    router = fastapi.supabase_router(SupabaseSigner(SECRET), "/token")
    app.include_router(router, prefix="/supabase", tags=["supabase"])
    with by_asgi(app) as send:
        status, _, _ = send(sandbox.headers(sandbox.create_user()), at="/supabase/token")
    schema = app.openapi()
    operation = schema["paths"]["/supabase/token"]["get"]
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    fields = schema["components"]["schemas"][answer]

    assert (status, operation["tags"], operation["security"]) == (200, ["supabase"], [{"Hexclave access token": []}])
    assert {"200", "401", "403", "503"} == set(operation["responses"])
    assert {name: field["type"] for name, field in fields["properties"].items()} == {
        "token": "string",
        "expires_at": "integer",
    }
    assert fields["required"] == ["token", "expires_at"]
    assert "parameters" not in operation


@pytest.mark.parametrize("headers", [{}, None], ids=["the guard's", "the signer's"])
def test_own_answers_to_refusals(sandbox: Sandbox, headers: dict[str, str] | None) -> None:
    """An application's own handler gets the refusals of this endpoint as all others."""
    sent = sandbox.headers(sandbox.create_user()) if headers is None else headers
    app, other = fastapi_framework.FastAPI(), flask_framework.Flask("own")
    fastapi.Hexclave(app, sandbox.config)
    app.include_router(fastapi.supabase_router(late_signer()))
    flask.Hexclave(other, sandbox.config)
    other.register_blueprint(flask.supabase_blueprint(late_signer()))

    @app.exception_handler(RequestRefused)
    async def own(request: Any, error: Any) -> PlainTextResponse:
        return PlainTextResponse(error.code, 418)

    other.register_error_handler(RequestRefused, lambda error: (error.code, 418))

    third = by_django("wsgi", late_signer(), sandbox.config, MIDDLEWARE=[f"{__name__}.OwnAnswers"])
    code = b"USER_AUTHENTICATION_REQUIRED" if headers is not None else b"ACCESS_TOKEN_EXPIRED"
    for serve in (by_asgi(app), by_flask_app(other), third):
        with serve as send:
            assert send(sent)[:2] == (418, code)


# --- flask ----------------------------------------------------------------------------------------------------


def test_blueprints_of_flask(sandbox: Sandbox) -> None:
    """A prefix is the application's, as are the names of several endpoints; one of them may let more people in."""
    app = flask_framework.Flask("blueprints")
    flask.Hexclave(app, sandbox.config)
    guests = SupabaseSigner(SECRET, allow_anonymous=True)
    app.register_blueprint(flask.supabase_blueprint(SupabaseSigner(SECRET), "/token"), url_prefix="/supabase")
    app.register_blueprint(flask.supabase_blueprint(guests, "/token", name="guests"), url_prefix="/guests")
    headers = sandbox.headers(sandbox.create_user("anonymous"))
    with by_flask_app(app) as send:
        statuses = [send(headers, at=at)[0] for at in ("/supabase/token", "/guests/token", "/token")]
    with app.test_request_context():
        urls = [flask_framework.url_for(f"{name}.supabase_token") for name in ("hexclave_supabase", "guests")]

    assert (statuses, urls) == ([401, 200, 404], ["/supabase/token", "/guests/token"])


def test_answers_of_flask_to_options(sandbox: Sandbox) -> None:
    """The automatic answer, which a CORS extension adds to, needs no credentials and has no token."""
    with by_flask(SupabaseSigner(SECRET), sandbox.config) as send:
        status, content, _ = send({}, "OPTIONS")

    assert (status, content) == (200, b"")


# --- django ---------------------------------------------------------------------------------------------------

both_colours = pytest.mark.parametrize("colour", _django.COLOURS)


@both_colours
def test_a_site_that_requires_a_login(sandbox: Sandbox, colour: str) -> None:
    """Django's own login is not asked for: nobody is refused, and not redirected."""
    middleware = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
        MIDDLEWARE,
    ]
    with by_django(colour, SupabaseSigner(SECRET), sandbox.config, MIDDLEWARE=middleware) as send:
        statuses = [send(headers)[0] for headers in (sandbox.headers(sandbox.create_user()), {})]
        posted = send({}, "POST")[0]

    assert (statuses, posted) == ([200, 401], 405)


@both_colours
@pytest.mark.parametrize("place", ["view", "site"])
def test_no_cache_keeps_a_token(sandbox: Sandbox, colour: str, place: str) -> None:
    """Neither `cache_page` around the view nor the site's cache gives one user's token to another."""
    alice, bob = sandbox.create_user(), sandbox.create_user()
    view = django.supabase_view(SupabaseSigner(SECRET))
    site = ["django.middleware.cache.UpdateCacheMiddleware", MIDDLEWARE]
    site.append("django.middleware.cache.FetchFromCacheMiddleware")
    options: dict[str, Any] = {
        "CACHES": {
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": f"{id(sandbox)}"}
        },
        "MIDDLEWARE": site if place == "site" else [MIDDLEWARE],
        "ROOT_URLCONF": (path(PATH[1:], cache_page(60)(view) if place == "view" else view),),
    }
    with by_django(colour, SupabaseSigner(SECRET), sandbox.config, **options) as send:
        subjects = [
            jwt.decode(json.loads(send(sandbox.headers(user))[1])["token"], SECRET, ["HS256"])["sub"]
            for user in (alice, bob, alice)
        ]
        nobody = send({})[0]

    assert (subjects, nobody) == ([alice.id, bob.id, alice.id], 401)


def test_system_checks(sandbox: Sandbox) -> None:
    """A project with the endpoint as documented has nothing to mend."""
    with by_django("wsgi", SupabaseSigner(SECRET), sandbox.config):
        assert [*checks.check_settings(), *checks.check_middleware(), *checks.check_routes()] == []
