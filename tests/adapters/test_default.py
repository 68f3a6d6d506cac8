"""The default of an application, framework by framework: what counts as a requirement of a route's own, and as public.

`tests/contract/test_default.py` holds what all frameworks share.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fastapi
import flask
import flask.views
import litestar
import litestar.testing
import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from hexclave_integrations import ConfigurationError
from hexclave_integrations import fastapi as for_fastapi
from hexclave_integrations import flask as for_flask
from hexclave_integrations import litestar as for_litestar
from hexclave_integrations import starlette as for_starlette
from hexclave_integrations.supabase import SupabaseSigner
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

from .._webhooks import SECRET, event

SIGNER = SupabaseSigner("a secret that is long enough for HS256")
HOOKS = "/webhooks/hexclave"


class World:
    """A sandbox, and the three callers that the tests tell apart."""

    def __init__(self) -> None:
        self.sandbox = Sandbox()
        alice = self.sandbox.create_user()
        self.user = dict(self.sandbox.headers(alice))
        self.key = {"x-api-key": str(getattr(self.sandbox.create_api_key(alice), "value", ""))}

    def statuses(self, ask: Callable[[dict[str, str]], int]) -> tuple[int, int, int]:
        """What nobody, a user and an API key get."""
        return ask({}), ask(self.user), ask(self.key)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "style.css").write_text("body {}")
    return tmp_path


DEFAULT = (401, 200, 401)
"""What a route answers that asks `require_user` by default."""
OPEN = (200, 200, 200)
KEY = (401, 401, 200)


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("page")


def view() -> Callable[[Request], Any]:
    """Another endpoint each time: marks are on the function."""

    async def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse("page")

    return endpoint


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("raw")(scope, receive, send)


class TestStarlette:
    """The middleware asks at the router, whatever is mounted there."""

    @pytest.fixture
    def ask(self, world: World, folder: Path) -> Iterator[Callable[..., tuple[int, int, int]]]:
        adapter = for_starlette
        key = adapter.require_api_key(view())

        @functools.wraps(key)
        async def look_alike(request: Request) -> PlainTextResponse:
            return PlainTextResponse("leak")

        @functools.wraps(adapter.public(view()))
        async def look_public(request: Request) -> PlainTextResponse:
            return PlainTextResponse("leak")

        class Endpoint(HTTPEndpoint):
            async def get(self, request: Request) -> PlainTextResponse:
                return PlainTextResponse("page")

            @adapter.require_api_key
            async def post(self, request: Request) -> PlainTextResponse:
                return PlainTextResponse("page")

            @adapter.public
            async def put(self, request: Request) -> PlainTextResponse:
                return PlainTextResponse("page")

        @adapter.public
        class Public(HTTPEndpoint):
            async def get(self, request: Request) -> PlainTextResponse:
                return PlainTextResponse("page")

        class Heir(Public):
            pass

        def inner() -> list[Any]:
            return [
                Route("/page", view()),
                Route("/public", adapter.public(view())),
                adapter.webhook_route(Webhooks([SECRET])),
                adapter.supabase_route(SIGNER),
            ]

        guarded = [Middleware(GZipMiddleware), Middleware(adapter.require_api_key.guard)]
        own = Middleware(adapter.HexclaveMiddleware, config=world.sandbox.config)
        lax = Middleware(
            adapter.HexclaveMiddleware, config=world.sandbox.config, default=adapter.require_user.allow(api_key=True)
        )
        routes = [
            Route("/page", view()),
            Route("/public", adapter.public(view())),
            Route("/key", key),
            Route("/both", adapter.require_api_key(adapter.public(view()))),
            Route("/look_alike", look_alike),
            Route("/look_public", look_public),
            Route("/endpoint", Endpoint),
            Route("/class", Public),
            Route("/heir", Heir),
            Mount("/routes", routes=inner()),
            Mount("/zipped", routes=inner(), middleware=[Middleware(GZipMiddleware)]),
            Mount("/guarded", routes=inner(), middleware=guarded),
            Mount("/guarded-raw", app=adapter.require_api_key.guard(raw)),
            Mount("/app", app=Starlette(routes=inner())),
            Mount("/deep", routes=[Mount("/er", app=Starlette(routes=inner()))]),
            Mount("/own", app=Starlette(routes=inner(), middleware=[own])),
            Mount("/lax", app=Starlette(routes=inner(), middleware=[lax])),
            Mount("/raw", app=raw),
            Mount("/default", app=Router(inner(), default=raw)),
            Mount("/public-app", app=adapter.public(Starlette(routes=inner()))),
            Mount("/static", app=StaticFiles(directory=folder)),
            Mount("/assets", app=adapter.public(StaticFiles(directory=folder))),
            Host("other.test", app=Router(inner())),
        ]
        middleware = [
            Middleware(adapter.HexclaveMiddleware, config=world.sandbox.config, default=adapter.require_user),
            Middleware(CORSMiddleware, allow_origins=["https://site.test"]),
        ]
        with TestClient(Starlette(routes=routes, middleware=middleware)) as client:

            def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, int, int]:
                return world.statuses(
                    lambda credentials: client.request(method, path, headers={**credentials, **headers}).status_code
                )

            yield ask

    def test_marks_and_look_alikes(self, ask: Any) -> None:
        """A function that only copied the attributes of a guarded or a public one is guarded by the default."""
        assert ask("/page") == DEFAULT
        assert ask("/page", "HEAD") == DEFAULT
        assert ask("/public") == OPEN
        assert ask("/key") == ask("/both") == KEY
        assert ask("/look_alike") == ask("/look_public") == DEFAULT

    def test_classes(self, ask: Any) -> None:
        """Method by method; the mark of a class is not inherited."""
        assert [ask("/endpoint", method) for method in ("GET", "HEAD", "POST", "PUT")] == [DEFAULT, DEFAULT, KEY, OPEN]
        assert ask("/endpoint", "DELETE") == (405, 405, 405)
        assert ask("/class") == OPEN
        assert ask("/heir") == DEFAULT

    @pytest.mark.parametrize("mount", ["/routes", "/zipped", "/app", "/deep/er", "/own", "/default"])
    def test_mounts(self, ask: Any, mount: str) -> None:
        """Routes of mounted applications are routes like others, also where those have a Hexclave of their own."""
        assert ask(mount + "/page") == DEFAULT
        assert ask(mount + "/public") == OPEN
        assert ask(mount + HOOKS, "POST") == (400, 400, 400)
        assert ask(mount + "/supabase-token") == DEFAULT
        assert ask(mount + "/none") == (DEFAULT if mount == "/default" else (404, 404, 404))

    def test_mounts_that_decide(self, ask: Any) -> None:
        """What guards or marks a mount decides for all of it; what cannot be looked into is one endpoint."""
        assert ask("/guarded/page") == ask("/guarded/public") == ask("/guarded-raw/x") == KEY
        assert ask("/raw") == ask("/raw/x/y") == DEFAULT
        assert ask("/public-app/page") == OPEN
        assert ask("/public-app/supabase-token") == DEFAULT
        assert ask("/lax/page") == (401, 200, 200)
        assert ask("/static/style.css") == DEFAULT
        assert ask("/assets/style.css") == OPEN
        assert ask("/page", host="other.test") == DEFAULT
        assert ask("/public", host="other.test") == OPEN

    def test_what_runs_no_endpoint(self, ask: Any) -> None:
        """404, 405, redirects, and preflights of CORS."""
        assert ask("/none") == (404, 404, 404)
        assert ask("/page", "POST") == (405, 405, 405)
        preflight = {"origin": "https://site.test", "access-control-request-method": "GET"}
        assert ask("/page", "OPTIONS", **preflight) == OPEN

    def test_around_an_application(self, world: World) -> None:
        """The middleware may stand around an application, or around one that is no Starlette at all."""
        inner = Starlette(routes=[Route("/page", view()), Route("/public", for_starlette.public(view()))])
        for app, expected in ((inner, [DEFAULT, OPEN]), (raw, [DEFAULT, DEFAULT])):
            wrapped = for_starlette.HexclaveMiddleware(app, world.sandbox.config, default=for_starlette.require_user)
            client = TestClient(wrapped)
            callers: list[dict[str, str]] = [{}, world.user, world.key]
            found = [
                tuple(client.get(path, headers=headers).status_code for headers in callers)
                for path in ("/page", "/public")
            ]
            assert found == expected

    def test_on_a_single_route(self, world: World) -> None:
        """As the middleware of one route, where the router has done its work already, it asks there."""
        own = Middleware(
            for_starlette.HexclaveMiddleware, config=world.sandbox.config, default=for_starlette.require_user
        )
        client = TestClient(Starlette(routes=[Route("/page", view(), middleware=[own]), Route("/other", view())]))
        assert world.statuses(lambda headers: client.get("/page", headers=headers).status_code) == DEFAULT
        assert world.statuses(lambda headers: client.get("/other", headers=headers).status_code) == OPEN

    def test_classes_of_the_application(self, world: World) -> None:
        """A route, router or mounted application that does more than Starlette's own is one endpoint."""

        class Everything(Route):
            async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
                await raw(scope, receive, send)

        class Elsewhere(Mount):
            async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
                await raw(scope, receive, send)

        class Short(Starlette):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                await raw(scope, receive, send)

        class Cut(Router):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                await raw(scope, receive, send)

        routes = [
            Everything("/every", for_starlette.optional_user(view())),
            Mount("/short", app=Short()),
            Mount("/cut", app=Cut()),
            Elsewhere("/elsewhere", routes=[Route("/x", for_starlette.optional_user(view()))]),
        ]
        middleware = [
            Middleware(
                for_starlette.HexclaveMiddleware, config=world.sandbox.config, default=for_starlette.require_user
            )
        ]
        client = TestClient(Starlette(routes=routes, middleware=middleware))
        for method, path in (("POST", "/every"), ("GET", "/short/x"), ("GET", "/cut/x"), ("GET", "/elsewhere/x")):
            callers: list[dict[str, str]] = [{}, world.user, world.key]
            found = [client.request(method, path, headers=headers).status_code for headers in callers]
            assert (path, *found) == (path, *DEFAULT)

    def test_the_user(self, world: World) -> None:
        """`request.user` is who the default has let through."""

        async def who(request: Request) -> PlainTextResponse:
            return PlainTextResponse(type(request.user).__name__)

        guard = for_starlette.require_api_key
        middleware = [Middleware(for_starlette.HexclaveMiddleware, config=world.sandbox.config, default=guard)]
        client = TestClient(Starlette(routes=[Route("/who", who)], middleware=middleware))
        assert client.get("/who", headers=world.key).text == "HexclaveApiKey"

    def test_a_setting_that_the_default_needs(self, world: World) -> None:
        """Without a server key, a default that needs one stops the start."""
        import dataclasses

        config = dataclasses.replace(world.sandbox.config, secret_server_key=None)
        middleware = Middleware(
            for_starlette.HexclaveMiddleware, config=config, default=for_starlette.require_user.live()
        )
        with pytest.raises(ConfigurationError, match="server_key"), TestClient(Starlette(middleware=[middleware])):
            pass

    def test_routers_that_call_no_guard(self, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
        """A version of Starlette whose routers do not call their middleware does not start to serve."""
        from hexclave_integrations._asgi import default

        default._check_version.cache_clear()
        monkeypatch.setattr(Router, "__call__", raw)
        middleware = [
            Middleware(
                for_starlette.HexclaveMiddleware, config=world.sandbox.config, default=for_starlette.require_user
            )
        ]
        app = Starlette(routes=[Route("/page", page)], middleware=middleware)
        with pytest.raises(ConfigurationError, match="this version of Starlette"):
            TestClient(app).get("/page", headers=world.user)
        default._check_version.cache_clear()


class TestFastAPI:
    """FastAPI: what its tree of dependencies shows, and what nothing can see at the start."""

    def test_spellings_that_cannot_be_seen(self, world: World) -> None:
        """A dependency that hands a requirement back applies it to nobody: the default is asked all the same."""
        held = SimpleNamespace(guards={"user": for_fastapi.require_user})

        async def hands_back(request: fastapi.Request) -> Any:
            return getattr(held, "guards")["user"]  # noqa: B009  # as nobody sees it

        def answers(guard: Any = fastapi.Depends(hands_back)) -> str:  # noqa: B008  # FastAPI's own spelling
            return "leak" if guard else ""

        def app(**options: Any) -> Any:
            app = fastapi.FastAPI()
            for_fastapi.Hexclave(app, world.sandbox.config, **options)
            app.get("/page", dependencies=[fastapi.Depends(hands_back)])(lambda: "leak")
            app.get("/parameter")(answers)
            return app

        with TestClient(app()) as client:
            assert client.get("/page").status_code == 200  # the hole that the default closes
        with TestClient(app(default=for_fastapi.require_user)) as client:
            for path in ("/page", "/parameter"):
                found = [client.get(path, headers=headers).status_code for headers in ({}, world.user, world.key)]
                assert (path, *found) == (path, *DEFAULT)

    def test_routes_of_every_kind(self, world: World, folder: Path) -> None:
        """Included routers, classes of routes, plain routes, mounts, files, pages of the description, late routes."""
        adapter = for_fastapi

        class Eager(fastapi.routing.APIRoute):
            def get_route_handler(self) -> Any:
                async def handler(request: Request) -> PlainTextResponse:
                    return PlainTextResponse("leak")

                return handler

        eager = fastapi.APIRouter(route_class=Eager)
        eager.get("/eager", dependencies=[fastapi.Depends(adapter.require_user)])(lambda: "page")
        router = fastapi.APIRouter()
        router.get("/page")(lambda: "page")
        router.get("/public")(adapter.public(lambda: "page"))
        router.get("/key", dependencies=[fastapi.Depends(adapter.require_api_key)])(lambda: "page")
        router.include_router(eager)
        keyed = fastapi.APIRouter(dependencies=[fastapi.Depends(adapter.require_api_key)])
        keyed.get("/page")(lambda: "page")
        sub = fastapi.FastAPI()
        sub.include_router(router)
        app = fastapi.FastAPI()
        app.get("/before")(lambda: "page")
        adapter.Hexclave(app, world.sandbox.config, default=adapter.require_user)
        app.include_router(router, prefix="/in")
        app.include_router(keyed, prefix="/keyed")
        app.include_router(adapter.webhook_router(Webhooks([SECRET])))
        app.include_router(adapter.supabase_router(SIGNER))
        app.add_route("/plain", view())
        app.mount("/sub", sub)
        app.mount("/static", StaticFiles(directory=folder))
        app.mount("/assets", adapter.public(StaticFiles(directory=folder)))
        with TestClient(app) as client:
            app.get("/late")(lambda: "page")

            def ask(path: str, method: str = "GET") -> tuple[int, int, int]:
                return world.statuses(lambda headers: client.request(method, path, headers=headers).status_code)

            for path in ("/before", "/in/page", "/in/eager", "/plain", "/sub/page", "/static/style.css", "/late"):
                assert (path, *ask(path)) == (path, *DEFAULT)
            for path in ("/in/public", "/sub/public", "/assets/style.css", "/docs", "/redoc", "/openapi.json"):
                assert (path, *ask(path)) == (path, *OPEN)
            for path in ("/in/key", "/keyed/page", "/sub/key"):
                assert (path, *ask(path)) == (path, *KEY)
            assert ask("/sub/docs") == OPEN
            assert ask("/supabase-token") == DEFAULT
            assert ask("/in/page", "POST") == (405, 405, 405)
            assert ask("/none") == ask("/sub/none") == (404, 404, 404)
            body, headers = event()
            assert client.post(HOOKS, content=body, headers=headers).status_code == 200

    def test_files_of_a_frontend(self, world: World, folder: Path) -> None:
        """FastAPI tries them after all routes: a route is not taken for a file, nor a file for a route."""
        if not hasattr(fastapi.APIRouter, "frontend"):
            pytest.skip("this version of FastAPI has none")
        router: Any = fastapi.APIRouter(dependencies=[fastapi.Depends(for_fastapi.optional_user)])
        router.frontend("/", directory=str(folder))
        app = fastapi.FastAPI()
        for_fastapi.Hexclave(app, world.sandbox.config, default=for_fastapi.require_user)
        app.include_router(router)
        app.get("/page")(lambda: "page")
        own: Any = app.router
        own.frontend("/more", directory=str(folder))
        with TestClient(app) as client:
            for path, expected in {"/style.css": 200, "/page": 401, "/more/style.css": 401}.items():
                assert (path, client.get(path).status_code) == (path, expected)

    def test_the_description(self, world: World) -> None:
        """It names the scheme and the refusals of a route that asks by default, and of no public one."""
        app = fastapi.FastAPI()
        router = fastapi.APIRouter()
        router.get("/page")(lambda: "page")
        router.get("/public")(for_fastapi.public(lambda: "page"))
        app.include_router(router, prefix="/in")
        for_fastapi.Hexclave(app, world.sandbox.config, default=for_fastapi.require_user)
        schema = app.openapi()
        assert app.openapi() == schema
        guarded, public = schema["paths"]["/in/page"]["get"], schema["paths"]["/in/public"]["get"]
        assert guarded["security"] == [{"Hexclave access token": []}]
        assert {"401", "403", "503"} <= guarded["responses"].keys()
        assert "security" not in public
        assert "401" not in public["responses"]
        assert "Hexclave access token" in schema["components"]["securitySchemes"]

    def test_an_override(self, world: World) -> None:
        """A test that puts somebody in for `require_user` puts them in for the default."""
        app = fastapi.FastAPI()
        for_fastapi.Hexclave(app, world.sandbox.config, default=for_fastapi.require_user)
        app.get("/page")(lambda: "page")

        def refuse() -> None:
            raise fastapi.HTTPException(418)

        with TestClient(app) as client:
            assert client.get("/page").status_code == 401
            app.dependency_overrides[for_fastapi.require_user] = lambda: "somebody"
            assert client.get("/page").status_code == 200
            app.dependency_overrides[for_fastapi.require_user] = refuse
            assert client.get("/page").status_code == 418
            app.dependency_overrides[for_fastapi.require_user] = lambda request: "somebody"
            assert client.get("/page").status_code == 401


class TestFlask:
    """Flask: views, classes of views, checks of blueprints, static files."""

    @pytest.fixture
    def ask(self, world: World, folder: Path) -> Callable[..., tuple[int, int, int]]:
        adapter = for_flask
        app = flask.Flask("default", static_folder=str(folder), static_url_path="/static")
        seen: list[str] = []
        app.before_request(lambda: seen.append("before"))
        adapter.Hexclave(app, world.sandbox.config, default=adapter.require_user)

        def view() -> Any:
            return lambda: "page"

        key: Any = adapter.require_api_key(view())

        @functools.wraps(key)
        def look_alike() -> str:
            return "leak"

        class Methods(flask.views.MethodView):
            def get(self) -> str:
                return "page"

            @adapter.require_api_key
            def post(self) -> str:
                return "page"

            @adapter.public
            def put(self) -> str:
                return "page"

        @adapter.public
        class Public(flask.views.View):
            def dispatch_request(self) -> str:
                return "page"

        class Heir(Public):
            pass

        class Decorated(Heir):
            decorators = [adapter.require_api_key]  # noqa: RUF012  # Flask's way

        views = {
            "page": view(),
            "public": adapter.public(view()),
            "key": key,
            "look_alike": look_alike,
            "methods": Methods.as_view("methods"),
            "class": Public.as_view("class"),
            "heir": Heir.as_view("heir"),
            "decorated": Decorated.as_view("decorated"),
        }
        for name, function in views.items():
            app.add_url_rule(f"/{name}", name, function)
        fake = flask.Blueprint("fake", "fake")
        fake.add_url_rule("/fake/<path:filename>", "static", lambda filename: "leak")
        outer = flask.Blueprint("outer", "outer", url_prefix="/outer", static_folder=str(folder))
        inner = flask.Blueprint("inner", "inner", url_prefix="/inner")
        keyed = flask.Blueprint("keyed", "keyed", url_prefix="/keyed")
        keyed.before_request(adapter.require_api_key.check)
        for blueprint in (inner, keyed):
            blueprint.add_url_rule("/page", "page", view())
        outer.register_blueprint(inner)
        keyed.register_blueprint(inner, name="again")
        for blueprint in (fake, outer, keyed, adapter.webhook_blueprint(Webhooks([SECRET]), HOOKS)):
            app.register_blueprint(blueprint)
        app.register_blueprint(adapter.supabase_blueprint(SIGNER))
        client = app.test_client()

        def ask(path: str, method: str = "GET") -> tuple[int, int, int]:
            return world.statuses(
                lambda headers: client.open(path, method=method, headers=headers, buffered=True).status_code
            )

        assert client.get("/page").status_code == 401
        assert seen == []  # the default comes before everything else
        return ask

    def test_views(self, ask: Any) -> None:
        """A view that only copied the attributes of a guarded one is guarded by the default."""
        assert ask("/page") == ask("/page", "HEAD") == ask("/look_alike") == DEFAULT
        assert ask("/public") == OPEN
        assert ask("/key") == KEY
        assert ask("/page", "OPTIONS") == OPEN

    def test_classes(self, ask: Any) -> None:
        """Method by method; the mark of a class is not inherited."""
        assert [ask("/methods", method) for method in ("GET", "HEAD", "POST", "PUT")] == [DEFAULT, DEFAULT, KEY, OPEN]
        assert ask("/class") == OPEN
        assert ask("/heir") == DEFAULT
        assert ask("/decorated") == KEY

    def test_blueprints(self, ask: Any) -> None:
        """Nested ones too; a blueprint's check is a requirement of its routes."""
        assert ask("/outer/inner/page") == DEFAULT
        assert ask("/keyed/page") == ask("/keyed/inner/page") == KEY
        assert ask(HOOKS, "POST") == (400, 400, 400)
        assert ask("/supabase-token") == DEFAULT

    def test_static_files(self, ask: Any) -> None:
        """Flask's own are for everybody; an endpoint of the same name is not."""
        assert ask("/static/style.css") == OPEN
        assert ask("/fake/style.css") == DEFAULT

    def test_what_runs_no_view(self, ask: Any) -> None:
        """404 and 405."""
        assert ask("/none") == (404, 404, 404)
        assert ask("/page", "POST") == (405, 405, 405)

    def test_a_default_that_comes_last(self, world: World) -> None:
        """Functions that were registered first come after it all the same."""
        app, seen = flask.Flask("order"), list[str]()
        app.before_request_funcs.setdefault(None, []).insert(0, lambda: seen.append("before"))
        for_flask.Hexclave(app, world.sandbox.config, default=for_flask.require_user)
        app.before_request_funcs[None].insert(0, lambda: "an answer")
        app.get("/page")(lambda: "page")
        assert app.test_client().get("/page").status_code == 401
        assert seen == []


class TestLitestar:
    """Litestar: guards of handlers, controllers and routers."""

    def test_handlers(self, world: World, folder: Path) -> None:
        """Of all kinds; `opt` marks what no decorator reaches."""
        from litestar.static_files import create_static_files_router

        adapter = for_litestar

        @litestar.get("/page")
        async def page() -> str:
            return "page"

        @litestar.get("/thread", sync_to_thread=True)
        def thread() -> str:
            return "page"

        @litestar.get("/public")
        @adapter.public
        async def public() -> str:
            return "page"

        @litestar.get("/public-thread", sync_to_thread=True)
        @adapter.public
        def public_thread() -> str:
            return "page"

        @litestar.get("/opt", opt={"hexclave_public": True})
        async def opt() -> str:
            return "page"

        class Controller(litestar.Controller):
            path = "/controller"
            guards = [adapter.require_api_key]  # noqa: RUF012  # Litestar's way

            @litestar.get("/page")
            async def page(self) -> str:
                return "page"

            @litestar.get("/public")
            @adapter.public
            async def public(self) -> str:
                return "page"

        @litestar.asgi("/mounted", is_mount=True, copy_scope=True)
        async def mounted(
            scope: litestar.types.Scope, receive: litestar.types.Receive, send: litestar.types.Send
        ) -> None:
            await raw(scope, receive, send)  # type: ignore[arg-type]  # the same protocol

        handlers: list[Any] = [page, thread, public, public_thread, opt, Controller, mounted]
        handlers += [adapter.webhook_handler(Webhooks([SECRET])), adapter.supabase_handler(SIGNER)]
        handlers.append(create_static_files_router("/static", [folder]))
        handlers.append(create_static_files_router("/assets", [folder], opt={"hexclave_public": True}))
        plugin = adapter.HexclavePlugin(world.sandbox.config, default=adapter.require_user)
        with litestar.testing.TestClient(litestar.Litestar(handlers, plugins=[plugin])) as client:

            def ask(path: str, method: str = "GET") -> tuple[int, int, int]:
                return world.statuses(lambda headers: client.request(method, path, headers=headers).status_code)

            for path in ("/page", "/thread", "/mounted/x", "/static/style.css", "/supabase-token"):
                assert (path, *ask(path)) == (path, *DEFAULT)
            for path in ("/public", "/public-thread", "/opt", "/assets/style.css", "/schema", "/schema/openapi.json"):
                assert (path, *ask(path)) == (path, *OPEN)
            assert ask("/controller/page") == ask("/controller/public") == KEY
            assert ask(HOOKS, "POST") == (400, 400, 400)
            assert ask("/page", "OPTIONS") == (204, 204, 204)
            assert ask("/page", "POST") == (405, 405, 405)
            assert ask("/none") == (404, 404, 404)

    def test_a_cached_page(self, world: World) -> None:
        """A page that Litestar caches inside its guards would show one caller's answer to the next."""

        @litestar.get("/page", cache=True)
        async def page() -> str:
            return "page"

        plugin = for_litestar.HexclavePlugin(world.sandbox.config, default=for_litestar.require_user)
        with pytest.raises(ConfigurationError, match="cached inside its guard"):
            litestar.Litestar([page], plugins=[plugin])


@pytest.mark.parametrize("adapter", [for_fastapi, for_flask, for_litestar, for_starlette])
def test_what_cannot_be_marked(adapter: Any) -> None:
    """A requirement, a value and a built-in function are no endpoints."""
    for wrong in (adapter.require_user, adapter.require_team, None, "page", len):
        with pytest.raises(ConfigurationError, match="public"):
            adapter.public(wrong)
