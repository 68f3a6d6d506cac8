"""A page of an application: what a browser asks of a sandbox's API, and how the answers are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from hexclave_integrations.testing import Sandbox, SandboxEmail, SandboxSignIn

PASSWORD = "correct horse battery"
CALLBACK = "http://localhost:3000/handler/page"
START = 1_800_000_000.0


class Page:
    """A sandbox with a clock that can be set, and requests to it with the keys of an access type."""

    def __init__(self, client: httpx.Client, sandbox: Sandbox, clock: list[float]) -> None:
        self.client = client
        self._clock = clock
        self.sandbox = sandbox

    def pass_time(self, seconds: float) -> None:
        """Let time go by."""
        self._clock[0] += seconds

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        who: SandboxSignIn | None = None,
        access: str = "client",
        refresh_token: str | None = None,
    ) -> httpx.Response:
        """One request; with the access token of somebody who signed in, whatever kind of user they are."""
        key = {
            "client": {"publishable-client-key": str(self.sandbox.config.publishable_client_key)},
            "server": {"secret-server-key": str(self.sandbox.config.secret_server_key)},
        }[access]
        names = {"project-id": self.sandbox.config.project_id, "access-type": access} | key
        if who is not None:
            names |= {"access-token": who.access_token, "allow-anonymous-user": "true"}
        if refresh_token is not None:
            names["refresh-token"] = refresh_token
        headers = {f"x-hexclave-{name}": value for name, value in names.items()}
        return self.client.request(method, path, json=body, headers=headers)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """`ask` with POST."""
        return self.ask("POST", path, body, **options)

    def me(self, who: SandboxSignIn) -> dict[str, Any]:
        """The user as the page reads it."""
        user: dict[str, Any] = self.ask("GET", "/users/me", who=who).json()
        return user

    def refreshes(self, refresh_token: str) -> bool:
        """Whether the session goes on."""
        response = self.post("/auth/sessions/current/refresh", refresh_token=refresh_token)
        assert response.status_code in (200, 401)
        return response.status_code == 200

    def last_email(self, kind: str) -> SandboxEmail:
        """The newest e-mail, which is of that kind."""
        email = self.sandbox.emails[-1]
        assert email.kind == kind
        return email


@contextmanager
def open_page(**settings: Any) -> Iterator[Page]:
    """A page of an application whose Hexclave is a new sandbox with these settings."""
    clock = [START]
    sandbox = Sandbox(clock=lambda: clock[0], **settings)
    config = sandbox.config
    with httpx.Client(transport=config.transport, base_url=f"{config.api_url}/api/v1") as client:  # type: ignore[arg-type]  # sync half
        yield Page(client, sandbox, clock)


def code(response: httpx.Response) -> tuple[int, str | None]:
    """Status and known error, which has its old and its new name."""
    known = response.headers.get("x-stack-known-error")
    assert known == response.headers.get("x-hexclave-known-error")
    return response.status_code, known
