"""Applications for real servers, checked at import: `/me` for users, `/logs` for those who may read them."""

from __future__ import annotations

import os
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse

from hexclave_integrations.fastapi import CurrentUser

__all__ = ["application"]


def flask_app() -> Any:
    import flask

    from hexclave_integrations.flask import (
        Hexclave,
        current_user,
        require_project_permission,
        require_team,
        require_user,
    )

    app = flask.Flask("example")
    hexclave = Hexclave(app)

    def who() -> str:
        return current_user.id

    app.add_url_rule("/me", "me", require_user(who))
    app.add_url_rule("/logs", "logs", require_project_permission("read_logs")(who))
    if "WRONG_ROUTE" in os.environ:
        app.add_url_rule("/wrong", "wrong", require_team("{team_id}")(who))
    if "UNCHECKED" not in os.environ:
        hexclave.check(app)
    if "USED_AT_IMPORT" in os.environ:  # as by a script that runs before the workers fork
        client = app.extensions["hexclave"].client
        assert client.warm()
        client.has_permission("00000000-0000-4000-8000-000000000000", "read_logs")
    return app


def fastapi_app() -> Any:
    from hexclave_integrations.fastapi import Hexclave, require_project_permission

    app = FastAPI()
    Hexclave(app)

    @app.get("/me", response_class=PlainTextResponse)
    @app.get("/logs", response_class=PlainTextResponse, dependencies=[Depends(require_project_permission("read_logs"))])
    async def me(user: CurrentUser) -> str:
        return user.id

    return app


application = {"flask": flask_app, "fastapi": fastapi_app}[os.environ["FRAMEWORK"]]()
