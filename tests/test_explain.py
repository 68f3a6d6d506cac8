"""`hexclave explain`: its verdict is the verifier's, it shows each check, and never the token or who the user is."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from hexclave_integrations import HexclaveClient, HexclaveConfig, RequestRefused
from hexclave_integrations import _reasons as reasons
from hexclave_integrations._token.checks import CHECKS
from hexclave_integrations._tools._explanation import Given, explain, read
from hexclave_integrations._tools.console import main
from hexclave_integrations.testing import Sandbox

from . import _server
from ._minting import data
from .hostile.cast import EXPIRED, GENUINE, JWKS, KEYS, KIDS, NOW, PROJECT, USER, VICTIM, claims, signed
from .hostile.corpus import GROUPS

RECORDED = data("tokens.json")
SETTINGS = ("HEXCLAVE", "STACK")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests."""
    import os

    for name in list(os.environ):
        if name.startswith(SETTINGS):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def keys() -> Iterator[_server.Server]:
    """The key set of the hostile corpus over HTTP."""
    with _server.Server(_server.fixed(200, JWKS)) as server:
        yield server


@pytest.fixture
def client(keys: _server.Server) -> Iterator[HexclaveClient]:
    config = HexclaveConfig(project_id=PROJECT, api_url=keys.url, issuer_urls=("https://api.hexclave.com",))
    with HexclaveClient(config, clock=lambda: NOW) as client:
        yield client


def verdict_of_the_verifier(client: HexclaveClient, token: str) -> str:
    """The last line that is due."""
    try:
        user = client.verify_token(token)
    except RequestRefused as error:
        return f"refused: {error.code}: {error.reason}"
    return f"accepted: {'an' if user.kind == 'anonymous' else 'a'} {user.kind} user"


def lines_of(client: HexclaveClient, token: str, now: float = NOW, **options: Any) -> list[str]:
    return list(explain(client, Given("an access token", {}, token), now, **options))


def outcomes(lines: list[str]) -> list[str]:
    """The outcome of each check."""
    start = lines.index("checks:") + 1
    return [line.split()[0] for line in lines[start : start + len(CHECKS)]]


def pieces(token: str) -> set[str]:
    """What must not be shown of a token: its parts, wherever they are long enough to be of use."""
    return {part for part in (token, *token.split(".")) if len(part) > 40}


# --- as the verifier ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", GROUPS)
def test_its_verdict_is_that_of_the_verifier(client: HexclaveClient, group: str) -> None:
    """Code and reason of every hostile case; the checks before the wrong one are right, and none after is claimed."""
    for case in GROUPS[group]:
        lines = lines_of(client, case.token)
        assert lines[-1] == verdict_of_the_verifier(client, case.token), case.name
        assert lines[-1].startswith("accepted: ") == (case.code is None), case.name
        found = outcomes(lines)
        wrong = found.index("wrong") if "wrong" in found else len(found)
        assert found == ["ok"] * wrong + ["wrong"] * (case.code is not None) + ["-"] * (len(found) - wrong - 1)


@pytest.mark.parametrize("group", GROUPS)
def test_no_case_is_shown(client: HexclaveClient, group: str) -> None:
    """Neither a token nor a signature, nor a user's id, name or address; whatever is in a claim, lines stay lines."""
    for case in GROUPS[group]:
        for offline in (False, True):
            text = "\n".join(lines_of(client, case.token, offline=offline))
            assert text.isascii(), case.name
            assert text.replace("\n", "").isprintable(), case.name
            assert not any(piece in text for piece in pieces(case.token)), case.name
            for person in (USER, VICTIM, "Ada Lovelace", "ada@example.com"):
                assert person not in text, case.name


@pytest.mark.parametrize("group", GROUPS)
def test_offline_nothing_is_accepted_and_what_is_refused_would_be(client: HexclaveClient, group: str) -> None:
    """Without the key set a token is refused or undecided, and what the verifier accepts is never refused."""
    for case in GROUPS[group]:
        last = lines_of(client, case.token, offline=True)[-1]
        assert last.startswith("refused: " if case.code and last[0] == "r" else "undecided: "), case.name


def test_offline_asks_nobody(client: HexclaveClient, keys: _server.Server) -> None:
    """It makes no request."""
    keys.targets.clear()
    found = lines_of(client, GENUINE, offline=True)

    assert keys.targets == []
    assert "skipped" in outcomes(found)
    assert found[-1].startswith("undecided: ")


def test_every_outcome_is_seen() -> None:
    """All checks of the list are ones that some token of the corpus or of the tests of reasons fails."""
    from .test_reasons import TOKENS

    seen = {reason for _, _, reason in TOKENS}
    assert [check.name for check in CHECKS if not check.needs_keys and not check.reasons & seen] == [
        "the credentials can be read, and hold one token"
    ]


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in RECORDED["tokens"]])
def test_recorded_tokens(name: str) -> None:
    """Tokens of a real server, judged as at the time of the recording, and as at now."""
    recorded = RECORDED["tokens"][name]
    moment = datetime.fromisoformat(recorded["recorded_at"]).timestamp()
    with _server.Server(_server.fixed(200, RECORDED["jwks_include_anonymous"])) as server:
        config = HexclaveConfig(
            project_id=RECORDED["project_id"], api_url=server.url, issuer_urls=(RECORDED["issuer_host"],)
        )
        for now in (moment, moment + 3600):
            with HexclaveClient(config, clock=partial(float, now)) as client:
                lines = lines_of(client, recorded["access_token"], now)
                assert lines[-1] == verdict_of_the_verifier(client, recorded["access_token"])
            assert lines[-1].startswith("accepted: " if now == moment else f"refused: {EXPIRED}: ")
            assert recorded["claims"]["sub"] not in "\n".join(lines)


# --- the command --------------------------------------------------------------------------------------------


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *options: str, given: str = ""
) -> tuple[int, list[str]]:
    """Exit code and lines."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    code = main(["explain", *options])
    return code, capsys.readouterr().out.splitlines()


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox over HTTP, and the environment that leads to it."""
    sandbox = Sandbox()
    with sandbox.serve() as url:
        monkeypatch.setenv("HEXCLAVE_PROJECT_ID", sandbox.config.project_id)
        monkeypatch.setenv("HEXCLAVE_API_URL", url)
        yield sandbox


def forms(token: str, project_id: str) -> dict[str, str]:
    """Everything that somebody may copy out of a browser or a log."""
    envelope = json.dumps({"accessToken": token, "refreshToken": None})
    coded = base64.b64encode(envelope.encode()).decode()
    return {
        "token": token,
        "blanks": f"\n  {token}\n",
        "header": f"x-stack-access-token: {token}",
        "new header": f"X-Hexclave-Access-Token: {token}",
        "bearer": f"Authorization: Bearer {token}",
        "bearer without its name": f"Bearer {token}",
        "envelope": f"stackauth_{coded}",
        "new envelope": f"hexclave_{coded}",
        "bearer envelope": f"Authorization: Bearer stackauth_{coded}",
        "x-stack-auth": f"x-stack-auth: {envelope}",
        "JSON": envelope,
        "websocket": f"Sec-WebSocket-Protocol: hexclave, hexclave.access-token.{token}",
    }


FORMS = list(forms("", ""))


@pytest.mark.parametrize("form", [pytest.param(form, id=form) for form in FORMS])
def test_forms(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Each form is known by itself; the verdict is the last line, the exit code 0."""
    token = sandbox.token(sandbox.create_user())
    code, lines = run(capsys, monkeypatch, given=forms(token, sandbox.config.project_id)[form])

    assert (code, lines[-1]) == (0, "accepted: a regular user")
    assert lines[0].startswith("form: ")
    assert not any(piece in "\n".join(lines) for piece in pieces(token))


def test_cookies_count_where_they_do(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole Cookie header, judged as the settings say."""
    token = sandbox.token(sandbox.create_user())
    name = f"hexclave-refresh-{sandbox.config.project_id}--default"
    refresh = '{"refresh_token":"r","updated_at_millis":1}'
    given = f'Cookie: {name}={refresh}; hexclave-access=["r","{token}"]'
    without = run(capsys, monkeypatch, given=given)
    monkeypatch.setenv("HEXCLAVE_ACCEPT_COOKIES", "true")
    with_cookies = run(capsys, monkeypatch, given=given)

    assert (without[0], without[1][-1]) == (1, f"refused: USER_AUTHENTICATION_REQUIRED: {reasons.NO_CREDENTIALS}")
    assert (with_cookies[0], with_cookies[1][-1]) == (0, "accepted: a regular user")


@pytest.mark.parametrize(("kind", "words"), [("restricted", "a restricted user"), ("anonymous", "an anonymous user")])
def test_kinds(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: Any, words: str
) -> None:
    """Whom a route lets in is the route's affair; what the token is, is said."""
    assert run(capsys, monkeypatch, sandbox.token(sandbox.create_user(kind)))[1][-1] == f"accepted: {words}"


def test_the_clock_of_a_recorded_token(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--at` judges as at another time, in seconds or as a date; the claims say how far away their times are."""
    token = sandbox.token(sandbox.create_user())
    later = run(capsys, monkeypatch, "--at", "2100-01-01T00:00:00Z", given=token)
    same = run(capsys, monkeypatch, "--at", "4102444800", given=token)

    assert later == same
    assert (later[0], later[1][-1]) == (1, f"refused: {EXPIRED}: {reasons.EXPIRED}")
    assert sum(line.startswith("  exp: ") and line.endswith(" s ago)") for line in later[1]) == 1


def test_api_keys(sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Hexclave is asked where there is a server key; without, form and checksum are judged and nothing is accepted."""
    key = sandbox.create_api_key(sandbox.create_user()).value
    without = run(capsys, monkeypatch, given=key)
    monkeypatch.setenv("HEXCLAVE_SECRET_SERVER_KEY", str(sandbox.config.secret_server_key))
    asked = run(capsys, monkeypatch, given=f"x-api-key: {key}")
    offline = run(capsys, monkeypatch, "--offline", given=key)
    wrong = run(capsys, monkeypatch, "--offline", given=key[:-1] + ("1" if key[-1] == "0" else "0"))

    assert without[0] == offline[0] == 1
    assert without[1][-1].startswith("undecided: ")
    assert offline[1][-1].startswith("undecided: ")
    assert asked == (0, ["form: the header x-api-key", "accepted: a user's API key"])
    assert wrong[1][-1] == f"refused: API_KEY_NOT_FOUND: {reasons.API_KEY_CHECKSUM}"
    assert key not in "\n".join([*without[1], *asked[1], *offline[1]])


def test_keys_that_cannot_be_had(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cannot tell is not accepted, and the reason says what to look at."""
    monkeypatch.setenv("HEXCLAVE_API_URL", "http://127.0.0.1:1")
    code, lines = run(capsys, monkeypatch, given=sandbox.token(sandbox.create_user()))

    assert (code, lines[-1]) == (1, f"refused: HEXCLAVE_UNAVAILABLE: {reasons.NO_ANSWER}")
    assert CHECKS[outcomes(lines).index("wrong")].name == "the project's key set can be had"


@pytest.mark.parametrize(
    ("options", "given", "part"),
    [
        ((), "", "there is no token"),
        ((), " \n", "there is no token"),
        ((), "x" * 70_000, "longer than any token"),
        (("--project-id", "nonsense"), "x", "--project-id"),
    ],
)
def test_nothing_to_judge(
    sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    given: str,
    part: str,
) -> None:
    """Exit code 2, and a message on standard error."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode())))

    assert main(["explain", *options]) == 2
    output = capsys.readouterr()
    assert (output.out, part in output.err) == ("", True)


@pytest.mark.parametrize("text", ["yesterday", "nan", "inf", "1e9", "99999-01-01", ""])
def test_a_time_that_is_none(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """The option's own error, exit code 2: before and after a time that is no number every token would be good."""
    with pytest.raises(SystemExit) as ended:
        main(["explain", "--at", text, "x"])

    assert ended.value.code == 2
    assert "--at" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["a: b", "{", "Bearer ", "stackauth_", ":", "x-stack-auth:", "\0", "Cookie: a=b"])
def test_texts_that_are_nothing(client: HexclaveClient, text: str) -> None:
    """Whatever is pasted ends in a verdict."""
    assert list(explain(client, read(text), NOW))[-1].startswith("refused: ")


def test_claims_that_would_smuggle_something_out(client: HexclaveClient) -> None:
    """A token, a signature or terminal commands in a claim or its name are not shown."""
    secret = "s" * 86
    claims_of_a_forger = claims(iss=f"https://x/{secret}", aud=f"{PROJECT}:{secret}", role="\x1b[2J") | {secret: 1}
    token = signed(claims_of_a_forger, {"alg": "ES256", "kid": secret}, key=KEYS["regular"])
    text = "\n".join(lines_of(client, token))

    assert KIDS["regular"] not in text
    assert secret[:41] not in text
    assert "\x1b" not in text


def test_console_starts_light() -> None:
    """Other commands do not load what this one needs."""
    from .test_public_api import loaded_by

    loaded = loaded_by(
        "import hexclave_integrations._tools.console as c\ntry: c.main(['--version'])\nexcept SystemExit: pass"
    )
    assert not {"httpx", "cryptography", "hexclave_integrations.client"} & loaded
