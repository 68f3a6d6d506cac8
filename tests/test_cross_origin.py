"""Cookies that a page of another origin sends along: what counts, for whom, and which requests it is about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

import pytest

from hexclave_integrations import CrossOriginRefused, HexclaveConfig, NotAuthenticated, _reasons, requirements
from hexclave_integrations._token.cross_origin import why_refused
from hexclave_integrations.testing import Sandbox

from ._server import DRIVE_IDS, DRIVES, Drive, error_of

UNSAFE: Final = ("POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "get", "Get", "GET ", "", None)
SAFE: Final = ("GET", "HEAD", "OPTIONS")
TRUSTED: Final = ("https://app.example", "http://localhost:5173", "capacitor://localhost")
SITE, ORIGIN, HOST = "sec-fetch-site", "origin", "host"

# Headers, and whether the request may have cookies.
CASES: dict[str, tuple[dict[str, str], bool]] = {
    # The table of Go's TestCrossOriginProtection, whose server is called example.com.
    "same-origin": ({SITE: "same-origin"}, True),
    "none": ({SITE: "none"}, True),
    "cross-site": ({SITE: "cross-site"}, False),
    "same-site": ({SITE: "same-site"}, False),
    "no header": ({}, True),
    "no header, own origin": ({ORIGIN: "https://example.com"}, True),
    "no header, other origin": ({ORIGIN: "https://attacker.example"}, False),
    "no header, null origin": ({ORIGIN: "null"}, False),
    "same-origin wins over the origin": ({SITE: "same-origin", ORIGIN: "https://attacker.example"}, True),
    "cross-site wins over the origin": ({SITE: "cross-site", ORIGIN: "https://example.com"}, False),
    "trusted": ({SITE: "cross-site", ORIGIN: "https://app.example"}, True),
    "trusted, without the first header": ({ORIGIN: "https://app.example"}, True),
    "trusted, of an application": ({SITE: "cross-site", ORIGIN: "capacitor://localhost"}, True),
    "same-site and trusted": ({SITE: "same-site", ORIGIN: "http://localhost:5173"}, True),
    # What Sec-Fetch-Site may look like.
    "blank": ({SITE: "", ORIGIN: "https://example.com"}, True),
    "blank, other origin": ({SITE: "", ORIGIN: "https://attacker.example"}, False),
    "unknown value": ({SITE: "same-planet"}, False),
    "upper case": ({SITE: "Same-Origin"}, False),
    "twice": ({SITE: "same-origin,same-origin"}, False),
    "twice, differently": ({SITE: "same-origin,cross-site"}, False),
    "null origin across sites": ({SITE: "cross-site", ORIGIN: "null"}, False),
    # Origins that resemble the host.
    "port": ({ORIGIN: "https://example.com:8443"}, False),
    "default port": ({ORIGIN: "https://example.com:443"}, True),
    "default port of the other scheme": ({ORIGIN: "https://example.com:80"}, False),
    "port in host": ({ORIGIN: "https://example.com", HOST: "example.com:443"}, True),
    "other port in host": ({ORIGIN: "https://example.com", HOST: "example.com:8443"}, False),
    "both with a port": ({ORIGIN: "http://example.com:8000", HOST: "example.com:8000"}, True),
    "upper case host": ({ORIGIN: "https://EXAMPLE.com"}, True),
    "trailing dot": ({ORIGIN: "https://example.com."}, False),
    "trailing dot in both": ({ORIGIN: "https://example.com.", HOST: "example.com."}, True),
    "user name": ({ORIGIN: "https://example.com@attacker.example"}, False),
    "user name before the host": ({ORIGIN: "https://attacker.example@example.com"}, False),
    "path": ({ORIGIN: "https://example.com/"}, False),
    "suffix": ({ORIGIN: "https://example.com.attacker.example"}, False),
    "prefix": ({ORIGIN: "https://notexample.com"}, False),
    "sibling": ({ORIGIN: "https://blog.example.com"}, False),
    "parent": ({ORIGIN: "https://com"}, False),
    "IPv6": ({ORIGIN: "http://[::1]:8000", HOST: "[::1]:8000"}, True),
    "IPv6, another port": ({ORIGIN: "http://[::1]:8001", HOST: "[::1]:8000"}, False),
    "IPv6, spelled otherwise": ({ORIGIN: "http://[0:0:0:0:0:0:0:1]:8000", HOST: "[::1]:8000"}, False),
    "punycode": ({ORIGIN: "https://xn--bcher-kva.example", HOST: "xn--bcher-kva.example"}, True),
    "punycode against letters": ({ORIGIN: "https://xn--bcher-kva.example", HOST: "bücher.example"}, False),
    "letters": ({ORIGIN: "https://bücher.example", HOST: "bücher.example"}, False),
    "scheme of an application": ({ORIGIN: "capacitor://example.com"}, False),
    "file": ({ORIGIN: "file://", HOST: ""}, False),
    "two origins": ({ORIGIN: "https://example.com,https://attacker.example"}, False),
    "the same origin twice": ({ORIGIN: "https://example.com,https://example.com"}, False),
    "two hosts": ({ORIGIN: "https://example.com", HOST: "example.com,attacker.example"}, False),
    "no host": ({ORIGIN: "https://example.com", HOST: ""}, False),
    # Origins that resemble a trusted one.
    "trusted, other scheme": ({ORIGIN: "http://app.example"}, False),
    "trusted, other port": ({ORIGIN: "https://app.example:8443"}, False),
    "trusted, with a path": ({ORIGIN: "https://app.example/"}, False),
    "trusted, as a suffix": ({ORIGIN: "https://x.app.example"}, False),
    "trusted, as a prefix": ({ORIGIN: "https://app.example.attacker.example"}, False),
    "trusted, twice": ({ORIGIN: "https://app.example,https://app.example"}, False),
    "trusted, behind a user name": ({ORIGIN: "https://app.example@attacker.example"}, False),
}
each_case = pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in CASES])


def headers_of(name: str) -> dict[str, str]:
    return {HOST: "example.com"} | CASES[name][0]


@each_case
def test_unsafe_requests(name: str) -> None:
    """Whatever the method, if it is not one of the safe three, exactly so written."""
    expected = CASES[name][1]

    assert {method: why_refused(headers_of(name), method, TRUSTED) is None for method in UNSAFE} == dict.fromkeys(
        UNSAFE, expected
    )


@each_case
def test_safe_requests(name: str) -> None:
    """They change nothing, so that whoever makes a browser send them gains nothing."""
    assert [why_refused(headers_of(name), method, TRUSTED) for method in SAFE] == [None] * len(SAFE)


@each_case
@pytest.mark.parametrize("method", [None, "GET"])
def test_websockets(name: str, method: str | None) -> None:
    """`Origin` decides alone: it has to be there, and to be the host's or a trusted one."""
    headers = headers_of(name)
    alone = {key: value for key, value in headers.items() if key != SITE}
    expected = bool(headers.get(ORIGIN)) and why_refused(alone, "POST", TRUSTED) is None

    assert (why_refused(headers, method, TRUSTED, is_websocket=True) is None) is expected


def test_nobody_is_trusted_by_default() -> None:
    """Nor is a request without an origin a trusted one."""
    refused: list[dict[str, str]] = [{ORIGIN: "null"}, {SITE: "cross-site"}, {SITE: "cross-site", ORIGIN: ""}]
    for headers in refused:
        assert why_refused(headers, "POST", ()) is not None


# --- with a client --------------------------------------------------------------------------------------------


@pytest.fixture(params=DRIVES, ids=DRIVE_IDS)
def drive(request: pytest.FixtureRequest) -> Iterator[Drive]:
    found = request.param()
    yield found
    found.end()


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def accepting(sandbox: Sandbox, **changes: Any) -> HexclaveConfig:
    return dataclasses.replace(sandbox.config, accept_cookies=True, **changes)


def cookies_of(sandbox: Sandbox, user: Any, **token: Any) -> dict[str, str]:
    pair = f'["r1","{sandbox.token(user, **token)}"]'.replace('"', "%22").replace(",", "%2C")
    return {"stack-refresh": "r1", "stack-access": pair}


OTHER: Final = {SITE: "same-site", ORIGIN: "https://blog.example.com", HOST: "example.com"}
REQUIREMENTS: Final = {
    "user": requirements.require_user,
    "optional": requirements.optional_user,
    "anonymous": requirements.require_user.allow(anonymous=True),
    "live": requirements.require_user.live(),
    "key or user": requirements.require_user.allow(api_key=True),
    "project permission": requirements.require_project_permission("x"),
    "team": requirements.require_team("11111111-1111-4111-8111-111111111111"),
}


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in REQUIREMENTS])
def test_every_requirement_about_a_user(drive: Drive, sandbox: Sandbox, name: str) -> None:
    """Refuses, an optional one too, before anything of the token or of Hexclave is asked."""
    client = drive.client(accepting(sandbox))
    good, over = (cookies_of(sandbox, sandbox.create_user(), **more) for more in ({}, {"expires_in": -60}))
    before = len(sandbox.requests)
    for cookies in (good, over, {"stack-refresh": "r1", "stack-access": "%5B%22r1%22%2C%22garbage%22%5D"}):
        attempt = client.attempt(OTHER, lambda cookies=cookies: cookies, "POST")
        for _ in range(2):  # it is remembered, and as good as new
            error = error_of(drive, client, "admit", REQUIREMENTS[name], attempt)

            assert type(error) is CrossOriginRefused
            assert (error.status, error.code, error.reason) == (
                403,
                "CSRF_CHECK_FAILED",
                _reasons.REQUEST_OF_ANOTHER_PAGE,
            )
        assert type(error_of(drive, client, "identify", attempt)) is CrossOriginRefused
    assert len(sandbox.requests) == before


def test_each_reason(drive: Drive, sandbox: Sandbox) -> None:
    """It says which header decided."""
    client = drive.client(accepting(sandbox))
    cookies = cookies_of(sandbox, sandbox.create_user())

    def reason(headers: dict[str, str], **options: Any) -> str | None:
        error = error_of(drive, client, "identify", client.attempt(headers, lambda: cookies, **options))
        return None if error is None else getattr(error, "reason", None)

    assert reason({ORIGIN: "https://a.example", HOST: "b.example"}) == _reasons.ORIGIN_IS_NOT_THE_HOST
    assert reason({SITE: "cross-site"}) == _reasons.REQUEST_OF_ANOTHER_PAGE
    assert reason({HOST: "b.example"}, is_websocket=True) == _reasons.WEBSOCKET_OF_ANOTHER_PAGE
    assert reason({ORIGIN: "https://b.example", HOST: "b.example"}, is_websocket=True) is None


def test_what_is_not_about_cookies(drive: Drive, sandbox: Sandbox) -> None:
    """Credentials in headers count from anywhere, and where no cookie counts there is nothing to refuse."""
    user = sandbox.create_user()
    client, without = drive.client(accepting(sandbox)), drive.client(sandbox.config)
    cookies = cookies_of(sandbox, user)
    key = sandbox.create_api_key(user=user)
    require_user, either = requirements.require_user, REQUIREMENTS["key or user"]

    def admitted(by: Any, requirement: Any, headers: dict[str, str], cookies: dict[str, str]) -> Any:
        return drive.run(by, "admit", requirement, by.attempt({**headers, **OTHER}, lambda: cookies, "POST"))

    assert admitted(client, require_user, sandbox.headers(user), cookies).id == user.id
    assert admitted(client, requirements.require_api_key, {"x-api-key": key.value}, cookies).id == key.id
    assert admitted(client, either, {"x-api-key": key.value}, {}).id == user.id
    assert admitted(client, requirements.optional_user, {}, {"stack-access": "a", "other": "b"}) is None
    signed_out = {"x-stack-auth": '{"accessToken":null,"refreshToken":null}'}
    assert admitted(client, requirements.optional_user, signed_out, cookies) is None
    attempt = without.attempt(OTHER, lambda: cookies, "POST")
    assert type(error_of(drive, without, "admit", require_user, attempt)) is NotAuthenticated


def test_a_key_beside_a_cookie_that_is_refused(drive: Drive, sandbox: Sandbox) -> None:
    """The cookie would have spoken first, as for any token that is refused."""
    user = sandbox.create_user()
    client = drive.client(accepting(sandbox))
    headers = {"x-api-key": sandbox.create_api_key(user=user).value, **OTHER}
    attempt = client.attempt(headers, lambda: cookies_of(sandbox, user), "POST")

    assert type(error_of(drive, client, "admit", REQUIREMENTS["key or user"], attempt)) is CrossOriginRefused


@pytest.mark.parametrize("method", ["authenticate", "access_token"])
def test_headers_and_cookies_by_hand(drive: Drive, sandbox: Sandbox, method: str) -> None:
    """Where the method is not told, it counts as one that changes something."""
    client = drive.client(accepting(sandbox, trusted_origins=("https://app.example",)))
    cookies = cookies_of(sandbox, sandbox.create_user())
    trusted = OTHER | {ORIGIN: "https://app.example"}

    def outcome(headers: dict[str, str], *more: str) -> type | None:
        error = error_of(drive, client, method, headers, cookies, *more)
        return None if error is None else type(error)

    assert [outcome(OTHER, *more) for more in ((), ("POST",), ("GET",))] == [
        CrossOriginRefused,
        CrossOriginRefused,
        None,
    ]
    assert [outcome(headers) for headers in ({}, trusted, {SITE: "same-origin"})] == [None] * 3
    assert outcome([*OTHER.items(), (ORIGIN, "https://app.example")]) is CrossOriginRefused  # type: ignore[arg-type]  # pairs
