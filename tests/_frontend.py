"""A frontend with Hexclave's own JavaScript client in it, and the FastAPI application that it belongs to."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import uvicorn
from fastapi import Depends, FastAPI, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, Response

from hexclave_integrations import HexclaveUser
from hexclave_integrations.fastapi import CurrentUser, Hexclave, require_user
from hexclave_integrations.testing import Sandbox

from ._sandbox_command import environment

_DATA: Final = Path(__file__).parent / "data" / "sdk"
_LIMIT: Final = 60.0


def bundled(packages: Path, name: str, folder: Path) -> str:
    """The JavaScript of a file of `tests/data/sdk` with everything it imports, as esbuild makes it."""
    target = folder / f"{Path(name).stem}.bundle.js"
    options = ["--bundle", "--format=esm", "--jsx=automatic", '--define:process.env.NODE_ENV="production"']
    command = [str(packages / "node_modules" / ".bin" / "esbuild"), str(_DATA / name), *options, f"--outfile={target}"]
    variables = environment({"NODE_PATH": str(packages / "node_modules")})
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False, env=variables)
    assert done.returncode == 0, done.stderr
    return target.read_text(encoding="utf-8")


def application(
    sandbox: Sandbox, script: str = "", *, accept_cookies: bool = False, allow_origins: Sequence[str] = ()
) -> FastAPI:
    """An application whose Hexclave is the sandbox, which has to be served already.

    Args:
        script: what runs on every page that is no endpoint.
        accept_cookies: whether the SDK's cookies count.
        allow_origins: origins whose pages may call it with a token.
    """
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=allow_origins, allow_headers=["x-stack-access-token"])
    Hexclave(app, replace(sandbox.config, accept_cookies=accept_cookies))

    @app.get("/api/me")
    async def me(user: CurrentUser) -> dict[str, str | None]:
        return {"id": user.id, "name": user.display_name}

    @app.get("/api/live")
    async def live(user: Annotated[HexclaveUser, Depends(require_user.live())]) -> dict[str, str]:
        return {"id": user.id}

    @app.websocket("/api/socket")
    async def socket(websocket: WebSocket, user: CurrentUser) -> None:
        await websocket.accept("hexclave")
        await websocket.send_text(user.id)
        await websocket.close()

    @app.get("/bundle.js")
    async def bundle() -> Response:
        return Response(script, media_type="text/javascript")

    @app.get("/{path:path}")
    async def page(path: str) -> HTMLResponse:
        settings = {"projectId": sandbox.config.project_id, "baseUrl": sandbox.config.api_url}
        head = f"<script>window.process = {{env: {{}}}}; window.settings = {json.dumps(settings)}</script>"
        body = '<div id="root"></div><script type="module" src="/bundle.js"></script>'
        return HTMLResponse(f"<!doctype html><html lang=en><meta charset=utf-8><title>App</title>{head}{body}")

    return app


@contextmanager
def served(app: FastAPI) -> Iterator[int]:
    """Serve on the loopback interface for the length of the block; yields the port."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="websockets-sansio"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        end = time.monotonic() + _LIMIT
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < end
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(_LIMIT)
