"""Hexclave under Django Ninja: sync and async operations, refusals, and what must never count as let in."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from ._django import COLOURS, PRIVATE, VARY, World, ask, face, face_of

# isort: split
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import RequestFactory
from django.urls import path
from django.views.decorators.cache import cache_page
from ninja import NinjaAPI
from ninja.decorators import decorate_view

from hexclave_integrations import ConfigurationError, errors
from hexclave_integrations.django import optional_user, require_api_key, require_permission, require_team, require_user
from hexclave_integrations.django._csrf import CsrfFailed
from hexclave_integrations.django.middleware import HexclaveMiddleware
from hexclave_integrations.django.ninja import HexclaveAuth

both_colours = pytest.mark.parametrize("colour", COLOURS)
EXPORT = require_permission("{team_id}", "export_reports")
numbers = itertools.count()


@pytest.fixture
def world() -> World:
    return World()


def routes(auth: Any, **options: Any) -> Any:
    """An API with a sync, an async, and a mixed path, where sync operations run in async mode."""
    api = NinjaAPI(urls_namespace=f"test-{next(numbers)}", auth=auth, docs_url=None, openapi_url=None, **options)

    def show(request: Any) -> dict[str, Any]:
        return {"id": request.auth.id, "user": getattr(request.hexclave_user, "id", None)}

    @api.get("/{team_id}/sync")
    @api.post("/{team_id}/sync")
    def sync(request: Any, team_id: str) -> dict[str, Any]:
        return show(request)

    @api.get("/{team_id}/async")
    @api.post("/{team_id}/async")
    async def async_(request: Any, team_id: str) -> dict[str, Any]:
        if request.auth.__class__.__name__ == "HexclaveApiKey":
            return {"id": request.auth.id, "user": None}
        return show(request)

    @api.get("/{team_id}/mixed")
    def mixed(request: Any, team_id: str) -> dict[str, Any]:
        return show(request)

    @api.put("/{team_id}/mixed")
    async def mixed_async(request: Any, team_id: str) -> dict[str, Any]:
        return show(request)

    return path("", api.urls)


OPERATIONS = pytest.mark.parametrize("operation", ["sync", "async", "mixed"])
REFUSALS: dict[str, tuple[Any, Callable[[World], dict[str, str]], errors.RequestRefused]] = {
    "nobody": (require_user, lambda w: {}, errors.NotAuthenticated()),
    "garbage": (require_user, lambda w: {"authorization": "Bearer x"}, errors.InvalidToken()),
    "anonymous": (require_user, lambda w: w.headers(w.anonymous), errors.AnonymousNotAllowed()),
    "permission": (
        EXPORT,
        lambda w: w.headers(w.bob),
        errors.TeamPermissionRequired(details={"permission_id": "export_reports"}),
    ),
    "unknown API key": (require_api_key, lambda w: {"x-api-key": "x"}, errors.ApiKeyNotFound()),
}


@both_colours
@OPERATIONS
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_the_errors_own_face(world: World, case: str, debug: bool, operation: str, colour: str) -> None:
    """The framework's own answers look different, and in DEBUG it makes a page of the traceback: ours replaces it."""
    requirement, headers, error = REFUSALS[case]
    with world.settings(routes(HexclaveAuth(requirement)), DEBUG=debug):
        answer = ask(colour, f"/{world.team.id}/{operation}", headers(world))

    assert face_of(error) == face(answer)


@both_colours
@OPERATIONS
def test_a_refusal_is_no_failure_in_debug(
    world: World, operation: str, colour: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is one of the framework's own exceptions as well, so no traceback is logged for it."""
    with world.settings(routes(HexclaveAuth()), DEBUG=True):
        assert ask(colour, f"/{world.team.id}/{operation}").status_code == 401
    assert not [record for record in caplog.records if record.exc_info]


@both_colours
def test_a_refusal_that_another_auth_has_handled_is_over(world: World, colour: str) -> None:
    """Where a function of the project lets the caller in after all, the operation's own answer is the answer."""
    api = NinjaAPI(urls_namespace=f"test-{next(numbers)}", docs_url=None, openapi_url=None)

    def either(request: HttpRequest) -> Any:
        try:
            return HexclaveAuth()(request)
        except errors.RequestRefused:
            return "guest"

    @api.get("/{status}", auth=either)
    def operation(request: Any, status: int) -> HttpResponse:
        if status == 1:
            raise ZeroDivisionError
        return HttpResponse("my own", status=status)

    with world.settings(path("", api.urls)):
        for status, expected in ((401, 401), (500, 500), (1, 500), (200, 200)):
            answer = ask(colour, f"/{status}")
            assert (answer.status_code, answer.content == errors.NotAuthenticated().body()) == (expected, False)


@both_colours
@OPERATIONS
@pytest.mark.parametrize("requirement", [require_user, EXPORT, require_team("{team_id}"), require_user.live()])
def test_auth_is_whom_the_requirement_let_through(world: World, requirement: Any, operation: str, colour: str) -> None:
    """`request.auth` and `request.hexclave_user` are the user, and caches are told."""
    with world.settings(routes(HexclaveAuth(requirement))):
        answer = ask(colour, f"/{world.team.id}/{operation}", world.headers(world.alice))

    assert {"id": world.alice.id, "user": world.alice.id} == json.loads(answer.content)
    assert (answer.headers["Cache-Control"], answer.headers["Vary"]) == (PRIVATE, VARY)


@both_colours
@OPERATIONS
def test_api_keys(world: World, operation: str, colour: str) -> None:
    """`request.auth` is the key, or the owner where a requirement about users takes keys."""
    key = world.sandbox.create_api_key(world.alice)
    with world.settings(routes(HexclaveAuth(require_api_key))):
        answer = ask(colour, f"/x/{operation}", {"x-api-key": key.value})
        assert {"id": key.id, "user": None} == json.loads(answer.content)
    with world.settings(routes(HexclaveAuth(require_user.allow(api_key=True)))):
        answer = ask(colour, f"/x/{operation}", {"x-api-key": key.value})
        assert world.alice.id == json.loads(answer.content)["id"]


@both_colours
@OPERATIONS
def test_outage_is_503(world: World, operation: str, colour: str) -> None:
    """Not a sign-out, and not a way in."""
    with world.settings(routes(HexclaveAuth())), world.sandbox.outage():
        assert ask(colour, f"/x/{operation}", world.headers(world.alice)).status_code == 503


def test_an_answer_nobody_awaits_lets_nobody_in(world: World) -> None:
    """A coroutine is true; what a forgetful framework gets here instead is false, and complains about nothing."""
    results: list[Any] = []

    async def forgetful(request: HttpRequest) -> None:
        results.append(HexclaveAuth()(request))

    with world.settings():
        for headers in ({}, world.headers(world.alice)):
            request = RequestFactory().get("/", headers=headers)

            async def run(request: HttpRequest = request) -> None:
                await HexclaveMiddleware(forgetful)(request)

            asyncio.run(run())
    assert [bool(result) for result in results] == [False, False]
    results.clear()
    gc.collect()


@both_colours
def test_a_sync_operation_run_in_an_event_loop_refuses(world: World, colour: str) -> None:
    """Called as some test clients do, without a thread: nobody is let in, for nobody can be checked there."""
    api = NinjaAPI(urls_namespace=f"test-{next(numbers)}", auth=HexclaveAuth())

    @api.get("/sync")
    def sync(request: Any) -> dict[str, str]:
        return {"let": "in"}

    view: Any
    (view,) = [pattern.callback for pattern in api.urls[0] if str(pattern.pattern) == "sync"]

    async def caller(request: HttpRequest) -> Any:
        return view(request)

    with world.settings(path("", caller)):
        for headers in ({}, world.headers(world.alice)):
            answer = ask(colour, "/", headers)
            assert (answer.status_code, b"let" in answer.content) == (401, False)


@both_colours
def test_decorated_operations(world: World, colour: str) -> None:
    """The Django decorators work on operations too: the way to a user who may be nobody."""
    api = NinjaAPI(urls_namespace=f"test-{next(numbers)}")

    @api.get("/sync")
    @optional_user
    def sync(request: Any) -> dict[str, Any]:
        return {"id": getattr(request.hexclave_user, "id", None)}

    @api.get("/{team_id}/async")
    @EXPORT
    async def async_(request: Any, team_id: str) -> dict[str, Any]:
        return {"id": request.hexclave_user.id}

    with world.settings(path("", api.urls)):
        assert json.loads(ask(colour, "/sync").content) == {"id": None}
        assert {"id": world.alice.id} == json.loads(ask(colour, "/sync", world.headers(world.alice)).content)
        assert face_of(errors.InvalidToken()) == face(ask(colour, "/sync", {"authorization": "Bearer x"}))
        where = f"/{world.team.id}/async"
        assert {"id": world.alice.id} == json.loads(ask(colour, where, world.headers(world.alice)).content)
        assert face_of(errors.NotAuthenticated()) == face(ask(colour, where))


def test_a_decorator_above_the_route_is_refused() -> None:
    """There it would guard a copy that the API does not use."""
    api = NinjaAPI(urls_namespace=f"test-{next(numbers)}")
    with pytest.raises(ConfigurationError, match=r"below @api\.get"):

        @require_user
        @api.get("/x")
        def operation(request: HttpRequest) -> dict[str, str]:
            return {}


@pytest.mark.parametrize("wrong", [optional_user, require_team, require_user.live, None, "require_user"])
def test_what_is_no_requirement_is_refused(wrong: Any) -> None:
    """An optional one, too: its None would be a refusal here, and anything true would be a user."""
    with pytest.raises(ConfigurationError):
        HexclaveAuth(wrong)


@both_colours
@OPERATIONS
@pytest.mark.parametrize(
    "wrong",
    [HexclaveAuth, require_user, require_team, require_permission, require_user.live, require_user.allow, EXPORT],
)
def test_misuse_lets_nobody_in(world: World, wrong: Any, operation: str, colour: str) -> None:
    """A class or requirement in place of `HexclaveAuth(...)` answers 500 to everybody."""
    with world.settings(routes(wrong)):
        for user in (None, world.alice):
            answer = ask(colour, f"/{world.team.id}/{operation}", world.headers(user))
            assert (answer.status_code, world.alice.id.encode() in answer.content) == (500, False)


ANSWERS: dict[str, Callable[[], Any]] = {
    "requirement": lambda: require_user,
    "called requirement": lambda: EXPORT,
    "factory": lambda: require_team,
    "auth": lambda: HexclaveAuth(require_user),
    "auth class": lambda: HexclaveAuth,
}


def let_in() -> Any:
    def operation(request: Any) -> HttpResponse:
        return HttpResponse("let in")

    return operation


def alet_in() -> Any:
    async def operation(request: Any) -> HttpResponse:
        return HttpResponse("let in")

    return operation


# Before Django Ninja 1.7, a sync operation calls an async `auth` twice, and awaits the second coroutine alone.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@both_colours
@pytest.mark.parametrize("operation", [let_in, alet_in])
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("is_async", [False, True])
def test_a_guard_is_no_answer(world: World, answer: str, is_async: bool, operation: Any, colour: str) -> None:
    """A function given as `auth` that returns one of our guards, in place of asking it, lets nobody in."""
    returned = ANSWERS[answer]()

    async def aauth(request: HttpRequest) -> Any:
        return returned

    view = one(operation(), auth=aauth if is_async else lambda request: returned)
    with world.settings(path("", view)):
        for user in (None, world.alice):
            answered = ask(colour, "/", world.headers(user))
            assert (answered.status_code, b"let in" in answered.content) == (500, False)


@both_colours
@pytest.mark.parametrize("operation", ["sync", "async"])
def test_cookies_need_a_csrf_token(world: World, operation: str, colour: str) -> None:
    """The framework exempts its views from Django's check, so a token in a cookie is held against it here."""
    from .test_django import cookies

    with world.settings(routes(HexclaveAuth()), hexclave={"ACCEPT_COOKIES": True}):
        header = "; ".join(f"{name}={value}" for name, value in cookies(world, world.alice).items())
        where = f"/x/{operation}"
        bare = ask(colour, where, {"cookie": header}, method="POST", enforce_csrf_checks=True)
        sent = {"cookie": f"{header}; csrftoken={'a' * 32}", "x-csrftoken": "a" * 32}
        full = ask(colour, where, sent, method="POST", enforce_csrf_checks=True)

    assert face_of(CsrfFailed(), f"{VARY}, Cookie") == face(bare)
    assert full.status_code == 200


def one(operation: Any, *decorators: Any, auth: Any = None) -> Any:
    """The view of an API with one operation."""
    api = NinjaAPI(urls_namespace=f"test-{next(numbers)}", auth=auth, docs_url=None, openapi_url=None)
    for decorator in reversed(decorators):
        operation = decorator(operation)
    api.api_operation(["GET", "POST"], "/me")(operation)
    (view,) = [pattern.callback for pattern in api.urls[0] if str(pattern.pattern) == "me"]
    return view


def lazy() -> Any:
    def operation(request: Any) -> HttpResponse:
        return JsonResponse({"id": getattr(request.hexclave_user, "id", None)})

    return operation


def alazy() -> Any:
    async def operation(request: Any) -> HttpResponse:
        user = await request.ahexclave_user()
        return JsonResponse({"id": getattr(user, "id", None)})

    return operation


both_operations = pytest.mark.parametrize("operation", [lazy, alazy])


@both_colours
@both_operations
def test_a_cookie_makes_no_lazy_user_without_one(world: World, operation: Any, colour: str) -> None:
    """The same for an operation without `auth` that asks who the caller is."""
    from .test_django import nobody_without_a_csrf_token

    nobody_without_a_csrf_token(world, colour, one(operation()))


@both_colours
@both_operations
@pytest.mark.parametrize("guard", [True, False])
@pytest.mark.parametrize("place", ["run", "operation"])
def test_cache_page_stores_nothing_of_anybodys(
    world: World, operation: Any, place: str, guard: bool, colour: str
) -> None:
    """Around an operation's checks or below them, no page is kept that asked who the caller is."""
    from .test_django import everybody_sees_himself

    cached = cache_page(60) if place == "operation" else decorate_view(cache_page(60))
    view = one(operation(), cached, auth=HexclaveAuth() if guard else None)
    everybody_sees_himself(world, colour, view, 401 if guard else 200)


def test_openapi_describes_the_token() -> None:
    """The scheme stands on the operations that use it."""
    api = NinjaAPI(urls_namespace=f"test-{next(numbers)}", auth=HexclaveAuth())

    @api.get("/x")
    def operation(request: HttpRequest) -> dict[str, str]:
        return {}

    schema = api.get_openapi_schema(path_prefix="")
    assert list(schema["components"]["securitySchemes"].values()) == [
        {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    ]
    assert schema["paths"]["/x"]["get"]["security"] == [{"HexclaveAuth": []}]
