"""What a target is, and the mutators that all of them share."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

__all__ = ["Finding", "Target", "change_bytes", "change_json", "finding", "run"]

LIMIT: Final = 0.05
"""Seconds of processor time that one input may take, reference readers included."""

INTERESTING: Final[list[Any]] = [
    *(None, True, False, 0, 1, -1, 0.5, 1e300, 2**53, 2**63, 10**30, "", "x", "\ud800", "\x00", "é", [], {}, [[]]),
    *({"type": "anonymous"}, {"type": 1}, ["x"], "main", "ES256", "none", "1767225600"),
]
"""Values that readers stumble over."""

_SPELLINGS: Final = (
    b"NaN",
    b"-Infinity",
    b"1e400",
    b'"\\ud800"',
    b'"\\u0000"',
    b"1" * 5000,
    b"[" * 600,
    b"\xff",
    b"-0",
)


class Finding(AssertionError):
    """A law is broken. The text names it and holds nothing of the input."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parser and the laws it has to keep.

    Args:
        name: on the command line and in the table.
        what: is fuzzed, for a reader of the table.
        check: whether an input is accepted; raises `Finding` for a broken law.
        mutate: makes another input of one, knowing what such inputs look like.
        words: for the fuzzer's dictionary.
        max_len: longest input, bytes.
    """

    name: str
    what: str
    check: Callable[[bytes], bool]
    mutate: Callable[[bytes, random.Random], bytes]
    words: Sequence[bytes]
    max_len: int = 4096


def finding(law: str) -> NoReturn:
    """Say which law is broken.

    Raises:
        Finding: always.
    """
    raise Finding(law)


def run(target: Target, data: bytes) -> bool:
    """Whether `data` is accepted.

    Raises:
        Finding: a law is broken, or it took too long.
        Exception: an error escaped that is no refusal of ours, which is a finding as well.
    """
    accepted, spent = _timed(target, data)
    # A garbage collection may fall into any one run: the fastest of three counts.
    if spent > LIMIT and min(_timed(target, data)[1] for _ in range(2)) > LIMIT:
        finding(f"takes more than {LIMIT * 1000:.0f} ms")
    return accepted


def _timed(target: Target, data: bytes) -> tuple[bool, float]:
    begin = time.thread_time()
    accepted = target.check(data)
    return accepted, time.thread_time() - begin


def change_bytes(data: bytes, rng: random.Random, words: Sequence[bytes]) -> bytes:
    """Flip, cut, double, move or insert somewhere."""
    if not data:
        return rng.choice(words)
    at, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    end = min(end, at + rng.choice([1, 2, 4, 16, 64]))
    flipped = bytearray(data)
    flipped[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
    other = rng.randrange(len(data) + 1)
    return rng.choice(
        [
            bytes(flipped),
            data[:at] + data[end:],
            data[:end] + data[at:],
            data[:at] + rng.choice(words) + data[at:],
            data[:at] + rng.choice(words) + data[end:],
            data[:at] + rng.randbytes(rng.randrange(1, 5)) + data[end:],
            data[:other] + data[at:end] + data[other:],
            data[:at],
        ]
    )


def change_json(text: bytes, rng: random.Random, values: Sequence[Any]) -> bytes:
    """Change a JSON text where its structure allows; as bytes where it has none.

    Args:
        values: to put somewhere, besides those that all readers stumble over.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return change_bytes(text, rng, _SPELLINGS)
    if rng.random() < 0.2:
        return _respell(text, document, rng)
    for _ in range(rng.choice([1, 1, 2])):
        document = _change_value(document, rng, [*INTERESTING, *values])
    return json.dumps(document, separators=(",", ":"), ensure_ascii=rng.random() < 0.7).encode("utf-8", "surrogatepass")


def _change_value(value: Any, rng: random.Random, values: Sequence[Any]) -> Any:
    """Set, remove, add or rename one thing somewhere in a JSON value."""
    if rng.random() < 0.1 or not isinstance(value, dict | list) or not value:
        return rng.choice(values)
    if isinstance(value, list):
        index = rng.randrange(len(value))
        new = rng.choice([[_change_value(value[index], rng, values)], [], [value[index]] * 2, [rng.choice(values)]])
        return value[:index] + new + value[index + 1 :]
    name = rng.choice(list(value))
    choice = rng.random()
    if choice < 0.15:
        return {key: item for key, item in value.items() if key != name}
    if choice < 0.3:
        return value | {str(rng.choice([*value, "new", "", "kid", "d", "nbf", "accessToken"])): rng.choice(values)}
    return value | {name: _change_value(value[name], rng, values)}


def _respell(text: bytes, document: Any, rng: random.Random) -> bytes:
    """The same document in another spelling, right or wrong."""
    compact = json.dumps(document, separators=(",", ":")).encode()
    place = rng.choice([index for index, byte in enumerate(compact) if byte in b"{[:,"] or [0]) + 1
    return rng.choice(
        [
            json.dumps(document, indent=rng.randrange(3)).encode(),
            b" \r\n\t" + text + b" ",
            b"\xef\xbb\xbf" + text,
            compact.replace(b"a", b"\\u0061"),
            compact[:place] + rng.choice(_SPELLINGS) + compact[place:],
            compact[:-1] + b"," + compact[1:],  # every name twice
            b"[" * 300 + compact + b"]" * 300,
            compact.decode().encode(rng.choice(["utf-16", "utf-32", "utf-8-sig"])),
        ]
    )
