"""Whether a bearer token is plainly another issuer's, so that two of them can live side by side in one application.

Pure. Nothing in the token is verified: whoever makes one that counts as foreign is nobody, and gains nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from .._base import strict
from ..config import HexclaveConfig
from .find import MAX_TOKEN

__all__ = ["is_foreign"]

_BRANDS: Final = ("hexclave", "stack-auth")
_OWN_CLAIMS: Final = frozenset({"project_id", "branch_id", "branchId", "refresh_token_id", "refreshTokenId"})
_SHORTEST_PART: Final = 8  # of a name of ours that means it; "api" is in many
_OWN_SUFFIXES: Final = ("", "restricted", "anon")


def is_foreign(token: str, config: HexclaveConfig) -> bool:
    """Whether a token is a JWT of some other issuer, and in no part one of Hexclave's.

    It is ours, and judged as strictly as any, where its issuer or audience names one of our issuers or our project in
    whole or in part, where it has a claim that Hexclave's tokens have and others do not, where it has the audience of
    a Hexclave project and no issuer, and where it cannot be read.

    Args:
        token: the credentials of `Authorization: Bearer`.
        config: names the project and its issuers.
    """
    if len(token) > MAX_TOKEN:
        return False
    try:
        header_segment, payload_segment, signature_segment = token.encode("ascii").split(b".")
        header = strict.json_object(strict.base64url(header_segment))
        claims = strict.json_object(strict.base64url(payload_segment))
        signature = strict.base64url(signature_segment)
    except ValueError:
        return False
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm.lower() == "none" or not signature or _OWN_CLAIMS & claims.keys():
        return False
    return _names_another(claims, config)


def _names_another(claims: Mapping[str, Any], config: HexclaveConfig) -> bool:
    issuer, audience = claims.get("iss", _Absent), claims.get("aud", _Absent)
    audiences = audience if isinstance(audience, list) else [audience]
    named = [name for name in (issuer, *audiences) if name is not _Absent]
    if not all(isinstance(name, str) and name for name in named):
        return False
    own = list(_names_of_ours(config))
    if any(_share(name.lower(), ours) for name in named for ours in own):
        return False
    if any(brand in name.lower() for name in named for brand in _BRANDS):
        return False
    return issuer is not _Absent or not any(_is_a_project(name) for name in named)


def _share(name: str, ours: str) -> bool:
    return ours in name or (len(name) >= _SHORTEST_PART and name in ours)


def _names_of_ours(config: HexclaveConfig) -> Iterator[str]:
    yield config.project_id
    for base in config.issuer_bases:
        yield urlsplit(base).netloc.lower()
        yield f"{base}/api/v1/projects/{config.project_id}".lower()


def _is_a_project(audience: str) -> bool:
    project, _, suffix = audience.partition(":")
    return suffix in _OWN_SUFFIXES and (strict.is_uuid(project.lower()) or project == "internal")


class _Absent:
    """Stands for a claim that is not there."""
