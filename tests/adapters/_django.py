"""What the tests of the Django adapter share: settings, a sandbox with people, and clients for WSGI and ASGI."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import django
from asgiref.sync import async_to_sync

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django_settings")
django.setup()

from django.test import AsyncClient, Client, override_settings  # noqa: E402
from django.urls import URLPattern, URLResolver  # noqa: E402

from hexclave_integrations import HexclaveConfig, RequestRefused  # noqa: E402
from hexclave_integrations.testing import Sandbox, SandboxUser  # noqa: E402

PRIVATE = "private, no-store"
VARY = "X-Stack-Access-Token, X-Hexclave-Access-Token, Authorization, X-Stack-Auth, X-Api-Key"
COLOURS = ("wsgi", "asgi")


def as_settings(config: HexclaveConfig, **changes: Any) -> dict[str, Any]:
    """A configuration as `settings.HEXCLAVE` spells it."""
    values = {item.name.upper(): getattr(config, item.name) for item in dataclasses.fields(config)}
    return {**{name: value for name, value in values.items() if value is not None}, **changes}


class World:
    """A sandbox with people in it, and Django in front of it."""

    def __init__(self) -> None:
        self.sandbox = Sandbox()
        self.alice = self.sandbox.create_user(display_name="Alice")
        self.bob = self.sandbox.create_user(display_name="Bob")
        self.restricted = self.sandbox.create_user("restricted")
        self.anonymous = self.sandbox.create_user("anonymous")
        self.team = self.sandbox.create_team()
        self.sandbox.add_member(self.team, self.alice)
        self.sandbox.grant(self.alice, "export_reports", team=self.team)

    def settings(self, *patterns: URLPattern | URLResolver, **changes: Any) -> Any:
        """Django's settings with these URL patterns; names in upper case below `hexclave` go to settings.HEXCLAVE."""
        ours = as_settings(self.sandbox.config, **changes.pop("hexclave", {}))
        return override_settings(ROOT_URLCONF=patterns, HEXCLAVE=ours, **changes)

    def headers(self, user: SandboxUser | None) -> dict[str, str]:
        return {} if user is None else dict(self.sandbox.headers(user))


def ask(
    colour: str,
    path: str,
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    raises: bool = False,
    **options: Any,
) -> Any:
    """One request through Django's WSGI or ASGI handler; an exception of a view is a 500, as in production."""
    if colour == "wsgi":
        return Client(raise_request_exception=raises, **options).generic(method, path, headers=headers or {})

    async def send() -> Any:
        client = AsyncClient(raise_request_exception=raises, **options)
        others = dict(headers or {})
        client.cookies.load(others.pop("cookie", ""))  # it sends a cookie header of its own
        return await client.generic(method, path, headers=others)

    return async_to_sync(send)()


def face(response: Any) -> tuple[int, bytes, dict[str, str | None]]:
    """What a refused caller sees."""
    names = ("Content-Type", "Cache-Control", "WWW-Authenticate", "Vary", "Retry-After")
    return response.status_code, response.content, {name: response.headers.get(name) for name in names}


def face_of(error: RequestRefused, vary: str = VARY) -> tuple[int, bytes, dict[str, str | None]]:
    """What they should see."""
    headers: dict[str, str | None] = dict.fromkeys(
        ("Content-Type", "Cache-Control", "WWW-Authenticate", "Vary", "Retry-After")
    )
    return error.status, error.body(), headers | dict(error.headers()) | {"Vary": vary}


@contextlib.contextmanager
def database() -> Iterator[None]:
    """Tables for the length of a test."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0, run_syncdb=True, skip_checks=True)
    try:
        yield
    finally:
        call_command("flush", verbosity=0, interactive=False)
