"""JOSE headers that ask to be believed: algorithms, confused and embedded keys, critical extensions, key ids."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from .._minting import ABSENT, PROJECT, encode, jwk
from .cast import ATTACKER, JWKS, KEY, KEYS, KIDS, VICTIM, Case, claims, signed

__all__ = ["JKU", "algorithms", "confusions", "embedded", "extensions", "key_ids"]

JKU: Final = "https://keys.attacker.invalid/jwks.json"
_KID = KIDS["regular"]
_PUBLIC = KEY.public_key()

# RFC 7518 sections 3.1, 4.1 and 5.1, RFC 8037, RFC 8812, RFC 9864, and what other libraries call theirs.
_ALGORITHMS = [
    "none",
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "ES384",
    "ES512",
    "PS256",
    "PS384",
    "PS512",
    "RSA1_5",
    "RSA-OAEP",
    "RSA-OAEP-256",
    "A128KW",
    "A192KW",
    "A256KW",
    "dir",
    "ECDH-ES",
    "ECDH-ES+A128KW",
    "ECDH-ES+A192KW",
    "ECDH-ES+A256KW",
    "A128GCMKW",
    "A192GCMKW",
    "A256GCMKW",
    "PBES2-HS256+A128KW",
    "PBES2-HS384+A192KW",
    "PBES2-HS512+A256KW",
    "A128CBC-HS256",
    "A192CBC-HS384",
    "A256CBC-HS512",
    "A128GCM",
    "A192GCM",
    "A256GCM",
    "EdDSA",
    "Ed25519",
    "Ed448",
    "ES256K",
    "ESP256",
    "ESB256",
    "ML-DSA-44",
    "HSS-LMS",
    "RS1",
    "HS1",
    "HS224",
    "ES224",
    "SHA256",
    "sha256",
    "ECDSA",
    "SHA256withECDSA",
    "id-ecPublicKey",
    "P-256",
    "secp256r1",
    "prime256v1",
]
_SPELLINGS: tuple[Any, ...] = (
    "None",
    "NONE",
    "nOnE",
    "noNe",
    "none ",
    " none",
    "none\0",
    "none\n",
    "nonE\t",
    "n\u043ene",
    "null",
    "undefined",
    "",
    " ",
    "es256",
    "Es256",
    "eS256",
    "ES256 ",
    " ES256",
    "ES256\n",
    "ES256\0",
    "ES256\0none",
    "ES256,none",
    "ES 256",
    "E\u0405256",
    "\uff25\uff33256",
    "ES256" * 500,
    None,
    0,
    1,
    256,
    -1,
    1.5,
    10**300,
    True,
    False,
    [],
    ["ES256"],
    ["none", "ES256"],
    {},
    {"ES256": True},
    {"alg": "ES256"},
)


def _header(**changes: Any) -> dict[str, Any]:
    fields = {"alg": "ES256", "kid": _KID} | changes
    return {name: value for name, value in fields.items() if value is not ABSENT}


def algorithms() -> Iterator[Case]:
    """Every algorithm but ES256, under a signature that would be genuine, under none, and under one of its own."""
    for name in (*_ALGORITHMS, *_SPELLINGS, ABSENT):
        shown = "absent" if name is ABSENT else ascii(name)[:40]
        yield Case(f"alg {shown}, genuine signature", signed(claims(), _header(alg=name)))
        if name is ABSENT or (isinstance(name, str) and name.strip("\0\n\t ").lower() in ("none", "", "null")):
            yield Case(f"alg {shown}, empty signature", signed(claims(sub=VICTIM), _header(alg=name), signature=b""))
            yield Case(f"alg {shown}, no kid", signed(claims(sub=VICTIM), _header(alg=name, kid=ABSENT), signature=b""))
            yield Case(f"alg {shown}, 64 zeros", signed(claims(sub=VICTIM), _header(alg=name), signature=bytes(64)))
    yield Case("alg twice, none first", signed(claims(), b'{"alg":"none","alg":"ES256","kid":"%s"}' % _KID.encode()))
    yield Case("alg twice, none last", signed(claims(), b'{"alg":"ES256","kid":"%s","alg":"none"}' % _KID.encode()))
    yield Case("ALG beside alg", signed(claims(), _header(alg=ABSENT, ALG="ES256")))

    rsa_key = rsa.generate_private_key(65537, 1024)  # the attacker does not care
    p384, k256, ed = (
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
    )
    signers: dict[str, Any] = {
        "RS256": lambda text: rsa_key.sign(text, PKCS1v15(), SHA256()),
        "PS256": lambda text: rsa_key.sign(text, PSS(MGF1(SHA256()), 32), SHA256()),
        "ES384": lambda text: _raw(p384.sign(text, ec.ECDSA(SHA384())), 48),
        "ES256K": lambda text: _raw(k256.sign(text, ec.ECDSA(SHA256())), 32),
        "EdDSA": ed.sign,
    }
    for name, sign in signers.items():
        for said in (name, "ES256"):
            unsigned = signed(claims(sub=VICTIM), _header(alg=said), signature=b"").encode()[:-1]
            yield Case(f"signed with {name}, alg {said}", f"{unsigned.decode()}.{encode(sign(unsigned))}")


def _raw(der: bytes, size: int) -> bytes:
    r, s = decode_dss_signature(der)
    return r.to_bytes(size) + s.to_bytes(size)


def confusions() -> Iterator[Case]:
    """MACs whose secret is public: every form of the public key, and what is printed everywhere."""
    numbers = _PUBLIC.public_numbers()
    x, y = numbers.x.to_bytes(32), numbers.y.to_bytes(32)
    pem = _PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    entry = jwk(_PUBLIC, _KID)
    secrets = {
        "PEM": pem,
        "PEM without its last line end": pem.rstrip(b"\n"),
        "PEM with CRLF": pem.replace(b"\n", b"\r\n"),
        "PEM without armour": b"".join(pem.splitlines()[1:-1]),
        "DER": _PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "compressed point": _PUBLIC.public_bytes(Encoding.X962, PublicFormat.CompressedPoint),
        "uncompressed point": b"\4" + x + y,
        "x||y": x + y,
        "x": x,
        "base64url of x": entry["x"].encode(),
        "JWK": json.dumps(entry).encode(),
        "compact JWK": json.dumps(entry, separators=(",", ":")).encode(),
        "JWK of RFC 7638": json.dumps(
            {name: entry[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":")
        ).encode(),
        "key set": JWKS,
        "kid": _KID.encode(),
        "project id": PROJECT.encode(),
        "nothing": b"",
        "secret": b"secret",
    }
    for alg, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        for name, secret in secrets.items():
            # A MAC of HS512 has the length of an ES256 signature.
            for said in (alg, "ES256") if alg == "HS512" else (alg,):
                unsigned = signed(claims(sub=VICTIM), _header(alg=said), signature=b"").encode()[:-1]
                mac = hmac.digest(secret, unsigned, digest)
                yield Case(f"{alg} keyed with {name}, alg {said}", f"{unsigned.decode()}.{encode(mac)}")


def _certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.hexclave.com")])
    start = datetime.now(UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, ATTACKER.public_key(), 1, start, start + timedelta(days=9))
    return builder.sign(ATTACKER, SHA256()).public_bytes(Encoding.DER)


def embedded() -> Iterator[Case]:
    """Tokens that bring their own key, or say where to fetch it; keys come from the project's key set alone."""
    certificate = _certificate()
    own = jwk(ATTACKER.public_key(), "attacker")
    canonical = json.dumps({name: own[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":")).encode()
    thumbprint = encode(hashlib.sha256(canonical).digest())
    fields: dict[str, Any] = {
        "jwk": own,
        "jwk under the project's kid": jwk(ATTACKER.public_key(), _KID),
        "jwk private": own | {"d": encode(ATTACKER.private_numbers().private_value.to_bytes(32))},
        "jwk symmetric": {"kty": "oct", "k": encode(b"secret"), "kid": _KID},
        "jwk text": json.dumps(own),
        "jwk key set": {"keys": [own]},
        "jku": JKU,
        "jku of a file": "file:///dev/zero",
        "jku beside the project's": f"https://api.hexclave.com@attacker.invalid/{PROJECT}/.well-known/jwks.json",
        "x5u": "https://keys.attacker.invalid/chain.pem",
        "x5c": [base64.b64encode(certificate).decode()],
        "x5c empty": [],
        "x5t": encode(hashlib.sha1(certificate).digest()),
        "x5t#S256": encode(hashlib.sha256(certificate).digest()),
    }
    for name, value in fields.items():
        field = name.split()[0]
        for kid in (_KID, "attacker", thumbprint, ABSENT):
            shown = {_KID: "the project's", "attacker": "its own", thumbprint: "a thumbprint"}.get(kid, "no")  # type: ignore[arg-type]  # the mark for a missing one is in no dictionary
            yield Case(
                f"{name}, {shown} kid", signed(claims(sub=VICTIM), _header(kid=kid, **{field: value}), key=ATTACKER)
            )
        # Hexclave's own signature is what counts; the field is never read (RFC 7515 section 4).
        yield Case(f"{name} in a genuine token", signed(claims(), _header(**{field: value})), None)


def extensions() -> Iterator[Case]:
    """Headers that change how the rest must be read (RFC 7515 section 4.1.11, RFC 7797)."""
    critical: dict[str, Any] = {
        "[]": [],
        "b64": ["b64"],
        "exp": ["exp"],
        "alg": ["alg"],
        "unknown": ["https://example.com/ext"],
        "null": None,
        "text": "b64",
        "true": True,
        "number": 0,
        "object": {},
        "nested": [["b64"]],
        "twice": ["b64", "b64"],
    }
    for name, value in critical.items():
        yield Case(f"crit {name}", signed(claims(), _header(crit=value)))
    for value in (True, False, None, "false", 0):
        yield Case(f"b64 {value!r}", signed(claims(), _header(b64=value)))
        yield Case(f"b64 {value!r} and crit", signed(claims(), _header(b64=value, crit=["b64"])))
    packed = zlib.compressobj(wbits=-15)
    deflated = packed.compress(json.dumps(claims()).encode()) + packed.flush()
    bomb = zlib.compress(bytes(8_000_000), 9)
    yield Case("zip DEF, deflated payload", signed(deflated, _header(zip="DEF")))
    yield Case("zip DEF, zip bomb", signed(bomb, _header(zip="DEF")))
    yield Case("zip DEF, plain payload", signed(claims(), _header(zip="DEF")), None)  # a field of JWE: nothing to JWS
    yield Case("cty JWT, a token in a token", signed(signed(claims()).encode(), _header(cty="JWT")))
    yield Case(
        "typ of another use", signed(claims(), _header(typ="at+jwt")), None
    )  # contract section 2: no `typ` is asked for
    for name, text in {
        "array": b"[]",
        "text": b'"x"',
        "null": b"null",
        "number": b"1",
        "empty": b"",
        "open": b'{"alg":"ES256"',
        "two objects": json.dumps(_header()).encode() * 2,
        "trailing comma": b'{"alg":"ES256","kid":"%s",}' % _KID.encode(),
        "comment": b'{"alg":"ES256",/**/"kid":"%s"}' % _KID.encode(),
        "single quotes": str(_header()).encode(),
        "NaN": b'{"alg":"ES256","kid":"%s","x":NaN}' % _KID.encode(),
        "BOM": b"\xef\xbb\xbf" + json.dumps(_header()).encode(),
        "UTF-16": json.dumps(_header()).encode("utf-16"),
        "invalid UTF-8": b'{"alg":"ES256","kid":"%s","x":"\xff"}' % _KID.encode(),
        "lone surrogate": b'{"alg":"ES256","kid":"%s","x":"\\ud800"}' % _KID.encode(),
        "5,000 deep": b'{"alg":"ES256","kid":"%s","x":%s}' % (_KID.encode(), b"[" * 5000 + b"]" * 5000),
        "10,000 digits": b'{"alg":"ES256","kid":"%s","x":%s}' % (_KID.encode(), b"9" * 10_000),
    }.items():
        yield Case(f"header {name}", signed(claims(), text))


def key_ids() -> Iterator[Case]:
    """Key ids that want to be a path, a query, a shell command, a regular expression, or another key."""
    names: dict[str, Any] = {
        "unknown": "AAAAAAAAAAAA",
        "path": "../../../../../../dev/null",
        "Windows path": "..\\..\\nul",
        "file": "file:///dev/null",
        "URL": JKU,
        "SQL": "' UNION SELECT 'secret' --",
        "SQL truth": "x' OR '1'='1",
        "shell": "$(sleep 9)",
        "pipe": "|sleep 9",
        "template": "{{7*7}}",
        "format": "%s%n{0.__class__}",
        "expression": "(a+)+$",
        "any": ".*",
        "star": "*",
        "LDAP": "*)(uid=*",
        "NUL": "\0",
        "NUL inside": f"{_KID}\0",
        "NUL before": f"\0{_KID}",
        "line feed": f"{_KID}\n",
        "space": f"{_KID} ",
        "header injection": f"{_KID}\r\nX-Injected: 1",
        "other case": _KID.swapcase(),
        "cut": _KID[:-1],
        "prefixed": f"x{_KID}",
        "percent": f"%{ord(_KID[0]):02x}{_KID[1:]}",
        "full-width": chr(ord(_KID[0]) + 0xFEE0) + _KID[1:],
        "empty": "",
        "blank": " ",
        "256 long": "k" * 256,
        "257 long": "k" * 257,
        "10,000 long": "k" * 10_000,
        "emoji": "\U0001f511",
        "null": None,
        "true": True,
        "0": 0,
        "1": 1,
        "float": 1.5,
        "huge number": 10**300,
        "array": [_KID],
        "empty array": [],
        "object": {"kid": _KID},
        "absent": ABSENT,
        "__proto__": "__proto__",
        "constructor": "constructor",
        "None": "None",
        "keys": "keys",
        "dunder": "__class__",
    }
    for name, value in names.items():
        yield Case(f"kid {name}", signed(claims(), _header(kid=value)))
        yield Case(f"kid {name}, by the attacker", signed(claims(sub=VICTIM), _header(kid=value), key=ATTACKER))
    kid = _KID.encode()
    yield Case("kid twice, the last is right", signed(claims(), b'{"alg":"ES256","kid":"x","kid":"%s"}' % kid))
    yield Case("kid twice, the first is right", signed(claims(), b'{"alg":"ES256","kid":"%s","kid":"x"}' % kid))
    yield Case("kid twice the same", signed(claims(), b'{"alg":"ES256","kid":"%s","kid":"%s"}' % (kid, kid)))
    yield Case("KID", signed(claims(), _header(kid=ABSENT, KID=_KID)))
    yield Case("kid of another kind's key", signed(claims(), _header(kid=KIDS["restricted"])))
    # The key set does not say which kind of user a key is for (contract section 2): any key of the project's vouches,
    # and audience, issuer and flags say the kind.
    yield Case(
        "signed by another kind's key", signed(claims(), _header(kid=KIDS["anonymous"]), key=KEYS["anonymous"]), None
    )
