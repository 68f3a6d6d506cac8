"""The system checks of the Django adapter and the command that runs them."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from ._django import World

# isort: split
from django.core import checks
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import include, path, re_path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page
from ninja import Body, NinjaAPI, Path, Router
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from hexclave_integrations.django import HexclaveRequiredMixin, require_permission, require_team, require_user
from hexclave_integrations.django.drf import HexclavePermission
from hexclave_integrations.django.middleware import HexclaveMiddleware
from hexclave_integrations.django.ninja import HexclaveAuth

OURS = "hexclave_integrations.django.middleware.HexclaveMiddleware"
UPDATE = "django.middleware.cache.UpdateCacheMiddleware"
FETCH = "django.middleware.cache.FetchFromCacheMiddleware"
SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
BACKEND = "hexclave_integrations.django.backends.HexclaveBackend"
NO_KEY = {"SECRET_SERVER_KEY": None}
BRIDGE = {"DJANGO_USERS": True}
EXPORT = require_permission("{team_id}", "export_reports")
numbers = itertools.count()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    for name in ("HEXCLAVE_SECRET_SERVER_KEY", "STACK_SECRET_SERVER_KEY", "HEXCLAVE_PROJECT_ID", "STACK_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    return World()


def view(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse()


def found() -> list[str | None]:
    return [message.id for message in run_checks() if str(message.id).startswith("hexclave.")]


class Subclass(HexclaveMiddleware):
    pass


def test_a_right_project_has_nothing_to_report(world: World) -> None:
    """Guarded views of all kinds, with a key and with their parameters, are fine."""
    guarded = EXPORT(view)
    with world.settings(
        path("me", require_user(view)),
        path("<team_id>/export", guarded),
        path("<uuid:team_id>/converted", guarded),
        re_path(r"^(?P<team_id>\w+)/regex$", guarded),
        path("<team_id>/", include([path("nested", guarded)])),
        path("given", guarded, {"team_id": world.team.id}),
        path("below", include([path("given", guarded)]), {"team_id": world.team.id}),
        path("cached", cache_page(60)(require_user(view))),
    ):
        assert found() == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param({}, "project_id is missing", id="nothing"),
        pytest.param({"PROJECT_ID": "abc"}, "project_id is neither", id="wrong project id"),
        pytest.param({"PROJECT_ID": "internal", "API_URL": "http://example.com"}, "api_url is not secure", id="http"),
        pytest.param({"PROJECT_ID": "internal", "SECRET_SERVER_KEY": "pck_x"}, "another kind", id="wrong key"),
        pytest.param({"PROJECT_ID": "internal", "ACCEPT_COOKIE": True}, "ACCEPT_COOKIES", id="misspelt"),
        pytest.param({"PROJECT_ID": "internal", "DJANGO_USERS": "yes"}, "DJANGO_USERS", id="bridge"),
        pytest.param({"PROJECT_ID": "internal", "DJANGO_USER_FIELD": 1}, "DJANGO_USER_FIELD", id="field"),
        pytest.param("internal", "no dictionary", id="no dictionary"),
    ],
)
def test_wrong_settings(world: World, value: Any, text: str) -> None:
    """E001 says what is wrong, and shows no secret."""
    with override_settings(HEXCLAVE=value):
        messages = [message for message in run_checks() if str(message.id).startswith("hexclave.")]

    assert [message.id for message in messages] == ["hexclave.E001"]
    assert text in messages[0].msg
    assert "PROJECT_ID" in str(messages[0].hint)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_short", "whsec_%%%", "c2VjcmV0c2VjcmV0c2VjcmV0"])
def test_webhook_secret(world: World, secret: str) -> None:
    """E002 finds what is no secret of an endpoint."""
    with world.settings(hexclave={"WEBHOOK_SECRETS": [secret]}):
        assert found() == ["hexclave.E002"]


@pytest.mark.parametrize(
    ("middleware", "ids"),
    [
        pytest.param([], ["hexclave.E003"], id="none"),
        pytest.param([OURS], [], id="alone"),
        pytest.param(["tests.adapters.test_django_checks.Subclass"], [], id="subclass"),
        pytest.param([OURS, UPDATE, FETCH], ["hexclave.E004"], id="outside the cache"),
        pytest.param([UPDATE, OURS, FETCH], [], id="inside the cache"),
        pytest.param([UPDATE, FETCH, OURS], [], id="innermost"),
    ],
)
def test_middleware(world: World, middleware: list[str], ids: list[str]) -> None:
    """E003 misses the middleware, E004 finds it where the cache would store private pages."""
    with world.settings(MIDDLEWARE=middleware, SILENCED_SYSTEM_CHECKS=["admin.E408", "admin.E409", "admin.E410"]):
        assert ids == found()


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        pytest.param({}, [], id="right"),
        pytest.param({"AUTHENTICATION_BACKENDS": []}, ["hexclave.E005"], id="no backend"),
        pytest.param({"MIDDLEWARE": [SESSION, OURS, AUTH]}, ["hexclave.E005"], id="wrong order"),
        pytest.param({"MIDDLEWARE": [OURS]}, ["hexclave.E005"], id="no AuthenticationMiddleware"),
        pytest.param({"hexclave": {**BRIDGE, "DJANGO_USER_FIELD": "x"}}, ["hexclave.E005"], id="no such field"),
        pytest.param({"hexclave": {**BRIDGE, "DJANGO_USER_FIELD": "first_name"}}, ["hexclave.E005"], id="not unique"),
        pytest.param({"hexclave": {**BRIDGE, "DJANGO_USER_FIELD": "email"}}, ["hexclave.E005"], id="e-mail"),
        pytest.param({"hexclave": {**BRIDGE, "DJANGO_USER_FIELD": "username"}}, ["hexclave.E005"], id="user name"),
    ],
)
def test_bridge(world: World, changes: dict[str, Any], ids: list[str]) -> None:
    """E005 finds what would keep the bridge to Django's users from working."""
    with world.settings(**{"AUTHENTICATION_BACKENDS": [BACKEND], "hexclave": BRIDGE, **changes}):
        assert ids == found()


class Decorated(View):
    @method_decorator(EXPORT)
    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return HttpResponse()


@method_decorator(EXPORT, name="dispatch")
class OnDispatch(View):
    pass


class Mixed(HexclaveRequiredMixin, View):
    requirement = EXPORT


class Plain(HexclaveRequiredMixin, View):
    pass


class Rest(APIView):
    permission_classes = [AllowAny & HexclavePermission.of(EXPORT)]  # noqa: RUF012


def ninja(**options: Any) -> Any:
    api = NinjaAPI(urls_namespace=f"checks-{id(options)}", docs_url=None, openapi_url=None)

    @api.get("/export", **options)
    def export(request: HttpRequest) -> dict[str, str]:
        return {}

    return path("", api.urls)


def as_any(value: Any) -> Any:
    return value


def as_view(base: Any, **attributes: Any) -> Any:
    return as_any(type("Example", (base,), attributes)).as_view()


GUARDED: dict[str, Callable[[], Any]] = {
    "function": lambda: path("export", EXPORT(view)),
    "method": lambda: path("export", Decorated.as_view()),
    "dispatch": lambda: path("export", OnDispatch.as_view()),
    "mixin": lambda: path("export", Mixed.as_view()),
    "as_view": lambda: path("export", Plain.as_view(requirement=EXPORT)),
    "below another": lambda: path("export", require_user(EXPORT(view))),
    "above another": lambda: path("export", EXPORT(require_user(view))),
    "rest framework": lambda: path("export", Rest.as_view()),
    "ninja": lambda: ninja(auth=HexclaveAuth(EXPORT)),
}


@pytest.mark.parametrize("form", GUARDED)
def test_server_key_and_parameters(world: World, form: str) -> None:
    """E007 and E008 find every form of a requirement that could not be answered."""
    with world.settings(GUARDED[form]()):
        assert found() == ["hexclave.E008"]
    with world.settings(GUARDED[form](), hexclave=NO_KEY):
        assert found() == ["hexclave.E007", "hexclave.E008"]


@pytest.mark.parametrize(
    ("declared", "is_misread"),
    [
        ("plain", True),
        ("with a default", True),
        ("in the body", True),
        ("as path", False),
        ("as annotated path", False),
    ],
)
def test_ninja_reads_what_the_guard_reads(world: World, declared: str, is_misread: bool) -> None:
    """E008: under a router's prefix, a plain argument would be another team's id out of the query."""

    def plain(request: Any, team_id: str) -> str:
        return team_id

    def default(request: Any, team_id: str = "mine") -> str:
        return team_id

    def body(request: Any, team_id: str = Body(...)) -> str:  # type: ignore[type-arg]  # generic to type checkers alone
        return team_id

    def as_path(request: Any, team_id: str = Path(...)) -> str:  # type: ignore[type-arg]
        return team_id

    def annotated(request: Any, team_id: Path[str]) -> str:
        return team_id

    forms = dict(
        zip(
            ["plain", "with a default", "in the body", "as path", "as annotated path"],
            [plain, default, body, as_path, annotated],
            strict=True,
        )
    )
    router, api = Router(auth=HexclaveAuth(EXPORT)), NinjaAPI(urls_namespace=f"misread-{declared}", docs_url=None)
    router.post("/reports")(forms[declared])
    api.add_router("/teams/{team_id}", router)
    with world.settings(path("", api.urls)):
        assert found() == (["hexclave.E008"] if is_misread else [])


def test_rest_framework_action(world: World) -> None:
    """The permissions of a viewset's extra action count, for its route."""
    from rest_framework.decorators import action
    from rest_framework.routers import SimpleRouter
    from rest_framework.viewsets import ViewSet

    class Reports(ViewSet):
        @action(detail=False, permission_classes=[HexclavePermission.of(EXPORT)])
        def export(self, request: Any) -> HttpResponse:
            return HttpResponse()

        @action(detail=False)
        @EXPORT
        def again(self, request: Any) -> HttpResponse:
            return HttpResponse()

    router = SimpleRouter()
    router.register("reports", Reports, basename="reports")
    with world.settings(path("", include(router.urls))):
        assert found() == ["hexclave.E008"] * 2


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(lambda: path("", require_user), id="requirement"),
        pytest.param(lambda: path("", as_any(require_team)), id="factory"),
        pytest.param(lambda: path("", require_team(view)), id="bare require_team"),
        pytest.param(lambda: path("", as_any(require_user.live)), id="live"),
        pytest.param(lambda: path("", as_view(APIView, permission_classes=[require_user])), id="drf"),
        pytest.param(lambda: ninja(auth=require_user), id="ninja"),
        pytest.param(lambda: ninja(auth=require_team), id="ninja factory"),
    ],
)
def test_misused_requirement(world: World, pattern: Any) -> None:
    """E006 finds a requirement that stands where something else belongs."""
    with world.settings(pattern()):
        assert found() == ["hexclave.E006"]


def command(*args: str) -> str:
    out = io.StringIO()
    call_command("hexclave_check", *args, stdout=out, stderr=out)
    return out.getvalue()


def test_command(world: World) -> None:
    """`manage.py hexclave_check` fails when a check does, or when the keys cannot be had."""
    with world.settings(path("", require_user(view))):
        assert "correctly" in command()
        assert world.sandbox.requests == []
        assert "correctly" in command("--online")
    with world.settings(), world.sandbox.outage(), pytest.raises(CommandError, match="no usable keys"):
        command("--online")
    with override_settings(HEXCLAVE={}), pytest.raises(CommandError, match="not set up"):
        command("--online")


def test_checks_run_before_a_deployment() -> None:
    """They belong to the checks that `manage.py check` runs without asking for them."""
    tags: Any = checks.Tags
    assert tags.security in checks.registry.registry.tags_available()
