"""The default of a Django project: views, classes of views, decorators, the admin, and the frameworks on top of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ._django import COLOURS, World, as_settings, ask, database

# isort: split
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.contrib.staticfiles.views import serve as static_view
from django.core.checks import run_checks
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import include, path
from django.utils.decorators import decorator_from_middleware, method_decorator
from django.views import View
from django.views.decorators.cache import cache_page, never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_http_methods
from django.views.static import serve
from ninja import NinjaAPI
from rest_framework.decorators import api_view, permission_classes
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from hexclave_integrations import ConfigurationError
from hexclave_integrations.django import (
    HexclaveRequiredMixin,
    optional_user,
    public,
    require_api_key,
    require_project_permission,
    require_user,
    supabase_view,
    webhook_view,
)
from hexclave_integrations.django.drf import HexclavePermission
from hexclave_integrations.django.ninja import HexclaveAuth
from hexclave_integrations.supabase import SupabaseSigner
from hexclave_integrations.webhooks import Webhooks

from .._webhooks import SECRET, event

DEFAULT = (401, 200, 401)
"""What nobody, a user and an API key get where `require_user` is asked by default."""
OPEN = (200, 200, 200)
KEY = (401, 401, 200)
STAFF = require_project_permission("staff")
"""A requirement that a dotted path leads to."""

Ask = Callable[..., tuple[int, int, int]]


def view() -> Callable[..., HttpResponse]:
    """Another view each time: marks are on the function."""

    def page(request: HttpRequest, **params: Any) -> HttpResponse:
        return HttpResponse("page")

    return page


async def async_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("page")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(params=COLOURS)
def serving(request: pytest.FixtureRequest, world: World) -> Iterator[Callable[..., Ask]]:
    """Start a project with these patterns; returns how to ask it."""
    key = {"x-api-key": str(getattr(world.sandbox.create_api_key(world.alice), "value", ""))}
    entered: list[Any] = []

    def serve_patterns(*patterns: Any, default: Any = "require_user", **changes: Any) -> Ask:
        settings = world.settings(*patterns, hexclave={"DEFAULT": default}, **changes)
        settings.enable()
        entered.append(settings)

        def ask_all(url: str, method: str = "GET") -> tuple[int, int, int]:
            callers: list[dict[str, str]] = [{}, world.headers(world.alice), key]
            nobody, user, machine = (ask(request.param, url, headers, method=method).status_code for headers in callers)
            return nobody, user, machine

        return ask_all

    yield serve_patterns
    for settings in entered:
        settings.disable()


def test_views(serving: Any) -> None:
    """Sync and async, included ones too; a function that copied the attributes of a guarded one is guarded."""
    key = require_api_key(view())

    @functools.wraps(key)
    def look_alike(request: HttpRequest) -> HttpResponse:
        return HttpResponse("leak")

    @functools.wraps(public(view()))
    def look_public(request: HttpRequest) -> HttpResponse:
        return HttpResponse("leak")

    asking = serving(
        path("page", view()),
        path("async", async_page),
        path("public", public(view())),
        path("key", key),
        path("both", require_api_key(public(view()))),
        path("look-alike", look_alike),
        path("look-public", look_public),
        path("included/", include([path("page", view()), path("key", require_api_key(view()))])),
        path("media/<path:path>", serve, {"document_root": "/"}),
    )
    for url in ("/page", "/async", "/look-alike", "/look-public", "/included/page"):
        assert (url, *asking(url)) == (url, *DEFAULT)
    assert asking("/page", "HEAD") == asking("/page", "POST") == asking("/page", "OPTIONS") == DEFAULT
    assert asking("/public") == OPEN
    assert asking("/key") == asking("/both") == asking("/included/key") == KEY
    assert asking("/media/none") == (401, 404, 401)
    assert asking("/none") == (404, 404, 404)


def test_decorators(serving: Any) -> None:
    """Django's own that always call the view are looked through, by what they call; no others are."""

    class Answers:
        """Middleware that answers by itself."""

        def __init__(self, get_response: Any) -> None:
            pass

        def process_request(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("leak")

    def lying() -> Any:
        made = csrf_exempt(view())
        made.__wrapped__ = require_api_key(view())  # type: ignore[attr-defined]  # as `update_wrapper` would
        return made

    asking = serving(
        path("key", never_cache(require_http_methods(["GET"])(csrf_exempt(csrf_protect(require_api_key(view())))))),
        path("public", require_GET(csrf_exempt(public(view())))),
        path("cached", cache_page(60)(require_api_key(view()))),
        path("answers", decorator_from_middleware(Answers)(require_api_key(view()))),
        path("lying", lying()),
        path("exempt", csrf_exempt(view())),
    )
    assert asking("/key") == KEY
    assert asking("/public") == OPEN
    assert asking("/cached") == (401, 401, 401)
    assert asking("/answers") == asking("/lying") == asking("/exempt") == DEFAULT


def test_classes(serving: Any) -> None:
    """Methods, `dispatch`, our mixin; a mark is not inherited, and a subclass that skips a guard is guarded."""

    class Methods(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("page")

        @method_decorator(require_api_key)
        def post(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("page")

        @require_api_key
        def put(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("page")

        @method_decorator(public)
        def patch(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("page")

    @method_decorator(require_api_key, name="dispatch")
    class Key(Methods):
        pass

    @method_decorator([never_cache, require_api_key], name="dispatch")
    class Buried(Methods):
        pass

    @public
    class Public(Methods):
        pass

    class Heir(Public):
        pass

    class Mixed(HexclaveRequiredMixin, View):
        requirement = require_api_key

        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("page")

    class Skips(Mixed):
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            return HttpResponse("leak")

    asking = serving(
        path("methods", Methods.as_view()),
        path("key", Key.as_view()),
        path("buried", Buried.as_view()),
        path("public", Public.as_view()),
        path("heir", Heir.as_view()),
        path("mixed", Mixed.as_view()),
        path("given", Mixed.as_view(requirement=require_user)),
        path("skips", Skips.as_view()),
    )
    answers = {method: asking("/methods", method) for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS")}
    assert answers == {"GET": DEFAULT, "HEAD": DEFAULT, "POST": KEY, "PUT": KEY, "PATCH": OPEN, "OPTIONS": OPEN}
    assert asking("/methods", "DELETE") == (405, 405, 405)
    assert asking("/key") == asking("/mixed") == KEY
    assert asking("/public") == OPEN
    assert asking("/buried") == (401, 401, 401)
    assert asking("/heir") == asking("/given") == asking("/skips") == DEFAULT


def test_rest_framework(serving: Any) -> None:
    """A permission of ours is a requirement, alone and on both sides of `&`; `AllowAny` is no mark."""

    class Page(APIView):
        authentication_classes = ()
        permission_classes: Any = ()

        def get(self, request: Any) -> Response:
            return Response("page")

    key = HexclavePermission.of(require_api_key)

    def class_with(*permissions: Any, **members: Any) -> Any:
        return type("Page", (Page,), {"permission_classes": permissions, **members})

    def page(*permissions: Any, **members: Any) -> Any:
        return class_with(*permissions, **members).as_view()

    class Things(ViewSet):
        authentication_classes = ()
        permission_classes: Any = (key,)

        def list(self, request: Any) -> Response:
            return Response("page")

    class Bare(Things):
        permission_classes = ()

    @api_view(["GET"])
    @permission_classes([key])
    def function(request: Any) -> Response:
        return Response("page")

    router = SimpleRouter(trailing_slash=False)
    router.register("things", Things, basename="things")
    router.register("bare", Bare, basename="bare")
    asking = serving(
        path("none", page()),
        path("any", page(AllowAny)),
        path("key", page(key)),
        path("and", page(AllowAny & key)),
        path("or", page(AllowAny | key)),
        path("not", page(~key)),
        path("overridden", page(key, get_permissions=lambda self: [])),
        path("unchecked", page(key, check_permissions=lambda self, request: None)),
        path("public", public(class_with()).as_view()),
        path("function", function),
        path("", include(router.urls)),
    )
    for url in ("/none", "/any", "/or", "/overridden", "/unchecked", "/bare"):
        assert (url, *asking(url)) == (url, *DEFAULT)
    for url in ("/key", "/and", "/things", "/function"):
        assert (url, *asking(url)) == (url, *KEY)
    assert asking("/not")[0] == 401
    assert asking("/public") == OPEN


def test_ninja(serving: Any) -> None:
    """`auth=HexclaveAuth(...)` is a requirement where nothing else could let somebody in; `auth=None` is no mark."""
    api = NinjaAPI(urls_namespace=f"default-{id(serving)}")

    def operation() -> Any:
        def answer(request: HttpRequest) -> str:
            return "page"

        return answer

    key = HexclaveAuth(require_api_key)
    api.get("/page", operation_id="page")(operation())
    api.get("/none", auth=None, operation_id="none")(operation())
    api.get("/key", auth=key, operation_id="key")(operation())
    api.get("/either", auth=[lambda request: "anybody", key], operation_id="either")(operation())
    api.get("/optional", auth=None, operation_id="optional")(optional_user(operation()))
    api.get("/public", operation_id="public")(public(operation()))
    keyed = NinjaAPI(urls_namespace=f"keyed-{id(serving)}", auth=key)
    keyed.get("/page", operation_id="page")(operation())
    asking = serving(path("api/", api.urls), path("keyed/", keyed.urls))
    assert asking("/api/page") == asking("/api/none") == asking("/api/either") == DEFAULT
    assert asking("/api/key") == asking("/keyed/page") == KEY
    for url in ("/api/optional", "/api/public"):
        assert (url, *asking(url)[:2]) == (url, 200, 200)
    assert asking("/api/docs") == asking("/api/openapi.json") == OPEN
    assert asking("/api/page", "POST") == (405, 405, 405)


def test_endpoints_of_the_package(serving: Any) -> None:
    """Webhooks are admitted by their signature, tokens for Supabase handed to those whom the signer signs for."""
    asking = serving(
        path("hooks", webhook_view(Webhooks([SECRET]))),
        path("token", supabase_view(SupabaseSigner("a secret that is long enough for HS256"))),
    )
    assert asking("/hooks", "POST") == (400, 400, 400)
    assert asking("/token") == DEFAULT
    body, headers = event()
    delivered = Client().generic("POST", "/hooks", body, headers=headers)
    assert delivered.status_code == 200


def test_csrf(world: World) -> None:
    """A view that the default guards is exempt as a decorated one is: a cookie still needs Django's CSRF token."""
    from .test_django import cookie_header

    with world.settings(
        path("page", view()),
        path("public", public(view())),
        path("async", async_page),
        hexclave={"DEFAULT": "require_user", "ACCEPT_COOKIES": True},
    ):
        for colour in COLOURS:

            def post(url: str, headers: dict[str, str], colour: str = colour) -> int:
                found = ask(colour, url, headers, method="POST", enforce_csrf_checks=True)
                return int(found.status_code)

            secret = "a" * 32
            proof = {"cookie": cookie_header(world, csrftoken=secret), "x-csrftoken": secret}
            for url in ("/page", "/async"):
                assert post(url, {}) == 401
                assert post(url, world.headers(world.alice)) == 200
                assert post(url, {"cookie": cookie_header(world)}) == 403
                assert post(url, {"cookie": cookie_header(world), "x-csrftoken": secret}) == 403
                assert post(url, proof) == 200
            assert post("/public", world.headers(world.alice)) == 403
            assert post("/public", proof) == 200


def test_static_files_and_log_in_pages(world: World) -> None:
    """`staticfiles` is for everybody; a log-in page of Django's, as any view, is where it is marked."""
    patterns: list[Any] = [
        path("static/<path:path>", static_view),
        path("login/", LoginView.as_view()),
        path("open/", public(LoginView.as_view(template_name="admin/login.html"))),
    ]
    with world.settings(*patterns, path("admin/", admin.site.urls), hexclave={"DEFAULT": "require_user"}):
        assert [Client().get(url).status_code for url in ("/static/x.css", "/login/")] == [404, 401]
        assert Client().get("/open/").status_code == 200


def test_a_setting_that_the_default_needs(world: World) -> None:
    """Without a server key, a default that needs one is reported, and nothing is answered."""
    config = {**as_settings(world.sandbox.config), "DEFAULT": STAFF}
    config.pop("SECRET_SERVER_KEY")
    with override_settings(ROOT_URLCONF=(path("page", public(view())),), HEXCLAVE=config):
        assert [each.id for each in run_checks(tags=["hexclave"])] == ["hexclave.E010"]
        with pytest.raises(ConfigurationError, match="server_key"):
            Client().get("/page")


@pytest.mark.parametrize(
    "default", ["require_api_key", f"{__name__}.STAFF", STAFF, require_user.allow(restricted=True)]
)
def test_spellings(world: World, default: Any) -> None:
    """A name, a dotted path, or the requirement itself."""
    with world.settings(path("page", view()), hexclave={"DEFAULT": default}):
        assert run_checks(tags=["hexclave"]) == []
        statuses = [
            ask("wsgi", "/page", world.headers(user)).status_code for user in (None, world.alice, world.restricted)
        ]
    expected = {"require_api_key": [401, 401, 401], "allow": [401, 200, 200], "staff": [401, 403, 403]}
    kind = (
        "require_api_key" if default == "require_api_key" else "allow" if getattr(default, "restricted", 0) else "staff"
    )
    assert statuses == expected[kind]


@pytest.mark.parametrize(
    ("default", "words"),
    [
        ("optional_user", "optional"),
        ("require_team", "not called"),
        ("nonsense", "leads to nothing"),
        ("no.such.module", "leads to nothing"),
        (f"{__name__}.view", "no requirement"),
        (True, "no requirement"),
    ],
)
def test_what_cannot_be_a_default(world: World, default: Any, words: str) -> None:
    """A system check says so, and nothing is answered."""
    with world.settings(path("page", public(view())), hexclave={"DEFAULT": default}):
        (problem,) = [each for each in run_checks(tags=["hexclave"]) if each.id == "hexclave.E010"]
        assert words in problem.msg
        with pytest.raises(ConfigurationError, match=words):
            Client().get("/page")


def test_the_admin(world: World) -> None:
    """Django's admin asks for its own users, and lets its own in; what stands beside it is guarded."""
    site = admin.AdminSite(name="admin")
    site.register(User)

    class Pretender:
        login = staticmethod(view())

    def imitation(request: HttpRequest) -> HttpResponse:
        return HttpResponse("leak")

    imitation.__module__ = "django.contrib.admin.sites"
    patterns: list[Any] = [
        path("admin/", site.urls),
        path("more/", site.admin_view(view())),
        path("imitation", imitation),
        path("login", Pretender().login),
    ]
    sessions = "django.contrib.sessions.backends.signed_cookies"
    with database(), world.settings(*patterns, hexclave={"DEFAULT": "require_user"}, SESSION_ENGINE=sessions):
        client = Client()
        for url in ("/admin/", "/admin/auth/user/", "/more/"):
            assert (url, client.get(url).status_code) == (url, 302)
        assert client.get("/admin/login/").status_code == 200
        assert client.get("/imitation").status_code == client.get("/login").status_code == 401
        boss = User.objects.create_superuser("boss", password="only for tests")
        client.force_login(boss, "django.contrib.auth.backends.ModelBackend")
        assert client.get("/admin/auth/user/").status_code == 200
        assert client.get("/imitation").status_code == 401
