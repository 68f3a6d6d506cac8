"""FastAPI: what is idiomatic to it, and spellings that would let everybody in; the rest is in the contract table."""

import asyncio
import contextvars
import dataclasses
import functools
import gc
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx2
import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    Security,
    WebSocket,
)
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Host, Mount, Route

import hexclave_integrations.fastapi
from hexclave_integrations import (
    ConfigurationError,
    HexclaveApiKey,
    HexclaveConfig,
    HexclaveUser,
    RequestRefused,
    requirements,
    starlette,
)
from hexclave_integrations.convex import convex_identity
from hexclave_integrations.fastapi import (
    CurrentUser,
    FastAPIRequirement,
    Hexclave,
    OptionalUser,
    optional_user,
    require_api_key,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
)
from hexclave_integrations.testing import Sandbox

PRIVATE = "private, no-store"
VARY = "X-Stack-Access-Token, X-Hexclave-Access-Token, Authorization, X-Stack-Auth, X-Api-Key"
TEAM = "11111111-1111-4111-8111-111111111111"
EXPORT = 'require_permission("{team_id}", "export_reports")'

Build = Callable[[FastAPI], None]


@pytest.fixture
def sandbox() -> Sandbox:
    """A fresh project."""
    return Sandbox()


def new_app(sandbox: Sandbox, **settings: Any) -> FastAPI:
    """An application with Hexclave on it."""
    app = FastAPI()
    Hexclave(app, dataclasses.replace(sandbox.config, **settings))
    return app


def add_me(app: FastAPI | APIRouter, path: str = "/me") -> None:
    """A route for regular users that says who they are."""

    @app.get(path)
    async def me(user: CurrentUser) -> dict[str, str]:
        return {"id": user.id}


def code(response: Any) -> str:
    """The code of a refusal."""
    text: str = response.json()["code"]
    return text


# --- installation -----------------------------------------------------------------------------------------------------


def test_extension_of_the_constructor(sandbox: Sandbox) -> None:
    """`Hexclave(app, config)` makes requirements work, and offers the client behind them."""
    app = FastAPI()
    hexclave = Hexclave(app, sandbox.config)
    add_me(app)
    user = sandbox.create_user()

    with TestClient(app) as client:
        assert {"id": user.id} == client.get("/me", headers=sandbox.headers(user)).json()
    assert sandbox.config.project_id == hexclave.client.config.project_id


def test_init_app(sandbox: Sandbox) -> None:
    """`init_app` installs the extension later, on routes that exist already."""
    app = FastAPI()
    add_me(app)
    Hexclave(config=sandbox.config).init_app(app)
    user = sandbox.create_user()

    with TestClient(app) as client:
        assert client.get("/me", headers=sandbox.headers(user)).status_code == 200
        assert client.get("/me").status_code == 401


def test_configuration_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a config the environment is read, when the application is named and not before."""
    monkeypatch.setenv("STACK_PROJECT_ID", TEAM)
    hexclave = Hexclave()
    monkeypatch.setenv("HEXCLAVE_PROJECT_ID", TEAM.replace("1", "2"))
    hexclave.init_app(FastAPI())

    assert TEAM.replace("1", "2") == hexclave.client.config.project_id


def test_missing_project_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a project id an application can be described and does not start; the error names both variables."""
    monkeypatch.delenv("HEXCLAVE_PROJECT_ID", raising=False)
    monkeypatch.delenv("STACK_PROJECT_ID", raising=False)
    app = FastAPI()
    hexclave = Hexclave(app)
    add_me(app)
    app.get("/key", dependencies=[Depends(require_api_key)])(lambda: None)

    assert {"/me", "/key"} == set(app.openapi()["paths"])
    named = r"HEXCLAVE_PROJECT_ID.*STACK_PROJECT_ID"
    with pytest.raises(ConfigurationError, match=named), TestClient(app):
        pass
    with pytest.raises(ConfigurationError, match=named):
        TestClient(app).get("/me")
    with pytest.raises(ConfigurationError, match=named):
        _ = hexclave.client


@pytest.mark.parametrize("app", [Starlette(), APIRouter(), None, "main:app"], ids=lambda app: type(app).__name__)
def test_init_app_takes_a_fastapi_application(sandbox: Sandbox, app: Any) -> None:
    """Anything but a FastAPI application is a configuration error."""
    with pytest.raises(ConfigurationError, match="takes the FastAPI application"):
        Hexclave(config=sandbox.config).init_app(app)


def test_requirement_without_the_extension() -> None:
    """A requirement on an application without Hexclave lets nobody in and names the fix."""
    app = FastAPI()
    add_me(app)

    with pytest.raises(ConfigurationError, match=r"call Hexclave\(app\)"):
        TestClient(app).get("/me", headers={"x-stack-access-token": "x"})


# --- ways of writing a requirement ------------------------------------------------------------------------------------


def as_parameter(app: FastAPI) -> None:
    add_me(app, "/x")


def as_default(app: FastAPI) -> None:
    @app.get("/x")
    async def view(user: HexclaveUser = Depends(require_user)) -> dict[str, str]:  # noqa: B008
        return {"id": user.id}


def as_security(app: FastAPI) -> None:
    @app.get("/x")
    async def view(user: Annotated[HexclaveUser, Security(require_user)]) -> dict[str, str]:
        return {"id": user.id}


def in_a_sync_view(app: FastAPI) -> None:
    @app.get("/x")
    def view(user: CurrentUser) -> dict[str, str]:
        return {"id": user.id}


def uncached(app: FastAPI) -> None:
    @app.get("/x", dependencies=[Depends(require_user, use_cache=False)])
    async def view(user: Annotated[HexclaveUser, Depends(require_user, use_cache=False)]) -> dict[str, str]:
        return {"id": user.id}


def on_the_route(app: FastAPI) -> None:
    @app.get("/x", dependencies=[Depends(require_user)])
    async def view() -> None: ...


def on_the_router(app: FastAPI) -> None:
    router = APIRouter(dependencies=[Depends(require_user)])

    @router.get("/x")
    async def view() -> None: ...

    app.include_router(router)


def on_the_inclusion(app: FastAPI) -> None:
    router = APIRouter()

    @router.get("/x")
    async def view() -> None: ...

    app.include_router(router, dependencies=[Depends(require_user)])


def on_an_outer_inclusion(app: FastAPI) -> None:
    inner, outer = APIRouter(), APIRouter()

    @inner.get("/x")
    async def view() -> None: ...

    outer.include_router(inner)
    app.include_router(outer, dependencies=[Depends(require_user)])


def on_the_application(app: FastAPI) -> None:
    app.router.dependencies.append(Depends(require_user))

    @app.get("/x")
    async def view() -> None: ...


def in_a_dependency(app: FastAPI) -> None:
    async def name_of(user: CurrentUser) -> str:
        return user.id

    async def greeting(name: Annotated[str, Depends(name_of)]) -> str:
        return f"Hello {name}"

    @app.get("/x")
    async def view(text: Annotated[str, Depends(greeting)]) -> str:
        return text


def in_a_dependency_class(app: FastAPI) -> None:
    class Page:
        def __init__(self, user: CurrentUser, size: int = 10) -> None:
            self.owner = user.id

    @app.get("/x")
    async def view(page: Annotated[Page, Depends()]) -> str:
        return page.owner


def called_by_hand(app: FastAPI) -> None:
    async def guard(request: Request) -> HexclaveUser:
        user: HexclaveUser = await require_user(request)
        return user

    @app.get("/x", dependencies=[Depends(guard)])
    async def view() -> None: ...


WAYS: list[Build] = [
    as_parameter,
    as_default,
    as_security,
    in_a_sync_view,
    uncached,
    on_the_route,
    on_the_router,
    on_the_inclusion,
    on_an_outer_inclusion,
    on_the_application,
    in_a_dependency,
    in_a_dependency_class,
    called_by_hand,
]


@pytest.mark.parametrize("build", WAYS, ids=lambda build: build.__name__)
def test_every_way_of_writing_a_requirement(sandbox: Sandbox, build: Build) -> None:
    """Wherever FastAPI takes a dependency, a requirement refuses nobody, forgeries and restricted users."""
    app = new_app(sandbox)
    build(app)
    restricted, user = sandbox.create_user("restricted"), sandbox.create_user()

    with TestClient(app) as client:
        assert client.get("/x").status_code == 401
        assert client.get("/x", headers={"x-stack-access-token": "a.b.c"}).status_code == 401
        assert client.get("/x", headers=sandbox.headers(restricted)).status_code == 403
        assert client.get("/x", headers=sandbox.headers(user)).status_code == 200


def test_verified_once_per_request(sandbox: Sandbox) -> None:
    """Different requirements of one request get the very same user, with no cache of tokens to help."""
    app = new_app(sandbox, token_cache_size=0)
    lenient = require_user.allow(anonymous=True)

    @app.get("/same", dependencies=[Depends(optional_user), Depends(lenient)])
    async def same(one: CurrentUser, other: Annotated[HexclaveUser, Depends(lenient)]) -> bool:
        return one is other

    with TestClient(app) as client:
        assert client.get("/same", headers=sandbox.headers(sandbox.create_user())).json() is True


def test_live_confirmed_once_per_request(sandbox: Sandbox) -> None:
    """Equal requirements, wherever they were made, are one dependency to FastAPI."""
    app = new_app(sandbox)

    async def nested(user: Annotated[HexclaveUser, Depends(require_user.live())]) -> str:
        return user.id

    @app.get("/live", dependencies=[Depends(require_user.live())])
    async def live(name: Annotated[str, Depends(nested)]) -> str:
        return name

    with TestClient(app) as client:
        assert client.get("/live", headers=sandbox.headers(sandbox.create_user())).status_code == 200
    assert sandbox.count("/auth/sessions") == 1


@pytest.mark.parametrize(
    "path",
    ["/teams/{team_id}/x", "/teams/{team_id:uuid}/x", "/teams/{team_id:path}/x"],
    ids=["plain", "uuid converter", "path converter"],
)
@pytest.mark.parametrize("place", ["route", "inclusion", "router", "mount"])
def test_route_parameter(sandbox: Sandbox, path: str, place: str) -> None:
    """A `"{team_id}"` is found in the route, in a router's prefix and in a mount path, with any converter."""
    app = new_app(sandbox)
    prefix, rest = path.rsplit("/", 1)
    guard = [Depends(require_permission("{team_id}", "export_reports"))]

    async def view() -> str:
        return "in"

    if place == "mount":
        if ":path" in path:
            pytest.skip("a mount path ends at the next slash")
        sub = FastAPI()
        sub.get(f"/{rest}", dependencies=guard)(view)
        app.mount(prefix, sub)
    elif place == "route":
        app.get(path, dependencies=guard)(view)
    else:
        router = APIRouter(prefix=prefix if place == "router" else "", dependencies=guard)
        router.get(f"/{rest}")(view)
        app.include_router(router, prefix=prefix if place == "inclusion" else "")
    user, team, other = sandbox.create_user(), sandbox.create_team(), sandbox.create_team()
    sandbox.grant(user, "export_reports", team=team)

    with TestClient(app) as client:
        statuses = [client.get(f"/teams/{t.id}/x", headers=sandbox.headers(user)).status_code for t in (team, other)]
    assert statuses == [200, 403]


def test_callable_team_takes_the_request(sandbox: Sandbox) -> None:
    """A callable team reference gets the request, and may be a coroutine function."""
    app = new_app(sandbox)

    async def from_header(request: Request) -> str | None:
        return request.headers.get("x-team")

    @app.get("/x", dependencies=[Depends(require_team(from_header))])
    async def view() -> str:
        return "in"

    user, team = sandbox.create_user(), sandbox.create_team()
    sandbox.add_member(team, user)
    headers = sandbox.headers(user)

    with TestClient(app) as client:
        assert client.get("/x", headers=headers | {"x-team": team.id}).status_code == 200
        assert code(client.get("/x", headers=headers | {"x-team": TEAM})) == "TEAM_MEMBERSHIP_REQUIRED"
        assert code(client.get("/x", headers=headers)) == "TEAM_MEMBERSHIP_REQUIRED"


def test_optional_user(sandbox: Sandbox) -> None:
    """`OptionalUser` is None for nobody, the user for somebody, and never None for a bad token."""
    app = new_app(sandbox)

    @app.get("/hello")
    async def hello(user: OptionalUser) -> str | None:
        return None if user is None else user.kind

    with TestClient(app) as client:
        assert client.get("/hello").json() is None
        assert client.get("/hello", headers=sandbox.headers(sandbox.create_user("anonymous"))).json() == "anonymous"
        assert client.get("/hello", headers={"authorization": "Bearer x.y.z"}).status_code == 401


def test_validation_comes_after_the_requirement(sandbox: Sandbox) -> None:
    """Strangers with a bad body learn that they are strangers, not what the body should be."""
    app = new_app(sandbox)

    @app.post("/reports", dependencies=[Depends(require_user)])
    async def create(report: dict[str, int]) -> None: ...

    with TestClient(app) as client:
        assert client.post("/reports", json={"title": "x"}).status_code == 401
        headers = sandbox.headers(sandbox.create_user())
        assert client.post("/reports", json={"title": "x"}, headers=headers).status_code == 422


def test_dependency_overrides(sandbox: Sandbox) -> None:
    """Tests may override a requirement; only equal requirements are overridden."""
    app = new_app(sandbox)
    add_me(app)

    @app.get("/project", dependencies=[Depends(require_project_permission("access_admin_dashboard"))])
    async def project() -> None: ...

    fake = HexclaveUser(id="fake", kind="regular", project_id=TEAM)
    app.dependency_overrides[require_user] = lambda: fake

    with TestClient(app) as client:
        assert client.get("/me").json() == {"id": "fake"}
        assert client.get("/project").status_code == 401


def test_overriding_by_something_unusable_lets_nobody_in(sandbox: Sandbox) -> None:
    """An override that is itself a misuse fails."""
    app = new_app(sandbox)
    add_me(app)
    app.dependency_overrides[require_user] = require_permission

    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/me").status_code == 500


class Page(BaseModel):
    """A response with a user in it."""

    owner: HexclaveUser
    anything: Any


@dataclasses.dataclass
class Parcel:
    """A response of the standard library's with a user in it."""

    owner: Any


def test_user_as_response_shows_public_fields_only(sandbox: Sandbox) -> None:
    """However a route returns a user, annotated or not and at any depth, it is written without claims and session."""
    app = new_app(sandbox)

    @app.get("/plain")
    async def plain(user: CurrentUser):  # type: ignore[no-untyped-def]
        return user

    @app.get("/dict")
    async def in_a_dict(user: CurrentUser):  # type: ignore[no-untyped-def]
        return {"user": [user]}

    @app.get("/any")
    async def anything(user: CurrentUser) -> Any:
        return user

    @app.get("/any dict")
    async def in_any_dict(user: CurrentUser) -> dict[str, Any]:
        return {"user": [user]}

    @app.get("/page")
    async def page(user: CurrentUser) -> Page:
        return Page(owner=user, anything=user)

    @app.get("/plain page")
    async def plain_page(user: CurrentUser):  # type: ignore[no-untyped-def]
        return Page(owner=user, anything={"user": user})

    @app.get("/parcel")
    async def parcel(user: CurrentUser):  # type: ignore[no-untyped-def]
        return Parcel(user)

    @app.get("/annotated parcel")
    async def annotated_parcel(user: CurrentUser) -> Parcel:
        return Parcel(user)

    @app.get("/optional")
    async def optional(user: OptionalUser) -> HexclaveUser | None:
        return user

    @app.get("/model", response_model=HexclaveUser)
    async def model(user: CurrentUser) -> Any:
        return user

    @app.get("/list")
    async def annotated(user: CurrentUser) -> list[HexclaveUser]:
        return [user]

    user = sandbox.create_user(display_name="Alice", primary_email="alice@example.com")
    expected = {
        "id": user.id,
        "kind": "regular",
        "display_name": "Alice",
        "primary_email": "alice@example.com",
        "primary_email_verified": False,
        "selected_team_id": None,
    }
    with TestClient(app) as client:
        for path, answer in {
            "/model": expected,
            "/list": [expected],
            "/plain": expected,
            "/dict": {"user": [expected]},
            "/any": expected,
            "/any dict": {"user": [expected]},
            "/page": {"owner": expected, "anything": expected},
            "/plain page": {"owner": expected, "anything": {"user": expected}},
            "/parcel": {"owner": expected},
            "/annotated parcel": {"owner": expected},
            "/optional": expected,
        }.items():
            assert (path, answer) == (path, client.get(path, headers=sandbox.headers(user)).json())


def test_api_key_as_response_shows_public_fields_only(sandbox: Sandbox) -> None:
    """An API key is written without its description and end."""
    app = new_app(sandbox)

    @app.get("/key")
    async def view(key: Annotated[HexclaveApiKey, Depends(require_api_key)]) -> HexclaveApiKey:
        return key

    @app.get("/plain")
    async def plain(key: Annotated[HexclaveApiKey, Depends(require_api_key)]):  # type: ignore[no-untyped-def]
        return key

    user = sandbox.create_user()
    key = sandbox.create_api_key(user=user)
    expected = {"id": key.id, "type": "user", "user_id": user.id, "team_id": None}
    with TestClient(app) as client:
        for path in ("/key", "/plain"):
            assert expected == client.get(path, headers={"x-api-key": key.value}).json()


# --- several applications ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fastapi", "starlette"])
def test_mounted_application_shares_the_outer_hexclave(sandbox: Sandbox, kind: str) -> None:
    """Inside of a mounted application a requirement works and answers with the same bytes."""
    app = new_app(sandbox)
    add_me(app)
    if kind == "fastapi":
        sub: Any = FastAPI()
        add_me(sub)
    else:

        @starlette.require_user
        async def me(request: Request) -> Response:
            return JSONResponse({"id": request.user.id})

        sub = Starlette(routes=[Route("/me", me)])
    app.mount("/sub", sub)
    user = sandbox.create_user()

    with TestClient(app) as client:
        inner, outer = client.get("/sub/me"), client.get("/me")
        assert (401, outer.content) == (inner.status_code, inner.content)
        assert (inner.headers["cache-control"], inner.headers["vary"]) == (PRIVATE, VARY)
        assert {"id": user.id} == client.get("/sub/me", headers=sandbox.headers(user)).json()


def test_what_an_endpoint_of_a_mounted_application_asks_later(sandbox: Sandbox) -> None:
    """A question of its own that cannot be answered is the 503 of every other route, and no failure."""
    app, sub = FastAPI(), FastAPI()
    hexclave = Hexclave(app, sandbox.config)

    @app.get("/reports")
    @sub.get("/reports")
    async def reports(user: CurrentUser) -> bool:
        return await hexclave.client.has_permission(user.id, "export_reports")

    app.mount("/sub", sub)
    headers = sandbox.headers(sandbox.create_user())
    with TestClient(app) as client, sandbox.outage():
        inner, outer = client.get("/sub/reports", headers=headers), client.get("/reports", headers=headers)

    assert (503, outer.content) == (inner.status_code, inner.content)


def test_mounted_application_of_another_project(sandbox: Sandbox) -> None:
    """A mounted application with its own Hexclave knows its own project only."""
    other = Sandbox()
    app, sub = new_app(sandbox), new_app(other)
    add_me(app)
    add_me(sub)
    app.mount("/sub", sub)
    ours, theirs = sandbox.create_user(), other.create_user()

    with TestClient(app) as client:
        assert {"id": ours.id} == client.get("/me", headers=sandbox.headers(ours)).json()
        assert {"id": theirs.id} == client.get("/sub/me", headers=other.headers(theirs)).json()
        assert code(client.get("/sub/me", headers=sandbox.headers(ours))) == "INVALID_PROJECT_FOR_ACCESS_TOKEN"
        assert code(client.get("/me", headers=other.headers(theirs))) == "INVALID_PROJECT_FOR_ACCESS_TOKEN"
        assert client.get("/sub/me").status_code == 401


def test_several_applications_in_one_process(sandbox: Sandbox) -> None:
    """Two applications of two projects do not know of each other."""
    other = Sandbox()
    app, second = new_app(sandbox), new_app(other)
    add_me(app)
    add_me(second)
    user = sandbox.create_user()

    with TestClient(app) as client, TestClient(second) as other_client:
        assert client.get("/me", headers=sandbox.headers(user)).status_code == 200
        assert other_client.get("/me", headers=sandbox.headers(user)).status_code == 401


def test_one_hexclave_for_two_applications(sandbox: Sandbox) -> None:
    """Applications that share a Hexclave share its keys, and outlive each other."""
    hexclave = Hexclave(config=sandbox.config)
    app, second = FastAPI(), FastAPI()
    for each in (app, second):
        hexclave.init_app(each)
        add_me(each)
    headers = sandbox.headers(sandbox.create_user())

    with TestClient(app) as client:
        with TestClient(second) as other_client:
            assert other_client.get("/me", headers=headers).status_code == 200
        assert client.get("/me", headers=headers).status_code == 200
    assert sandbox.count("/jwks.json") == 1


# --- exception handlers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [True, False], ids=["before Hexclave", "after Hexclave"])
def test_own_handler_for_refusals_wins(sandbox: Sandbox, before: bool) -> None:
    """An application's own handler for refusals answers, whenever it was registered; caches stay guarded."""
    app = FastAPI()

    async def handler(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestRefused)
        return PlainTextResponse(f"no: {error.code}", error.status)

    if before:
        app.add_exception_handler(RequestRefused, handler)
    Hexclave(app, sandbox.config)
    if not before:
        app.add_exception_handler(RequestRefused, handler)
    add_me(app)

    with TestClient(app) as client:
        response = client.get("/me")
    assert (response.status_code, response.text) == (401, "no: USER_AUTHENTICATION_REQUIRED")
    assert (response.headers["cache-control"], response.headers["vary"]) == (PRIVATE, VARY)


def test_other_handlers_are_left_alone(sandbox: Sandbox) -> None:
    """Handlers for HTTPException, for a status and for everything answer their own errors and no refusal."""
    app = new_app(sandbox)

    async def teapot(request: Request, error: Exception) -> Response:
        return PlainTextResponse("handled", 418)

    for key in (HTTPException, 401, Exception):
        app.add_exception_handler(key, teapot)
    add_me(app)

    @app.get("/raise")
    async def raises() -> None:
        raise HTTPException(409)

    with TestClient(app) as client:
        assert client.get("/raise").status_code == 418
        assert code(client.get("/me")) == "USER_AUTHENTICATION_REQUIRED"


def test_refusal_raised_by_the_view(sandbox: Sandbox) -> None:
    """A view may ask the client itself; what that raises is answered like a requirement."""
    app = FastAPI()
    hexclave = Hexclave(app, sandbox.config)

    @app.get("/x")
    async def view(request: Request) -> None:
        await hexclave.client.authorize(requirements.require_user, None)

    with TestClient(app) as client:
        assert ((r := client.get("/x")).status_code, code(r)) == (401, "USER_AUTHENTICATION_REQUIRED")


# --- other middleware, and caches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cors_outside", [True, False], ids=["CORS outside", "CORS inside"])
def test_cors(sandbox: Sandbox, cors_outside: bool) -> None:
    """A preflight passes without credentials, and refusals carry the CORS headers a browser needs to read them."""
    app = FastAPI()
    if cors_outside:
        Hexclave(app, sandbox.config)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["https://app.example"],
        allow_headers=["x-stack-access-token"],
        allow_credentials=True,
    )
    if not cors_outside:
        Hexclave(app, sandbox.config)
    add_me(app)
    origin = {"origin": "https://app.example"}
    asks = {"access-control-request-method": "GET", "access-control-request-headers": "x-stack-access-token"}

    with TestClient(app) as client:
        preflight = client.options("/me", headers=origin | asks)
        refused = client.get("/me", headers=origin)
        allowed = client.get("/me", headers=origin | sandbox.headers(sandbox.create_user()))
    assert [preflight.status_code, refused.status_code, allowed.status_code] == [200, 401, 200]
    for response in (preflight, refused, allowed):
        assert response.headers["access-control-allow-origin"] == "https://app.example"
    for response in (refused, allowed):
        assert {"Origin", *VARY.split(", ")} == set(response.headers["vary"].split(", "))
    assert "cache-control" not in preflight.headers


def test_options_of_a_guarded_route_asks_nothing(sandbox: Sandbox) -> None:
    """A plain OPTIONS is FastAPI's to answer, as without Hexclave."""
    app = new_app(sandbox)
    add_me(app)

    with TestClient(app) as client:
        response = client.options("/me")
    assert (response.status_code, response.headers.get("cache-control")) == (405, None)


def add_cached_routes(app: FastAPI) -> None:
    """Routes that differ in what they say of caches."""
    router = APIRouter(prefix="/guarded", dependencies=[Depends(require_user)])

    @app.api_route("/me", methods=["GET", "HEAD"], dependencies=[Depends(require_user)])
    async def me() -> str:
        return "in"

    @app.get("/varying", dependencies=[Depends(require_user)])
    async def varying(response: Response) -> str:
        response.headers["Vary"] = "Accept-Language, authorization"
        return "in"

    @app.get("/star", dependencies=[Depends(require_user)])
    async def star(response: Response) -> str:
        response.headers["Vary"] = "*"
        return "in"

    @app.get("/explicit", dependencies=[Depends(require_user)])
    async def explicit(response: Response) -> str:
        response.headers["Cache-Control"] = "private, max-age=60"
        return "in"

    @app.get("/stream", dependencies=[Depends(require_user)])
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter(["i", "n"]))

    @router.get("/missing")
    async def missing() -> None:
        raise HTTPException(404)

    @app.get("/public")
    async def public() -> str:
        return "in"

    app.include_router(router)


MERGED = "Accept-Language, authorization, X-Stack-Access-Token, X-Hexclave-Access-Token, X-Stack-Auth, X-Api-Key"


@pytest.mark.parametrize(
    ("method", "path", "status", "cache_control", "vary"),
    [
        pytest.param("GET", "/me", 200, PRIVATE, VARY, id="let in"),
        pytest.param("HEAD", "/me", 200, PRIVATE, VARY, id="head"),
        pytest.param("GET", "/varying", 200, PRIVATE, MERGED, id="own Vary is kept"),
        pytest.param("GET", "/star", 200, PRIVATE, "*", id="Vary: * says it all"),
        pytest.param("GET", "/explicit", 200, "private, max-age=60", VARY, id="own Cache-Control is kept"),
        pytest.param("GET", "/stream", 200, PRIVATE, VARY, id="streaming"),
        pytest.param("GET", "/guarded/missing", 404, PRIVATE, VARY, id="404 of a guarded view"),
        pytest.param("GET", "/guarded/nowhere", 404, None, None, id="404 of no route"),
        pytest.param("GET", "/public", 200, None, None, id="public"),
        pytest.param("POST", "/me", 405, None, None, id="wrong method"),
    ],
)
def test_cache_headers(
    sandbox: Sandbox, method: str, path: str, status: int, cache_control: str | None, vary: str | None
) -> None:
    """An answer that depends on the caller says so to caches; one that asked nothing is left as it is."""
    app = new_app(sandbox)
    add_cached_routes(app)

    with TestClient(app) as client:
        response = client.request(method, path, headers=sandbox.headers(sandbox.create_user()))
    expected = (status, cache_control, vary)
    assert expected == (response.status_code, response.headers.get("cache-control"), response.headers.get("vary"))


@pytest.mark.parametrize("path", ["/me", "/varying", "/explicit", "/stream", "/guarded/missing"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_cache_headers_of_refusals(sandbox: Sandbox, path: str, method: str) -> None:
    """A refusal may never be stored, whatever the view would have said."""
    app = new_app(sandbox)
    add_cached_routes(app)

    with TestClient(app) as client:
        response = client.request(method, path)
    if method == "HEAD" and path != "/me":
        assert (response.status_code, response.headers.get("cache-control")) == (405, None)
    else:
        assert (
            response.status_code,
            response.headers["cache-control"],
            response.headers["vary"],
        ) == (401, PRIVATE, VARY)


@pytest.mark.parametrize("outside", [True, False], ids=["outside", "inside"])
def test_gzip_and_base_http_middleware(sandbox: Sandbox, outside: bool) -> None:
    """Middleware around or within leaves answers, caches and refusals as they should be."""

    async def stamp(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-stamp"] = "yes"
        return response

    app = FastAPI()
    if outside:
        Hexclave(app, sandbox.config)
    app.add_middleware(GZipMiddleware, minimum_size=1)
    app.add_middleware(BaseHTTPMiddleware, dispatch=stamp)
    if not outside:
        Hexclave(app, sandbox.config)
    add_me(app)
    user = sandbox.create_user()

    with TestClient(app) as client:
        allowed, refused = client.get("/me", headers=sandbox.headers(user)), client.get("/me")
    assert (200, {"id": user.id}) == (allowed.status_code, allowed.json())
    assert (refused.status_code, code(refused)) == (401, "USER_AUTHENTICATION_REQUIRED")
    for response in (allowed, refused):
        assert (response.headers["x-stamp"], response.headers["cache-control"]) == ("yes", PRIVATE)
        assert {"Accept-Encoding", *VARY.split(", ")} == set(response.headers["vary"].split(", "))


def test_requirement_in_a_middleware(sandbox: Sandbox) -> None:
    """A requirement may guard everything from a middleware inside of Hexclave."""
    app = FastAPI()

    async def guard(request: Request, call_next: Any) -> Response:
        await require_user(request)
        response: Response = await call_next(request)
        return response

    app.add_middleware(BaseHTTPMiddleware, dispatch=guard)
    Hexclave(app, sandbox.config)

    @app.get("/x")
    async def view() -> str:
        return "in"

    with TestClient(app) as client:
        refused = client.get("/x")
        assert (refused.status_code, refused.headers["cache-control"]) == (401, PRIVATE)
        assert client.get("/x", headers=sandbox.headers(sandbox.create_user())).status_code == 200


# --- OpenAPI ----------------------------------------------------------------------------------------------------------


def test_openapi_describes_guarded_routes_only(sandbox: Sandbox) -> None:
    """The scheme and the three refusals stand at routes that have a requirement, and nowhere else."""
    app = new_app(sandbox)
    router = APIRouter(prefix="/router", dependencies=[Depends(require_team(TEAM))])

    @router.get("/x")
    async def inner() -> None: ...

    @app.get("/public")
    async def public() -> None: ...

    add_me(app)
    app.include_router(router)
    schema = app.openapi()

    scheme = schema["components"]["securitySchemes"]["Hexclave access token"]
    assert {"http", "bearer", "JWT"} <= set(scheme.values())
    for path in ("/me", "/router/x"):
        operation = schema["paths"][path]["get"]
        assert operation["security"] == [{"Hexclave access token": []}]
        for status in ("401", "403", "503"):
            reference = operation["responses"][status]["content"]["application/json"]["schema"]
            assert reference == {"$ref": "#/components/schemas/HexclaveError"}
    public_operation = schema["paths"]["/public"]["get"]
    assert "security" not in public_operation
    assert {"200"} == set(public_operation["responses"])
    assert schema["components"]["schemas"]["HexclaveError"]["required"] == ["code", "error"]


def test_openapi_without_guarded_routes_is_untouched(sandbox: Sandbox) -> None:
    """An application without requirements has the description it had."""
    plain, app = FastAPI(), new_app(sandbox)
    for each in (plain, app):

        @each.get("/public")
        async def public() -> None: ...

    assert plain.openapi() == app.openapi()


def test_openapi_is_cached_and_idempotent(sandbox: Sandbox) -> None:
    """Asking twice, or installing twice, gives one description."""
    app = new_app(sandbox)
    Hexclave(app, sandbox.config)
    add_me(app)
    first = json.dumps(app.openapi())

    assert app.openapi() is app.openapi()
    assert first == json.dumps(app.openapi())


def test_openapi_keeps_what_the_application_says(sandbox: Sandbox) -> None:
    """Responses and schemas of the application's own win over ours."""
    app = new_app(sandbox)

    @app.get("/x", responses={401: {"description": "Mine"}})
    async def view(user: CurrentUser) -> None: ...

    responses = app.openapi()["paths"]["/x"]["get"]["responses"]
    assert responses["401"] == {"description": "Mine"}
    assert {"200", "401", "403", "503"} == set(responses)


def test_openapi_with_a_user_in_it(sandbox: Sandbox) -> None:
    """A route that returns a user can be described."""
    app = new_app(sandbox)

    @app.get("/x")
    async def view(user: CurrentUser) -> HexclaveUser:
        return user

    content = app.openapi()["paths"]["/x"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert content["type"] == "object"


def test_swagger_ui_and_description_are_served(sandbox: Sandbox) -> None:
    """The documentation pages need no credentials."""
    app = new_app(sandbox)
    add_me(app)

    with TestClient(app) as client:
        assert "swagger" in client.get("/docs").text
        assert "/me" in client.get("/openapi.json").json()["paths"]


# --- lifespan ---------------------------------------------------------------------------------------------------------


def test_keys_are_warm_before_the_first_request(sandbox: Sandbox) -> None:
    """The keys are fetched at start-up, so that no request waits for them."""
    app = new_app(sandbox)
    add_me(app)
    headers = sandbox.headers(sandbox.create_user())

    with TestClient(app) as client:
        assert sandbox.count("/jwks.json") == 1
        with sandbox.outage():
            assert client.get("/me", headers=headers).status_code == 200
    assert sandbox.count("/jwks.json") == 1


def test_keys_down_at_start(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """An application starts without keys, says so in the log, and answers 503 where it cannot tell."""
    app = new_app(sandbox)
    add_me(app)

    with sandbox.outage(), TestClient(app) as client:
        assert client.get("/me").status_code == 401
        assert client.get("/me", headers=sandbox.headers(sandbox.create_user())).status_code == 503
    assert "keys are not there yet" in caplog.text


def test_own_lifespan_runs_inside(sandbox: Sandbox) -> None:
    """The application's lifespan and its state are untouched; the client is closed after it."""
    steps: list[str] = []
    hexclave = Hexclave(config=sandbox.config)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        steps.append(f"up, {sandbox.count('/jwks.json')} key set")
        yield {"greeting": "hello"}
        assert await hexclave.client.get_user(TEAM) is None  # still usable
        steps.append("down")

    app = FastAPI(lifespan=lifespan)
    hexclave.init_app(app)

    @app.get("/state")
    async def state(request: Request, user: CurrentUser) -> str:
        greeting: str = request.state.greeting
        return greeting

    with TestClient(app) as client:
        assert client.get("/state", headers=sandbox.headers(sandbox.create_user())).json() == "hello"
    assert steps == ["up, 1 key set", "down"]


def test_connections_are_closed_with_the_lifespan(sandbox: Sandbox) -> None:
    """Connections to Hexclave live from start to end: none is left open, which would be a warning here."""
    with sandbox.serve():
        app = new_app(sandbox)
        guarded_by(require_user.live())(app)
        with TestClient(app) as client:
            assert client.get("/x", headers=sandbox.headers(sandbox.create_user())).status_code == 200
        gc.collect()


def test_failing_lifespan_of_the_application_is_its_own(sandbox: Sandbox) -> None:
    """An error of the application at start-up comes through."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if sandbox:
            raise RuntimeError("no database")
        yield

    app = FastAPI(lifespan=lifespan)
    Hexclave(app, sandbox.config)

    with pytest.raises(RuntimeError, match="no database"), TestClient(app):
        pass


def guarded_by(requirement: Any, path: str = "/x") -> Build:
    def build(app: FastAPI) -> None:
        @app.get(path, dependencies=[Depends(requirement)])
        async def view() -> str:
            return "in"

    return build


def included(requirement: Any, prefix: str = "") -> Build:
    def build(app: FastAPI) -> None:
        inner, outer = APIRouter(), APIRouter()

        @inner.get("/x", dependencies=[Depends(requirement)])
        async def view() -> str:
            return "in"

        outer.include_router(inner)
        app.include_router(outer, prefix=prefix)

    return build


def on_router(requirement: Any, prefix: str = "") -> Build:
    def build(app: FastAPI) -> None:
        router = APIRouter(prefix=prefix, dependencies=[Depends(requirement)])

        @router.get("/x")
        async def view() -> str:
            return "in"

        app.include_router(router)

    return build


def mounted(requirement: Any, prefix: str = "/sub") -> Build:
    def build(app: FastAPI) -> None:
        sub = FastAPI()
        included(requirement)(sub)
        app.mount(prefix, sub)

    return build


def mounted_in_router(requirement: Any, prefix: str = "/sub") -> Build:
    def build(app: FastAPI) -> None:
        sub, router = FastAPI(), APIRouter()
        guarded_by(requirement)(sub)
        router.mount("/inner", sub)
        app.include_router(router, prefix=prefix)

    return build


def hosted(requirement: Any, host: str = "sub.example.org") -> Build:
    def build(app: FastAPI) -> None:
        sub = FastAPI()
        guarded_by(requirement)(sub)
        app.router.routes.append(Host(host, sub))

    return build


def on_websocket(requirement: Any, path: str = "/x") -> Build:
    def build(app: FastAPI) -> None:
        @app.websocket(path, dependencies=[Depends(requirement)])
        async def view(websocket: WebSocket) -> None: ...

    return build


def on_included_websocket(requirement: Any, prefix: str = "") -> Build:
    def build(app: FastAPI) -> None:
        router = APIRouter()

        @router.websocket("/x", dependencies=[Depends(requirement)])
        async def view(websocket: WebSocket) -> None: ...

        app.include_router(router, prefix=prefix)

    return build


def nested(requirement: Any) -> Build:
    def build(app: FastAPI) -> None:
        async def dependency(principal: Any = Depends(requirement)) -> Any:  # noqa: B008
            return principal

        guarded_by(dependency)(app)

    return build


def app_level(requirement: Any) -> Build:
    def build(app: FastAPI) -> None:
        app.router.dependencies.append(Depends(requirement))
        included(require_user)(app)

    return build


def decorated(requirement: Any) -> Build:
    def build(app: FastAPI) -> None:
        async def view(request: Request) -> Response:
            return PlainTextResponse("in")

        guard = starlette.StarletteRequirement(
            scope=requirement.scope, team=requirement.team, permission=requirement.permission
        )
        app.add_route("/x", guard(view))

    return build


def decorated_twice(requirement: Any) -> Build:
    def build(app: FastAPI) -> None:
        async def view(request: Request) -> Response:
            return PlainTextResponse("in")

        guard = starlette.StarletteRequirement(
            scope=requirement.scope, team=requirement.team, permission=requirement.permission
        )
        router = APIRouter()
        router.add_route("/x", starlette.require_user(guard(view)))
        app.include_router(router)

    return build


def decorated_method(requirement: Any) -> Build:
    def build(app: FastAPI) -> None:
        guard = starlette.StarletteRequirement(
            scope=requirement.scope, team=requirement.team, permission=requirement.permission
        )

        class Endpoint(HTTPEndpoint):
            @guard
            async def post(self, request: Request) -> Response:
                return PlainTextResponse("in")

        app.router.routes.append(Mount("/sub", routes=[Route("/x", Endpoint)]))

    return build


PLACES = [
    guarded_by,
    included,
    on_router,
    mounted,
    mounted_in_router,
    hosted,
    on_websocket,
    on_included_websocket,
    nested,
    app_level,
    decorated,
    decorated_twice,
    decorated_method,
]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_missing_server_key_stops_the_start(sandbox: Sandbox, place: Any) -> None:
    """A requirement that needs the server key is found wherever it stands, before the first request."""
    app = new_app(sandbox, secret_server_key=None)
    place(require_project_permission("access_admin_dashboard"))(app)

    with pytest.raises(ConfigurationError, match="HEXCLAVE_SECRET_SERVER_KEY"), TestClient(app):
        pass


@pytest.mark.parametrize(
    "requirement",
    [
        require_team(TEAM),
        require_permission(TEAM, "export_reports"),
        require_api_key,
        require_user.live(),
        require_user.allow(api_key=True),
    ],
    ids=["team", "team permission", "api key", "live", "either"],
)
def test_requirements_that_need_the_server_key(sandbox: Sandbox, requirement: Any) -> None:
    """Every requirement that asks Hexclave on the server's behalf counts."""
    app = new_app(sandbox, secret_server_key=None)
    guarded_by(requirement)(app)

    with pytest.raises(ConfigurationError, match="a requirement on /x needs it"), TestClient(app):
        pass


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_missing_route_parameter_stops_the_start(sandbox: Sandbox, place: Any) -> None:
    """A team named by a parameter that the route lacks is found wherever it stands."""
    app = new_app(sandbox)
    place(require_permission("{team_id}", "export_reports"))(app)

    with pytest.raises(ConfigurationError, match='has no parameter "team_id"'), TestClient(app):
        pass


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(guarded_by(require_team("{team_id}"), "/{team_id}/x"), id="route"),
        pytest.param(guarded_by(require_team("{team_id}"), "/{team_id:uuid}/x"), id="converter"),
        pytest.param(included(require_team("{team_id}"), "/{team_id}"), id="inclusion"),
        pytest.param(on_router(require_team("{team_id}"), "/{team_id}"), id="router"),
        pytest.param(mounted(require_team("{team_id}"), "/{team_id}"), id="mount"),
        pytest.param(mounted_in_router(require_team("{team_id}"), "/{team_id}"), id="mount in router"),
        pytest.param(hosted(require_team("{team_id}"), "{team_id}.example.org"), id="host"),
        pytest.param(on_websocket(require_team("{team_id}"), "/{team_id}"), id="websocket"),
        pytest.param(on_included_websocket(require_team("{team_id}"), "/{team_id}"), id="included websocket"),
        pytest.param(guarded_by(require_team(TEAM)), id="literal team"),
        pytest.param(guarded_by(require_team(lambda request: TEAM)), id="callable team"),
        pytest.param(lambda app: app.mount("/files", PlainTextResponse("x")), id="mounted plain application"),
    ],
)
def test_no_false_alarms(sandbox: Sandbox, build: Build) -> None:
    """What is right starts."""
    app = new_app(sandbox)
    build(app)

    with TestClient(app):
        assert sandbox.count("/jwks.json") == 1


def test_mounted_application_is_held_against_its_own_settings(sandbox: Sandbox) -> None:
    """A mounted application with a Hexclave of its own needs the server key there, and only there."""
    guard = guarded_by(require_team(TEAM))
    app, sub = new_app(sandbox, secret_server_key=None), new_app(Sandbox())
    guard(sub)
    app.mount("/sub", sub)
    with TestClient(app) as client:
        assert client.get("/sub/x").status_code == 401

    app, sub = new_app(sandbox), new_app(Sandbox(), secret_server_key=None)
    guard(sub)
    app.mount("/sub", sub)
    with pytest.raises(ConfigurationError, match="/sub/x"), TestClient(app):
        pass


def test_mount_with_a_middleware_of_its_own(sandbox: Sandbox) -> None:
    """A mount whose middleware is Hexclave's gets its own settings, and its parameters from outside."""

    @starlette.require_team("{team_id}")
    async def view(request: Request) -> Response:
        return PlainTextResponse("in")

    guard = [Middleware(starlette.HexclaveMiddleware, config=sandbox.config)]
    app = new_app(Sandbox(), secret_server_key=None)
    app.router.routes.append(Mount("/{team_id}", routes=[Route("/x", view)], middleware=guard))
    user, team = sandbox.create_user(), sandbox.create_team()
    sandbox.add_member(team, user)

    with TestClient(app) as client:
        assert client.get(f"/{team.id}/x").status_code == 401
        assert client.get(f"/{team.id}/x", headers=sandbox.headers(user)).status_code == 200


def test_without_lifespan_the_first_request_checks(sandbox: Sandbox) -> None:
    """A server that leaves the lifespan out serves nothing from a wrong application."""
    app = new_app(sandbox)
    guarded_by(require_team("{team_id}"))(app)
    add_me(app)

    for _ in range(2):
        with pytest.raises(ConfigurationError, match='no parameter "team_id"'):
            TestClient(app).get("/me")


def test_frontend_behind_a_router(sandbox: Sandbox, tmp_path: Path) -> None:
    """Static files served through a guarded router are guarded."""
    if not hasattr(APIRouter, "frontend"):
        pytest.skip("this FastAPI serves no frontends")
    (tmp_path / "index.html").write_text("secret")
    app = new_app(sandbox)
    router = APIRouter(dependencies=[Depends(require_user)])
    router.frontend("/", directory=tmp_path)
    app.include_router(router, prefix="/app")

    with TestClient(app) as client:
        assert client.get("/app/index.html").status_code == 401
        allowed = client.get("/app/index.html", headers=sandbox.headers(sandbox.create_user()))
    assert (allowed.status_code, allowed.text, allowed.headers["cache-control"]) == (200, "secret", PRIVATE)


# --- misuse -----------------------------------------------------------------------------------------------------------

FORGED = {"id": TEAM, "kind": "regular", "project_id": TEAM, "type": "user", "user_id": TEAM}
ATTEMPTS: list[dict[str, Any]] = [
    {},
    {"params": FORGED},
    {"params": {"user": TEAM, "endpoint": "x", "connection": "x", "team": TEAM, "permission": "export_reports"}},
    {"params": {"args": "x", "kwargs": "x", "restricted": "1", "anonymous": "1", "api_key": "1", "scope": "user"}},
    {"headers": {"user": TEAM, "endpoint": "x", "id": TEAM, "kind": "regular", "project-id": TEAM}},
    {"headers": {"cookie": f"user={TEAM}; id={TEAM}; kind=regular"}},
    {"json": FORGED},
    {"json": [FORGED]},
    {"json": {"user": FORGED}},
    {"json": {"user": None}},
    {"json": {"user": {"user": FORGED}}},
    {"json": {"endpoint": "x"}},
    {"json": "x"},
    {"content": "null", "headers": {"content-type": "application/json"}},
]


class Form(BaseModel):
    """A body that has a user in it."""

    user: HexclaveUser


class OptionalForm(BaseModel):
    """A body that may have a user in it."""

    owner: list[Form] = []
    user: HexclaveUser | None = None


@dataclasses.dataclass
class Record:
    """A body that has an API key in it."""

    key: HexclaveApiKey | None = None


def takes(annotation: Any, *default: Any) -> Build:
    """A view with one parameter of this annotation."""

    def build(app: FastAPI) -> None:
        async def view(user) -> str:  # type: ignore[no-untyped-def]  # annotated below, as the case has it
            return "in"

        view.__annotations__["user"] = annotation
        view.__defaults__ = default or None
        app.api_route("/x", methods=["GET", "POST"])(view)

    return build


def depends(dependency: Any, *, of: Any = Depends) -> Build:
    """A view with one parameter that depends on this."""
    return takes(Any, of(dependency))


def listed(dependency: Any) -> Build:
    """A view with this in its `dependencies`."""

    def build(app: FastAPI) -> None:
        @app.api_route("/x", methods=["GET", "POST"], dependencies=[dependency])
        async def view() -> str:
            return "in"

    return build


def listed_on_inclusion(dependency: Any) -> Build:
    """A router included with this in its `dependencies`, which FastAPI looks at late."""

    def build(app: FastAPI) -> None:
        router = APIRouter()

        @router.api_route("/x", methods=["GET", "POST"])
        async def view() -> str:
            return "in"

        app.include_router(router, dependencies=[dependency])

    return build


def endpoint(value: Any) -> Build:
    """A route whose endpoint is this."""
    return lambda app: app.add_api_route("/x", value, methods=["GET", "POST"])


def star_route(value: Any) -> Build:
    """A Starlette route whose endpoint is this."""
    return lambda app: app.router.routes.append(Route("/x", value, methods=["GET", "POST"]))


def decorated_below(decorator: Any) -> Build:
    """A FastAPI view decorated between the route and the function."""

    def build(app: FastAPI) -> None:
        async def view() -> str:
            return "in"

        app.api_route("/x", methods=["GET", "POST"])(decorator(view))

    return build


def decorated_members(decorator: Any) -> Build:
    """An endpoint class whose methods are decorated."""

    def build(app: FastAPI) -> None:
        class Endpoint(HTTPEndpoint):
            async def plain(self, request: Request) -> Response:
                return PlainTextResponse("in")

            get = post = decorator(plain)

        app.router.routes.append(Route("/x", Endpoint))

    return build


def hands_back_requirement() -> Any:
    return require_user


async def hands_back_module_attribute() -> Any:
    return starlette.require_user


def hands_back_with_a_parameter(request: Request) -> Any:
    return require_user


def hands_back_permission(x: int = 1) -> Any:
    return require_project_permission("admin")


def hands_back_attribute_of_package(request: Request) -> Any:
    return hexclave_integrations.fastapi.require_user


def hands_back_local_import(request: Request) -> Any:
    from hexclave_integrations.fastapi import require_user as guard

    return guard


def hands_back_from_a_generator(request: Request) -> Iterator[Any]:
    yield require_user


@functools.cache
def hands_back_from_a_cache(x: int = 1) -> Any:
    return require_user


class HandsBack:
    """A dependency that is an object, or a method of it."""

    guard = require_user

    def __init__(self, kept: Any = None) -> None:
        self.kept = kept

    def __call__(self) -> Any:
        return require_user

    def of_class(self, request: Request) -> Any:
        return self.guard

    def of_self(self, request: Request) -> Any:
        return self.kept


def hands_back_argument(kept: Any) -> Any:
    return kept


def not_awaited(connection: HTTPConnection) -> object:
    return require_user(connection)


async def not_awaited_in_coroutine(connection: HTTPConnection) -> object:
    return require_user(connection)


async def not_awaited_in_generator(connection: HTTPConnection) -> AsyncIterator[object]:
    yield require_user(connection)


async def awaited_too_late(connection: HTTPConnection, later: BackgroundTasks) -> None:
    later.add_task(asyncio.wait_for, require_user(connection), 1)


class NotAwaited:
    """A dependency whose construction begins a check that nobody awaits."""

    def __init__(self, connection: HTTPConnection) -> None:
        self.check = require_team(TEAM)(connection)


def endpoint_not_awaited(app: FastAPI) -> None:
    @app.get("/x")
    async def view(request: Request) -> Response:
        require_user(request)  # type: ignore[unused-coroutine]
        return PlainTextResponse("in")


def decorated_above(decorator: Any) -> Build:
    """A FastAPI view decorated above the route, where no name tells of it."""

    def build(app: FastAPI) -> None:
        async def view() -> str:
            return "in"

        decorator(app.api_route("/x", methods=["GET", "POST"])(view))

    return build


def local_requirement() -> Any:
    guard = require_user.allow(restricted=True)
    return lambda: guard


def in_another(dependency: Any) -> Any:
    """A dependency that depends on this one."""

    async def outer(value: Any = Depends(dependency)) -> Any:  # noqa: B008
        return value

    return outer


MISUSES: dict[str, Build] = {
    "Depends(require_permission)": depends(require_permission),
    "Depends(require_project_permission)": depends(require_project_permission),
    "Depends(require_team)": depends(require_team),
    "[Depends(require_team)]": listed(Depends(require_team)),
    "included [Depends(require_team)]": listed_on_inclusion(Depends(require_team)),
    "Security(require_team)": depends(require_team, of=Security),
    "Depends(require_user.live)": depends(require_user.live),
    "Depends(require_user.allow)": depends(require_user.allow),
    "[Depends(require_user.allow)]": listed(Depends(require_user.allow)),
    "Depends(require_user.allow().live)": depends(require_user.allow(restricted=True).live),
    "Depends(require_team(...).live)": depends(require_team(TEAM).live),
    "Depends(FastAPIRequirement)": depends(FastAPIRequirement),
    "Depends(Requirement)": depends(requirements.Requirement),
    "Depends(HexclaveUser)": depends(HexclaveUser),
    "Depends(HexclaveUser.from_api)": depends(HexclaveUser.from_api),
    "Depends(HexclaveApiKey)": depends(HexclaveApiKey),
    "Annotated[HexclaveUser, Depends()]": takes(Annotated[HexclaveUser, Depends()]),
    "Annotated[HexclaveApiKey, Depends()]": takes(Annotated[HexclaveApiKey, Depends()]),
    "Annotated[FastAPIRequirement, Depends()]": takes(Annotated[FastAPIRequirement, Depends()]),
    "Depends(CurrentUser)": depends(CurrentUser),
    "Depends(OptionalUser)": depends(OptionalUser),
    "[Depends(CurrentUser)]": listed(Depends(CurrentUser)),
    "Depends(Hexclave)": depends(Hexclave),
    "Depends(HexclaveMiddleware)": depends(starlette.HexclaveMiddleware),
    "Depends(HexclaveConfig)": depends(HexclaveConfig),
    "Depends(core require_user)": depends(requirements.require_user),
    "[Depends(core require_user)]": listed(Depends(requirements.require_user)),  # type: ignore[arg-type]
    "Depends(core require_team)": depends(requirements.require_team),
    "Depends(starlette require_user)": depends(starlette.require_user),
    "[Depends(starlette require_user)]": listed(Depends(starlette.require_user)),
    "Depends(starlette require_team)": depends(starlette.require_team),
    "Depends(StarletteRequirement)": depends(starlette.StarletteRequirement),
    "Depends(lambda: require_user)": depends(lambda: require_user),
    "[Depends(lambda: require_user)]": listed(Depends(lambda: require_user)),
    "Depends(lambda: require_team)": depends(lambda: require_team),
    "Depends(lambda: require_team(...))": depends(lambda: require_team(TEAM)),
    "Depends(lambda: require_user.live())": depends(lambda: require_user.live()),
    "Depends(lambda: module.require_user)": depends(lambda: starlette.require_user),
    "Depends(lambda: local)": depends(local_requirement()),
    "Depends(function returning it)": depends(hands_back_requirement),
    "Depends(coroutine returning it)": depends(hands_back_module_attribute),
    "Depends(function that takes the request)": depends(hands_back_with_a_parameter),
    "Depends(function that takes a parameter)": depends(hands_back_permission),
    "Depends(function naming the package)": depends(hands_back_attribute_of_package),
    "Depends(function importing it)": depends(hands_back_local_import),
    "Depends(generator yielding it)": depends(hands_back_from_a_generator),
    "Depends(cached function)": depends(hands_back_from_a_cache),
    "Depends(object)": depends(HandsBack()),
    "[Depends(object)]": listed(Depends(HandsBack())),
    "Depends(method, class attribute)": depends(HandsBack().of_class),
    "Depends(method, attribute)": depends(HandsBack(require_user).of_self),
    "Depends(partial)": depends(functools.partial(hands_back_argument, require_user)),
    "Depends(nested function returning it)": depends(in_another(hands_back_with_a_parameter)),
    "Depends(function not awaiting)": depends(not_awaited),
    "[Depends(coroutine not awaiting)]": listed(Depends(not_awaited_in_coroutine)),
    "Depends(coroutine not awaiting)": depends(not_awaited_in_coroutine),
    "included [Depends(coroutine not awaiting)]": listed_on_inclusion(Depends(not_awaited_in_coroutine)),
    "Depends(nested coroutine not awaiting)": depends(in_another(not_awaited_in_coroutine)),
    "Depends(generator not awaiting)": depends(not_awaited_in_generator),
    "Depends(class not awaiting)": depends(NotAwaited),
    "Depends(coroutine awaiting after the answer)": depends(awaited_too_late),
    "endpoint returns it": endpoint(not_awaited),
    "endpoint does not await": endpoint_not_awaited,
    "@require_user above": decorated_above(require_user),
    "@require_team(...) above": decorated_above(require_team(TEAM)),
    "[require_user]": listed(require_user),
    "[require_team]": listed(require_team),
    "included [require_user]": listed_on_inclusion(require_user),
    "unresolved Depends": takes("Annotated[HexclaveUser | None, Depends(unknown)]", None),
    "user = require_user": takes(Any, require_user),
    "user: HexclaveUser = require_user": takes(HexclaveUser, require_user),
    "user = require_team": takes(Any, require_team),
    "user = require_user.live": takes(Any, require_user.live),
    "Annotated[str, require_user]": takes(Annotated[str, require_user]),
    "Annotated[Any, require_user]": takes(Annotated[Any, require_user], None),
    "Annotated[str, require_team]": takes(Annotated[str, require_team]),
    "Annotated[str, require_user.live]": takes(Annotated[str, require_user.live]),
    "Annotated[HexclaveUser, require_user]": takes(Annotated[HexclaveUser, require_user]),
    "Annotated[str, starlette.require_user]": takes(Annotated[str, starlette.require_user]),
    "user: HexclaveUser": takes(HexclaveUser),
    "user: HexclaveUser | None": takes(HexclaveUser | None),
    "user: HexclaveUser | None = None": takes(HexclaveUser | None, None),
    "user: list[HexclaveUser]": takes(list[HexclaveUser]),
    "user: list[HexclaveUser] = []": takes(list[HexclaveUser], []),
    "user: dict[str, HexclaveUser]": takes(dict[str, HexclaveUser]),
    "user: tuple[HexclaveUser, ...]": takes(tuple[HexclaveUser, ...]),
    "user: HexclaveUser | dict": takes(HexclaveUser | dict[str, str]),
    "user: Form": takes(Form),
    "user: Form | None = None": takes(Form | None, None),
    "user: OptionalForm": takes(OptionalForm),
    "user: list[OptionalForm]": takes(list[OptionalForm]),
    "user: Record": takes(Record),
    "Body() HexclaveUser": takes(Annotated[HexclaveUser, Body()]),
    "Body(embed) HexclaveUser": takes(Annotated[HexclaveUser | None, Body(embed=True)], None),
    "Query() HexclaveUser": takes(Annotated[HexclaveUser, Query()]),
    "Query() HexclaveUser | None": takes(Annotated[HexclaveUser | None, Query()], None),
    "Query() OptionalForm": takes(Annotated[OptionalForm, Query()]),
    "Header() HexclaveUser": takes(Annotated[HexclaveUser, Header()]),
    "Header() HexclaveUser | None": takes(Annotated[HexclaveUser | None, Header()], None),
    "Cookie() HexclaveUser | None": takes(Annotated[HexclaveUser | None, Cookie()], None),
    "user: HexclaveApiKey": takes(HexclaveApiKey),
    "user: HexclaveApiKey | None = None": takes(HexclaveApiKey | None, None),
    "user: HexclaveUser | HexclaveApiKey": takes(HexclaveUser | HexclaveApiKey),
    "user: FastAPIRequirement": takes(FastAPIRequirement),
    "Security(scopes)": depends(require_user, of=lambda call: Security(call, scopes=["admin"])),
    "endpoint is require_user": endpoint(require_user),
    "endpoint is require_team": endpoint(require_team),
    "endpoint is starlette's": endpoint(starlette.require_user),
    "Route(require_user)": star_route(require_user),
    "Route(require_team)": star_route(require_team),
    "Route(starlette require_user)": star_route(starlette.require_user),
    "Route(starlette require_team)": star_route(starlette.require_team),
    "@require_team below": decorated_below(require_team),
    "@starlette.require_team below": decorated_below(starlette.require_team),
    "@starlette.require_user below, no request": decorated_below(starlette.require_user),
    "methods with @starlette.require_team": decorated_members(starlette.require_team),
    "methods with @starlette.require_user.live": decorated_members(starlette.require_user.live()),
}


@pytest.mark.parametrize("name", MISUSES)
def test_misuse_lets_no_stranger_in(sandbox: Sandbox, name: str) -> None:
    """A wrong spelling fails where it stands, at start-up, or for every stranger: no forged request gets through.

    It has to hold with the check at start-up and without a lifespan.
    """
    app = new_app(sandbox)
    try:
        MISUSES[name](app)
    except (ConfigurationError, TypeError, AttributeError, AssertionError, RuntimeError):
        return  # the application does not come to be
    try:
        with TestClient(app, raise_server_exceptions=False):
            pass
    except (ConfigurationError, AttributeError):
        pass  # the application does not start; see what happens to one that skips the lifespan

    async def attack() -> list[httpx2.Response]:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await client.request(method, "/x", **each) for method in ("GET", "POST") for each in ATTEMPTS]

    answers = asyncio.run(attack())
    assert [answer.text for answer in answers if answer.status_code < 400] == []


@pytest.mark.parametrize(
    "name", [name for name in MISUSES if "lambda" in name or " = " in name or "Annotated[str" in name]
)
def test_misuse_that_would_let_in_is_refused_at_start(sandbox: Sandbox, name: str) -> None:
    """The spellings that FastAPI would accept and obey to the letter stop the start, and say what to write."""
    app = new_app(sandbox)
    MISUSES[name](app)

    with pytest.raises(ConfigurationError, match="Depends"), TestClient(app):
        pass


@pytest.mark.parametrize("name", ["get_user", "get_current_user", "access_token", "check_api_key", "convex_identity"])
@pytest.mark.parametrize("wrap", [lambda call: call, functools.partial], ids=["plain", "partial"])
def test_functions_of_the_kit_are_no_dependencies(sandbox: Sandbox, name: str, wrap: Any) -> None:
    """FastAPI would take their arguments from the caller: whose user, for instance. It stops the start."""
    app = FastAPI()
    client = Hexclave(app, sandbox.config).client
    call = convex_identity if name == "convex_identity" else getattr(client, name)

    @app.get("/x")
    async def view(user: Annotated[Any, Depends(wrap(call))]) -> str:
        return "in"

    with pytest.raises(ConfigurationError, match="call it in the route"), TestClient(app):
        pass


def test_calling_a_requirement_without_a_connection() -> None:
    """`Depends(require_user())` is a type error where it is written."""
    with pytest.raises(TypeError):
        require_user()  # type: ignore[call-arg, unused-coroutine]


@pytest.mark.parametrize("guard", [require_user, require_team(TEAM)], ids=["user", "team"])
def test_decorating_a_view_with_a_requirement(guard: Any) -> None:
    """`@require_user`, below the route or above it, fails where it is written and says what to write."""

    async def view() -> None: ...

    with pytest.raises(ConfigurationError, match=r"no decorator: write Depends\(require_user\)"):
        guard(view)


async def late_view() -> str:
    """An endpoint whose name is taken over by a guarded version, as a decorator above the route does."""
    return "in"


def test_starlette_decorator_above_the_route(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starlette's requirement above `@app.get(...)` decorates nothing that is served: the start is refused."""
    app = new_app(sandbox)
    app.get("/x")(late_view)
    monkeypatch.setitem(globals(), "late_view", starlette.require_user(late_view))

    with pytest.raises(ConfigurationError, match="above the route decorator"), TestClient(app):
        pass


def test_starlette_decorator_below_a_fastapi_route(sandbox: Sandbox) -> None:
    """Starlette's decorator works on a FastAPI view that takes the request."""
    app = new_app(sandbox)

    async def view(request: Request, size: int = 1) -> dict[str, Any]:
        return {"id": request.user.id, "size": size}

    app.get("/x")(starlette.require_user(view))
    user = sandbox.create_user()

    with TestClient(app) as client:
        assert client.get("/x").status_code == 401
        answer = client.get("/x", params={"size": 3}, headers=sandbox.headers(user))
    assert {"id": user.id, "size": 3} == answer.json()


def test_dependencies_that_speak_of_requirements_and_apply_them(sandbox: Sandbox) -> None:
    """Functions that take nothing, or take the request, are not mistaken for misuse."""
    app = new_app(sandbox)

    def settings() -> dict[str, int]:
        return {"teams": len(TEAM)}

    async def either(request: Request) -> HexclaveUser:
        user: HexclaveUser = await (require_user if "strict" in request.query_params else optional_user)(request)
        return user

    @app.get("/x", dependencies=[Depends(settings), Depends(either)])
    async def view() -> str:
        return "in"

    with TestClient(app) as client:
        assert [client.get(path).status_code for path in ("/x", "/x?strict")] == [200, 401]


def test_endpoints_may_speak_of_requirements(sandbox: Sandbox) -> None:
    """An endpoint that names a requirement, or the attribute of another object so named, is no misuse."""
    app = new_app(sandbox)

    def permitted(user: CurrentUser) -> bool:
        return hasattr(user, "require_user") or user.is_authenticated

    @app.get("/x", dependencies=[Depends(permitted)])
    def view() -> str:
        return require_user.scope

    with TestClient(app) as client:
        assert client.get("/x").status_code == 401
        assert client.get("/x", headers=sandbox.headers(sandbox.create_user())).json() == "user"


def test_forgotten_await_is_an_error_that_says_so(sandbox: Sandbox) -> None:
    """A check that was begun and not awaited holds the answer back, whoever asks, and names the fix."""
    app = new_app(sandbox)
    listed(Depends(not_awaited_in_coroutine))(app)

    with TestClient(app) as client:
        for headers in ({}, sandbox.headers(sandbox.create_user())):
            with pytest.raises(ConfigurationError, match=r"write await require_user\(connection\)"):
                client.get("/x", headers=headers)


def test_forgotten_await_on_a_websocket(sandbox: Sandbox) -> None:
    """The connection is not accepted."""
    app = new_app(sandbox)

    @app.websocket("/x", dependencies=[Depends(not_awaited_in_coroutine)])
    async def view(websocket: WebSocket) -> None:
        await websocket.accept()

    with (
        TestClient(app) as client,
        pytest.raises(ConfigurationError, match="not awaited"),
        client.websocket_connect("/x"),
    ):
        pass


@pytest.mark.parametrize("catching", [False, True])
def test_forgotten_await_behind_handlers(sandbox: Sandbox, catching: bool) -> None:
    """An application that answers every error cannot answer with what the requirement should have guarded."""
    app = new_app(sandbox)
    listed(Depends(not_awaited_in_coroutine))(app)

    @app.exception_handler(ConfigurationError)
    async def handler(request: Request, error: Exception) -> Response:
        return PlainTextResponse("handled")

    class Catching(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            try:
                answer: Response = await call_next(request)
            except ConfigurationError:
                return PlainTextResponse("handled")
            return answer

    app.user_middleware += [Middleware(Catching)] * catching

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/x")
    assert (answer.status_code, "in" in answer.text) == (500, False)


@pytest.mark.parametrize("way", ["task", "gather", "wait_for", "later", "cancelled"])
def test_checks_awaited_in_other_ways(sandbox: Sandbox, way: str) -> None:
    """Tasks, time limits and a late `await` are as good; a check that was given up says nothing."""
    app = new_app(sandbox)

    async def guard(request: Request) -> None:
        check = require_user(request)
        if way == "task":
            await asyncio.create_task(check)
        elif way == "gather":
            await asyncio.gather(check, require_user.live()(request))
        elif way == "wait_for":
            await asyncio.wait_for(check, 5)
        elif way == "later":
            await asyncio.sleep(0)
            await check
        else:
            task = asyncio.create_task(check)
            task.cancel()
            await asyncio.wait([task])
            await require_user(request)

    @app.get("/x", dependencies=[Depends(guard)])
    async def view() -> str:
        return "in"

    with TestClient(app) as client:
        assert client.get("/x").status_code == 401
        assert client.get("/x", headers=sandbox.headers(sandbox.create_user())).status_code == 200


# --- one caller at a time ---------------------------------------------------------------------------------------------


def test_nobody_sees_the_other(sandbox: Sandbox) -> None:
    """Interleaved requests of two users, in tasks, threads, streams and background tasks, never mix."""
    app = new_app(sandbox)
    seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nobody")
    ended: list[tuple[str, str]] = []

    async def remember(user: CurrentUser) -> AsyncIterator[str]:
        seen.set(user.id)
        await asyncio.sleep(0)
        yield user.id

    async def after(user: HexclaveUser, name: str) -> None:
        await asyncio.sleep(0)
        ended.append((user.id, name))

    @app.get("/async/{name}")
    async def in_task(
        name: str, user: CurrentUser, mine: Annotated[str, Depends(remember)], later: BackgroundTasks
    ) -> list[str]:
        later.add_task(after, user, name)
        await asyncio.sleep(0.001)
        return [user.id, mine, seen.get()]

    @app.get("/thread/{name}")
    def in_thread(
        name: str, user: CurrentUser, mine: Annotated[str, Depends(remember)], later: BackgroundTasks
    ) -> list[str]:
        later.add_task(after, user, name)
        return [user.id, mine, seen.get()]

    @app.get("/stream/{name}")
    async def stream(name: str, user: CurrentUser) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            yield "["
            for _ in range(2):
                await asyncio.sleep(0)
                yield json.dumps(user.id) + ","
            yield json.dumps(user.id) + "]"

        return StreamingResponse(body())

    users = [sandbox.create_user(), sandbox.create_user()]
    headers = {user.id: sandbox.headers(user) for user in users}

    async def drive() -> list[tuple[str, Any]]:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:

            async def ask(number: int) -> tuple[str, Any]:
                kind = ("async", "thread", "stream")[number % 3]
                name = users[number // 3 % 2].id
                return name, (await client.get(f"/{kind}/{name}", headers=headers[name])).json()

            return await asyncio.gather(*(ask(number) for number in range(120)))

    answers = asyncio.run(drive())
    assert [(name, answer) for name, answer in answers if answer != [name] * 3] == []
    assert len(ended) == 80
    assert [pair for pair in ended if pair[0] != pair[1]] == []


# --- cookies ----------------------------------------------------------------------------------------------------------


def cookie_forms(sandbox: Sandbox, token: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The cookies of contract 1.3, percent-encoded as browsers hold them."""
    project = sandbox.config.project_id
    structured = quote(json.dumps({"refresh_token": "r1", "updated_at_millis": 2}))
    pair = quote(json.dumps(["r1", token], separators=(",", ":")), safe="")
    yield "host", {f"__Host-hexclave-refresh-{project}--default": structured, "hexclave-access": pair}
    yield "default", {f"hexclave-refresh-{project}--default": structured, "hexclave-access": pair}
    yield "custom", {f"hexclave-refresh-{project}--custom-CNW62VBGDHJJWRVFDM": structured, "hexclave-access": pair}
    yield "stack", {f"__Host-stack-refresh-{project}--default": structured, "stack-access": pair}
    yield "legacy project", {f"stack-refresh-{project}": "r1", "stack-access": pair}
    yield "legacy", {"stack-refresh": "r1", "stack-access": pair}


FORMS = ["host", "default", "custom", "stack", "legacy project", "legacy"]


@pytest.mark.parametrize("form", FORMS)
def test_cookies(sandbox: Sandbox, form: str) -> None:
    """With `accept_cookies` every form of the SDK's cookies signs in, and caches are told of `Cookie`."""
    user = sandbox.create_user()
    cookies = dict(cookie_forms(sandbox, sandbox.token(user)))[form]
    header = {"cookie": "; ".join(f"{name}={value}" for name, value in {"theme": "dark", **cookies}.items())}
    app, without = new_app(sandbox, accept_cookies=True), new_app(sandbox)
    add_me(app)
    add_me(without)

    with TestClient(app) as client:
        response = client.get("/me", headers=header)
        refused = client.get("/me")
    assert (200, {"id": user.id}, f"{VARY}, Cookie") == (
        response.status_code,
        response.json(),
        response.headers["vary"],
    )
    assert (401, f"{VARY}, Cookie") == (refused.status_code, refused.headers["vary"])
    with TestClient(without) as client:
        off = client.get("/me", headers=header)
    assert (off.status_code, code(off), off.headers["vary"]) == (401, "USER_AUTHENTICATION_REQUIRED", VARY)


# --- tests of applications, and descriptions --------------------------------------------------------------------------


def test_an_override_of_require_user_counts_for_its_variants(sandbox: Sandbox) -> None:
    """A test puts somebody in once, for every way of asking for a user, and for nothing beyond that."""
    app = new_app(sandbox)
    team = sandbox.create_team()
    for path, requirement in {
        "/me": require_user,
        "/restricted": require_user.allow(restricted=True),
        "/live": require_user.live(),
        "/either": require_user.allow(api_key=True),
        "/optional": optional_user,
        "/permission": require_permission(team.id, "export"),
        "/team": require_team(team.id),
        "/key": require_api_key,
    }.items():

        @app.get(path)
        async def view(user: Annotated[Any, Depends(requirement)]) -> str:
            return "nobody" if user is None else str(user.id)

    somebody = HexclaveUser(id="somebody", kind="regular", project_id=sandbox.config.project_id)

    def found(client: TestClient) -> dict[str, Any]:
        paths = list(app.openapi()["paths"])
        return {
            path: answer.json() if (answer := client.get(path)).status_code == 200 else answer.status_code
            for path in paths
        }

    with TestClient(app) as client:
        strangers = found(client)
        app.dependency_overrides[require_user] = lambda: somebody
        of_user = dict.fromkeys(("/me", "/restricted", "/live", "/either", "/optional"), "somebody")
        assert found(client) == strangers | of_user
        assert (strangers["/optional"], {*strangers.values()}) == ("nobody", {401, "nobody"})

        app.dependency_overrides[optional_user] = lambda: None
        app.dependency_overrides[require_team(team.id)] = lambda: somebody  # equal requirements are one
        assert found(client) == strangers | of_user | {"/optional": "nobody", "/team": "somebody"}
        app.dependency_overrides.clear()
        assert found(client) == strangers


def test_a_guarded_mount_refuses_before_a_body_is_read(sandbox: Sandbox) -> None:
    """A stranger's upload is not waited for, and JSON that cannot be read is no 422 to them."""
    uploads, app = FastAPI(), new_app(sandbox)

    @uploads.post("/x")
    async def upload(data: dict[str, int], user: CurrentUser) -> str:
        return user.id

    app.mount("/uploads", starlette.require_user.guard(uploads))
    headers = [(name.encode(), value.encode()) for name, value in sandbox.headers(sandbox.create_user()).items()]

    async def post(headers: list[tuple[bytes, bytes]]) -> tuple[int, int]:
        read, status = 0, []

        async def receive() -> dict[str, Any]:
            nonlocal read
            read += 1
            return {"type": "http.request", "body": b"{", "more_body": False}

        async def send(message: Any) -> None:
            status.extend([message["status"]] if "status" in message else [])

        scope = {"type": "http", "method": "POST", "path": "/uploads/x", "headers": headers, "query_string": b""}
        kind = (b"content-type", b"application/json")
        await app({**scope, "headers": [*headers, kind]}, receive, send)
        return status[0], read

    assert asyncio.run(post([])) == (401, 0)
    assert asyncio.run(post([(b"x-stack-access-token", b"garbage")])) == (401, 0)
    status, read = asyncio.run(post(headers))
    assert (status, read > 0) == (422, True)


def test_api_keys_are_described(sandbox: Sandbox) -> None:
    """OpenAPI documents name the header of API keys, and both schemes where either serves."""
    app = new_app(sandbox, api_key_header="x-machine-key")
    app.get("/key", dependencies=[Depends(require_api_key)])(lambda: None)
    app.get("/either", dependencies=[Depends(require_user.allow(api_key=True))])(lambda: None)
    add_me(app)
    app.get("/public")(lambda: None)

    for document in (app.openapi(), app.openapi()):  # it is made once, and completed once
        schemes = document["components"]["securitySchemes"]
        key, token = "Hexclave API key", "Hexclave access token"
        assert schemes.keys() == {key, token}
        assert {name: schemes[key][name] for name in ("type", "in", "name")} == {
            "type": "apiKey",
            "in": "header",
            "name": "x-machine-key",
        }
        assert "access token" not in schemes[key]["description"]
        assert (schemes[token]["type"], schemes[token]["scheme"]) == ("http", "bearer")
        asked = {path: found["get"].get("security") for path, found in document["paths"].items()}
        assert asked == {
            "/key": [{key: []}],
            "/either": [{token: []}, {key: []}],
            "/me": [{token: []}],
            "/public": None,
        }
        assert {"401", "403", "503"} <= document["paths"]["/key"]["get"]["responses"].keys()


def test_a_requirement_that_was_called_by_mistake() -> None:
    """The error says what to write."""
    with pytest.raises(ConfigurationError, match=r"write Depends\(require_user\), without a call"):
        Depends(require_user())  # type: ignore[call-arg, arg-type]  # the mistake
