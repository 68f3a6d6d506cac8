"""`hexclave routes`: its list, held against what a stranger gets; what it cannot tell; its exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hexclave_integrations import SELECTED_TEAM, requirements
from hexclave_integrations._adapter.listing import lets_in
from hexclave_integrations._tools.console import main
from hexclave_integrations.requirements import Requirement

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "HEXCLAVE_PROJECT_ID": "00000000-0000-4000-8000-000000000001",
    "HEXCLAVE_SECRET_SERVER_KEY": "ssk_only_for_tests",
    "HEXCLAVE_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "HEXCLAVE_API_URL": "http://127.0.0.1:9",  # nobody answers there: nothing may be fetched
    "CONVEX_URL": "http://127.0.0.1:9",
    "SUPABASE_URL": "http://127.0.0.1:9",
    "SUPABASE_ANON_KEY": "only for tests",
    "SUPABASE_JWT_SECRET": "a secret that is long enough for HS256",
}
EXAMPLES = {
    "fastapi": ["examples.fastapi_app.main:app"],
    "flask": ["examples.flask_app.main:app"],
    "flask factory": ["examples.flask_app.main:create_app()"],
    "supabase": ["examples.supabase.main:app"],
    "convex": ["examples.convex_app.main:app"],
    "django": ["--django-settings", "examples.django_project.settings"],
}

# What a stranger gets from each route of a list, in a process of its own: Django's settings belong to one.
STRANGER = """
import json, re, sys
listed, target = json.load(sys.stdin), sys.argv[1]
def spelled(path):
    return re.sub(r"[{<][^}>]*[}>]", "00000000-0000-4000-8000-000000000002", path)
if target == "--django-settings":
    import os
    os.environ["DJANGO_SETTINGS_MODULE"] = sys.argv[2]
    import django; django.setup()
    from django.test import Client
    client = Client(raise_request_exception=False, headers={"host": "localhost"})
    ask = lambda method, path: client.generic(method, path).status_code
else:
    import importlib
    module, _, name = target.partition(":")
    app = getattr(importlib.import_module(module), name.removesuffix("()"))
    app = app() if name.endswith("()") else app
    if hasattr(app, "wsgi_app"):
        ask = lambda method, path: app.test_client().open(path, method=method).status_code
    else:
        from starlette.testclient import TestClient
        client = TestClient(app, raise_server_exceptions=False)
        ask = lambda method, path: client.request(method, path).status_code
print(json.dumps([ask("GET" if each["method"] == "ANY" else each["method"], spelled(each["path"])) for each in listed]))
"""


def run(*words: str, stdin: str = "", code: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, or other code in its place."""
    command = ["-m", "hexclave_integrations", "routes"] if code is None else ["-c", code]
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "HOME")}
    path = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, *command, *words],
        cwd=ROOT,
        env={**kept, **SETTINGS, **environ, "PYTHONPATH": path},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_stranger_gets_what_the_list_says(example: str) -> None:
    """Of every route of the examples, for every method: 401 where it says guarded, and only there."""
    words = EXAMPLES[example]
    answered = run(*words, "--json")
    assert answered.returncode == 0, answered.stderr
    listed = json.loads(answered.stdout)
    asked = run(*words, stdin=answered.stdout, code=STRANGER)
    assert asked.returncode == 0, asked.stderr
    statuses = json.loads(asked.stdout)
    assert len(listed) == len(statuses) >= 2
    assert any(each["access"] == "guarded" for each in listed)
    for each, status in zip(listed, statuses, strict=True):
        assert (each, status == 401) == (each, each["access"] == "guarded")


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_have_no_open_door(example: str) -> None:
    """Every route of theirs that asks nobody says so."""
    assert run(*EXAMPLES[example], "--fail-on-public").returncode == 0


APPS = {
    "fastapi": """
from fastapi import APIRouter, FastAPI, Depends
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles
from hexclave_integrations.fastapi import *
app = FastAPI(openapi_url=None)
Hexclave(app, **OPTIONS)
router = APIRouter(dependencies=[Depends(require_user)])
router.get("/inside")(lambda: 1)
app.include_router(router, prefix="/router")
app.get("/bare")(lambda: 1)
app.get("/public")(public(lambda: 1))
@app.websocket("/socket")
async def socket(websocket): ...
sub = FastAPI(openapi_url=None)
sub.post("/deep", dependencies=[Depends(require_team("00000000-0000-4000-8000-000000000003"))])(lambda: 1)
sub.get("/bare")(lambda: 1)
app.mount("/sub", sub)
app.mount("/files", StaticFiles(directory="."))
""",
    "starlette": """
import functools
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.routing import Mount, Route, WebSocketRoute
from hexclave_integrations.starlette import *
async def bare(request): ...
async def other(request): ...
async def socket(websocket): ...
class Endpoint(HTTPEndpoint):
    @require_user.allow(anonymous=True)
    async def get(self, request): ...
    async def post(self, request): ...
guarded = require_user(other)
@functools.wraps(guarded)
async def hidden(request): ...
inner = [Route("/inside", other)]
app = Starlette(
    routes=[
        Route("/bare", bare), Route("/hidden", hidden), Route("/endpoint", Endpoint), WebSocketRoute("/socket", socket),
        Mount("/guarded", routes=inner, middleware=[Middleware(require_user.guard)]),
        Mount("/plain", routes=inner),
    ],
    middleware=[Middleware(HexclaveMiddleware, **OPTIONS)],
)
""",
    "litestar": """
from litestar import Controller, Litestar, get, websocket
from hexclave_integrations.litestar import *
@get("/bare")
async def bare() -> None: ...
@get("/public")
@public
async def open_() -> None: ...
class Things(Controller):
    path = "/things"
    guards = [require_user]
    @get()
    async def list_(self) -> None: ...
app = Litestar([bare, open_, Things], plugins=[HexclavePlugin(**OPTIONS)], openapi_config=None)
""",
    "flask": """
import functools
from flask import Blueprint, Flask
from flask.views import MethodView
from hexclave_integrations.flask import *
def create_app():
    app = Flask("routes", static_folder=None)
    Hexclave(app, **OPTIONS)
    app.get("/bare")(lambda: "1")
    def logged(view):
        return functools.wraps(view)(lambda **params: view(**params))
    app.add_url_rule("/hidden", "hidden", logged(require_user(lambda: "1")))
    app.add_url_rule("/public", "public", public(lambda: "1"))
    class Methods(MethodView):
        def get(self): return "1"
        @require_user.live()
        def delete(self): return "1"
    app.add_url_rule("/methods", view_func=Methods.as_view("methods"))
    blueprint = Blueprint("blueprint", "blueprint", url_prefix="/blueprint")
    blueprint.before_request(require_api_key.check)
    blueprint.get("/inside")(lambda: "1")
    app.register_blueprint(blueprint)
    return app
app = create_app()
""",
}
LISTED = {
    "fastapi": {
        "GET /router/inside": "a user",
        "GET /bare": None,
        "GET /public": "anyone: marked public",
        "WEBSOCKET /socket": None,
        "POST /sub/deep": "a user in team 00000000-0000-4000-8000-000000000003",
        "GET /sub/bare": None,
        "ANY /files/{path}": None,
    },
    "starlette": {
        "GET /bare": None,
        "HEAD /bare": None,
        "GET /hidden": None,
        "HEAD /hidden": None,
        "GET /endpoint": "a user (an anonymous user too)",
        "POST /endpoint": None,
        "WEBSOCKET /socket": None,
        "GET /guarded/inside": "a user",
        "HEAD /guarded/inside": "a user",
        "GET /plain/inside": None,
        "HEAD /plain/inside": None,
    },
    "litestar": {"GET /bare": None, "GET /public": "anyone: marked public", "GET /things": "a user"},
    "flask": {
        "GET /bare": None,
        "HEAD /bare": None,
        "GET /hidden": None,
        "HEAD /hidden": None,
        "GET /public": "anyone: marked public",
        "HEAD /public": "anyone: marked public",
        "GET /methods": None,
        "HEAD /methods": None,
        "DELETE /methods": "a user, confirmed by Hexclave now",
        "GET /blueprint/inside": "a valid API key",
        "HEAD /blueprint/inside": "a valid API key",
    },
}
"""Whom each route lets in; None where nothing is known to ask."""
CANNOT_BE_TOLD = {"/hidden", "/files/{path}"}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Write an application to a module of its own; returns its name."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    made: list[str] = []

    def write(text: str) -> str:
        name = f"hexclave_routes_{len(made)}_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(text)
        made.append(name)
        return name

    yield write
    for name in made:
        sys.modules.pop(name, None)


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]]]:
    code = main(["routes", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("framework", APPS)
def test_whom_routes_let_in(framework: str, module: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a default, what nothing asks is public, what is not known is said to be unknown, and both fail."""
    name = module("OPTIONS = {}\n" + APPS[framework])
    code, found = listed(capsys, f"{name}:app", "--fail-on-public")
    expected = LISTED[framework]
    assert code == 1
    assert [f"{each['method']} {each['path']}" for each in found] != []
    assert {f"{each['method']} {each['path']}" for each in found} == expected.keys()
    for each in found:
        wanted = expected[f"{each['method']} {each['path']}"]
        if wanted is not None:
            assert each["lets_in"] == wanted
            assert each["access"] == ("public" if each["is_marked"] and wanted.startswith("anyone") else "guarded")
        elif each["path"] in CANNOT_BE_TOLD:
            assert (each["access"], each["is_marked"]) == ("unknown", False)
            assert each["lets_in"].startswith("cannot be told")
        else:
            assert (each["access"], each["is_marked"]) == ("public", False)
            assert each["lets_in"] == "anyone: no requirement"


@pytest.mark.parametrize("framework", APPS)
def test_with_a_default(framework: str, module: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    """What nothing is known of is guarded, and nothing fails."""
    text = APPS[framework].replace("**OPTIONS", "default=require_user")
    code, found = listed(capsys, f"{module(text)}:app", "--fail-on-public")
    assert code == 0
    for each in found:
        wanted = LISTED[framework][f"{each['method']} {each['path']}"]
        if wanted is None:
            assert each["access"] == "guarded"
            assert each["lets_in"].startswith("a user (the default)")
        else:
            assert each["lets_in"] == wanted


WORDS: dict[str, Requirement] = {
    "a user": requirements.require_user,
    "a user (a restricted user too)": requirements.require_user.allow(restricted=True),
    "a user (an anonymous user too), or their API key": requirements.require_user.allow(anonymous=True, api_key=True),
    "a user, confirmed by Hexclave now": requirements.require_user.live(),
    "anyone: bad credentials are refused": requirements.optional_user,
    "a valid API key": requirements.require_api_key,
    "a valid API key of a regular or restricted user": requirements.require_api_key.allow(restricted=True),
    "a user in team {team_id}": requirements.require_team("{team_id}"),
    "a user in the selected team": requirements.require_team(SELECTED_TEAM),
    "a user in a team that the application chooses": requirements.require_team(lambda request: None),
    "a user with write in team {t}": requirements.require_permission("{t}", "write"),
    "a user with staff in the project": requirements.require_project_permission("staff"),
}


@pytest.mark.parametrize("words", WORDS)
def test_the_words(words: str) -> None:
    """Of every kind of requirement."""
    assert lets_in(WORDS[words]) == words


def test_public_alone(module: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    """`--public` lists what asks nobody, or may ask nobody; a table has a line for each path and answer."""
    name = module("OPTIONS = {}\n" + APPS["flask"])
    assert main(["routes", f"{name}:create_app()", "--public"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [re.split(r"\s{2,}", line)[:2] for line in lines] == [
        ["GET HEAD", "/bare"],
        ["GET HEAD", "/hidden"],
        ["GET HEAD", "/public"],
        ["GET HEAD", "/methods"],
    ]
    assert main(["routes", f"{name}:app", "--fail-on-public"]) == 1
    said = capsys.readouterr().err
    assert "GET /bare" in said
    assert "/public" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name the application"),
        (["no_such_module_of_ours:app"], "no module no_such_module_of_ours"),
        (["json"], "write MODULE:APP"),
        (["json:nothing"], "json has no nothing"),
        (["json:dumps"], "no application of FastAPI.*write \\(\\)"),
        (["json:app", "--django-settings", "os"], "either"),
        (["fails:app"], "ZeroDivisionError(.|\n)*cannot be imported"),
    ],
)
def test_what_cannot_be_listed(
    words: list[str], said: str, module: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and a sentence."""
    if words[:1] == ["json:app"]:
        words = [f"{module('app = 1')}:app", *words[1:]]
    if words[:1] == ["fails:app"]:
        words = [f"{module('app = 1 / 0')}:app"]
    assert main(["routes", *words]) == 2
    assert re.search(said, capsys.readouterr().err)


def test_a_missing_setting(module: Callable[[str], str], capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """A Flask application that cannot be made without its settings says which is missing."""
    monkeypatch.delenv("HEXCLAVE_PROJECT_ID")
    name = module("OPTIONS = {}\n" + APPS["flask"])
    assert main(["routes", f"{name}:app"]) == 2
    assert "HEXCLAVE_PROJECT_ID" in capsys.readouterr().err
