"""What asking for a permission or an API key costs: remembered, asked of Hexclave, and as an application would ask.

Hexclave is the sandbox on real HTTP, in this process: what it spends itself is in every row that asks it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

import httpx

from hexclave_integrations import AsyncHexclaveClient, HexclaveClient
from hexclave_integrations.requirements import require_permission
from hexclave_integrations.testing import Sandbox

from ._measure import AsyncContender, Contender, Scale, Table, compare, interleave

__all__ = ["tables"]

ROUNDS = 30
BATCH = 8
PERMISSION = "export_reports"
REST = "one REST call (httpx, connection kept)"
NOTE = (
    "The rows that ask do so by a client that remembers nothing, over HTTP to a sandbox on the loopback interface: "
    "the Internet and Hexclave's own work come on top."
)


def tables(scale: Scale) -> list[Table]:
    """Measure."""
    sandbox = Sandbox()
    rounds = scale.of(ROUNDS)
    with sandbox.serve():
        setting = _Setting(sandbox)
        blocking = _blocking(setting, rounds)
        awaited = _awaited(setting, rounds)
    return [
        compare("Permissions and API keys", blocking, {"x REST": REST}, NOTE),
        compare("Permissions and API keys, on an event loop", awaited, {"x REST": REST}, NOTE),
    ]


class _Setting:
    """A user who holds a permission in a team, and an API key.

    Args:
        sandbox: is served.

    Attributes:
        forgetful: settings of a client that asks every time.
        url, headers, query: of an application that asks by itself.
        users, keys: the user's id and the key, a batch of each for what is asked.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.config = sandbox.config
        self.forgetful = dataclasses.replace(sandbox.config, permission_ttl=0, api_key_ttl=0)
        self.team = sandbox.create_team().id
        ada = sandbox.create_user(display_name="Ada")
        sandbox.grant(ada, PERMISSION, team=self.team)
        self.credentials = sandbox.headers(ada)
        self.url = f"{self.config.api_url}/api/v1"
        self.headers = {
            "x-stack-access-type": "server",
            "x-stack-project-id": self.config.project_id,
            "x-stack-secret-server-key": self.config.secret_server_key or "",
        }
        self.query = {"team_id": self.team, "user_id": ada.id, "recursive": "true"}
        self.users = [ada.id] * BATCH
        self.keys = [sandbox.create_api_key(user=ada).value] * BATCH

    def read(self, reply: httpx.Response) -> None:
        """What an application does with the answer."""
        assert any(item["id"] == PERMISSION for item in reply.raise_for_status().json()["items"])


def _blocking(setting: _Setting, rounds: int) -> list[Contender[str]]:
    requirement = require_permission(setting.team, PERMISSION)
    users, keys = [setting.users], [setting.keys]
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(HexclaveClient(setting.config))
        asking = stack.enter_context(HexclaveClient(setting.forgetful))
        http = stack.enter_context(httpx.Client(base_url=setting.url, headers=setting.headers))

        def admit(_: str) -> object:
            return client.admit(requirement, client.attempt(setting.credentials))

        def call(_: str) -> None:
            setting.read(http.get("/team-permissions", params=setting.query))

        def call_for_key(key: str) -> None:
            http.post("/user-api-keys/check", json={"api_key": key}).raise_for_status().json()

        def has(client: HexclaveClient, user_id: str) -> None:
            assert client.has_permission(user_id, PERMISSION, setting.team)

        contenders = [
            Contender(REST, call, users),
            Contender("hexclave: permission, asked", lambda user_id: has(asking, user_id), users),
            Contender("hexclave: permission, remembered", lambda user_id: has(client, user_id), [setting.users * 20]),
            Contender("hexclave: a whole request with it, remembered", admit, [setting.users * 20]),
            Contender("one REST call for an API key (httpx)", call_for_key, keys),
            Contender("hexclave: API key and its owner, asked", asking.check_api_key, keys),
            Contender("hexclave: API key, remembered", client.check_api_key, [setting.keys * 20]),
        ]
        interleave(contenders, rounds)
    return contenders


def _awaited(setting: _Setting, rounds: int) -> list[AsyncContender[str]]:
    client, asking = AsyncHexclaveClient(setting.config), AsyncHexclaveClient(setting.forgetful)
    http = httpx.AsyncClient(base_url=setting.url, headers=setting.headers)
    stack = contextlib.AsyncExitStack()

    async def enter() -> None:
        for one in (client, asking, http):
            await stack.enter_async_context(one)

    async def call(_: str) -> None:
        setting.read(await http.get("/team-permissions", params=setting.query))

    async def has(client: AsyncHexclaveClient, user_id: str) -> None:
        assert await client.has_permission(user_id, PERMISSION, setting.team)

    with asyncio.Runner() as runner:
        runner.run(enter())
        contenders = [
            AsyncContender(name, run, [items], runner=runner)
            for name, run, items in (
                (REST, call, setting.users),
                ("hexclave: permission, asked", lambda user_id: has(asking, user_id), setting.users),
                ("hexclave: permission, remembered", lambda user_id: has(client, user_id), setting.users * 20),
                ("hexclave: API key, remembered", client.check_api_key, setting.keys * 20),
            )
        ]
        interleave(contenders, rounds)
        runner.run(stack.aclose())
    return contenders
