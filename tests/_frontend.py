"""A frontend with Hexclave's own JavaScript client in it, and the FastAPI application that it belongs to."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
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

_LIMIT: Final = 60.0


def bundled(packages: Path, file: Path, variables: Mapping[str, str] | None = None) -> str:
    """The JavaScript of a file with everything that it imports, as esbuild makes it.

    Args:
        variables: what Vite would put into `import.meta.env`.
    """
    defined = {"process.env.NODE_ENV": "production", "import.meta.env": dict(variables or {})}
    options = [f"--define:{name}={json.dumps(value)}" for name, value in defined.items()]
    command = [str(packages / "node_modules" / ".bin" / "esbuild"), str(file), "--bundle", "--minify", "--format=esm"]
    done = subprocess.run(
        [*command, "--jsx=automatic", "--log-level=error", *options],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_LIMIT,
        check=False,
        env=environment({"NODE_PATH": str(packages / "node_modules")}),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
def served(app: FastAPI, port: int = 0) -> Iterator[int]:
    """Serve on the loopback interface for the length of the block; yields the port."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, ws="websockets-sansio"))
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
