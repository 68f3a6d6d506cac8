"""Tests of an application's own: views called by themselves, whole configurations as settings, users as answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ._django import World, ask

# isort: split
from django.core.serializers.json import DjangoJSONEncoder
from django.http import JsonResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from ninja import NinjaAPI
from ninja.testing import TestAsyncClient, TestClient
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from hexclave_integrations import ConfigurationError, HexclaveUser, errors
from hexclave_integrations.django import get_client, require_api_key, require_team, require_user
from hexclave_integrations.django.drf import HexclaveAuthentication, HexclavePermission
from hexclave_integrations.django.ninja import HexclaveAuth
from hexclave_integrations.django.testing import sign_in


@pytest.fixture
def world() -> World:
    return World()


@require_user
def me(request: Any) -> JsonResponse:
    return JsonResponse({"id": request.hexclave_user.id, "user": request.user.id})


@require_user
async def async_me(request: Any) -> JsonResponse:
    return JsonResponse({"id": request.hexclave_user.id, "user": (await request.auser()).id})


class Rest(APIView):
    authentication_classes = [HexclaveAuthentication]  # noqa: RUF012  # the framework's own spelling
    permission_classes = [HexclavePermission]  # noqa: RUF012  # as above

    def get(self, request: Any, **params: str) -> Response:
        return Response({"id": request.user.id})


class RestOfTeam(Rest):
    permission_classes = [HexclavePermission.of(require_team("{team_id}"))]  # noqa: RUF012  # as above


class RestWithoutAuthentication(Rest):
    authentication_classes = []  # noqa: RUF012  # as above


def of(world: World, user: Any) -> HexclaveUser:
    """The user as a view sees them."""
    found = get_client().authenticate(world.headers(user))
    assert found is not None
    return found


def call(view: Any, request: Any, **params: Any) -> Any:
    answer = view(request, **params)
    return asyncio.run(answer) if asyncio.iscoroutine(answer) else answer


def rendered(answer: Any) -> bytes:
    return bytes(answer.render().content if hasattr(answer, "render") else answer.content)


VIEWS = {"view": me, "async view": async_me, "drf": Rest.as_view(), "drf, bare": RestWithoutAuthentication.as_view()}
FACTORIES = {"RequestFactory": RequestFactory, "APIRequestFactory": APIRequestFactory}


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=list(FACTORIES))
@pytest.mark.parametrize("view", VIEWS.values(), ids=list(VIEWS))
@pytest.mark.parametrize("way", ["headers", "attribute", "sign_in"])
def test_a_view_by_itself(world: World, view: Any, factory: Any, way: str) -> None:
    """A request of a factory is one of the user whose header it has, or whom the test has put on it."""
    with world.settings():
        request = factory().get("/", headers=world.headers(world.alice) if way == "headers" else {})
        if way == "attribute":
            request.hexclave_user = of(world, world.alice)
        elif way == "sign_in":
            sign_in(request, of(world, world.alice))
        answer = call(view, request)
        assert answer.status_code == 200
        assert world.alice.id.encode() in rendered(answer)


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=list(FACTORIES))
@pytest.mark.parametrize("view", VIEWS.values(), ids=list(VIEWS))
def test_a_view_by_itself_refuses(world: World, view: Any, factory: Any) -> None:
    """Nobody, garbage, and users whom the requirement does not let in get the answers that they get everywhere."""
    with world.settings():
        garbage = factory().get("/", headers={"x-stack-access-token": "garbage"})
        restricted = factory().get("/")
        restricted.hexclave_user = of(world, world.restricted)
        believed = factory().get("/")
        believed.hexclave_user = world.alice  # a name that a test made up
        nobody = factory().get("/")
        sign_in(nobody, None)
        asked = [(factory().get("/"), 401), (nobody, 401), (garbage, 401), (restricted, 403), (believed, 401)]
        for request, status in asked:
            answer = call(view, request)
            assert answer.status_code == status
            assert b'"code":' in rendered(answer)


def test_a_view_of_a_team_by_itself(world: World) -> None:
    """Teams and permissions are looked up as everywhere."""
    with world.settings():
        for user, status in ((world.alice, 200), (world.bob, 403)):
            request = APIRequestFactory().get("/", headers=world.headers(user))
            assert call(RestOfTeam.as_view(), request, team_id=world.team.id).status_code == status


def test_force_authenticate(world: World) -> None:
    """The test tools of Django REST framework take the user of a sandbox, as everywhere else."""
    with world.settings(path("", Rest.as_view())):
        alice: Any = of(world, world.alice)
        restricted: Any = of(world, world.restricted)
        request = APIRequestFactory().get("/")
        force_authenticate(request, user=alice)
        assert call(Rest.as_view(), request).data == {"id": alice.id}
        client = APIClient()
        client.force_authenticate(user=alice)
        assert client.get("/").json() == {"id": alice.id}
        client.force_authenticate(user=restricted)
        assert client.get("/").status_code == 403


def test_the_test_clients_of_ninja(world: World) -> None:
    """Headers, or the user as `hexclave_user`; nobody is refused, and so are those who are not let in."""
    api = NinjaAPI(urls_namespace="single views")

    @api.get("/me", auth=HexclaveAuth())
    def sync_me(request: Any) -> Any:
        return {"id": request.auth.id}

    @api.get("/async", auth=HexclaveAuth())
    async def awaited_me(request: Any) -> Any:
        return {"id": request.auth.id}

    with world.settings():
        alice, restricted = of(world, world.alice), of(world, world.restricted)
        client = TestClient(api)
        assert client.get("/me", headers=world.headers(world.alice)).json() == {"id": alice.id}
        assert client.get("/me", hexclave_user=alice).json() == {"id": alice.id}
        assert client.get("/me").status_code == 401
        assert client.get("/me", user=alice).status_code == 401
        assert client.get("/me", hexclave_user=restricted).status_code == 403
        awaited: Any = asyncio.run(TestAsyncClient(api).get("/async", headers=world.headers(world.alice)))
        assert awaited.json() == {"id": alice.id}


def test_an_attribute_is_no_way_in_for_callers(world: World) -> None:
    """With the middleware, the user is who the credentials say, whatever else has been put on the request before."""

    def pretend(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            request.hexclave_user = HexclaveUser(id=world.bob.id, kind="regular", project_id="x")
            return get_response(request)

        return middleware

    globals()["pretend"] = pretend
    ours = "hexclave_integrations.django.middleware.HexclaveMiddleware"
    with world.settings(path("", me), MIDDLEWARE=[f"{__name__}.pretend", ours]):
        assert Client().get("/").status_code == 401
        answer = Client().get("/", headers=world.headers(world.alice))
        assert answer.json()["id"] == world.alice.id


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_configuration_of_a_sandbox_as_setting(world: World) -> None:
    """`settings.HEXCLAVE = sandbox.config`, or among the settings of this adapter."""
    for value in (world.sandbox.config, {"CONFIG": world.sandbox.config, "DJANGO_USERS": False}):
        with override_settings(ROOT_URLCONF=(path("", me),), HEXCLAVE=value):
            assert ask("wsgi", "/", world.headers(world.alice)).status_code == 200
    with override_settings(HEXCLAVE={"CONFIG": "x"}), pytest.raises(ConfigurationError, match="no HexclaveConfig"):
        get_client()


# --- one user in a request --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["wsgi", "asgi"])
def test_the_user_of_a_guarded_view_is_the_user_of_the_request(world: World, colour: str) -> None:
    """Without DJANGO_USERS too, `request.user` behind a guard is who was let in, and has their id."""
    with world.settings(path("", me if colour == "wsgi" else async_me)):
        answer = ask(colour, "/", world.headers(world.alice))
    assert answer.json() == {"id": world.alice.id, "user": world.alice.id}


# --- answers ----------------------------------------------------------------------------------------------------------


def test_users_as_answers_show_the_public_fields(world: World) -> None:
    """However a view answers with the user or key: the public fields, and nothing of session or claims."""
    api = NinjaAPI(urls_namespace="answers")

    @api.get("/alone", auth=HexclaveAuth())
    def alone(request: Any) -> Any:
        return request.auth

    @api.get("/inside", auth=HexclaveAuth())
    def inside(request: Any) -> Any:
        return {"user": request.auth}

    class Inside(Rest):
        def get(self, request: Any, **params: str) -> Response:
            return Response({"user": request.user})

    class Alone(Rest):
        def get(self, request: Any, **params: str) -> Response:
            return Response(request.user)

    class OwnEncoder(DjangoJSONEncoder):
        def default(self, o: Any) -> Any:
            return "own" if isinstance(o, complex) else super().default(o)

    def own(request: Any) -> JsonResponse:
        return JsonResponse({"user": request.hexclave_user, "other": 1j}, encoder=OwnEncoder)

    patterns: list[Any] = [
        path("safe", require_user(lambda request: JsonResponse({"user": request.hexclave_user}))),
        path("unsafe", require_user(lambda request: JsonResponse(request.hexclave_user, safe=False))),
        path("own", require_user(own)),
        path("rest", Inside.as_view()),
        path("rest/alone", Alone.as_view()),
        path("ninja/", api.urls),
    ]
    expected: dict[str, Any] = {"id": world.alice.id, "kind": "regular", "display_name": "Alice", "primary_email": None}
    expected |= {"primary_email_verified": False, "selected_team_id": None}
    with world.settings(*patterns):
        for url in ("safe", "unsafe", "own", "rest", "rest/alone", "ninja/alone", "ninja/inside"):
            found = ask("wsgi", f"/{url}", world.headers(world.alice), raises=True).json()
            assert found.get("user", found) == expected, url


def test_api_keys_as_answers_show_the_public_fields(world: World) -> None:
    """Whose key it is, and nothing that its maker wrote."""
    key = world.sandbox.create_api_key(world.alice)
    view = require_api_key(lambda request: JsonResponse({"key": request.hexclave_api_key}))
    with world.settings(path("", view)):
        found = ask("wsgi", "/", {"x-api-key": key.value}, raises=True).json()
    assert found == {"key": {"id": key.id, "type": "user", "user_id": world.alice.id, "team_id": None}}


def test_where_the_api_key_is(world: World) -> None:
    """`request.hexclave_api_key` in Django, Django REST framework and Django Ninja."""

    class OfKey(Rest):
        permission_classes = [HexclavePermission.of(require_api_key)]  # noqa: RUF012  # the framework's own spelling

        def get(self, request: Any, **params: str) -> Response:
            return Response({"id": request.hexclave_api_key.id})

    api = NinjaAPI(urls_namespace="keys")

    @api.get("/key", auth=HexclaveAuth(require_api_key))
    def by_key(request: Any) -> Any:
        return {"id": request.hexclave_api_key.id}

    key = world.sandbox.create_api_key(world.alice)
    plain = require_api_key(lambda request: JsonResponse({"id": request.hexclave_api_key.id}))
    with world.settings(path("plain", plain), path("drf", OfKey.as_view()), path("ninja/", api.urls)):
        for url in ("plain", "drf", "ninja/key"):
            assert ask("wsgi", f"/{url}", {"x-api-key": key.value}, raises=True).json() == {"id": key.id}


# --- misuse -----------------------------------------------------------------------------------------------------------


def test_a_request_of_a_factory_without_a_guard_says_what_to_do() -> None:
    """A view that only looks at the user needs `sign_in` in its test."""
    request: Any = RequestFactory().get("/")
    with pytest.raises(ConfigurationError, match="sign_in"):
        _ = request.hexclave_user


def test_refusals_of_a_factory_request_have_the_usual_face(world: World) -> None:
    """The bytes and headers that the middleware gives."""
    with world.settings():
        answer = call(me, RequestFactory().get("/"))
    assert (answer.content, answer.headers["Cache-Control"]) == (errors.NotAuthenticated().body(), "private, no-store")
