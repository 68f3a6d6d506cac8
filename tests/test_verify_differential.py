"""The verifier against PyJWT on thousands of mutated tokens: ours may refuse more, it never accepts more."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import jwt
import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from hexclave_integrations import HexclaveConfig
from hexclave_integrations._token.verify import Verifier
from hexclave_integrations.errors import RequestRefused

from ._minting import (
    AUDIENCES,
    EXPIRES,
    FLAGS,
    ISSUED,
    KID,
    KINDS,
    NOW,
    OTHER_PROJECT,
    PROJECT,
    SESSION,
    TEAM,
    USER,
    N,
    claims_of,
    decode,
    encode,
    issuer,
    mint,
    mint_segments,
    new_key,
    raw_signature,
)

KEY = new_key()
ATTACKER = new_key()
PUBLIC = KEY.public_key()
CONFIG = HexclaveConfig(project_id=PROJECT)
ISSUERS = [issuer(kind, host) for kind in KINDS for host in CONFIG.issuer_bases]
HEADER: Final = {"alg": "ES256", "kid": KID}
FIXED_CLOCK = time_machine.travel(datetime.fromtimestamp(NOW, UTC), tick=False)

BASE64URL: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ODD: Final = [*"=.+/ \t\n\r\x00%,\"'", "é", "\ud800", "\ufeff"]
VALUES: Final[list[Any]] = [
    *(None, True, False, 0, 1, -1, 1.5, "", "x", [], {}, "main", "admin", "authenticated"),
    *(USER, TEAM, SESSION, PROJECT, OTHER_PROJECT, *AUDIENCES.values(), *ISSUERS, list(AUDIENCES.values())),
    *(ISSUED, EXPIRES, int(NOW), float(EXPIRES), str(EXPIRES), 2**53, 2**63, 10**20, float("inf"), float("nan")),
    *(int(NOW) + delta for delta in range(-12, 13)),
    *({"type": kind} for kind in ("anonymous", "email_not_verified", "restricted_by_administrator")),
]
CLAIMS: Final = [*claims_of(), "nbf", "jti", "refreshTokenId", "branchId", "new"]


def ours(token: str, verifier: Verifier) -> dict[str, Any] | None:
    """The claims that our verifier vouches for, or None; any error that is not ours escapes."""
    try:
        user, _ = verifier.verify(verifier.parse(token), PUBLIC, NOW)
    except RequestRefused:
        return None
    return dict(user.claims)


def theirs(token: str) -> dict[str, Any] | None:
    """The claims that PyJWT vouches for, or None; any exception is a refusal."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            PUBLIC,
            algorithms=["ES256"],
            audience=list(AUDIENCES.values()),
            issuer=ISSUERS,
            leeway=CONFIG.leeway,
            options={"require": ["exp", "iat", "sub", "aud", "iss"]},
        )
    except Exception:  # noqa: BLE001
        return None
    return claims


def compact(value: Any) -> bytes:
    """JSON text; NaN and lone surrogates as json writes them."""
    return json.dumps(value, separators=(",", ":")).encode()


Mutator: TypeAlias = Callable[[random.Random], str]


# --- mutators: from a random source to a token --------------------------------------------------------------


def genuine(rng: random.Random) -> str:
    """A token as Hexclave signs it."""
    kind = rng.choice(KINDS)
    return mint(KEY, claims_of(kind, iss=issuer(kind, rng.choice(CONFIG.issuer_bases))))


def change_character(rng: random.Random) -> str:
    """Replace, insert, delete or double a character anywhere."""
    token = genuine(rng)
    index = rng.randrange(len(token))
    new = rng.choice(BASE64URL) if rng.random() < 0.6 else rng.choice(ODD)
    end = index + rng.choice([0, 1, 1, 1])
    return token[:index] + rng.choice([new, new, "", token[index] * 2]) + token[end:]


def flip_bit(rng: random.Random) -> str:
    """Flip one bit of the bytes of one segment."""
    segments = genuine(rng).split(".")
    place = rng.randrange(3)
    raw = bytearray(decode(segments[place]))
    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    segments[place] = encode(bytes(raw))
    return ".".join(segments)


def rearrange(rng: random.Random) -> str:
    """Swap, drop, repeat or empty segments."""
    segments = genuine(rng).split(".")
    choice = rng.randrange(5)
    if choice == 0:
        rng.shuffle(segments)
    elif choice == 1:
        segments[rng.randrange(3)] = ""
    elif choice == 2:
        segments.insert(rng.randrange(4), rng.choice([*segments, ""]))
    elif choice == 3:
        del segments[rng.randrange(3)]
    else:
        segments[rng.randrange(3)] = genuine(rng).split(".")[rng.randrange(3)]
    return ".".join(segments)


def pad(rng: random.Random) -> str:
    """Put padding or whitespace around or into a segment."""
    segments = genuine(rng).split(".")
    place = rng.randrange(3)
    extra = rng.choice(["=", "==", "===", " ", "\n", "\t", "\r\n", "\x00", "\x0b"])
    at = rng.choice([0, len(segments[place]), rng.randrange(len(segments[place]))])
    segments[place] = segments[place][:at] + extra + segments[place][at:]
    return ".".join(segments)


def pad_and_sign(rng: random.Random) -> str:
    """Sign segments that are padded, or have stray bits at their end."""
    texts = [compact(HEADER | {"p": "p" * rng.randrange(3)}), compact(claims_of(name="n" * rng.randrange(3)))]
    segments = [encode(text) for text in texts]
    place = rng.randrange(2)
    if rng.random() < 0.5:
        segments[place] += "=" * (-len(segments[place]) % 4 or rng.randrange(3))
    else:
        last = BASE64URL.index(segments[place][-1])
        segments[place] = segments[place][:-1] + BASE64URL[last ^ rng.randrange(4)]
    return mint_segments(KEY, *segments)


def change_claim(rng: random.Random) -> str:
    """Set, remove or rename a claim, and sign, or keep the old signature, or have the attacker sign."""
    kind = rng.choice(KINDS)
    claims = claims_of(kind)
    for _ in range(rng.choice([1, 1, 1, 2])):
        name, choice = rng.choice(CLAIMS), rng.random()
        if choice < 0.15:
            claims.pop(name, None)
        elif choice < 0.25:
            claims.update(rng.choice(list(FLAGS.values())))
        else:
            claims[name] = rng.choice(VALUES)
    choice = rng.random()
    if choice < 0.8:
        return mint(KEY, claims)
    if choice < 0.9:
        return mint(ATTACKER, claims)
    return ".".join([mint(KEY, claims).rpartition(".")[0], genuine(rng).rpartition(".")[2]])


def change_time(rng: random.Random) -> str:
    """Move the times to and over their edges."""
    edges = [int(NOW) + rng.randrange(-15, 16) for _ in range(3)]
    claims = claims_of(rng.choice(KINDS), iat=rng.choice([ISSUED, edges[0]]), exp=rng.choice([EXPIRES, edges[1]]))
    return mint(KEY, claims if rng.random() < 0.5 else claims | {"nbf": edges[2]})


def change_text(rng: random.Random) -> str:
    """Spell the JSON of header or payload in another way, right or wrong, and sign it."""
    texts = [compact(HEADER), compact(claims_of(rng.choice(KINDS)))]
    place = rng.randrange(2)
    text = texts[place]
    body, insert = text[:-1], rng.choice([',"sub":"x"', ',"alg":"none"', ',"a":NaN', ',"a":1e400', ',"a":"\\ud800"'])
    spellings: list[Callable[[], bytes]] = [
        lambda: json.dumps(json.loads(text), indent=rng.randrange(4)).encode(),
        lambda: b" \r\n\t" + text + b" ",
        lambda: b"\xef\xbb\xbf" + text,
        lambda: text.decode().encode(rng.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])),
        lambda: body + insert.encode() + b"}",
        lambda: body + b',"x":' + b"[" * 300 + b"]" * 300 + b"}",
        lambda: body + b',"x":"' + rng.randbytes(3) + b'"}',
        lambda: text.replace(b'"', b"'"),
        lambda: text + rng.choice([b"x", b"\x00", b"{}", b","]),
        lambda: text[: rng.randrange(len(text))],
        lambda: b"[" + text + b"]",
        lambda: text.replace(b"a", b"\\u0061"),
    ]
    texts[place] = rng.choice(spellings)()
    return mint(KEY, texts[1], texts[0])


def change_header(rng: random.Random) -> str:
    """Set or remove header members, and sign."""
    header: dict[str, Any] = dict(HEADER)
    name = rng.choice(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5u", "zip", "cty"])
    header[name] = rng.choice(
        ["ES256", "none", "HS256", "ES384", "RS256", "JWT", "", None, 1, True, False, [], ["b64"], ["exp"], {}]
    )
    if rng.random() < 0.2:
        del header[rng.choice(list(header))]
    return mint(KEY, claims_of(), header)


def change_signature(rng: random.Random) -> str:
    """Spell the signature in another way, right or wrong."""
    signed = genuine(rng).rpartition(".")[0]
    raw = raw_signature(KEY, signed.encode())
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    numbers = [r, s, 0, 1, N, N - 1, N - r, N - s, (1 << 256) - 1]
    spellings: list[Callable[[], bytes]] = [
        lambda: r.to_bytes(32) + (N - s).to_bytes(32),
        lambda: rng.choice(numbers).to_bytes(32) + rng.choice(numbers).to_bytes(32),
        lambda: encode_dss_signature(r, s),
        lambda: r.to_bytes(33) + s.to_bytes(33),
        lambda: raw[: rng.randrange(65)],
        lambda: raw + rng.randbytes(rng.randrange(1, 4)),
        lambda: raw_signature(ATTACKER, signed.encode()),
        lambda: rng.randbytes(64),
        lambda: raw[::-1],
    ]
    new = rng.choice(spellings)()
    return f"{signed}.{encode(new)}"


MUTATORS: list[Mutator] = [
    genuine,
    change_character,
    flip_bit,
    rearrange,
    pad,
    pad_and_sign,
    change_claim,
    change_claim,
    change_claim,
    change_time,
    change_text,
    change_header,
    change_signature,
]


def verdicts(mutate: Mutator, seed: int, count: int) -> Iterator[str]:
    """Hold both verifiers against mutated tokens; say who accepted each.

    One verifier sees them all, so that what it remembers of genuine headers takes part.
    """
    rng, verifier = random.Random(seed), Verifier(CONFIG)
    ours(genuine(rng), verifier)
    for _ in range(count):
        token = mutate(rng)
        our, their = ours(token, verifier), theirs(token)
        assert our is None or their is not None, f"only we accept {token!r}"
        assert our is None or our == their, f"we read other claims in {token!r}"
        yield "both" if our is not None else "neither" if their is None else "PyJWT only"


@pytest.mark.parametrize(
    "mutate", [pytest.param(item, id=getattr(item, "__name__", None)) for item in dict.fromkeys(MUTATORS)]
)
def test_what_we_accept_pyjwt_accepts_with_the_same_claims(mutate: Mutator) -> None:
    """Whatever is done to a token, we never accept what PyJWT refuses, nor read other claims."""
    with FIXED_CLOCK:
        seen = Counter(verdicts(mutate, 2026, 500 * MUTATORS.count(mutate)))

    assert 500 * MUTATORS.count(mutate) == seen.total()
    assert ({"both"} if mutate is genuine else {"neither"}) <= seen.keys()


def test_the_comparison_sees_acceptances_and_refusals_of_both() -> None:
    """A comparison that only ever sees refusals would prove nothing."""
    with FIXED_CLOCK:
        seen = Counter(verdict for mutate in MUTATORS for verdict in verdicts(mutate, 11, 60))

    assert seen["both"] > 100
    assert seen["neither"] > 300
    assert seen["PyJWT only"] > 30


@settings(max_examples=300, deadline=None, database=None)
@given(
    st.text(max_size=60)
    | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.([A-Za-z0-9_-]{86})?", fullmatch=True)
)
def test_random_text_is_refused_by_both(token: str) -> None:
    """Text that nobody signed is nobody's token, and only our own refusals leave the verifier."""
    with FIXED_CLOCK:
        assert (ours(token, Verifier(CONFIG)), theirs(token)) == (None, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None, database=None)
@given(
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(CLAIMS) | st.text(max_size=5), st.sampled_from(VALUES) | json_values, max_size=3),
)
def test_signed_claims_of_any_kind_meet_the_same_or_a_stricter_answer(kind: str, changes: dict[str, Any]) -> None:
    """Whatever the key signs, ours is the stricter reader."""
    token = mint(KEY, compact(claims_of(kind) | changes))

    with FIXED_CLOCK:
        our = ours(token, Verifier(CONFIG))
        assert our is None or our == theirs(token)
