"""Django's debug page and error mails show no token, key or password of ours."""

from __future__ import annotations

import json
import logging
import urllib.parse
from collections.abc import Iterator
from typing import Any

import django
import pytest

from ._django import COLOURS, World, as_settings, ask

# isort: split
from django.core import mail
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import path
from django.utils.log import AdminEmailHandler
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter, get_default_exception_reporter_filter

from hexclave_integrations import HexclaveConfig
from hexclave_integrations.django import require_user
from hexclave_integrations.django.checks import check_settings
from hexclave_integrations.django.debug import HexclaveReporterFilter

both_colours = pytest.mark.parametrize("colour", COLOURS)
PASSWORD = "the-password-of-redis"
OTHER = "the-password-of-another-cache"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(autouse=True)
def fresh_filter() -> Iterator[None]:
    """Django keeps the filter of the first error page of a process."""
    cached: Any = get_default_exception_reporter_filter
    cached.cache_clear()
    yield
    cached.cache_clear()


def failing(request: Any) -> HttpResponse:
    token = request.headers.get("x-stack-access-token")
    copied = {"under": ["another name", token], "cookies": dict(request.COOKIES)}
    raw = (token or "").encode()
    segments = (token or "").split(".")
    key, innocent = request.headers.get("x-machine"), "a harmless value"
    raise AssertionError("the view failed", len(copied), len(raw), len(segments), len(str(key)), len(innocent))


@require_user
def guarded(request: HttpRequest) -> HttpResponse:
    return failing(request)


class Credentials:
    """What a browser of the SDK sends, and everything in it that must not show."""

    def __init__(self, world: World) -> None:
        session = world.sandbox.new_session(world.alice)
        self.token, self.in_cookie = world.sandbox.token(world.alice), world.sandbox.token(world.alice)
        self.key = world.sandbox.create_api_key(world.alice).value
        self.refresh = session.refresh_token
        project = world.sandbox.config.project_id
        refresh = json.dumps({"refresh_token": self.refresh, "updated_at_millis": 1})
        quote = urllib.parse.quote
        cookies = {
            "stack-access": quote(json.dumps([self.refresh, self.in_cookie])),
            f"__Host-hexclave-refresh-{project}--default": quote(refresh),
        }
        self.headers = {
            "x-stack-access-token": self.token,
            "authorization": f"Bearer {self.token}",
            "x-stack-auth": json.dumps({"accessToken": self.token, "refreshToken": self.refresh}),
            "x-machine": self.key,
            "cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
        }
        self.secrets = [
            self.token,
            self.in_cookie,
            self.refresh,
            self.key,
            *self.token.split(".")[1:],
            world.sandbox.config.secret_server_key or "",
            PASSWORD,
            OTHER,
        ]
        self.settings: dict[str, Any] = {
            "hexclave": {"API_KEY_HEADER": "x-machine", "REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:1/0"},
            "BROKER": f"amqp://user:{OTHER}@broker/",
        }

    def shown_in(self, text: str) -> list[str]:
        return [secret for secret in self.secrets if secret in text or urllib.parse.quote(secret) in text]


@both_colours
@pytest.mark.parametrize("accept", ["text/html", "text/plain"])
@pytest.mark.parametrize("view", [failing, guarded])
def test_the_debug_page(world: World, view: Any, accept: str, colour: str) -> None:
    """The page of a view that failed shows what it did, and none of the caller's or the server's secrets."""
    sent = Credentials(world)
    with world.settings(path("", view), DEBUG=True, **sent.settings):
        page = ask(colour, "/", {**sent.headers, "accept": accept}).content.decode()

    assert "AssertionError" in page
    assert accept == "text/plain" or "a harmless value" in page
    assert sent.shown_in(page) == []


@both_colours
def test_djangos_own_filter_is_not_enough(world: World, colour: str) -> None:
    """Without ours the page shows them: this is what the tests here would find."""
    sent = Credentials(world)
    djangos = "django.views.debug.SafeExceptionReporterFilter"
    with world.settings(path("", failing), DEBUG=True, DEFAULT_EXCEPTION_REPORTER_FILTER=djangos, **sent.settings):
        page = ask(colour, "/", {**sent.headers, "accept": "text/html"}).content.decode()
    assert {sent.token, sent.refresh, sent.key, PASSWORD, OTHER} <= set(sent.shown_in(page))


@both_colours
@pytest.mark.parametrize("html", [True, False])
def test_the_mail_to_the_administrators(world: World, html: bool, colour: str) -> None:
    """The same for the report that Django mails in production."""
    sent = Credentials(world)
    handler = AdminEmailHandler(include_html=html)
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    backend = "django.core.mail.backends.locmem.EmailBackend"
    # Pairs until Django 5.2, addresses since 6.0.
    admins: Any = ["ada@example.com"] if django.VERSION >= (6,) else [("Ada", "ada@example.com")]
    mail.outbox = []
    try:
        with world.settings(path("", failing), ADMINS=admins, EMAIL_BACKEND=backend, **sent.settings):
            assert ask(colour, "/", sent.headers).status_code == 500
    finally:
        logger.removeHandler(handler)

    bodies = []
    for message in mail.outbox:  # Django's own handler has sent one too
        bodies += [str(message.body), *(str(item[0]) for item in getattr(message, "alternatives", []))]
    assert len(bodies) == len(mail.outbox) + html
    for body in bodies:
        assert "the view failed" in body
        assert sent.shown_in(body) == []
    del mail.outbox


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_odd_values_break_no_report(world: World) -> None:
    """Values that cannot be printed, cookies that are no JSON, and errors without a request are reported as well."""
    odd = Unprintable()
    with world.settings():
        request = RequestFactory().get(
            "/", headers={"cookie": "stack-access=%5B1%2C; stack-refresh-x", "x-stack-auth": "[["}
        )
        for made in (request, None):
            try:
                assert odd is None
            except AssertionError as error:
                reporter = ExceptionReporter(made, type(error), error, error.__traceback__)
                assert "AssertionError" in reporter.get_traceback_text()
                assert "AssertionError" in reporter.get_traceback_html()
    with override_settings(HEXCLAVE={}):
        assert HexclaveReporterFilter().get_safe_request_meta(request)["HTTP_X_STACK_AUTH"] != "[["


def test_a_configuration_as_setting_shows_no_secret(world: World) -> None:
    """`settings.HEXCLAVE` may be a whole configuration, and its representation is what the page prints."""
    config = HexclaveConfig(**{name.lower(): value for name, value in as_settings(world.sandbox.config).items()})
    with override_settings(HEXCLAVE=config):
        shown = repr(HexclaveReporterFilter().get_safe_settings())
    assert config.project_id in shown
    assert config.secret_server_key not in (None, "")
    assert str(config.secret_server_key) not in shown


@pytest.mark.parametrize(
    ("chosen", "ids"),
    [
        ("hexclave_integrations.django.debug.HexclaveReporterFilter", []),
        ("tests.adapters.test_django_debug.Mine", []),
        ("django.views.debug.SafeExceptionReporterFilter", ["hexclave.W002"]),
        ("tests.adapters.test_django_debug.failing", ["hexclave.W002"]),
        ("no.such.module", ["hexclave.W002"]),
    ],
)
def test_the_check(world: World, chosen: str, ids: list[str]) -> None:
    """W002 misses the filter."""
    with world.settings(DEFAULT_EXCEPTION_REPORTER_FILTER=chosen):
        assert ids == [message.id for message in check_settings()]
    assert issubclass(HexclaveReporterFilter, SafeExceptionReporterFilter)


class Mine(HexclaveReporterFilter):
    pass
