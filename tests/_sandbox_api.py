"""The REST API of a sandbox, as a server, an administrator or a user's browser asks it."""

from __future__ import annotations

from typing import Any

import httpx

from hexclave_integrations.testing import Sandbox, SandboxUser


class Api:
    """A sandbox and ways to ask it, in process."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        config = sandbox.config
        self._http = httpx.Client(
            transport=config.transport,  # type: ignore[arg-type]  # its sync half
            base_url=f"{config.api_url}/api/v1",
            headers={"x-stack-project-id": config.project_id},
        )

    def server(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask with the secret server key."""
        key = {"x-stack-secret-server-key": str(self.sandbox.config.secret_server_key)}
        return self._ask("server", key, method, path, body)

    def raw(self, method: str, path: str, body: str) -> httpx.Response:
        """Ask with the secret server key, and with these characters as the JSON body."""
        headers = {
            "x-stack-access-type": "server",
            "x-stack-secret-server-key": str(self.sandbox.config.secret_server_key),
            "content-type": "application/json",
        }
        return self._http.request(method, path, content=body, headers=headers)

    def admin(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask with the super secret admin key."""
        key = {"x-stack-super-secret-admin-key": self.sandbox.super_secret_admin_key}
        return self._ask("admin", key, method, path, body)

    def browser(self, user: SandboxUser | None, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask as the user's browser, whatever the kind of user; None for nobody's."""
        headers = {"x-stack-allow-anonymous-user": "true"} | (self.sandbox.headers(user) if user else {})
        return self._ask("client", headers, method, path, body)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _ask(self, access: str, headers: dict[str, str], method: str, path: str, body: Any) -> httpx.Response:
        return self._http.request(method, path, json=body, headers={"x-stack-access-type": access} | headers)


def code(response: httpx.Response) -> tuple[int, str | None]:
    """Status and known error."""
    return response.status_code, response.headers.get("x-stack-known-error")
