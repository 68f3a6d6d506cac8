"""Play the phases: start everything, let things happen, and hand over what was counted."""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hexclave_integrations.testing import Sandbox

from .._pair import Pair
from .._services import Redis, running_redis
from ..chaos._conductor import _complaints
from ..chaos._phases import RECOVERY, Phase
from ..chaos._proxy import Arrival, Proxy
from ._crowd import WEBHOOKS, Answer, Crowd, Kind
from ._members import Fleet, Member

__all__ = ["ALL", "SETTINGS", "SHORT", "Part", "Run", "play"]

SETTINGS: Final[dict[str, Any]] = {
    "jwks_max_age": 600,
    "jwks_cooldown": 1,
    "http_timeout": 1,
    "permission_ttl": 6,
    "api_key_ttl": 6,
    "max_questions": 10,
}
SETTLE: Final = 1.6
"""Seconds after an outage in which a failed question is still remembered, or a cool-down lasts."""
ALL: Final = (
    "cold start",
    "steady",
    "strangers make things up",
    "deploy",
    "keys rotate",
    "revocation by webhook",
    "outage across a deploy",
    "Redis restarts",
    "Redis fails over",
)
SHORT: Final = (
    "cold start",
    "strangers make things up",
    "keys rotate",
    "revocation by webhook",
    "outage across a deploy",
)
_RATE: Final = 60.0
_FLOOD: Final = 150.0
_OUTAGE: Final = Phase(name="outage", seconds=1, refused=True)


@dataclass(slots=True)
class Part:
    """A phase that was played.

    Attributes:
        begin, end: of it, epoch seconds.
        load: how long requests were sent, seconds.
        outage: from when until when Hexclave could not be asked.
        revoked: how long a revoked permission lived after its webhook was answered, seconds.
    """

    name: str
    begin: float
    end: float = 0.0
    load: float = 0.0
    outage: tuple[float, float] | None = None
    revoked: float | None = None


@dataclass(slots=True)
class Run:
    """What happened.

    Attributes:
        members: how many processes there were.
        users: how many called.
        has_redis: whether they shared a Redis.
        arrivals: requests that reached Hexclave, or what stood in its place.
        complaints: what the processes logged that they never should.
    """

    members: int
    users: int
    has_redis: bool
    parts: list[Part]
    answers: list[Answer]
    arrivals: list[Arrival]
    complaints: list[str] = field(default_factory=list)


def play(
    names: Sequence[str],
    *,
    apps: Sequence[str],
    users: int,
    seconds: float,
    has_redis: bool,
    say: Callable[[str], object] = lambda text: None,
) -> Run:
    """Play phases against a fleet.

    Args:
        names: of the phases.
        apps: the applications, once for each process.
        users: how many.
        seconds: how long a phase lasts, about.
        has_redis: whether the processes share one.
        say: gets the timeline, a line at a time.
    """
    with contextlib.ExitStack() as stack:
        sandbox = Sandbox()
        proxy = stack.enter_context(Proxy(stack.enter_context(sandbox.serve()), b"{}", b"{}"))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-")))
        pair, old = _redis(stack) if has_redis else (None, None)
        members = []
        for number, app in enumerate(apps, 1):
            name = f"{app}-{number}"
            home = directory / name  # each process as on a machine of its own
            home.mkdir(mode=0o700)
            environ = _environ(sandbox, proxy.url, home / "keys", None if pair is None else pair.address.url)
            members.append(Member(name, app, environ | proxy.environ_for(name), directory))
        fleet = Fleet(members)
        crowd = Crowd(sandbox, members, users)
        run = Run(len(members), users, has_redis, [], crowd.answers, proxy.arrivals)
        stage = _Stage(run, fleet, crowd, proxy, sandbox, pair, old, seconds, say)
        stack.callback(fleet.stop)
        stack.callback(proxy.play, RECOVERY)
        for name in names:
            if has_redis or not name.startswith("Redis"):
                stage.play(name)
        fleet.stop()
        run.complaints = [line for member in members for line in _complaints(member)]  # type: ignore[arg-type]  # it has name and log
        return run


def _redis(stack: contextlib.ExitStack) -> tuple[Pair, Redis]:
    old, new = stack.enter_context(running_redis()), stack.enter_context(running_redis())
    pair = Pair(old, new)
    stack.enter_context(contextlib.closing(pair.address))
    return pair, old


def _environ(sandbox: Sandbox, api_url: str, keys: Path, redis_url: str | None) -> dict[str, str]:
    config = sandbox.config
    values: dict[str, Any] = {
        **SETTINGS,
        "project_id": config.project_id,
        "secret_server_key": config.secret_server_key,
        "api_url": api_url,
        "issuer_urls": config.api_url,
        "webhook_secret": config.webhook_secrets[0],
        "jwks_file": keys,
    }
    if redis_url is not None:
        values["redis_url"] = redis_url
    return {f"HEXCLAVE_{name.upper()}": str(value) for name, value in values.items()}


@dataclass(slots=True)
class _Stage:
    """Everything that a phase needs."""

    run: Run
    fleet: Fleet
    crowd: Crowd
    proxy: Proxy
    sandbox: Sandbox
    pair: Pair | None
    old: Redis | None
    seconds: float
    say: Callable[[str], object]

    def play(self, name: str) -> None:
        """One phase, from its beginning to its end."""
        part = Part(name, time.time())
        self.run.parts.append(part)
        begin = time.monotonic()
        self._act(part)
        part.end = time.time()
        self.say(f"{name}: {time.monotonic() - begin:.1f} s")

    def _act(self, part: Part) -> None:
        match part.name:
            case "cold start":
                self.fleet.start()
                self._load(part)
            case "deploy":
                self.fleet.stop()
                self.fleet.start()
                self._load(part)
            case "keys rotate":
                with self._loading(part):
                    time.sleep(self.seconds / 4)
                    self.crowd.rotate()
                    time.sleep(self.seconds * 3 / 4)
            case "strangers make things up":
                with self._loading(part), self.crowd.flooding(_FLOOD, 6):
                    time.sleep(self.seconds)
            case "revocation by webhook":
                with self._loading(part):
                    part.revoked = self._revoke()
            case "outage across a deploy":
                begin = time.time()
                self.proxy.play(_OUTAGE)
                self.fleet.stop()
                self.fleet.start()
                self._load(part)
                self.proxy.play(RECOVERY)
                part.outage = begin, time.time()
                time.sleep(SETTLE)
            case "Redis restarts":
                assert self.old is not None
                with self._loading(part):
                    self.old.stop()
                    time.sleep(self.seconds / 2)
                    self.old.start()
                    time.sleep(self.seconds / 2)
            case "Redis fails over":
                assert self.pair is not None
                with self._loading(part):
                    time.sleep(self.seconds / 4)
                    self.pair.fail_over()
                    time.sleep(self.seconds * 3 / 4)
            case _:
                self._load(part)

    def _load(self, part: Part) -> None:
        with self._loading(part):
            time.sleep(self.seconds)

    @contextlib.contextmanager
    def _loading(self, part: Part) -> Iterator[None]:
        begin = time.monotonic()
        with self.crowd.calling(_RATE, 6):
            yield
        part.load += time.monotonic() - begin

    def _revoke(self) -> float:
        """Take a permission from users whom every process knows; seconds that it lived on after the webhook."""
        users = self.crowd.grant(3)
        self.crowd.ask_everybody(users, Kind.HOLDER)
        self.crowd.ask_everybody(users, Kind.HOLDER)
        heard: list[float] = []

        def receive(body: bytes, headers: Mapping[str, str]) -> int:
            member = self.crowd.next()
            connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=10)
            with contextlib.closing(connection):
                connection.request("POST", WEBHOOKS, body, dict(headers))
                status = connection.getresponse().status
            if status == 200 and json.loads(body)["type"] == "team_permission.deleted":
                heard.append(time.time())
            return status

        with self.sandbox.deliver_webhooks_to(receive, retries=(0.2,) * 50):
            self.crowd.revoke(users)
            deadline = time.monotonic() + SETTINGS["permission_ttl"] + 10
            lived = 0.0
            while time.monotonic() < deadline:
                found = self.crowd.ask_everybody(users, Kind.REVOKED)
                allowed = [answer for answer in found if answer.status == 200]
                if len(heard) == len(users):
                    lived = max([lived, *(answer.begin - max(heard) for answer in allowed)])
                    if not allowed:
                        return lived
        return float("inf")
