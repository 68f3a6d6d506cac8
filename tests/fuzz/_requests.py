"""The headers and cookies of a request: which token or API key is in them."""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import quote, unquote

from starlette.requests import cookie_parser

from hexclave_integrations import HexclaveConfig
from hexclave_integrations._token import find
from hexclave_integrations.errors import ApiKeyNotFound, InvalidToken

from .._minting import PROJECT
from ._target import Target, change_bytes, change_json, finding

__all__ = ["request_target"]

CONFIG: Final = HexclaveConfig(project_id=PROJECT, accept_cookies=True)
WITHOUT_COOKIES: Final = HexclaveConfig(project_id=PROJECT)
WANTED: Final = find.wanted_headers(CONFIG)
_ENVELOPE: Final = re.compile(r"(stackauth_|hexclave_)(.*)", re.DOTALL)

_BLANKS: Final = " \t"  # RFC 9110 section 5.6.3

Find: TypeAlias = Callable[[Mapping[str, str], Mapping[str, str] | None, HexclaveConfig], str | None]
Pairs: TypeAlias = list[tuple[bytes, bytes]]


def request_target(reader: Find = find.find_token) -> Target:
    """A request is lines of `name: value`: what is found in it stands in it, whoever reads it in whatever order."""

    def check(data: bytes) -> bool:
        pairs = [(name, value) for name, _, value in (line.partition(b": ") for line in data.split(b"\n"))]
        found = find.collect(pairs, WANTED)
        if found != find.collect([(a.decode("latin-1"), b.decode("latin-1")) for a, b in pairs], WANTED):
            finding("bytes and text are read differently")
        cookies = _cookies(pairs)
        token = _outcome(reader, found, cookies, CONFIG)
        _check_order(reader, pairs, cookies, token)
        if _outcome(reader, found, cookies, WITHOUT_COOKIES) != _outcome(reader, found, None, WITHOUT_COOKIES):
            finding("cookies are read where they are not accepted")
        if isinstance(token, str) and (not token or len(token) > find.MAX_TOKEN or token not in _lax(found, cookies)):
            finding("a token is found that did not come")
        if (
            len({part.strip(_BLANKS) for part in found.get("x-stack-access-token", "").split(",")}) > 1
            and token is not InvalidToken
        ):
            finding("a header that contradicts itself is believed")
        key = _api_key(found)
        if isinstance(key, str) and (not key or key not in set(_values(found))):
            finding("an API key is found that did not come")
        return isinstance(token, str) or isinstance(key, str)

    words = [
        *(name.encode() + b": " for name in (*find.HEADER_NAMES, "x-api-key", "cookie")),
        *(b"Bearer ", b"Bearer stackauth_", b"Bearer hexclave_", b"Basic ", b"__Host-", b"--default=", b"--custom-"),
        *(b"hexclave-access=", b"stack-access=", f"hexclave-refresh-{PROJECT}--default=".encode(), b"stack-refresh="),
        *(b'{"accessToken":', b'"refreshToken":null}', b"%22", b"%5B", b"574ck4u7h", b",", b"; ", b"\n", b"\xff"),
    ]
    return Target("request", "tokens and API keys in headers and cookies", check, _change_request, words, 8192)


def _outcome(
    reader: Find, found: Mapping[str, str], cookies: Mapping[str, str] | None, config: HexclaveConfig
) -> str | type[Exception] | None:
    try:
        return reader(found, cookies, config)
    except InvalidToken:
        return InvalidToken


def _api_key(found: Mapping[str, str]) -> str | type[Exception] | None:
    try:
        return find.find_api_key(found, CONFIG)
    except ApiKeyNotFound:
        return ApiKeyNotFound


def _check_order(reader: Find, pairs: Pairs, cookies: Mapping[str, str], token: object) -> None:
    """Servers keep the order of one header's values, and nothing else."""
    ordered = sorted(pairs, key=lambda pair: pair[0].lower())
    shouted = [(name.upper(), value) for name, value in ordered]
    if any(_outcome(reader, find.collect(some, WANTED), cookies, CONFIG) != token for some in (ordered, shouted)):
        finding("the order or the case of header names counts")


def _cookies(pairs: Pairs) -> dict[str, str]:
    """Our cookies, which Starlette's reader has to see as well; it unquotes, and is slow at it (CVE-2024-7592)."""
    texts = [value.decode("latin-1") for name, value in pairs if name.lower() == b"cookie"]
    cookies = find.read_cookies(texts)
    if not any('"' in text or len(text) > find.MAX_HEADER for text in texts):
        theirs: dict[str, str] = {}
        for text in texts:
            theirs |= cookie_parser(text)
        ours: dict[str, set[str]] = {}
        for name, value in cookies.items():  # each with all its values, and foreign blanks left as they are
            ours.setdefault(name.strip(), set()).update(part.strip() for part in value.split(";"))
        if any(theirs.get(name) not in values for name, values in ours.items()):
            finding("a cookie is read that Starlette does not see")
    return cookies


def _values(found: Mapping[str, str]) -> Iterator[str]:
    """Whatever might be a credential in a header, by itself or behind a scheme."""
    for value in found.values():
        for part in (value, *value.split(",")):
            yield part.strip(_BLANKS)
            yield re.sub(r"^[ \t]*Bearer[ \t]+", "", part, flags=re.IGNORECASE).strip(_BLANKS)


def _lax(found: Mapping[str, str], cookies: Mapping[str, str]) -> set[str]:
    """Every token that a reader without scruples would find anywhere in a request."""
    tokens = set(_values(found))
    for text in list(tokens):
        match = _ENVELOPE.fullmatch(text)
        raw: bytes | str = text
        if match is not None:
            try:
                raw = base64.b64decode(match[2] + "===")
            except ValueError:
                continue
        envelope = _loads(raw)
        if isinstance(envelope, dict):
            tokens.add(str(envelope.get("accessToken")))
    # The header as it came, which may have commas.
    envelope = _loads(found.get("x-stack-auth", ""))
    if isinstance(envelope, dict):
        tokens.add(str(envelope.get("accessToken")))
    sessions = set()
    for name, value in cookies.items():
        if "refresh" in name:
            content = _loads(unquote(value))
            sessions.add(str(content.get("refresh_token")) if isinstance(content, dict) else unquote(value))
    for name in ("hexclave-access", "stack-access"):
        for value in cookies.get(name, "").split(";"):
            pair = _loads(unquote(value))
            if isinstance(pair, list) and len(pair) == 2 and str(pair[0]) in sessions:
                tokens.add(str(pair[1]))
    return tokens


def _loads(text: bytes | str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _change_request(data: bytes, rng: random.Random) -> bytes:
    """Change a line in its own way, or double, drop, join or move one."""
    lines = data.split(b"\n")
    place = rng.randrange(len(lines))
    name, separator, value = lines[place].partition(b": ")
    choice = rng.random()
    if choice < 0.3:
        other = rng.randrange(len(lines) + 1)
        lines[place : place + 1] = rng.choice([[], [lines[place]] * 2, [lines[place].upper()]])
        lines.insert(other, name + b": " + value[: rng.randrange(len(value) + 1)])
    elif choice < 0.4:
        lines[place] = (
            rng.choice([b"x-stack-access-token", b"authorization", b"x-stack-auth", b"x-api-key"]) + b": " + value
        )
    else:
        lines[place] = name + separator + _change_value(name.lower(), value, rng)
    return b"\n".join(lines)


def _change_value(name: bytes, value: bytes, rng: random.Random) -> bytes:
    if name == b"x-stack-auth":
        return change_json(value, rng, ["a.b.c"])
    scheme, underscore, envelope = value.partition(b"_")
    if underscore and scheme.lower().startswith(b"bearer ") and rng.random() < 0.7:
        try:
            text = base64.b64decode(envelope, validate=True)
        except ValueError:
            text = envelope
        return scheme + b"_" + base64.b64encode(change_json(text, rng, ["a.b.c"]))
    if name == b"cookie" and rng.random() < 0.7:
        cookies = value.split(b"; ")
        place = rng.randrange(len(cookies))
        cookie, _, content = cookies[place].partition(b"=")
        changed = change_json(unquote(content.decode("latin-1")).encode("utf-8", "surrogatepass"), rng, [])
        cookies[place] = cookie + b"=" + quote(changed).encode()
        return b"; ".join(cookies)
    return change_bytes(value, rng, [b",", b", ", b" ", b"Bearer ", b"\t", b"\x85", b";", b"="])
