"""The signing secret of a webhook endpoint, `whsec_` and base64, as settings and signatures read it."""

from __future__ import annotations

import binascii
from typing import Final

from ..errors import ConfigurationError

__all__ = ["signing_key"]

_SHORTEST: Final = 16
"""Bytes; those of Svix have 24."""


def signing_key(secret: object) -> bytes:
    """The key that a secret stands for.

    Raises:
        ConfigurationError: it is not a signing secret; the message does not show it.
    """
    if not isinstance(secret, str) or not secret.strip().startswith("whsec_"):
        raise _error("that is not a signing secret: copy the whole text that starts with whsec_")
    if secret != secret.strip():
        raise _error("with a space or a line break at an end: remove that")
    encoded = secret.removeprefix("whsec_").rstrip("=")
    try:
        key = binascii.a2b_base64((encoded + "=" * (-len(encoded) % 4)).encode("ascii"), strict_mode=True)
    except ValueError:
        raise _error("that is not a signing secret: copy the whole text that starts with whsec_") from None
    if len(key) < _SHORTEST:
        raise _error("that is too short to be a signing secret: copy the whole text that starts with whsec_")
    return key


def _error(problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"webhook_secrets has an entry {problem}; pass it as webhook_secrets=[...], in Webhooks(secrets=[...]), or set "
        "HEXCLAVE_WEBHOOK_SECRETS (or the legacy STACK_WEBHOOK_SECRETS)."
    )
