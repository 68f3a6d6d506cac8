"""Strict readers for hostile text: JSON without duplicates or surprises, base64 and UUIDs without slack."""

from __future__ import annotations

import binascii
import json
import math
import re
from typing import Any, Final

__all__ = ["base64url", "is_uuid", "json_object"]

# No genuine token or envelope comes near this many brackets; it bounds nesting before anything recurses.
MAX_BRACKETS: Final = 512
# From this length on, characters, counting names is cheaper than having them handed over in pairs.
_LONG: Final = 2048

_UUID = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}").fullmatch
# base64url to base64; the letters that only base64 has become letters that neither has.
_FROM_URL_ALPHABET = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING = (b"", b"!", b"==", b"=")
# The last character of an incomplete group carries 4 or 2 bits too many, which must be zero: one spelling a value.
_ENDINGS = (frozenset(b""), frozenset(b""), frozenset(b"AQgw"), frozenset(b"AEIMQUYcgkosw048"))


def is_uuid(value: object) -> bool:
    """Whether `value` is a UUID in its usual spelling."""
    return isinstance(value, str) and _UUID(value) is not None


def base64url(segment: bytes) -> bytes:
    """Decode base64url without padding (RFC 7515 section 2).

    Raises:
        ValueError: a foreign character, padding, an impossible length, or stray bits at the end.
    """
    rest = len(segment) & 3
    if rest and segment[-1] not in _ENDINGS[rest]:
        raise ValueError("not canonical")
    return binascii.a2b_base64(segment.translate(_FROM_URL_ALPHABET) + _PADDING[rest], strict_mode=True)


def _pairs_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError("not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # 1e400
        raise ValueError("too large")
    return number


def _with_counted_names(document: str) -> Any:
    """What a text says, where counting shows that no object has a name twice; else None: it has to be read in pairs.

    After each name in the text comes a colon, and before that a quotation mark or a blank. So there are at most as many
    names as such colons, and of a name that comes twice in an object one is lost: with as many left as there are such
    colons, none was.

    Raises:
        ValueError: it is no JSON.
    """
    names = 0

    def count(found: dict[str, Any]) -> dict[str, Any]:
        nonlocal names
        names += len(found)
        return found

    decoder = json.JSONDecoder(object_hook=count, parse_constant=_no_constant, parse_float=_finite)
    value = decoder.decode(document)
    # All colons first, which are counted much faster: most texts have none anywhere else.
    is_sure = names == document.count(":") or names == sum(document.count(f"{before}:") for before in '" \t\r\n')
    return value if is_sure else None


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs_once, parse_constant=_no_constant, parse_float=_finite)
# The scanner itself: `decode` adds three calls that only skip blanks, which compact JSON has none of.
_scan = _DECODER.scan_once  # type: ignore[attr-defined]  # not in the stubs


def json_object(text: bytes, *, max_brackets: int | None = MAX_BRACKETS) -> dict[str, Any]:
    """Parse a JSON object (RFC 8259) in UTF-8: no duplicate keys, NaN, Infinity, deep nesting or lone surrogates.

    Args:
        max_brackets: how many brackets the text may have; None for long lists from a server we trust.

    Raises:
        ValueError: the text is anything else.
    """
    if max_brackets is not None and text.count(b"[") + text.count(b"{") > max_brackets:
        raise ValueError("too deep")
    try:
        document = text.decode()
        value = _with_counted_names(document) if len(document) >= _LONG else None
        if value is None:
            try:
                value, end = _scan(document, 0)
            except StopIteration:
                end = -1
            if end != len(document):
                value = _DECODER.decode(document)
        if "\\ud" in document or "\\uD" in document:  # an escape that may be half of a character
            json.dumps(value, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    except RecursionError:  # the caller's own stack may already be deep
        raise ValueError("too deep") from None
    if type(value) is not dict:
        raise ValueError("not an object")
    return value
