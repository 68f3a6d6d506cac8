"""Whose credentials count for what: the client that judged them, the key's own kind of user, cookies that are over."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from hexclave_integrations import (
    ConfigurationError,
    HexclaveClient,
    HexclaveConfig,
    HexclaveError,
    InvalidToken,
    NotAuthenticated,
    RequestRefused,
    TokenExpired,
    Unavailable,
    WrongProject,
)
from hexclave_integrations.requirements import optional_user, require_api_key, require_permission, require_user
from hexclave_integrations.testing import Sandbox

from ._minting import HOST, NOW, PROJECT, TEAM, claims_of, jwk, key_set, mint, new_key
from ._server import DRIVE_IDS, DRIVES, Clock, Drive, error_of

KINDS = ("regular", "restricted", "anonymous")
PRIVATE_KEYS = {kind: (new_key(), new_key()) for kind in KINDS}


@pytest.fixture(params=DRIVES, ids=DRIVE_IDS)
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    driving: Drive = request.param()
    yield driving
    driving.end()


# --- an attempt counts for the client that judged it ----------------------------------------------------------


@pytest.mark.parametrize("method", ["admit", "identify"])
def test_an_attempt_of_another_projects_client_counts_for_nothing(drive: Drive, method: str) -> None:
    """A request that is handed on to an application of another project is judged anew there."""
    ours, theirs = Sandbox(), Sandbox()
    mine, other = drive.client(ours.config), drive.client(theirs.config)
    attempt = mine.attempt(ours.headers(ours.create_user()))
    ask = {"admit": (require_user, attempt), "identify": (attempt,)}[method]

    assert drive.run(mine, method, *ask) is not None
    assert isinstance(error_of(drive, other, method, *ask), WrongProject)
    assert drive.run(mine, method, *ask) is not None


def test_a_refusal_by_another_projects_client_refuses_nobody_here(drive: Drive) -> None:
    """What another application made of the credentials is forgotten, whatever it was."""
    ours, theirs = Sandbox(), Sandbox()
    mine, other = drive.client(ours.config), drive.client(theirs.config)
    attempt = mine.attempt(ours.headers(ours.create_user()))

    assert isinstance(error_of(drive, other, "identify", attempt), WrongProject)
    assert drive.run(mine, "admit", require_user, attempt) is not None


# --- a key counts for the users it was published for ----------------------------------------------------------


class Publisher:
    """Hexclave's key endpoint: two keys for each kind of user, in an order, with or without the narrower sets."""

    def __init__(self, order: tuple[str, ...] = KINDS, each: int = 2) -> None:
        self.order = order
        self.each = each
        self.narrower_sets = True
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        query = request.url.query.decode()
        self.asked.append(query)
        wanted = {"": KINDS[:1], "include_restricted=true": KINDS[:2], "include_anonymous=true": KINDS}[query]
        if query != "include_anonymous=true" and not self.narrower_sets:
            return httpx.Response(503)
        entries = [
            jwk(key.public_key(), f"{kind}{number}")
            for kind in self.order
            if kind in wanted
            for number, key in enumerate(PRIVATE_KEYS[kind][: self.each])
        ]
        return httpx.Response(200, content=key_set(*entries))


def signed_by(signer: str, kind: str) -> str:
    """A token for a user of one kind, signed with the key of another."""
    return mint(PRIVATE_KEYS[signer][0], claims_of(kind), {"alg": "ES256", "kid": f"{signer}0"})


def client_of(drive: Drive, publisher: Publisher, clock: Clock | None = None) -> Any:
    config = HexclaveConfig(project_id=PROJECT, api_url=HOST, transport=httpx.MockTransport(publisher))
    return drive.client(config, clock=clock or (lambda: NOW))


@pytest.mark.parametrize("signer", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_key_vouches_for_the_users_it_was_published_for(drive: Drive, signer: str, kind: str) -> None:
    """A key that got into the wrong hands makes no token of another kind of user."""
    publisher = Publisher()
    client = client_of(drive, publisher)

    for _ in range(3):
        error = error_of(drive, client, "verify_token", signed_by(signer, kind))
        assert isinstance(error, InvalidToken) == (signer != kind)
    assert len(publisher.asked) == (1 if signer == kind else 3)


def test_users_go_on_where_hexclave_orders_its_keys_otherwise(drive: Drive) -> None:
    """The order is a hint: where a genuine token contradicts it, Hexclave is asked for each kind of user, once."""
    publisher = Publisher(order=("anonymous", "regular", "restricted"))
    client = client_of(drive, publisher)

    for kind in KINDS * 2:
        assert drive.run(client, "verify_token", signed_by(kind, kind)).kind == kind
    assert isinstance(error_of(drive, client, "verify_token", signed_by("anonymous", "regular")), InvalidToken)
    assert publisher.asked == ["include_anonymous=true", "", "include_restricted=true"]


def test_what_hexclave_does_not_say_cannot_be_told(drive: Drive) -> None:
    """Without the narrower sets the contradiction stays open: nobody is let in and nobody signed out by it."""
    publisher, clock = Publisher(), Clock()
    publisher.narrower_sets = False
    clock.now = NOW
    client = client_of(drive, publisher, clock)

    for _ in range(3):
        assert isinstance(error_of(drive, client, "verify_token", signed_by("anonymous", "regular")), Unavailable)
    assert len(publisher.asked) == 3  # the key set, and one try at the narrower ones in a cool-down
    assert drive.run(client, "verify_token", signed_by("regular", "regular")).kind == "regular"
    publisher.narrower_sets = True
    clock.advance(31)
    assert isinstance(error_of(drive, client, "verify_token", signed_by("anonymous", "regular")), InvalidToken)


def test_a_set_of_another_size_tells_nothing(drive: Drive) -> None:
    """A server with one key for each kind, or a proxy's set, is judged by audience, issuer and flags alone."""
    publisher = Publisher(order=("anonymous", "regular", "restricted"), each=1)
    client = client_of(drive, publisher)

    for kind in KINDS:
        assert drive.run(client, "verify_token", signed_by(kind, kind)).kind == kind
    assert publisher.asked == ["include_anonymous=true"]


# --- a cookie that is over is nobody, where a user is optional ------------------------------------------------


def cookies_of(sandbox: Sandbox, token: str, refresh: str = "r1") -> dict[str, str]:
    """The cookies that the JavaScript SDK leaves in a browser (contract 1.3)."""
    session = json.dumps({"refresh_token": refresh, "updated_at_millis": 1})
    return {
        f"hexclave-refresh-{sandbox.config.project_id}--default": quote(session),
        "hexclave-access": quote(json.dumps(["r1", token])),
    }


@pytest.mark.parametrize("case", ["over", "garbage", "another project", "settled before it was over"])
def test_a_cookie_that_cannot_be_used_is_nobody_for_an_optional_user(drive: Drive, case: str) -> None:
    """A page that a server renders cannot refresh it; a header of the same text stays a bad token."""
    clock = Clock()
    sandbox = Sandbox(clock=clock)
    client = drive.client(HexclaveConfig(**fields(sandbox), accept_cookies=True), clock=clock)
    issuer = Sandbox() if case == "another project" else sandbox
    token = "x." * 60 if case == "garbage" else issuer.token(issuer.create_user())
    by_cookie = client.attempt({}, lambda: cookies_of(sandbox, token))
    by_header = client.attempt({"x-stack-access-token": token}, lambda: cookies_of(sandbox, token))
    if case.startswith("settled"):
        assert drive.run(client, "admit", optional_user, by_cookie) is not None
        assert drive.run(client, "admit", optional_user, by_header) is not None
    clock.advance(700)

    assert drive.run(client, "admit", optional_user, by_cookie) is None
    assert by_cookie.asked
    assert isinstance(
        error_of(drive, client, "admit", require_user, by_cookie), InvalidToken | TokenExpired | WrongProject
    )
    assert error_of(drive, client, "admit", optional_user, by_header) is not None


def test_a_client_that_says_signed_out_has_no_cookie(drive: Drive) -> None:
    """An envelope without a token speaks for the frontend: the cookie beside it counts no more."""
    sandbox = Sandbox()
    client = drive.client(HexclaveConfig(**fields(sandbox), accept_cookies=True))
    token = sandbox.token(sandbox.create_user())
    signed_out = json.dumps({"accessToken": None, "refreshToken": None})
    attempt = client.attempt({"x-stack-auth": signed_out}, lambda: cookies_of(sandbox, token))

    assert isinstance(error_of(drive, client, "admit", require_user, attempt), NotAuthenticated)
    assert drive.run(client, "authenticate", {"x-stack-auth": signed_out}, cookies_of(sandbox, token)) is None
    assert drive.run(client, "authenticate", {}, cookies_of(sandbox, token)) is not None


def test_a_cookie_that_cannot_be_checked_is_no_nobody(drive: Drive) -> None:
    """An outage is no sign-out, for an optional user and a cookie either."""
    sandbox = Sandbox()
    client = drive.client(HexclaveConfig(**fields(sandbox), accept_cookies=True))
    token = sandbox.token(sandbox.create_user())
    with sandbox.outage():
        attempt = client.attempt({}, lambda: cookies_of(sandbox, token))
        assert isinstance(error_of(drive, client, "admit", optional_user, attempt), Unavailable)


def fields(sandbox: Sandbox) -> dict[str, Any]:
    """The sandbox's own settings."""
    config = sandbox.config
    return {
        "project_id": config.project_id,
        "secret_server_key": config.secret_server_key,
        "api_url": config.api_url,
        "transport": config.transport,
    }


# --- no credential in what a debugger or an error report shows ------------------------------------------------


def shown(error: BaseException) -> str:
    """Every local variable of the package's frames in a traceback, as a debugger or an error report writes it."""
    seen: list[str] = []
    pending: list[BaseException | None] = [error]
    while pending:
        problem = pending.pop()
        if problem is None:
            continue
        pending += [problem.__cause__, problem.__context__]
        for frame, _ in traceback.walk_tb(problem.__traceback__):
            if (
                "/src/hexclave_integrations/" in frame.f_code.co_filename
                and "/testing/" not in frame.f_code.co_filename
            ):
                where = f"{frame.f_code.co_filename.rpartition('hexclave_integrations/')[2]}:{frame.f_code.co_name}"
                seen += [f"{where}: {name} = {value!r}" for name, value in frame.f_locals.items()]
    return "\n".join(seen)


@pytest.mark.parametrize("server_key", [True, False], ids=["with server key", "without server key"])
@pytest.mark.parametrize("case", ["token", "bad token", "garbage", "api key", "bad api key", "bearer", "envelope"])
def test_no_frame_shows_a_credential(case: str, server_key: bool) -> None:
    """Debug pages and error reports write local variables down: credentials travel as values whose repr hides them."""
    sandbox = Sandbox()
    user = sandbox.create_user(display_name="Ada Lovelace", primary_email="ada@example.com")
    config = HexclaveConfig(
        **{**fields(sandbox), "secret_server_key": sandbox.config.secret_server_key if server_key else None}
    )
    client = HexclaveClient(config)
    token = sandbox.token(user)
    key = sandbox.create_api_key(user=user).value
    secrets = [token, *token.split("."), key, "ada@example.com", "Ada Lovelace"]
    bad = token[:-6] + "AAAAAA"
    headers = {
        "token": {"x-stack-access-token": token},
        "bad token": {"x-stack-access-token": bad},
        "garbage": {"x-stack-access-token": token.replace(".", "")},
        "api key": {"x-api-key": key},
        "bad api key": {"x-api-key": key[:-1] + ("0" if key[-1] != "0" else "1")},
        "bearer": {"authorization": f"Bearer {bad}"},
        "envelope": {"x-stack-auth": json.dumps({"accessToken": bad, "refreshToken": "a-refresh-token"})},
    }[case]
    secrets += [bad, bad.split(".")[2], token.replace(".", ""), "a-refresh-token"]
    calls: list[Any] = [
        lambda: client.authenticate(headers),
        lambda: client.access_token(headers),
        lambda: client.verify_token(next(iter(headers.values()))),
        lambda: client.check_api_key(next(iter(headers.values()))),
        lambda: client.get_current_user(next(iter(headers.values()))),
        *(
            lambda requirement=requirement: client.admit(requirement, client.attempt(headers))
            for requirement in (require_user, require_api_key, require_permission(TEAM, "a"), require_user.live())
        ),
    ]
    problems = 0
    with sandbox.outage():
        for call in calls:
            try:
                call()
            except HexclaveError as error:
                problems += 1
                text = shown(error)
                assert text
                assert [line for line in text.splitlines() if any(secret in line for secret in secrets)] == []
    assert problems >= 5


def test_errors_of_the_tests_are_the_kits_own() -> None:
    """The table above meets refusals, outages and settings that are missing."""
    assert issubclass(ConfigurationError, HexclaveError)
    assert issubclass(NotAuthenticated, RequestRefused)
