"""Who calls: users with and without a permission, machines, a forger, and strangers who make things up."""

from __future__ import annotations

import enum
import http.client
import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from hexclave_integrations.testing import Sandbox, SandboxUser

from ..chaos._cast import PERMISSION, _claims, _part
from ..chaos._load import LIMIT
from ._members import Member

__all__ = ["Answer", "Crowd", "Kind", "send"]

WEBHOOKS: Final = "/webhooks/hexclave"


class Kind(enum.Enum):
    """Who calls, with the right answer while nothing is wrong, and how often they call."""

    USER = "user", 200, 30
    HOLDER = "permission holder", 200, 35
    OTHER = "not a holder", 403, 10
    MACHINE = "API key", 200, 15
    FORGER = "forged token", 401, 10
    INVENTED_KEY = "invented API key", 401, 0
    INVENTED_TEAM = "invented team", 403, 0
    REVOKED = "revoked holder", 403, 0

    def __init__(self, label: str, right: int, weight: int) -> None:
        self.label, self.right, self.weight = label, right, weight

    @property
    def needs_hexclave(self) -> bool:
        """Whether Hexclave may have to be asked."""
        return self not in (Kind.USER, Kind.FORGER)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request.

    Attributes:
        who: tells callers of a kind apart.
        member, start: the process, and how often it had been started.
        epoch: how often keys had been rotated when the token was made.
        begin, end: epoch seconds.
        status: None where no answer came.
    """

    kind: Kind
    who: str
    member: str
    start: int
    epoch: int
    begin: float
    end: float
    status: int | None


@dataclass(frozen=True, slots=True)
class _Request:
    kind: Kind
    who: str
    method: str
    path: str
    headers: dict[str, str]
    epoch: int


def send(member: Member, request: _Request) -> Answer:
    """Make one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", member.port, timeout=LIMIT)
    begin, status, start = time.time(), None, member.starts
    try:
        connection.request(request.method, request.path, headers=request.headers)
        answer = connection.getresponse()
        answer.read()
        status = answer.status
    except (OSError, http.client.HTTPException):
        pass  # no answer is an outcome
    finally:
        connection.close()
    return Answer(request.kind, request.who, member.name, start, request.epoch, begin, time.time(), status)


class Crowd:
    """Everybody who calls.

    Args:
        sandbox: while it is served.
        members: the processes, asked in turn.
        users: how many hold the permission; there are as many API keys as a tenth of them, and as many without.

    Attributes:
        answers: what came of each request, in no order.
        epoch: how often keys were rotated.
    """

    def __init__(self, sandbox: Sandbox, members: Sequence[Member], users: int) -> None:
        self._sandbox = sandbox
        self._members = list(members)
        self._turns = itertools.cycle(self._members)
        self._lock = threading.Lock()
        self._team = sandbox.create_team()
        self.users = [sandbox.create_user() for _ in range(users)]
        self._others = [sandbox.create_user() for _ in range(max(1, users // 10))]
        for user in self.users:
            sandbox.grant(user, PERMISSION, team=self._team)
        self._keys = [sandbox.create_api_key(user=user).value for user in self.users[: max(1, users // 10)]]
        elsewhere = Sandbox()
        owner = elsewhere.create_user()
        self._invented = [elsewhere.create_api_key(user=owner).value for _ in range(3000)]
        self._forger = Sandbox(project_id=sandbox.config.project_id)
        self.answers: list[Answer] = []
        self.epoch = 0
        self._tokens: dict[str, str] = {}
        self.mint()

    def mint(self) -> None:
        """New tokens for everybody."""
        made = {user.id: self._sandbox.token(user, expires_in=3600) for user in [*self.users, *self._others]}
        with self._lock:
            self._tokens = made

    def rotate(self) -> None:
        """Replace the signing keys; everybody gets a new token at once."""
        self._sandbox.rotate_keys()
        with self._lock:
            self.epoch += 1
        self.mint()

    def next(self) -> Member:
        """Whose turn it is."""
        with self._lock:
            return next(self._turns)

    @contextmanager
    def calling(self, rate: float, threads: int) -> Iterator[None]:
        """Let them call, all together so many times a second, for the length of the block."""
        with self._working(lambda chance: self._draw(chance), rate, threads):
            yield

    @contextmanager
    def flooding(self, rate: float, threads: int) -> Iterator[None]:
        """Let strangers make up API keys and teams."""
        with self._working(self._invent, rate, threads):
            yield

    @contextmanager
    def _working(self, draw: Callable[[random.Random], _Request], rate: float, threads: int) -> Iterator[None]:
        over = threading.Event()
        pause = threads / rate

        def work(number: int) -> None:
            chance = random.Random(f"{number} {len(self.answers)}")
            due = time.monotonic() + pause * chance.random()
            while not over.wait(max(0.0, due - time.monotonic())):
                self.answers.append(send(self.next(), draw(chance)))
                due = max(due + pause, time.monotonic())  # what was missed is not made up for by a burst

        workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
        for worker in workers:
            worker.start()
        try:
            yield
        finally:
            over.set()
            for worker in workers:
                worker.join(LIMIT + 5)

    def ask_everybody(self, users: Sequence[SandboxUser], kind: Kind) -> list[Answer]:
        """Let each of the users ask each process for the permission."""
        found = [send(member, self._report(kind, user)) for user in users for member in self._members]
        self.answers.extend(found)
        return found

    def grant(self, count: int) -> list[SandboxUser]:
        """New users with the permission."""
        users = [self._sandbox.create_user() for _ in range(count)]
        for user in users:
            self._sandbox.grant(user, PERMISSION, team=self._team)
            self._tokens[user.id] = self._sandbox.token(user, expires_in=3600)
        return users

    def revoke(self, users: Sequence[SandboxUser]) -> None:
        """Take the permission away; the sandbox sends its webhooks."""
        for user in users:
            self._sandbox.revoke(user, PERMISSION, team=self._team)

    def _draw(self, chance: random.Random) -> _Request:
        kind = chance.choices(list(Kind), [kind.weight for kind in Kind])[0]
        if kind is Kind.MACHINE:
            return self._machine(kind, chance.choice(self._keys))
        if kind is Kind.HOLDER:
            return self._report(kind, chance.choice(self.users))
        if kind is Kind.OTHER:
            return self._report(kind, chance.choice(self._others))
        user = chance.choice(self.users)
        with self._lock:
            token, epoch = self._tokens[user.id], self.epoch
        if kind is Kind.FORGER:
            token = self._forger.sign(_claims(token), headers={"kid": _part(token, 0)["kid"]})
        return _Request(kind, user.id, "GET", "/me", {"x-stack-access-token": token}, epoch)

    def _invent(self, chance: random.Random) -> _Request:
        if chance.random() < 0.5:
            return self._machine(Kind.INVENTED_KEY, chance.choice(self._invented))
        return self._report(
            Kind.INVENTED_TEAM, chance.choice(self._others), str(uuid.UUID(int=chance.getrandbits(128)))
        )

    def _machine(self, kind: Kind, key: str) -> _Request:
        return _Request(kind, key, "GET", "/machine", {"x-api-key": key}, self.epoch)

    def _report(self, kind: Kind, user: SandboxUser, team: str | None = None) -> _Request:
        with self._lock:
            token, epoch = self._tokens[user.id], self.epoch
        path = f"/teams/{team or self._team.id}/reports"
        return _Request(kind, user.id, "POST", path, {"x-stack-access-token": token}, epoch)
