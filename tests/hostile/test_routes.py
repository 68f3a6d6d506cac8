"""Requests made to slip past a guard, against routes of every framework: no handler runs for whom it should not."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

import pytest

from . import route_apps_asgi as asgi
from . import route_apps_django as django
from . import route_apps_wsgi as wsgi
from .routes import Ledger, Route, Send, World, broken_law, requests

COUNT: Final = int(os.environ.get("HOSTILE_REQUESTS", "800"))
"""Of bent requests for each application; `HOSTILE_REQUESTS=20000` goes deeper."""

SEED: Final = 20261125
WORLD: Final = World()

Build = Callable[[World, Ledger], AbstractContextManager[Send]]
APPS: dict[str, tuple[tuple[Route, ...], Build]] = {
    "fastapi": (asgi.FASTAPI_ROUTES, lambda world, ledger: asgi.calling(asgi.fastapi_app(world, ledger))),
    "starlette": (asgi.STARLETTE_ROUTES, lambda world, ledger: asgi.calling(asgi.starlette_app(world, ledger))),
    "flask": (wsgi.FLASK_ROUTES, lambda world, ledger: wsgi.calling(wsgi.flask_app(world, ledger))),
    "django wsgi": (django.DJANGO_ROUTES, lambda world, ledger: django.django_app(world, ledger, is_async=False)),
    "django asgi": (django.DJANGO_ROUTES, lambda world, ledger: django.django_app(world, ledger, is_async=True)),
    "drf": (django.DRF_ROUTES, django.drf_app),
    "ninja": (django.NINJA_ROUTES, lambda world, ledger: django.ninja_app(world, ledger, is_async=False)),
    "ninja async": (django.NINJA_ROUTES, lambda world, ledger: django.ninja_app(world, ledger, is_async=True)),
}


@pytest.mark.parametrize("name", APPS)
def test_no_spelling_passes_a_guard(name: str) -> None:
    """Whatever the method and the spelling, who reaches a handler may be there, for the team that the handler sees."""
    found, build = APPS[name]
    ledger, statuses, ran = Ledger(), Counter[int](), Counter[Any]()
    broken: dict[str, str] = {}
    with build(WORLD, ledger) as send:
        for request in requests(WORLD, found, COUNT, random.Random(SEED)):
            try:
                answer: Any = send(request)
            except Exception as error:  # noqa: BLE001  # an application that fails is a finding
                answer = error
            seen = ledger.read()
            problem = broken_law(WORLD, request, answer, seen)
            if problem is not None:
                broken.setdefault(problem[:60], f"{problem}: {request}")
            else:
                statuses[answer.status] += 1
                ran.update((one.guard, one.team) for one in seen)
    assert list(broken.values()) == []
    # Both sides of every guard were seen.
    assert min(statuses[status] for status in (200, 401, 403, 404)) > 10, statuses
    first, second, _ = WORLD.teams
    reached = {("user", None), ("project", None), ("api key", None), ("team", first), ("permission", first)}
    assert {*reached, ("permission", second)} <= set(ran)
