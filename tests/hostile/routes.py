"""Requests made to slip past a guard: the cast, what they may do, and the spellings of methods, paths and team ids.

A route is a `Route` with placeholders. A handler says with `Ledger.saw` which guard it stands behind, which team it was
given and for whom it works; the law is that this caller meets that requirement for exactly that team.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

from hexclave_integrations import HexclaveConfig
from hexclave_integrations.testing import Sandbox

from .in_process import Answer, Pairs

__all__ = [
    "METHODS",
    "PERMISSION",
    "PROJECT_PERMISSION",
    "Caller",
    "Guard",
    "Ledger",
    "Request",
    "Route",
    "Send",
    "World",
    "broken_law",
    "requests",
]

PERMISSION: Final = "export_reports"
PROJECT_PERMISSION: Final = "access_admin_dashboard"
STANDARD: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
METHODS: Final = (*STANDARD, "PROPFIND", "MKCOL", "MOVE", "LOCK", "QUERY", "FROBNICATE")
"""Those that the routes of every application answer."""
_STRANGE: Final = ("CONNECT", "REPORT", "get", "Post", "pUT", "delete", "options", "head", "GETT", "G3T", "_", "PRI")

Guard: TypeAlias = Literal["user", "permission", "team", "project", "api key"]


@dataclass(frozen=True)
class Route:
    """A route of an application.

    Attributes:
        path: with `{team}` where the guarded team stands, `{other}` for another one, `{rest}` for anything.
        guard: what its handler stands behind.
    """

    path: str
    guard: Guard


@dataclass(frozen=True)
class Caller:
    """Somebody who sends requests.

    Attributes:
        headers: with the credentials.
        user_id: of a regular user of this project, as whom they may act.
        key_id: of an API key that is good.
    """

    name: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    user_id: str | None = None
    key_id: str | None = None


@dataclass(frozen=True)
class Request:
    """A request, with its target as it stands on the wire."""

    caller: Caller
    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def pairs(self) -> Pairs:
        """All headers."""
        return list({**self.headers, **self.caller.headers}.items())


Send: TypeAlias = Callable[[Request], Answer]


@dataclass(frozen=True)
class Seen:
    """What a handler saw when it ran."""

    guard: Guard
    team: str | None
    principal: str | None


class Ledger:
    """What handlers saw since it was last read."""

    def __init__(self) -> None:
        self._seen: list[Seen] = []

    def saw(self, guard: Guard, team: object, principal: Any) -> None:
        """Note that a handler runs."""
        self._seen.append(Seen(guard, None if team is None else str(team), getattr(principal, "id", None)))

    def read(self) -> list[Seen]:
        """What was noted; it is then forgotten."""
        seen, self._seen = self._seen, []
        return seen


class World:
    """A sandbox with teams, and everybody who may and may not do something in them."""

    def __init__(self) -> None:
        sandbox, other = Sandbox(), Sandbox()
        names = ("alice", "bob", "carol", "dora")
        users = {name: sandbox.create_user(display_name=name) for name in names}
        restricted, anonymous = sandbox.create_user("restricted"), sandbox.create_user("anonymous")
        first, second, third = (sandbox.create_team(name) for name in ("first", "second", "third"))
        sandbox.define_permission(PERMISSION)
        for team, user in ((first, users["alice"]), (second, users["bob"]), (first, restricted), (first, anonymous)):
            sandbox.grant(user, PERMISSION, team=team)
        sandbox.add_member(first, users["bob"])
        for user in (users["dora"], restricted, anonymous):
            sandbox.grant(user, PROJECT_PERMISSION)
        self.sandbox = sandbox
        self.teams: tuple[str, ...] = (first.id, second.id, third.id)
        ids = {name: user.id for name, user in users.items()}
        self.holders = {(first.id, ids["alice"]), (second.id, ids["bob"])}
        self.members = {*self.holders, (first.id, ids["bob"])}
        self.admins = {ids["dora"]}

        def by_token(name: str, token: str, user_id: str | None = None) -> Caller:
            return Caller(name, {"x-stack-access-token": token}, user_id)

        def by_key(name: str, key: Any, *, is_good: bool = True) -> Caller:
            return Caller(name, {"x-api-key": key.value}, key_id=key.id if is_good else None)

        alice = users["alice"]
        forger, revoked = Sandbox(project_id=sandbox.config.project_id), sandbox.create_api_key(alice)
        sandbox.revoke_api_key(revoked)
        namesake = forger.create_user()
        self.callers = (
            *(by_token(name, sandbox.token(user, 7200), user.id) for name, user in users.items()),
            by_key("alice's key", sandbox.create_api_key(alice)),
            by_key("a team's key", sandbox.create_api_key(team=first)),
            by_key("a revoked key", revoked, is_good=False),
            by_key("a restricted user's key", sandbox.create_api_key(restricted), is_good=False),
            by_token("restricted", sandbox.token(restricted)),
            by_token("anonymous", sandbox.token(anonymous)),
            by_token("expired", sandbox.token(alice, -60)),
            by_token("forged", forger.token(namesake, claims={"sub": alice.id})),
            by_token("another project's", other.token(other.create_user())),
            by_token("garbage", "eyJhbGciOiJub25lIn0.e30."),
            Caller("nobody"),
        )

    @property
    def config(self) -> HexclaveConfig:
        """Settings that lead to the sandbox."""
        return self.sandbox.config

    def may(self, caller: Caller, guard: Guard, team: str | None) -> bool:
        """Whether a caller meets a requirement, for a team spelled like this: the case of a UUID does not count."""
        if guard == "api key":
            return caller.key_id is not None
        if caller.user_id is None:
            return False
        if guard == "project":
            return caller.user_id in self.admins
        if guard == "user":
            return True
        return ((team or "").lower(), caller.user_id) in (self.members if guard == "team" else self.holders)


def broken_law(world: World, request: Request, answer: Answer | Exception, seen: list[Seen]) -> str | None:
    """What is wrong with what came of a request, or None."""
    if isinstance(answer, Exception):
        return f"{type(answer).__name__}: {answer}"
    if answer.status >= 500:
        return f"answered {answer.status}"
    if any(value[-24:] in answer.text for value in request.caller.headers.values()):
        return "the answer holds the credential"
    for one in seen:
        if not world.may(request.caller, one.guard, one.team):
            return f"a handler ran: {one}"
        if one.principal != (request.caller.key_id if one.guard == "api key" else request.caller.user_id):
            return f"a handler took them for somebody else: {one}"
    return None


def requests(world: World, routes: tuple[Route, ...], count: int, rng: random.Random) -> Iterator[Request]:
    """Requests for these routes: in plain spelling everybody and every method, then that many bent ones."""
    for route in routes:
        plain = [_target(route, team, world.teams[2], "plain") for team in world.teams[:2]]
        for caller in world.callers:
            for target in plain:
                yield Request(caller, rng.choice(STANDARD[2:6]), target)
        for method in (*METHODS, *_STRANGE):
            for caller in (world.callers[0], *rng.sample(world.callers[1:], 2)):
                yield Request(caller, method, rng.choice(plain))
    for _ in range(count):
        # Mostly who may do something somewhere: who may do nothing cannot be confused with who may.
        route, caller = rng.choice(routes), rng.choice(world.callers if rng.random() < 0.5 else world.callers[:2])
        team, other = rng.sample(world.teams, 2)
        spelled = rng.choice(_spellings(team, other)) if rng.random() < 0.7 else team
        beside = rng.choice([other, team, rng.choice(_spellings(other, team))])
        target = _target(route, spelled, beside, rng.choice(["plain", "a/b", team, "..", "%2F"]))
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            target = rng.choice(_BENDS)(target, rng.choice(world.teams), rng)
        if rng.random() < 0.2:
            target += f"?team_id={other}"
        method = rng.choice(METHODS) if rng.random() < 0.8 else rng.choice(_STRANGE)
        yield Request(caller, method, target, rng.choice(_extras(other, target)) if rng.random() < 0.2 else {})


def _target(route: Route, team: str, other: str, rest: str) -> str:
    return route.path.replace("{team}", team).replace("{other}", other).replace("{rest}", rest)


def _spellings(team: str, other: str) -> tuple[str, ...]:
    """Ways to write a team's id, or the ids of two, in a path; some mean the team, and most mean nothing."""
    bare = team.replace("-", "")
    wide = "".join(chr(ord(character) + 0xFEE0) if character.isdigit() else character for character in team)
    arabic = "".join(chr(0x660 + int(character)) if character.isdigit() else character for character in team)
    return (
        team.upper(),
        team.title(),
        bare,
        bare.upper(),
        f"%7B{team}%7D",
        f"{{{team}}}",
        f"urn:uuid:{team}",
        team.replace("-", "%2D"),
        "".join(f"%{ord(character):02x}" for character in team),
        "".join(f"%25{ord(character):02x}" for character in team),
        f"%20{team}",
        f"{team}%20",
        f"{team}%0A",
        f"{team}%0D%0A",
        f"%09{team}",
        f"{team}%00",
        f"{team}%00{other}",
        f"{team}.",
        f"{team}.json",
        quote(wide),
        quote(arabic),
        quote(team.replace("a", "а").replace("e", "е")),  # noqa: RUF001  # Cyrillic
        quote(f"\u200b{team}"),
        quote(f"{team}\u2028"),
        f"{team},{other}",
        f"{team}%2C{other}",
        f"{team};{other}",
        f"{team};team_id={other}",
        f"{team}/{other}",
        f"{team}%2F{other}",
        f"{other}/../{team}",
        f"{other}%2F..%2F{team}",
        f"{team}%5C{other}",
        f"{team}?team_id={other}",
        f"{team}%3Fteam_id={other}",
        f"{team}%23{other}",
        f"{team}%FF",
        f"{team}%C0%AF",
        f"{team}%ED%A0%80",
        f"{team}%",
        f"{team}%zz",
        f"0x{bare}",
        team[:-1],
        f"{team}0",
        f"{team}{other}",
        f"{bare[:16]}-{bare[16:]}",
        "me",
        "null",
        "*",
        "",
        "..",
        "%2e%2e",
        "0" * 5000,
        team * 200,
    )


def _at_slash(target: str, text: str, rng: random.Random) -> str:
    places = [place for place, character in enumerate(target) if character == "/"] or [0]
    place = rng.choice(places)
    return target[:place] + text + target[place + 1 :]


def _recased(target: str, rng: random.Random) -> str:
    return "".join(character.upper() if rng.random() < 0.3 else character for character in target)


_BENDS: Final[tuple[Callable[[str, str, random.Random], str], ...]] = (
    lambda target, team, rng: _at_slash(target, "//", rng),
    lambda target, team, rng: _at_slash(target, "/./", rng),
    lambda target, team, rng: _at_slash(target, "/%2e/", rng),
    lambda target, team, rng: _at_slash(target, "/x/../", rng),
    lambda target, team, rng: _at_slash(target, "/%2e%2e/", rng),
    lambda target, team, rng: _at_slash(target, f"/{team}/../", rng),
    lambda target, team, rng: _at_slash(target, "%2F", rng),
    lambda target, team, rng: _at_slash(target, "%5C", rng),
    lambda target, team, rng: _at_slash(target, "/;a=b/", rng),
    lambda target, team, rng: _at_slash(target, ";a=b/", rng),
    lambda target, team, rng: _at_slash(target, "/%00", rng),
    lambda target, team, rng: _at_slash(target, "%20/", rng),
    lambda target, team, rng: _recased(target, rng),
    lambda target, team, rng: target + "/",
    lambda target, team, rng: target + "//",
    lambda target, team, rng: target + "%20",
    lambda target, team, rng: target + "%0A",
    lambda target, team, rng: target + ".json",
    lambda target, team, rng: target + ";.css",
    lambda target, team, rng: f"{target}?team_id={team}&format=json&_method=GET",
    lambda target, team, rng: f"{target}?team_id={team}&team_id={rng.random()}",
    lambda target, team, rng: target.replace("e", "%65"),
    lambda target, team, rng: target.replace("/", "/%E2%80%8B", 1),
    lambda target, team, rng: target + "/" + "a" * rng.choice([300, 9000]),
)


def _extras(team: str, target: str) -> tuple[dict[str, str], ...]:
    """Headers by which some frameworks or proxies let a request speak of another one."""
    return (
        {"x-http-method-override": "GET"},
        {"x-original-url": target},
        {"x-rewrite-url": "/public"},
        {"x-forwarded-prefix": f"/teams/{team}"},
        {"x-forwarded-path": "/public"},
        {"team_id": team},
        {"content-type": "application/json", "accept": "text/html"},
        {"access-control-request-method": "PUT", "origin": "https://elsewhere.test"},
        {"upgrade": "websocket", "connection": "upgrade"},
        {"expect": "100-continue"},
    )
