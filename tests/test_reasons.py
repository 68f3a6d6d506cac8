"""Why something is refused: a closed set of sentences, each refusal with its own, in logs and never in answers."""

from __future__ import annotations

import ast
import copy
import dataclasses
import json
import logging
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from hexclave_integrations import HexclaveConfig, RequestRefused, errors
from hexclave_integrations import _reasons as reasons
from hexclave_integrations._token.checks import CHECKS
from hexclave_integrations.requirements import (
    SELECTED_TEAM,
    require_api_key,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
)
from hexclave_integrations.testing import Sandbox

from . import _server
from ._adapters import SOURCE
from ._minting import ABSENT, HOST, KID, NOW, PROJECT, TEAM, USER, claims_of, issuer, jwk, key_set, mint, new_key
from ._minting import OTHER_PROJECT as OTHER
from ._services import free_port

KEY = new_key()
JWKS = key_set(jwk(KEY.public_key()))
NAMES = {name: value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)}
# What says nothing by itself: whoever raises it names the check.
VAGUE = {"InvalidToken", "Unavailable", "ApiKeyNotFound", "WebhookVerificationFailed"}
REFUSALS = [
    value
    for name in errors.__all__
    if isinstance(value := getattr(errors, name), type) and issubclass(value, RequestRefused) and hasattr(value, "code")
]
each_refusal = pytest.mark.parametrize("refusal", [pytest.param(one, id=one.__name__) for one in REFUSALS])


# --- the set ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in NAMES])
def test_a_reason_is_one_fixed_printable_line(name: str) -> None:
    """No place for anything from a request; a sentence, or a sentence and a question."""
    text = NAMES[name]

    assert text.isascii()
    assert text.isprintable()
    assert text[-1] in ".?"
    assert not set('{}%"\\') & set(text)


def test_reasons_tell_apart() -> None:
    """No two checks have one sentence, and the closed set is that of the module."""
    assert len(set(NAMES.values())) == len(NAMES)
    assert set(NAMES.values()) == reasons.ALL


def test_no_reason_is_left_over_and_none_is_made_up() -> None:
    """Each is used, and whoever raises a vague refusal names one of them."""
    used, vague = set(), []
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path.name not in ("_reasons.py", "checks.py"):
            used |= {
                node.attr
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "reasons"
            }
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name) and node.exc.id in VAGUE:
                vague.append((path.name, node.lineno))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in VAGUE:
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                if not any(part in given.get("reason", "") for part in ("reason", "problem", "why")):
                    vague.append((path.name, node.lineno))

    assert vague == []
    assert set(NAMES) - used - {"ALL"} == set()


@each_refusal
def test_every_refusal_has_a_reason_and_keeps_it(refusal: type[RequestRefused]) -> None:
    """By itself and when one is given, copied and pickled; not in the answer."""
    made = [refusal()]
    if refusal.__init__ is RequestRefused.__init__ or refusal is errors.Unavailable:
        made.append(refusal(reason=reasons.BRANCH))  # any other will do

        assert made[1].reason == reasons.BRANCH
        assert made[1].body() == made[0].body()
    for error in made:
        assert error.reason in reasons.ALL
        assert error.reason not in error.body().decode() + str(error.headers()) + str(error)
        for kept in (copy.copy(error), pickle.loads(pickle.dumps(error))):
            assert (type(kept), kept.reason) == (refusal, error.reason)


def test_a_refusal_that_is_repeated_keeps_its_reason() -> None:
    """What is remembered of a failed question is remembered with its reason."""
    assert errors.Unavailable(reason=reasons.TIMED_OUT).repeated().reason == reasons.TIMED_OUT


# --- tokens -------------------------------------------------------------------------------------------------


def header(**changes: Any) -> dict[str, Any]:
    return {"alg": "ES256", "kid": KID} | changes


def segments(token: str) -> list[str]:
    return token.split(".")


def tokens() -> Iterator[tuple[str, str, str]]:
    """A name, a token with one defect, and the reason for refusing it, in the order of the checks."""
    whole = mint(KEY, claims_of())
    first, second, third = segments(whole)
    yield "short", "x" * 80, reasons.TOKEN_LENGTH
    yield "long", whole + "x" * 17_000, reasons.TOKEN_LENGTH
    yield "not ascii", whole[:-1] + "\u00e9", reasons.NOT_ASCII
    yield "four segments", f"{whole}.", reasons.SEGMENTS
    yield "cut off", whole[:-3], reasons.SEGMENTS
    yield "header no base64", f"!{first[1:]}.{second}.{third}", reasons.HEADER_UNREADABLE
    yield "header no JSON", mint(KEY, claims_of(), b"no JSON"), reasons.HEADER_UNREADABLE
    yield "RS256", mint(KEY, claims_of(), header(alg="RS256")), reasons.ALGORITHM
    yield "crit", mint(KEY, claims_of(), header(crit=["b64"])), reasons.HEADER_EXTENSION
    yield "no kid", mint(KEY, claims_of(), {"alg": "ES256"}), reasons.NO_KEY_ID
    yield "payload no base64", f"{first}.!{second[1:]}.{third}", reasons.CLAIMS_UNREADABLE
    yield "payload no JSON", mint(KEY, b"no JSON"), reasons.CLAIMS_UNREADABLE
    yield "signature no base64", f"{first}.{second}.!{third[1:]}", reasons.SIGNATURE_UNREADABLE
    yield "no audience", mint(KEY, claims_of(aud=ABSENT)), reasons.AUDIENCE
    yield "some audience", mint(KEY, claims_of(aud="x")), reasons.AUDIENCE
    yield "other project", mint(KEY, claims_of(aud=OTHER)), reasons.OTHER_PROJECT
    yield "unknown key", mint(KEY, claims_of(), header(kid="other")), reasons.UNKNOWN_KEY
    yield "forged", mint(new_key(), claims_of()), reasons.SIGNATURE
    yield "time", mint(KEY, claims_of(exp="1")), reasons.TIMES
    yield "future", mint(KEY, claims_of(iat=int(NOW) + 60)), reasons.NOT_YET_VALID
    yield "not before", mint(KEY, claims_of(nbf=int(NOW) + 60)), reasons.NOT_YET_VALID
    yield "issuer", mint(KEY, claims_of(iss=issuer("regular", "https://auth.example.com"))), reasons.ISSUER
    loopback = issuer("regular", "http://127.0.0.1:8102")
    yield "loopback issuer", mint(KEY, claims_of(iss=loopback)), reasons.ISSUER_LOOPBACK
    yield "other kind's issuer", mint(KEY, claims_of(iss=issuer("anonymous"))), reasons.ISSUER_KIND
    yield "flags", mint(KEY, claims_of(is_anonymous=True)), reasons.FLAGS
    yield "reason", mint(KEY, claims_of("restricted", restricted_reason=None)), reasons.RESTRICTED_REASON
    yield "reason of a regular user", mint(KEY, claims_of(restricted_reason={})), reasons.RESTRICTED_REASON
    yield "both names", mint(KEY, claims_of(refreshTokenId=USER)), reasons.LEGACY_NAME
    yield "both names of the branch", mint(KEY, claims_of(branchId="x")), reasons.LEGACY_NAME
    yield "subject", mint(KEY, claims_of(sub="x")), reasons.SUBJECT
    yield "session", mint(KEY, claims_of(refresh_token_id="x")), reasons.SESSION_ID
    yield "project claim", mint(KEY, claims_of(project_id=OTHER)), reasons.PROJECT_CLAIM
    yield "branch", mint(KEY, claims_of(branch_id="preview")), reasons.BRANCH
    yield "role", mint(KEY, claims_of(role="service_role")), reasons.ROLE
    yield "jti", mint(KEY, claims_of(jti=1)), reasons.TOKEN_ID
    yield "profile", mint(KEY, claims_of(name=1)), reasons.PROFILE
    yield "expired", mint(KEY, claims_of(exp=int(NOW) - 60)), reasons.EXPIRED


TOKENS = list(tokens())


@pytest.fixture
def config() -> Iterator[HexclaveConfig]:
    with _server.Server(_server.fixed(200, JWKS)) as server:
        yield HexclaveConfig(project_id=PROJECT, api_url=server.url, issuer_urls=(HOST,), jwks_cooldown=0)


@pytest.fixture(params=_server.DRIVES, ids=_server.DRIVE_IDS)
def drive(request: pytest.FixtureRequest) -> Iterator[_server.Drive]:
    drive = request.param()
    yield drive
    drive.end()


def refusal_of(drive: _server.Drive, client: Any, method: str, *args: Any, **options: Any) -> RequestRefused:
    error = _server.error_of(drive, client, method, *args, **options)
    assert isinstance(error, RequestRefused)
    return error


def test_each_check_of_a_token_has_its_reason(drive: _server.Drive, config: HexclaveConfig) -> None:
    """The second time as the first, by itself and on a route."""
    client = drive.client(config, clock=lambda: NOW)
    found = {name: refusal_of(drive, client, "verify_token", token).reason for name, token, _ in TOKENS}
    again = {
        name: refusal_of(drive, client, "admit", require_user, client.attempt({"x-stack-access-token": token})).reason
        for name, token, _ in TOKENS
        if token.isascii()
    }
    expected = {name: reason for name, _, reason in TOKENS}

    assert found == expected
    assert again == {name: expected[name] for name in again}


# What is bent for a check: changes of header, of claims, or another signer.
BENT: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    reasons.ALGORITHM: ({"alg": "RS256"}, {}, False),
    reasons.HEADER_EXTENSION: ({"crit": []}, {}, False),
    reasons.NO_KEY_ID: ({"kid": 1}, {}, False),
    reasons.AUDIENCE: ({}, {"aud": "x"}, False),
    reasons.UNKNOWN_KEY: ({"kid": "other"}, {}, False),
    reasons.SIGNATURE: ({}, {}, True),
    reasons.TIMES: ({}, {"nbf": "x"}, False),
    reasons.NOT_YET_VALID: ({}, {"iat": int(NOW) + 60}, False),
    reasons.ISSUER: ({}, {"iss": "x"}, False),
    reasons.FLAGS: ({}, {"is_anonymous": True}, False),
    reasons.RESTRICTED_REASON: ({}, {"restricted_reason": {}}, False),
    reasons.LEGACY_NAME: ({}, {"branchId": "x"}, False),
    reasons.SUBJECT: ({}, {"sub": "x"}, False),
    reasons.SESSION_ID: ({}, {"refresh_token_id": "x"}, False),
    reasons.PROJECT_CLAIM: ({}, {"project_id": OTHER}, False),
    reasons.BRANCH: ({}, {"branch_id": "main2", "branchId": "main2"}, False),
    reasons.ROLE: ({}, {"role": "x"}, False),
    reasons.TOKEN_ID: ({}, {"jti": 1}, False),
    reasons.PROFILE: ({}, {"email": 1}, False),
    reasons.EXPIRED: ({}, {"exp": 1}, False),
}


def test_the_list_of_checks_has_the_order_of_the_verifier(config: HexclaveConfig) -> None:
    """A token that fails two checks is refused for the one that stands first in the list, whichever two they are."""
    drive = _server.SyncDrive()
    client = drive.client(config, clock=lambda: NOW)
    order = [reason for check in CHECKS for reason in BENT if reason in check.reasons]
    assert len(order) == len(BENT)
    for first, one in enumerate(order):
        for other in order[first + 1 :]:
            bent = [BENT[one], BENT[other]]
            head, body = ({**bent[1][part], **bent[0][part]} for part in (0, 1))  # type: ignore[dict-item]  # not the bools
            if one == reasons.LEGACY_NAME and other == reasons.BRANCH:
                body["branch_id"] = "main"
            key = new_key() if bent[0][2] or bent[1][2] else KEY
            token = mint(key, claims_of(**body), header(**head))
            assert refusal_of(drive, client, "verify_token", token).reason == one, (one, other)
    drive.end()


def test_every_reason_of_the_verifier_belongs_to_one_check() -> None:
    """So that the check that failed can be shown."""
    listed = [reason for check in CHECKS for reason in check.reasons]

    assert len(listed) == len(set(listed))
    assert {reason for _, _, reason in TOKENS} <= set(listed)


def test_a_key_for_other_users(drive: _server.Drive) -> None:
    """Hexclave is asked which users the key is for, and then the token is refused."""
    with _server.Server(lambda exchange: None) as server:
        keys = [new_key() for _ in range(6)]
        entries = [jwk(key.public_key(), f"key{number}") for number, key in enumerate(keys)]

        def answer(exchange: _server.Exchange) -> None:
            count = 6 if "anonymous" in exchange.target else 4 if "restricted" in exchange.target else 2
            exchange.send(_server.response(200, key_set(*entries[:count])))

        server.behaviour = answer
        config = HexclaveConfig(project_id=PROJECT, api_url=server.url, issuer_urls=(HOST,))
        client = drive.client(config, clock=lambda: NOW)
        token = mint(keys[5], claims_of(), header(kid="key5"))
        assert refusal_of(drive, client, "verify_token", token).reason == reasons.KEY_OF_OTHER_USERS


# --- requests -----------------------------------------------------------------------------------------------


def envelope(value: object) -> str:
    import base64

    return base64.b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).decode()


COOKIES = f"hexclave-refresh-{PROJECT}--default"
CREDENTIALS: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "nothing": ({}, {}, reasons.NO_CREDENTIALS),
    "basic": ({"authorization": "Basic x"}, {}, reasons.OTHER_SCHEME),
    "blank": ({"x-stack-access-token": " "}, {}, reasons.SIGNED_OUT),
    "null": ({"x-stack-auth": '{"accessToken":null}'}, {}, reasons.SIGNED_OUT),
    "two": ({"x-stack-access-token": "a,b"}, {}, reasons.SEVERAL_CREDENTIALS),
    "long": ({"x-stack-access-token": "a," * 20_000}, {}, reasons.HEADER_TOO_LONG),
    "long token": ({"x-stack-access-token": "a" * 20_000}, {}, reasons.TOKEN_LENGTH),
    "no base64": ({"authorization": "Bearer stackauth_!"}, {}, reasons.ENVELOPE_BASE64),
    "no JSON": ({"authorization": f"Bearer stackauth_{envelope(b'x')}"}, {}, reasons.ENVELOPE_UNREADABLE),
    "no text": ({"x-stack-auth": '{"accessToken":1}'}, {}, reasons.ENVELOPE_TYPES),
    "access alone": ({}, {"hexclave-access": "x"}, reasons.COOKIE_WITHOUT_SESSION),
    "other session": (
        {},
        {COOKIES: '{"refresh_token":"a","updated_at_millis":1}', "hexclave-access": '["b","c"]'},
        reasons.COOKIE_OF_ANOTHER_SESSION,
    ),
    "unreadable": (
        {},
        {COOKIES: '{"refresh_token":"a","updated_at_millis":1}', "hexclave-access": "nonsense"},
        reasons.COOKIE_UNREADABLE,
    ),
}


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in CREDENTIALS])
def test_credentials_that_are_none(drive: _server.Drive, config: HexclaveConfig, name: str) -> None:
    """Why nobody is there, or why what came cannot be read."""
    headers, cookies, expected = CREDENTIALS[name]
    client = drive.client(dataclasses.replace(config, accept_cookies=True))

    assert refusal_of(drive, client, "admit", require_user, client.attempt(headers, lambda: cookies)).reason == expected


def test_users_and_permissions(drive: _server.Drive, hexclave_sandbox: Sandbox) -> None:
    """What a user lacks."""
    sandbox = hexclave_sandbox
    client = drive.client(sandbox.config)
    ada = sandbox.create_user()

    def refused(requirement: Any, user: Any = ada, params: Mapping[str, Any] | None = None) -> str:
        attempt = client.attempt(sandbox.headers(user))
        return refusal_of(drive, client, "admit", requirement, attempt, params=params or {}).reason

    assert refused(require_user, sandbox.create_user("anonymous")) == reasons.ANONYMOUS
    assert refused(require_user, sandbox.create_user("restricted")) == reasons.RESTRICTED
    assert refused(require_project_permission("x")) == reasons.PROJECT_PERMISSION
    assert refused(require_permission(TEAM, "x")) == reasons.TEAM_PERMISSION
    assert refused(require_team(TEAM)) == reasons.TEAM_MEMBERSHIP
    assert refused(require_team("{t}"), params={"t": "x"}) == reasons.NO_TEAM
    assert refused(require_permission(SELECTED_TEAM, "x")) == reasons.NO_TEAM
    assert refused(require_api_key) == reasons.API_KEY_WANTED
    gone = sandbox.create_user()
    headers = sandbox.headers(gone)
    sandbox.delete_user(gone)
    live = refusal_of(drive, client, "admit", require_user.live(), client.attempt(headers))
    assert live.reason in (reasons.SESSION_ENDED, reasons.USER_GONE)
    assert refusal_of(drive, client, "get_current_user", headers["x-stack-access-token"]).reason in reasons.ALL


def test_api_keys(drive: _server.Drive, hexclave_sandbox: Sandbox) -> None:
    """Each way in which a key is none, the second time as the first."""
    sandbox = hexclave_sandbox
    client = drive.client(sandbox.config)
    user, team = sandbox.create_user(), sandbox.create_team()

    def refused(text: str, requirement: Any = require_api_key) -> list[str]:
        headers = {"x-api-key": text}
        return [refusal_of(drive, client, "admit", requirement, client.attempt(headers)).reason for _ in range(2)]

    unknown = sandbox.create_api_key(user).value
    sandbox_of_others = Sandbox(project_id=OTHER)
    foreign = sandbox_of_others.create_api_key(sandbox_of_others.create_user()).value
    owned = sandbox.create_api_key(gone := sandbox.create_user()).value
    assert refused("x") == [reasons.API_KEY_FORMAT] * 2
    assert refused(unknown[:-1] + ("0" if unknown[-1] != "0" else "1")) == [reasons.API_KEY_CHECKSUM] * 2
    assert refused(foreign) == [reasons.API_KEY_UNKNOWN] * 2
    assert (
        refused(sandbox.create_api_key(team=team).value, require_user.allow(api_key=True)) == [reasons.API_KEY_TYPE] * 2
    )
    sandbox.delete_user(gone)
    assert set(refused(owned)) <= {reasons.API_KEY_OWNER_GONE, reasons.API_KEY_UNKNOWN}
    assert refused("a,b") == [reasons.SEVERAL_CREDENTIALS] * 2


def test_what_an_application_passes_on(drive: _server.Drive, hexclave_sandbox: Sandbox) -> None:
    """No text, a user where a key is asked for and the reverse, and the user of another project's client."""
    sandbox, other = hexclave_sandbox, Sandbox(project_id=OTHER)
    client = drive.client(sandbox.config)
    user = drive.run(client, "verify_token", sandbox.token(sandbox.create_user()))
    key = drive.run(client, "check_api_key", sandbox.create_api_key(user.id).value)
    foreign = drive.run(drive.client(other.config), "verify_token", other.token(other.create_user()))

    assert refusal_of(drive, client, "verify_token", 1).reason == reasons.NOT_TEXT
    assert refusal_of(drive, client, "check_api_key", None).reason == reasons.NOT_TEXT
    assert refusal_of(drive, client, "authorize", require_user, key).reason == reasons.USER_WANTED
    assert refusal_of(drive, client, "authorize", require_api_key, user).reason == reasons.API_KEY_WANTED
    assert refusal_of(drive, client, "authorize", require_user, foreign).reason == reasons.USER_OF_ANOTHER_PROJECT


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ACCESS_TOKEN_EXPIRED", reasons.EXPIRED_AT_HEXCLAVE),
        ("CANNOT_GET_OWN_USER_WITHOUT_USER", reasons.TOKEN_REFUSED),
        ("USER_NOT_FOUND", reasons.USER_GONE),
    ],
)
def test_what_hexclave_says_of_a_token(drive: _server.Drive, code: str, expected: str) -> None:
    """A token that is good here, and not there."""
    with _server.Server(lambda exchange: None) as server:

        def answer(exchange: _server.Exchange) -> None:
            is_about_keys = "jwks" in exchange.target
            error = _server.response(404, b"{}", {"x-stack-known-error": code})
            exchange.send(_server.response(200, JWKS) if is_about_keys else error)

        server.behaviour = answer
        config = HexclaveConfig(project_id=PROJECT, api_url=server.url, issuer_urls=(HOST,))
        client = drive.client(config, clock=lambda: NOW)
        assert refusal_of(drive, client, "get_current_user", mint(KEY, claims_of())).reason == expected


# --- cannot tell --------------------------------------------------------------------------------------------

SERVERS = {
    "project": (_server.fixed(404, b"Project not found", {"content-type": "text/plain"}), reasons.KEYS_PROJECT),
    "website": (_server.fixed(404, b"<html>", {"content-type": "text/html"}), reasons.KEYS_UNUSABLE),
    "page": (_server.fixed(200, b"<html>\xff", {"content-type": "text/html"}), reasons.KEYS_UNUSABLE),
    "status": (_server.fixed(500, b""), reasons.KEYS_STATUS),
    "redirect": (_server.fixed(302, b"", {"location": "/"}), reasons.KEYS_STATUS),
    "closed": (_server.close, reasons.NO_ANSWER),
    "large": (_server.oversized, reasons.UNUSABLE_TRANSFER),
    "slow": (_server.hang, reasons.TIMED_OUT),
}


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in SERVERS])
def test_why_there_are_no_keys(drive: _server.Drive, name: str) -> None:
    """What went wrong with the fetch, also while the cool-down keeps the next one from happening."""
    behaviour, expected = SERVERS[name]
    with _server.Server(behaviour) as server:
        config = HexclaveConfig(
            project_id=PROJECT, api_url=server.url, issuer_urls=(HOST,), http_timeout=0.3 if name == "slow" else 3
        )
        client = drive.client(config, clock=lambda: NOW)
        for _ in range(2):
            error = refusal_of(drive, client, "verify_token", mint(KEY, claims_of()))
            assert (error.status, error.reason) == (503, expected)


def test_a_kind_of_key_that_nobody_tells(drive: _server.Drive) -> None:
    """The token contradicts the order of the keys, and the question about it fails."""
    with _server.Server(lambda exchange: None) as server:
        keys = [new_key() for _ in range(6)]
        document = key_set(*(jwk(key.public_key(), f"key{number}") for number, key in enumerate(keys)))

        def answer(exchange: _server.Exchange) -> None:
            exchange.send(_server.response(200 if "anonymous" in exchange.target else 500, document))

        server.behaviour = answer
        config = HexclaveConfig(project_id=PROJECT, api_url=server.url, issuer_urls=(HOST,))
        error = refusal_of(
            drive,
            drive.client(config, clock=lambda: NOW),
            "verify_token",
            mint(keys[5], claims_of(), header(kid="key5")),
        )
        assert (error.status, error.reason) == (503, reasons.KINDS_UNKNOWN)


def test_other_processes_that_cannot_be_told(drive: _server.Drive, hexclave_sandbox: Sandbox) -> None:
    """Redis is away when a webhook has made something untrue."""
    config = dataclasses.replace(hexclave_sandbox.config, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    error = refusal_of(drive, drive.client(config), "notice", "team.deleted", {"id": TEAM})

    assert (error.status, error.reason) == (503, reasons.FLEET_UNAVAILABLE)


def test_why_a_question_has_no_answer(drive: _server.Drive, hexclave_sandbox: Sandbox) -> None:
    """Status, silence after a 429, and a server key that is refused; the repetition as the first time."""
    relayed = _server.relay(hexclave_sandbox)
    with _server.Server(relayed) as server:
        config = _server.settings(hexclave_sandbox, server)

        def refused(client: Any) -> list[str]:
            return [refusal_of(drive, client, "list_permissions", USER).reason for _ in range(2)]

        wrong = drive.client(dataclasses.replace(config, secret_server_key="ssk_wrong"))
        assert refused(wrong) == [reasons.SERVER_KEY_REFUSED] * 2
        server.behaviour = _server.fixed(500, b"")
        assert refused(drive.client(config)) == [reasons.API_STATUS] * 2
        server.behaviour = _server.fixed(200, b"<html>")
        assert refused(drive.client(config)) == [reasons.API_UNUSABLE] * 2
        server.behaviour = _server.fixed(429, b"", {"retry-after": "9"})
        assert refused(drive.client(config)) == [reasons.RATE_LIMITED] * 2


# --- logs ---------------------------------------------------------------------------------------------------


def test_refused_requests_are_logged_at_debug(
    drive: _server.Drive, config: HexclaveConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Code and reason, once for each refused request, and nothing of what came with it."""
    client = drive.client(config, clock=lambda: NOW)
    caplog.set_level(logging.DEBUG, "hexclave_integrations")
    _, token, reason = TOKENS[-1]
    refusal_of(drive, client, "admit", require_user, client.attempt({"x-stack-access-token": token}))
    refusal_of(drive, client, "admit", require_user, client.attempt({}))
    refusal_of(drive, client, "verify_token", token)
    refusal_of(drive, client, "authenticate", {"x-stack-access-token": "a,b"})
    refusal_of(drive, client, "authorize", require_user, None)

    ours = [record for record in caplog.records if record.name == "hexclave_integrations"]
    assert {record.levelname for record in ours} == {"DEBUG"}
    assert [record.getMessage() for record in ours] == [
        f"Refused: ACCESS_TOKEN_EXPIRED: {reason}",
        f"Refused: USER_AUTHENTICATION_REQUIRED: {reasons.NO_CREDENTIALS}",
        f"Refused: ACCESS_TOKEN_EXPIRED: {reason}",
        f"Refused: UNPARSABLE_ACCESS_TOKEN: {reasons.SEVERAL_CREDENTIALS}",
        f"Refused: USER_AUTHENTICATION_REQUIRED: {reasons.NO_CREDENTIALS}",
    ]


def test_nothing_is_logged_where_nobody_listens(
    drive: _server.Drive, config: HexclaveConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Strangers cannot fill a log of the usual level."""
    client = drive.client(config, clock=lambda: NOW)
    caplog.set_level(logging.INFO, "hexclave_integrations")
    refusal_of(drive, client, "verify_token", TOKENS[0][1])

    assert [record for record in caplog.records if record.name == "hexclave_integrations"] == []


def test_what_is_not_configured_comes_before_who_is_there(drive: _server.Drive, hexclave_sandbox: Sandbox) -> None:
    """A route that needs a server key which is not set is an error of its owner, also for nobody."""
    client = drive.client(dataclasses.replace(hexclave_sandbox.config, secret_server_key=None))
    for requirement in (require_api_key, require_team(TEAM), require_user.live()):
        error = _server.error_of(drive, client, "admit", requirement, client.attempt({}))
        assert type(error) is errors.ConfigurationError
