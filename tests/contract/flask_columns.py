"""Flask, with sync and with async views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flask as framework

from hexclave_integrations import HexclaveConfig, flask

from .signers import SIGNERS
from .table import Answer, Ask, read_answer
from .views import PERMISSION, PROJECT_PERMISSION, show, show_id


def build_flask_app(config: HexclaveConfig, *, is_async: bool = False) -> framework.Flask:
    app = framework.Flask("contract")
    flask.Hexclave(app, config)
    require = flask.require_user

    def user(**params: Any) -> Any:
        return show(flask.current_user._get_current_object())  # type: ignore[attr-defined]  # a proxy

    def user_id(**params: Any) -> Any:
        return show_id(flask.current_user._get_current_object())  # type: ignore[attr-defined]  # a proxy

    def key_id(**params: Any) -> Any:
        return show_id(flask.current_api_key)

    def coloured(view: Callable[..., Any]) -> Callable[..., Any]:
        async def async_view(**params: Any) -> Any:
            return view(**params)

        return async_view if is_async else view

    app.add_url_rule("/public", "public", coloured(lambda: {"public": True}))
    guarded: dict[str, tuple[flask.FlaskRequirement, Callable[..., Any]]] = {
        "/me": (require, user),
        "/optional": (flask.optional_user, user_id),
        "/key": (flask.require_api_key, key_id),
        "/restricted": (require.allow(restricted=True), user),
        "/anyone": (require.allow(anonymous=True), user),
        "/live": (require.live(), user),
        "/either": (require.allow(api_key=True), user),
        "/teams/<team_id>/member": (flask.require_team("{team_id}"), user),
        "/teams/<team_id>/export": (flask.require_permission("{team_id}", PERMISSION), user),
        "/selected/export": (flask.require_permission(flask.SELECTED_TEAM, PERMISSION), user),
        "/project": (flask.require_project_permission(PROJECT_PERMISSION), user),
        "/credits": (flask.require_item("credits", 2), user),
        "/spend": (flask.require_item("credits", 2, spend=True), user),
        "/pro": (flask.require_product("pro"), user),
        "/teams/<team_id>/spend": (flask.require_item("seats", 1, team="{team_id}", spend=True), user),
        "/teams/<team_id>/pro": (flask.require_product("team-pro", "{team_id}"), user),
    }
    for path, (requirement, view) in guarded.items():
        app.add_url_rule(path, path.replace(".", "_"), requirement(coloured(view)))
    for path, signer in SIGNERS.items():
        app.register_blueprint(flask.supabase_blueprint(signer, path, path[1:].replace("/", "_")))
    return app


@contextmanager
def _asking(app: framework.Flask) -> Iterator[Ask]:
    client = app.test_client(use_cookies=False)

    def ask(path: str, headers: dict[str, str]) -> Answer:
        response = client.get(path, headers=headers)
        return read_answer(response.status_code, response.headers, response.data)

    yield ask


def build_flask(config: HexclaveConfig) -> Any:
    return _asking(build_flask_app(config))


def build_flask_async(config: HexclaveConfig) -> Any:
    return _asking(build_flask_app(config, is_async=True))
