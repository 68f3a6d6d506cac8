"""What is Django's own: the middleware, decorators and their misuse, the lazy user, users, and servers."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.message import Message
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import uvicorn
from asgiref.sync import async_to_sync

from ._django import COLOURS, PRIVATE, VARY, World, as_settings, ask, database, face, face_of

# isort: split
from django.core.asgi import get_asgi_application
from django.core.exceptions import SynchronousOnlyOperation
from django.core.wsgi import get_wsgi_application
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import include, path, re_path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import csrf_exempt

from hexclave_integrations import ConfigurationError, HexclaveUser, RequestRefused, Unavailable, errors
from hexclave_integrations.django import (
    SELECTED_TEAM,
    DjangoRequirement,
    HexclaveRequiredMixin,
    get_async_client,
    get_client,
    optional_user,
    require_api_key,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
)
from hexclave_integrations.django._csrf import CsrfFailed
from hexclave_integrations.django.middleware import HexclaveMiddleware
from hexclave_integrations.django.testing import sign_in

both_colours = pytest.mark.parametrize("colour", COLOURS)
both_views = pytest.mark.parametrize("make", ["sync view", "async view"])
MIDDLEWARE = "hexclave_integrations.django.middleware.HexclaveMiddleware"


@pytest.fixture
def world() -> World:
    return World()


def show(request: Any) -> dict[str, Any]:
    user = request.hexclave_user
    return {"id": None if user is None else user.id}


def make_view(make: str, requirement: Callable[[Any], Any] = lambda view: view) -> Any:
    """A guarded view that says who the caller is."""
    if make == "sync view":

        @requirement
        def view(request: HttpRequest, **kwargs: Any) -> HttpResponse:
            return JsonResponse(show(request))

        return view

    @requirement
    async def aview(request: Any, **kwargs: Any) -> HttpResponse:
        user = await request.ahexclave_user()
        return JsonResponse({"id": None if user is None else user.id})

    return aview


def id_in(response: Any) -> Any:
    assert response.status_code == 200, response.content
    return json.loads(response.content)["id"]


# --- refusals -----------------------------------------------------------------------------------------------------


REFUSALS: dict[str, tuple[Callable[[World], DjangoRequirement], Callable[[World], dict[str, str]], RequestRefused]] = {
    "nobody": (lambda w: require_user, lambda w: {}, errors.NotAuthenticated()),
    "garbage": (lambda w: require_user, lambda w: {"authorization": "Bearer x.y.z"}, errors.InvalidToken()),
    "optional, garbage": (lambda w: optional_user, lambda w: {"x-stack-access-token": "x"}, errors.InvalidToken()),
    "expired": (
        lambda w: require_user,
        lambda w: {"x-stack-access-token": w.sandbox.token(w.alice, expires_in=-60)},
        errors.TokenExpired(),
    ),
    "another project": (
        lambda w: require_user,
        lambda w: (lambda other: other.headers(other.alice))(World()),
        errors.WrongProject(),
    ),
    "anonymous": (lambda w: require_user, lambda w: w.headers(w.anonymous), errors.AnonymousNotAllowed()),
    "restricted": (
        lambda w: require_user,
        lambda w: w.headers(w.restricted),
        errors.RestrictedNotAllowed(details={"restricted_reason": {"type": "email_not_verified"}}),
    ),
    "team permission": (
        lambda w: require_permission("{team_id}", "export_reports"),
        lambda w: w.headers(w.bob),
        errors.TeamPermissionRequired(details={"permission_id": "export_reports"}),
    ),
    "project permission": (
        lambda w: require_project_permission("administer"),
        lambda w: w.headers(w.alice),
        errors.ProjectPermissionRequired(details={"permission_id": "administer"}),
    ),
    "team": (lambda w: require_team("{team_id}"), lambda w: w.headers(w.bob), errors.TeamMembershipRequired()),
    "no API key": (lambda w: require_api_key, lambda w: w.headers(w.alice), errors.NotAuthenticated()),
    "unknown API key": (lambda w: require_api_key, lambda w: {"x-api-key": "x"}, errors.ApiKeyNotFound()),
    "team's API key": (
        lambda w: require_user.allow(api_key=True),
        lambda w: {"x-api-key": w.sandbox.create_api_key(team=w.team).value},
        errors.WrongApiKeyType(),
    ),
}


@both_colours
@both_views
@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_the_errors_own_face(world: World, case: str, make: str, colour: str) -> None:
    """Status, body and headers are those of every other framework."""
    requirement, headers, error = REFUSALS[case]
    view = make_view(make, requirement(world))
    with world.settings(path("<uuid:team_id>", view)):
        response = ask(colour, f"/{world.team.id}", headers(world))

    assert face_of(error) == face(response)


@both_colours
@both_views
def test_outage_is_503_and_no_sign_out(world: World, make: str, colour: str) -> None:
    """With the keys out of reach, known users stay in, and a requirement that must ask answers 503."""
    views = [
        path("me", make_view(make, require_user)),
        path("<team_id>", make_view(make, require_permission("{team_id}", "export_reports"))),
        path("public/me", make_view(make)),
    ]
    with world.settings(*views), world.sandbox.outage():
        cold = ask(colour, "/me", world.headers(world.alice))
        lazy = ask(colour, "/public/me", world.headers(world.alice))
    with world.settings(*views):
        assert id_in(ask(colour, "/me", world.headers(world.alice))) == world.alice.id
        with world.sandbox.outage():
            warm = ask(colour, "/me", world.headers(world.bob))
            permission = ask(colour, f"/{world.team.id}", world.headers(world.alice))

    for answer in (cold, lazy, permission):
        assert (answer.status_code, json.loads(answer.content)["code"]) == (503, "HEXCLAVE_UNAVAILABLE")
        assert (answer.headers["Cache-Control"], answer.headers["Vary"]) == (PRIVATE, VARY)
        assert int(answer.headers["Retry-After"]) >= 1
    assert id_in(warm) == world.bob.id


@both_colours
def test_a_permission_is_asked_once_by_sync_and_async_views(world: World, colour: str) -> None:
    """Both kinds of view share keys, tokens and permissions."""
    guard = require_permission("{team_id}", "export_reports")
    with world.settings(
        path("sync/<team_id>", make_view("sync view", guard)), path("async/<team_id>", make_view("async view", guard))
    ):
        for kind in ("sync", "async", "sync", "async"):
            assert id_in(ask(colour, f"/{kind}/{world.team.id}", world.headers(world.alice))) == world.alice.id

    assert [world.sandbox.count("/team-permissions"), world.sandbox.count("/jwks.json")] == [1, 1]


@both_colours
def test_refusal_has_one_place_to_be_answered_otherwise(world: World, colour: str) -> None:
    """A subclass of the middleware makes another answer, for decorators and for what views raise."""
    with world.settings(
        path("me", make_view("sync view", require_user)),
        path("async", make_view("async view", require_user)),
        path("raised", refuse_in_view),
        MIDDLEWARE=["tests.adapters.test_django.Redirecting"],
    ):
        answers = [ask(colour, f"/{name}") for name in ("me", "async", "raised")]

    assert [(answer.status_code, answer.headers["Location"]) for answer in answers] == [
        (302, "/sign-in?code=USER_AUTHENTICATION_REQUIRED")
    ] * 2 + [(302, "/sign-in?code=HEXCLAVE_UNAVAILABLE")]
    assert answers[0].headers["Vary"] == VARY


class Redirecting(HexclaveMiddleware):
    def refuse(self, request: HttpRequest, error: RequestRefused) -> HttpResponse:
        return HttpResponse(status=302, headers={"Location": f"/sign-in?code={error.code}"})


def refuse_in_view(request: HttpRequest) -> HttpResponse:
    raise Unavailable(retry_after=7)


@both_colours
def test_what_a_view_raises_is_answered_too(world: World, colour: str) -> None:
    """A view may ask a client itself and let the refusal pass; other exceptions are none of ours."""

    def broken(request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    async def arefuse(request: HttpRequest) -> HttpResponse:
        raise Unavailable(retry_after=7)

    with world.settings(path("sync", refuse_in_view), path("async", arefuse), path("broken", broken)):
        for name in ("/sync", "/async"):
            answer = ask(colour, name)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
        assert ask(colour, "/broken").status_code == 500


# --- the forms of a requirement -----------------------------------------------------------------------------------


@method_decorator(require_user, name="dispatch")
class OnDispatch(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(show(request))


@method_decorator(require_user, name="dispatch")
class OnAsyncDispatch(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(show(request))


class OnMethod(View):
    @method_decorator(require_user)
    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(show(request))


class OnAsyncMethod(View):
    @method_decorator(require_user)
    async def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(show(request))


class Bare(View):
    @require_user
    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(show(request))


class AsyncBare(View):
    @require_user
    async def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(show(request))


class Mixed(HexclaveRequiredMixin, View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(show(request))


class AsyncMixed(HexclaveRequiredMixin, View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(show(request))


class Plain(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(show(request))


class AsyncPlain(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(show(request))


FORMS: dict[str, Callable[[], Any]] = {
    "function": lambda: make_view("sync view", require_user),
    "async function": lambda: make_view("async view", require_user),
    "dispatch": OnDispatch.as_view,
    "async dispatch": OnAsyncDispatch.as_view,
    "method": OnMethod.as_view,
    "async method": OnAsyncMethod.as_view,
    "bare method": Bare.as_view,
    "async bare method": AsyncBare.as_view,
    "mixin": Mixed.as_view,
    "async mixin": AsyncMixed.as_view,
    "around as_view": lambda: require_user(Plain.as_view()),
    "around async as_view": lambda: require_user(AsyncPlain.as_view()),
    "twice": lambda: require_user(make_view("sync view", require_user.allow(restricted=True))),
}


@both_colours
@pytest.mark.parametrize("form", FORMS)
def test_every_form_guards(world: World, form: str, colour: str) -> None:
    """Functions, methods and classes, sync and async, refuse a stranger and show the user let through."""
    with world.settings(path("me", FORMS[form]())):
        stranger = ask(colour, "/me")
        alice = ask(colour, "/me", world.headers(world.alice))

    assert face_of(errors.NotAuthenticated()) == face(stranger)
    assert id_in(alice) == world.alice.id
    assert (alice.headers["Cache-Control"], alice.headers["Vary"]) == (PRIVATE, VARY)


@both_colours
@pytest.mark.parametrize("form", [form for form in FORMS if "method" not in form])  # of which Django cannot know
def test_a_site_that_requires_a_login(world: World, form: str, colour: str) -> None:
    """LoginRequiredMiddleware, which knows no tokens, leaves a guarded view to its guard, and no other view."""
    middleware = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
        "hexclave_integrations.django.middleware.HexclaveMiddleware",
    ]
    patterns = (
        path("me", FORMS[form]()),
        path("optional", make_view("sync view", optional_user)),
        path("optional-class", Mixed.as_view(requirement=optional_user)),
    )
    sessions = "django.contrib.sessions.backends.signed_cookies"
    with world.settings(*patterns, MIDDLEWARE=middleware, SESSION_ENGINE=sessions):
        assert ask(colour, "/me").status_code == 401
        assert id_in(ask(colour, "/me", world.headers(world.alice))) == world.alice.id
        assert ask(colour, "/optional", world.headers(world.alice)).status_code == 302
        assert ask(colour, "/optional-class", world.headers(world.alice)).status_code == 302


@both_colours
@both_views
@pytest.mark.parametrize("kind", ["regular", "restricted", "anonymous"])
@pytest.mark.parametrize("allowed", ["regular", "restricted", "anonymous", "optional"])
def test_allowed_kinds_are_the_requests_user(world: World, kind: str, allowed: str, make: str, colour: str) -> None:
    """After a requirement let somebody through, `request.hexclave_user` is that user, of whatever kind."""
    requirement = {
        "regular": require_user,
        "restricted": require_user.allow(restricted=True),
        "anonymous": require_user.allow(anonymous=True),
        "optional": optional_user,
    }[allowed]
    user = {"regular": world.alice, "restricted": world.restricted, "anonymous": world.anonymous}[kind]
    rank = ["regular", "restricted", "anonymous", "optional"].index
    with world.settings(path("me", make_view(make, requirement))):
        answer = ask(colour, "/me", world.headers(user))

    if rank(kind) <= rank(allowed):
        assert id_in(answer) == user.id
    else:
        assert answer.status_code in (401, 403)


@both_colours
@both_views
def test_optional_user_is_none_for_nobody(world: World, make: str, colour: str) -> None:
    """Without credentials there is nobody, and caches know that the answer depends on it."""
    with world.settings(path("me", make_view(make, optional_user))):
        answer = ask(colour, "/me")

    assert (id_in(answer), answer.headers["Cache-Control"], answer.headers["Vary"]) == (None, PRIVATE, VARY)


@both_colours
@both_views
def test_live_asks_hexclave_now(world: World, make: str, colour: str) -> None:
    """A token outlives its session; `.live()` does not believe it."""
    with world.settings(path("me", make_view(make, require_user.live()))):
        before = ask(colour, "/me", world.headers(world.alice))
        headers = world.headers(world.alice)
        world.sandbox.sign_out(world.alice)
        after = ask(colour, "/me", headers)

    assert id_in(before) == world.alice.id
    assert face_of(errors.SessionEnded()) == face(after)


@both_colours
@pytest.mark.parametrize(
    "team",
    ["literal", "{team_id}", "{number}", "selected", "callable"],
)
def test_team_references(world: World, team: str, colour: str) -> None:
    """A team is literal, a route parameter (converted or not), the selected one, or what a function says."""
    world.sandbox.select_team(world.alice, world.team)
    reference: Any = {
        "literal": world.team.id,
        "selected": SELECTED_TEAM,
        "callable": lambda request: request.headers["x-team"],
    }.get(team, team)
    view = make_view("sync view", require_permission(reference, "export_reports"))
    with world.settings(
        path("<str:team_id>/<uuid:number>", view), re_path(r"^re/(?P<team_id>.+)/(?P<number>.+)$", view)
    ):
        headers = {**world.headers(world.alice), "x-team": world.team.id}
        for prefix in ("", "/re"):
            assert id_in(ask(colour, f"{prefix}/{world.team.id}/{world.team.id}", headers)) == world.alice.id


@both_colours
def test_async_team_reference(world: World, colour: str) -> None:
    """An async view awaits a coroutine function; a sync one cannot, and lets nobody in."""

    async def team(request: HttpRequest) -> str:
        return world.team.id

    guard = require_team(team)
    with world.settings(path("async", make_view("async view", guard)), path("sync", make_view("sync view", guard))):
        assert id_in(ask(colour, "/async", world.headers(world.alice))) == world.alice.id
        with pytest.raises(ConfigurationError, match="coroutine function"):
            ask(colour, "/sync", world.headers(world.alice), raises=True)


@both_colours
@both_views
def test_api_keys(world: World, make: str, colour: str) -> None:
    """The key of a user or team is `request.hexclave_api_key`; for a requirement about users its owner is the user."""
    key = world.sandbox.create_api_key(world.alice)
    team_key = world.sandbox.create_api_key(team=world.team)

    if make == "sync view":

        @require_api_key
        def machine(request: Any) -> Any:
            return JsonResponse({"id": request.hexclave_api_key.id})

    else:

        @require_api_key
        async def machine(request: Any) -> Any:
            return JsonResponse({"id": request.hexclave_api_key.id})

    with world.settings(path("machine", machine), path("either", make_view(make, require_user.allow(api_key=True)))):
        for value, expected in ((key.value, key.id), (team_key.value, team_key.id)):
            assert id_in(ask(colour, "/machine", {"x-api-key": value})) == expected
            assert id_in(ask(colour, "/machine", {"authorization": f"Bearer {value}"})) == expected
        assert id_in(ask(colour, "/either", {"x-api-key": key.value})) == world.alice.id
        assert id_in(ask(colour, "/either", world.headers(world.bob))) == world.bob.id


@both_colours
@both_views
def test_options_and_head_are_guarded(world: World, make: str, colour: str) -> None:
    """A view may answer any method, so a requirement exempts none: whoever serves CORS does so in a middleware."""
    with world.settings(path("me", make_view(make, require_user))):
        for method in ("OPTIONS", "HEAD", "POST", "TRACE"):
            assert ask(colour, "/me", method=method).status_code == 401


# --- the lazy user ------------------------------------------------------------------------------------------------


@both_colours
@both_views
def test_public_view_shows_regular_users_only(world: World, make: str, colour: str) -> None:
    """`if request.hexclave_user` is the secure default: other kinds and bad tokens are nobody, a real None."""
    with world.settings(path("me", make_view(make))):
        assert id_in(ask(colour, "/me", world.headers(world.alice))) == world.alice.id
        for headers in (
            {},
            world.headers(world.restricted),
            world.headers(world.anonymous),
            {"x-stack-access-token": "garbage"},
            {"x-stack-access-token": world.sandbox.token(world.alice, expires_in=-60)},
        ):
            answer = ask(colour, "/me", headers)
            assert (id_in(answer), answer.headers["Cache-Control"], answer.headers["Vary"]) == (None, PRIVATE, VARY)


@both_colours
def test_nobody_is_asked_for_what_no_view_wants_to_know(world: World, colour: str) -> None:
    """A page that does not ask who the caller is costs nothing, and stays cacheable."""
    with world.settings(path("", lambda request: HttpResponse("hello"))):
        answer = ask(colour, "/", world.headers(world.alice))

    assert (answer.status_code, answer.get("Cache-Control"), answer.get("Vary")) == (200, None, None)
    assert world.sandbox.requests == []


@both_colours
def test_async_code_has_to_await_the_user(world: World, colour: str) -> None:
    """The attribute never waits in an event loop; once awaited it is there."""
    seen: list[Any] = []

    async def view(request: Any) -> HttpResponse:
        with pytest.raises(SynchronousOnlyOperation, match="ahexclave_user"):
            seen.append(request.hexclave_user)
        seen.append(await request.ahexclave_user())
        seen.append(request.hexclave_user)
        return HttpResponse()

    with world.settings(path("", view)):
        assert ask(colour, "/", world.headers(world.alice), raises=True).status_code == 200

    assert [world.alice.id] * 2 == [user.id for user in seen]
    assert isinstance(seen[0], HexclaveUser)


def test_templates_see_the_user(world: World) -> None:
    """`{{ request.hexclave_user }}` works where the request is in the context, also when rendered late."""
    text = "{% if request.hexclave_user %}{{ request.hexclave_user.display_name }}{% else %}nobody{% endif %}"

    def view(request: HttpRequest) -> TemplateResponse:
        return TemplateResponse(request, engines["django"].from_string(text))

    with world.settings(path("", view)):
        assert ask("wsgi", "/", world.headers(world.alice)).content == b"Alice"
        answer = ask("wsgi", "/", world.headers(world.anonymous))

    assert (answer.content, answer.headers["Cache-Control"]) == (b"nobody", PRIVATE)


def test_without_the_middleware_nothing_is_let_through(world: World) -> None:
    """A forgotten middleware is an error that says what to write, for requirements and for the attribute."""
    request: Any = RequestFactory().get("/")
    with world.settings(MIDDLEWARE=[]):
        with pytest.raises(ConfigurationError, match="HexclaveMiddleware"):
            make_view("sync view", require_user)(request)
        with pytest.raises(ConfigurationError, match="HexclaveMiddleware"):
            async_to_sync(make_view("async view", optional_user))(request)
    with pytest.raises(ConfigurationError, match="HexclaveMiddleware"):
        _ = request.hexclave_user
    with world.settings(path("me", make_view("sync view", require_user)), MIDDLEWARE=[]):
        assert ask("wsgi", "/me", world.headers(world.alice)).status_code == 500


@pytest.mark.parametrize("make", ["sync view", "async view"])
def test_a_view_by_itself_is_tested_with_sign_in(world: World, make: str) -> None:
    """A request of RequestFactory is then one of this user: requirements are held against them."""
    guards = {
        "regular": require_user,
        "team": require_permission("{team_id}", "export_reports"),
        "optional": optional_user,
    }

    def statuses(user: HexclaveUser | None) -> list[int]:
        found = []
        for guard in guards.values():
            request = RequestFactory().get("/")
            sign_in(request, user)
            view = make_view(make, guard)
            answer: Any = (async_to_sync(view) if make == "async view" else view)(request, team_id=world.team.id)
            found.append(answer.status_code)
        return found

    with world.settings():
        alice, anonymous = (get_client().authenticate(world.headers(user)) for user in (world.alice, world.anonymous))
        assert statuses(alice) == [200, 200, 200]
        assert statuses(anonymous) == [401, 401, 200]
        assert statuses(None) == [401, 401, 200]


def test_a_view_can_be_tested_with_a_user_of_ones_own(world: World) -> None:
    """The attribute can be set, as `request.user` can."""
    request: Any = RequestFactory().get("/")
    request.hexclave_user = "somebody"

    assert request.hexclave_user == "somebody"
    with world.settings():
        fresh: Any = RequestFactory().get("/", headers=world.headers(world.alice))
        assert (
            HexclaveMiddleware(lambda request: HttpResponse(show(request)["id"]))(fresh).content.decode()
            == world.alice.id
        )


# --- caches -------------------------------------------------------------------------------------------------------


@both_colours
def test_views_own_cache_headers_are_kept(world: World, colour: str) -> None:
    """A view that says how to cache is believed, and the credentials join its Vary."""

    @require_user
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={"Cache-Control": "private, max-age=60", "Vary": "Accept, authorization"})

    with world.settings(path("", view)):
        answer = ask(colour, "/", world.headers(world.alice))

    assert answer.headers["Cache-Control"] == "private, max-age=60"
    assert (
        answer.headers["Vary"]
        == "Accept, authorization, X-Stack-Access-Token, X-Hexclave-Access-Token, X-Stack-Auth, X-Api-Key"
    )


LOCAL = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}


@pytest.mark.parametrize("make", ["sync view", "lazy"])
def test_django_caches_no_private_page(world: World, make: str) -> None:
    """The cache middleware around ours stores neither guarded pages nor those that asked who the caller is."""
    view = make_view("sync view", require_user if make == "sync view" else lambda view: view)
    around = "django.middleware.cache.UpdateCacheMiddleware"
    fetch = "django.middleware.cache.FetchFromCacheMiddleware"
    with world.settings(path(str(uuid.uuid4()), view, name="me"), MIDDLEWARE=[around, MIDDLEWARE, fetch], CACHES=LOCAL):
        where = _reverse("me")
        assert id_in(ask("wsgi", where, world.headers(world.alice))) == world.alice.id
        assert id_in(ask("wsgi", where, world.headers(world.bob))) == world.bob.id


def test_cache_page_above_a_requirement_stores_nothing(world: World) -> None:
    """The decorator itself marks the page private, before `cache_page` sees it."""
    view = cache_page(60)(make_view("sync view", require_user))
    with world.settings(path(str(uuid.uuid4()), view, name="me"), CACHES=LOCAL):
        where = _reverse("me")
        assert id_in(ask("wsgi", where, world.headers(world.alice))) == world.alice.id
        assert id_in(ask("wsgi", where, world.headers(world.bob))) == world.bob.id
        assert ask("wsgi", where).status_code == 401


def everybody_sees_himself(world: World, colour: str, view: Any, stranger: int, **settings: Any) -> None:
    """A, then B, then nobody, twice: nobody gets another's page, and a page of nobody's is for nobody else."""
    with world.settings(path(str(uuid.uuid4()), view, name="me"), CACHES=LOCAL, **settings):
        where = _reverse("me")
        for _ in range(2):
            for user in (world.alice, world.bob):
                assert user.id == id_in(ask(colour, where, world.headers(user)))
            answer = ask(colour, where)
            assert stranger == answer.status_code
            assert stranger != 200 or id_in(answer) is None


def cached_get(view: type[View]) -> Any:
    cached: Any = method_decorator(cache_page(60), name="get")(type("Cached", (view,), {}))
    return cached.as_view()


CACHED: dict[str, tuple[Callable[[], Any], int]] = {
    "lazy": (lambda: cache_page(60)(make_view("sync view")), 200),
    "lazy, async": (lambda: cache_page(60)(make_view("async view")), 200),
    "lazy, method": (lambda: cached_get(Plain), 200),
    "optional": (lambda: cache_page(60)(make_view("sync view", optional_user)), 200),
    "guarded": (lambda: cache_page(60)(make_view("sync view", require_user)), 401),
    "guarded, async": (lambda: cache_page(60)(make_view("async view", require_user)), 401),
    "inside": (lambda: require_user(cache_page(60)(make_view("sync view"))), 401),
    "inside, async": (lambda: require_user(cache_page(60)(make_view("async view"))), 401),
    "inside, mixin": (lambda: cached_get(Mixed), 401),
    "inside, async mixin": (lambda: cached_get(AsyncMixed), 401),
    "between": (lambda: require_user(cache_page(60)(make_view("sync view", require_user))), 401),
}


@both_colours
@pytest.mark.parametrize("form", CACHED)
def test_cache_page_stores_nothing_of_anybodys(world: World, form: str, colour: str) -> None:
    """Wherever it stands, it keeps no page whose view asked who the caller is."""
    view, stranger = CACHED[form]
    everybody_sees_himself(world, colour, view(), stranger)


@both_colours
def test_cache_page_stores_what_depends_on_nobody(world: World, colour: str) -> None:
    """A page that does not ask is stored for everybody, also when others on the site ask."""
    made: list[int] = []

    @cache_page(60)
    def view(request: HttpRequest) -> HttpResponse:
        made.append(1)
        return HttpResponse("hello")

    with world.settings(path(str(uuid.uuid4()), view, name="me"), CACHES=LOCAL):
        for user in (world.alice, world.bob, None):
            assert ask(colour, _reverse("me"), world.headers(user)).content == b"hello"
    assert made == [1]


def test_what_the_cache_notes_is_djangos_until_somebody_asks(world: World) -> None:
    """The note can be absent, set and deleted; it is False for good afterwards."""
    with world.settings():
        HexclaveMiddleware(lambda request: HttpResponse())
        fresh: Any = RequestFactory().get("/", headers=world.headers(world.alice))
        assert not hasattr(fresh, "_cache_update_cache")
        fresh._cache_update_cache = True
        assert fresh._cache_update_cache is True
        del fresh._cache_update_cache
        assert not hasattr(fresh, "_cache_update_cache")

        def ask_for_user(request: Any) -> HttpResponse:
            assert request.hexclave_user is not None
            request._cache_update_cache = True
            return HttpResponse()

        HexclaveMiddleware(ask_for_user)(fresh)
        assert fresh._cache_update_cache is False


def _reverse(name: str) -> str:
    from django.urls import reverse

    return reverse(name)


# --- streamed bodies ----------------------------------------------------------------------------------------------


def stream(request: Any, ask_before: bool) -> StreamingHttpResponse:
    def chunks() -> Iterator[bytes]:
        yield b"hello "
        yield str(getattr(request.hexclave_user, "id", None)).encode()

    if ask_before:
        assert request.hexclave_user is not None
    return StreamingHttpResponse(chunks())


async def astream(request: Any, ask_before: bool) -> StreamingHttpResponse:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"hello "
        yield str(getattr(await request.ahexclave_user(), "id", None)).encode()

    if ask_before:
        assert await request.ahexclave_user() is not None
    return StreamingHttpResponse(chunks())


def streamed(colour: str, where: str, headers: dict[str, str]) -> tuple[Any, bytes]:
    """The answer and its body, which is made after the middleware is done."""
    if colour == "wsgi":
        answer = Client().get(where, headers=headers)
        return answer, b"".join(answer.streaming_content)  # type: ignore[attr-defined]  # it is a streaming one

    async def send() -> tuple[Any, bytes]:
        answer: Any = await AsyncClient().get(where, headers=headers)
        return answer, b"".join([chunk async for chunk in answer.streaming_content])

    return async_to_sync(send)()


@pytest.mark.parametrize(("colour", "view"), [("wsgi", stream), ("asgi", astream)])
def test_a_streamed_body_cannot_begin_to_ask(world: World, view: Any, colour: str) -> None:
    """The headers that keep caches from sharing it are gone by then; asked before, it is as any other answer."""
    with world.settings(path("late", view, {"ask_before": False}), path("early", view, {"ask_before": True})):
        answer, body = streamed(colour, "/early", world.headers(world.alice))
        assert (body, answer.headers["Cache-Control"]) == (f"hello {world.alice.id}".encode(), PRIVATE)
        with pytest.raises(RuntimeError, match="too late to keep caches"):
            streamed(colour, "/late", world.headers(world.alice))


def test_a_streamed_body_that_does_not_ask_is_left_alone(world: World) -> None:
    """It streams as before, and middleware that asks afterwards, to write a log, is told."""
    seen: list[Any] = []

    def view(request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(iter([b"a", b"b"]))

    def logging(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            response = get_response(request)
            seen.append(request.hexclave_user)
            return response

        return middleware

    globals()["logging_middleware"] = logging
    with world.settings(path("", view), MIDDLEWARE=["tests.adapters.test_django.logging_middleware", MIDDLEWARE]):
        answer, body = streamed("wsgi", "/", world.headers(world.alice))
    assert (body, answer.get("Cache-Control")) == (b"ab", None)
    assert [world.alice.id] == [user.id for user in seen]


# --- refusals that a view has caught ------------------------------------------------------------------------------


@both_colours
def test_a_refusal_that_a_view_has_handled_is_over(world: World, colour: str) -> None:
    """What the view answers or raises after it is the answer: a failure stays a failure."""

    def caught() -> None:
        with pytest.raises(RequestRefused):
            get_client().verify_token("x")

    def failing(request: HttpRequest) -> HttpResponse:
        caught()
        raise ZeroDivisionError

    def chained(request: HttpRequest) -> HttpResponse:
        try:
            get_client().verify_token("x")
        except RequestRefused as error:
            raise Http404("nothing here") from error
        return HttpResponse()

    def answering(request: HttpRequest) -> HttpResponse:
        caught()
        return HttpResponse(status=500)

    @require_user
    def inner(request: HttpRequest) -> HttpResponse:
        return HttpResponse("let in")

    def asking(request: HttpRequest) -> HttpResponse:
        assert inner(request).status_code == 401
        raise ZeroDivisionError

    views = {"failing": failing, "chained": chained, "answering": answering, "asking": asking}
    with world.settings(*(path(name, view) for name, view in views.items())):
        assert [ask(colour, f"/{name}").status_code for name in views] == [500, 404, 500, 500]


# --- cross-site requests ------------------------------------------------------------------------------------------


def cookies(world: World, user: Any) -> dict[str, str]:
    """The cookies that the frontend's SDK sets (contract 1.3)."""
    session = world.sandbox.new_session(user)
    token = world.sandbox.token(user)
    project = world.sandbox.config.project_id
    pair = urllib.parse.quote(json.dumps([session.refresh_token, token], separators=(",", ":")))
    return {f"stack-refresh-{project}": urllib.parse.quote(session.refresh_token), "stack-access": pair}


@both_colours
@both_views
def test_a_token_in_a_header_needs_no_csrf_token(world: World, make: str, colour: str) -> None:
    """No other site can send it; Django's own check still protects a view whose requirement is optional."""
    with world.settings(
        path("me", make_view(make, require_user)),
        path("maybe", make_view(make, optional_user)),
        path("mixin", Posted.as_view()),
    ):
        alice = world.headers(world.alice)
        for where in ("/me", "/mixin"):
            assert id_in(ask(colour, where, alice, method="POST", enforce_csrf_checks=True)) == world.alice.id
            assert ask(colour, where, method="POST", enforce_csrf_checks=True).status_code == 401
        assert ask(colour, "/maybe", alice, method="POST", enforce_csrf_checks=True).status_code == 403


class Posted(HexclaveRequiredMixin, View):
    def post(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse(show(request))


@both_colours
@both_views
def test_a_token_in_a_cookie_needs_one(world: World, make: str, colour: str) -> None:
    """A browser sends cookies unasked, so an unsafe method needs Django's CSRF token beside them."""
    with world.settings(
        path("me", make_view(make, require_user)),
        path("exempt", csrf_exempt(make_view(make, optional_user))),
        hexclave={"ACCEPT_COOKIES": True},
    ):
        jar = cookies(world, world.alice)
        header = "; ".join(f"{name}={value}" for name, value in jar.items())
        secret = "a" * 32
        for where in ("/me", "/exempt"):
            get = ask(colour, where, {"cookie": header}, enforce_csrf_checks=True)
            bare = ask(colour, where, {"cookie": header}, method="POST", enforce_csrf_checks=True)
            sent = {"cookie": f"{header}; csrftoken={secret}", "x-csrftoken": secret}
            full = ask(colour, where, sent, method="POST", enforce_csrf_checks=True)

            assert id_in(get) == world.alice.id
            assert f"{VARY}, Cookie" == get.headers["Vary"]
            assert face_of(CsrfFailed(), f"{VARY}, Cookie") == face(bare)
            assert id_in(full) == world.alice.id


def cookie_header(world: World, **others: str) -> str:
    return "; ".join(f"{name}={value}" for name, value in {**cookies(world, world.alice), **others}.items())


def nobody_without_a_csrf_token(world: World, colour: str, view: Any, **settings: Any) -> None:
    """A cookie makes a user of the safe methods, and of the others only beside Django's CSRF token."""
    with world.settings(path("me", view), hexclave={"ACCEPT_COOKIES": True}, **settings):
        secret = "a" * 32
        proof = {"cookie": cookie_header(world, csrftoken=secret), "x-csrftoken": secret}
        by_header = {"cookie": cookie_header(world), **world.headers(world.bob)}
        for method, headers, expected in (
            ("GET", {"cookie": cookie_header(world)}, world.alice.id),
            ("POST", {"cookie": cookie_header(world)}, None),
            ("POST", {"cookie": cookie_header(world), "x-csrftoken": secret}, None),
            ("POST", {**proof, "origin": "https://evil.example"}, None),
            ("POST", proof, world.alice.id),
            ("POST", by_header, world.bob.id),
            ("POST", {}, None),
        ):
            assert expected == id_in(ask(colour, "/me", headers, method=method, enforce_csrf_checks=True)), headers


@both_colours
@both_views
def test_a_cookie_makes_no_lazy_user_without_one(world: World, make: str, colour: str) -> None:
    """A view that Django's check is kept from is told of nobody."""
    nobody_without_a_csrf_token(world, colour, csrf_exempt(make_view(make)))


@both_colours
@pytest.mark.parametrize("csrf_middleware", [True, False])
@pytest.mark.parametrize("form", ["guarded", "lazy", "lazy, twice"])
def test_csrf_secrets_in_sessions_in_the_database(
    world: World, users: Any, form: str, csrf_middleware: bool, colour: str
) -> None:
    """An async view does not wait in the event loop for the session that holds the secret."""
    from django.contrib.sessions.backends.db import SessionStore

    async def twice(request: Any) -> HttpResponse:
        first = await request.ahexclave_user()
        assert first is await request.ahexclave_user() is request.hexclave_user
        return JsonResponse({"id": None if first is None else first.id})

    view = {
        "guarded": make_view("async view", require_user),
        "lazy": csrf_exempt(make_view("async view")),
        "lazy, twice": csrf_exempt(twice),
    }[form]
    session, secret = SessionStore(), "a" * 32
    session["_csrftoken"] = secret
    session.save()
    middleware = ["django.contrib.sessions.middleware.SessionMiddleware", MIDDLEWARE]
    if csrf_middleware:
        middleware.insert(1, "django.middleware.csrf.CsrfViewMiddleware")
    with world.settings(
        path("me", view), MIDDLEWARE=middleware, CSRF_USE_SESSIONS=True, hexclave={"ACCEPT_COOKIES": True}
    ):
        header = cookie_header(world, sessionid=str(session.session_key))
        get = ask(colour, "/me", {"cookie": header}, enforce_csrf_checks=True)
        bare = ask(colour, "/me", {"cookie": header}, method="POST", enforce_csrf_checks=True)
        sent = {"cookie": header, "x-csrftoken": secret}
        full = ask(colour, "/me", sent, method="POST", enforce_csrf_checks=True)

    assert [world.alice.id] * 2 == [id_in(get), id_in(full)]
    if form == "guarded":
        assert (403, CsrfFailed().body()) == (bare.status_code, bare.content)
    else:
        assert id_in(bare) is None


@both_colours
def test_a_cookie_makes_no_row_without_a_csrf_token(world: World, users: Any, colour: str) -> None:
    """The user of Django follows the same rule, sync and async."""
    bridge = {**BRIDGE, "hexclave": {"DJANGO_USERS": True, "ACCEPT_COOKIES": True}}
    with world.settings(path("sync", csrf_exempt(django_user)), path("async", csrf_exempt(adjango_user)), **bridge):
        header = {"cookie": cookie_header(world)}
        for where in ("/sync", "/async"):
            assert id_in(ask(colour, where, header, method="POST", enforce_csrf_checks=True)) is None
        assert users.count() == 0
        for where in ("/sync", "/async"):
            assert id_in(ask(colour, where, header, enforce_csrf_checks=True)) == world.alice.id


# --- no leaks -----------------------------------------------------------------------------------------------------


def test_threads_do_not_mix_users(world: World) -> None:
    """Two users at a time, each in a thread, each see themselves before and after the other came."""
    barrier = threading.Barrier(2, timeout=10)

    @require_user
    def view(request: Any) -> HttpResponse:
        barrier.wait()
        return JsonResponse(show(request))

    with world.settings(path("", view)), ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            users = [world.alice, world.bob]
            answers = list(pool.map(lambda user: ask("wsgi", "/", world.headers(user)), users))
            assert [user.id for user in users] == [id_in(answer) for answer in answers]


def test_tasks_do_not_mix_users(world: World) -> None:
    """The same on one event loop."""
    barrier: asyncio.Barrier | None = None

    async def view(request: Any) -> HttpResponse:
        first = await request.ahexclave_user()
        assert barrier is not None
        await barrier.wait()
        again = await request.ahexclave_user()
        assert first is again
        return JsonResponse({"id": None if again is None else again.id})

    async def three() -> list[Any]:
        nonlocal barrier
        barrier = asyncio.Barrier(3)
        users = [world.alice, world.bob, None]
        asked = [AsyncClient().get("/", headers=world.headers(user)) for user in users]
        return [id_in(answer) for answer in await asyncio.gather(*asked)]

    with world.settings(path("", view)):
        for _ in range(5):
            assert [world.alice.id, world.bob.id, None] == asyncio.run(three())


# --- settings -----------------------------------------------------------------------------------------------------


def test_settings_are_read_late(world: World) -> None:
    """`override_settings` takes effect on a handler that is running, and `get_client` follows."""
    other = World()
    client = Client(raise_request_exception=False)
    view = make_view("sync view", require_user)
    with world.settings(path("me", view)):
        assert client.get("/me", headers=world.headers(world.alice)).status_code == 200
        with override_settings(HEXCLAVE=as_settings(other.sandbox.config)):
            assert client.get("/me", headers=other.headers(other.alice)).status_code == 200
            assert client.get("/me", headers=world.headers(world.alice)).status_code == 401
            assert (other.sandbox.config.project_id,) * 2 == (
                get_client().config.project_id,
                get_async_client().config.project_id,
            )
        assert client.get("/me", headers=world.headers(world.alice)).status_code == 200
        with override_settings(HEXCLAVE={"PROJECT_ID": "nonsense"}):
            assert client.get("/me").status_code == 500


def test_settings_fall_back_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project may leave out settings.HEXCLAVE and set variables."""
    project = str(uuid.uuid4())
    monkeypatch.setenv("STACK_PROJECT_ID", project)
    with override_settings():
        from django.conf import settings

        del settings.HEXCLAVE
        from hexclave_integrations.django._conf import installation

        installation.cache_clear()
        assert project == get_client().config.project_id


@both_colours
def test_a_whole_configuration_is_a_setting(world: World, colour: str) -> None:
    """`settings.HEXCLAVE` may be a `HexclaveConfig`, such as a sandbox has."""
    views = world.settings(path("me", make_view("async view", require_user)))
    config = world.sandbox.config
    with views, override_settings(HEXCLAVE=config):
        assert world.alice.id == id_in(ask(colour, "/me", world.headers(world.alice)))
        assert get_client().config is config


@both_colours
def test_wrong_settings_stop_the_start(colour: str) -> None:
    """A server does not come up with a project id that cannot be."""
    start = get_wsgi_application if colour == "wsgi" else get_asgi_application
    with override_settings(HEXCLAVE={"PROJECT_ID": "nonsense"}), pytest.raises(ConfigurationError, match="project_id"):
        start()


def test_key_of_another_header(world: World) -> None:
    """The header of API keys can be chosen, and is read."""
    key = world.sandbox.create_api_key(world.alice)
    with world.settings(
        path("me", make_view("sync view", require_user.allow(api_key=True))), hexclave={"API_KEY_HEADER": "x-my-key"}
    ):
        assert id_in(ask("wsgi", "/me", {"x-my-key": key.value})) == world.alice.id
        assert ask("wsgi", "/me", {"x-api-key": key.value}).status_code == 401


# --- misuse -------------------------------------------------------------------------------------------------------


def view(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse("let in")


AT_IMPORT: dict[str, Callable[[], object]] = {
    "require_user()": lambda: require_user()(view),  # type: ignore[call-arg]  # the mistake
    "bare require_permission": lambda: require_permission(view),  # type: ignore[call-arg]  # the mistake
    "bare require_project_permission": lambda: require_project_permission(view),  # type: ignore[arg-type]  # the mistake
    "bare live": lambda: require_user.live(view),  # type: ignore[call-arg]  # the mistake
    "bare allow": lambda: require_user.allow(view),  # type: ignore[call-arg, arg-type]  # the mistake
    "on a class": lambda: require_user(OnMethod),
    "on a requirement": lambda: require_user(require_user),
    "on a factory": lambda: require_user(require_team),
    "on an unfinished one": lambda: require_user(require_user.live),
    "around include": lambda: require_user(include([])),  # type: ignore[type-var]  # the mistake
    "method_decorator, bare live": lambda: method_decorator(require_user.live, name="get")(Fresh()),
    "method_decorator, bare permission": lambda: method_decorator(require_permission, name="get")(Fresh()),
    "mixin last": lambda: type("Wrong", (View, HexclaveRequiredMixin), {}),
    "mixin after a class with dispatch": lambda: type("Wrong", (OnMethod, HexclaveRequiredMixin, View), {}),
    "mixin with a factory": lambda: type("Wrong", (HexclaveRequiredMixin, View), {"requirement": require_team}),
    "mixin with a core requirement": lambda: type("Wrong", (HexclaveRequiredMixin, View), {"requirement": None}),
    "as_view with a factory": lambda: Mixed.as_view(requirement=require_team),
}


def Fresh() -> type[View]:
    return type("Fresh", (View,), {"get": lambda self, request: HttpResponse("let in")})


@pytest.mark.parametrize("case", AT_IMPORT)
def test_misuse_fails_at_import(case: str) -> None:
    """What would guard nothing cannot even be written."""
    with pytest.raises((ConfigurationError, TypeError)):
        AT_IMPORT[case]()


AT_REQUEST: dict[str, Callable[[], Any]] = {
    "bare require_team": lambda: require_team(view),
    "require_user as a view": lambda: require_user,
    "live as a view": lambda: require_user.live,
    "allow as a view": lambda: require_user.allow,
    "factory as a view": lambda: require_team,
    "permission factory as a view": lambda: require_permission,
    "project permission factory as a view": lambda: require_project_permission,
    "bare require_team on dispatch": lambda: method_decorator(require_team, name="dispatch")(Fresh()).as_view(),
    "bare require_team on a method": lambda: method_decorator(require_team, name="get")(Fresh()).as_view(),
}


@both_colours
@pytest.mark.parametrize("case", AT_REQUEST)
def test_misuse_lets_nobody_in(world: World, case: str, colour: str) -> None:
    """What cannot be told from a right spelling answers 500 to everybody."""
    with world.settings(path("a/<x>", AT_REQUEST[case]()), path("b", AT_REQUEST[case]())):
        for where in ("/a/1", "/b"):
            for user in (None, world.alice):
                answer = ask(colour, where, world.headers(user))
                assert (answer.status_code, b"let in" in answer.content) == (500, False)


@both_colours
@pytest.mark.parametrize("answer", [require_user, require_team, require_user.live, require_user.allow])
def test_a_requirement_is_no_answer(world: World, answer: Any, colour: str) -> None:
    """A test of the user that returns a requirement, in place of asking it, lets nobody in."""
    from django.contrib.auth.decorators import user_passes_test

    with world.settings(path("", user_passes_test(lambda user: answer)(view))):
        for user in (None, world.alice):
            assert ask(colour, "/", world.headers(user)).status_code == 500


@both_colours
def test_a_missing_parameter_lets_nobody_in(world: World, colour: str) -> None:
    """A requirement that names what the route lacks is a mistake of the server."""
    guarded = make_view("sync view", require_team("{team_id}"))
    with world.settings(path("<other>", guarded)), pytest.raises(ConfigurationError, match="team_id"):
        ask(colour, f"/{world.team.id}", world.headers(world.alice), raises=True)


def test_a_sync_view_called_in_an_event_loop_does_not_block_it(world: World) -> None:
    """Called by hand from async code, the guarded view is awaited, and refuses all the same."""
    guarded = make_view("sync view", require_user)

    async def caller(request: Any) -> Any:
        return await guarded(request)

    with world.settings(path("", caller)):
        assert id_in(ask("asgi", "/", world.headers(world.alice))) == world.alice.id
        assert ask("asgi", "/").status_code == 401


# --- servers ------------------------------------------------------------------------------------------------------


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def over_wsgi() -> Iterator[str]:
    with make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def over_asgi() -> Iterator[str]:
    config = uvicorn.Config(get_asgi_application(), port=0, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def fetch(url: str, headers: dict[str, str]) -> tuple[int, bytes, Message]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


@pytest.mark.parametrize("serve", [over_wsgi, over_asgi])
def test_real_servers(world: World, serve: Any) -> None:
    """Over sockets, with Hexclave itself over a socket too."""
    with (
        world.sandbox.serve(),
        world.settings(
            path("sync/<team_id>", make_view("sync view", require_permission("{team_id}", "export_reports"))),
            path("async/<team_id>", make_view("async view", require_permission("{team_id}", "export_reports"))),
        ),
    ):
        with serve() as url:
            for kind in ("sync", "async"):
                where = f"{url}/{kind}/{world.team.id}"
                status, body, headers = fetch(where, world.headers(world.alice))
                assert (200, {"id": world.alice.id}) == (status, json.loads(body))
                assert (headers["Cache-Control"], headers["Vary"]) == (PRIVATE, VARY)
                status, body, headers = fetch(where, {})
                error = errors.NotAuthenticated()
                assert (error.status, error.body(), VARY) == (status, body, headers["Vary"])
                assert headers["WWW-Authenticate"] == 'Bearer realm="hexclave"'
        get_client().close()


# --- Django's users -----------------------------------------------------------------------------------------------


BRIDGE = {
    "AUTHENTICATION_BACKENDS": [
        "django.contrib.auth.backends.ModelBackend",
        "hexclave_integrations.django.backends.HexclaveBackend",
    ],
    "hexclave": {"DJANGO_USERS": True},
}


@pytest.fixture
def users() -> Iterator[Any]:
    from django.contrib.auth import get_user_model

    with database():
        yield get_user_model()._default_manager


def django_user(request: Any) -> HttpResponse:
    user = request.user
    return JsonResponse({"id": user.username if user.is_authenticated else None, "pk": user.pk})


async def adjango_user(request: Any) -> HttpResponse:
    user = await request.auser()
    return JsonResponse({"id": user.username if user.is_authenticated else None, "pk": user.pk})


django_user_views = pytest.mark.parametrize("view", [django_user, adjango_user])


@both_colours
@django_user_views
def test_django_user_is_found_or_made_by_id(world: World, users: Any, view: Any, colour: str) -> None:
    """One row a Hexclave user, named by their id; an older row with their e-mail address is somebody else."""
    owner = users.create_user("somebody", email="alice@example.com")
    alice = world.sandbox.create_user(primary_email="alice@example.com", primary_email_verified=True)
    with world.settings(path("", view), **BRIDGE):
        first, second = (ask(colour, "/", world.headers(alice)) for _ in range(2))

    row = users.get(username=alice.id)
    assert [row.pk, row.pk] == [json.loads(answer.content)["pk"] for answer in (first, second)]
    assert row.pk != owner.pk
    assert (row.has_usable_password(), row.is_staff, row.is_superuser) == (False, False, False)
    assert users.count() == 2


@both_colours
@django_user_views
def test_only_regular_and_active_users_have_rows(world: World, users: Any, view: Any, colour: str) -> None:
    """Other kinds and bad tokens make no row, and a row that was locked stays locked."""
    users.create_user(world.bob.id, is_active=False)
    with world.settings(path("", view), **BRIDGE):
        for headers in (
            {},
            {"x-stack-access-token": "garbage"},
            *(world.headers(user) for user in (world.restricted, world.anonymous, world.bob)),
        ):
            assert id_in(ask(colour, "/", headers)) is None

    assert users.count() == 1


@both_colours
@django_user_views
def test_sessions_work_beside_tokens(world: World, users: Any, view: Any, colour: str) -> None:
    """Without a token the session's user stays; with one, the token's user comes first."""
    admin = users.create_superuser("admin", password="secret")
    with world.settings(path("", view), **BRIDGE):
        browser = Client()
        browser.force_login(admin, backend=BRIDGE["AUTHENTICATION_BACKENDS"][0])  # type: ignore[index]
        cookie = {"cookie": f"sessionid={browser.cookies['sessionid'].value}"}
        assert id_in(ask(colour, "/", cookie)) == "admin"
        assert id_in(ask(colour, "/", {**cookie, "x-stack-access-token": "garbage"})) == "admin"
        assert world.alice.id == id_in(ask(colour, "/", {**cookie, **world.headers(world.alice)}))
        with world.sandbox.outage():
            world.sandbox.rotate_keys()
            assert id_in(ask(colour, "/", cookie)) == "admin"
            assert ask(colour, "/", {**cookie, **world.headers(world.alice)}).status_code == 503


def test_admin_log_in_works(world: World, users: Any) -> None:
    """The admin site is as before, token or not."""
    from django.contrib import admin

    users.create_superuser("admin", password="secret")
    with world.settings(path("admin/", admin.site.urls), **BRIDGE):
        browser = Client()
        page = browser.post("/admin/login/?next=/admin/", {"username": "admin", "password": "secret"})
        assert (page.status_code, page.headers["Location"]) == (302, "/admin/")
        assert browser.get("/admin/").status_code == 200
        assert Client().get("/admin/").status_code == 302
        assert Client().get("/admin/", headers=world.headers(world.alice)).status_code == 302


def test_without_the_setting_django_users_are_left_alone(world: World, users: Any) -> None:
    """A token alone is nobody to Django, unless the project says so."""
    with world.settings(path("", django_user)):
        assert id_in(ask("wsgi", "/", world.headers(world.alice))) is None

    assert users.count() == 0


def test_bridge_needs_djangos_middleware(world: World) -> None:
    """Without AuthenticationMiddleware before it, the bridge refuses to work."""
    bridged = world.settings(path("", django_user), MIDDLEWARE=[MIDDLEWARE], **BRIDGE)
    with bridged, pytest.raises(ConfigurationError, match="AuthenticationMiddleware"):
        ask("wsgi", "/", raises=True)


def test_backend_believes_only_verified_users(users: Any) -> None:
    """A text or an unverified description makes no row."""
    from hexclave_integrations.django.backends import HexclaveBackend

    for claim in (None, "id", {"id": "x"}):
        assert HexclaveBackend().authenticate(None, hexclave_user=claim) is None  # type: ignore[arg-type]
    assert users.count() == 0
