"""Requests that carry several credentials at once, and an oracle that says as whom each may be let in.

A `Mixed` says which credential stands in which place. From that the headers are made, and, by itself and without any
code of the package, the `Verdict`: the order of the sources as the documentation gives it (contract 1.1).
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias
from urllib.parse import quote

from hexclave_integrations.testing import Sandbox

from .cast import EXPIRED, INVALID, NOBODY, OTHER_PROJECT
from .in_process import Pairs

__all__ = ["PERMISSION", "ROUTES", "Cast", "Mixed", "Verdict", "judge", "mixtures"]

PERMISSION: Final = "export_reports"
UNKNOWN_KEY: Final = "API_KEY_NOT_FOUND"
REVOKED_KEY: Final = "API_KEY_REVOKED"
TEAM_KEY: Final = "WRONG_API_KEY_TYPE"
ANONYMOUS: Final = "ANONYMOUS_AUTHENTICATION_NOT_ALLOWED"
RESTRICTED: Final = "RESTRICTED_USER_NOT_ALLOWED"
MISSING: Final = "TEAM_PERMISSION_REQUIRED"

Kind: TypeAlias = Literal["regular", "restricted", "anonymous"]
Place: TypeAlias = str
PLACES: Final[tuple[Place, ...]] = (
    *("x-stack-access-token", "x-hexclave-access-token", "stackauth envelope", "hexclave envelope", "x-stack-auth"),
    *("bearer", "basic", "cookie", "stale cookie", "subprotocol", "x-api-key"),
)
_HEADERS: Final[tuple[Place, ...]] = ("x-stack-access-token", "x-hexclave-access-token")
_ENVELOPES: Final[tuple[Place, ...]] = ("stackauth envelope", "hexclave envelope")
ROUTES: Final = ("/user", "/anyone", "/optional", "/key", "/either", "/reports")


@dataclass(frozen=True)
class Credential:
    """A token or an API key.

    Attributes:
        text: as it is sent; empty where a client has none to send.
        code: of the refusal it comes to, wherever one of its sort is looked for; None for one that is good.
        id: of the user, or of the key.
        kind: of the user, or of the key's owner; None for a team's key.
        owner: of a key.
        generation: which signing keys a token is of.
    """

    name: str
    text: str = field(repr=False)
    code: str | None = None
    id: str | None = None
    kind: Kind | None = "regular"
    owner: str | None = None
    is_key: bool = False
    generation: int = 0


BLANK: Final = Credential("blank", "", NOBODY)


@dataclass(frozen=True)
class Mixed:
    """A request: the credentials in it, in the order of their headers."""

    route: str
    parts: tuple[tuple[Place, Credential], ...]

    def headers(self, project_id: str) -> Pairs:
        """The headers, as clients write them."""
        return [pair for place, credential in self.parts for pair in _headers(place, credential, project_id)]

    def at(self, *places: Place) -> list[Credential]:
        """The credentials in these places."""
        return [credential for place, credential in self.parts if place in places]


@dataclass(frozen=True)
class Verdict:
    """As whom a request is let in, or why not.

    Attributes:
        by: the credential that decided; None when there was none.
        needs_permission: whether they are let in only if they hold the permission.
    """

    status: int
    code: str | None = None
    id: str | None = None
    by: Credential | None = None
    needs_permission: bool = False


class Cast:
    """A sandbox with Alice and Bob, users of other kinds, keys of all sorts, and forgeries of everything."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        sandbox.define_permission(PERMISSION)
        self.users: dict[str, tuple[str, Kind]] = {}
        for name in ("alice", "bob"):
            self.users[name] = sandbox.create_user(display_name=name).id, "regular"
        self.users["restricted"] = sandbox.create_user("restricted").id, "restricted"
        self.users["anonymous"] = sandbox.create_user("anonymous").id, "anonymous"
        self.team = sandbox.create_team().id
        for name in ("alice", "anonymous", "restricted"):
            sandbox.grant(self.users[name][0], PERMISSION, team=self.team)
        other = Sandbox()
        forger = Sandbox(project_id=sandbox.config.project_id)
        alice, bob = self.users["alice"][0], self.users["bob"][0]
        revoked = sandbox.create_api_key(alice)
        sandbox.revoke_api_key(revoked)
        foreign = other.create_api_key(other.create_user())
        of_team = sandbox.create_api_key(team=self.team)
        self.strangers = (
            Credential("expired", sandbox.token(alice, -60), EXPIRED),
            Credential("forged", forger.token(forger.create_user(), claims={"sub": bob}), INVALID),
            Credential("garbage", "eyJhbGciOiJFUzI1NiJ9.e30.AAAA", INVALID),
            Credential("of another project", other.token(other.create_user()), OTHER_PROJECT),
            Credential("key of another project", foreign.value, UNKNOWN_KEY, is_key=True),
            Credential("revoked key", revoked.value, REVOKED_KEY, is_key=True),
            Credential("invented key", "sk_574ck4u7h", UNKNOWN_KEY, is_key=True),
            BLANK,
        )
        self.keys = (
            *(self._key(name) for name in self.users),
            Credential("team's key", of_team.value, id=of_team.id, kind=None, is_key=True),
        )

    def tokens(self, generation: int = 0) -> tuple[Credential, ...]:
        """A token of everybody, of the signing keys as they are now."""
        return tuple(
            Credential(name, self.sandbox.token(user_id, 7200), id=user_id, kind=kind, generation=generation)
            for name, (user_id, kind) in self.users.items()
        )

    def _key(self, name: str) -> Credential:
        user_id, kind = self.users[name]
        key = self.sandbox.create_api_key(user_id)
        return Credential(f"{name}'s key", key.value, id=key.id, kind=kind, owner=user_id, is_key=True)


def _headers(place: Place, credential: Credential, project_id: str) -> Iterator[tuple[str, str]]:
    text = credential.text
    pair = json.dumps({"accessToken": text or None, "refreshToken": "r"}, separators=(",", ":"))
    if place in ("stackauth envelope", "hexclave envelope"):
        yield "authorization", f"Bearer {place.split()[0]}_{base64.b64encode(pair.encode()).decode()}"
    elif place == "x-stack-auth":
        yield place, pair
    elif place == "bearer":
        yield "authorization", f"Bearer {text}"
    elif place == "basic":
        yield "authorization", f"Basic {base64.b64encode(text[-40:].encode()).decode()}"
    elif place in ("cookie", "stale cookie"):
        session = f"session-{credential.name.replace(' ', '-')}"
        kept = json.dumps({"refresh_token": session if place == "cookie" else "newer", "updated_at_millis": 1})
        yield (
            "cookie",
            f"hexclave-refresh-{project_id}--default={quote(kept)}; "
            f"hexclave-access={quote(json.dumps([session, text], separators=(',', ':')))}",
        )
    elif place == "subprotocol":
        yield "sec-websocket-protocol", f"hexclave, hexclave.access-token.{text}"
    else:
        yield place, text


def judge(mixed: Mixed, *, accept_cookies: bool, is_websocket: bool = False) -> Verdict:
    """What has to come of a request, if Hexclave and its keys stay as they are; pure."""
    token = _token(mixed, accept_cookies=accept_cookies, is_websocket=is_websocket)
    if mixed.route in ("/key", "/either"):
        key = _api_key(mixed)
        if mixed.route == "/key" and key is None:
            return Verdict(401, NOBODY)
        # Where both are taken a token comes first, a bad one as well; keys that contradict each other are refused.
        if key is not None and (mixed.route == "/key" or key is _TWO_KEYS or token is None or token.is_key):
            return _by_key(mixed.route, key)
    if token is None:
        return Verdict(200) if mixed.route == "/optional" else Verdict(401, NOBODY)
    if token.is_key or token.code is not None:
        return Verdict(401, INVALID if token.is_key else token.code, by=token)
    if (refusal := _kind_refused(mixed.route, token)) is not None:
        return refusal
    return Verdict(200, id=token.id, by=token, needs_permission=mixed.route == "/reports")


_TWO: Final = Credential("two tokens", "", INVALID)
_TWO_KEYS: Final = Credential("two keys", "", UNKNOWN_KEY, is_key=True)


def _token(mixed: Mixed, *, accept_cookies: bool, is_websocket: bool) -> Credential | None:
    """The credential that stands where an access token is looked for first."""
    if is_websocket and not _speaks(mixed) and (offered := mixed.at("subprotocol")):
        return _one(offered)
    for place in _HEADERS:
        if (found := _one(mixed.at(place))) is not None:
            return found
    place, bearer = _bearer(mixed)
    if place == "two":
        return _TWO
    if place in _ENVELOPES and bearer is not None:
        return bearer if bearer.text else None  # "signed out", whatever comes after it
    if envelopes := mixed.at("x-stack-auth"):
        if len(envelopes) > 1:
            return _TWO
        return envelopes[0] if envelopes[0].text else None
    if bearer is not None:
        return bearer
    return next(iter(mixed.at("cookie")), None) if accept_cookies else None


def _speaks(mixed: Mixed) -> bool:
    """Whether a header says something about an access token, so that a subprotocol counts no more."""
    return bool(mixed.at("x-stack-auth", "bearer", *_ENVELOPES)) or any(one.text for one in mixed.at(*_HEADERS))


def _one(found: list[Credential]) -> Credential | None:
    """The one credential of a header that may be repeated, if it says always the same."""
    if len({credential.text for credential in found}) > 1:
        return _TWO
    return found[0] if found and found[0].text else None


def _bearer(mixed: Mixed) -> tuple[str, Credential | None]:
    """Where the one Bearer credential stands, and which it is; `two` if the header contradicts itself."""
    found = [part for part in mixed.parts if part[0] in ("bearer", "basic", *_ENVELOPES)]
    if all(place == "basic" for place, _ in found):
        return "", None
    if len({(place, credential.text) for place, credential in found}) > 1:
        return "two", None
    return found[0]


def _api_key(mixed: Mixed) -> Credential | None:
    found = _one(mixed.at("x-api-key"))
    if found is not None:
        if found is _TWO:
            return _TWO_KEYS
        return found if found.is_key else replace(found, code=UNKNOWN_KEY, is_key=True)
    place, bearer = _bearer(mixed)
    if place == "two":
        return _TWO_KEYS
    return bearer if place == "bearer" and bearer is not None and bearer.is_key else None


def _by_key(route: str, key: Credential) -> Verdict:
    if key.code is not None:
        return Verdict(401, key.code, by=key)
    if key.kind is not None and (refusal := _kind_refused(route, key)) is not None:
        return refusal
    if route == "/key":
        return Verdict(200, id=key.id, by=key)
    return Verdict(401, TEAM_KEY, by=key) if key.owner is None else Verdict(200, id=key.owner, by=key)


def _kind_refused(route: str, credential: Credential) -> Verdict | None:
    if route in ("/anyone", "/optional") or credential.kind == "regular":
        return None
    if credential.kind == "anonymous":
        return Verdict(401, ANONYMOUS, by=credential)
    return Verdict(403, RESTRICTED, by=credential)


def mixtures(
    choose: Callable[[], tuple[Credential, ...]], rng: random.Random, routes: tuple[str, ...] = ROUTES
) -> Iterator[Mixed]:
    """Requests without end.

    Args:
        choose: the credentials to choose from now.
    """
    while True:
        route, credentials = rng.choice(routes), choose()
        parts: list[tuple[Place, Credential]] = []
        for _ in range(rng.choice([0, 1, 1, 2, 2, 2, 3, 3, 4])):
            part = rng.choice(PLACES), rng.choice(credentials)
            if _can_be_sent(route, part, parts):
                parts.append(part)
                if rng.random() < 0.15:  # the same twice, or another one in the same place
                    again = part[0], rng.choice([part[1], rng.choice(credentials)])
                    parts += [again] if _can_be_sent(route, again, parts) else []
        yield Mixed(route, tuple(parts))


def _can_be_sent(route: str, part: tuple[Place, Credential], parts: list[tuple[Place, Credential]]) -> bool:
    place, credential = part
    if "cookie" in place:
        # Which of two cookies of one name counts is the framework's business; where nobody may come, a cookie that is
        # over may be nobody's.
        is_good = bool(credential.text) and not credential.is_key and credential.code is None
        return (is_good or (bool(credential.text) and route != "/optional")) and not any(
            "cookie" in p for p, _ in parts
        )
    return bool(credential.text) or place not in ("subprotocol", "bearer", "basic")
