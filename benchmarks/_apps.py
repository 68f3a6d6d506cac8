# No `from __future__ import annotations`: FastAPI reads the annotations of functions defined in functions.
"""One small application for each framework: unprotected, and behind the floor, the kit and the documented snippet.

`/me` says who asks; `/cpu` says how many CPU seconds the process has used. Each builder imports its own framework
only. The snippet stands where users put it: in a plain `def` dependency of FastAPI, elsewhere in the view, where it
blocks the loop of the async ones for as long as a verification takes.
"""

import time
from collections.abc import Callable
from typing import Annotated, Any

from ._ideal import Ideal
from ._snippet import Snippet

__all__ = ["ASGI", "IDEAL", "KIT", "NOBODY", "OPEN", "SNIPPET", "VARIANTS", "WSGI"]

OPEN, IDEAL, KIT, SNIPPET = VARIANTS = ("open", "ideal", "kit", "snippet")
HEADER = "x-stack-access-token"
NOBODY = "00000000-0000-4000-8000-000000000000"
"""What an unprotected application answers: as long as a user's id."""


def fastapi(variant: str) -> Any:
    """FastAPI."""
    from fastapi import Depends, FastAPI, Header, Request

    from hexclave_integrations import HexclaveUser

    app = FastAPI()

    @app.get("/cpu")
    async def cpu() -> float:
        return time.process_time()

    if variant == KIT:
        from hexclave_integrations.fastapi import CurrentUser, Hexclave

        Hexclave(app)

        @app.get("/me")
        async def guarded(user: CurrentUser) -> dict[str, str]:
            return {"id": user.id}

    elif variant == IDEAL:
        ideal = Ideal()
        app.add_middleware(ideal.around_asgi)

        async def regular_user(request: Request) -> HexclaveUser:
            return ideal.user_of_scope(request.scope)

        @app.get("/me")
        async def inlined(user: Annotated[HexclaveUser, Depends(regular_user)]) -> dict[str, str]:
            return {"id": user.id}

    elif variant == SNIPPET:
        snippet = Snippet.from_env()

        def current_user(x_stack_access_token: Annotated[str, Header()]) -> dict[str, Any]:
            return snippet.verify(x_stack_access_token)

        @app.get("/me")
        async def checked(user: Annotated[dict[str, Any], Depends(current_user)]) -> dict[str, str]:
            return {"id": user["sub"]}

    else:

        @app.get("/me")
        async def unguarded() -> dict[str, str]:
            return {"id": NOBODY}

    return app


def starlette(variant: str) -> Any:
    """Starlette."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def cpu(request: Request) -> JSONResponse:
        return JSONResponse(time.process_time())

    async def me(request: Request) -> JSONResponse:
        return JSONResponse({"id": NOBODY})

    view: Any = me
    middleware: list[Middleware] = []
    if variant == KIT:
        from hexclave_integrations.starlette import HexclaveMiddleware, require_user

        middleware.append(Middleware(HexclaveMiddleware))

        @require_user
        async def guarded(request: Request) -> JSONResponse:
            return JSONResponse({"id": request.user.id})

        view = guarded
    elif variant == IDEAL:
        ideal = Ideal()
        middleware.append(Middleware(ideal.around_asgi))

        async def inlined(request: Request) -> JSONResponse:
            return JSONResponse({"id": ideal.user_of_scope(request.scope).id})

        view = inlined
    elif variant == SNIPPET:
        snippet = Snippet.from_env()

        async def checked(request: Request) -> JSONResponse:
            return JSONResponse({"id": snippet.verify(request.headers[HEADER])["sub"]})

        view = checked
    return Starlette(routes=[Route("/cpu", cpu), Route("/me", view)], middleware=middleware)


def flask(variant: str) -> Any:
    """Flask."""
    from flask import Flask, jsonify, request

    app = Flask(__name__)

    @app.get("/cpu")
    def cpu() -> Any:
        return jsonify(time.process_time())

    def me() -> Any:
        return jsonify(id=NOBODY)

    view: Any = me
    if variant == KIT:
        from hexclave_integrations.flask import Hexclave, current_user, require_user

        Hexclave(app)

        @require_user
        def guarded() -> Any:
            return jsonify(id=current_user.id)

        view = guarded
    elif variant == IDEAL:
        ideal, key = Ideal(), "ideal.user"
        app.wsgi_app = ideal.around_wsgi(app.wsgi_app, key)  # type: ignore[method-assign]  # as Flask says to

        def inlined() -> Any:
            environ = request.environ
            user = environ[key] = ideal.user_of_environ(environ)
            return jsonify(id=user.id)

        view = inlined
    elif variant == SNIPPET:
        snippet = Snippet.from_env()

        def checked() -> Any:
            return jsonify(id=snippet.verify(request.headers[HEADER])["sub"])

        view = checked
    app.add_url_rule("/me", view_func=view)
    return app


def django_wsgi(variant: str) -> Any:
    """Django with plain views."""
    _set_up_django(variant)
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, JsonResponse

    def cpu(request: HttpRequest) -> JsonResponse:
        return JsonResponse(time.process_time(), safe=False)

    def me(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"id": NOBODY})

    view: Any = me
    if variant == KIT:
        from hexclave_integrations.django import require_user

        @require_user
        def guarded(request: Any) -> JsonResponse:
            return JsonResponse({"id": request.hexclave_user.id})

        view = guarded
    elif variant == IDEAL:
        ideal = Ideal()

        def inlined(request: Any) -> JsonResponse:
            request.hexclave_user = ideal.user_of_environ(request.META)
            return JsonResponse({"id": request.hexclave_user.id})

        view = inlined
    elif variant == SNIPPET:
        snippet = Snippet.from_env()

        def checked(request: HttpRequest) -> JsonResponse:
            return JsonResponse({"id": snippet.verify(request.headers[HEADER])["sub"]})

        view = checked
    _route_django(cpu, view)
    return get_wsgi_application()


def django_asgi(variant: str) -> Any:
    """Django with coroutine views."""
    _set_up_django(variant)
    from django.core.asgi import get_asgi_application
    from django.http import HttpRequest, JsonResponse

    async def cpu(request: HttpRequest) -> JsonResponse:
        return JsonResponse(time.process_time(), safe=False)

    async def me(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"id": NOBODY})

    view: Any = me
    if variant == KIT:
        from hexclave_integrations.django import require_user

        @require_user
        async def guarded(request: Any) -> JsonResponse:
            return JsonResponse({"id": request.hexclave_user.id})

        view = guarded
    elif variant == IDEAL:
        ideal = Ideal()

        async def inlined(request: Any) -> JsonResponse:
            request.hexclave_user = ideal.user_of_environ(request.META)
            return JsonResponse({"id": request.hexclave_user.id})

        view = inlined
    elif variant == SNIPPET:
        snippet = Snippet.from_env()

        async def checked(request: HttpRequest) -> JsonResponse:
            return JsonResponse({"id": snippet.verify(request.headers[HEADER])["sub"]})

        view = checked
    _route_django(cpu, view)
    return get_asgi_application()


ASGI: dict[str, Callable[[str], Any]] = {
    "FastAPI": fastapi,
    "Starlette": starlette,
    "Django ASGI": django_asgi,
}
"""What uvicorn serves, by the name of the framework."""

WSGI: dict[str, Callable[[str], Any]] = {"Flask": flask, "Django WSGI": django_wsgi}
"""What gunicorn serves."""


def _set_up_django(variant: str) -> None:
    """The middleware that most projects have, and no database."""
    import django
    from django.conf import settings

    kit = variant == KIT
    settings.configure(
        SECRET_KEY="signs nothing",
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["hexclave_integrations.django"] if kit else [],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            *(["hexclave_integrations.django.middleware.HexclaveMiddleware"] if kit else []),
            *(["benchmarks._ideal.django_middleware"] if variant == IDEAL else []),
        ],
    )
    django.setup()


def _route_django(cpu: Any, view: Any) -> None:
    from django.conf import settings
    from django.urls import path

    settings.ROOT_URLCONF = (path("cpu", cpu), path("me", view))
