"""Verify a delivery: headers, time and signature over the raw bytes (Standard Webhooks; contract section 6)."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from standardwebhooks import Webhook

from .. import _reasons as reasons
from .._base.webhook_secret import signing_key
from ..errors import ConfigurationError, WebhookVerificationFailed

__all__ = ["SignatureChecker", "delivery_headers"]

_FAMILIES: Final = ("svix", "webhook")
_PARTS: Final = ("id", "timestamp", "signature")
_NAMES: Final = {f"{family}-{part}": (family, part) for family in _FAMILIES for part in _PARTS}
_ID: Final = re.compile(r"[!-~]{1,256}")
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_MAX_SIGNATURES: Final = 16
_DIGEST_LENGTH: Final = 32
# The beginning of JSON with blanks between its parts, which the sender does not write (contract section 6).
_SPACED: Final = re.compile(rb'\s|\{\s|\{"[^"\\]{0,64}"(?:\s|:\s)')


class SignatureChecker:
    """Checks signatures with the secrets of one endpoint.

    Args:
        secrets: `whsec_...`, the newest first; several while they are being rotated.
        tolerance: how far a delivery's time may be from now, seconds.

    Raises:
        ConfigurationError: there is no secret, or one is not a signing secret.
    """

    def __init__(self, secrets: Iterable[str], tolerance: float) -> None:
        self._keys = [Webhook(signing_key(secret)) for secret in secrets]
        if not self._keys:
            raise ConfigurationError(
                "webhook_secrets is missing: copy the endpoint's signing secret from the dashboard; pass secrets=[...] "
                "or set HEXCLAVE_WEBHOOK_SECRET (or the legacy STACK_WEBHOOK_SECRET)."
            )
        self._tolerance = tolerance

    def check(self, headers: dict[str, str], body: bytes, now: float) -> tuple[str, int]:
        """Check a delivery's signature and time; return its id and its time in epoch seconds.

        Args:
            headers: from `delivery_headers`.
            body: the raw bytes of the request.
            now: epoch seconds.

        Raises:
            WebhookVerificationFailed: it is not from Hexclave, or not from just now.
        """
        delivery_id, time_text = headers["id"], headers["timestamp"]
        if not _ID.fullmatch(delivery_id):
            raise WebhookVerificationFailed(reason=reasons.WEBHOOK_ID)
        if not _TIMESTAMP.fullmatch(time_text) or str(int(time_text)) != time_text:
            raise WebhookVerificationFailed(reason=reasons.WEBHOOK_TIMESTAMP)
        timestamp = int(time_text)
        if abs(now - timestamp) > self._tolerance:
            is_old = timestamp < now
            raise WebhookVerificationFailed(reason=reasons.WEBHOOK_TOO_OLD if is_old else reasons.WEBHOOK_IN_FUTURE)
        signatures = _read_signatures(headers["signature"])
        try:
            text, moment = body.decode(), datetime.fromtimestamp(timestamp, UTC)
        except UnicodeDecodeError:
            raise WebhookVerificationFailed(reason=reasons.WEBHOOK_NOT_UTF8) from None
        except (ValueError, OverflowError):
            raise WebhookVerificationFailed(reason=reasons.WEBHOOK_TIMESTAMP) from None
        for key in self._keys:
            expected = base64.b64decode(key.sign(delivery_id, moment, text).partition(",")[2])
            # Every pair is compared: how long it takes says nothing about which secret or signature is close.
            if sum(hmac.compare_digest(expected, signature) for signature in signatures):
                return delivery_id, timestamp
        raise WebhookVerificationFailed(reason=_why_no_match(body, signatures))


def delivery_headers(headers: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    """The `id`, `timestamp` and `signature` of a delivery: all `svix-*` or all `webhook-*`, never mixed.

    Where both families are complete `svix-*` counts, as in Svix's own library.

    Raises:
        WebhookVerificationFailed: neither is complete, or a header is repeated.
    """
    found: dict[str, dict[str, str]] = {family: {} for family in _FAMILIES}
    for name, value in headers:
        text = name.decode("latin-1") if isinstance(name, bytes) else name
        wanted = _NAMES.get(text.lower())
        if wanted is None:
            continue
        family, part = wanted
        if part in found[family]:
            raise WebhookVerificationFailed(reason=reasons.WEBHOOK_HEADER_REPEATED)
        found[family][part] = value.decode("latin-1") if isinstance(value, bytes) else value
    for fields in found.values():
        if len(fields) == len(_PARTS):
            return fields
    parts = [part for fields in found.values() for part in fields]
    if len(set(parts)) == len(_PARTS):
        raise WebhookVerificationFailed(reason=reasons.WEBHOOK_HEADERS_MIXED)
    raise WebhookVerificationFailed(reason=reasons.WEBHOOK_HEADER_MISSING if parts else reasons.WEBHOOK_NO_HEADERS)


def _why_no_match(body: bytes, signatures: list[bytes]) -> str:
    """What is the likeliest reason that no secret makes one of the signatures."""
    if not signatures:
        return reasons.WEBHOOK_NO_V1
    if not body:
        return reasons.WEBHOOK_EMPTY
    return reasons.WEBHOOK_REWRITTEN if _SPACED.match(body) else reasons.WEBHOOK_SIGNATURE


def _read_signatures(text: str) -> list[bytes]:
    """The `v1` signatures of a header; other versions are for other readers.

    Raises:
        WebhookVerificationFailed: there are too many, or one is no signature.
    """
    parts = text.split(" ")
    if len(parts) > _MAX_SIGNATURES:
        raise WebhookVerificationFailed(reason=reasons.WEBHOOK_SIGNATURE_HEADER)
    found: list[bytes] = []
    for part in parts:
        version, comma, encoded = part.partition(",")
        if not comma:
            raise WebhookVerificationFailed(reason=reasons.WEBHOOK_SIGNATURE_HEADER)
        if version != "v1":
            continue
        try:
            spelling = encoded.encode("ascii")
            signature = binascii.a2b_base64(spelling, strict_mode=True)
        except ValueError:
            raise WebhookVerificationFailed(reason=reasons.WEBHOOK_SIGNATURE_HEADER) from None
        if binascii.b2a_base64(signature, newline=False) != spelling:  # stray bits at the end: one spelling a value
            raise WebhookVerificationFailed(reason=reasons.WEBHOOK_SIGNATURE_HEADER)
        if len(signature) == _DIGEST_LENGTH:
            found.append(signature)
    return found
