"""The checks that an access token goes through, in their order, each with the reasons it refuses for.

The verifier decides and names one reason; where that stands in this list, every check before it has passed. That is
how `hexclave explain` can show each check and never disagree with the verifier. A test holds the order against the
verifier: a token that fails two checks is refused for the first one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .. import _reasons as reasons

__all__ = ["CHECKS", "Check"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: what has to be true.
        reasons: what a token is refused for where it is not.
        needs_keys: whether it cannot be made without the project's key set.
    """

    name: str
    reasons: frozenset[str]
    needs_keys: bool = False


def _check(name: str, *why: str, needs_keys: bool = False) -> Check:
    return Check(name, frozenset(why), needs_keys)


CHECKS: Final = (
    _check(
        "the credentials can be read, and hold one token",
        reasons.HEADER_TOO_LONG,
        reasons.SEVERAL_CREDENTIALS,
        reasons.ENVELOPE_BASE64,
        reasons.ENVELOPE_UNREADABLE,
        reasons.ENVELOPE_TYPES,
    ),
    _check("the token has the length of one", reasons.TOKEN_LENGTH),
    _check("all its characters are ASCII", reasons.NOT_ASCII),
    _check("it has header, payload and a signature of 64 bytes", reasons.SEGMENTS),
    _check("the header is base64url of a JSON object", reasons.HEADER_UNREADABLE),
    _check("alg is ES256", reasons.ALGORITHM),
    _check("the header has no crit and no b64", reasons.HEADER_EXTENSION),
    _check("the header names a key (kid)", reasons.NO_KEY_ID),
    _check("the payload is base64url of a JSON object", reasons.CLAIMS_UNREADABLE),
    _check("the signature is base64url", reasons.SIGNATURE_UNREADABLE),
    _check("aud is this project", reasons.AUDIENCE, reasons.OTHER_PROJECT),
    _check(
        "the project's key set can be had",
        reasons.NO_ANSWER,
        reasons.TIMED_OUT,
        reasons.UNUSABLE_TRANSFER,
        reasons.KEYS_PROJECT,
        reasons.KEYS_STATUS,
        reasons.KEYS_UNUSABLE,
        reasons.KEYS_NOT_FETCHED,
        reasons.GIVEN_UP,
        needs_keys=True,
    ),
    _check("kid is in the key set", reasons.UNKNOWN_KEY, needs_keys=True),
    _check("the signature is right", reasons.SIGNATURE, needs_keys=True),
    _check("exp, iat and nbf are times", reasons.TIMES),
    _check("iat and nbf are not in the future", reasons.NOT_YET_VALID),
    _check("iss is accepted, and fits aud", reasons.ISSUER, reasons.ISSUER_LOOPBACK, reasons.ISSUER_KIND),
    _check("is_anonymous and is_restricted fit aud", reasons.FLAGS),
    _check("restricted_reason fits is_restricted", reasons.RESTRICTED_REASON),
    _check("claims with two names agree", reasons.LEGACY_NAME),
    _check("sub is a user id", reasons.SUBJECT),
    _check("refresh_token_id is a session id", reasons.SESSION_ID),
    _check("project_id is this project", reasons.PROJECT_CLAIM),
    _check("branch_id is main", reasons.BRANCH),
    _check("role is authenticated", reasons.ROLE),
    _check("jti, if there is one, is a text", reasons.TOKEN_ID),
    _check("the claims about the user have their types", reasons.PROFILE),
    _check("exp is not over", reasons.EXPIRED),
    _check(
        "the key is published for this kind of user",
        reasons.KEY_OF_OTHER_USERS,
        reasons.KINDS_UNKNOWN,
        needs_keys=True,
    ),
)
"""Every check of an access token, first to last."""
