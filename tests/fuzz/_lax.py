"""Readers that are too lax, one for each target, each in a way that has been somebody's vulnerability."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from hexclave_integrations import HexclaveConfig, HexclaveUser, InvalidToken
from hexclave_integrations._token import find
from hexclave_integrations._token.verify import Verifier
from hexclave_integrations.errors import WebhookVerificationFailed
from hexclave_integrations.webhooks import WebhookEvent
from hexclave_integrations.webhooks._events import read_event

from .._minting import NOW, mint_segments
from ._keys import keys_target
from ._readers import base64url_target, ids_target, json_target
from ._requests import request_target
from ._tokens import CONFIG, KEY, claims_target, token_target, verified
from ._webhooks import DELIVERY_ID, delivery_target, endpoint, event_target, signature

__all__ = ["TARGETS"]

_PATIENT: Final = Verifier(dataclasses.replace(CONFIG, leeway=60))


def _no_signature(token: str) -> HexclaveUser:
    """Believes what nobody signed."""
    header, _, rest = token.encode("utf-8", "replace").decode().partition(".")
    return verified(mint_segments(KEY, header, rest.partition(".")[0]))


def _no_contradiction(
    found: Mapping[str, str], cookies: Mapping[str, str] | None, config: HexclaveConfig
) -> str | None:
    """Takes the last of two tokens that contradict each other."""
    last = found.get("x-stack-access-token", "").rpartition(",")[2].strip()
    if len(last) > find.MAX_TOKEN:
        raise InvalidToken
    return last or None


def _lax_json(text: bytes, max_brackets: int | None) -> dict[str, Any]:
    """Lets the last of two names count."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _is_uuid(text: str) -> bool:
    """Takes braces and `urn:uuid:`."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _unsigned_delivery(body: bytes, pairs: list[tuple[bytes, bytes]]) -> WebhookEvent:
    """Signs by itself what it should check."""
    fields = {name.lower(): value for name, value in pairs}
    try:
        message_id, moment = fields[b"svix-id"].decode(), fields[b"svix-timestamp"].decode()
    except (KeyError, UnicodeDecodeError):
        raise WebhookVerificationFailed from None
    return endpoint().verify(
        body, {"svix-id": message_id, "svix-timestamp": moment, "svix-signature": signature(message_id, moment, body)}
    )


def _lax_event(body: bytes, pairs: list[tuple[bytes, bytes]]) -> WebhookEvent:
    """Reads the body as it likes."""
    try:
        payload = json.loads(body)
        return read_event(payload, delivery_id=DELIVERY_ID, timestamp=int(NOW), body=body)
    except (ValueError, AttributeError):
        raise WebhookVerificationFailed from None


def _lax_base64url(segment: bytes) -> bytes:
    """Skips what is not of the alphabet, as the standard library did before Python 3.15."""
    known = re.sub(rb"[^A-Za-z0-9_-]", b"", segment)
    return base64.urlsafe_b64decode(known + b"=" * (-len(known) % 4))


def _lax_keys(document: bytes) -> dict[str, EllipticCurvePublicKey]:
    """Takes keys that are not for signing, and the last of two of a name."""
    try:
        return {str(entry["kid"]): jwt.PyJWK(entry, "ES256").key for entry in json.loads(document)["keys"]}
    except (jwt.PyJWTError, ValueError, TypeError, LookupError):
        raise ValueError("no key set") from None


_ALL = [
    token_target(_no_signature),
    claims_target(lambda token: verified(token, _PATIENT)),
    request_target(_no_contradiction),
    json_target(_lax_json),
    base64url_target(_lax_base64url),
    ids_target(_is_uuid),
    delivery_target(_unsigned_delivery),
    event_target(_lax_event),
    keys_target(_lax_keys),
]

TARGETS = {target.name: target for target in _ALL}
