"""What receiving a webhook costs, as ratios to a bare HMAC-SHA256 over the same bytes and to the svix library.

Verification is the whole of `Webhooks.verify`: headers, time, signature, JSON and the typed event. Receiving is what
an endpoint does: verify, claim the delivery, run a handler, mark it done.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import svix

from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

from ._measure import Contender, Scale, Table, compare, interleave, refusing

__all__ = ["tables"]

ROUNDS = 40
BATCH = 20
KILOBYTES = (1, 10, 100)

HMAC = "bare HMAC-SHA256"
SVIX = "svix library, then json.loads"
NOTE = (
    "The svix library only verifies; an application still has to parse the body, without our limits on what is in it."
)

Delivery = tuple[bytes, dict[str, str]]


def tables(scale: Scale) -> list[Table]:
    """Measure."""
    rounds = scale.of(ROUNDS)
    sandbox = Sandbox()
    sizes = {kilobytes: _contenders(sandbox, kilobytes, rounds) for kilobytes in KILOBYTES}
    interleave([contender for contenders in sizes.values() for contender in contenders], rounds)
    return [
        compare(f"Webhooks of {kilobytes} KB", contenders, {"x HMAC": HMAC, "x svix": SVIX}, NOTE)
        for kilobytes, contenders in sizes.items()
    ]


def _contenders(sandbox: Sandbox, kilobytes: int, rounds: int) -> list[Contender[Delivery]]:
    """A bare HMAC first, then what is compared with it; each delivery is received once."""
    data: dict[str, Any] = {"id": "3241a285-8329-4d69-8f3d-316e08cf140c", "display_name": "Ada", "server_metadata": []}
    entry = {"name": "Analytical Engines", "plan": "pro", "seats": 12, "is_active": True, "notes": None}
    entries = (kilobytes * 1024 - 200) // (len(json.dumps(entry, separators=(",", ":"))) + 1)
    data["server_metadata"] = [entry] * entries
    batches = [[sandbox.webhook("user.updated", data) for _ in range(BATCH)] for _ in range(rounds)]
    forged = [[(body, headers | {"svix-id": "msg_forged"}) for body, headers in batches[0]]]
    (secret,) = sandbox.config.webhook_secrets
    webhooks = Webhooks([secret])
    theirs = svix.Webhook(secret)

    @webhooks.on("user.updated")
    def handle(event: object) -> None:
        """Nothing: what a handler does is its own."""

    def receive(delivery: Delivery) -> None:
        status, _, _ = webhooks.receive(*delivery)
        assert status == 200

    def verify_and_parse(delivery: Delivery) -> None:
        theirs.verify(*delivery)
        json.loads(delivery[0])

    runs: dict[str, Callable[[Delivery], object]] = {
        HMAC: lambda delivery: hmac.digest(b"\x01" * 24, delivery[0], hashlib.sha256),
        "json.loads": lambda delivery: json.loads(delivery[0]),
        "svix library": lambda delivery: theirs.verify(*delivery),
        SVIX: verify_and_parse,
        "hexclave: verified": lambda delivery: webhooks.verify(*delivery),
        "hexclave: received and dispatched": receive,
    }
    return [
        *(Contender(name, run, batches) for name, run in runs.items()),
        Contender("hexclave: forgery refused", refusing(lambda delivery: webhooks.verify(*delivery)), forged),
    ]
