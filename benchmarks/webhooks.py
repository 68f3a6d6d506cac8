"""What verifying a webhook costs, as ratio to a bare HMAC-SHA256 over the same bytes.

Run `python -m benchmarks.webhooks`. Verification is the whole of `Webhooks.verify`: headers, time, signature, JSON and
the typed event. All contenders are measured in one run, interleaved in small batches, and medians are printed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from benchmarks.verify import Contender, refusing
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import Webhooks

ROUNDS = 60
BATCH = 20
KILOBYTES = (1, 10, 100)

Delivery = tuple[bytes, dict[str, str]]


def deliveries(sandbox: Sandbox, kilobytes: int) -> list[Delivery]:
    """Signed deliveries about a user with much metadata."""
    data: dict[str, Any] = {"id": "3241a285-8329-4d69-8f3d-316e08cf140c", "display_name": "Ada", "server_metadata": []}
    entry = {"name": "Analytical Engines", "plan": "pro", "seats": 12, "is_active": True, "notes": None}
    size = len(json.dumps(data))
    while size < kilobytes * 1024 - 100:
        data["server_metadata"].append(entry)
        size += len(json.dumps(entry, separators=(",", ":"))) + 1
    return [sandbox.webhook("user.updated", data) for _ in range(BATCH)]


def contenders(sandbox: Sandbox, kilobytes: int) -> list[Contender]:
    """A bare HMAC first, then what is compared with it; items are the ids of deliveries."""
    batch = {headers["svix-id"]: (body, headers) for body, headers in deliveries(sandbox, kilobytes)}
    webhooks = Webhooks(sandbox.config.webhook_secrets)
    forged = {key: (body, headers | {"svix-id": "msg_forged"}) for key, (body, headers) in batch.items()}
    runs: dict[str, Callable[[str], object]] = {
        "bare HMAC-SHA256": lambda key: hmac.digest(b"\x01" * 24, batch[key][0], hashlib.sha256),
        "json.loads": lambda key: json.loads(batch[key][0]),
        "verified": lambda key: webhooks.verify(*batch[key]),
        "forgery refused": refusing(lambda key: webhooks.verify(*forged[key])),
    }
    return [Contender(name, run, [list(batch)]) for name, run in runs.items()]


def main() -> None:
    """Measure and print."""
    sandbox = Sandbox()
    sizes = {kilobytes: contenders(sandbox, kilobytes) for kilobytes in KILOBYTES}
    for number in range(ROUNDS):
        for measured in sizes.values():
            for contender in measured:
                contender.measure(number)
    print(f"{'':<28}{'us':>8}{'x HMAC':>9}")
    for kilobytes, measured in sizes.items():
        for contender in measured:
            median = contender.median
            name = f"{kilobytes:>3} KB: {contender.name}"
            print(f"{name:<28}{median:>8.1f}{median / measured[0].median:>9.2f}")


if __name__ == "__main__":
    main()
