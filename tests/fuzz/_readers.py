"""The strict readers of JSON, base64url, UUIDs and API keys, each against the standard library's lax one."""

from __future__ import annotations

import base64
import binascii
import json
import math
import random
import re
import uuid
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from hexclave_integrations._base import strict
from hexclave_integrations.api_key import looks_like_api_key, parse_api_key

from ._target import Target, change_bytes, change_json, finding

__all__ = ["base64url_target", "ids_target", "json_target"]

_ALPHABET: Final = re.compile(rb"[A-Za-z0-9_-]*")
JsonReader: TypeAlias = Callable[[bytes, int | None], dict[str, Any]]


def _ours(text: bytes, max_brackets: int | None) -> dict[str, Any]:
    return strict.json_object(text, max_brackets=max_brackets)


# --- JSON -------------------------------------------------------------------------------------------------


def json_target(read: JsonReader = _ours) -> Target:
    """A JSON object is what `json.loads` reads, without the few things that are refused by name."""

    def check(data: bytes) -> bool:
        accepted = False
        for max_brackets in (strict.MAX_BRACKETS, None):
            lax, forbidden = _lax(data, max_brackets)
            try:
                value = read(data, max_brackets)
            except ValueError:
                if lax is not None and not forbidden:
                    finding("a JSON object is refused without a reason")
                continue
            if forbidden:
                finding("a forbidden thing is accepted")
            if not _same(value, lax):
                finding("another value is read than json.loads reads")
            if not _same(read(json.dumps(value).encode(), None), value):
                finding("what was read does not survive a round trip")
            accepted = True
        return accepted

    words = [
        b'{"a":',
        b"[" * 600,
        b"NaN",
        b"1e400",
        b"-0",
        b"\\ud800",
        b"\\udc00",
        b"\\u0000",
        b"\xef\xbb\xbf",
        b'"a":1,',
    ]
    return Target("json", "the reader of JSON objects", check, lambda data, rng: change_json(data, rng, []), words)


def _lax(data: bytes, max_brackets: int | None) -> tuple[Any, bool]:
    """What `json.loads` reads, or None where that is no object; and whether something forbidden is in it."""
    forbidden = max_brackets is not None and sum(data.count(bracket) for bracket in b"[{") > max_brackets

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal forbidden
        forbidden |= len({name for name, _ in items}) != len(items)
        return dict(items)

    def constant(name: str) -> float:
        nonlocal forbidden
        forbidden = True
        return float(name)

    def number(text: str) -> float:
        nonlocal forbidden
        forbidden |= not math.isfinite(float(text))
        return float(text)

    try:
        text = data.decode()
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_float=number)
        # A lone surrogate is a character that no UTF-8 can hold.
        forbidden |= re.search("[\ud800-\udfff]", json.dumps(value, ensure_ascii=False)) is not None
    except (ValueError, RecursionError):
        return None, True
    return (value, forbidden) if isinstance(value, dict) else (None, True)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types: 1, 1.0 and true are three things."""
    return one == other and json.dumps(one) == json.dumps(other)


# --- base64url --------------------------------------------------------------------------------------------


def base64url_target(read: Callable[[bytes], bytes] = strict.base64url) -> Target:
    """Accepted is exactly the one spelling that the standard library writes, without its padding."""

    def check(data: bytes) -> bool:
        try:
            # Without the look at the alphabet, the standard library discards what is not of it, and warns since 3.15.
            lax = base64.urlsafe_b64decode(data + b"=" * (-len(data) % 4)) if _ALPHABET.fullmatch(data) else None
        except binascii.Error:
            lax = None
        is_canonical = lax is not None and base64.urlsafe_b64encode(lax).rstrip(b"=") == data
        try:
            raw = read(data)
        except ValueError:
            if is_canonical:
                finding("a canonical text is refused")
            return False
        if not is_canonical or raw != lax:
            finding("a text is accepted that is not canonical")
        return True

    words = [b"=", b"==", b"-", b"_", b"+", b"/", b"!", b"\n", b"\x00", b"AA", b"\xff"]
    return Target(
        "base64url", "the reader of base64url", check, lambda data, rng: change_bytes(data, rng, words), words
    )


# --- ids --------------------------------------------------------------------------------------------------

_UUID: Final = b"e0b52f4d-dece-408c-af49-d23061bb0f8d"


def ids_target(is_uuid: Callable[[str], bool] = strict.is_uuid) -> Target:
    """UUIDs in their one spelling; API keys whose check sum holds, and which are known for keys in a request."""

    def check(data: bytes) -> bool:
        text = data.decode("utf-8", "surrogateescape")
        try:
            lax = str(uuid.UUID(text))
        except ValueError:
            lax = None
        if is_uuid(text) != (lax == text.lower()):
            finding("another spelling of a UUID is accepted, or the usual one refused")
        key = parse_api_key(text)
        if key is None:
            return is_uuid(text)
        if not looks_like_api_key(text):
            finding("an API key is not known for one")
        if f"{binascii.crc32(data[:-8]):08x}" != text[-8:] or str(uuid.UUID(key.id)).replace("-", "") not in text:
            finding("an API key is accepted whose check sum or id differs")
        return True

    words = [_UUID, b"-", b"_", b"574ck4u7h", b"user", b"team", b"{", b"urn:uuid:", "é".encode(), "\u0661".encode()]
    return Target("ids", "UUIDs and API keys", check, lambda data, rng: _change_id(data, rng, words), words, 256)


def _change_id(data: bytes, rng: random.Random, words: list[bytes]) -> bytes:
    changed = change_bytes(data, rng, words)
    if rng.random() < 0.5:  # with a check sum that holds, so that what is behind it is reached
        changed = changed[:-8] + f"{binascii.crc32(changed[:-8]):08x}".encode()
    return changed
