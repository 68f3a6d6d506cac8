"""A whole Hexclave in memory, to test applications offline.

>>> from hexclave_integrations.testing import Sandbox
>>> sandbox = Sandbox()
>>> user = sandbox.create_user(display_name="Ada")
>>> list(sandbox.headers(user))
['x-stack-access-token']
"""

from __future__ import annotations

from ._deliveries import WebhookEndpoint
from ._handles import (
    SandboxApiKey,
    SandboxDelivery,
    SandboxRefused,
    SandboxRequest,
    SandboxSession,
    SandboxSignIn,
    SandboxTeam,
    SandboxUser,
)
from ._holdings import SandboxItems
from ._mailbox import SandboxEmail
from ._outage import Outage
from .sandbox import Sandbox

__all__ = [
    "Outage",
    "Sandbox",
    "SandboxApiKey",
    "SandboxDelivery",
    "SandboxEmail",
    "SandboxItems",
    "SandboxRefused",
    "SandboxRequest",
    "SandboxSession",
    "SandboxSignIn",
    "SandboxTeam",
    "SandboxUser",
    "WebhookEndpoint",
]
