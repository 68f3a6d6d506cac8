"""Guarded routes of every kind in FastAPI and Starlette: converters, routers, mounts, endpoint classes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import PlainTextResponse
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request as Connection
from starlette.responses import Response
from starlette.routing import Mount, Route

from hexclave_integrations import fastapi, starlette

from . import routes
from .in_process import call_asgi
from .routes import METHODS, PERMISSION, PROJECT_PERMISSION, Guard, Ledger, Send, World

__all__ = ["FASTAPI_ROUTES", "STARLETTE_ROUTES", "calling", "fastapi_app", "starlette_app"]

_COMMON = (
    routes.Route("/me", "user"),
    routes.Route("/project", "project"),
    routes.Route("/key", "api key"),
    routes.Route("/teams/{team}", "team"),
    routes.Route("/teams/{team}/reports", "permission"),
    routes.Route("/typed/{team}/reports", "permission"),
    routes.Route("/files/{team}/{rest}", "permission"),
    routes.Route("/pairs/{other}/{team}", "permission"),
    routes.Route("/mounted/teams/{team}/reports", "permission"),
    routes.Route("/of/{team}/reports", "permission"),
    routes.Route("/twice/{other}/in/{team}", "permission"),
)
FASTAPI_ROUTES = (*_COMMON, routes.Route("/v1/teams/{team}/reports", "permission"))
STARLETTE_ROUTES = (*_COMMON, routes.Route("/class/{team}", "permission"))
ALL = list(METHODS)
# Where FastAPI resolves an annotation.
ApiKey = Annotated[Any, Depends(fastapi.require_api_key)]
Holder = Annotated[Any, Depends(fastapi.require_permission("{team_id}", PERMISSION))]
Member = Annotated[Any, Depends(fastapi.require_team("{team_id}"))]
Admin = Annotated[Any, Depends(fastapi.require_project_permission(PROJECT_PERMISSION))]


def fastapi_app(world: World, ledger: Ledger) -> FastAPI:
    """Dependencies in the signature, on the route, on a router and on a mounted application."""
    app = FastAPI()
    fastapi.Hexclave(app, world.config)

    @app.api_route("/me", methods=ALL)
    async def me(user: fastapi.CurrentUser) -> None:
        ledger.saw("user", None, user)

    @app.api_route("/project", methods=ALL)
    async def in_project(user: Admin) -> None:
        ledger.saw("project", None, user)

    @app.api_route("/key", methods=ALL)
    def by_key(key: ApiKey) -> None:
        ledger.saw("api key", None, key)

    @app.api_route("/teams/{team_id}", methods=ALL)
    def team(team_id: str, user: Member) -> None:
        ledger.saw("team", team_id, user)

    @app.api_route("/typed/{team_id:uuid}/reports", methods=ALL)
    async def typed(team_id: uuid.UUID, user: Holder) -> None:
        ledger.saw("permission", team_id, user)

    @app.api_route("/files/{team_id}/{rest:path}", methods=ALL)
    async def file(team_id: str, rest: str, user: Holder) -> None:
        ledger.saw("permission", team_id, user)

    @app.api_route("/pairs/{other}/{team_id}", methods=ALL)
    async def pair(other: str, team_id: str, user: Holder) -> None:
        ledger.saw("permission", team_id, user)

    def reports(router: Any, path: str, **options: Any) -> None:
        async def report(team_id: str, request: Connection) -> None:
            ledger.saw("permission", team_id, request.state.user)

        router.api_route(path, methods=ALL, **options)(report)

    async def keep(request: Connection, user: Holder) -> None:
        request.state.user = user

    reports(app, "/teams/{team_id}/reports", dependencies=[Depends(keep)])
    router = APIRouter(prefix="/v1/teams/{team_id}", dependencies=[Depends(keep)])
    reports(router, "/reports")
    app.include_router(router)
    mounted = FastAPI(dependencies=[Depends(keep)])
    reports(mounted, "/teams/{team_id}/reports")
    app.mount("/mounted", mounted)
    inner = FastAPI()
    reports(inner, "/in/{team_id}", dependencies=[Depends(keep)])
    app.mount("/twice/{team_id}", inner)

    # The team is a parameter of the mount: FastAPI's own signature does not see it there.
    async def of_mount(request: Connection) -> PlainTextResponse:
        ledger.saw("permission", request.path_params["team_id"], request.state.user)
        return PlainTextResponse("")

    outer = FastAPI(dependencies=[Depends(keep)])
    outer.api_route("/reports", methods=ALL)(of_mount)
    app.mount("/of/{team_id}", outer)
    return app


def starlette_app(world: World, ledger: Ledger) -> Starlette:
    """Decorators on functions, sync and async, and on the methods of endpoint classes; mounts inside of mounts."""
    permission = starlette.require_permission("{team_id}", PERMISSION)

    def view(guard: Guard, requirement: Any, *, is_async: bool = True) -> Callable[..., Any]:
        def answer(request: Connection) -> Response:
            ledger.saw(guard, request.path_params.get("team_id"), request.user)
            return PlainTextResponse("")

        async def answer_async(request: Connection) -> Response:
            return answer(request)

        guarded: Callable[..., Any] = requirement(answer_async if is_async else answer)
        return guarded

    class Reports(HTTPEndpoint):
        @permission
        async def get(self, request: Connection) -> Response:
            ledger.saw("permission", request.path_params["team_id"], request.user)
            return PlainTextResponse("")

        head = post = put = patch = delete = options = get

    def route(path: str, guard: Guard, requirement: Any, *, is_async: bool = True) -> Route:
        return Route(path, view(guard, requirement, is_async=is_async), methods=ALL)

    reports = [
        route("/teams/{team_id}/reports", "permission", permission),
        route("/in/{team_id}", "permission", permission),
        route("/reports", "permission", permission, is_async=False),
    ]
    return Starlette(
        routes=[
            route("/me", "user", starlette.require_user),
            route("/project", "project", starlette.require_project_permission(PROJECT_PERMISSION)),
            route("/key", "api key", starlette.require_api_key, is_async=False),
            route("/teams/{team_id}", "team", starlette.require_team("{team_id}")),
            route("/typed/{team_id:uuid}/reports", "permission", permission),
            route("/files/{team_id}/{rest:path}", "permission", permission),
            route("/pairs/{other}/{team_id}", "permission", permission),
            Route("/class/{team_id}", Reports),
            Mount("/mounted", routes=reports[:1]),
            Mount("/twice/{team_id}", app=Starlette(routes=reports[1:2])),
            Mount("/of/{team_id}", routes=reports[2:]),
            reports[0],
        ],
        middleware=[Middleware(starlette.HexclaveMiddleware, config=world.config)],
    )


@contextmanager
def calling(app: Any) -> Iterator[Send]:
    """Call an ASGI application, on one event loop."""
    with asyncio.Runner() as runner:
        yield lambda request: runner.run(call_asgi(app, request.method, request.target, request.pairs))
