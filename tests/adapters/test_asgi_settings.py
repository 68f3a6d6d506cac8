"""FastAPI, Starlette and Litestar: when settings are read, and how a test gives an application others."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi import Request as FastAPIRequest
from fastapi.testclient import TestClient
from litestar import Litestar
from litestar import Request as LitestarRequest
from litestar import get as litestar_get
from litestar.testing import TestClient as LitestarClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from hexclave_integrations import AsyncHexclaveClient, ConfigurationError, HexclaveConfig, fastapi, litestar, starlette
from hexclave_integrations.testing import Sandbox

TEAM = "11111111-1111-4111-8111-111111111111"


def fastapi_app(config: HexclaveConfig | None = None, again: Any = ()) -> FastAPI:
    app = FastAPI()
    for each in (config, *again):
        fastapi.Hexclave(app, each)

    @app.get("/me")
    async def me(request: FastAPIRequest, user: fastapi.CurrentUser) -> dict[str, str]:
        return {"id": user.id}

    @app.get("/team", dependencies=[Depends(fastapi.require_team(TEAM))])
    async def team() -> None: ...

    return app


def starlette_app(config: HexclaveConfig | None = None, again: Any = ()) -> Starlette:
    @starlette.require_user
    async def me(request: Request) -> JSONResponse:
        return JSONResponse({"id": request.user.id})

    @starlette.require_team(TEAM)
    async def team(request: Request) -> JSONResponse:
        return JSONResponse(None)

    middleware = [Middleware(starlette.HexclaveMiddleware, config=each) for each in (config, *again)]
    return Starlette(routes=[Route("/me", me), Route("/team", team)], middleware=middleware)


def litestar_app(config: HexclaveConfig | None = None, again: Any = ()) -> Litestar:
    @litestar_get("/me", guards=[litestar.require_user])
    async def me(request: LitestarRequest[Any, Any, Any]) -> dict[str, str]:
        return {"id": request.user.id}

    @litestar_get("/team", guards=[litestar.require_team(TEAM)])
    async def team() -> None: ...

    return Litestar([me, team], plugins=[litestar.HexclavePlugin(each) for each in (config, *again)])


@dataclass(frozen=True)
class Kind:
    """A framework, as these tests use it."""

    make: Callable[..., Any]
    client: Callable[[Any], Any]
    override: Callable[[Any, HexclaveConfig], AbstractContextManager[AsyncHexclaveClient]]


KINDS = {
    "fastapi": Kind(fastapi_app, TestClient, fastapi.override_config),
    "starlette": Kind(starlette_app, TestClient, starlette.override_config),
    "litestar": Kind(litestar_app, LitestarClient, litestar.override_config),
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each framework in turn."""
    return KINDS[request.param]


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without any setting."""
    for prefix in ("HEXCLAVE", "STACK"):
        for name in ("PROJECT_ID", "SECRET_SERVER_KEY", "API_URL"):
            monkeypatch.delenv(f"{prefix}_{name}", raising=False)


@contextmanager
def refused_at_start(text: str) -> Iterator[None]:
    """Expect a ConfigurationError; Litestar packs what its lifespan raises into a group."""
    with pytest.raises((ConfigurationError, ExceptionGroup)) as caught:
        yield
    error: Any = caught.value
    (only,) = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
    assert isinstance(only, ConfigurationError)
    assert re.search(text, str(only))


@pytest.mark.usefixtures("no_settings")
def test_an_application_is_made_without_settings_and_does_not_start(kind: Kind) -> None:
    """Importing an application needs no environment; serving does, and nothing is served without."""
    app = kind.make()
    with refused_at_start("HEXCLAVE_PROJECT_ID"), kind.client(app):
        pass
    if kind.client is TestClient:  # a server that leaves the lifespan out
        with pytest.raises(ConfigurationError, match="HEXCLAVE_PROJECT_ID"):
            TestClient(app).get("/me")


@pytest.mark.usefixtures("no_settings")
def test_the_description_of_an_application_needs_no_settings() -> None:
    """OpenAPI documents are written in CI, where there are none."""
    assert set(fastapi_app().openapi()["paths"]) == {"/me", "/team"}
    assert set(litestar_app().openapi_schema.paths or ()) == {"/me", "/team"}


@pytest.mark.usefixtures("no_settings")
@pytest.mark.parametrize("has_own", [False, True], ids=["no settings of its own", "settings of its own"])
def test_two_tests_of_one_application(kind: Kind, has_own: bool) -> None:
    """Each test puts its sandbox in, nothing of it is left for the next, and the application's own settings return."""
    own = Sandbox()
    app = kind.make(own.config if has_own else None)
    mine = own.headers(own.create_user())
    if has_own:
        with kind.client(app) as client:
            assert client.get("/me", headers=mine).status_code == 200

    for _ in range(2):
        sandbox = Sandbox()
        alice = sandbox.create_user()
        with kind.override(app, sandbox.config) as made, kind.client(app) as client:
            assert made.config.project_id == sandbox.config.project_id
            assert client.get("/me", headers=sandbox.headers(alice)).json() == {"id": alice.id}
            assert client.get("/me").status_code == 401
            assert client.get("/me", headers=mine).json()["code"] == "INVALID_PROJECT_FOR_ACCESS_TOKEN"
        assert sandbox.count("/jwks.json") == 1

    if has_own:
        with kind.client(app) as client:
            assert client.get("/me", headers=mine).status_code == 200
            assert client.get("/me", headers=sandbox.headers(alice)).status_code == 401


def test_settings_may_be_overridden_while_an_application_runs(kind: Kind, hexclave_sandbox: Sandbox) -> None:
    """The application may have started, as a client that all tests share has it."""
    sandbox = Sandbox()
    with kind.client(kind.make(sandbox.config)) as client:
        assert client.get("/me", headers=sandbox.headers(sandbox.create_user())).status_code == 200
        with kind.override(client.app, hexclave_sandbox.config):
            alice = hexclave_sandbox.create_user()
            assert client.get("/me", headers=hexclave_sandbox.headers(alice)).json() == {"id": alice.id}
            assert client.get("/me", headers=sandbox.headers(sandbox.create_user())).status_code == 401
        assert client.get("/me", headers=sandbox.headers(sandbox.create_user())).status_code == 200
        assert client.get("/me", headers=hexclave_sandbox.headers(alice)).status_code == 401


def test_what_was_overridden_is_checked_at_the_start(kind: Kind) -> None:
    """A requirement that the other settings cannot serve stops the start."""
    sandbox = Sandbox()
    app = kind.make(sandbox.config)
    lacking = dataclasses.replace(sandbox.config, secret_server_key=None)
    with (
        kind.override(app, lacking),
        refused_at_start("/team needs it"),
        kind.client(app) as client,
    ):
        client.get("/me")


@pytest.mark.parametrize("name", ["fastapi", "starlette"])
def test_what_is_overridden_in_a_running_application_is_checked(name: str) -> None:
    """The routes are held against the other settings before the first request that they serve."""
    kind, sandbox = KINDS[name], Sandbox()
    lacking = dataclasses.replace(sandbox.config, secret_server_key=None)
    with kind.client(kind.make(sandbox.config)) as client:
        with kind.override(client.app, lacking), pytest.raises(ConfigurationError, match="/team needs it"):
            client.get("/me")
        assert client.get("/me").status_code == 401


@pytest.mark.parametrize("app", [FastAPI(), Starlette(), Litestar([])], ids=lambda app: type(app).__name__)
def test_there_has_to_be_something_to_override(app: Any, hexclave_sandbox: Sandbox) -> None:
    """An application without Hexclave is not let believe that it has one."""
    override: Any = litestar.override_config if isinstance(app, Litestar) else fastapi.override_config
    with pytest.raises(ConfigurationError, match="not installed"), override(app, hexclave_sandbox.config):
        pass


def test_installed_twice(kind: Kind) -> None:
    """With the very same settings the second changes nothing; with others one of them would be ignored."""
    sandbox, other = Sandbox(), Sandbox()
    with kind.client(kind.make(sandbox.config, again=[sandbox.config])) as client:
        alice = sandbox.create_user()
        assert client.get("/me", headers=sandbox.headers(alice)).json() == {"id": alice.id}
        assert client.get("/me").status_code == 401

    with (
        refused_at_start(r"already, with other settings.*override_config\(app, config\)"),
        kind.client(kind.make(sandbox.config, again=[other.config])),
    ):
        pass


def test_a_mounted_application_may_have_settings_of_its_own() -> None:
    """A second project inside of a mount is no second Hexclave on one application."""
    outer, inner = Sandbox(), Sandbox()
    app = starlette_app(outer.config)
    app.router.routes.append(Mount("/in", app=starlette_app(inner.config)))
    with TestClient(app) as client:
        assert client.get("/in/me", headers=inner.headers(inner.create_user())).status_code == 200
        assert client.get("/me", headers=outer.headers(outer.create_user())).status_code == 200
        assert client.get("/in/me", headers=outer.headers(outer.create_user())).status_code == 401


def test_too_late(hexclave_sandbox: Sandbox) -> None:
    """Inside of the lifespan an application has started: the error says where Hexclave belongs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        fastapi.Hexclave(app, hexclave_sandbox.config)
        yield

    with (
        pytest.raises(ConfigurationError, match="where it is made, and not in its lifespan"),
        TestClient(FastAPI(lifespan=lifespan)),
    ):
        pass
