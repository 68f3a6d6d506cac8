"""Webhooks: deliveries as a stranger sends them, and signed bodies of no matter what."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from hexclave_integrations import HexclaveClient
from hexclave_integrations.errors import WebhookVerificationFailed
from hexclave_integrations.webhooks import WebhookEvent, Webhooks

from .._minting import NOW, data
from ._target import Target, change_bytes, change_json, finding
from ._tokens import CONFIG

__all__ = ["EVENTS", "GENUINE", "delivery_target", "endpoint", "event_target", "signature"]

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET: Final = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
TOLERANCE: Final = 300
DELIVERY_ID: Final = "msg_2b5zQ0xExampleMessageId01"
EVENTS: Final = [
    json.dumps(event, separators=(",", ":")).encode()
    for name in ("webhook_events.json", "webhook_events_extra.json")
    for event in data(name)
]
_CLIENT: Final = HexclaveClient(CONFIG)

Verify: TypeAlias = Callable[[bytes, list[tuple[bytes, bytes]]], WebhookEvent]


def endpoint() -> Webhooks:
    """An endpoint with both secrets, at a fixed time."""
    return Webhooks([SECRET, OLD_SECRET], tolerance=TOLERANCE, clock=lambda: NOW)


def signature(delivery_id: str, timestamp: str, body: bytes, secret: str = SECRET) -> str:
    """The signature of a delivery, by the standard library alone."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return (
        "v1,"
        + base64.b64encode(hmac.digest(key, f"{delivery_id}.{timestamp}.".encode() + body, hashlib.sha256)).decode()
    )


def _delivery(body: bytes, *, secret: str = SECRET, family: str = "svix", moment: int = int(NOW)) -> bytes:
    """A delivery as lines of `name: value`, an empty line, and the body."""
    signed = signature(DELIVERY_ID, str(moment), body, secret)
    fields = {"id": DELIVERY_ID, "timestamp": str(moment), "signature": signed}
    return "\n".join(f"{family}-{name}: {value}" for name, value in fields.items()).encode() + b"\n\n" + body


GENUINE: Final = [
    *(_delivery(body) for body in EVENTS),
    _delivery(EVENTS[0], secret=OLD_SECRET),
    _delivery(EVENTS[1], family="webhook"),
    _delivery(EVENTS[2], moment=int(NOW) - TOLERANCE),
]
"""Deliveries that a secret of the endpoint has signed."""

_VERIFY: Final = endpoint().verify
_SIGNED: Final = {(DELIVERY_ID, body) for body in EVENTS}


# --- what a stranger sends --------------------------------------------------------------------------------


def delivery_target(verify: Verify = _VERIFY) -> Target:
    """A delivery of no matter what: accepted only if a secret of the endpoint has signed its id, time and body."""

    def check(data: bytes) -> bool:
        head, _, body = data.partition(b"\n\n")
        pairs = [(name, value) for name, _, value in (line.partition(b": ") for line in head.split(b"\n"))]
        try:
            event = verify(body, pairs)
        except WebhookVerificationFailed:
            if data in GENUINE:
                finding("a genuine delivery is refused")
            return False
        fields = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in pairs}
        family = "svix" if "svix-id" in fields else "webhook"
        message_id, timestamp, signatures = (fields[f"{family}-{name}"] for name in ("id", "timestamp", "signature"))
        if (event.id, event.body) not in _SIGNED or (event.id, event.body) != (message_id, body):
            finding("a delivery is accepted that nobody signed")
        expected = {signature(message_id, timestamp, body, secret) for secret in (SECRET, OLD_SECRET)}
        if not expected & set(signatures.split(" ")):
            finding("a signature is accepted that is none")
        if abs(NOW - int(timestamp)) > TOLERANCE or event.timestamp.timestamp() != int(timestamp):
            finding("a delivery is accepted that is not from just now")
        return True

    words = [
        *(f"{family}-{name}: ".encode() for family in ("svix", "webhook") for name in ("id", "timestamp", "signature")),
        *(b"v1,", b"v1a,", b" v1,", b"\n", b"\n\n", str(int(NOW)).encode(), b"+", b"=", b"\xd9\xa1"),
    ]
    return Target("delivery", "headers and signature of a webhook", check, _change_delivery, words)


def _change_delivery(data: bytes, rng: random.Random) -> bytes:
    """Change the body, the signature or a line, or take a part of another delivery."""
    head, _, body = (rng.choice(GENUINE) if rng.random() < 0.1 else data).partition(b"\n\n")
    lines, choice = head.split(b"\n"), rng.random()
    place = rng.randrange(len(lines))
    if choice < 0.2:
        body = change_json(body, rng, [])
    elif choice < 0.3:
        body = rng.choice(EVENTS)
    elif choice < 0.5:
        lines[place : place + 1] = rng.choice(
            [[], [lines[place]] * 2, [lines[place].upper()], [lines[place] + b" v1,AA=="]]
        )
    elif choice < 0.6:
        lines[place] = rng.choice(rng.choice(GENUINE).partition(b"\n\n")[0].split(b"\n"))
    else:
        name, separator, value = lines[place].partition(b": ")
        lines[place] = name + separator + change_bytes(value, rng, [b" ", b"v1,", b"v2,", b"0", b"+", b"=", b"\xb2"])
    return b"\n".join(lines) + b"\n\n" + body


# --- what a secret signs ----------------------------------------------------------------------------------


def event_target(verify: Verify = _VERIFY) -> Target:
    """A signed body of no matter what: an event that says what the body says, or a refusal; never a failure."""

    def check(data: bytes) -> bool:
        fields = {
            "id": DELIVERY_ID,
            "timestamp": str(int(NOW)),
            "signature": signature(DELIVERY_ID, str(int(NOW)), data),
        }
        pairs = [(f"webhook-{name}".encode(), value.encode()) for name, value in fields.items()]
        webhooks, seen = endpoint(), list[WebhookEvent]()
        webhooks.on("*")(seen.append)
        status, _, _ = webhooks.receive(data, pairs, _CLIENT)
        try:
            event = verify(data, pairs)
        except WebhookVerificationFailed:
            if status != 400 or seen:
                finding("a delivery that is refused is handled")
            return False
        if status != 200 or seen != [event]:
            finding("a delivery that is accepted is not handled once")
        content = json.loads(data.decode())
        if event.type != content["type"] or _plain(event.data) != content["data"]:
            finding("the event is not what the body says")
        if type(event) is not WebhookEvent and not all(
            isinstance(getattr(event.data, name), str)
            for name in ("id", "team_id", "user_id")
            if hasattr(event.data, name)
        ):
            finding("a typed event has an id that is no text")
        return True

    types = [json.loads(body)["type"] for body in EVENTS]
    words = [
        *(f'"{kind}"'.encode() for kind in types),
        b'{"type":',
        b'"data":{',
        b'"id":',
        b'"teams":[',
        b"null",
        b"1e400",
    ]
    return Target("event", "signed webhook bodies", check, lambda body, rng: change_json(body, rng, types), words)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
