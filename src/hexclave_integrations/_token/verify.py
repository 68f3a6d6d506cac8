"""Verify an access token: bytes, a public key, expectations and `now` in, a `HexclaveUser` out. Pure.

Three steps, because the key is chosen between them: `parse` reads the token and trusts nothing, the caller
finds the key for `Parsed.kid`, and `verify` checks the signature and then every claim (contract section 2).
The parser is our own: ES256 and the compact form only, so that there is no algorithm to confuse and no second
reading of the same text. A differential test holds it against PyJWT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeGuard

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from .. import _reasons as reasons
from .._base import strict
from .._base.fork import ForkAware
from ..config import HexclaveConfig
from ..errors import InvalidToken, TokenExpired, WrongProject
from ..user import HexclaveUser, Sealed, UserKind
from .find import MAX_TOKEN

__all__ = ["Parsed", "Verifier"]

_ES256: Final = ECDSA(SHA256())
_SIGNATURE_LENGTH: Final = 86  # 64 bytes, r and s of 32 each, in base64url (RFC 7518 section 3.4)
_MAX_HEADERS: Final = 64
_MAX_TIME: Final = 253_402_300_799  # the last second of the year 9999
_OPTIONAL_STRING: Final = (str, type(None))
_LOOPBACK_ISSUER: Final = re.compile(r"https?://(localhost|127\.\d+\.\d+\.\d+|\[::1\])[:/]", re.ASCII)


@dataclass(slots=True, eq=False)  # not frozen, which would make it take three times as long to make
class Parsed:
    """A token that has the right shape. Nothing in it is trusted yet, and its `repr` shows nothing of it."""

    kid: str = field(repr=False)
    claims: dict[str, Any] = field(repr=False)
    payload: bytes = field(repr=False)
    header_segment: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


class Verifier(ForkAware):
    """Judges the tokens of one project; holds the expectations that follow from the configuration.

    Args:
        config: gives project, accepted issuers and leeway.
    """

    def __init__(self, config: HexclaveConfig) -> None:
        self._project_id = config.project_id
        self._leeway = config.leeway
        self._audiences = _audiences(config.project_id)
        self._issuers: dict[str, UserKind] = {
            f"{base}/api/v1/{path}/{config.project_id}": kind
            for base in config.issuer_bases
            for path, kind in _ISSUER_PATHS.items()
        }
        # Header segments of tokens that proved genuine, so that a flood of forgeries cannot fill it.
        self._headers: dict[bytes, str] = {}
        super().__init__()

    def parse(self, token: str) -> Parsed:
        """Read a compact JWS (RFC 7515 section 7.1) and find the key it names; trusts nothing.

        Raises:
            InvalidToken: it is no ES256 token of the right shape.
            WrongProject: its audience is another Hexclave project, so its key need not be looked for.
        """
        if len(token) > MAX_TOKEN:
            raise InvalidToken(reason=reasons.TOKEN_LENGTH)
        reason = reasons.NOT_ASCII
        try:
            data = token.encode("ascii")
            segments = data.split(b".", 3)
            if len(segments) != 3 or len(segments[2]) != _SIGNATURE_LENGTH:
                raise InvalidToken(reason=reasons.SEGMENTS)
            header_segment, payload_segment, signature_segment = segments
            reason = reasons.HEADER_UNREADABLE
            kid = self._headers.get(header_segment) or _kid(strict.json_object(strict.base64url(header_segment)))
            reason = reasons.CLAIMS_UNREADABLE
            payload = strict.base64url(payload_segment)
            claims = strict.json_object(payload)
            reason = reasons.SIGNATURE_UNREADABLE
            signature = strict.base64url(signature_segment)
        except ValueError:
            raise InvalidToken(reason=reason) from None
        self._check_audience(claims.get("aud"))
        return Parsed(kid, claims, payload, header_segment, data[: -_SIGNATURE_LENGTH - 1], signature)

    def _check_audience(self, audience: object) -> None:
        if not isinstance(audience, str):
            raise InvalidToken(reason=reasons.AUDIENCE)
        if audience in self._audiences:
            return
        project, _, suffix = audience.partition(":")
        is_ours = suffix in ("", "restricted", "anon") and (strict.is_uuid(project) or project == "internal")
        if is_ours and project.lower() != self._project_id:
            raise WrongProject
        raise InvalidToken(reason=reasons.AUDIENCE)

    def verify(self, parsed: Parsed, key: EllipticCurvePublicKey, now: float) -> tuple[HexclaveUser, int]:
        """Check signature, then claims; return the user and the token's expiry in epoch seconds.

        Args:
            key: the public key that `parsed.kid` names in the project's key set.
            now: epoch seconds.

        Raises:
            InvalidToken: the signature does not match, or the claims are not what Hexclave would sign.
            TokenExpired: genuine, and over.
        """
        signature = parsed.signature
        der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        try:
            key.verify(der, parsed.signing_input, _ES256)
        except InvalidSignature:
            raise InvalidToken(reason=reasons.SIGNATURE) from None
        if parsed.header_segment not in self._headers:
            with self._lock:
                if len(self._headers) >= _MAX_HEADERS:
                    self._headers.clear()
                self._headers[parsed.header_segment] = parsed.kid
        return self.read_claims(parsed, now)

    def over_from(self, expires: int) -> float:
        """When a token that ends at `expires` is over, clock skew granted; both in epoch seconds."""
        return expires + self._leeway

    def read_claims(self, parsed: Parsed, now: float) -> tuple[HexclaveUser, int]:
        """As `verify`, without the signature, which must have been checked before anybody is let in."""
        claims = parsed.claims
        expires, issued = claims.get("exp"), claims.get("iat")
        not_before = claims.get("nbf", 0)
        if not (_is_time(expires) and _is_time(issued) and _is_time(not_before)):
            raise InvalidToken(reason=reasons.TIMES)
        if max(issued, not_before) > now + self._leeway:
            raise InvalidToken(reason=reasons.NOT_YET_VALID)
        kind = self._kind(claims)
        session = _one_of(claims, "refresh_token_id", "refreshTokenId")
        branch = _one_of(claims, "branch_id", "branchId")
        if not strict.is_uuid(claims.get("sub")):
            raise InvalidToken(reason=reasons.SUBJECT)
        if not strict.is_uuid(session):
            raise InvalidToken(reason=reasons.SESSION_ID)
        if claims.get("project_id") != self._project_id:
            raise InvalidToken(reason=reasons.PROJECT_CLAIM)
        if branch != "main":
            raise InvalidToken(reason=reasons.BRANCH)
        if claims.get("role") != "authenticated":
            raise InvalidToken(reason=reasons.ROLE)
        if not isinstance(claims.get("jti", ""), str):
            raise InvalidToken(reason=reasons.TOKEN_ID)
        team, signed_up_at = claims.get("selected_team_id"), claims.get("signed_up_at")
        name, email = claims.get("name"), claims.get("email")
        verified, totp = claims.get("email_verified", False), claims.get("requires_totp_mfa", False)
        if (
            not isinstance(name, _OPTIONAL_STRING)
            or not isinstance(email, _OPTIONAL_STRING)
            or not (team is None or strict.is_uuid(team))
            or not (signed_up_at is None or _is_time(signed_up_at))
            or type(verified) is not bool
            or type(totp) is not bool
        ):
            raise InvalidToken(reason=reasons.PROFILE)
        if now >= self.over_from(expires):
            raise TokenExpired
        reason = claims.get("restricted_reason")
        return (
            HexclaveUser(
                id=claims["sub"],
                kind=kind,
                project_id=self._project_id,
                display_name=name,
                primary_email=email,
                primary_email_verified=verified,
                selected_team_id=team,
                restricted_reason=reason["type"] if reason else "anonymous" if kind == "anonymous" else None,
                requires_totp_mfa=totp,
                signed_up_at=None if signed_up_at is None else datetime.fromtimestamp(signed_up_at, UTC),
                session_id=session,
                expires_at=datetime.fromtimestamp(expires, UTC),
                sealed=Sealed(parsed.payload),
            ),
            expires,
        )

    def _kind(self, claims: Mapping[str, Any]) -> UserKind:
        """The one kind on which audience, issuer, flags and reason agree (contract section 2).

        Raises:
            InvalidToken: they contradict each other, or the issuer is not accepted.
        """
        issuer = claims.get("iss")
        kind = self._audiences[claims["aud"]]
        if not isinstance(issuer, str) or self._issuers.get(issuer) != kind:
            raise InvalidToken(reason=self._why_not(issuer))
        anonymous = claims.get("is_anonymous")
        # Old tokens lack the newer two (contract section 2, "Old tokens").
        restricted = claims.get("is_restricted", anonymous)
        reason = claims.get("restricted_reason", {"type": "anonymous"} if anonymous is True else None)
        if anonymous is not (kind == "anonymous") or restricted is not (kind != "regular"):
            raise InvalidToken(reason=reasons.FLAGS)
        if reason is None:
            if restricted:
                raise InvalidToken(reason=reasons.RESTRICTED_REASON)
        elif not restricted or not isinstance(reason, dict) or not isinstance(reason.get("type"), str):
            raise InvalidToken(reason=reasons.RESTRICTED_REASON)
        return kind

    def _why_not(self, issuer: object) -> str:
        """Why an issuer is not accepted."""
        if not isinstance(issuer, str):
            return reasons.ISSUER
        if issuer in self._issuers:
            return reasons.ISSUER_KIND
        return reasons.ISSUER_LOOPBACK if _LOOPBACK_ISSUER.match(issuer) else reasons.ISSUER


_ISSUER_PATHS: dict[str, UserKind] = {
    "projects": "regular",
    "projects-restricted-users": "restricted",
    "projects-anonymous-users": "anonymous",
}


def _audiences(project_id: str) -> dict[str, UserKind]:
    return {project_id: "regular", f"{project_id}:restricted": "restricted", f"{project_id}:anon": "anonymous"}


def _kid(header: Mapping[str, Any]) -> str:
    """The key id of an acceptable header. `jwk`, `jku`, `x5c` and `x5u` are never read: keys come from the key set.

    Raises:
        InvalidToken: not ES256, no key id, or a header that changes how the token must be read (`crit`, `b64`).
    """
    kid = header.get("kid")
    if header.get("alg") != "ES256":
        raise InvalidToken(reason=reasons.ALGORITHM)
    if "crit" in header or "b64" in header:
        raise InvalidToken(reason=reasons.HEADER_EXTENSION)
    if not isinstance(kid, str) or not 0 < len(kid) <= 256:
        raise InvalidToken(reason=reasons.NO_KEY_ID)
    return kid


def _is_time(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= _MAX_TIME


def _one_of(claims: Mapping[str, Any], name: str, legacy: str) -> Any:
    """A claim under its current or its legacy name.

    Raises:
        InvalidToken: both are there and differ.
    """
    if name not in claims:
        return claims.get(legacy)
    if legacy in claims and claims[legacy] != claims[name]:
        raise InvalidToken(reason=reasons.LEGACY_NAME)
    return claims[name]
