"""The same route in FastAPI and Starlette: `/me` says who the caller is, `/ws` does on a websocket."""

from __future__ import annotations

from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from hexclave_integrations.fastapi import CurrentUser, Hexclave
from hexclave_integrations.starlette import HexclaveMiddleware, require_user

__all__ = ["fastapi_app", "starlette_app"]


def fastapi_app() -> FastAPI:
    app = FastAPI()
    Hexclave(app)

    @app.api_route("/me", methods=["GET", "POST", "HEAD"])
    async def me(user: CurrentUser) -> dict[str, str]:
        return {"id": user.id}

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, user: CurrentUser) -> None:
        await websocket.accept()
        await websocket.send_json({"id": user.id})
        await websocket.close()

    return app


def starlette_app() -> Starlette:
    @require_user
    async def me(request: Request) -> Response:
        return JSONResponse({"id": request.user.id})

    @require_user
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json({"id": websocket.user.id})
        await websocket.close()

    routes = [Route("/me", me, methods=["GET", "POST", "HEAD"]), WebSocketRoute("/ws", socket)]
    return Starlette(routes=routes, middleware=[Middleware(HexclaveMiddleware)])
