"""Where a request carries its token: every form, their order, and what is refused (contract 1.1 and 1.3)."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hexclave_integrations import HexclaveConfig
from hexclave_integrations._token.find import MAX_HEADER, MAX_TOKEN, collect, find_token, read_cookies, wanted_headers
from hexclave_integrations._token.verify import Verifier
from hexclave_integrations.errors import InvalidToken, RequestRefused

from ._minting import KINDS, PROJECT, claims_of, data, mint, new_key

TRANSPORTS = data("token_transports.json")
TOKEN: str = TRANSPORTS["tokens"]["accessToken"]
REFRESH: str = TRANSPORTS["tokens"]["refreshToken"]
CONFIG = HexclaveConfig(project_id=PROJECT)
WITH_COOKIES = HexclaveConfig(project_id=PROJECT, accept_cookies=True)
WANTED = wanted_headers(CONFIG)


def find(headers: Mapping[str, str], cookies: Mapping[str, str] | None = None, *, accept: bool = False) -> str | None:
    """The token of a request with these headers and cookies."""
    return find_token(collect(headers.items(), WANTED), cookies, WITH_COOKIES if accept else CONFIG)


def envelope(access: object, refresh: object = REFRESH) -> str:
    """The JSON that the SDKs put into headers."""
    return json.dumps({"accessToken": access, "refreshToken": refresh}, separators=(",", ":"))


def bearer(text: str | bytes, prefix: str = "stackauth_") -> str:
    """An `Authorization` value around an envelope."""
    raw = text if isinstance(text, bytes) else text.encode()
    return f"Bearer {prefix}{base64.b64encode(raw).decode()}"


# --- headers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        *(
            pytest.param(TRANSPORTS[name], id=name)
            for name in (
                "x_stack_access_token_header",
                "x_hexclave_access_token_header",
                "x_stack_auth_header",
                "authorization_stackauth",
                "authorization_hexclave",
                "authorization_access_only",
                "authorization_plain_jwt_ignored_by_js_sdk",
            )
        ),
        pytest.param({"X-Stack-Access-Token": TOKEN}, id="capitals"),
        pytest.param({"X-HEXCLAVE-ACCESS-TOKEN": TOKEN}, id="upper-case"),
        pytest.param({"AUTHORIZATION": f"bearer {TOKEN}"}, id="scheme-lower-case"),
        pytest.param({"authorization": f"BEARER {TOKEN}"}, id="scheme-upper-case"),
        pytest.param({"authorization": f"Bearer \t  {TOKEN} "}, id="scheme-and-spaces"),
        pytest.param({"authorization": f"  Bearer {TOKEN}"}, id="space-before-the-scheme"),
        pytest.param({"x-stack-access-token": f"\t{TOKEN} "}, id="spaces-around"),
        pytest.param({"authorization": bearer(envelope(TOKEN, None))}, id="refresh-null"),
        pytest.param({"authorization": bearer(f'{{"accessToken":"{TOKEN}"}}')}, id="refresh-missing"),
        pytest.param({"authorization": bearer(f'{{"accessToken":"{TOKEN}","new":[1]}}')}, id="unknown-member"),
        pytest.param({"x-stack-auth": f' {{ "accessToken" : "{TOKEN}" }} '}, id="spaced-json"),
        pytest.param({"x-stack-auth": envelope(TOKEN).replace(".", "\\u002e")}, id="escaped-json"),
        pytest.param({"x-stack-access-token": f"{TOKEN},{TOKEN}"}, id="twice-the-same"),
        pytest.param({"x-hexclave-access-token": f"{TOKEN} , {TOKEN}"}, id="twice-the-same-spaced"),
        pytest.param({"authorization": f"Bearer {TOKEN}, Bearer {TOKEN}"}, id="bearer-twice-the-same"),
        pytest.param({"x-stack-access-token": "", "authorization": f"Bearer {TOKEN}"}, id="empty-header-before"),
        pytest.param({"x-stack-access-token": " ", "x-stack-auth": envelope(TOKEN)}, id="blank-header-before"),
        pytest.param({"authorization": "Basic eDp5", "x-stack-auth": envelope(TOKEN)}, id="another-scheme-beside"),
        pytest.param({"cookie": "a=b", "x-other": "x", "x-stack-access-token": TOKEN}, id="among-others"),
    ],
)
def test_every_form_gives_the_token(headers: dict[str, str]) -> None:
    """What real clients send is found, whatever the case of names and scheme."""
    assert find(headers) == TOKEN


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no-headers"),
        pytest.param({"x-stack-access-token": ""}, id="empty"),
        pytest.param({"x-hexclave-access-token": " \t"}, id="blank"),
        pytest.param({"x-stack-access-token": ","}, id="two-empty-ones"),
        pytest.param({"x-stack-auth": ""}, id="empty-envelope-header"),
        pytest.param({"authorization": ""}, id="empty-authorization"),
        pytest.param({"authorization": "Bearer"}, id="scheme-only"),
        pytest.param({"authorization": "Bearer "}, id="scheme-and-space"),
        pytest.param({"authorization": TOKEN}, id="no-scheme"),
        pytest.param({"authorization": f"Bearer{TOKEN}"}, id="no-space"),
        pytest.param({"authorization": f"Bearer:{TOKEN}"}, id="colon"),
        pytest.param({"authorization": f"XBearer {TOKEN}"}, id="another-name-that-ends-so"),
        pytest.param({"authorization": f"Token {TOKEN}"}, id="another-scheme"),
        pytest.param({"authorization": "Basic eDp5"}, id="basic"),
        pytest.param({"authorization": "Negotiate " + "A" * (MAX_HEADER + 1)}, id="long-negotiate"),
        pytest.param({"authorization": 'Digest username="a", realm="b", nonce="c"'}, id="digest"),
        pytest.param({"authorization": "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c"}, id="aws"),
        pytest.param({"x-stack-auth": envelope(None, None)}, id="signed-out"),
        pytest.param({"authorization": bearer(envelope(None, None))}, id="signed-out-bearer"),
        pytest.param({"authorization": bearer("{}", "hexclave_")}, id="empty-object"),
        pytest.param({"authorization": bearer(envelope(None))}, id="refresh-only"),
        pytest.param({"x-stack-auth": envelope("", "")}, id="empty-strings"),
        pytest.param({"x-hexclave-auth": envelope(TOKEN)}, id="a-header-that-does-not-exist"),
        pytest.param({"stack-access-token": TOKEN, "x-access-token": TOKEN}, id="similar-names"),
        pytest.param({"x_stack_access_token": TOKEN}, id="underscores"),
        pytest.param({"x-\u017ftack-auth": envelope(TOKEN)}, id="foreign-letter"),
    ],
)
def test_no_credentials_of_ours_is_nobody(headers: dict[str, str]) -> None:
    """Nothing, blanks, other schemes and signed-out clients are no bad token."""
    assert find(headers) is None


MALFORMED: list[Any] = [
    *(pytest.param(headers, id=f"fixture-{n}") for n, headers in enumerate(TRANSPORTS["authorization_malformed"])),
    pytest.param({"authorization": "Bearer hexclave_"}, id="empty-payload"),
    pytest.param({"authorization": bearer(envelope(TOKEN)).rstrip("=") + "!"}, id="foreign-character"),
    pytest.param({"authorization": bearer('{"accessToken":"x","a":1}').rstrip("=")[:-1]}, id="cut-base64"),
    pytest.param({"authorization": bearer("{} ").replace("Bearer stackauth_", "Bearer stackauth_ ")}, id="space"),
    pytest.param({"authorization": "Bearer stackauth_é"}, id="not-ascii"),
    pytest.param({"authorization": bearer(b"\xff\xfe")}, id="not-utf-8"),
    pytest.param({"authorization": bearer("null")}, id="null"),
    pytest.param({"authorization": bearer("[]")}, id="array"),
    pytest.param({"authorization": bearer('"x"')}, id="string"),
    pytest.param({"authorization": bearer(envelope(1))}, id="access-number"),
    pytest.param({"authorization": bearer(envelope(False))}, id="access-false"),
    pytest.param({"authorization": bearer(envelope([TOKEN]))}, id="access-list"),
    pytest.param({"authorization": bearer(envelope(TOKEN, 5))}, id="refresh-number"),
    pytest.param({"authorization": bearer('{"accessToken":"a","accessToken":"b"}')}, id="access-twice"),
    pytest.param({"authorization": bearer("\ufeff{}")}, id="bom"),
    pytest.param({"authorization": bearer("{" + '"a":[' * 600 + "]" * 600 + "}")}, id="deep"),
    pytest.param({"x-stack-auth": "null"}, id="header-null"),
    pytest.param({"x-stack-auth": "[]"}, id="header-array"),
    pytest.param({"x-stack-auth": "x"}, id="header-text"),
    pytest.param({"x-stack-auth": TOKEN}, id="header-raw-token"),
    pytest.param({"x-stack-auth": envelope({"a": 1})}, id="header-access-object"),
    pytest.param({"x-stack-auth": envelope(TOKEN)[:-1]}, id="header-truncated"),
    pytest.param({"x-stack-auth": "\ud800"}, id="header-surrogate"),
    pytest.param({"x-stack-auth": '{"accessToken":"\\ud800"}'}, id="header-escaped-surrogate"),
    pytest.param({"x-stack-auth": f"{envelope(TOKEN)},{envelope(TOKEN)}"}, id="header-twice"),
    pytest.param({"x-stack-access-token": f"{TOKEN},other"}, id="two-tokens"),
    pytest.param({"x-stack-access-token": f"{TOKEN},"}, id="a-token-and-an-empty-one"),
    pytest.param({"x-hexclave-access-token": f"other, {TOKEN}"}, id="two-tokens-new-name"),
    pytest.param({"authorization": f"Bearer {TOKEN},Bearer other"}, id="two-bearers"),
    pytest.param({"authorization": f"Basic eDp5, Bearer {TOKEN}"}, id="two-schemes"),
    pytest.param({"authorization": f"Bearer {TOKEN}, Basic eDp5"}, id="two-schemes-bearer-first"),
    pytest.param({"x-stack-access-token": "A" * (MAX_TOKEN + 1)}, id="long-token"),
    pytest.param({"x-stack-access-token": "A" * (MAX_HEADER + 1)}, id="long-header"),
    pytest.param({"x-stack-access-token": " " * MAX_HEADER + "a.b.c"}, id="long-blanks"),
    pytest.param({"x-hexclave-access-token": " " * MAX_HEADER + "a.b.c"}, id="long-blanks-new-name"),
    pytest.param({"authorization": "Bearer " + "A" * (MAX_TOKEN + 1)}, id="long-bearer"),
    pytest.param({"authorization": "Bearer " + "A" * MAX_HEADER}, id="long-authorization"),
    pytest.param({"authorization": bearer(envelope("A" * (MAX_TOKEN + 1)))}, id="long-token-in-envelope"),
    pytest.param({"x-stack-auth": envelope("A" * (MAX_TOKEN + 1))}, id="long-token-in-header"),
    pytest.param({"x-stack-auth": envelope("", "A" * MAX_HEADER)}, id="long-envelope"),
]


@pytest.mark.parametrize("headers", MALFORMED)
def test_malformed_credentials_are_refused(headers: dict[str, str]) -> None:
    """Credentials that are ours and cannot be read are a 401, never "nobody"."""
    with pytest.raises(InvalidToken):
        find(headers)


@pytest.mark.parametrize("headers", MALFORMED)
def test_malformed_credentials_do_not_fall_through_to_cookies(headers: dict[str, str]) -> None:
    """A bad header beside a good cookie is still bad."""
    with pytest.raises(InvalidToken):
        find(headers, TRANSPORTS["cookies_new"], accept=True)


@pytest.mark.parametrize(
    ("size", "form"),
    [
        pytest.param(MAX_TOKEN, "x-stack-access-token", id="header"),
        pytest.param(MAX_TOKEN, "authorization", id="bearer"),
        pytest.param(MAX_TOKEN, "x-stack-auth", id="envelope"),
    ],
)
def test_the_largest_token_is_found(size: int, form: str) -> None:
    """The cap itself is allowed in each form."""
    token = "A" * size
    value = {"authorization": f"Bearer {token}", "x-stack-auth": envelope(token)}.get(form, token)

    assert token == find({form: value})


# The sources in their order; each with a header and what it gives.
SOURCES: list[tuple[str, dict[str, str], str]] = [
    ("stack-header", {"x-stack-access-token": "from-a"}, "from-a"),
    ("hexclave-header", {"x-hexclave-access-token": "from-b"}, "from-b"),
    ("bearer-envelope", {"authorization": bearer(envelope("from-c"))}, "from-c"),
    ("stack-auth", {"x-stack-auth": envelope("from-d")}, "from-d"),
    ("bearer", {"authorization": "Bearer from-e"}, "from-e"),
]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(first, second, id=f"{first[0]}-before-{second[0]}")
        for first, second in itertools.combinations(SOURCES, 2)
        if first[1].keys() != second[1].keys()
    ],
)
def test_the_first_source_decides(
    first: tuple[str, dict[str, str], str], second: tuple[str, dict[str, str], str]
) -> None:
    """Of two sources the earlier one of contract 1.1 counts, in whichever order the headers came."""
    assert first[2] == find({**first[1], **second[1]})
    assert first[2] == find({**second[1], **first[1]})


@pytest.mark.parametrize("source", [pytest.param(source, id=source[0]) for source in SOURCES])
def test_headers_come_before_cookies(source: tuple[str, dict[str, str], str]) -> None:
    """A cookie counts only where no header speaks."""
    assert source[2] == find(source[1], TRANSPORTS["cookies_new"], accept=True)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"authorization": bearer(envelope(None, None))}, id="bearer"),
        pytest.param({"x-stack-auth": envelope(None, None)}, id="header"),
    ],
)
def test_a_client_that_says_signed_out_is_believed(headers: dict[str, str]) -> None:
    """A null envelope is an answer: neither later headers nor cookies are asked."""
    assert find(headers, TRANSPORTS["cookies_new"], accept=True) is None


# --- collecting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param([(b"x-stack-access-token", b"a")], {"x-stack-access-token": "a"}, id="bytes"),
        pytest.param([("X-Stack-Access-Token", "a")], {"x-stack-access-token": "a"}, id="text-in-capitals"),
        pytest.param([(b"Authorization", b"a")], {"authorization": "a"}, id="bytes-in-capitals"),
        pytest.param(
            [("x-stack-auth", b"a"), (b"authorization", "b")], {"x-stack-auth": "a", "authorization": "b"}, id="mixed"
        ),
        pytest.param([(b"authorization", b"a"), (b"Authorization", b"b")], {"authorization": "a,b"}, id="repeated"),
        pytest.param([(b"authorization", b"a")] * 3, {"authorization": "a,a,a"}, id="repeated-the-same"),
        pytest.param([(b"x-stack-access-token", b"\xe9\xff")], {"x-stack-access-token": "éÿ"}, id="latin-1"),
        pytest.param([(b"x-api-key", b"k")], {"x-api-key": "k"}, id="api-key"),
        pytest.param([(b"cookie", b"a=b"), (b"x-stack-refresh-token", b"r"), (b"\xff", b"x")], {}, id="others"),
        pytest.param([(b"x-stack-access-token ", b"a"), (b"x-stack-access-token\x00", b"a")], {}, id="almost"),
    ],
)
def test_credential_headers_are_collected(pairs: list[tuple[Any, Any]], expected: dict[str, str]) -> None:
    """Text or bytes, any case; repeated ones joined with a comma as WSGI servers do."""
    assert expected == collect(pairs, WANTED)


def test_a_repeated_header_is_judged_alike_as_bytes_and_as_text() -> None:
    """ASGI hands over two headers where WSGI has one with a comma."""
    asgi = collect([(b"x-stack-access-token", b"a"), (b"x-stack-access-token", b"b")], WANTED)

    assert collect([("x-stack-access-token", "a,b")], WANTED) == asgi
    with pytest.raises(InvalidToken):
        find_token(asgi, None, CONFIG)


def test_the_api_key_header_is_collected_under_its_configured_name() -> None:
    """Only the configured name is looked for."""
    wanted = wanted_headers(HexclaveConfig(project_id=PROJECT, api_key_header="X-Team-Key"))

    assert collect([(b"X-TEAM-KEY", b"k"), (b"x-api-key", b"other")], wanted) == {"x-team-key": "k"}


# --- cookies ------------------------------------------------------------------------------------------------


def structured(token: object = REFRESH, updated: object = 1767225600000) -> str:
    """A refresh cookie's value as the SDK writes it."""
    return quote(json.dumps({"refresh_token": token, "updated_at_millis": updated}, separators=(",", ":")), safe="")


def access(token: object = TOKEN, refresh: object = REFRESH) -> str:
    """An access cookie's value as the SDK writes it."""
    return quote(json.dumps([refresh, token], separators=(",", ":")), safe="")


HOST_COOKIE = f"__Host-hexclave-refresh-{PROJECT}--default"
BARE_COOKIE = f"hexclave-refresh-{PROJECT}--default"
CUSTOM_COOKIE = TRANSPORTS["cookies_custom_domain_name"]["cookie"]
OLD_HOST_COOKIE = f"__Host-stack-refresh-{PROJECT}--default"
OLD_BARE_COOKIE = f"stack-refresh-{PROJECT}--default"
OLD_PLAIN_COOKIE = f"stack-refresh-{PROJECT}"


@pytest.mark.parametrize(
    "cookies",
    [
        pytest.param(TRANSPORTS["cookies_new"], id="new"),
        pytest.param(TRANSPORTS["cookies_stack_structured"], id="legacy-structured"),
        pytest.param(TRANSPORTS["cookies_legacy_plain"], id="legacy-plain"),
        pytest.param({BARE_COOKIE: structured(), "hexclave-access": access()}, id="http"),
        pytest.param({CUSTOM_COOKIE: structured(), "hexclave-access": access()}, id="custom-domain"),
        pytest.param({HOST_COOKIE: structured(), "stack-access": access()}, id="access-under-the-old-name"),
        pytest.param({"stack-refresh": REFRESH, "stack-access": access()}, id="plain-without-project"),
        pytest.param({HOST_COOKIE: structured(updated=1.5), "hexclave-access": access()}, id="fraction"),
        pytest.param({HOST_COOKIE: structured(), "hexclave-access": "", "stack-access": access()}, id="empty-access"),
        pytest.param(
            {
                HOST_COOKIE: json.dumps({"refresh_token": REFRESH, "updated_at_millis": 1}),
                "hexclave-access": json.dumps([REFRESH, TOKEN], separators=(",", ":")),
            },
            id="not-percent-encoded",
        ),
    ],
)
def test_the_access_cookie_of_the_session_is_found(cookies: dict[str, str]) -> None:
    """New, legacy and custom-domain names, paired by their refresh token; only where cookies are accepted."""
    assert find({}, cookies, accept=True) == TOKEN
    assert find({}, cookies) is None
    assert find({"authorization": "Basic eDp5"}, cookies) is None


@pytest.mark.parametrize(
    "cookies",
    [
        pytest.param(None, id="no-mapping"),
        pytest.param({}, id="none"),
        pytest.param(TRANSPORTS["cookies_access_for_other_refresh_is_ignored"], id="another-session"),
        pytest.param({"hexclave-access": access()}, id="no-refresh-cookie"),
        pytest.param({HOST_COOKIE: structured()}, id="no-access-cookie"),
        pytest.param({"stack-access-token": TOKEN, "hexclave-access-token": TOKEN}, id="a-name-of-the-docs-sample"),
        pytest.param(
            {HOST_COOKIE.replace(PROJECT, "x"): structured(), "hexclave-access": access()}, id="other-project"
        ),
        pytest.param({f"{BARE_COOKIE}2": structured(), "hexclave-access": access()}, id="name-with-a-suffix"),
        pytest.param({f"x{BARE_COOKIE}": structured(), "hexclave-access": access()}, id="name-with-a-prefix"),
        pytest.param({f"__Secure-{BARE_COOKIE}": structured(), "hexclave-access": access()}, id="another-prefix"),
        pytest.param({f"__Host-{CUSTOM_COOKIE}": structured(), "hexclave-access": access()}, id="host-custom"),
        pytest.param({HOST_COOKIE.upper(): structured(), "hexclave-access": access()}, id="name-upper-case"),
    ],
)
def test_cookies_that_do_not_fit_together_are_nobody(cookies: dict[str, str] | None) -> None:
    """Without a pair of this project's session there are no credentials."""
    assert find({}, cookies, accept=True) is None


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("%", id="percent"),
        pytest.param("%FF%FE", id="not-utf-8"),
        pytest.param("\ud800", id="surrogate"),
        pytest.param(REFRESH, id="plain-text"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="array"),
        pytest.param("{}", id="empty-object"),
        pytest.param(structured(None), id="token-null"),
        pytest.param(structured(""), id="token-empty"),
        pytest.param(structured(5), id="token-number"),
        pytest.param(structured("planted", None), id="time-null"),
        pytest.param(structured("planted", "9"), id="time-text"),
        pytest.param(structured("planted", True), id="time-true"),
        pytest.param('{"refresh_token":"planted","updated_at_millis":1e999}', id="time-infinite"),
        pytest.param('{"refresh_token":"planted","updated_at_millis":NaN}', id="time-nan"),
        pytest.param('{"refresh_token":"planted"}', id="no-time"),
        pytest.param('{"refresh_token":"a","refresh_token":"b","updated_at_millis":9}', id="token-twice"),
        pytest.param("x" * (MAX_HEADER + 1), id="long"),
        pytest.param("[" * 2000, id="deep"),
    ],
)
def test_an_unreadable_refresh_cookie_is_skipped(value: str) -> None:
    """As in the SDK; a readable one beside it counts, and it alone is nobody."""
    cookies = {CUSTOM_COOKIE: value, HOST_COOKIE: structured(), "hexclave-access": access()}

    assert find({}, cookies, accept=True) == TOKEN
    assert find({}, {CUSTOM_COOKIE: value, "hexclave-access": access()}, accept=True) is None


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param(TOKEN, id="raw-token"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="empty-array"),
        pytest.param(f'["{REFRESH}"]', id="one-string"),
        pytest.param(f'["{REFRESH}","{TOKEN}","x"]', id="three-strings"),
        pytest.param(f'["{REFRESH}",null]', id="null-token"),
        pytest.param(f'["{REFRESH}",5]', id="number"),
        pytest.param(f'["{REFRESH}",""]', id="empty-token"),
        pytest.param(f' ["{REFRESH}","{TOKEN}"]', id="leading-space"),
        pytest.param(f'[ "{REFRESH}","{TOKEN}"]', id="inner-space"),
        pytest.param(f'["{REFRESH}","{TOKEN}"', id="truncated"),
        pytest.param(f'["{REFRESH}","{TOKEN}"],"x":1', id="with-a-second-member"),
        pytest.param(f'["x","y"],"pair":["{REFRESH}","{TOKEN}"]', id="with-the-member-twice"),
        pytest.param(f'["{REFRESH}","{TOKEN}"]}}', id="with-a-brace"),
        pytest.param(f'["{REFRESH}","\\ud800"]', id="lone-surrogate"),
        pytest.param(f'["{REFRESH} ","{TOKEN}"]', id="another-session"),
        pytest.param("%ff", id="not-utf-8"),
        pytest.param("\ud800", id="surrogate"),
        pytest.param("x" * (MAX_HEADER + 1), id="long"),
    ],
)
def test_an_unreadable_access_cookie_is_nobody(value: str) -> None:
    """The cookie is an array of exactly two strings or counts as absent (contract 1.3)."""
    assert find({}, {HOST_COOKIE: structured(), "hexclave-access": value}, accept=True) is None


def test_a_cookie_with_a_token_beyond_the_cap_is_refused() -> None:
    """The cap is the same in every form."""
    cookies = {HOST_COOKIE: structured(), "hexclave-access": access("A" * (MAX_TOKEN + 1))}

    with pytest.raises(InvalidToken):
        find({}, cookies, accept=True)


@pytest.mark.parametrize(
    ("cookies", "chosen"),
    [
        pytest.param({BARE_COOKIE: structured("a", 1), CUSTOM_COOKIE: structured("b", 2)}, "b", id="newest-custom"),
        pytest.param({BARE_COOKIE: structured("a", 2), CUSTOM_COOKIE: structured("b", 1)}, "a", id="newest-bare"),
        pytest.param({CUSTOM_COOKIE: structured("b", 2), BARE_COOKIE: structured("a", 1)}, "b", id="whatever-order"),
        pytest.param({BARE_COOKIE: structured("a", 1), OLD_PLAIN_COOKIE: "b"}, "a", id="new-before-plain"),
        pytest.param({BARE_COOKIE: structured("a", 1), OLD_BARE_COOKIE: structured("b", 9)}, "a", id="new-before-old"),
        pytest.param({OLD_PLAIN_COOKIE: "a", OLD_BARE_COOKIE: structured("b", 9)}, "a", id="plain-before-old"),
        pytest.param({OLD_PLAIN_COOKIE: "a", "stack-refresh": "b"}, "a", id="plain-of-the-project-first"),
        pytest.param({OLD_PLAIN_COOKIE: "a%2Eb"}, "a.b", id="plain-percent-encoded"),
        pytest.param({OLD_PLAIN_COOKIE: "%FF", OLD_BARE_COOKIE: structured("b", 9)}, "b", id="unreadable-plain"),
    ],
)
def test_the_sdks_choice_of_the_session_is_followed(cookies: dict[str, str], chosen: str) -> None:
    """Without a `__Host-` cookie: the newest new cookie, then the plain one, then the newest legacy one."""
    assert {chosen} == sessions(cookies)


PLANTED = {
    BARE_COOKIE: structured("b", 9),
    CUSTOM_COOKIE: structured("b", 9),
    OLD_BARE_COOKIE: structured("b", 9),
    OLD_PLAIN_COOKIE: "b",
    "stack-refresh": "b",
}


@pytest.mark.parametrize("planted", [*([name] for name in PLANTED), list(PLANTED)], ids=lambda names: "+".join(names))
@pytest.mark.parametrize(
    ("own", "chosen"),
    [
        pytest.param({HOST_COOKIE: structured("a", 1)}, {"a"}, id="new"),
        pytest.param({OLD_HOST_COOKIE: structured("a", 1)}, {"a"}, id="legacy"),
        pytest.param({HOST_COOKIE: structured("a", 1), OLD_HOST_COOKIE: structured("a.b", 9)}, {"a"}, id="both"),
        pytest.param({HOST_COOKIE: "broken", OLD_HOST_COOKIE: structured("a", 1)}, {"a"}, id="one-unreadable"),
        pytest.param({HOST_COOKIE: "broken"}, set(), id="unreadable"),
        pytest.param({HOST_COOKIE: ""}, set(), id="empty"),
    ],
)
def test_host_cookies_beat_whatever_a_neighbour_can_plant(
    own: dict[str, str], chosen: set[str], planted: list[str]
) -> None:
    """Where a `__Host-` cookie came, no other cookie decides on the session, whatever its time and order."""
    others = {name: PLANTED[name] for name in planted}

    assert chosen == sessions(own | others)
    assert chosen == sessions(others | own)


def sessions(cookies: dict[str, str]) -> set[str]:
    """The sessions whose access cookie would count beside these cookies."""
    return {
        refresh
        for refresh in ("a", "b", "a.b")
        if find({}, {**cookies, "hexclave-access": access(refresh=refresh)}, accept=True) == TOKEN
    }


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        pytest.param([("hexclave-access", access("planted", "b")), ("hexclave-access", access())], TOKEN, id="first"),
        pytest.param([("hexclave-access", access()), ("hexclave-access", access("planted", "b"))], TOKEN, id="last"),
        pytest.param([("hexclave-access", "x"), ("stack-access", access())], TOKEN, id="hidden by the new name"),
        pytest.param([("hexclave-access", access("planted", "b"))] * 2, None, id="nothing but planted"),
        pytest.param([("hexclave-access", access())] * 2, TOKEN, id="twice the same"),
        pytest.param([(HOST_COOKIE, structured("b")), ("hexclave-access", access())], None, id="session twice"),
        pytest.param([(HOST_COOKIE, structured("b")), ("hexclave-access", access("x", "b"))], None, id="other session"),
        pytest.param([(f"\xa0{HOST_COOKIE}", structured("b")), ("hexclave-access", access())], TOKEN, id="a blank"),
    ],
)
def test_a_planted_cookie_of_the_same_name_decides_nothing(pairs: list[tuple[str, str]], expected: str | None) -> None:
    """Each access cookie is held against the session, and a session with two values is none: order decides nothing."""
    pairs = [(HOST_COOKIE, structured()), *pairs]
    for order in (pairs, pairs[::-1]):
        header = "; ".join(f"{name}={value}" for name, value in order)

        assert expected == find({}, read_cookies([header]), accept=True)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        pytest.param(BARE_COOKIE, [structured("b", 9), structured()], id="http"),
        pytest.param(CUSTOM_COOKIE, [structured("b", 9), structured()], id="custom-domain"),
        pytest.param(OLD_PLAIN_COOKIE, ["b", REFRESH], id="plain"),
    ],
)
def test_a_session_with_two_values_is_none(name: str, values: list[str]) -> None:
    """Without a `__Host-` cookie two values of one name contradict each other: nobody, whichever came first."""
    pairs = [*((name, value) for value in values), ("hexclave-access", access()), ("stack-access", access("x", "b"))]
    for order in (pairs, pairs[::-1]):
        assert find({}, read_cookies("=".join(pair) for pair in order), accept=True) is None


# --- whatever comes -----------------------------------------------------------------------------------------

KEY = new_key()
GENUINE = [mint(KEY, claims_of(kind)) for kind in KINDS]
NAMES = ["x-stack-access-token", "x-hexclave-access-token", "authorization", "x-stack-auth", "X-Api-Key", "cookie"]
COOKIE_NAMES = [HOST_COOKIE, BARE_COOKIE, CUSTOM_COOKIE, OLD_HOST_COOKIE, OLD_PLAIN_COOKIE, "hexclave-access"]
any_text = st.text(st.characters(), max_size=40) | st.text('{}[]",:.=%\\u0123abcd ', max_size=40)
any_value = (
    any_text
    | st.sampled_from([*GENUINE, envelope(GENUINE[0]), bearer(envelope(GENUINE[1])), structured(), access(GENUINE[2])])
    | st.builds(lambda text: f"Bearer {text}", any_text)
    | st.builds(lambda raw: bearer(raw, "hexclave_"), st.binary(max_size=40))
    | st.builds(lambda one, two: f"{one},{two}", any_text, st.sampled_from(GENUINE))
)


@settings(max_examples=400, deadline=None, database=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), any_value)
        | st.tuples(st.sampled_from(NAMES).map(str.encode), st.binary(max_size=40)),
        max_size=4,
    ),
    st.none() | st.dictionaries(st.sampled_from(COOKIE_NAMES) | any_text, any_value, max_size=4),
)
def test_any_request_gives_a_token_or_nobody_or_a_refusal(
    headers: list[tuple[Any, Any]], cookies: dict[str, str] | None
) -> None:
    """No header and no cookie makes finding and parsing raise anything but a refusal."""
    verifier = Verifier(WITH_COOKIES)
    try:
        token = find_token(collect(headers, WANTED), cookies, WITH_COOKIES)
        if token is not None:
            parsed = verifier.parse(token)
            verifier.verify(parsed, KEY.public_key(), 1767225700.0)
    except RequestRefused:
        return

    assert token is None or token in GENUINE


# --- cost -----------------------------------------------------------------------------------------------------


def test_repeated_headers_are_not_kept_beyond_the_limit() -> None:
    """A flood of one header costs its length, not the square of it, and is refused."""
    flood = [(b"authorization", b"")] * 200_000
    found = collect(flood, wanted_headers(CONFIG))

    assert len(found["authorization"]) == MAX_HEADER
    with pytest.raises(InvalidToken):
        find_token(collect([(b"x-stack-access-token", b"a")] * 200_000, wanted_headers(CONFIG)), None, CONFIG)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", {}, id="none"),
        pytest.param("a=1; hexclave-access=x", {"hexclave-access": "x"}, id="others are left"),
        pytest.param("stack-access=1; stack-access=2; stack-access=1", {"stack-access": "1;2"}, id="several values"),
        pytest.param("\xa0stack-access=1;\x85stack-a=2;\tstack-b=3\xa0", {"stack-b": "3\xa0"}, id="foreign blanks"),
        pytest.param(
            "__Host-stack-refresh-p--default=%7B", {"__Host-stack-refresh-p--default": "%7B"}, id="as it came"
        ),
        pytest.param(" stack-access = x ;;=;stack-", {"stack-access": "x"}, id="spaces and nothing"),
        pytest.param(
            'stack-access="' + "\\" * 40_000 + '"', {"stack-access": '"' + "\\" * (MAX_HEADER - 14)}, id="cut"
        ),
    ],
)
def test_read_cookies(text: str, expected: dict[str, str]) -> None:
    """Only cookies of ours are read, in one pass over at most the limit."""
    assert read_cookies([text]) == expected
