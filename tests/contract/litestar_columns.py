"""Litestar: the application of the table, the application of the duties, and a receiver of deliveries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from litestar import Litestar, Request, Response, WebSocket, get, route, websocket
from litestar.exceptions import NotAuthorizedException

from hexclave_integrations import SELECTED_TEAM, HexclaveConfig, litestar
from hexclave_integrations.webhooks import Webhooks

from .driving import AsgiServer, Reply, Server
from .signers import SIGNERS
from .table import Answer, Ask, read_answer
from .views import PERMISSION, PROJECT_PERMISSION, show, show_id

Connection = Request[Any, Any, Any]


@contextmanager
def build_litestar(config: HexclaveConfig) -> Iterator[Ask]:
    require = litestar.require_user

    @get("/public")
    async def public() -> dict[str, bool]:
        return {"public": True}

    def guarded(path: str, guard: litestar.LitestarRequirement, answer: Callable[[Any], dict[str, Any]] = show) -> Any:
        @get(path, guards=[guard])
        async def handler(request: Connection) -> dict[str, Any]:
            return answer(request.user)

        return handler

    handlers = [
        public,
        guarded("/me", require),
        guarded("/optional", litestar.optional_user, show_id),
        guarded("/key", litestar.require_api_key, show_id),
        guarded("/restricted", require.allow(restricted=True)),
        guarded("/anyone", require.allow(anonymous=True)),
        guarded("/live", require.live()),
        guarded("/either", require.allow(api_key=True)),
        guarded("/teams/{team_id:str}/member", litestar.require_team("{team_id}")),
        guarded("/teams/{team_id:str}/export", litestar.require_permission("{team_id}", PERMISSION)),
        guarded("/selected/export", litestar.require_permission(SELECTED_TEAM, PERMISSION)),
        guarded("/project", litestar.require_project_permission(PROJECT_PERMISSION)),
        guarded("/credits", litestar.require_item("credits", 2)),
        guarded("/spend", litestar.require_item("credits", 2, spend=True)),
        guarded("/pro", litestar.require_product("pro")),
        guarded("/teams/{team_id:str}/spend", litestar.require_item("seats", 1, team="{team_id}", spend=True)),
        guarded("/teams/{team_id:str}/pro", litestar.require_product("team-pro", "{team_id}")),
        *(litestar.supabase_handler(signer, path) for path, signer in SIGNERS.items()),
    ]
    with AsgiServer(Litestar(handlers, plugins=[litestar.HexclavePlugin(config)], openapi_config=None)) as server:

        def ask(path: str, headers: dict[str, str]) -> Answer:
            reply = server.send("GET", path, headers)
            return read_answer(reply.status, reply.headers, reply.body)

        yield ask


@contextmanager
def serve_litestar(
    adapter: Any, config: HexclaveConfig, routes: Sequence[Any], webhooks: Webhooks | None
) -> Iterator[Server]:
    def handlers_of(wanted: Any) -> list[Any]:
        path, guards = wanted.path.replace("}", ":str}"), list(wanted.guards(adapter))
        opt = {"hexclave_public": True} if wanted.is_public else None
        if wanted.is_websocket:

            @websocket(path, guards=guards, opt=opt)
            async def talk(socket: WebSocket[Any, Any, Any]) -> None:
                if wanted.fails_before_accept:
                    wanted.visit()
                await socket.accept()
                await socket.send_json(wanted.visit())
                await socket.close()

            return [talk]

        @route(path, http_method=list(wanted.methods), guards=guards, opt=opt, status_code=200)
        async def answer(request: Connection) -> Response[Any]:
            if wanted.refuses:
                raise NotAuthorizedException
            return Response(wanted.visit(), headers=dict(wanted.headers), status_code=wanted.status)

        return [answer]

    handlers = [handler for wanted in routes for handler in handlers_of(wanted)]
    if webhooks is not None:
        handlers.append(adapter.webhook_handler(webhooks, "/webhooks/hexclave"))
    app = Litestar(handlers, plugins=[adapter.HexclavePlugin(config)], openapi_config=None)
    with AsgiServer(app) as server:
        yield server


def post_to_litestar(webhooks: Webhooks, path: str, body: bytes, headers: dict[str, str]) -> Reply:
    """One delivery, to an application that has nothing but webhooks."""
    with AsgiServer(Litestar([litestar.webhook_handler(webhooks, path)], openapi_config=None)) as server:
        return server.send("POST", path, headers, [body])
