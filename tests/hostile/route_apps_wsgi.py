"""Guarded routes of every kind in Flask: converters, blueprints with a check of their own, view classes, mounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Blueprint, Flask
from flask.views import MethodView, View
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from hexclave_integrations import flask

from .in_process import call_wsgi
from .routes import METHODS, PERMISSION, PROJECT_PERMISSION, Guard, Ledger, Route, Send, World

__all__ = ["FLASK_ROUTES", "calling", "flask_app"]

FLASK_ROUTES = (
    Route("/me", "user"),
    Route("/project", "project"),
    Route("/key", "api key"),
    Route("/teams/{team}", "team"),
    Route("/teams/{team}/reports", "permission"),
    Route("/slashed/{team}/", "permission"),
    Route("/typed/{team}/reports", "permission"),
    Route("/files/{team}/{rest}", "permission"),
    Route("/ends/{team}", "permission"),
    Route("/pairs/{other}/{team}", "permission"),
    Route("/v1/teams/{team}/reports", "permission"),
    Route("/checked/{team}/reports", "permission"),
    Route("/class/{team}", "permission"),
    Route("/methods/{team}", "permission"),
    Route("/mounted/teams/{team}/reports", "permission"),
)


def flask_app(world: World, ledger: Ledger) -> Any:
    """Decorators, sync and async; `decorators` of classes; checks of a blueprint; an application in another one."""
    permission = flask.require_permission("{team_id}", PERMISSION)

    def saw(guard: Guard, team_id: object = None) -> str:
        user: Any = flask.current_user
        ledger.saw(guard, team_id, flask.current_api_key if guard == "api key" else user)
        return ""

    def view(guard: Guard, *, is_async: bool = False) -> Callable[..., Any]:
        def answer(team_id: object = None, **params: object) -> str:
            return saw(guard, team_id)

        async def answer_async(team_id: object = None, **params: object) -> str:
            return saw(guard, team_id)

        return answer_async if is_async else answer

    class Reports(View):
        methods = METHODS
        decorators = [permission]  # noqa: RUF012  # as Flask spells it

        def dispatch_request(self, **params: str) -> str:
            return saw("permission", params["team_id"])

    class Methods(MethodView):
        @permission
        def get(self, team_id: str) -> str:
            return saw("permission", team_id)

        post = put = patch = delete = options = trace = get

    def application() -> Flask:
        app = Flask("routes")
        app.config["PROPAGATE_EXCEPTIONS"] = True
        flask.Hexclave(app, world.config)
        return app

    app = application()
    guarded: dict[str, tuple[Guard, Any, bool]] = {
        "/me": ("user", flask.require_user, False),
        "/project": ("project", flask.require_project_permission(PROJECT_PERMISSION), True),
        "/key": ("api key", flask.require_api_key, False),
        "/teams/<team_id>": ("team", flask.require_team("{team_id}"), False),
        "/teams/<team_id>/reports": ("permission", permission, True),
        "/slashed/<team_id>/": ("permission", permission, False),
        "/typed/<uuid:team_id>/reports": ("permission", permission, False),
        "/files/<team_id>/<path:rest>": ("permission", permission, False),
        "/ends/<path:team_id>": ("permission", permission, False),
        "/pairs/<other>/<team_id>": ("permission", permission, False),
    }
    for url, (guard, requirement, is_async) in guarded.items():
        app.add_url_rule(url, url, requirement(view(guard, is_async=is_async)), methods=METHODS)
    v1 = Blueprint("v1", __name__, url_prefix="/v1/teams/<team_id>")
    v1.add_url_rule("/reports", "reports", permission(view("permission")), methods=METHODS)
    app.register_blueprint(v1)
    checked = Blueprint("checked", __name__, url_prefix="/checked/<team_id>")
    checked.before_request(permission.check)
    checked.add_url_rule("/reports", "reports", view("permission"), methods=METHODS)
    app.register_blueprint(checked)
    app.add_url_rule("/class/<team_id>", view_func=Reports.as_view("reports"))
    app.add_url_rule("/methods/<team_id>", view_func=Methods.as_view("methods"))
    mounted = application()
    mounted.add_url_rule("/teams/<team_id>/reports", "reports", permission(view("permission")), methods=METHODS)
    return DispatcherMiddleware(app, {"/mounted": mounted})


@contextmanager
def calling(app: Any) -> Iterator[Send]:
    """Call a WSGI application."""
    yield lambda request: call_wsgi(app, request.method, request.target, request.pairs)
