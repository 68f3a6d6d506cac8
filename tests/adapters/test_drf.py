"""Hexclave under Django REST framework: authentication, permissions, refusals, and the OpenAPI description."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import jwt
import pytest

from ._django import COLOURS, PRIVATE, VARY, World, ask, database, face, face_of

# isort: split
from django.http import HttpRequest
from django.test import RequestFactory
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_page
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.exceptions import APIException, AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from hexclave_integrations import ConfigurationError, HexclaveUser, errors
from hexclave_integrations.django import (
    get_client,
    optional_user,
    require_api_key,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
)
from hexclave_integrations.django._csrf import CsrfFailed
from hexclave_integrations.django.drf import HexclaveAuthentication, HexclavePermission

both_colours = pytest.mark.parametrize("colour", COLOURS)


@pytest.fixture
def world() -> World:
    return World()


def view(*permissions: Any, **attributes: Any) -> Any:
    """A view with these permissions that says who the caller is."""

    def get(self: Any, request: Any, **kwargs: Any) -> Response:
        user = request.user
        return Response(
            {"id": getattr(user, "id", None), "type": type(user).__name__, "auth": type(request.auth).__name__}
        )

    defaults = {"authentication_classes": [HexclaveAuthentication], "permission_classes": permissions}
    cls: Any = type("Example", (APIView,), {**defaults, **attributes, "get": get, "post": get})
    return cls.as_view()


def shown(answer: Any) -> tuple[Any, str, str]:
    assert answer.status_code == 200, answer.content
    body = json.loads(answer.content)
    return body["id"], body["type"], body["auth"]


EXPORT = require_permission("{team_id}", "export_reports")
REFUSALS: dict[str, tuple[Any, Callable[[World], dict[str, str]], errors.RequestRefused]] = {
    "nobody": (HexclavePermission, lambda w: {}, errors.NotAuthenticated()),
    "garbage, public": (AllowAny, lambda w: {"authorization": "Bearer x"}, errors.InvalidToken()),
    "garbage, stock permission": (IsAuthenticated, lambda w: {"authorization": "Bearer x"}, errors.InvalidToken()),
    "anonymous": (HexclavePermission.of(require_user), lambda w: w.headers(w.anonymous), errors.AnonymousNotAllowed()),
    "team permission": (
        HexclavePermission.of(EXPORT),
        lambda w: w.headers(w.bob),
        errors.TeamPermissionRequired(details={"permission_id": "export_reports"}),
    ),
    "both": (
        AllowAny & HexclavePermission.of(EXPORT),
        lambda w: w.headers(w.bob),
        errors.TeamPermissionRequired(details={"permission_id": "export_reports"}),
    ),
    "project permission": (
        HexclavePermission.of(require_project_permission("administer")),
        lambda w: w.headers(w.alice),
        errors.ProjectPermissionRequired(details={"permission_id": "administer"}),
    ),
    "team": (
        HexclavePermission.of(require_team("{team_id}")),
        lambda w: w.headers(w.bob),
        errors.TeamMembershipRequired(),
    ),
    "API key": (HexclavePermission.of(require_api_key), lambda w: {"authorization": "Bearer x"}, errors.InvalidToken()),
    "unknown API key": (HexclavePermission.of(require_api_key), lambda w: {"x-api-key": "x"}, errors.ApiKeyNotFound()),
}


@both_colours
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_the_errors_own_face(world: World, case: str, debug: bool, colour: str) -> None:
    """The framework's own answers look different; a refusal goes past them, in DEBUG too."""
    permission, headers, error = REFUSALS[case]
    with world.settings(path("<team_id>", view(permission)), DEBUG=debug):
        answer = ask(colour, f"/{world.team.id}", headers(world))

    assert face_of(error) == face(answer)


@both_colours
def test_user_is_the_hexclave_user(world: World, colour: str) -> None:
    """The framework's own permissions and ours let a regular user in, and caches are told."""
    with world.settings(path("stock", view(IsAuthenticated)), path("ours", view(HexclavePermission))):
        for where in ("/stock", "/ours"):
            answer = ask(colour, where, world.headers(world.alice))
            assert (world.alice.id, "HexclaveUser", "NoneType") == shown(answer)
            assert answer.headers["Cache-Control"] == PRIVATE
            assert set(VARY.split(", ")) <= set(answer.headers["Vary"].split(", "))


@both_colours
def test_other_kinds_are_nobody_unless_allowed(world: World, colour: str) -> None:
    """A genuine anonymous user is no user of the framework's, until a permission allows the kind."""
    allowed = HexclavePermission.of(require_user.allow(anonymous=True))
    optional = HexclavePermission.of(optional_user)
    with world.settings(
        path("stock", view(IsAuthenticated)),
        path("public", view(AllowAny)),
        path("allowed", view(allowed)),
        path("optional", view(optional)),
    ):
        for user in (world.anonymous, world.restricted):
            stock = ask(colour, "/stock", world.headers(user))
            assert (stock.status_code, stock.headers["WWW-Authenticate"]) == (401, 'Bearer realm="hexclave"')
            assert shown(ask(colour, "/public", world.headers(user))) == (None, "AnonymousUser", "NoneType")
            assert (user.id, "HexclaveUser", "NoneType") == shown(ask(colour, "/allowed", world.headers(user)))
            assert (user.id, "HexclaveUser", "NoneType") == shown(ask(colour, "/optional", world.headers(user)))
        assert shown(ask(colour, "/optional")) == (None, "AnonymousUser", "NoneType")


def test_api_keys(world: World) -> None:
    """`request.auth` is the key; where a requirement about users takes keys, `request.user` is the owner."""
    key = world.sandbox.create_api_key(world.alice)
    either = HexclavePermission.of(require_user.allow(api_key=True))
    with world.settings(
        path("key", view(HexclavePermission.of(require_api_key))), path("either", view(either)), path("plain", view())
    ):
        for headers in ({"x-api-key": key.value}, {"authorization": f"Bearer {key.value}"}):
            assert shown(ask("wsgi", "/key", headers)) == (None, "AnonymousUser", "HexclaveApiKey")
            assert (world.alice.id, "HexclaveUser", "NoneType") == shown(ask("wsgi", "/either", headers))
            assert shown(ask("wsgi", "/plain", headers)) == (None, "AnonymousUser", "NoneType")


def test_outage_is_503(world: World) -> None:
    """Neither authentication nor a permission turns an outage into a sign-out."""
    with world.settings(path("<team_id>", view(HexclavePermission.of(EXPORT)))), world.sandbox.outage():
        assert ask("wsgi", f"/{world.team.id}", world.headers(world.alice)).status_code == 503
    settings = world.settings(path("<team_id>", view(HexclavePermission.of(EXPORT))))
    with settings, world.sandbox.outage(paths="/team-permissions"):
        assert ask("wsgi", f"/{world.team.id}", world.headers(world.alice)).status_code == 503


def answer_everything(error: Exception, context: Any) -> Response:
    return Response({"oops": True}, status=500)


def test_a_projects_exception_handler_does_not_hide_refusals(world: World) -> None:
    """One that makes a 500 of what it does not know is corrected; its other answers stay."""
    rest = {"EXCEPTION_HANDLER": "tests.adapters.test_drf.answer_everything"}

    def broken(self: Any, request: Any) -> Response:
        raise ZeroDivisionError

    with world.settings(path("me", view(HexclavePermission)), path("broken", view(put=broken)), REST_FRAMEWORK=rest):
        assert face_of(errors.NotAuthenticated()) == face(ask("wsgi", "/me"))
        assert ask("wsgi", "/broken", method="PUT").content == b'{"oops":true}'


def catching(permission: Any) -> Any:
    """A view that asks its permissions again, by itself, and survives a refusal of the second time."""

    class Catching(APIView):
        permission_classes = [AllowAny]  # noqa: RUF012

        def get(self, request: Any) -> Response:
            with pytest.raises(errors.RequestRefused):
                permission().has_permission(request, self)
            raise ZeroDivisionError

    return Catching.as_view()


@pytest.mark.parametrize("rest", [{}, {"EXCEPTION_HANDLER": "tests.adapters.test_drf.answer_everything"}])
@pytest.mark.parametrize("debug", [False, True])
def test_a_refusal_that_a_view_has_handled_is_over(world: World, rest: dict[str, str], debug: bool) -> None:
    """A failure after it is a failure, whoever answers it."""
    with world.settings(path("me", catching(HexclavePermission)), REST_FRAMEWORK=rest, DEBUG=debug):
        answer = ask("wsgi", "/me")
    assert answer.status_code == 500
    assert errors.NotAuthenticated().body() != answer.content


def test_a_refusal_is_of_the_frameworks_kind_too(world: World) -> None:
    """Code that catches the framework's exceptions sees the refusal with its status, text and code."""
    seen: list[Any] = []

    class Catching(APIView):
        permission_classes = [AllowAny]  # noqa: RUF012

        def get(self, request: Any, team_id: str) -> Response:
            try:
                HexclavePermission.of(EXPORT)().has_permission(request, self)
            except APIException as error:
                seen.append((type(error).__mro__, error.status_code, error.get_codes(), str(error.detail)))
            return Response({})

    with world.settings(path("<team_id>", Catching.as_view())), world.sandbox.outage(paths="/team-permissions"):
        for user in (None, world.bob):
            ask("wsgi", f"/{world.team.id}", world.headers(user))
    with world.settings(path("<team_id>", Catching.as_view())):
        ask("wsgi", f"/{world.team.id}", world.headers(world.bob))

    assert [entry[1:] for entry in seen] == [
        (error.status, error.code, error.text)
        for error in (errors.NotAuthenticated, errors.Unavailable, errors.TeamPermissionRequired)
    ]
    kinds = [NotAuthenticated, APIException, PermissionDenied]
    assert all(kind in entry[0] and errors.RequestRefused in entry[0] for entry, kind in zip(seen, kinds, strict=True))


class Listed(serializers.Serializer[Any]):
    name = serializers.CharField()


class Things(GenericAPIView[Any]):
    """Open to all for reading; who may write is asked of the caller."""

    serializer_class = Listed
    renderer_classes = [JSONRenderer, BrowsableAPIRenderer]  # noqa: RUF012
    authentication_classes = [HexclaveAuthentication]  # noqa: RUF012
    writing: Any = HexclavePermission.of(require_project_permission("administer"))

    def get_permissions(self) -> Any:
        return [AllowAny() if self.request.method in ("GET", "OPTIONS") else self.writing()]

    def get(self, request: Any) -> Response:
        return Response({"name": "one"})

    def post(self, request: Any) -> Response:
        return Response({"name": "two"})


@both_colours
def test_the_browsable_api_asks_of_other_methods(world: World, colour: str) -> None:
    """A page that JSON readers see is there as HTML as well, with a form for those who may fill it in."""
    admin = world.bob
    world.sandbox.grant(admin, "administer")
    with world.settings(path("things", Things.as_view())):
        for user, may_write in ((None, False), (world.alice, False), (admin, True)):
            headers = world.headers(user)
            assert ask(colour, "/things", {**headers, "accept": "application/json"}).status_code == 200
            page = ask(colour, "/things", {**headers, "accept": "text/html"})
            assert (page.status_code, b'name="name"' in page.content) == (200, may_write)
            assert page.headers["Cache-Control"] == PRIVATE
            options = ask(colour, "/things", {**headers, "accept": "application/json"}, method="OPTIONS")
            assert (options.status_code, "actions" in json.loads(options.content)) == (200, may_write)
            assert (ask(colour, "/things", headers, method="POST").status_code == 200) is may_write


def test_the_browsable_api_during_an_outage(world: World) -> None:
    """What cannot be told is no form, and no error."""
    settings = world.settings(path("things", Things.as_view()))
    with settings, world.sandbox.outage(paths="/project-permissions"):
        page = ask("wsgi", "/things", {**world.headers(world.alice), "accept": "text/html"})
    assert (page.status_code, b'name="name"' in page.content) == (200, False)


def described(world: World, user: Any, **settings: Any) -> set[str]:
    """The paths of a schema that shows each reader what they may do."""
    from drf_spectacular.views import SpectacularJSONAPIView

    patterns = [
        path("me", view(HexclavePermission)),
        path("maybe", view(HexclavePermission.of(optional_user))),
        path("admin", view(HexclavePermission.of(require_project_permission("administer")))),
        path("<team_id>/reports", view(HexclavePermission.of(EXPORT))),
        path("open", view(AllowAny)),
    ]
    schema = SpectacularJSONAPIView.as_view(
        serve_public=False,
        urlconf=patterns,
        authentication_classes=[HexclaveAuthentication],
        permission_classes=[AllowAny],
    )
    with world.settings(path("schema", schema), **settings):
        answer = ask("wsgi", "/schema", world.headers(user))
    assert answer.status_code == 200, answer.content
    return set(json.loads(answer.content)["paths"])


@pytest.mark.parametrize("bridge", [False, True])
def test_a_schema_for_each_reader(world: World, bridge: bool) -> None:
    """Each sees what they may do; a team that only a real path names cannot be told, and stays out."""
    settings: dict[str, Any] = {}
    if bridge:
        settings = {
            "AUTHENTICATION_BACKENDS": ["hexclave_integrations.django.backends.HexclaveBackend"],
            "hexclave": {"DJANGO_USERS": True},
        }
    world.sandbox.grant(world.bob, "administer")
    with database():
        assert described(world, None, **settings) == {"/open", "/maybe"}
        assert described(world, world.anonymous, **settings) == {"/open", "/maybe"}
        assert described(world, world.alice, **settings) == {"/open", "/maybe", "/me"}
        assert described(world, world.bob, **settings) == {"/open", "/maybe", "/me", "/admin"}


def test_force_authenticate(world: World) -> None:
    """A test may say who is there, with a user Hexclave vouches for; requirements are held against them."""
    key = world.sandbox.create_api_key(world.alice)
    routes = world.settings(
        path("me", view(HexclavePermission)),
        path("key", view(HexclavePermission.of(require_api_key))),
        path("<team_id>/reports", view(HexclavePermission.of(EXPORT))),
    )
    with database(), routes:  # to sign out, Django's client looks for a session
        reports, client = f"/{world.team.id}/reports", cast("Any", APIClient())
        assert client.get("/me").status_code == 401
        for user, expected in ((world.alice, [200, 200]), (world.bob, [200, 403]), (world.anonymous, [401, 401])):
            client.force_authenticate(user=get_client().authenticate(world.headers(user)))
            assert [client.get(where).status_code for where in ("/me", reports)] == expected
        assert client.get(reports).content == errors.AnonymousNotAllowed().body()
        client.force_authenticate(token=get_client().check_api_key(key.value))
        assert [client.get(where).status_code for where in ("/key", "/me")] == [200, 401]
        client.force_authenticate()
        assert client.get("/me").status_code == 401
        client.force_authenticate(user=object())
        with pytest.raises(ConfigurationError, match="force_authenticate needs"):
            client.get("/me")


def test_decorated_views(world: World) -> None:
    """The decorators of the Django adapter work on the framework's functions and methods as well."""

    @api_view(["GET"])
    @authentication_classes([HexclaveAuthentication])
    @require_user
    def function(request: Any) -> Response:
        return Response({"id": request.hexclave_user.id})

    class Methods(APIView):
        @require_user
        def get(self, request: Any) -> Response:
            return Response({"id": request.hexclave_user.id})

    with world.settings(path("function", function), path("methods", Methods.as_view())):
        for where in ("/function", "/methods"):
            assert json.loads(ask("wsgi", where, world.headers(world.alice)).content) == {"id": world.alice.id}
            stranger = ask("wsgi", where)
            assert (401, errors.NotAuthenticated().body()) == (stranger.status_code, stranger.content)


@pytest.mark.parametrize("permission", [HexclavePermission, AllowAny, IsAuthenticated])
def test_cookies_need_a_csrf_token(world: World, permission: type[BasePermission]) -> None:
    """The framework exempts its views from Django's check, so a token in a cookie is held against it here."""
    from .test_django import cookies

    with world.settings(path("me", view(permission)), hexclave={"ACCEPT_COOKIES": True}):
        header = "; ".join(f"{name}={value}" for name, value in cookies(world, world.alice).items())
        bare = ask("wsgi", "/me", {"cookie": header}, method="POST", enforce_csrf_checks=True)
        sent = {"cookie": f"{header}; csrftoken={'a' * 32}", "x-csrftoken": "a" * 32}
        full = ask("wsgi", "/me", sent, method="POST", enforce_csrf_checks=True)

    assert face_of(CsrfFailed(), f"{VARY}, Cookie") == face(bare)
    assert (world.alice.id, "HexclaveUser", "NoneType") == shown(full)


@both_colours
@pytest.mark.parametrize(
    "attributes", [{"authentication_classes": []}, {"authentication_classes": [], "permission_classes": [AllowAny]}]
)
def test_a_cookie_makes_no_lazy_user_without_one(world: World, attributes: dict[str, Any], colour: str) -> None:
    """The same for a view without an authentication class that asks who the caller is."""
    from .test_django import nobody_without_a_csrf_token

    nobody_without_a_csrf_token(world, colour, type("Lazy", (Lazy,), attributes).as_view())  # type: ignore[attr-defined]


class Lazy(APIView):
    def get(self, request: Any) -> Response:
        return Response({"id": getattr(request.hexclave_user, "id", None)})

    post = get


class Shown(APIView):
    def get(self, request: Any) -> Response:
        return Response({"id": getattr(request.user, "id", None)})


class Viewed(ViewSet):
    def list(self, request: Any) -> Response:
        return Response({"id": getattr(request.user, "id", None)})


def made(base: Any, *, cached: str = "", **attributes: Any) -> Any:
    cls: Any = type("Made", (base,), attributes)
    return method_decorator(cache_page(60), name=cached)(cls) if cached else cls


ASKED: dict[str, Any] = {"authentication_classes": [HexclaveAuthentication]}
OURS: dict[str, Any] = {"permission_classes": [HexclavePermission]}
CACHED: dict[str, tuple[Callable[[], Any], int]] = {
    "authentication": (lambda: cache_page(60)(made(Shown, **ASKED).as_view()), 200),
    "authentication, dispatch": (lambda: made(Shown, cached="dispatch", **ASKED).as_view(), 200),
    "authentication, inside": (lambda: made(Shown, cached="get", **ASKED).as_view(), 200),
    "authentication, action": (lambda: made(Viewed, cached="list", **ASKED).as_view({"get": "list"}), 200),
    "permission": (lambda: cache_page(60)(made(Shown, **OURS).as_view()), 401),
    "permission, dispatch": (lambda: made(Shown, cached="dispatch", **OURS).as_view(), 401),
    "permission, inside": (lambda: made(Shown, cached="get", **OURS).as_view(), 401),
    "permission, action": (lambda: made(Viewed, cached="list", **OURS).as_view({"get": "list"}), 401),
    "lazy": (lambda: cache_page(60)(Lazy.as_view()), 200),
    "lazy, inside": (lambda: made(Lazy, cached="get").as_view(), 200),
    "api_view, inside": (lambda: api_view(["GET"])(cache_page(60)(lazy)), 200),
}


def lazy(request: Any) -> Response:
    return Response({"id": getattr(request.hexclave_user, "id", None)})


@both_colours
@pytest.mark.parametrize("form", CACHED)
def test_cache_page_stores_nothing_of_anybodys(world: World, form: str, colour: str) -> None:
    """Around a view or a method of it, no page is kept that asked who the caller is."""
    from .test_django import everybody_sees_himself

    make, stranger = CACHED[form]
    everybody_sees_himself(world, colour, make(), stranger)


def test_a_page_shown_to_an_api_key_is_not_stored(world: World) -> None:
    """To such a caller an authentication class answers nobody, which is no answer for others."""
    from .test_django import LOCAL

    key = world.sandbox.create_api_key(world.alice)
    with world.settings(path("keyed", cache_page(60)(made(Shown, **ASKED).as_view())), CACHES=LOCAL):
        assert json.loads(ask("wsgi", "/keyed", {"x-api-key": key.value}).content) == {"id": None}
        bearer = ask("wsgi", "/keyed", {"authorization": f"Bearer {key.value}"})
        assert json.loads(bearer.content) == {"id": None}
        assert {"id": world.alice.id} == json.loads(ask("wsgi", "/keyed", world.headers(world.alice)).content)


def test_sessions_work_beside_tokens(world: World) -> None:
    """A further authentication class is asked when no token came."""
    classes = [HexclaveAuthentication, SessionAuthentication]
    with world.settings(path("me", view(IsAuthenticated, authentication_classes=classes))):
        assert (world.alice.id, "HexclaveUser", "NoneType") == shown(ask("wsgi", "/me", world.headers(world.alice)))
        assert ask("wsgi", "/me").status_code == 401


def test_with_django_users_the_user_is_his_row(world: World) -> None:
    """The bridge holds here too; a row that is not active is refused."""
    from django.contrib.auth import get_user_model

    backends = ["hexclave_integrations.django.backends.HexclaveBackend"]
    with (
        database(),
        world.settings(
            path("stock", view(IsAuthenticated)),
            path("ours", view(HexclavePermission)),
            AUTHENTICATION_BACKENDS=backends,
            hexclave={"DJANGO_USERS": True},
        ),
    ):
        rows = get_user_model()._default_manager
        answers = {shown(ask("wsgi", where, world.headers(world.alice))) for where in ("/stock", "/ours")}
        assert {(rows.get(username=world.alice.id).pk, "User", "NoneType")} == answers
        rows.update(is_active=False)
        assert [ask("wsgi", where, world.headers(world.alice)).status_code for where in ("/stock", "/ours")] == [
            401,
            401,
        ]


@pytest.mark.parametrize("wrong", [require_team, require_user.live, "require_user", lambda request: True])
def test_what_is_no_requirement_is_refused(wrong: Any) -> None:
    """The permission class takes requirements only."""
    with pytest.raises(ConfigurationError):
        HexclavePermission.of(wrong)
    with pytest.raises(ConfigurationError):
        type("Mine", (HexclavePermission,), {"requirement": wrong})
    with pytest.raises(TypeError):
        HexclavePermission(wrong)  # type: ignore[call-arg]  # the mistake


@pytest.mark.parametrize("wrong", [require_user, require_team, require_permission, require_user.live, EXPORT])
def test_a_requirement_is_no_permission_class(world: World, wrong: Any) -> None:
    """Standing in `permission_classes` itself, it lets nobody in."""
    with world.settings(path("<team_id>", view(wrong))):
        for user in (None, world.alice):
            assert ask("wsgi", f"/{world.team.id}", world.headers(user)).status_code == 500


ANSWERS: dict[str, Callable[[], Any]] = {
    "requirement": lambda: require_user,
    "permission requirement": lambda: EXPORT,
    "factory": lambda: require_permission,
    "permission class": lambda: HexclavePermission,
    "permission class of a requirement": lambda: HexclavePermission.of(EXPORT),
    "permission": lambda: HexclavePermission(),
    "and": lambda: AllowAny & HexclavePermission,
    "and, reversed": lambda: HexclavePermission & AllowAny,
    "or": lambda: AllowAny | HexclavePermission,
    "or, reversed": lambda: HexclavePermission | AllowAny,
    "not": lambda: ~HexclavePermission,
    "combined twice": lambda: AllowAny & HexclavePermission & AllowAny,
    "authentication class": lambda: HexclaveAuthentication,
    "authentication": lambda: HexclaveAuthentication(),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("where", ["has_permission", "permission_classes"])
def test_a_guard_is_no_answer(world: World, answer: str, where: str) -> None:
    """A permission class that returns one of our guards, in place of asking it, lets nobody in."""
    returned = ANSWERS[answer]()
    permission: Any = type("Mine", (BasePermission,), {"has_permission": lambda self, request, view: returned})
    combined = permission if where == "permission_classes" else AllowAny & permission
    with world.settings(path("<team_id>", view(combined))):
        for user in (None, world.alice):
            assert ask("wsgi", f"/{world.team.id}", world.headers(user)).status_code == 500


def test_combined_permissions_guard_as_the_frameworks_own(world: World) -> None:
    """`&`, `|` and `~` mean what they always do, on either side."""
    regular = {
        "and": AllowAny & HexclavePermission,
        "and, reversed": HexclavePermission & AllowAny,
        "or": ~AllowAny | HexclavePermission,
        "twice": AllowAny & HexclavePermission & IsAuthenticated,
    }
    with world.settings(
        *(path(name, view(item)) for name, item in regular.items()),
        path("anybody", view(AllowAny | HexclavePermission)),
        path("nobody", view(~HexclavePermission)),
    ):
        for name in regular:
            assert ask("wsgi", f"/{name}").status_code == 401
            assert ask("wsgi", f"/{name}", world.headers(world.alice)).status_code == 200
        assert ask("wsgi", "/anybody").status_code == 200
        assert ask("wsgi", "/nobody", world.headers(world.alice)).status_code == 403
    assert (AllowAny & HexclavePermission) == (AllowAny & HexclavePermission)


def test_a_refusal_of_the_frameworks_own_stays_403(world: World) -> None:
    """Where a token was accepted and another permission says no, the framework asks who authenticated the request."""

    class Never(BasePermission):
        def has_permission(self, request: Any, view: Any) -> bool:
            return False

    with world.settings(path("me", view(Never))):
        assert ask("wsgi", "/me").status_code == 401
        assert ask("wsgi", "/me", world.headers(world.alice)).status_code == 403


def test_without_the_middleware_nothing_is_let_through(world: World) -> None:
    """A forgotten middleware is an error that says what to write."""
    request: HttpRequest = RequestFactory().get("/")
    for permission in (AllowAny, HexclavePermission):
        with world.settings(MIDDLEWARE=[]), pytest.raises(ConfigurationError, match="HexclaveMiddleware"):
            view(permission)(request)


def test_openapi_describes_the_token(world: World) -> None:
    """drf-spectacular names the scheme on the operations that use it."""
    from drf_spectacular.generators import SchemaGenerator

    with world.settings():
        generator: Any = SchemaGenerator
        schema = generator(patterns=[path("me", view(HexclavePermission))]).get_schema(request=None, public=True)

    assert schema["components"]["securitySchemes"]["Hexclave access token"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }
    assert schema["paths"]["/me"]["get"]["security"] == [{"Hexclave access token": []}]


def test_user_throttle(world: World) -> None:
    """The framework counts requests by the primary key of a user."""
    if not hasattr(HexclaveUser, "pk"):
        pytest.skip("HexclaveUser has no pk")

    class Twice(UserRateThrottle):
        rate = "2/min"

    with world.settings(path("me", view(HexclavePermission, throttle_classes=[Twice]))):
        alice, bob = world.headers(world.alice), world.headers(world.bob)
        assert [ask("wsgi", "/me", alice).status_code for _ in range(3)] == [200, 200, 429]
        assert ask("wsgi", "/me", bob).status_code == 200


class OtherIssuer(BaseAuthentication):
    """The users of an application that is moving: tokens signed with its own secret."""

    secret = "0123456789abcdef" * 4

    def authenticate(self, request: Any) -> Any:
        bearer = request.headers.get("authorization", "").partition(" ")[2]
        try:
            claims = jwt.decode(bearer, self.secret, ["HS256"])
        except jwt.InvalidTokenError:
            raise AuthenticationFailed from None
        return SimpleNamespace(id=claims["user_id"], is_authenticated=True), None


@both_colours
def test_two_issuers_side_by_side(world: World, colour: str) -> None:
    """Another issuer's bearer token goes to the next class; ours, good or bad, never does, nor does garbage."""
    both = [HexclaveAuthentication, OtherIssuer]
    urls = [
        path("open", view(IsAuthenticated, authentication_classes=both)),
        path("guarded", view(HexclavePermission, authentication_classes=both)),
    ]
    theirs = jwt.encode({"user_id": 7, "token_type": "access", "exp": 4102444800}, OtherIssuer.secret, "HS256")
    forged = jwt.encode({"user_id": 7, "token_type": "access", "exp": 4102444800}, "another" * 10, "HS256")
    claims = jwt.decode(world.sandbox.token(world.alice), options={"verify_signature": False})
    ours_forged = jwt.encode(claims | {"user_id": 7}, OtherIssuer.secret, "HS256")
    with world.settings(*urls):
        for text, found in ((theirs, 7), (world.sandbox.token(world.alice), world.alice.id)):
            assert shown(ask(colour, "/open", {"authorization": f"Bearer {text}"}))[0] == found
        for text in (forged, ours_forged, "garbage", world.sandbox.token(world.alice, expires_in=-60)):
            assert ask(colour, "/open", {"authorization": f"Bearer {text}"}).status_code == 401
        for headers in ({"authorization": f"Bearer {theirs}"}, {"x-stack-access-token": theirs}):
            refused = ask(colour, "/guarded", headers)
            assert (refused.status_code, json.loads(refused.content)["code"]) == (401, "UNPARSABLE_ACCESS_TOKEN")
        assert ask(colour, "/open", {"x-stack-access-token": theirs}).status_code == 401
