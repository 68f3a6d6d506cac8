"""The server's own calls: what a backend does with the secret server key, in handlers, jobs and webhooks.

::

    user = client.server.users.create(primary_email="ada@example.com")     # HexclaveClient
    user = await client.server.users.create(...)                           # AsyncHexclaveClient

Arguments are checked before anything is sent (`InvalidArgument`, and TypeError for names). What Hexclave refuses is a
`HexclaveApiError`; what it did not answer is `Unavailable`. What withdraws something is forgotten at once, in the whole
fleet too; where the fleet cannot be told, the call is `Unavailable` although it was carried out. GET, PATCH and DELETE
are sent again after a failure, at most twice; what creates, spends or sends goes out once.
"""

from ._async import AsyncServer, AsyncVault
from ._colours import AsyncPages, Pages
from ._fields import NewTeam, NewUser, TeamChanges, UserChanges
from ._sync import Server, Vault

__all__ = [
    "AsyncPages",
    "AsyncServer",
    "AsyncVault",
    "NewTeam",
    "NewUser",
    "Pages",
    "Server",
    "TeamChanges",
    "UserChanges",
    "Vault",
]
