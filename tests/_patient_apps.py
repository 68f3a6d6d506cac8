"""The same two routes in Django and FastAPI, for real ASGI servers: `/me`, and `/logs` for those who may read them."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["app"]


def django_app() -> Any:
    import django
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    from hexclave_integrations import HexclaveConfig
    from hexclave_integrations.django import require_project_permission, require_user

    config = HexclaveConfig.from_env()
    settings.configure(
        SECRET_KEY="only for tests",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=(),
        INSTALLED_APPS=["hexclave_integrations.django"],
        MIDDLEWARE=["hexclave_integrations.django.middleware.HexclaveMiddleware"],
        HEXCLAVE={
            "PROJECT_ID": config.project_id,
            "API_URL": config.api_url,
            "ISSUER_URLS": config.issuer_urls,
            "SECRET_SERVER_KEY": config.secret_server_key,
        },
    )
    django.setup()

    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(b"let through")

    settings.ROOT_URLCONF = (
        path("me", require_user(view)),
        path("logs", require_project_permission("read_logs")(view)),
    )
    return get_asgi_application()


def fastapi_app() -> Any:
    from fastapi import Depends, FastAPI, Request, Response
    from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

    from hexclave_integrations.fastapi import Hexclave, require_project_permission, require_user

    async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app = FastAPI()
    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)  # it runs the rest in a cancel scope
    Hexclave(app)

    @app.get("/me", dependencies=[Depends(require_user)])
    @app.get("/logs", dependencies=[Depends(require_project_permission("read_logs"))])
    async def view() -> str:
        return "let through"

    return app


# Not every server takes a factory, so the application that the environment names is made on import.
app = {"django": django_app, "fastapi": fastapi_app}[os.environ["FRAMEWORK"]]()
