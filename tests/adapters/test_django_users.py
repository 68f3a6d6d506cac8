"""One person a request: `request.user` and `request.hexclave_user` are never two, and rows are found by links alone."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ._django import COLOURS, World, ask, database

# isort: split
from django.contrib.auth import get_user_model, login
from django.core.management import CommandError, call_command
from django.http import HttpResponse, JsonResponse
from django.test import Client
from django.urls import path
from ninja import NinjaAPI
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from hexclave_integrations import ConfigurationError, HexclaveUser
from hexclave_integrations.django import optional_user, require_user
from hexclave_integrations.django.backends import HexclaveBackend
from hexclave_integrations.django.drf import HexclaveAuthentication, HexclavePermission
from hexclave_integrations.django.ninja import HexclaveAuth
from hexclave_integrations.django.users._rows import field_problems
from hexclave_integrations.django.users.models import HexclaveLink

both_colours = pytest.mark.parametrize("colour", COLOURS)
MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
BRIDGE: dict[str, Any] = {
    "AUTHENTICATION_BACKENDS": [MODEL_BACKEND, "hexclave_integrations.django.backends.HexclaveBackend"],
    "hexclave": {"DJANGO_USERS": True},
}
numbers = itertools.count()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def rows() -> Iterator[Any]:
    with database():
        yield get_user_model()._default_manager


def row_for(world: World, user: Any) -> Any:
    """The row of a user, made as their first request makes it."""
    with world.settings(path("", lambda request: HttpResponse(request.user.pk)), **BRIDGE):
        answer = ask("wsgi", "/", world.headers(user))
    return get_user_model()._default_manager.get(pk=int(answer.content))


def session_of(row: Any) -> dict[str, str]:
    """The cookie of a browser in which somebody has logged in to a row."""
    browser = Client()
    browser.force_login(row, backend=MODEL_BACKEND)
    return {"cookie": f"sessionid={browser.cookies['sessionid'].value}"}


def people(request: Any) -> dict[str, Any]:
    """The two users of a request, each by the Hexclave id it stands for; a row without a link by its name."""
    return {"django": name_of(request.user), "hexclave": getattr(request.hexclave_user, "id", None)}


def name_of(user: Any) -> Any:
    if not user.is_authenticated:
        return None
    if not isinstance(user.pk, int):  # a HexclaveUser, as Django REST framework shows it
        return user.id
    link = HexclaveLink.objects.filter(user_id=user.pk).first()
    return user.username if link is None else link.hexclave_id


def show(request: Any, **kwargs: Any) -> HttpResponse:
    return JsonResponse(people(request))


def show_read_before(guard: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A guard below something that has looked at both users already."""
    guarded = guard(show)

    def view(request: Any) -> Any:
        str(request.user), str(request.hexclave_user)
        return guarded(request)

    return view


async def ashow(request: Any) -> HttpResponse:
    from asgiref.sync import sync_to_async

    user, hexclave = await request.auser(), await request.ahexclave_user()
    return JsonResponse({"django": await sync_to_async(name_of)(user), "hexclave": getattr(hexclave, "id", None)})


def rest(guard: Any = None, *, decorated: Any = None, classes: Any = (SessionAuthentication,)) -> Any:
    def get(self: Any, request: Any) -> Response:
        return Response(people(request))

    permissions = [AllowAny if guard is None else HexclavePermission.of(guard)]
    attributes = {"authentication_classes": classes, "permission_classes": permissions}
    cls: Any = type("Rest", (APIView,), {**attributes, "get": get if decorated is None else decorated(get)})
    return cls.as_view()


def operation(guard: Any = None, *, is_async: bool = False) -> Any:
    api = NinjaAPI(urls_namespace=f"users-{next(numbers)}", docs_url=None, openapi_url=None)

    async def async_(request: Any) -> HttpResponse:
        return await ashow(request)

    def sync(request: Any) -> HttpResponse:
        return show(request)

    api.get("/me", auth=None if guard is None else HexclaveAuth(guard))(async_ if is_async else sync)
    (view,) = [pattern.callback for pattern in api.urls[0] if str(pattern.pattern) == "me"]
    return view


KEYED = require_user.allow(api_key=True)
ANONYMOUS = require_user.allow(anonymous=True)
SHOWN: dict[str, Callable[[Any], Any]] = {
    "function": lambda guard: show if guard is None else guard(show),
    "read before": lambda guard: show_read_before((lambda view: view) if guard is None else guard),
    "async": lambda guard: ashow if guard is None else guard(ashow),
    "rest framework": lambda guard: rest(guard),
    "rest framework, both": lambda guard: rest(guard, classes=(HexclaveAuthentication, SessionAuthentication)),
    "rest framework, ours last": lambda guard: rest(guard, classes=(SessionAuthentication, HexclaveAuthentication)),
    "rest framework, decorated": lambda guard: rest(decorated=guard),
    "ninja": lambda guard: operation(guard),
    "ninja, async": lambda guard: operation(guard, is_async=True),
}
shown_by = pytest.mark.parametrize("form", SHOWN)


def both(answer: Any) -> tuple[str | None, str | None]:
    assert answer.status_code == 200, answer.content
    body = json.loads(answer.content)
    return body["django"], body["hexclave"]


GUARDS = {"unguarded": None, "required": require_user, "optional": optional_user}


@both_colours
@pytest.mark.parametrize(
    ("form", "guard"),
    # HexclaveAuth of Django Ninja cannot be optional.
    [(form, guard) for form in SHOWN for guard in GUARDS if not (form.startswith("ninja") and guard == "optional")],
)
def test_a_token_comes_before_the_session_of_another(
    world: World, rows: Any, guard: str, form: str, colour: str
) -> None:
    """Bob's session with Alice's token is Alice, twice."""
    cookie = session_of(row_for(world, world.bob))
    with world.settings(path("me", SHOWN[form](GUARDS[guard])), **BRIDGE):
        answer = ask(colour, "/me", {**cookie, **world.headers(world.alice)})

    assert (world.alice.id, world.alice.id) == both(answer)


@both_colours
@shown_by
@pytest.mark.parametrize("session", [True, False])
def test_the_owner_of_an_api_key_is_both_users(world: World, rows: Any, form: str, session: bool, colour: str) -> None:
    """Bob's key is Bob, twice, with Alice's session beside it and without."""
    key = world.sandbox.create_api_key(world.bob)
    cookie = session_of(row_for(world, world.alice)) if session else {}
    with world.settings(path("me", SHOWN[form](KEYED)), **BRIDGE):
        answer = ask(colour, "/me", {**cookie, "x-api-key": key.value})

    assert (world.bob.id, world.bob.id) == both(answer)


@both_colours
@shown_by
@pytest.mark.parametrize("kind", ["restricted", "anonymous"])
def test_other_kinds_do_not_act_as_the_session(world: World, rows: Any, form: str, kind: str, colour: str) -> None:
    """A restricted or anonymous user whom a guard lets through is not also the user of the session."""
    user = getattr(world, kind)
    cookie = session_of(row_for(world, world.alice))
    with world.settings(path("me", SHOWN[form](ANONYMOUS)), **BRIDGE):
        django, hexclave = both(ask(colour, "/me", {**cookie, **world.headers(user)}))

    assert hexclave == user.id
    assert django in (None, user.id)
    assert HexclaveLink.objects.filter(hexclave_id=user.id).count() == 0


@both_colours
@pytest.mark.parametrize("form", [form for form in SHOWN if form != "rest framework, decorated"])
def test_without_a_guard_the_session_is_alone(world: World, rows: Any, form: str, colour: str) -> None:
    """Where no acceptable token came, the session's user is there and no Hexclave user."""
    cookie = session_of(row_for(world, world.alice))
    key = world.sandbox.create_api_key(world.bob)
    with world.settings(path("me", SHOWN[form](None)), **BRIDGE):
        for headers in ({}, world.headers(world.anonymous), {"x-api-key": key.value}):
            assert (world.alice.id, None) == both(ask(colour, "/me", {**cookie, **headers}))
        assert both(ask(colour, "/me")) == (None, None)


def test_another_authentication_class_decides_alone(world: World, rows: Any) -> None:
    """Where Django REST framework has found Bob by a password, Alice's token makes no second person."""
    rows.create_user("bob", password="secret")
    with world.settings(path("me", rest(classes=(BasicAuthentication,))), **BRIDGE):
        basic = {"authorization": "Basic Ym9iOnNlY3JldA=="}
        assert both(ask("wsgi", "/me", {**basic, **world.headers(world.alice)})) == ("bob", None)
        assert both(ask("wsgi", "/me", basic)) == ("bob", None)


def test_a_view_that_authenticates_nobody_knows_the_token(world: World, rows: Any) -> None:
    """Nobody is no second person: a view of Django REST framework without authentication classes can ask for both."""
    with world.settings(path("me", rest(classes=())), **BRIDGE):
        assert (None, world.alice.id) == both(ask("wsgi", "/me", world.headers(world.alice)))


def test_a_log_in_during_the_request_decides(world: World, rows: Any) -> None:
    """A view that logs somebody in has that person, and no other, from then on."""
    bob = rows.create_user("bob")

    def view(request: Any) -> HttpResponse:
        login(request, bob, backend=MODEL_BACKEND)
        return show(request)

    def again(request: Any) -> HttpResponse:
        login(request, request.user, backend=MODEL_BACKEND)
        return show(request)

    with world.settings(path("other", view), path("same", again), **BRIDGE):
        assert both(ask("wsgi", "/other", world.headers(world.alice))) == ("bob", None)
        assert (world.alice.id, world.alice.id) == both(ask("wsgi", "/same", world.headers(world.alice)))


def test_a_row_is_looked_up_once_in_a_request(world: World, rows: Any) -> None:
    """A user who was looked at before the guard is not read from the database again after it."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    row_for(world, world.alice)
    guarded = world.settings(path("me", SHOWN["read before"](require_user)), **BRIDGE)
    with guarded, CaptureQueriesContext(connection) as queries:
        ask("wsgi", "/me", world.headers(world.alice))
    assert len([query for query in queries if '"auth_user"' in query["sql"]]) == 1


# --- finding the row ----------------------------------------------------------------------------------------------


@both_colours
@pytest.mark.parametrize("password", [None, "chosen by the attacker"])
def test_a_name_is_no_claim(world: World, rows: Any, password: str | None, colour: str) -> None:
    """An account that is named with Alice's id stays its owner's, and does not keep Alice out."""
    squatter = rows.create_user(world.alice.id, password=password)
    with world.settings(path("", show), path("async", ashow), **BRIDGE):
        for where in ("/", "/async"):
            assert (world.alice.id, world.alice.id) == both(ask(colour, where, world.headers(world.alice)))
        assert (world.alice.id, None) == both(ask(colour, "/", session_of(squatter)))  # by name: that row has no link

    alice = HexclaveLink.objects.get(hexclave_id=world.alice.id).user
    assert alice.pk != squatter.pk
    assert alice.username != world.alice.id
    assert rows.count() == 2


def test_the_row_is_new_after_it_was_deleted(world: World, rows: Any) -> None:
    """The link goes with its row."""
    row_for(world, world.alice).delete()
    assert HexclaveLink.objects.count() == 0
    row_for(world, world.alice)
    assert (rows.count(), HexclaveLink.objects.count()) == (1, 1)


def test_an_inactive_row_is_refused(world: World, rows: Any) -> None:
    """Somebody who was locked out is nobody to Django, and gets no second row."""
    row_for(world, world.alice)
    rows.update(is_active=False)
    with world.settings(path("", show), **BRIDGE):
        assert (None, world.alice.id) == both(ask("wsgi", "/", world.headers(world.alice)))
    assert rows.count() == 1


class Slow(HexclaveBackend):
    """While it works out the fields of a new row, another request makes the row."""

    def defaults(self, user: HexclaveUser) -> dict[str, Any]:
        HexclaveBackend().authenticate(None, hexclave_user=user)
        return {"first_name": "second"}


def test_first_requests_at_once_make_one_row(world: World, rows: Any) -> None:
    """Whichever of two first requests comes second takes the row of the other."""
    backends = ["tests.adapters.test_django_users.Slow"]
    with world.settings(path("", show), **{**BRIDGE, "AUTHENTICATION_BACKENDS": backends}):
        assert (world.alice.id, world.alice.id) == both(ask("wsgi", "/", world.headers(world.alice)))
    assert [(row.username, row.first_name) for row in rows.all()] == [(world.alice.id, "Alice")]


@pytest.mark.parametrize("field", ["username", "email"])
def test_a_field_that_people_fill_finds_nobody(world: World, rows: Any, field: str) -> None:
    """The backend refuses to work with such a field, although nobody ran the system checks."""
    bridge = {**BRIDGE, "hexclave": {"DJANGO_USERS": True, "DJANGO_USER_FIELD": field}}
    with world.settings(path("", show), **bridge), pytest.raises(ConfigurationError, match="People choose"):
        ask("wsgi", "/", world.headers(world.alice), raises=True)
    assert rows.count() == 0


def test_the_table_has_to_be_installed(world: World) -> None:
    """Without the application of the table nobody has a row."""
    from django.conf import settings
    from django.test import override_settings

    others = [name for name in settings.INSTALLED_APPS if not name.endswith("django.users")]
    with override_settings(INSTALLED_APPS=others):
        assert "INSTALLED_APPS" in next(field_problems(None))
    assert list(field_problems(None)) == []


def test_a_user_model_with_a_field_of_its_own() -> None:
    """`DJANGO_USER_FIELD` names a field that the backend alone fills; the system checks find fields that people do."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.custom_user.try_it"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "same": True,
        "is_alices": [True, True],
        "others": 1,
        "checks": {
            "hexclave_id": [],
            "nickname": ["hexclave.W001"],
            "email": ["hexclave.E005"],
            "id": ["hexclave.E005"],
        },
    }


# --- rows of an older version -------------------------------------------------------------------------------------


def link(*args: str) -> str:
    out = io.StringIO()
    call_command("hexclave_link_users", *args, stdout=out, stderr=out)
    return out.getvalue()


def test_rows_of_an_older_version_are_linked(world: World, rows: Any) -> None:
    """A row that this package made is the user's again; everything else stays as it is."""
    alice, other = rows.create_user(world.alice.id), rows.create_user("somebody")
    assert "1 rows would be linked" in link("--dry-run")
    assert HexclaveLink.objects.count() == 0
    assert "1 rows were linked" in link()
    assert "0 rows were linked" in link()

    assert [(row.hexclave_id, row.user) for row in HexclaveLink.objects.all()] == [(world.alice.id, alice)]
    assert alice == row_for(world, world.alice)
    assert rows.get(pk=other.pk).username == "somebody"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({"password": "chosen"}, "password", id="password"),
        pytest.param({"last_login": "2026-01-01T00:00:00Z"}, "logged in", id="logged in"),
        pytest.param({"is_staff": True}, "staff", id="staff"),
        pytest.param({"is_superuser": True}, "staff", id="superuser"),
        pytest.param({"email": "a@example.com"}, "e-mail", id="e-mail"),
    ],
)
def test_a_doubtful_row_is_left_alone(world: World, rows: Any, fields: dict[str, Any], reason: str) -> None:
    """What somebody may have made in another way is linked only when it is named."""
    row = rows.create_user(world.alice.id, **fields)
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 rows were left alone"):
        call_command("hexclave_link_users", stdout=out, stderr=out)
    assert reason in out.getvalue()
    assert world.alice.id not in out.getvalue()
    assert HexclaveLink.objects.count() == 0

    assert "1 rows were linked" in link("--with-email" if "email" in fields else f"--row={row.pk}")
    assert HexclaveLink.objects.get().user == row


def test_a_user_with_a_new_row_keeps_it(world: World, rows: Any) -> None:
    """Two rows for one user are for a person to sort out."""
    old = rows.create_user(world.alice.id)
    new = row_for(world, world.alice)
    out = io.StringIO()
    for options in ([], [f"--row={old.pk}"]):
        with pytest.raises(CommandError, match="left alone"):
            call_command("hexclave_link_users", *options, stdout=out, stderr=out)
    assert HexclaveLink.objects.get().user == new
    with pytest.raises(CommandError, match="No unlinked row"):
        link("--row=12345", f"--row={new.pk}")


def test_a_locked_row_of_an_older_version_stays_locked(world: World, rows: Any) -> None:
    """Nobody comes back by an update of this package: not before the row is linked, and not after."""
    rows.create_user(world.alice.id, is_active=False)
    with world.settings(path("", show), **BRIDGE):
        assert (None, world.alice.id) == both(ask("wsgi", "/", world.headers(world.alice)))
        link()
        assert (None, world.alice.id) == both(ask("wsgi", "/", world.headers(world.alice)))
    assert rows.count() == 1
