"""Every example of the README runs, and those of the guides that need more than a page can say."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shlex
import sys
import time
from doctest import ELLIPSIS, OutputChecker
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from hexclave_integrations._tools.console import main
from hexclave_integrations.testing import Sandbox

from ._sandbox_command import LIMIT, running
from ._services import free_port

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
GUIDES = ROOT / "docs" / "guides"
PAGES = ("local-development", "browsers", "webhooks", "supabase", "convex", "testing", "troubleshooting", "server")


def examples() -> dict[str, str]:
    """The blocks by their heading, or the title of their page; a further one has a number behind it."""
    found: dict[str, str] = {}
    for path in (README, *(GUIDES / f"{page}.md" for page in PAGES)):
        text = path.read_text(encoding="utf-8")
        heading = "Start" if path == README else text.partition("\n")[0].removeprefix("# ")
        for title, code in re.findall(r"^##+ (.+?)$|^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            heading = title or heading
            if code:
                number = sum(name.startswith(heading) for name in found) + 1
                found[heading if number == 1 else f"{heading} {number}"] = code
    return found


def run(code: str, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, url: str, **names: Any) -> dict[str, Any]:
    monkeypatch.setenv("HEXCLAVE_API_URL", url)
    monkeypatch.setenv("HEXCLAVE_PROJECT_ID", sandbox.config.project_id)
    monkeypatch.setenv("HEXCLAVE_SECRET_SERVER_KEY", str(sandbox.config.secret_server_key))
    module = ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)  # some frameworks look up where a function was written
    namespace = vars(module)
    namespace.update(names)
    exec(compile(code, str(README), "exec"), namespace)
    return namespace


FRAMEWORKS = "Your framework"


def test_readme_is_short() -> None:
    """It holds what somebody needs to decide and to begin; everything else is in the documentation."""
    assert len(README.read_text(encoding="utf-8").splitlines()) < 200


@pytest.mark.parametrize(
    "example", ["Start", f"{FRAMEWORKS} 4", f"{FRAMEWORKS} 5"], ids=["fastapi", "starlette", "litestar"]
)
def test_application_examples(example: str, monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox) -> None:
    """The applications let a regular user in and nobody else."""
    from starlette.testclient import TestClient

    alice = hexclave_sandbox.create_user()
    with hexclave_sandbox.serve() as url:
        app = run(examples()[example], monkeypatch, hexclave_sandbox, url)["app"]
        with TestClient(app) as client:
            assert client.get("/me").status_code == 401
            assert {"id": alice.id} == client.get("/me", headers=hexclave_sandbox.headers(alice)).json()
            if example == "Start":
                team = hexclave_sandbox.create_team()
                reports = f"/teams/{team.id}/reports"
                assert client.post(reports, headers=hexclave_sandbox.headers(alice)).status_code == 403


def test_local_development_example(tmp_path: Path) -> None:
    """The command runs the application against a sandbox of its own, and Vite's page may ask it."""
    section = (GUIDES / "local-development.md").read_text(encoding="utf-8")
    hexclave, sandbox, *words = shlex.split(re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[0])
    assert (hexclave, sandbox) == ("hexclave", "sandbox")
    (tmp_path / "main.py").write_text(examples()["A frontend with sign-in forms"])
    port = free_port()
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    serve = ["--port", "0", *words, "--port", str(port)]
    with running(*serve, extra={"PATH": scripts}, folder=tmp_path) as served, httpx.Client(trust_env=False) as client:
        me, origin = f"http://localhost:{port}/me", {"origin": "http://localhost:5173"}
        asked = {"access-control-request-method": "GET", "access-control-request-headers": "x-stack-access-token"}
        end = time.monotonic() + LIMIT
        while True:
            try:
                preflight = client.options(me, headers=origin | asked)
                break
            except httpx.TransportError:
                assert time.monotonic() < end
                time.sleep(0.05)
        token = served.act("token", user=served.act("create-user", kind="regular", display_name="Ada")["id"])["token"]
        answer = client.get(me, headers=origin | {"x-stack-access-token": token})
        nobody = client.get(me, headers=origin)

    assert (preflight.status_code, answer.json()["name"], nobody.status_code) == (200, "Ada", 401)
    for one in (preflight, answer, nobody):
        assert one.headers["access-control-allow-origin"] == origin["origin"]
    assert (tmp_path / ".sandbox.json").is_file()


def test_flask_example(monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox) -> None:
    """The application lets a regular user in and nobody else."""
    alice = hexclave_sandbox.create_user()
    with hexclave_sandbox.serve() as url:
        client = run(examples()[FRAMEWORKS], monkeypatch, hexclave_sandbox, url)["app"].test_client()

        assert client.get("/me").status_code == 401
        assert client.get("/me", headers=hexclave_sandbox.headers(alice)).json == {"id": alice.id}


def test_django_example(monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox) -> None:
    """The settings and the view work together."""
    from django.test import Client, override_settings
    from django.urls import path

    from .adapters import _django  # sets Django up

    alice = hexclave_sandbox.create_user()
    with hexclave_sandbox.serve() as url:
        settings = run(examples()[f"{FRAMEWORKS} 2"], monkeypatch, hexclave_sandbox, url)
        views = run(examples()[f"{FRAMEWORKS} 3"], monkeypatch, hexclave_sandbox, url)
        patterns = (path("me", views["me"]),)
        with override_settings(ROOT_URLCONF=patterns, HEXCLAVE=settings["HEXCLAVE"], MIDDLEWARE=settings["MIDDLEWARE"]):
            assert _django.ask("wsgi", "/me").status_code == 401
            assert Client().get("/me", headers=hexclave_sandbox.headers(alice)).json() == {"id": alice.id}


@pytest.mark.parametrize("number", ["", " 2", " 3"], ids=["fastapi", "flask", "django"])
def test_webhook_examples(
    number: str, monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each framework's endpoint runs the handler once for a delivery that comes twice."""
    from django.test import Client, override_settings

    from .adapters import _django  # sets Django up

    monkeypatch.setenv("HEXCLAVE_WEBHOOK_SECRET", hexclave_sandbox.config.webhook_secrets[0])
    names = run(examples()[f"Webhooks{number}"], monkeypatch, hexclave_sandbox, "https://unused.invalid")
    user = {"id": "3241a285-8329-4d69-8f3d-316e08cf140c", "display_name": "Ada"}
    body, headers = hexclave_sandbox.webhook("user.created", user)
    url = "/webhooks/hexclave"
    if number == "":
        from starlette.testclient import TestClient

        asgi = TestClient(names["app"])
        answers = [asgi.post(url, content=body, headers=headers).status_code for _ in range(2)]
    elif number == " 2":
        wsgi = names["app"].test_client()
        answers = [wsgi.post(url, data=body, headers=headers).status_code for _ in range(2)]
    else:
        with _django.database(), override_settings(ROOT_URLCONF=tuple(names["urlpatterns"])):
            send = Client().post
            answers = [send(url, body, content_type="application/json", headers=headers).status_code for _ in range(2)]

    assert answers == [200, 200]
    assert capsys.readouterr().out == "welcome Ada\n"


def test_client_example(
    monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """The client finds the user, the permission and the address."""
    alice = hexclave_sandbox.create_user(display_name="Alice", primary_email="alice@example.com")
    team = hexclave_sandbox.create_team()
    hexclave_sandbox.grant(alice, "export_reports", team=team)
    with hexclave_sandbox.serve() as url:
        run(
            examples()[f"{FRAMEWORKS} 6"],
            monkeypatch,
            hexclave_sandbox,
            url,
            token=hexclave_sandbox.token(alice),
            team_id=team.id,
        )

    assert capsys.readouterr().out == "Alice alice@example.com\n"


def output_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a console command of the README prints."""
    capsys.readouterr()
    main(command.split(" hexclave ")[-1].removeprefix("hexclave ").split())
    return capsys.readouterr().out


def test_console_examples(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands print what stands there, about a clock and a server key that are wrong, and a token that is over."""
    blocks = re.findall(
        r"^```console\n\$ (.*?)\n(.*?)^```", (GUIDES / "troubleshooting.md").read_text(), re.MULTILINE | re.DOTALL
    )
    expired_at = 1767225600
    now = time.time()
    sandbox = Sandbox(project_id="3f2b8a51-6c1d-4b7e-9d0a-2f5c7e1b9a64", clock=lambda: now)
    alice = sandbox.create_user()
    with sandbox.serve() as url:
        monkeypatch.setenv("HEXCLAVE_API_URL", url)
        monkeypatch.setenv("HEXCLAVE_PROJECT_ID", sandbox.config.project_id)
        monkeypatch.setenv("HEXCLAVE_SECRET_SERVER_KEY", "ssk_another")
        monkeypatch.setenv("HEXCLAVE_WEBHOOK_SECRET", sandbox.config.webhook_secrets[0])
        (check, checked), (explain, explained) = blocks
        now = time.time() + 900.5
        found = re.sub(r"it is \d+ seconds", "it is 900 seconds", output_of(check, capsys))
        now = expired_at - 600
        token = f"x-stack-access-token: {sandbox.token(alice)}"
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(token.encode())))
        explanation = output_of(f"{explain} --at {expired_at + 3000}", capsys)

    assert checked == found.replace(url, "https://api.hexclave.com")
    assert OutputChecker().check_output(explained, explanation, ELLIPSIS), explanation


def test_server_example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every group of the server's own calls does what the example says."""
    sandbox = Sandbox(domains=["https://app.example.com"])
    sandbox.define_permission("export_reports")
    sandbox.define_item("credits", customer_type="user")
    for product_id in ("pro", "book"):
        sandbox.define_product(product_id, customer_type="user", prices={"once": {"USD": "9"}})
    monkeypatch.setenv("HEXCLAVE_DATA_VAULT_SECRET", "a secret of the application")
    with sandbox.serve() as url:
        names = run(examples()["The server's own calls"], monkeypatch, sandbox, url)

    project_id = sandbox.config.project_id
    lines = ["7 credits left", "no account at GitHub", f"{project_id} ['Ada'] 1 sk-..."]
    assert capsys.readouterr().out.splitlines() == lines
    assert [mail.to for mail in sandbox.emails] == ["grace@example.com", "ada@example.com"]
    assert (names["ada"].display_name, names["url"][:4], names["key"].value[:3]) == ("Ada", "http", "sk_")


def test_testing_example(monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox) -> None:
    """The test of a user's own application passes."""
    namespace = run(examples()["Testing your application"], monkeypatch, hexclave_sandbox, "https://unused.invalid")

    namespace["test_me"](hexclave_sandbox)


def test_example_of_a_test_of_an_application_made_at_import(
    monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox
) -> None:
    """It passes for one test and for the next, with a sandbox of its own."""
    url = "https://unused.invalid"
    namespace = run(examples()["Testing your application 2"], monkeypatch, hexclave_sandbox, url)

    namespace["test_me"](hexclave_sandbox)
    namespace["test_me"](Sandbox())


def test_supabase_example(monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox, postgres_url: str) -> None:
    """The browser gets a token, and the server the rows of whom it asks for, of a real database."""
    import psycopg
    from starlette.testclient import TestClient

    from ._postgrest import Postgrest, create_database

    secret, key = "a secret of enough letters for HS256", "sb_publishable_x"
    alice = hexclave_sandbox.create_user()
    database = create_database(postgres_url, "readme")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE data SET user_id = %s WHERE id = 3", [alice.id])
    rest = Postgrest(database, secret=secret, api_keys=[key])
    with hexclave_sandbox.serve() as url, rest.serve() as supabase:
        monkeypatch.setenv("SUPABASE_URL", supabase)
        monkeypatch.setenv("SUPABASE_ANON_KEY", key)
        monkeypatch.setenv("SUPABASE_JWT_SECRET", secret)
        with TestClient(run(examples()["Supabase"], monkeypatch, hexclave_sandbox, url)["app"]) as client:
            headers = hexclave_sandbox.headers(alice)
            assert client.get("/supabase-token").status_code == client.get("/notes").status_code == 401
            assert set(client.get("/supabase-token", headers=headers).json()) == {"token", "expires_at"}
            assert [row["id"] for row in client.get("/notes", headers=headers).json()] == [1, 2, 3]


@pytest.mark.parametrize("number", ["", " 2"], ids=["fastapi", "flask"])
def test_convex_examples(number: str, monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox) -> None:
    """What judges tokens as Convex does knows the caller by the token that was passed on."""
    from starlette.testclient import TestClient

    from hexclave_integrations.convex import providers_config

    from ._convex import Deployment

    alice = hexclave_sandbox.create_user(display_name="Alice")
    with hexclave_sandbox.serve() as url:
        deployment = Deployment(providers_config(hexclave_sandbox.config.project_id, url))
        with deployment.serve() as convex:
            monkeypatch.setenv("CONVEX_URL", convex)
            app = run(examples()[f"Convex{number}"], monkeypatch, hexclave_sandbox, url)["app"]
            client: Any = app.test_client() if number else TestClient(app)
            answer = client.get("/whoami", headers=hexclave_sandbox.headers(alice))
            assert client.get("/whoami").status_code == 401
            assert (answer.status_code, answer.get_json() if number else answer.json()) == (200, {"in_convex": "Alice"})


def test_convex_refusals(monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox) -> None:
    """What Convex refuses, or a function that fails, is a bad gateway and no error of this server."""
    from starlette.testclient import TestClient

    from hexclave_integrations.convex import providers_config

    from ._convex import Deployment

    code = examples()["Convex"]
    with hexclave_sandbox.serve() as url:
        headers = hexclave_sandbox.headers(hexclave_sandbox.create_user())
        own, others = hexclave_sandbox.config.project_id, "c7c61f2b-0bb3-4e4c-9c43-d2a2f1e2b6f1"
        for project_id, function in ((others, "whoami:get"), (own, "whoami:vanished"), (own, "whoami:get")):
            with Deployment(providers_config(project_id, url)).serve() as convex:
                monkeypatch.setenv("CONVEX_URL", convex)
                app = run(code.replace("whoami:get", function), monkeypatch, hexclave_sandbox, url)["app"]
                expected = 200 if (project_id, function) == (own, "whoami:get") else 502
                assert TestClient(app).get("/whoami", headers=headers).status_code == expected


def test_realtime_example(monkeypatch: pytest.MonkeyPatch, hexclave_sandbox: Sandbox) -> None:
    """The connection speaks for the user, by a token that Supabase accepts."""
    pytest.importorskip(
        "realtime", reason="its newest version refuses the websockets that the servers of the tests need"
    )
    import jwt
    from websockets.asyncio.server import ServerConnection, serve

    from hexclave_integrations import HexclaveClient
    from hexclave_integrations.supabase import SupabaseSigner

    secret = "a secret of enough letters for HS256"
    alice = hexclave_sandbox.create_user()
    with HexclaveClient(hexclave_sandbox.config) as client:
        user = client.authenticate(hexclave_sandbox.headers(alice))
    joined: list[dict[str, Any]] = []

    async def answer(connection: ServerConnection) -> None:
        async for text in connection:
            message = json.loads(text)
            if message["event"] == "phx_join":
                joined.append(message["payload"])
            changes = message["payload"].get("config", {}).get("postgres_changes", [])
            found = {"postgres_changes": [{**change, "id": number} for number, change in enumerate(changes)]}
            reply: dict[str, Any] = {"status": "ok", "response": found}
            reply = {"topic": message["topic"], "event": "phx_reply", "payload": reply, "ref": message["ref"]}
            await connection.send(json.dumps(reply))

    async def watch() -> None:
        async with serve(answer, "127.0.0.1", 0) as server:
            monkeypatch.setenv("SUPABASE_URL", f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
            monkeypatch.setenv("SUPABASE_ANON_KEY", "sb_publishable_x")
            names = {"os": os, "signer": SupabaseSigner(secret)}
            example = run(examples()["Supabase 2"], monkeypatch, hexclave_sandbox, "https://unused.invalid", **names)
            realtime = await example["watch_notes"](user, print)
            await realtime.close()

    asyncio.run(watch())
    (payload,) = joined
    claims = jwt.decode(payload["access_token"], secret, algorithms=["HS256"])
    assert (claims["sub"], claims["role"]) == (alice.id, "authenticated")
    assert payload["config"]["postgres_changes"][0]["table"] == "data"


def test_protected_route_comes_early() -> None:
    """A reader meets the first protected route before line 25."""
    lines = README.read_text().splitlines()

    assert any("CurrentUser" in line for line in lines[:25])
