"""Guards for a whole application, and CSRF protection, beside the webhook endpoint: who passes and who does not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Annotated, Any, TypeAlias

import fastapi
import flask
import litestar
import litestar.testing
import pytest
from flask_wtf.csrf import CSRFProtect  # type: ignore[import-untyped]  # it has no annotations
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from hexclave_integrations import fastapi as for_fastapi
from hexclave_integrations import flask as for_flask
from hexclave_integrations import litestar as for_litestar
from hexclave_integrations.fastapi import _internals
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.user import HexclaveUser
from hexclave_integrations.webhooks import Webhooks

from .._webhooks import SECRET, event

HOOKS = "/webhooks/hexclave"
Ask: TypeAlias = Callable[..., int]
"""Method, path and headers; the status of the answer."""


def by_fastapi(sandbox: Sandbox, kind: str, webhooks: Webhooks, stack: ExitStack) -> Ask:
    guards = [fastapi.Depends(guard) for guard in GUARDS[kind](for_fastapi)]
    app = fastapi.FastAPI(dependencies=guards)
    for_fastapi.Hexclave(app, sandbox.config)

    @app.api_route("/page", methods=["GET", "POST"])
    def page() -> str:
        return "page"

    inner = fastapi.APIRouter(dependencies=guards)
    inner.include_router(for_fastapi.webhook_router(webhooks, HOOKS))
    app.include_router(inner, prefix="/in")
    app.include_router(for_fastapi.webhook_router(webhooks, HOOKS), dependencies=guards)
    client = stack.enter_context(TestClient(app))
    return lambda method, path, **options: client.request(method, path, **options).status_code


def by_flask(sandbox: Sandbox, kind: str, webhooks: Webhooks, stack: ExitStack) -> Ask:
    app = flask.Flask("guards")
    for_flask.Hexclave(app, sandbox.config)
    inner = flask.Blueprint("inner", "inner", url_prefix="/in")
    for guard in GUARDS[kind](for_flask):
        app.before_request(guard.check)
        inner.before_request(guard.check)
    app.route("/page", methods=["GET", "POST"])(lambda: "page")
    inner.register_blueprint(for_flask.webhook_blueprint(webhooks, HOOKS))
    app.register_blueprint(inner)
    app.register_blueprint(for_flask.webhook_blueprint(webhooks, HOOKS, "outer"))
    client = app.test_client()

    def ask(method: str, path: str, content: bytes = b"", headers: Any = None) -> int:
        return client.open(path, method=method, data=content, headers=headers).status_code

    return ask


def by_litestar(sandbox: Sandbox, kind: str, webhooks: Webhooks, stack: ExitStack) -> Ask:
    guards: list[Any] = [*GUARDS[kind](for_litestar)]

    @litestar.route("/page", http_method=["GET", "POST"], status_code=200)
    async def page() -> str:
        return "page"

    handlers: list[Any] = [
        page,
        for_litestar.webhook_handler(webhooks, HOOKS),
        litestar.Router("/in", route_handlers=[for_litestar.webhook_handler(webhooks, HOOKS)], guards=guards),
    ]
    app = litestar.Litestar(handlers, guards=guards, plugins=[for_litestar.HexclavePlugin(sandbox.config)])
    client = stack.enter_context(litestar.testing.TestClient(app))
    return lambda method, path, **options: client.request(method, path, **options).status_code


GUARDS: dict[str, Callable[[Any], list[Any]]] = {
    "user": lambda adapter: [adapter.require_user],
    "api key": lambda adapter: [adapter.require_api_key],
    "live": lambda adapter: [adapter.require_user.live()],
    "permission": lambda adapter: [adapter.require_project_permission("staff")],
    "several": lambda adapter: [adapter.require_user, adapter.require_project_permission("staff")],
}
FRAMEWORKS: dict[str, Any] = {"fastapi": by_fastapi, "flask": by_flask, "litestar": by_litestar}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("kind", GUARDS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_guard_of_the_whole_application(framework: str, kind: str, stack: ExitStack) -> None:
    """Genuine deliveries are handled, forged ones refused as ever, and no other request gets past the guard."""
    sandbox, seen = Sandbox(), list[str]()
    webhooks = Webhooks([SECRET])
    webhooks.on("*")(lambda event: seen.append(event.id))
    ask: Ask = FRAMEWORKS[framework](sandbox, kind, webhooks, stack)

    for path in (HOOKS, "/in" + HOOKS):
        body, headers = event()
        assert ask("POST", path, content=body, headers=headers) == 200
        assert seen.pop() == headers["svix-id"]
        assert ask("POST", path, content=body + b" ", headers=headers) == 400
        assert ask("POST", path) == 400
        assert ask("POST", path, headers=headers) == 400
        assert ask("GET", path, headers=headers) in (401, 404, 405)
        assert ask("POST", path + "/other", content=body, headers=headers) in (401, 404)
    body, headers = event()
    for method in ("GET", "POST"):
        assert ask(method, "/page", content=body, headers=headers) == 401
    restricted = sandbox.create_user(kind="restricted")
    assert ask("POST", "/page", headers={**headers, **sandbox.headers(restricted)}) in (401, 403)
    alice = sandbox.create_user()
    sandbox.grant(alice, "staff")
    key = sandbox.create_api_key(alice) if kind == "api key" else None
    credentials = sandbox.headers(alice) if key is None else {"x-api-key": getattr(key, "value", str(key))}
    assert ask("GET", "/page", headers=credentials) == 200


class TestFastAPI:
    """FastAPI: only a requirement whose user nobody takes lets a delivery pass."""

    def ask(self, app: fastapi.FastAPI, webhooks: Webhooks) -> int:
        for_fastapi.Hexclave(app, Sandbox().config)
        app.include_router(for_fastapi.webhook_router(webhooks, HOOKS))
        with TestClient(app) as client:
            body, headers = event()
            return client.post(HOOKS, content=body, headers=headers).status_code

    @pytest.mark.parametrize("is_listed", [False, True])
    def test_a_dependency_that_takes_the_user(self, is_listed: bool) -> None:
        """Nobody is handed on as a user: where a dependency of all routes takes one, a delivery is refused."""
        seen: list[object] = []

        def audit(user: for_fastapi.CurrentUser) -> None:
            seen.append(user)

        listed = [fastapi.Depends(for_fastapi.require_user)] if is_listed else []
        app = fastapi.FastAPI(dependencies=[*listed, fastapi.Depends(audit)])
        assert self.ask(app, Webhooks([SECRET])) == 401
        assert seen == []

    def test_a_dependency_that_asks_by_itself(self) -> None:
        """A function that awaits a requirement gets a user or a refusal."""
        seen: list[object] = []

        async def audit(request: fastapi.Request) -> None:
            seen.append(await for_fastapi.require_user(request))

        app = fastapi.FastAPI(dependencies=[fastapi.Depends(audit)])
        assert self.ask(app, Webhooks([SECRET])) == 401
        assert seen == []

    def test_other_dependencies_run(self) -> None:
        """A limit on senders, say, that the application puts around the endpoint."""
        calls: list[str] = []
        app = fastapi.FastAPI(
            dependencies=[fastapi.Depends(for_fastapi.require_user), fastapi.Depends(lambda: calls.append("limit"))]
        )
        assert self.ask(app, Webhooks([SECRET])) == 200
        assert calls == ["limit"]

    def test_a_view_around_the_endpoint(self) -> None:
        """What wraps the endpoint is another view, whatever attributes it has copied."""
        inner: Any = for_fastapi.webhook_router(Webhooks([SECRET]), HOOKS).routes[0]
        app, seen = fastapi.FastAPI(dependencies=[fastapi.Depends(for_fastapi.require_user)]), list[str]()
        for_fastapi.Hexclave(app, Sandbox().config)

        @app.post("/mine")
        @functools.wraps(inner.endpoint)
        async def mine(request: fastapi.Request) -> Any:
            seen.append("mine")
            return await inner.endpoint(request)

        with TestClient(app) as client:
            body, headers = event()
            assert client.post("/mine", content=body, headers=headers).status_code == 401
        assert seen == []

    def test_a_mounted_application(self) -> None:
        """An endpoint in a mounted application, whose own guard it passes."""
        sub = fastapi.FastAPI(dependencies=[fastapi.Depends(for_fastapi.require_user)])
        sub.include_router(for_fastapi.webhook_router(Webhooks([SECRET]), HOOKS))
        sub.get("/page")(lambda: "page")
        app = fastapi.FastAPI(dependencies=[fastapi.Depends(for_fastapi.require_user)])
        app.mount("/sub", sub)
        for_fastapi.Hexclave(app, Sandbox().config)
        with TestClient(app) as client:
            body, headers = event()
            assert client.post("/sub" + HOOKS, content=body, headers=headers).status_code == 200
            assert client.get("/sub/page", headers=headers).status_code == 401

    @pytest.mark.parametrize("name", _internals.NAMES_IN_SCOPE)
    def test_where_fastapi_hides_its_dependencies(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A version whose dependencies cannot be seen lets nothing pass."""
        monkeypatch.setitem(_internals.NAMES_IN_SCOPE, name, "vanished")
        app = fastapi.FastAPI(dependencies=[fastapi.Depends(for_fastapi.require_user)])
        assert self.ask(app, Webhooks([SECRET])) == 401

    def test_the_user_of_other_routes(self) -> None:
        """Behind the same guard other routes get their user as ever."""
        sandbox = Sandbox()
        alice = sandbox.create_user()
        app = fastapi.FastAPI(dependencies=[fastapi.Depends(for_fastapi.require_user)])
        for_fastapi.Hexclave(app, sandbox.config)
        app.include_router(for_fastapi.webhook_router(Webhooks([SECRET]), HOOKS))

        @app.get("/me")
        def me(user: Annotated[HexclaveUser, fastapi.Depends(for_fastapi.require_user)]) -> str:
            return user.id

        with TestClient(app) as client:
            assert client.get("/me").status_code == 401
            assert client.get("/me", headers=sandbox.headers(alice)).json() == alice.id


class TestFlask:
    """Flask: views around the endpoint are no endpoints, and Flask-WTF is told of the blueprint."""

    def test_a_view_around_the_endpoint(self) -> None:
        """An application that replaces the view has another one."""
        app, seen = flask.Flask("guards"), list[str]()
        for_flask.Hexclave(app, Sandbox().config)
        app.before_request(for_flask.require_user.check)
        app.register_blueprint(for_flask.webhook_blueprint(Webhooks([SECRET]), HOOKS))
        view: Any = app.view_functions["hexclave_webhooks.receive"]

        @functools.wraps(view)
        def mine() -> Any:
            seen.append("mine")
            return view()

        app.view_functions["hexclave_webhooks.receive"] = mine
        body, headers = event()
        assert app.test_client().post(HOOKS, data=body, headers=headers).status_code == 401
        assert seen == []

    def test_a_name_is_no_claim(self) -> None:
        """Views, blueprints and functions that are named like ours are guarded."""
        app = flask.Flask("guards")
        for_flask.Hexclave(app, Sandbox().config)
        app.before_request(for_flask.require_user.check)
        blueprint = flask.Blueprint("hexclave_webhooks", "hexclave_integrations.flask._webhooks")

        @blueprint.post(HOOKS)
        def receive() -> str:
            return "in"

        app.register_blueprint(blueprint)
        body, headers = event()
        assert app.test_client().post(HOOKS, data=body, headers=headers).status_code == 401

    @pytest.mark.parametrize("is_exempt", [False, True])
    def test_flask_wtf(self, is_exempt: bool) -> None:
        """`csrf.exempt(blueprint)` is what an application with CSRF protection writes, and nothing else is exempt."""
        app = flask.Flask("csrf")
        app.secret_key = "only for tests"
        csrf = CSRFProtect(app)
        blueprint = for_flask.webhook_blueprint(Webhooks([SECRET]), HOOKS)
        app.register_blueprint(csrf.exempt(blueprint) if is_exempt else blueprint)
        app.post("/page")(lambda: "page")
        body, headers = event()
        answer = app.test_client().post(HOOKS, data=body, headers=headers)
        assert (answer.status_code, b"CSRF" in answer.data) == ((200, False) if is_exempt else (400, True))
        assert app.test_client().post("/page").status_code == 400


def test_starlettes_route() -> None:
    """A route of Starlette's own, under a mount too, with and without the middleware."""
    from starlette.middleware import Middleware

    from hexclave_integrations import ConfigurationError
    from hexclave_integrations.starlette import HexclaveMiddleware, webhook_route

    sandbox = Sandbox()
    for middleware in ([], [Middleware(HexclaveMiddleware, config=sandbox.config)]):
        route = webhook_route(Webhooks([SECRET]), HOOKS)
        app = Starlette(routes=[route, Mount("/in", routes=[webhook_route(Webhooks([SECRET]))])], middleware=middleware)
        with TestClient(app) as client:
            for path in (HOOKS, "/in" + HOOKS):
                body, headers = event()
                assert client.post(path, content=body, headers=headers).json() == {"status": "handled"}
                assert client.get(path).status_code == 405
    with pytest.raises(ConfigurationError, match="takes a Webhooks"):
        webhook_route(Webhooks)  # type: ignore[arg-type]
