"""All targets by name; importing this imports what is fuzzed."""

from __future__ import annotations

from ._keys import keys_target
from ._readers import base64url_target, ids_target, json_target
from ._requests import request_target
from ._tokens import claims_target, token_target
from ._webhooks import delivery_target, event_target

__all__ = ["TARGETS"]

_ALL = [
    token_target(),
    claims_target(),
    request_target(),
    json_target(),
    base64url_target(),
    ids_target(),
    delivery_target(),
    event_target(),
    keys_target(),
]

TARGETS = {target.name: target for target in _ALL}
