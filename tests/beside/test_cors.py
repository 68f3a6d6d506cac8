"""CORS by the frameworks' own packages: preflights pass a guard, and pages can read the refusals that they get."""

from __future__ import annotations

from typing import Any

import flask
import flask_cors
import pytest

from tests.adapters._django import World

# isort: split
from django.http import JsonResponse
from django.test import Client
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from hexclave_integrations import django as django_kit
from hexclave_integrations.django.drf import HexclaveAuthentication, HexclavePermission
from hexclave_integrations.flask import Hexclave, current_user, require_user
from hexclave_integrations.testing import Sandbox

ORIGIN = "https://app.example.com"
PREFLIGHT = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "x-stack-access-token",
}


@pytest.mark.parametrize("is_first", [True, False], ids=["CORS first", "CORS last"])
@pytest.mark.parametrize("guard", ["view", "application"])
def test_flask(guard: str, is_first: bool) -> None:
    """Flask-CORS, with a guard on the view or on everything."""
    sandbox = Sandbox()
    app = flask.Flask("example")
    options: dict[str, Any] = {
        "origins": [ORIGIN, "https://other.example.com"],
        "allow_headers": ["x-stack-access-token"],
    }
    if is_first:
        flask_cors.CORS(app, **options)
    Hexclave(app, sandbox.config)
    if not is_first:
        flask_cors.CORS(app, **options)
    if guard == "application":
        app.before_request(require_user.check)

    def me() -> str:
        return str(current_user.id)

    app.add_url_rule("/me", view_func=require_user(me) if guard == "view" else me)
    client, alice = app.test_client(), sandbox.create_user()

    preflight = client.options("/me", headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert preflight.headers["Access-Control-Allow-Headers"].lower() == "x-stack-access-token"
    for headers, status in (({}, 401), (sandbox.headers(alice), 200)):
        answer = client.get("/me", headers={"Origin": ORIGIN, **headers})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, ORIGIN)
        assert "Origin" in answer.headers["Vary"]
        assert "X-Stack-Access-Token" in answer.headers["Vary"]


def test_django() -> None:
    """django-cors-headers, before HexclaveMiddleware as its documentation says; views and Django REST framework."""

    class Rest(APIView):
        authentication_classes = [HexclaveAuthentication]  # noqa: RUF012  # the framework's own spelling
        permission_classes = [HexclavePermission]  # noqa: RUF012  # as above

        def get(self, request: Any) -> Response:
            return Response({"id": request.user.id})

    world = World()
    view = django_kit.require_user(lambda request: JsonResponse({"id": request.hexclave_user.id}))
    settings = {
        "MIDDLEWARE": [
            "corsheaders.middleware.CorsMiddleware",
            "hexclave_integrations.django.middleware.HexclaveMiddleware",
        ],
        "CORS_ALLOWED_ORIGINS": [ORIGIN],
        "CORS_ALLOW_HEADERS": ["x-stack-access-token"],
    }
    with world.settings(path("view", view), path("rest", Rest.as_view()), **settings):
        for url in ("/view", "/rest"):
            preflight = Client().options(url, headers=PREFLIGHT)
            assert preflight.status_code == 200
            assert preflight.headers["Access-Control-Allow-Headers"] == "x-stack-access-token"
            for headers, status in (({}, 401), (world.headers(world.alice), 200)):
                answer = Client().get(url, headers={"Origin": ORIGIN, **headers})
                assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, ORIGIN)
