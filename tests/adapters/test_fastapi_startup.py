"""FastAPI: what the checks at start-up refuse, what they let through, and what they need of FastAPI."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest
from fastapi import (
    APIRouter,
    Cookie,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Security,
    routing,
)
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from hexclave_integrations import ConfigurationError, HexclaveUser, requirements, starlette
from hexclave_integrations.fastapi import (
    CurrentUser,
    FastAPIRequirement,
    Hexclave,
    OptionalUser,
    _internals,
    optional_user,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
)
from hexclave_integrations.testing import Sandbox

TEAM = "11111111-1111-4111-8111-111111111111"
REQUIREMENTS: dict[str, FastAPIRequirement] = {"user": require_user, "team": require_team(TEAM)}
MIXED = {"user": require_user, "limit": 3}


@pytest.fixture
def sandbox() -> Sandbox:
    """A fresh project."""
    return Sandbox()


def app_with(sandbox: Sandbox, *dependencies: Any) -> FastAPI:
    """An application with Hexclave and one route, which has these dependencies."""
    app = FastAPI()
    Hexclave(app, sandbox.config)

    @app.get("/x", dependencies=[Depends(each) for each in dependencies])
    async def view() -> str:
        return "in"

    return app


# --- dependencies that hand a requirement back ------------------------------------------------------------------------


async def returned(request: Request) -> Any:
    return require_project_permission("admin")


async def yielded(request: Request) -> AsyncIterator[Any]:
    yield require_permission(TEAM, "export_reports")


def out_of_a_dict(request: Request) -> Any:
    return REQUIREMENTS["user"]


def out_of_a_dict_by_name(kind: str = "user") -> Any:
    return REQUIREMENTS[kind]


def by_condition(request: Request) -> Any:
    return None if request.method == "HEAD" else require_user


async def on_one_path(request: Request) -> Any:
    if request.method == "GET":
        return require_user.live()
    return await require_user(request)


def by_way_of_a_variable(request: Request) -> Any:
    guard = require_user.allow(restricted=True)
    return guard  # noqa: RET504


def made_here(team: str = TEAM) -> Any:
    return FastAPIRequirement(scope="team", team=team)


def maker(name: str) -> FastAPIRequirement:
    return require_project_permission(name)


def by_way_of_a_function(request: Request) -> Any:
    return maker("admin")


async def async_maker() -> Any:
    return require_user


async def by_way_of_a_coroutine(request: Request) -> Any:
    return await async_maker()


def uncalled(request: Request) -> Any:
    return require_team


def not_read_but_said(request: Request) -> FastAPIRequirement:
    (guard,) = [each for each in REQUIREMENTS.values() if each is require_user]
    return guard


def logged(function: Any) -> Any:
    """A decorator that is not written well: it hides the signature."""

    async def wrapper(request: Request) -> Any:
        return await function(request)

    return wrapper


class Guard:
    """An object that can be called, the way of the documentation of FastAPI for dependencies with parameters."""

    def __init__(self, permission: str) -> None:
        self.requirement = require_project_permission(permission)

    async def __call__(self, request: Request) -> Any:
        return self.requirement

    def method(self, request: Request) -> Any:
        return self.made()

    def made(self) -> Any:
        return require_permission("{team_id}", "a")


def of_a_factory(permission: str) -> Any:
    async def check(request: Request) -> Any:
        return require_project_permission(permission)

    return check


HANDED_BACK: dict[str, Any] = {
    **{
        each.__name__: each
        for each in (
            returned,
            yielded,
            out_of_a_dict,
            out_of_a_dict_by_name,
            by_condition,
            on_one_path,
            by_way_of_a_variable,
            made_here,
            by_way_of_a_function,
            by_way_of_a_coroutine,
            uncalled,
            not_read_but_said,
        )
    },
    "lambda": lambda: require_user,
    "get of a dict": lambda kind="user": REQUIREMENTS.get(kind),
    "one of two lambdas": [lambda: 1, lambda: require_team][1],
    "lambda with a condition": lambda x=1: require_user if x else optional_user,
    "lambda with or": lambda: None or require_user,
    "lambda, other framework": lambda: starlette.require_user,
    "lambda, core": lambda: requirements.require_permission,
    "object": Guard("admin"),
    "method": Guard("admin").method,
    "closure": of_a_factory("admin"),
    "partial": functools.partial(lambda kept: kept, require_user),
    "cached": functools.cache(lambda: require_user),
    "decorated": logged(returned),
}


@pytest.mark.parametrize("name", HANDED_BACK)
@pytest.mark.parametrize("place", ["list", "parameter", "nested"])
def test_what_hands_a_requirement_back_is_refused(sandbox: Sandbox, name: str, place: str) -> None:
    """A dependency whose value is a requirement would let everybody in: it stops the start."""
    app = app_with(sandbox, *([HANDED_BACK[name]] if place == "list" else []))
    depends = Depends(HANDED_BACK[name])

    def outer(value: Any = depends) -> Any:
        return value

    if place != "list":

        @app.get("/y")
        async def view(value: Any = depends if place == "parameter" else Depends(outer)) -> str:  # noqa: B008
            return "in"

    message = r"returns a requirement .* write Depends\(require_user\)"
    with pytest.raises(ConfigurationError, match=message), TestClient(app):
        pass


# --- nothing harmless is refused --------------------------------------------------------------------------------------
# The dependencies of FastAPI's tutorial, and functions that speak of requirements.


def common_parameters(q: str | None = None, skip: int = 0, limit: int = 100) -> dict[str, Any]:
    return {"q": q, "skip": skip, "limit": limit}


CommonsDep = Annotated[dict[str, Any], Depends(common_parameters)]


class CommonQueryParams:
    def __init__(self, q: str | None = None, skip: int = 0, limit: int = 100) -> None:
        self.q = q


def query_extractor(q: str | None = None) -> str | None:
    return q


def query_or_cookie_extractor(
    q: Annotated[str | None, Depends(query_extractor)], last_query: Annotated[str | None, Cookie()] = None
) -> str | None:
    return q or last_query


async def verify_token(x_token: Annotated[str, Header()] = "fake-super-secret-token") -> None:
    if x_token != "fake-super-secret-token":
        raise HTTPException(status_code=400, detail="X-Token header invalid")


class DBSession:
    closed = False

    def close(self) -> None:
        self.closed = True


async def get_db() -> AsyncIterator[DBSession]:
    db = DBSession()
    try:
        yield db
    finally:
        db.close()


async def dependency_a(db: Annotated[DBSession, Depends(get_db)]) -> AsyncIterator[DBSession]:
    yield db


class MySuperContextManager:
    def __enter__(self) -> DBSession:
        return DBSession()

    def __exit__(self, *exception: object) -> None: ...


async def get_db_of_a_context_manager() -> AsyncIterator[DBSession]:
    with MySuperContextManager() as db:
        yield db


class FixedContentQueryChecker:
    def __init__(self, fixed_content: str) -> None:
        self.fixed_content = fixed_content

    def __call__(self, q: str = "") -> bool:
        return self.fixed_content in q


def forward(item: Item | None = None, page: Annotated[Page, Query()] = None) -> Any:  # type: ignore[assignment]
    return item or page


class Item(BaseModel):
    name: str
    parent: Item | None = None


class Page(BaseModel):
    size: int = 1


oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token", auto_error=False)


async def with_scopes(security_scopes: SecurityScopes, token: Annotated[str | None, Depends(oauth2_scheme)]) -> Any:
    return security_scopes.scopes


def with_an_injected_clock(clock: Any = time.monotonic, kind: type = DBSession) -> Any:
    return clock()


def speaks_of_requirements() -> bool:
    return require_user.needs_server_key or REQUIREMENTS["team"].scope == "team"


def keeps_requirements() -> dict[str, Any]:
    known = {"guards": [require_user], "default": require_user.scope}
    return known  # noqa: RET504


def out_of_a_mixed_dict(kind: str = "limit") -> Any:
    return MIXED[kind]


def takes_turns() -> Any:
    guard: Any = require_user
    guard = guard.scope
    return guard  # noqa: RET504


async def applies_it(request: Request) -> Any:
    guard = REQUIREMENTS["user"] if "strict" in request.query_params else optional_user
    return await guard(request)


async def applies_it_by_a_variable(request: Request) -> Any:
    user = optional_user
    user = await user(request)
    return user  # noqa: RET504


def apply(function: Any) -> Any:
    """A decorator that applies what a function returns."""

    @functools.wraps(function)
    async def wrapper(request: Request) -> Any:
        return await function(request)(request)

    return wrapper


@apply
def chosen_guard(request: Request) -> Any:
    return optional_user


async def with_a_function_within(request: Request) -> Any:
    def guard() -> Any:
        return require_user

    return guard().scope


def names_something_else() -> Any:
    def require_user() -> int:
        return 1

    return require_user


def with_strings_in_annotations(
    order: Literal["asc", "desc"] = "asc",
    size: Annotated[int, "of a page"] = 1,
    tags: Annotated[list[str] | None, Query()] = None,
) -> Any:
    return order, size, tags


async def describes(user: OptionalUser, named: CommonsDep) -> str:
    return "nobody" if user is None else user.id


HARMLESS: dict[str, Any] = {
    **{
        each.__name__: each
        for each in (
            common_parameters,
            CommonQueryParams,
            query_or_cookie_extractor,
            verify_token,
            get_db,
            dependency_a,
            get_db_of_a_context_manager,
            forward,
            with_scopes,
            with_an_injected_clock,
            speaks_of_requirements,
            keeps_requirements,
            out_of_a_mixed_dict,
            takes_turns,
            applies_it,
            applies_it_by_a_variable,
            chosen_guard,
            with_a_function_within,
            names_something_else,
            with_strings_in_annotations,
            describes,
        )
    },
    "parameterized": FixedContentQueryChecker("bar"),
    "a model": Page,
    "oauth": oauth2_scheme,
    "lambda": lambda: require_user.needs_server_key,
    "two lambdas": [lambda: require_user.scope, lambda: 1][0],
    "built-in": random.random,
    "partial": functools.partial(common_parameters, limit=1),
    "cache": functools.cache(speaks_of_requirements),
    "no source": eval("lambda: 1"),
    "requirement": optional_user,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_nothing_harmless_is_refused(sandbox: Sandbox, name: str) -> None:
    """Dependencies as FastAPI's tutorial has them, and functions that only speak of requirements, start and answer."""
    app = app_with(sandbox, HARMLESS[name])

    @app.get("/value")
    async def value(found: Any = Depends(HARMLESS[name])) -> str:  # noqa: B008
        return "in"

    with TestClient(app) as client:
        assert [client.get(path).status_code for path in ("/x", "/value")] == [200, 200]


@pytest.mark.parametrize("mock", [Mock(return_value=1), MagicMock(return_value=1), AsyncMock(return_value=1)])
def test_mocks_are_dependencies(sandbox: Sandbox, mock: Any) -> None:
    """A mock in place of a dependency is none of the kit's business."""
    app = FastAPI(dependencies=[])
    Hexclave(app, sandbox.config)

    @app.get("/x", dependencies=[Depends(mock)])
    async def view() -> str:
        return "in"

    with TestClient(app):
        pass


def test_global_dependencies_and_unread_annotations(sandbox: Sandbox) -> None:
    """Global dependencies start, and so does an unresolved annotation where FastAPI reads none: of what is returned,
    and of a parameter that has its dependency as default."""
    app = FastAPI(dependencies=[Depends(verify_token)])
    Hexclave(app, sandbox.config)

    @app.get("/x")
    async def view(session: Session = Depends(get_db)) -> Session:  # type: ignore[name-defined]  # noqa: B008, F821
        return "in"

    app.router.routes[-1].response_model = None  # type: ignore[attr-defined]
    with TestClient(app):
        pass


# --- what FastAPI has to have -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["default", "Annotated", "list", "router", "inclusion", "application"])
def test_scopes_of_oauth_are_refused(sandbox: Sandbox, form: str) -> None:
    """`Security(require_user, scopes=[...])` would ask for no scope: it stops the start wherever it stands."""
    security: Any = Security(require_user, scopes=["admin"])
    app = FastAPI(dependencies=[security] if form == "application" else [])
    Hexclave(app, sandbox.config)
    router = APIRouter(dependencies=[security] if form == "router" else [])

    async def view(user: Any = security if form == "default" else None) -> str:
        return "in"

    view.__annotations__["user"] = Annotated[HexclaveUser, security] if form == "Annotated" else Any
    router.get("/x", dependencies=[security] if form == "list" else [])(view)
    app.include_router(router, dependencies=[security] if form == "inclusion" else [])

    with pytest.raises(ConfigurationError, match="OAuth scopes"), TestClient(app):
        pass


def test_security_without_scopes_is_a_requirement(sandbox: Sandbox) -> None:
    """`Security(require_user)` is `Depends(require_user)`."""
    app = FastAPI(dependencies=[Security(require_user)])
    Hexclave(app, sandbox.config)
    app.get("/x")(speaks_of_requirements)

    with TestClient(app) as client:
        assert client.get("/x").status_code == 401


def test_this_version_of_fastapi_can_be_read() -> None:
    """The installed FastAPI keeps routes and dependencies where the checks look for them."""
    _internals.check_version.cache_clear()
    _internals.check_version()


@pytest.mark.parametrize("part", _internals.NAMES)
def test_where_a_part_of_fastapi_vanished_nothing_starts(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """A FastAPI that keeps something elsewhere stops the start and is named: no check is silently blind."""
    is_older = {"contexts": not hasattr(routing, "_IncludedRouter"), "rebuilt": not hasattr(routing, "_IncludedRouter")}
    if is_older.get(part, "files" in part and not hasattr(APIRouter, "frontend")):
        pytest.skip("this FastAPI has no such thing")
    app = app_with(sandbox)
    monkeypatch.setattr(_internals, "check_version", _internals.check_version.__wrapped__)
    monkeypatch.setitem(_internals.NAMES, part, "moved_elsewhere")

    with pytest.raises(ConfigurationError, match=r"cannot read the routes of FastAPI \d"), TestClient(app):
        pass


def test_routes_of_fastapi_under_the_middleware_of_starlette(sandbox: Sandbox) -> None:
    """A FastAPI application that is mounted in one of Starlette's is looked at as well."""
    sub = FastAPI()

    @sub.get("/x")
    async def view(user: Any = CurrentUser) -> str:
        return "in"

    app = Starlette(
        routes=[Mount("/sub", sub)], middleware=[Middleware(starlette.HexclaveMiddleware, config=sandbox.config)]
    )
    with pytest.raises(ConfigurationError, match="'user' of /sub/x"), TestClient(app):
        pass


def test_dependencies_of_static_files_are_looked_at(sandbox: Sandbox, tmp_path: Any) -> None:
    """A misuse that would guard files only stops the start as well."""
    if not hasattr(APIRouter, "frontend"):
        pytest.skip("this FastAPI serves no frontends")
    app = FastAPI(dependencies=[Depends(lambda: require_user)])
    Hexclave(app, sandbox.config)
    app.frontend("/files", directory=tmp_path)

    with pytest.raises(ConfigurationError, match="returns a requirement"), TestClient(app):
        pass


# --- arguments of the same name as the parameter that a requirement reads ------------------------------------------


def of_query(team_id: str) -> str:
    return team_id


def with_default(team_id: str = "mine") -> str:
    return team_id


def of_path(team_id: Annotated[str, Path()]) -> str:
    return team_id


def of_path_by_default(team_id: str = Path()) -> str:
    return team_id


@pytest.mark.parametrize("place", ["endpoint", "dependency"])
@pytest.mark.parametrize(
    ("handler", "is_misread"), [(of_query, True), (with_default, True), (of_path, False), (of_path_by_default, False)]
)
def test_a_mounts_parameter_is_read_from_the_path(
    sandbox: Sandbox, handler: Callable[..., str], is_misread: bool, place: str
) -> None:
    """FastAPI knows the parameters of a route's own path alone: a plain argument would be a team out of the query."""
    app, inner = app_with(sandbox), FastAPI()

    def depending(found: str = Depends(handler)) -> str:
        return found

    guard = Depends(require_team("{team_id}"))
    inner.get("/reports", dependencies=[guard])(handler if place == "endpoint" else depending)
    app.mount("/teams/{team_id}", inner)
    alice = sandbox.create_user()
    mine, theirs = sandbox.create_team(), sandbox.create_team()
    sandbox.add_member(mine, alice)
    if is_misread:
        message = 'takes "team_id" from the query .* declare it as Path'
        with pytest.raises(ConfigurationError, match=message), TestClient(app):
            pass
        return
    with TestClient(app) as client:
        answer = client.get(f"/teams/{mine.id}/reports?team_id={theirs.id}", headers=sandbox.headers(alice))
        assert (answer.status_code, answer.json()) == (200, mine.id)


def test_a_prefix_of_a_router_is_part_of_the_path(sandbox: Sandbox) -> None:
    """Nothing is refused where FastAPI itself reads the parameter from the path."""
    app, router = app_with(sandbox), APIRouter()
    router.get("/reports", dependencies=[Depends(require_team("{team_id}"))])(of_query)
    app.include_router(router, prefix="/teams/{team_id}")
    with TestClient(app) as client:
        assert client.get(f"/teams/{sandbox.create_team().id}/reports").status_code == 401
