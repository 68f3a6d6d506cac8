"""Who calls: users of every kind with their tokens, forgers, and those who lose something in each phase."""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from hexclave_integrations.testing import Sandbox, SandboxApiKey, SandboxUser

from ._oracle import Caller, Fate, History, Ticket
from ._phases import Phase

__all__ = ["ASKING", "QUICK", "Cast"]

PERMISSION: Final = "export_reports"

# How often each kind calls, in the two groups of clients: those that never wait for Hexclave, and the others.
QUICK: Final = {
    Caller.KNOWN: 30,
    Caller.NEW: 8,
    Caller.RESTRICTED: 4,
    Caller.ANONYMOUS: 4,
    Caller.EXPIRING: 6,
    Caller.EXPIRED: 4,
    Caller.FORGED: 6,
    Caller.OTHER: 4,
    Caller.GARBAGE: 4,
}
ASKING: Final = {
    Caller.HOLDER: 12,
    Caller.PRIMED: 12,
    Caller.COLD: 4,
    Caller.NON_HOLDER: 8,
    Caller.REVOKED: 14,
    Caller.REVOKED_UNHEARD: 10,
    Caller.LIVE: 4,
    Caller.SIGNED_OUT: 4,
    Caller.API_KEY: 6,
    Caller.INVENTED_KEY: 4,
    Caller.REVOKED_KEY: 8,
    Caller.STRANGER: 6,
    Caller.RETIRED: 6,
}


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The tokens of one epoch, by user id."""

    epoch: int
    of: Mapping[str, str]


_NOTHING: Final = _Tokens(0, {})


@dataclass(frozen=True, slots=True)
class _Victim:
    """Somebody who loses a permission, or whose API key is revoked."""

    user: SandboxUser
    fate: Fate
    key: SandboxApiKey | None = None


class Cast:
    """Everybody who calls. `draw` may be called from any thread, the rest from one.

    Args:
        sandbox: while it is served.
        history: gets the rotations.
    """

    def __init__(self, sandbox: Sandbox, history: History) -> None:
        self._sandbox, self._history = sandbox, history
        self.foreign = Sandbox()
        # A forger who knows everything but the keys.
        self.forger = Sandbox(project_id=sandbox.config.project_id)
        self._lock = threading.Lock()
        self._team = sandbox.create_team()
        self._users = {
            Caller.KNOWN: [sandbox.create_user(display_name=f"Known {n}") for n in range(12)],
            Caller.NEW: [sandbox.create_user() for _ in range(4)],
            Caller.RESTRICTED: [sandbox.create_user("restricted")],
            Caller.ANONYMOUS: [sandbox.create_user("anonymous")],
            Caller.HOLDER: [sandbox.create_user() for _ in range(4)],
            Caller.NON_HOLDER: [sandbox.create_user() for _ in range(3)],
            Caller.LIVE: [sandbox.create_user() for _ in range(2)],
            Caller.SIGNED_OUT: [sandbox.create_user()],
        }
        for user in self._users[Caller.HOLDER]:
            sandbox.grant(user, PERMISSION, team=self._team)
        self._key = sandbox.create_api_key(user=self._users[Caller.KNOWN][0])
        self._invented = self.foreign.create_api_key(user=self.foreign.create_user())
        self._other_token = self.foreign.token(self.foreign.create_user())
        self._victims: dict[Caller, deque[_Victim]] = {
            caller: deque(maxlen=6) for caller in (Caller.REVOKED, Caller.REVOKED_UNHEARD, Caller.REVOKED_KEY)
        }
        self.heard: dict[str, Fate] = {}
        self._primed: list[Ticket] = []
        self._expiring = sandbox.create_user()
        self._tokens = self._retired = _NOTHING
        self._mint()

    # What happens to them

    def rotate(self) -> None:
        """Replace the keys of the project; everybody gets a new token, as a client does that was told 401."""
        with self._lock:
            self._history.rotations.append(time.time())
            self._sandbox.rotate_keys()
            self._retired = self._tokens
            self._mint()

    def begin(self) -> None:
        """Let those begin who lose something in this phase."""
        with self._lock:
            for caller, victims in self._victims.items():
                for _ in range(2):
                    user, fate, key = self._sandbox.create_user(), Fate(), None
                    if caller is Caller.REVOKED_KEY:
                        key = self._sandbox.create_api_key(user=user)
                    else:
                        self._sandbox.grant(user, PERMISSION, team=self._team)
                    if caller is Caller.REVOKED:
                        self.heard[user.id] = fate
                    victims.append(_Victim(user, fate, key))
            self._expiring = self._sandbox.create_user()
            self._mint(keep=True)

    def end(self) -> None:
        """Let nobody use a token of a replaced key any more."""
        self._retired = _NOTHING

    def strike(self) -> None:
        """Take from this phase's victims what they have."""
        for victims in self._victims.values():
            for victim in list(victims):
                if victim.fate.revoked > time.time():
                    victim.fate.revoked = time.time()
                    if victim.key is not None:
                        self._sandbox.revoke_api_key(victim.key)
                    else:
                        self._sandbox.revoke(victim.user, PERMISSION, team=self._team)

    def prime(self, ask: Callable[[Ticket], object]) -> None:
        """Let every process know some holders that nobody asked about before; `ask` asks all of them."""
        tickets = []
        for _ in range(3):
            user = self._sandbox.create_user()
            self._sandbox.grant(user, PERMISSION, team=self._team)
            now, epoch = time.time(), self._tokens.epoch
            token = self._sandbox.token(user)
            ticket = self._reports(Caller.PRIMED, token, epoch=epoch, remembered=now)
            ask(ticket)
            tickets.append(ticket)
        self._primed = tickets

    # What they ask

    def draw(self, group: Mapping[Caller, int], chance: random.Random, phase: Phase) -> Ticket:
        """A request of somebody of a group, by chance."""
        caller = chance.choices(list(group), list(group.values()))[0]
        if (caller is Caller.STRANGER and not phase.strangers) or (caller is Caller.RETIRED and not phase.rotates):
            caller = Caller.HOLDER
        with self._lock:
            return self._ticket(caller, chance)

    def _ticket(self, caller: Caller, chance: random.Random) -> Ticket:
        tokens = self._tokens
        if caller is Caller.PRIMED:
            if self._primed:
                return chance.choice(self._primed)
            caller = Caller.HOLDER
        if caller is Caller.API_KEY:
            return _machine(caller, self._key.value)
        if caller is Caller.INVENTED_KEY:
            return _machine(caller, self._invented.value)
        if caller in self._victims:
            victim = chance.choice(list(self._victims[caller]))
            if victim.key is not None:
                return _machine(caller, victim.key.value, victim.fate)
            return self._reports(caller, tokens.of[victim.user.id], epoch=tokens.epoch, fate=victim.fate)
        if caller is Caller.COLD:
            user = self._sandbox.create_user()
            self._sandbox.grant(user, PERMISSION, team=self._team)
            return self._reports(caller, self._sandbox.token(user), epoch=tokens.epoch)
        if caller in (Caller.HOLDER, Caller.NON_HOLDER):
            user = chance.choice(self._users[caller])
            return self._reports(caller, tokens.of[user.id], epoch=tokens.epoch)
        if caller in (Caller.LIVE, Caller.SIGNED_OUT):
            token = tokens.of[chance.choice(self._users[caller]).id]
            return Ticket(caller=caller, method="DELETE", path="/account", headers=_bearer(token), epoch=tokens.epoch)
        if caller is Caller.RETIRED and self._retired.of:
            token = self._retired.of[chance.choice(self._users[Caller.KNOWN]).id]
            return _me(caller, token, epoch=self._retired.epoch)
        if caller is Caller.EXPIRING:
            token = tokens.of[self._expiring.id]
            return _me(caller, token, epoch=tokens.epoch, expires=_claims(token)["exp"])
        return _me(caller, self._token(caller, tokens, chance), epoch=tokens.epoch)

    def _token(self, caller: Caller, tokens: _Tokens, chance: random.Random) -> str:
        user = chance.choice(self._users.get(caller, self._users[Caller.KNOWN]))
        genuine = tokens.of[user.id]
        if caller is Caller.NEW:
            return self._sandbox.token(user, session=self._sandbox.new_session(user))
        if caller is Caller.EXPIRED:
            return self._sandbox.token(user, expires_in=-60)
        if caller is Caller.FORGED:
            return self.forger.sign(_claims(genuine), headers={"kid": _part(genuine, 0)["kid"]})
        if caller is Caller.STRANGER:
            return self.forger.sign(_claims(genuine))
        if caller is Caller.OTHER:
            return self._other_token
        if caller is Caller.GARBAGE:
            return chance.choice(["x", "a.b.c", genuine[:-7], genuine + "A", "." * 200, chance.randbytes(60).hex()])
        return genuine

    def _reports(self, caller: Caller, token: str, **facts: Any) -> Ticket:
        path = f"/teams/{self._team.id}/reports"
        return Ticket(caller=caller, method="POST", path=path, headers=_bearer(token), **facts)

    def _mint(self, *, keep: bool = False) -> None:
        """New tokens for everybody, or with `keep` only for those who have none."""
        users = [user for group in self._users.values() for user in group]
        users += [victim.user for victims in self._victims.values() for victim in victims]
        old = self._tokens.of if keep else {}
        of = {user.id: old.get(user.id) or self._sandbox.token(user) for user in users}
        for user in self._users[Caller.SIGNED_OUT]:
            of[user.id] = self._sandbox.token(user)
            self._sandbox.sign_out(user)
        of[self._expiring.id] = old.get(self._expiring.id) or self._sandbox.token(self._expiring, expires_in=1)
        self._tokens = _Tokens(len(self._history.rotations), of)


def key_set(sandbox: Sandbox, project_id: str) -> bytes:
    """The published keys of a sandbox that is not served."""
    url = f"https://sandbox.hexclave.invalid/api/v1/projects/{project_id}/.well-known/jwks.json?include_anonymous=true"
    transport: Any = sandbox.config.transport
    body: bytes = transport.handle_request(httpx.Request("GET", url)).read()
    return body


def _me(caller: Caller, token: str, **facts: Any) -> Ticket:
    return Ticket(caller=caller, method="GET", path="/me", headers=_bearer(token), **facts)


def _machine(caller: Caller, key: str, fate: Fate | None = None) -> Ticket:
    return Ticket(caller=caller, method="GET", path="/machine", headers={"x-api-key": key}, fate=fate or Fate())


def _bearer(token: str) -> dict[str, str]:
    return {"x-stack-access-token": token}


def _part(token: str, index: int) -> Any:
    text = token.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def _claims(token: str) -> Any:
    return _part(token, 1)
