"""Convex: the providers held against real tokens, tokens passed on to what judges them as Convex does, the command."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from convex import ConvexClient
from convex.http_client import ConvexHttpClient
from fastapi import Depends, FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.testclient import TestClient

from hexclave_integrations import ConfigurationError, HexclaveClient, HexclaveConfig, HexclaveError, HexclaveUser
from hexclave_integrations._tools.console import main
from hexclave_integrations._version import __version__
from hexclave_integrations.convex import (
    ConvexUser,
    InvalidIdentity,
    convex_headers,
    convex_identity,
    providers_config,
    render_auth_config,
    set_convex_auth,
)
from hexclave_integrations.convex._config import is_rendered
from hexclave_integrations.errors import (
    InvalidToken,
    NotAuthenticated,
    RequestRefused,
    RestrictedNotAllowed,
    TokenExpired,
    Unavailable,
)
from hexclave_integrations.fastapi import CurrentUser, Hexclave
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.user import AccessToken, Sealed

from ._convex import WHOAMI, Deployment, Refused, fetch_keys
from ._minting import KINDS, PROJECT, TEAM, USER, claims_of, data
from ._server import DRIVE_IDS, DRIVES, Clock, Drive, error_of, eventually

ROOT = Path(__file__).parents[1]
WHERE = {"regular": 0, "anonymous": 1, "restricted": 2}
"""Of each kind of user, the place of its provider."""
CALL = {"path": WHOAMI, "args": {}, "format": "json"}


@pytest.fixture(params=DRIVES, ids=DRIVE_IDS)
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    driving: Drive = request.param()
    yield driving
    driving.end()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Sandbox:
    return Sandbox(clock=clock)


@pytest.fixture
def served() -> Iterator[Sandbox]:
    """A sandbox on real HTTP."""
    sandbox = Sandbox()
    with sandbox.serve():
        yield sandbox


def providers_of(sandbox: Sandbox, *, include_restricted: bool = False) -> list[dict[str, str]]:
    return providers_config(sandbox.config.project_id, sandbox.config.api_url, include_restricted)


def token_of(sandbox: Sandbox, kind: Any = "regular", **profile: Any) -> AccessToken:
    """A user's token as a request brought it."""
    with HexclaveClient(sandbox.config) as client:
        return client.access_token(sandbox.headers(sandbox.create_user(kind, **profile)))


# --- the providers --------------------------------------------------------------------------------------------


def test_providers_are_those_of_the_sdk() -> None:
    """The JavaScript SDK's two in its order and spelling, each with the audience of its tokens as well."""
    expected = data("convex_providers.json")
    found = providers_config(PROJECT)

    assert [list(provider.items())[:4] for provider in found] == [list(provider.items()) for provider in expected]
    assert [provider["applicationID"] for provider in found] == [PROJECT, f"{PROJECT}:anon"]
    assert [list(provider) for provider in found] == [[*expected[0], "applicationID"]] * 2


def test_restricted_provider_comes_last() -> None:
    """When asked for, it has its own issuer, audience and key set, and leaves the others in their places."""
    found = providers_config(PROJECT, include_restricted=True)

    assert found[:2] == providers_config(PROJECT)
    assert found[2:] == [
        {
            "type": "customJwt",
            "issuer": f"https://api.hexclave.com/api/v1/projects-restricted-users/{PROJECT}",
            "jwks": f"https://api.hexclave.com/api/v1/projects/{PROJECT}/.well-known/jwks.json?include_restricted=true",
            "algorithm": "ES256",
            "applicationID": f"{PROJECT}:restricted",
        }
    ]


@pytest.mark.parametrize(
    ("api_url", "base"),
    [
        ("https://api.stack-auth.com", "https://api.stack-auth.com"),
        ("https://api.hexclave.com/", "https://api.hexclave.com"),
        ("https://auth.example.com:8443/hexclave///", "https://auth.example.com:8443/hexclave"),
        ("https://api.hexclave.com:443", "https://api.hexclave.com"),
        ("http://localhost:8102", "http://localhost:8102"),
        ("http://127.0.0.1:8102/", "http://127.0.0.1:8102"),
    ],
)
def test_api_url_is_the_base_of_issuer_and_keys(api_url: str, base: str) -> None:
    """A slash at the end changes nothing, and http is for loopback."""
    for provider in providers_config(PROJECT, api_url, True):
        assert provider["issuer"].startswith(f"{base}/api/v1/projects")
        assert provider["jwks"].startswith(f"{base}/api/v1/projects/{PROJECT}/.well-known/jwks.json")


def test_project_id_is_in_lower_case_or_internal() -> None:
    """As tokens have it."""
    assert providers_config(PROJECT.upper()) == providers_config(PROJECT)
    assert providers_config("internal")[1]["applicationID"] == "internal:anon"


@pytest.mark.parametrize("function", [providers_config, render_auth_config], ids=["providers", "text"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"project_id": ""}, "project_id is missing"),
        ({"project_id": None}, "project_id is missing"),
        ({"project_id": 7}, "project_id is not a string"),
        ({"project_id": "my-project"}, "project_id is neither a UUID nor 'internal'"),
        ({"project_id": f'{PROJECT}"; evil()'}, "project_id is neither a UUID nor 'internal'"),
        ({"project_id": f"{PROJECT}\n"}, "project_id is neither a UUID nor 'internal'"),
        ({"api_url": "api.hexclave.com"}, "api_url is not"),
        (
            {"api_url": "https://api1.hexclave.com"},
            "api_url is the host in the tokens' issuer: https://api.hexclave.com",
        ),
        ({"api_url": "http://api.hexclave.com"}, "api_url is not secure"),
        ({"api_url": "https://api.hexclave.com/api/v1"}, "api_url contains the API path"),
        ({"api_url": "https://user@api.hexclave.com"}, "api_url has a user name"),
        ({"api_url": "https://api.hexclave.com/\u2028x"}, "api_url is not a URL"),
        ({"api_url": 'https://api.hexclave.com/\n"x'}, "api_url is not a URL"),
        ({"api_url": None}, "api_url is not a URL"),
        ({"include_restricted": "no"}, "include_restricted is True or False"),
        ({"include_restricted": 1}, "include_restricted is True or False"),
    ],
)
def test_wrong_argument_is_named(function: Callable[..., Any], arguments: dict[str, Any], words: str) -> None:
    """A wrong argument is a ConfigurationError that names it."""
    with pytest.raises(ConfigurationError, match=words):
        function(**{"project_id": PROJECT, **arguments})


# --- the providers and real tokens ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_provider_accepts_its_kind_and_no_other(kind: str, served: Sandbox) -> None:
    """With one provider alone, Convex knows the users of its kind, by the keys at its URL, and nobody else."""
    provider = providers_of(served, include_restricted=True)[WHERE[kind]]
    deployment = Deployment([provider])

    for other in KINDS:
        token = token_of(served, other)
        if other == kind:
            identity = deployment.identify(token.text)
            assert (identity["issuer"], identity["subject"]) == (provider["issuer"], token.user.id)
            assert json.loads(token.user.sealed.text)["aud"] == provider["applicationID"]
        else:
            with pytest.raises(Refused) as refused:
                deployment.identify(token.text)
            assert refused.value.code == "NoAuthProvider"


@pytest.mark.parametrize(
    ("kind", "other"), [("regular", "restricted"), ("regular", "anonymous"), ("restricted", "anonymous")]
)
def test_key_of_another_kind_proves_nothing(kind: str, other: Any, served: Sandbox) -> None:
    """Whoever had the keys of lesser users could make no tokens of greater ones: the provider's key set lacks them."""
    claims = json.loads(token_of(served, kind).user.sealed.text)
    deployment = Deployment(providers_of(served, include_restricted=True))

    with pytest.raises(Refused, match="key is not in"):
        deployment.identify(served.sign(claims, key=other))


@pytest.mark.parametrize("kind", ["restricted", "anonymous"])
def test_query_of_the_key_set_is_needed(kind: str, served: Sandbox) -> None:
    """Without its query the provider's key set lacks the keys of its users."""
    provider = providers_of(served, include_restricted=True)[WHERE[kind]]
    token = token_of(served, kind)

    assert Deployment([provider]).identify(token.text)["subject"] == token.user.id
    without = provider | {"jwks": provider["jwks"].partition("?")[0]}
    with pytest.raises(Refused, match="key is not in"):
        Deployment([without]).identify(token.text)
    assert len(fetch_keys(provider["jwks"])["keys"]) == {"restricted": 4, "anonymous": 6}[kind]


def test_without_the_restricted_provider_restricted_users_are_nobody(served: Sandbox) -> None:
    """As the SDK has it, unless asked otherwise."""
    token = token_of(served, "restricted")

    with pytest.raises(Refused) as refused:
        Deployment(providers_of(served)).identify(token.text)
    assert refused.value.code == "NoAuthProvider"
    assert Deployment(providers_of(served, include_restricted=True)).identify(token.text)


def test_another_project_is_nobody(served: Sandbox) -> None:
    """Issuer and audience are the project's own."""
    other = Sandbox()
    with other.serve():
        token = token_of(other)
    with pytest.raises(Refused):
        Deployment(providers_of(served, include_restricted=True)).identify(token.text)


RECORDED = data("tokens.json")


@pytest.mark.parametrize("name", RECORDED["tokens"])
def test_recorded_tokens(name: str) -> None:
    """A real server's tokens of each kind are accepted, by the provider of the kind."""
    entry = RECORDED["tokens"][name]
    providers = providers_config(RECORDED["project_id"], RECORDED["issuer_host"], include_restricted=True)

    def fetch(url: str) -> Mapping[str, Any]:
        query = url.partition("?")[2]
        plain, everything = RECORDED["jwks_plain"], RECORDED["jwks_include_anonymous"]
        restricted = {"keys": everything["keys"][:4]}
        found: Mapping[str, Any] = {"": plain, "include_restricted=true": restricted}.get(query, everything)
        return found

    issued = entry["claims"]["iat"]
    identity = Deployment(providers, fetch=fetch, clock=lambda: issued).identify(entry["access_token"])

    user = convex_identity(identity)
    assert user is not None
    assert user.id == entry["claims"]["sub"]
    assert user.restricted_reason == (entry["claims"]["restricted_reason"] or {"type": None})["type"]
    kind = "anonymous" if user.is_anonymous else "restricted" if user.is_restricted else "regular"
    assert identity["issuer"] == providers[WHERE[kind]]["issuer"]


# --- the file -------------------------------------------------------------------------------------------------


def test_file_is_the_same_each_time() -> None:
    """Same arguments, same bytes, in ASCII, and the header is the command that made it."""
    text = render_auth_config(PROJECT, "https://api.hexclave.com/", include_restricted=True)

    assert text == render_auth_config(PROJECT.upper(), include_restricted=True)
    assert text.isascii()
    assert text.splitlines()[1] == (
        f"//   hexclave convex-auth-config --project-id {PROJECT} --api-url https://api.hexclave.com "
        "--include-restricted"
    )
    assert 'import type { AuthConfig } from "convex/server";' in text
    assert text.endswith("} satisfies AuthConfig;\n")


def test_command_in_the_header_makes_the_same_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is in the URL: a shell runs it as one word."""
    text = render_auth_config(PROJECT, "https://auth.example.com/$(id)/'`\"*/")
    command = text.splitlines()[1].removeprefix("//   hexclave ")
    script = 'printf "%s\\n" ' + command
    words = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, timeout=20).stdout

    assert main([*words.splitlines(), "--output", "-"]) == 0
    assert capsys.readouterr().out == text


def test_only_an_unchanged_file_is_ours() -> None:
    """A file that somebody edited is theirs, whatever its header says."""
    text = render_auth_config(PROJECT, include_restricted=True)

    assert is_rendered(text)
    assert is_rendered(render_auth_config("internal", "http://localhost:8102"))
    header = "\n".join(text.splitlines()[:2])
    for other in (
        "",
        text[1:],
        text + "\n",
        header,
        text.replace("ES256", "RS256"),
        text.replace(" --include-restricted", ""),
        text.replace(f"--project-id {PROJECT}", "--project-id 'unclosed"),
        text.replace(f"--project-id {PROJECT}", "--project-id nobody"),
        text.replace(" --api-url", ""),
        "\n".join([text.splitlines()[0], "//   hexclave"]),
    ):
        assert other != text
        assert not is_rendered(other)


# --- the command ----------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a Convex project, as the current one, and an environment without settings of ours."""
    for name in os.environ:
        if name.startswith(("HEXCLAVE_", "STACK_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "convex").mkdir()
    return tmp_path


def run(*options: str) -> int:
    return main(["convex-auth-config", *options])


@pytest.mark.parametrize("prefix", ["HEXCLAVE", "STACK"])
def test_command_takes_its_defaults_from_the_environment(
    prefix: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Project and URL as for the application; no other setting matters, not even a wrong one."""
    monkeypatch.setenv(f"{prefix}_PROJECT_ID", PROJECT)
    monkeypatch.setenv(f"{prefix}_API_URL", "https://auth.example.com/")
    monkeypatch.setenv(f"{prefix}_LEEWAY", "nonsense")

    assert run() == 0
    written = (project / "convex/auth.config.ts").read_bytes()
    assert written.decode() == render_auth_config(PROJECT, "https://auth.example.com")
    assert capsys.readouterr().out.startswith("Wrote convex/auth.config.ts.")

    assert run("--api-url", "https://api.stack-auth.com", "--include-restricted", "--output", "-") == 0
    assert capsys.readouterr().out == render_auth_config(PROJECT, "https://api.stack-auth.com", True)
    assert (project / "convex/auth.config.ts").read_bytes() == written


def test_command_replaces_only_what_it_wrote(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own file it writes anew and leaves alone when nothing changed; another's only with --force."""
    path = project / "convex/auth.config.ts"
    assert run("--project-id", PROJECT) == 0
    before = path.stat().st_mtime_ns
    assert run("--project-id", PROJECT) == 0
    assert path.stat().st_mtime_ns == before
    assert run("--project-id", PROJECT, "--include-restricted") == 0
    assert path.read_text() == render_auth_config(PROJECT, include_restricted=True)
    out, err = capsys.readouterr()
    assert ("convex/auth.config.ts is up to date.\n" in out, err) == (True, "")

    for theirs in (b"export default { providers: [] };\n", path.read_bytes() + b"// mine\n", b"\xff\xfe"):
        path.write_bytes(theirs)
        assert run("--project-id", PROJECT) == 2
        assert "--force overwrites it" in capsys.readouterr().err
        assert path.read_bytes() == theirs
        assert run("--project-id", PROJECT, "--force") == 0
        assert path.read_text() == render_auth_config(PROJECT)


def test_line_ends_make_no_difference(project: Path) -> None:
    """A checkout on Windows is the same file."""
    path = project / "convex/auth.config.ts"
    path.write_bytes(render_auth_config(PROJECT).replace("\n", "\r\n").encode())

    assert run("--project-id", PROJECT, "--check") == 0
    assert run("--project-id", PROJECT, "--include-restricted") == 0


def test_check_writes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 for the same text, 1 for another or none, for CI."""
    path = project / "convex/auth.config.ts"
    assert run("--project-id", PROJECT, "--check") == 1
    assert "does not exist" in capsys.readouterr().err
    assert not path.exists()
    path.write_text(render_auth_config(PROJECT))
    assert run("--project-id", PROJECT, "--check") == 0
    assert run("--project-id", PROJECT, "--check", "--include-restricted") == 1
    assert "is not what this command writes" in capsys.readouterr().err
    assert path.read_text() == render_auth_config(PROJECT)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ["HEXCLAVE_PROJECT_ID", "STACK_PROJECT_ID", "--project-id"]),
        (["--project-id", ""], ["project_id is missing"]),
        (["--project-id", "mine"], ["project_id is neither a UUID nor 'internal'"]),
        (["--project-id", PROJECT, "--api-url", "http://example.com"], ["api_url is not secure", "--api-url"]),
        (["--project-id", PROJECT, "--output", "elsewhere/auth.config.ts"], ["no folder elsewhere"]),
        (["--project-id", PROJECT, "--output", "convex"], ["convex: Is a directory"]),
        (["--project-id", PROJECT, "--output", "-", "--check"], ["--check needs a file"]),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    options: list[str], words: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one line on standard error, nothing written."""
    assert run(*options) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("hexclave convex-auth-config: ")
    assert [word for word in words if word not in err] == []
    assert list(project.rglob("*.ts")) == []


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["convex-auth-config", "--check", "--force"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The usage, and exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: hexclave" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`hexclave --version` names the package and its version."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"hexclave-integrations {__version__}\n"


def test_module_runs_without_extras(project: Path) -> None:
    """`python -m hexclave_integrations` is the command; it loads no framework, no HTTP and no cryptography."""
    code = (
        "import sys, hexclave_integrations._tools.console as cli\n"
        "cli.main(['convex-auth-config', '--output', '-'])\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    environ = {**os.environ, "HEXCLAVE_PROJECT_ID": PROJECT, "PYTHONPATH": str(ROOT / "src")}
    options = ["convex-auth-config", "--output", "-"]
    for command in (["-c", code], ["-m", "hexclave_integrations", *options]):
        done = subprocess.run(
            [sys.executable, *command], env=environ, capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout == render_auth_config(PROJECT)
        frameworks = {"fastapi", "starlette", "flask", "django", "pydantic", "redis", "convex"}
        assert set() == set(done.stderr.split()) & {*frameworks, "httpx", "cryptography", "jwt", "asyncio"}

    environ["HEXCLAVE_PROJECT_ID"] = "mine"
    failed = subprocess.run(
        [sys.executable, "-m", "hexclave_integrations", *options],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (failed.returncode, failed.stdout, failed.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("redirection", "name", "code"),
    [
        (">&-", "-", 2),
        (">/dev/full", "-", 2),
        (">&-", "a.ts", 0),
        (">/dev/full", "a.ts", 0),
        ("", "\u00e9.ts", 0),
        ("", "", 2),
    ],
)
def test_output_that_cannot_be_written(project: Path, redirection: str, name: str, code: int) -> None:
    """What was done stays done where nobody can be told; what was not is said, without a traceback."""
    environ = {**os.environ, "HEXCLAVE_PROJECT_ID": PROJECT, "PYTHONPATH": str(ROOT / "src")}
    environ |= {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    path = name.encode()  # as UTF-8 whatever the locale of the tests
    command = f'exec "$0" -m hexclave_integrations convex-auth-config --output "$1" {redirection}'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, path],
        cwd=project,
        env=environ,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr.count(b"\n")) == (code, 0 if code == 0 else 1), done.stderr
    if code == 0:
        assert (project / os.fsdecode(path)).read_text(encoding="utf-8") == render_auth_config(PROJECT)


# --- a request's own token ------------------------------------------------------------------------------------


def envelope(prefix: str, token: str) -> str:
    content = json.dumps({"accessToken": token, "refreshToken": None}).encode()
    return f"Bearer {prefix}_{base64.b64encode(content).decode()}"


FORMS: dict[str, Callable[[str], dict[str, str]]] = {
    "a": lambda token: {"X-Stack-Access-Token": token},
    "b": lambda token: {"x-hexclave-access-token": token},
    "c": lambda token: {"Authorization": envelope("stackauth", token)},
    "c renamed": lambda token: {"Authorization": envelope("hexclave", token)},
    "d": lambda token: {"x-stack-auth": json.dumps({"accessToken": token, "refreshToken": "r"})},
    "e": lambda token: {"authorization": f"bearer {token}"},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_token_is_found_in_every_form(form: str, kind: Any, drive: Drive, sandbox: Sandbox) -> None:
    """As `authenticate` finds it (contract 1.1), for users of any kind."""
    client = drive.client(sandbox.config)
    user = sandbox.create_user(kind)
    token = sandbox.token(user)
    headers = FORMS[form](token)

    found = drive.run(client, "access_token", headers)
    assert (found.text, found.user.id, found.user.kind) == (token, user.id, kind)
    assert found.user == drive.run(client, "authenticate", headers)
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert drive.run(client, "access_token", pairs).text == token


def test_token_is_found_in_cookies_where_they_count(drive: Drive, sandbox: Sandbox) -> None:
    """Only with `accept_cookies`."""
    user = sandbox.create_user()
    token, project_id = sandbox.token(user), sandbox.config.project_id
    cookies = {
        f"hexclave-refresh-{project_id}--default": "%7B%22refresh_token%22%3A%22r%22%2C%22updated_at_millis%22%3A1%7D",
        "hexclave-access": f"%5B%22r%22%2C%22{token}%22%5D",
    }
    accepting = drive.client(dataclasses.replace(sandbox.config, accept_cookies=True))

    assert drive.run(accepting, "access_token", {}, cookies).text == token
    assert isinstance(error_of(drive, drive.client(sandbox.config), "access_token", {}, cookies), NotAuthenticated)


def test_refusals_are_those_of_authenticate(drive: Drive, sandbox: Sandbox, clock: Clock) -> None:
    """No credentials, bad ones, an expired token, and a Hexclave that cannot be asked: four answers."""
    client = drive.client(sandbox.config, clock=clock)
    headers = sandbox.headers(sandbox.create_user())
    signed_out = {"x-stack-auth": '{"accessToken":null,"refreshToken":null}'}

    with sandbox.outage():
        assert isinstance(error_of(drive, client, "access_token", headers), Unavailable)
    clock.advance(60)
    assert isinstance(error_of(drive, client, "access_token", {}), NotAuthenticated)
    assert isinstance(error_of(drive, client, "access_token", signed_out), NotAuthenticated)
    assert isinstance(error_of(drive, client, "access_token", {"x-stack-access-token": "x"}), InvalidToken)
    twice = [("x-stack-access-token", "a"), ("x-stack-access-token", "b")]
    assert isinstance(error_of(drive, client, "access_token", twice), InvalidToken)
    assert drive.run(client, "access_token", headers).user.kind == "regular"
    clock.advance(600)
    assert isinstance(error_of(drive, client, "access_token", headers), TokenExpired)


def test_known_token_asks_nobody(drive: Drive, sandbox: Sandbox) -> None:
    """After the guard of a route has verified it, a token costs no request."""
    client = drive.client(sandbox.config)
    headers = sandbox.headers(sandbox.create_user())
    drive.run(client, "authenticate", headers)
    asked = len(sandbox.requests)

    assert drive.run(client, "access_token", headers).user is drive.run(client, "authenticate", headers)
    assert len(sandbox.requests) == asked


def test_nothing_shows_the_token(sandbox: Sandbox) -> None:
    """Not repr, not a serializer, and nobody changes it."""
    token = token_of(sandbox)
    app = FastAPI()

    @app.get("/typed")
    def typed() -> AccessToken:
        return token

    @app.get("/plain", response_model=None)
    def plain() -> Any:
        return {"token": token}

    client = TestClient(app)
    shown = [repr(token), str(token), f"{[token]}", str(jsonable_encoder(token)), str(dataclasses.asdict(token))]
    shown += [client.get("/typed").text, client.get("/plain").text]
    for part in token.text.split("."):
        assert not any(part in text for text in shown)
    assert client.get("/typed").json() == {"user": token.user._public()}
    assert pickle.loads(pickle.dumps(token)).text == token.text
    with pytest.raises(dataclasses.FrozenInstanceError):
        token.user = token.user  # type: ignore[misc]


@pytest.mark.parametrize("value", [AccessToken, ConvexUser])
def test_values_are_no_dependencies(value: Any) -> None:
    """Callers cannot describe themselves: as a dependency they stop the start, as a body they answer 422."""
    app = FastAPI()
    with pytest.raises(ConfigurationError, match=f"{value.__name__} is no dependency"):
        app.get("/")(lambda found=Depends(value): None)  # noqa: B008

    def route(body: Any) -> None: ...

    route.__annotations__["body"] = value
    app.post("/body")(route)
    assert TestClient(app).post("/body", json={"user": {}, "id": USER}).status_code == 422


# --- passing it on --------------------------------------------------------------------------------------------


@pytest.fixture
def deployment(served: Sandbox) -> Deployment:
    """A deployment that knows all kinds of users."""
    return Deployment(providers_of(served, include_restricted=True))


@pytest.mark.parametrize("kind", KINDS)
def test_http_api_takes_the_header(kind: str, served: Sandbox, deployment: Deployment) -> None:
    """Convex sees the user, by the very token that the request brought."""
    token = token_of(served, kind, display_name="Ada", primary_email="ada@example.com")
    headers = convex_headers(token, include_restricted=True)
    with deployment.serve() as url:
        answer = httpx.post(f"{url}/api/query", json=CALL, headers=headers).json()

    assert headers == {"Authorization": f"Bearer {token.text}"}
    assert deployment.bearers == [headers["Authorization"]]
    user = convex_identity(answer["value"])
    assert user is not None
    ours = token.user
    assert dataclasses.asdict(user) == {name: getattr(ours, name) for name in dataclasses.asdict(user)}


def test_http_api_without_the_header_sees_nobody(deployment: Deployment) -> None:
    """And convex_identity says so."""
    with deployment.serve() as url:
        answer = httpx.post(f"{url}/api/query", json=CALL).json()

    assert answer["value"] is None
    assert convex_identity(answer["value"]) is None


def test_python_http_client_speaks_for_the_user(served: Sandbox, deployment: Deployment) -> None:
    """The real ConvexHttpClient, over real HTTP, until it is cleared."""
    token = token_of(served, display_name="Ada")
    with deployment.serve() as url:
        client = ConvexHttpClient(url)
        set_convex_auth(client, token)
        user = convex_identity(client.query(WHOAMI))
        client.clear_auth()
        assert client.query(WHOAMI) is None

    assert user is not None
    assert (user.id, user.display_name) == (token.user.id, "Ada")
    assert deployment.bearers == [f"Bearer {token.text}", None]


def test_python_websocket_client_says_who_it_speaks_for(served: Sandbox, deployment: Deployment) -> None:
    """The real ConvexClient authenticates its connection with the token, which Convex accepts."""
    token = token_of(served)
    with deployment.serve_sync() as url:
        client = ConvexClient(url)
        set_convex_auth(client, token)
        assert eventually(lambda: deployment.authenticated == [token.text])
        del client

    assert deployment.identify(token.text)["subject"] == token.user.id


def test_refused_client_is_told(served: Sandbox) -> None:
    """Where Convex has no provider for a user, the call fails, with a code that says so."""
    token = token_of(served, "anonymous")
    with Deployment(providers_of(served)[:1]).serve() as url:
        client = ConvexHttpClient(url)
        set_convex_auth(client, token)
        with pytest.raises(Exception, match="401 NoAuthProvider"):
            client.query(WHOAMI)


class Client:
    """What `set_convex_auth` needs."""

    def __init__(self) -> None:
        self.auth: list[str] = []

    def set_auth(self, value: str) -> None:
        self.auth.append(value)


def passed_on(token: Any, **options: Any) -> list[Any]:
    """The outcome of both ways to pass a token on."""
    client = Client()
    outcomes: list[Any] = []
    for send in (lambda: convex_headers(token, **options), lambda: set_convex_auth(client, token, **options)):
        try:
            send()
            outcomes.append(None)
        except (RequestRefused, TypeError) as error:
            outcomes.append(error)
    assert client.auth == ([] if outcomes[1] else [token.text])
    return outcomes


def test_token_is_passed_on_until_it_ends(sandbox: Sandbox) -> None:
    """Exactly at `exp` it is over: Convex has a leeway of its own, and nothing is refreshed."""
    token = token_of(sandbox)
    assert token.user.expires_at is not None
    end = token.user.expires_at.timestamp()
    asked = len(sandbox.requests)

    assert passed_on(token, clock=lambda: end - 0.001) == [None, None]
    for now in (end, end + 1):
        assert [type(error) for error in passed_on(token, clock=lambda now=now: now)] == [TokenExpired] * 2
    assert len(sandbox.requests) == asked


def test_token_within_our_own_leeway_is_not_passed_on(sandbox: Sandbox, clock: Clock) -> None:
    """A client that allows for skewed clocks still lets the user in; Convex is not asked to."""
    headers = sandbox.headers(sandbox.create_user())
    with HexclaveClient(sandbox.config, clock=clock) as client:
        client.warm()
        clock.advance(605)
        token = client.access_token(headers)

    assert [type(error) for error in passed_on(token, clock=clock)] == [TokenExpired] * 2


def test_restricted_users_are_not_passed_on_unless_asked(sandbox: Sandbox) -> None:
    """Convex has no provider for them by default; the refusal says why they are restricted."""
    token = token_of(sandbox, "restricted")

    for option in ({}, {"include_restricted": False}, {"include_restricted": "yes"}):
        errors = passed_on(token, **option)
        assert [type(error) for error in errors] == [RestrictedNotAllowed] * 2
        assert errors[0].details == {"restricted_reason": {"type": "email_not_verified"}}
        assert errors[0].status == 403
    assert passed_on(token, include_restricted=True) == [None, None]
    assert passed_on(token_of(sandbox, "anonymous")) == [None, None]


def test_only_a_verified_token_is_passed_on(sandbox: Sandbox) -> None:
    """A text, a user and nothing are none; neither is a token whose end is not known."""
    token = token_of(sandbox)

    for wrong in (None, token.text, token.user, f"Bearer {token.text}"):
        assert [type(error) for error in passed_on(wrong)] == [TypeError] * 2
    endless = AccessToken(user=dataclasses.replace(token.user, expires_at=None), sealed=Sealed(b"x"))
    assert [type(error) for error in passed_on(endless)] == [TokenExpired] * 2


# --- in the frameworks ----------------------------------------------------------------------------------------


def fastapi_app(sandbox: Sandbox, url: str) -> Callable[[Mapping[str, str]], int]:
    app = FastAPI()
    hexclave = Hexclave(app, sandbox.config)

    @app.get("/whoami")
    async def whoami(request: Request, user: CurrentUser) -> Any:
        token = await hexclave.client.access_token(request.headers)
        async with httpx.AsyncClient() as convex:
            return (await convex.post(f"{url}/api/query", json=CALL, headers=convex_headers(token))).json()

    client = TestClient(app)
    return lambda headers: client.get("/whoami", headers=dict(headers)).status_code


def flask_app(sandbox: Sandbox, url: str) -> Callable[[Mapping[str, str]], int]:
    import flask

    from hexclave_integrations import flask as adapter

    app = flask.Flask(__name__)
    hexclave = adapter.Hexclave(app, sandbox.config)

    @app.get("/whoami")
    @adapter.require_user
    def whoami() -> Any:
        token = hexclave.client.access_token(flask.request.headers)
        return httpx.post(f"{url}/api/query", json=CALL, headers=convex_headers(token)).json()

    client = app.test_client()
    return lambda headers: client.get("/whoami", headers=dict(headers)).status_code


def django_app(sandbox: Sandbox, url: str, *, colour: str = "wsgi") -> Callable[[Mapping[str, str]], int]:
    from django.http import HttpRequest, HttpResponse, JsonResponse
    from django.test import override_settings
    from django.urls import path

    from .adapters import _django  # sets Django up

    from hexclave_integrations.django import get_async_client, get_client, require_user  # isort: skip

    @require_user
    def whoami(request: HttpRequest) -> HttpResponse:
        token = get_client().access_token(request.headers)
        return JsonResponse(httpx.post(f"{url}/api/query", json=CALL, headers=convex_headers(token)).json())

    @require_user
    async def awhoami(request: HttpRequest) -> HttpResponse:
        token = await get_async_client().access_token(request.headers)
        async with httpx.AsyncClient() as convex:
            answer = await convex.post(f"{url}/api/query", json=CALL, headers=convex_headers(token))
        return JsonResponse(answer.json())

    patterns = (path("whoami", whoami if colour == "wsgi" else awhoami),)

    def ask(headers: Mapping[str, str]) -> int:
        with override_settings(ROOT_URLCONF=patterns, HEXCLAVE=_django.as_settings(sandbox.config)):
            status: int = _django.ask(colour, "/whoami", dict(headers)).status_code
            return status

    return ask


def async_django_app(sandbox: Sandbox, url: str) -> Callable[[Mapping[str, str]], int]:
    return django_app(sandbox, url, colour="asgi")


@pytest.mark.parametrize("build", [fastapi_app, flask_app, django_app, async_django_app])
def test_framework_passes_the_token_on(build: Any, served: Sandbox, deployment: Deployment) -> None:
    """A guarded route gets the caller's own token from the adapter's client, whatever form it came in."""
    token = served.token(served.create_user())
    with deployment.serve() as url:
        ask = build(served, url)
        assert ask({}) == 401
        assert ask(served.headers(served.create_user("restricted"))) == 403
        assert deployment.bearers == []
        assert [ask(form(token)) for form in FORMS.values()] == [200] * len(FORMS)

    assert deployment.bearers == [f"Bearer {token}"] * len(FORMS)


# --- who Convex says that somebody is -------------------------------------------------------------------------

IDENTITY: dict[str, Any] = {
    "tokenIdentifier": f"https://api.hexclave.com/api/v1/projects/{PROJECT}|{USER}",
    "issuer": f"https://api.hexclave.com/api/v1/projects/{PROJECT}",
    "subject": USER,
    **{name: value for name, value in claims_of().items() if name not in ("sub", "iss", "aud", "iat", "exp")},
}


def issuer_of(path: str) -> str:
    return f"https://api.hexclave.com/api/v1/projects{path}/{PROJECT}"


def test_identity_is_the_partial_user() -> None:
    """Each of its fields, under the names of `HexclaveUser` (contract section 7)."""
    assert convex_identity(IDENTITY) == ConvexUser(
        id=USER,
        display_name="Ada Lovelace",
        primary_email="ada@example.com",
        primary_email_verified=True,
        is_anonymous=False,
        is_restricted=False,
        restricted_reason=None,
        requires_totp_mfa=False,
        selected_team_id=TEAM,
    )
    fields = {field.name for field in dataclasses.fields(ConvexUser)}
    assert {name for name in fields if not hasattr(HexclaveUser, name)} == set()
    assert convex_identity(None) is None


def test_identity_of_little() -> None:
    """What may be null may be missing; old tokens say less (contract section 2)."""
    nobody = {"subject": USER, "is_anonymous": True}

    assert convex_identity(nobody) == ConvexUser(
        id=USER,
        display_name=None,
        primary_email=None,
        primary_email_verified=False,
        is_anonymous=True,
        is_restricted=True,
        restricted_reason=None,
        requires_totp_mfa=False,
        selected_team_id=None,
    )
    nulls = dict.fromkeys(("name", "email", "selected_team_id", "restricted_reason"))
    assert convex_identity(nobody | nulls) == convex_identity(nobody)


@pytest.mark.parametrize("spelling", [{"restricted_reason": {"type": "x"}}, {"restricted_reason.type": "x"}])
def test_reason_of_a_restriction_is_found(spelling: dict[str, Any]) -> None:
    """As the token had it, or as Convex writes an object in a token."""
    changes = {"is_restricted": True, "restricted_reason": None, "issuer": issuer_of("-restricted-users")}
    user = convex_identity(IDENTITY | changes | spelling)

    assert user is not None
    assert (user.is_restricted, user.restricted_reason) == (True, "x")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"subject": None}, "subject"),
        ({"subject": "user_123"}, "subject"),
        ({"subject": 7}, "subject"),
        ({"name": 7}, "name"),
        ({"email": ["a"]}, "email"),
        ({"email_verified": "true"}, "email_verified"),
        ({"email_verified": 1}, "email_verified"),
        ({"email_verified": None}, "email_verified"),
        ({"is_anonymous": None}, "is_anonymous"),
        ({"is_anonymous": "false"}, "is_anonymous"),
        ({"is_restricted": 0}, "is_restricted"),
        ({"is_restricted": None}, "is_restricted"),
        ({"requires_totp_mfa": 0.0}, "requires_totp_mfa"),
        ({"selected_team_id": ""}, "selected_team_id"),
        ({"selected_team_id": {}}, "selected_team_id"),
        ({"is_restricted": True, "restricted_reason": "x"}, "restricted_reason"),
        ({"is_restricted": True, "restricted_reason": {}}, "restricted_reason"),
        ({"is_restricted": True, "restricted_reason.type": 7}, "restricted_reason.type"),
        ({"is_anonymous": True}, "is_restricted"),
        ({"restricted_reason": {"type": "x"}}, "is_restricted"),
        ({"restricted_reason.type": "x"}, "is_restricted"),
        ({"issuer": "https://x.supabase.co/auth/v1"}, "issuer"),
        ({"issuer": f"https://api.hexclave.com/api/v1/projects-anonymous-users/{PROJECT}"}, "issuer"),
        ({"issuer": f"https://api.hexclave.com/api/v1/projects-restricted-users/{PROJECT}"}, "issuer"),
        ({"issuer": f"https://api.hexclave.com/api/v1/projects/{PROJECT}", "is_restricted": True}, "issuer"),
        ({"issuer": 7}, "issuer"),
    ],
)
def test_wrong_identity_is_refused(changes: dict[str, Any], named: str) -> None:
    """An error of ours that names the entry and shows no value."""
    with pytest.raises(InvalidIdentity) as refused:
        convex_identity(IDENTITY | changes)
    assert named in str(refused.value)
    assert isinstance(refused.value, HexclaveError | ValueError)
    assert USER not in str(refused.value)


@pytest.mark.parametrize("value", [[], "x", 7, True, IDENTITY["subject"]])
def test_what_is_no_mapping_is_no_identity(value: Any) -> None:
    """Only None is nobody."""
    with pytest.raises(InvalidIdentity):
        convex_identity(value)


def test_identity_of_another_provider_is_refused() -> None:
    """A deployment may have users of other systems, who are none of ours."""
    with pytest.raises(InvalidIdentity, match="is_anonymous"):
        convex_identity({"tokenIdentifier": "https://x|user_1", "issuer": "https://x", "subject": USER, "name": "Eve"})


def test_convex_user_says_little_of_himself() -> None:
    """No name or address in repr."""
    user = convex_identity(IDENTITY)

    assert "Ada" not in repr(user)
    assert "ada@" not in repr(user)


# --- the example ----------------------------------------------------------------------------------------------


def test_example() -> None:
    """The example's story ends well."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("HEXCLAVE_", "STACK_"))}
    command = [sys.executable, "-m", "examples.convex_app"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert "Alice           200  Alice           known" in done.stdout
    assert "restricted      403  None            NoAuthProvider" in done.stdout
    assert "Everybody was seen as expected." in done.stdout


def test_example_file_is_what_the_command_writes() -> None:
    """Nobody edited it, and a newer command would write the same."""
    assert is_rendered((ROOT / "examples/convex_app/convex/auth.config.ts").read_text())


def test_config_and_providers_agree_on_the_default() -> None:
    """The default host of the providers is that of the settings."""
    config = HexclaveConfig(project_id=PROJECT)
    assert providers_config(PROJECT) == providers_config(PROJECT, config.api_url)
