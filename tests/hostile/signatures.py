"""Damaged, degenerate, foreign and re-encoded signatures (RFC 7518 section 3.4)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from .._minting import N, P, decode, encode, raw_signature
from .cast import ATTACKER, GENUINE, KEY, KEYS, KIDS, Case, claims, signed

__all__ = ["BITS", "bits", "signatures"]

BITS: Final = 512
_HEAD, _BODY, _LAST = GENUINE.split(".")
_INPUT = f"{_HEAD}.{_BODY}"
_RAW = decode(_LAST)
_R, _S = int.from_bytes(_RAW[:32]), int.from_bytes(_RAW[32:])


def _with(raw: bytes) -> str:
    return f"{_INPUT}.{encode(raw)}"


def _numbers(r: int, s: int) -> str:
    return _with(r.to_bytes(32) + s.to_bytes(32))


def bits(step: int = 1) -> Iterator[Case]:
    """Each `step`-th bit of a genuine signature turned over."""
    number = int.from_bytes(_RAW)
    for bit in range(0, BITS, step):
        yield Case(f"signature bit {bit}", _with((number ^ (1 << bit)).to_bytes(64)))


def signatures() -> Iterator[Case]:
    """Numbers that no signature has, encodings that JWS does not use, and signatures of something else."""
    degenerate = {
        "r = 0": (0, _S),
        "s = 0": (_R, 0),
        "r = s = 0": (0, 0),
        "r = s = 1": (1, 1),
        "r = n": (N, _S),
        "s = n": (_R, N),
        "r = s = n": (N, N),
        "s = n - 1": (_R, N - 1),
        "r = p": (P, _S),
        "r = n - r": (N - _R, _S),
        "r and s swapped": (_S, _R),
        "r + 1": (_R + 1, _S),
        "s - 1": (_R, _S - 1),
        "all ones": (2**256 - 1, 2**256 - 1),
    }
    for name, pair in degenerate.items():
        yield Case(f"signature {name}", _numbers(*pair))
    if _R + N < 2**256:  # for one r in 2**128: a second spelling of the same number
        yield Case("signature r + n", _numbers(_R + N, _S))

    # Whoever has a signature has its twin (r, n - s); it says the same of the same text. No forgery (JWS asks for no
    # low s), and why tokens must not be told apart by their text.
    yield Case("signature (r, n - s)", _numbers(_R, N - _S), None)

    der = encode_dss_signature(_R, _S)
    encodings = {
        "DER": der,
        "DER cut to 64": der[:64],
        "DER without its first bytes": der[-64:],
        "ASCII hexadecimal": _RAW.hex().encode(),
        "little endian": _RAW[::-1],
        "each number little endian": _RAW[:32][::-1] + _RAW[32:][::-1],
        "63 bytes": _RAW[:63],
        "65 bytes": _RAW + b"\0",
        "leading zero": b"\0" + _RAW,
        "33 bytes each": b"\0" + _RAW[:32] + b"\0" + _RAW[32:],
        "r alone": _RAW[:32],
        "twice": _RAW * 2,
        "empty": b"",
        "1 byte": b"\0",
        "64 zeros": bytes(64),
        "64 spaces": b" " * 64,
        "10,000 bytes": bytes(10_000),
    }
    for name, raw in encodings.items():
        yield Case(f"signature {name}", _with(raw))

    text = _INPUT.encode()
    foreign = {
        "by the attacker": raw_signature(ATTACKER, text),
        "by the key of restricted users": raw_signature(KEYS["restricted"], text),
        "of the payload alone": raw_signature(KEY, _BODY.encode()),
        "of the header alone": raw_signature(KEY, _HEAD.encode()),
        "of the decoded texts": raw_signature(KEY, decode(_HEAD) + b"." + decode(_BODY)),
        "of one dot more": raw_signature(KEY, text + b"."),
        "of nothing": raw_signature(KEY, b""),
        "of the hash": raw_signature(KEY, hashlib.sha256(text).digest()),
        "that is a hash": hashlib.sha512(text).digest(),
        "of the next token": decode(signed(claims(name="Eve")).split(".")[2]),
    }
    for name, raw in foreign.items():
        yield Case(f"signature {name}", _with(raw))
    yield Case(
        "signature of another kind's key under its own kid",
        signed(claims(), {"alg": "ES256", "kid": KIDS["anonymous"]}),
    )
    for number, segment in enumerate(("header", "payload")):
        parts = GENUINE.split(".")
        other = signed(claims(name="Eve"), {"alg": "ES256", "kid": KIDS["regular"], "typ": "JWT"}).split(".")
        parts[number] = other[number]
        yield Case(f"signature under another {segment}", ".".join(parts))
