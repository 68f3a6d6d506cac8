"""The corpus of hostile credentials, generated anew for every run: groups of cases by what is wrong with them."""

from __future__ import annotations

from typing import Final

from . import bent, headers, signatures, structure
from .cast import Case

__all__ = ["CASES", "GROUPS"]

GROUPS: Final[dict[str, tuple[Case, ...]]] = {
    "signature bits": tuple(signatures.bits()),
    "signatures": tuple(signatures.signatures()),
    "algorithms": tuple(headers.algorithms()),
    "key confusion": tuple(headers.confusions()),
    "embedded keys": tuple(headers.embedded()),
    "header extensions": tuple(headers.extensions()),
    "key ids": tuple(headers.key_ids()),
    "types of claims": tuple(bent.types()),
    "numbers in claims": tuple(bent.numbers()),
    "names in claims": tuple(bent.names()),
    "kinds of user": tuple(bent.contradictions()),
    "texts": tuple(structure.texts()),
    "documents": tuple(structure.documents()),
    "giants": tuple(structure.giants()),
    "unicode": tuple(structure.unicode()),
}
CASES: Final = tuple(case for cases in GROUPS.values() for case in cases)
