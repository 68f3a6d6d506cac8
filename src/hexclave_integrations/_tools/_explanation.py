"""Why a token is accepted or refused, as lines for a developer: its form, what it says, each check, the verdict.

The verdict is the verifier's own. A line never holds the token, a signature, or who the user is: names of claims, and
values of the claims that say nothing of a person.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from .._base import strict
from .._token import find
from .._token.checks import CHECKS
from .._token.find import Credential
from ..api_key import looks_like_api_key, parse_api_key, why_no_api_key
from ..client import HexclaveClient
from ..errors import ApiKeyNotFound, NotAuthenticated, RequestRefused
from ..user import HexclaveUser

__all__ = ["Given", "explain", "read"]

_HEADER: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,63}):[ \t]*(.*)", re.DOTALL)
_SUBPROTOCOL: Final = "hexclave.access-token."
_SHOWN_NAMES: Final = 40
_TIMES: Final = frozenset({"exp", "iat", "nbf"})
# What the values shown may look like: no token and no signature does, and no terminal takes it for commands.
_SHOWN: Final = {
    name: re.compile(pattern, re.ASCII)
    for name, pattern in {
        "alg": r"[A-Za-z0-9-]{1,16}",
        "typ": r"[A-Za-z0-9+.-]{1,16}",
        "kid": r"[A-Za-z0-9_-]{1,40}",
        "iss": r"https?://[A-Za-z0-9.:\[\]-]{1,100}(?:/[A-Za-z0-9_-]{0,40}){0,8}",
        "aud": r"[A-Za-z0-9:_-]{1,60}",
        "project_id": r"[A-Za-z0-9-]{1,40}",
        "branch_id": r"[A-Za-z0-9_-]{1,40}",
        "role": r"[A-Za-z0-9_-]{1,40}",
    }.items()
}


@dataclass(frozen=True, slots=True)
class Given:
    """What was given to be explained.

    Attributes:
        form: what it is, in words.
        headers: the headers that it would come in; none for a token by itself.
        token: a token by itself.
    """

    form: str
    headers: Mapping[str, str]
    token: str | None = None


def read(text: str) -> Given:
    """Tell which of the forms of credentials a text is: a token, an envelope, an API key, or a whole header line."""
    header = _HEADER.fullmatch(text)
    if header is not None:
        name, value = header[1].lower(), header[2]
        if name == "sec-websocket-protocol":
            offered = [part.strip() for part in value.split(",")]
            token = next((part for part in offered if part.startswith(_SUBPROTOCOL)), "")
            return Given("the subprotocols of a websocket", {find.STACK_TOKEN: token.removeprefix(_SUBPROTOCOL)})
        return Given(f"the header {name}", {name: value})
    if text[:7].lower() == "bearer ":
        return Given("the value of the header authorization", {find.AUTHORIZATION: text})
    if text.startswith(("stackauth_", "hexclave_")):
        return Given("an envelope for Authorization: Bearer", {find.AUTHORIZATION: f"Bearer {text}"})
    if text.startswith("{"):
        return Given("an envelope for x-stack-auth", {find.STACK_AUTH: text})
    if looks_like_api_key(text):
        return Given("an API key", {find.AUTHORIZATION: f"Bearer {text}"})
    return Given("an access token", {}, text)


def explain(client: HexclaveClient, given: Given, now: float, *, offline: bool = False) -> Iterator[str]:
    """The lines about what was given; the last one is the verdict, `accepted: ...`, `refused: ...` or `undecided: ...`.

    Args:
        client: judges, with its settings and its keys; its clock says `now`.
        now: epoch seconds.
        offline: ask nobody: key set, signature and API keys are left out, and nothing is accepted.
    """
    yield f"form: {given.form}"
    found = dict(given.headers)
    try:
        key = find.find_api_key(found, client.config)
    except ApiKeyNotFound as error:
        yield f"refused: {error.code}: {error.reason}"
        return
    if key is not None:
        yield _verdict_of_api_key(client, key, offline=offline)
        return
    refusal: RequestRefused | None = None
    user: HexclaveUser | None = None
    token: Credential | None = None
    try:
        cookies = find.read_cookies([found.get("cookie", "")])
        token = Credential(given.token) if given.token is not None else find.find_token(found, cookies, client.config)
        if token is None:
            attempt = client.attempt(found, lambda: cookies)
            raise NotAuthenticated(reason=attempt.why_nobody(client.config))
        yield from _contents(token, now)
        user = _judge_offline(client, token, now) if offline else client.verify_token(token)
    except RequestRefused as error:
        refusal = error
    if token is not None or not isinstance(refusal, NotAuthenticated):
        yield from _checks(refusal, offline=offline)
    if refusal is not None:
        yield f"refused: {refusal.code}: {refusal.reason}"
    elif offline or user is None:
        yield "undecided: what can be told without the key set is right; key and signature were not checked"
    else:
        yield f"accepted: {'an' if user.kind == 'anonymous' else 'a'} {user.kind} user"


def _judge_offline(client: HexclaveClient, token: str, now: float) -> HexclaveUser:
    """Whom the token says it is, unproved.

    Raises:
        AuthenticationError: it would not be accepted with any signature.
    """
    verifier = client._core.verifier
    return verifier.read_claims(verifier.parse(token), now)[0]


def _verdict_of_api_key(client: HexclaveClient, key: str, *, offline: bool) -> str:
    can_ask = not offline and client.config.secret_server_key is not None
    try:
        if can_ask:
            return f"accepted: a {client.check_api_key(key).type}'s API key"
        if parse_api_key(key) is None:
            raise ApiKeyNotFound(reason=why_no_api_key(key))
    except RequestRefused as error:
        return f"refused: {error.code}: {error.reason}"
    why = "--offline was given" if offline else "secret_server_key is not set"
    return f"undecided: form and checksum of the API key are right; Hexclave was not asked, for {why}"


def _checks(refusal: RequestRefused | None, *, offline: bool) -> Iterator[str]:
    """Each check with its outcome: those before the one that refused have passed."""
    yield "checks:"
    failed = next((check for check in CHECKS if refusal is not None and refusal.reason in check.reasons), None)
    outcome = "ok" if refusal is None or failed is not None else "-"
    for check in CHECKS:
        if offline and check.needs_keys:
            yield f"  skipped  {check.name}"
        elif check is failed:
            yield f"  wrong    {check.name}"
            outcome = "-"
        else:
            yield f"  {outcome:<8} {check.name}"


def _contents(token: str, now: float) -> Iterator[str]:
    """Header and claims, as far as they can be read; nothing in them is proved."""
    for title, segment in zip(("header", "claims"), token.split(".")[:2], strict=False):
        try:
            values = strict.json_object(strict.base64url(segment.encode("ascii")))
        except ValueError:
            yield f"{title}: cannot be read"
            continue
        yield f"{title}:"
        for name in list(values)[:_SHOWN_NAMES]:
            yield f"  {_printable(name)}: {_shown(name, values[name], now)}"
        if len(values) > _SHOWN_NAMES:
            yield f"  and {len(values) - _SHOWN_NAMES} more"


def _shown(name: str, value: Any, now: float) -> str:
    """A claim's value where it says nothing of a person, else what kind of value it is."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if name in _TIMES and type(value) is int and 0 <= value < 10**11:
        moment = datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        distance = round(value - now)
        return f"{value} ({moment}, {abs(distance)} s {'from now' if distance > 0 else 'ago'})"
    if isinstance(value, str):
        pattern = _SHOWN.get(name)
        if pattern is not None and pattern.fullmatch(value):
            return value
        return "a UUID" if strict.is_uuid(value) else "a text" if value else "an empty text"
    return "a number" if isinstance(value, int | float) else "a list" if isinstance(value, list) else "an object"


def _printable(name: str) -> str:
    return json.dumps(name)[1:-1][:40]
