"""The same route in Flask and Django: `/me` says who the caller is."""

from __future__ import annotations

from typing import Any

__all__ = ["django_asgi_app", "django_wsgi_app", "flask_app"]


def flask_app() -> Any:
    from flask import Flask

    from hexclave_integrations.flask import Hexclave, current_user, require_user

    app = Flask("hostile")
    Hexclave(app)

    @app.route("/me", methods=["GET", "POST"])
    @require_user
    def me() -> dict[str, str]:
        return {"id": current_user.id}

    return app


def _configure_django() -> None:
    import django
    from django.conf import settings

    if settings.configured:
        return
    settings.configure(
        SECRET_KEY="only for tests",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=(),
        INSTALLED_APPS=["hexclave_integrations.django"],
        MIDDLEWARE=["hexclave_integrations.django.middleware.HexclaveMiddleware"],
        LOGGING_CONFIG=None,
        HEXCLAVE={},
    )
    django.setup()
    from django.http import JsonResponse
    from django.urls import path

    from hexclave_integrations.django import require_user

    @require_user
    def me(request: Any) -> JsonResponse:
        return JsonResponse({"id": request.hexclave_user.id})

    @require_user
    async def ame(request: Any) -> JsonResponse:
        return JsonResponse({"id": request.hexclave_user.id})

    settings.ROOT_URLCONF = (path("me", me), path("async/me", ame))


def django_asgi_app() -> Any:
    _configure_django()
    from django.core.handlers.asgi import ASGIHandler

    handler = ASGIHandler()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":  # Django raises on the rest
            await handler({**scope, "path": "/async" + scope["path"]}, receive, send)

    return app


def django_wsgi_app() -> Any:
    _configure_django()
    from django.core.handlers.wsgi import WSGIHandler

    return WSGIHandler()
