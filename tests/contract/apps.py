"""The columns: one builder an adapter, each the same application on the same configuration."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from hexclave_integrations import (
    SELECTED_TEAM,
    AsyncHexclaveClient,
    HexclaveApiKey,
    HexclaveClient,
    HexclaveConfig,
    RequestRefused,
    fastapi,
    requirements,
    starlette,
)
from hexclave_integrations._adapter.cache_headers import PRIVATE, vary_on_credentials
from hexclave_integrations._token.find import read_cookies

from . import django_columns, flask_columns, litestar_columns
from .signers import SIGNERS
from .table import Answer, Ask, read_answer
from .views import PERMISSION, PROJECT_PERMISSION, show, show_id

Build = Callable[[HexclaveConfig], AbstractContextManager[Ask]]


def build_fastapi_app(config: HexclaveConfig) -> FastAPI:
    app = FastAPI()
    fastapi.Hexclave(app, config)
    require = fastapi.require_user

    @app.get("/public")
    async def public() -> dict[str, bool]:
        return {"public": True}

    @app.get("/me")
    async def me(user: fastapi.CurrentUser) -> dict[str, Any]:
        return show(user)

    @app.get("/optional")
    async def optional(user: fastapi.OptionalUser) -> dict[str, Any]:
        return show_id(user)

    @app.get("/key")
    async def key(key: Annotated[HexclaveApiKey, Depends(fastapi.require_api_key)]) -> dict[str, Any]:
        return show_id(key)

    guarded: dict[str, fastapi.FastAPIRequirement] = {
        "/restricted": require.allow(restricted=True),
        "/anyone": require.allow(anonymous=True),
        "/live": require.live(),
        "/either": require.allow(api_key=True),
        "/teams/{team_id}/member": fastapi.require_team("{team_id}"),
        "/teams/{team_id}/export": fastapi.require_permission("{team_id}", PERMISSION),
        "/selected/export": fastapi.require_permission(SELECTED_TEAM, PERMISSION),
        "/project": fastapi.require_project_permission(PROJECT_PERMISSION),
        "/credits": fastapi.require_item("credits", 2),
        "/spend": fastapi.require_item("credits", 2, spend=True),
        "/pro": fastapi.require_product("pro"),
        "/teams/{team_id}/spend": fastapi.require_item("seats", 1, team="{team_id}", spend=True),
        "/teams/{team_id}/pro": fastapi.require_product("team-pro", "{team_id}"),
    }
    for path, requirement in guarded.items():

        def view(user: Any = Depends(requirement)) -> dict[str, Any]:  # noqa: B008  # FastAPI's own spelling
            return show(user)

        app.get(path)(view)
    for path, signer in SIGNERS.items():
        app.include_router(fastapi.supabase_router(signer, path))
    return app


@contextmanager
def asking(app: Any) -> Iterator[Ask]:
    """Drive an ASGI application with its lifespan."""
    with TestClient(app) as client:

        def ask(path: str, headers: dict[str, str]) -> Answer:
            response = client.get(path, headers=headers)
            return read_answer(response.status_code, response.headers, response.content)

        yield ask


def build_fastapi(config: HexclaveConfig) -> AbstractContextManager[Ask]:
    return asking(build_fastapi_app(config))


def build_starlette(config: HexclaveConfig) -> AbstractContextManager[Ask]:
    require = starlette.require_user

    async def public(request: Request) -> JSONResponse:
        return JSONResponse({"public": True})

    async def view(request: Request) -> JSONResponse:
        return JSONResponse(show(request.user))

    def view_id(request: Request) -> JSONResponse:
        return JSONResponse(show_id(request.user))

    app = Starlette(
        routes=[
            Route("/public", public),
            Route("/me", require(view)),
            Route("/optional", starlette.optional_user(view_id)),
            Route("/key", starlette.require_api_key(view_id)),
            Route("/restricted", require.allow(restricted=True)(view)),
            Route("/anyone", require.allow(anonymous=True)(view)),
            Route("/live", require.live()(view)),
            Route("/either", require.allow(api_key=True)(view)),
            Route("/teams/{team_id}/member", starlette.require_team("{team_id}")(view)),
            Route("/teams/{team_id}/export", starlette.require_permission("{team_id}", PERMISSION)(view)),
            Route("/selected/export", starlette.require_permission(SELECTED_TEAM, PERMISSION)(view)),
            Route("/project", starlette.require_project_permission(PROJECT_PERMISSION)(view)),
            Route("/credits", starlette.require_item("credits", 2)(view)),
            Route("/spend", starlette.require_item("credits", 2, spend=True)(view)),
            Route("/pro", starlette.require_product("pro")(view)),
            Route("/teams/{team_id}/spend", starlette.require_item("seats", 1, team="{team_id}", spend=True)(view)),
            Route("/teams/{team_id}/pro", starlette.require_product("team-pro", "{team_id}")(view)),
            *(starlette.supabase_route(signer, path) for path, signer in SIGNERS.items()),
        ],
        middleware=[Middleware(starlette.HexclaveMiddleware, config=config)],
    )
    return asking(app)


# The clients by themselves: what an adapter would do by hand.

_BY_HAND: dict[str, requirements.Requirement] = {
    "/me": requirements.require_user,
    "/optional": requirements.optional_user,
    "/key": requirements.require_api_key,
    "/restricted": requirements.require_user.allow(restricted=True),
    "/anyone": requirements.require_user.allow(anonymous=True),
    "/live": requirements.require_user.live(),
    "/either": requirements.require_user.allow(api_key=True),
    "member": requirements.require_team("{team_id}"),
    "export": requirements.require_permission("{team_id}", PERMISSION),
    "/selected/export": requirements.require_permission(SELECTED_TEAM, PERMISSION),
    "/project": requirements.require_project_permission(PROJECT_PERMISSION),
    "/credits": requirements.require_item("credits", 2),
    "/spend": requirements.require_item("credits", 2, spend=True),
    "/pro": requirements.require_product("pro"),
    "spend": requirements.require_item("seats", 1, team="{team_id}", spend=True),
    "pro": requirements.require_product("team-pro", "{team_id}"),
    **{path: signer.guard(requirements.require_user) for path, signer in SIGNERS.items()},
}


def _by_hand(
    config: HexclaveConfig, path: str, decide: Callable[[requirements.Requirement, dict[str, str]], Any]
) -> Answer:
    if path == "/public":
        return read_answer(200, {"content-type": "application/json"}, b'{"public": true}')
    params: dict[str, str] = {}
    name = path
    if path.startswith("/teams/"):
        _, _, params["team_id"], name = path.split("/")
    headers = {"content-type": "application/json", "cache-control": PRIVATE}
    try:
        principal = decide(_BY_HAND[name], params)
        if name in SIGNERS:
            issued = SIGNERS[name].issue(principal)
            headers |= dict(issued.headers())
            status, body = 200, issued.body()
        else:
            status, body = 200, json.dumps((show_id if name in ("/optional", "/key") else show)(principal)).encode()
    except RequestRefused as error:
        headers |= dict(error.headers())
        status, body = error.status, error.body()
    headers["vary"] = vary_on_credentials(None, config)
    return read_answer(status, {name.lower(): value for name, value in headers.items()}, body)


@contextmanager
def build_client(config: HexclaveConfig) -> Iterator[Ask]:
    with HexclaveClient(config) as client:

        def ask(path: str, headers: dict[str, str]) -> Answer:
            attempt = client.attempt(headers, lambda: read_cookies([headers.get("cookie", "")]))
            return _by_hand(config, path, lambda wanted, params: client.admit(wanted, attempt, params=params))

        yield ask


@contextmanager
def build_async_client(config: HexclaveConfig) -> Iterator[Ask]:
    client = AsyncHexclaveClient(config)

    def ask(path: str, headers: dict[str, str]) -> Answer:
        attempt = client.attempt(headers, lambda: read_cookies([headers.get("cookie", "")]))

        def decide(wanted: requirements.Requirement, params: dict[str, str]) -> Any:
            admitted: Awaitable[Any] = client.admit(wanted, attempt, params=params)

            async def wait() -> Any:
                return await admitted

            return asyncio.run(wait())  # every request on a loop of its own

        return _by_hand(config, path, decide)

    yield ask


COLUMNS: dict[str, Build] = {
    "client": build_client,
    "async client": build_async_client,
    "starlette": build_starlette,
    "fastapi": build_fastapi,
    "flask": flask_columns.build_flask,
    "flask async": flask_columns.build_flask_async,
    "litestar": litestar_columns.build_litestar,
    **django_columns.columns(),
}
