"""Signed deliveries, and one way to hand them to `Webhooks` with an event loop and without."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

from svix import Webhook

from hexclave_integrations.webhooks import Webhooks

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET: Final = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
LIMIT: Final = 20.0
"""Seconds after which a test stops waiting: only a broken one gets there."""

_DATA = Path(__file__).parent / "data"
EVENTS: Final[list[dict[str, Any]]] = json.loads((_DATA / "webhook_events.json").read_text())
EXTRA_EVENTS: Final[list[dict[str, Any]]] = json.loads((_DATA / "webhook_events_extra.json").read_text())
VECTOR: Final[dict[str, Any]] = json.loads((_DATA / "webhook_signature_vector.json").read_text())

_numbers = itertools.count(time.time_ns())

Delivery: TypeAlias = tuple[bytes, dict[str, str]]


def new_id() -> str:
    """An id that no other delivery has, in any test of any run."""
    return f"msg_{next(_numbers)}"


def signed(
    body: bytes | str | Mapping[str, Any],
    *,
    id: str | None = None,
    secret: str = SECRET,
    timestamp: float | None = None,
    family: str = "svix",
) -> Delivery:
    """Body and headers as the real sender makes them."""
    if isinstance(body, Mapping):
        body = json.dumps(body)
    text = body if isinstance(body, str) else body.decode()
    message_id, moment = id or new_id(), int(time.time() if timestamp is None else timestamp)
    signature = Webhook(secret).sign(message_id, datetime.fromtimestamp(moment, UTC), text)
    headers = {"id": message_id, "timestamp": str(moment), "signature": signature}
    return text.encode(), {f"{family}-{name}": value for name, value in headers.items()}


def event(id: str | None = None) -> Delivery:
    """A delivery of no matter which event."""
    return signed({"type": "user.deleted", "data": {"id": "3241a285-8329-4d69-8f3d-316e08cf140c"}}, id=id)


class SyncRunner:
    """Delivers on threads."""

    is_async = False

    def receive(self, webhooks: Webhooks, delivery: Delivery) -> int:
        """The status of the answer."""
        return webhooks.receive(*delivery)[0]

    def crowd(self, webhooks: Webhooks, deliveries: Iterable[Delivery]) -> list[int]:
        """The statuses of the answers to deliveries that come at once."""
        waiting = list(deliveries)
        statuses = [0] * len(waiting)
        barrier = threading.Barrier(len(waiting))

        def work(index: int) -> None:
            barrier.wait(LIMIT)
            statuses[index] = self.receive(webhooks, waiting[index])

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(waiting))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        return statuses

    def close(self) -> None:
        """Nothing to close."""


class AsyncRunner:
    """Delivers as tasks on one event loop."""

    is_async = True

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def receive(self, webhooks: Webhooks, delivery: Delivery) -> int:
        return self.crowd(webhooks, [delivery])[0]

    def crowd(self, webhooks: Webhooks, deliveries: Iterable[Delivery]) -> list[int]:
        async def work() -> list[int]:
            async with asyncio.timeout(LIMIT):
                answers = await asyncio.gather(*[webhooks.areceive(*delivery) for delivery in deliveries])
            return [answer[0] for answer in answers]

        return self._runner.run(work())

    def close(self) -> None:
        self._runner.close()


Runner: TypeAlias = SyncRunner | AsyncRunner
RUNNERS = [SyncRunner, AsyncRunner]
RUNNER_IDS = ["sync", "async"]
