"""WebTest's lint middleware, which knows PEP 3333 by heart, accepts the WSGI applications of the contract."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings

from hexclave_integrations import HexclaveConfig

from ..adapters import _django
from . import django_columns, flask_columns
from .table import World


@contextmanager
def by_flask(config: HexclaveConfig) -> Iterator[Any]:
    yield flask_columns.build_flask_app(config)


@contextmanager
def by_django(config: HexclaveConfig) -> Iterator[Any]:
    patterns = (*django_columns.plain_patterns(is_async=False), *django_columns.supabase_patterns())
    with override_settings(ROOT_URLCONF=patterns, HEXCLAVE=_django.as_settings(config)):
        yield WSGIHandler()


@pytest.mark.parametrize("build", [pytest.param(by_flask, id="flask"), pytest.param(by_django, id="django")])
def test_lint_accepts_the_application(build: Callable[[HexclaveConfig], Any]) -> None:
    """Answers to somebody, nobody, the unprivileged and a HEAD are proper WSGI."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # WebOb imports `cgi`
        import webtest  # type: ignore[import-untyped]  # publishes no types
    world = World()
    with build(world.sandbox.config) as app:
        client = webtest.TestApp(app, lint=True)
        alice, bob = (world.sandbox.headers(user) for user in (world.alice, world.bob))
        export = f"/teams/{world.team.id}/export"
        answers = [
            client.get("/public", headers={}),
            client.get("/me", headers=alice),
            client.get("/me", headers={}, expect_errors=True),
            client.get(export, headers=bob, expect_errors=True),
            client.head("/me", headers=alice),
            client.get("/supabase", headers=alice),
            client.head("/supabase", headers=alice),
        ]

    assert [answer.status_int for answer in answers] == [200, 200, 401, 403, 200, 200, 200]
