"""Which error a refusal of Hexclave's becomes (contract 3.3 and 5)."""

from __future__ import annotations

import re
from typing import Final

from .._wire.api import KEY_REFUSED
from .._wire.messages import Reply
from ..errors import (
    AlreadyExists,
    HexclaveApiError,
    HexclaveError,
    InsufficientBalance,
    NotFound,
    ReconnectRequired,
    ServerKeyRefused,
)

__all__ = ["is_refusal", "refusal"]

_KINDS: Final[tuple[tuple[type[HexclaveApiError], str], ...]] = (
    (
        NotFound,
        """
        API_KEY_NOT_FOUND CUSTOMER_DOES_NOT_EXIST DATA_VAULT_STORE_DOES_NOT_EXIST
        DATA_VAULT_STORE_HASHED_KEY_DOES_NOT_EXIST ITEM_NOT_FOUND OAUTH_CONNECTION_NOT_CONNECTED_TO_USER
        ONE_TIME_PURCHASE_NOT_FOUND PERMISSION_NOT_FOUND PRODUCT_DOES_NOT_EXIST PROJECT_NOT_FOUND
        SUBSCRIPTION_INVOICE_NOT_FOUND TEAM_MEMBERSHIP_NOT_FOUND TEAM_NOT_FOUND TEAM_PERMISSION_NOT_FOUND
        USER_ID_DOES_NOT_EXIST USER_NOT_FOUND VERIFICATION_CODE_NOT_FOUND
        """,
    ),
    (
        AlreadyExists,
        """
        CONTACT_CHANNEL_ALREADY_USED_FOR_AUTH_BY_SOMEONE_ELSE EMAIL_TEMPLATE_ALREADY_EXISTS
        OAUTH_CONNECTION_ALREADY_CONNECTED_TO_ANOTHER_USER
        OAUTH_PROVIDER_ACCOUNT_ID_ALREADY_USED_FOR_SIGN_IN PERMISSION_ID_ALREADY_EXISTS PRODUCT_ALREADY_GRANTED
        TEAM_ALREADY_EXISTS TEAM_MEMBERSHIP_ALREADY_EXISTS USER_ALREADY_CONNECTED_TO_ANOTHER_OAUTH_CONNECTION
        USER_EMAIL_ALREADY_EXISTS
        """,
    ),
    (InsufficientBalance, "ITEM_QUANTITY_INSUFFICIENT_AMOUNT"),
    (ReconnectRequired, "OAUTH_ACCESS_TOKEN_NOT_AVAILABLE OAUTH_CONNECTION_DOES_NOT_HAVE_REQUIRED_SCOPE"),
)
_BY_CODE: Final = {code: kind for kind, codes in _KINDS for code in codes.split()}
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,99}", re.ASCII)
_MAX_TEXT: Final = 1000
_PASSING: Final = (408, 429)  # time-out and rate limit say nothing about the call itself


def is_refusal(reply: Reply) -> bool:
    """Whether Hexclave itself refused a call for good.

    A proxy or a wrong address may answer 404 as well, and that must not pass for "no such user": what Hexclave has
    handled carries the id of the request (contract 3.3).
    """
    is_hexclaves = reply.known_error is not None or any(
        f"x-{brand}-request-id" in reply.headers for brand in ("hexclave", "stack")
    )
    return 400 <= reply.real_status < 500 and reply.real_status not in _PASSING and is_hexclaves


def refusal(reply: Reply) -> HexclaveError:
    """The error for a refusal."""
    code = reply.known_error
    if code in KEY_REFUSED:
        return ServerKeyRefused()
    if code is None:
        kind: type[HexclaveApiError] = NotFound if reply.real_status == 404 else HexclaveApiError
        text = reply.body.decode(errors="replace")[:_MAX_TEXT]
        return kind(None, reply.real_status, {"text": text} if text else None)
    try:
        details = reply.json().get("details")
    except ValueError:
        details = None
    # The code gets into messages: whatever else a server puts there does not.
    spelled = code if _CODE.fullmatch(code) else None
    kind = _BY_CODE.get(code, HexclaveApiError)
    return kind(spelled, reply.real_status, details if isinstance(details, dict) else None)
