"""The people of the demo, what they ask for, and the answer each should get."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from hexclave_integrations.testing import Sandbox, SandboxUser


@dataclass(frozen=True)
class Scene:
    """One request, and the answer it should get everywhere.

    Attributes:
        who: the person, for the reader.
        request: method and path.
        status: the right answer.
        why: the reason, for the reader.
        headers: the credentials sent, or None.
    """

    who: str
    request: str
    status: int
    why: str
    headers: dict[str, str] | None = None


class Story:
    """Users, a team and their credentials in a sandbox that is served over HTTP.

    Args:
        sandbox: must be serving already, so that tokens name the right issuer.
        signed_up: the access token of somebody who signed up by themselves, if there is one.
    """

    def __init__(self, sandbox: Sandbox, signed_up: str | None = None) -> None:
        self.sandbox = sandbox
        self.signed_up = signed_up
        self.alice = sandbox.create_user(display_name="Alice")
        self.bob = sandbox.create_user(display_name="Bob")
        self.restricted = sandbox.create_user("restricted", display_name="Rita")
        self.anonymous = sandbox.create_user("anonymous")
        self.team = sandbox.create_team("Accounting")
        for member in (self.alice, self.bob):
            sandbox.add_member(self.team, member)
        sandbox.grant(self.alice, "export_reports", team=self.team)
        self.reports = f"POST /teams/{self.team.id}/reports"

    def scenes(self) -> Iterator[Scene]:
        """Everything that happens, in order; the world changes between scenes."""
        yield from self._at_the_door()
        yield from self._permissions()
        yield from self._webhooks()
        yield from self._after_sign_out()
        yield from self._during_an_outage()

    def _at_the_door(self) -> Iterator[Scene]:
        h = self.sandbox.headers
        yield Scene("nobody", "GET /", 200, "a public page")
        yield Scene("nobody", "GET /me", 401, "no credentials came")
        yield Scene("Alice", "GET /me", 200, "a regular user", h(self.alice))
        if self.signed_up:
            yield Scene("Sam", "GET /me", 200, "signed up with the JS SDK", {"x-stack-access-token": self.signed_up})
        yield Scene("Rita", "GET /me", 403, "e-mail not verified yet", h(self.restricted))
        yield Scene("anonymous", "GET /me", 401, "has no account", h(self.anonymous))
        yield Scene("anonymous", "GET /", 200, "welcome on this page", h(self.anonymous))
        yield Scene("late Alice", "GET /me", 401, "token is over: refresh", self._expired())
        yield Scene("stranger", "GET /me", 401, "another project's token", _stranger())
        yield Scene("forger", "GET /me", 401, "signed with a key of their own", self._forged())
        yield Scene("forger", "GET /", 401, "bad is not the same as none", self._forged())

    def _permissions(self) -> Iterator[Scene]:
        h, key = self.sandbox.headers, self.sandbox.create_api_key(user=self.alice, description="nightly job")
        yield Scene("Alice", self.reports, 200, "holds export_reports", h(self.alice))
        yield Scene("Bob", self.reports, 403, "a member without it", h(self.bob))
        yield Scene("a script", "GET /machine", 200, "API key", {"x-api-key": key.value})
        yield Scene("a guesser", "GET /machine", 401, "no such key", {"x-api-key": "sk_1"})

    def _webhooks(self) -> Iterator[Scene]:
        h = self.sandbox.headers
        self.sandbox.revoke(self.alice, "export_reports", team=self.team)
        self.sandbox.flush_webhooks()
        yield Scene("Alice", self.reports, 403, "a webhook told of it: revoked", h(self.alice))
        self.sandbox.grant(self.alice, "export_reports", team=self.team)
        self.sandbox.flush_webhooks()
        yield Scene("Alice", self.reports, 200, "and granted again", h(self.alice))

    def _after_sign_out(self) -> Iterator[Scene]:
        carol = self.sandbox.create_user(display_name="Carol")
        headers = self.sandbox.headers(carol)
        yield Scene("Carol", "DELETE /account", 200, "Hexclave confirms it now", headers)
        self.sandbox.sign_out(carol)
        yield Scene("Carol, out", "GET /me", 200, "a token outlives its session", headers)
        yield Scene("Carol, out", "DELETE /account", 401, "live() noticed", headers)

    def _during_an_outage(self) -> Iterator[Scene]:
        h, dora = self.sandbox.headers, self.sandbox.create_user(display_name="Dora")
        with self.sandbox.outage():
            yield Scene("Alice", "GET /me", 200, "Hexclave is down: no matter", h(self.alice))
            yield Scene("Dora", "GET /me", 200, "new here, keys are known", h(dora))
            yield Scene("Alice", self.reports, 200, "permission remembered", h(self.alice))
            yield Scene("Dora", self.reports, 503, "cannot tell: neither yes nor no", h(dora))
            yield Scene("forger", "GET /me", 401, "still a forger", self._forged())
        yield Scene("Bob", "GET /me", 200, "Hexclave is back", h(self.bob))

    def curl_lines(self, url: str) -> Iterator[str]:
        """Commands to try against a running application."""
        people: list[tuple[str, SandboxUser]] = [("Alice", self.alice), ("Rita, restricted", self.restricted)]
        for name, user in people:
            yield f"# {name}\ncurl -i {url}/me -H 'x-stack-access-token: {self.sandbox.token(user, 86400)}'"
        yield f"# nobody\ncurl -i {url}/me"

    def _expired(self) -> dict[str, str]:
        return {"x-stack-access-token": self.sandbox.token(self.alice, -60)}

    def _forged(self) -> dict[str, str]:
        """Right claims, right key id, and a signature of the forger's own."""
        genuine = self.sandbox.token(self.alice)
        claims = jwt.decode(genuine, options={"verify_signature": False})
        kid = jwt.get_unverified_header(genuine)["kid"]
        token = jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": kid})
        return {"x-stack-access-token": token}


def _stranger() -> dict[str, str]:
    other = Sandbox()
    return other.headers(other.create_user())
