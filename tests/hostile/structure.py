"""Texts that are no compact token, and payloads that are no claims: dots, spellings, giants, depths, encodings."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Final

from .._minting import ABSENT, encode, mint_segments
from .cast import FORGED, GENUINE, INVALID, KEY, KIDS, VICTIM, Case, claims, signed

__all__ = ["documents", "giants", "texts", "unicode"]

_HEAD, _BODY, _LAST = GENUINE.split(".")
_JWE: Final = encode(b'{"alg":"dir","enc":"A128GCM"}')
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def texts() -> Iterator[Case]:
    """Everything around, between and instead of the three segments."""
    parts = {"header": _HEAD, "payload": _BODY, "signature": _LAST}
    for count in range(7):
        yield Case(f"{count} dots alone", "." * count, in_header=count > 0)
        yield Case(f"{count} dots between headers", ".".join([_HEAD] * (count + 1)))
    for name in parts:
        yield Case(f"{name} alone", parts[name])
        yield Case(f"{name} empty", ".".join("" if other == name else text for other, text in parts.items()))
        yield Case(f"{name} missing", ".".join(text for other, text in parts.items() if other != name))
        yield Case(
            f"{name} twice", ".".join(f"{text}.{text}" if other == name else text for other, text in parts.items())
        )
        for shown, mark in {
            "=": "=",
            "==": "==",
            "A": "A",
            "space": " ",
            "line feed": "\n",
            "CRLF": "\r\n",
            "NUL": "\0",
            "plus": "+",
            "slash": "/",
            "percent": "%3D",
            "non-breaking space": "\u00a0",
            "full-width A": "\uff21",
            "byte order mark": "\ufeff",
            "comma": ",",
        }.items():
            plain = mark.isprintable() and mark != ","
            for place in ("before", "inside", "after"):
                text = parts[name]
                middle = len(text) // 2
                bent = {"before": mark + text, "inside": text[:middle] + mark + text[middle:], "after": text + mark}[
                    place
                ]
                outer = place == {"header": "before", "signature": "after"}.get(name) and mark == " "
                token = ".".join(bent if other == name else whole for other, whole in parts.items())
                yield Case(f"{shown} {place} the {name}", token, in_header=plain and not outer)
    for name, token in {
        "swapped header and payload": f"{_BODY}.{_HEAD}.{_LAST}",
        "reversed": GENUINE[::-1],
        "upper case": GENUINE.upper(),
        "twice": GENUINE * 2,
        "with a scheme": f"Bearer {GENUINE}",
        "quoted": f'"{GENUINE}"',
        "in angle brackets": f"<{GENUINE}>",
        "in an array": f'["{GENUINE}"]',
        "in hexadecimal": GENUINE.encode().hex(),
        "in base64": base64.b64encode(GENUINE.encode()).decode(),
        "percent-encoded dots": GENUINE.replace(".", "%2E"),
        "full-width dots": GENUINE.replace(".", "\uff0e"),
        "one dot leaders": GENUINE.replace(".", "\u2024"),
        "underscored": GENUINE.replace(".", "_"),
        "colons": GENUINE.replace(".", ":"),
        "JSON, flattened": json.dumps(
            {"payload": _BODY, "protected": _HEAD, "signature": _LAST}, separators=(";", ":")
        ),
        "JSON, general": json.dumps(
            {"payload": _BODY, "signatures": [{"protected": _HEAD, "signature": _LAST}]}, separators=(";", ":")
        ),
        "JWE": f"{_JWE}..{'A' * 16}.{_BODY}.{'A' * 22}",
        "JWE of a genuine header": f"{_HEAD}.{_BODY}.AAAA.{_LAST}.AAAA",
        "SD-JWT": f"{GENUINE}~",
        "SD-JWT with a disclosure": f"{GENUINE}~{_BODY}~",
        "detached": f"{_HEAD}..{_LAST}",
        "PASETO": f"v4.public.{_BODY}",
        "Branca": "8" * 200,
        "SAML": "<Assertion/>",
        "API key of ours": "sk_" + "a" * 40,
        "NaN": "NaN",
        "[object Object]": "[object Object]",
        "true": "true",
        "0": "0",
        "one letter": "a",
        "16 KB of A": "A" * 16384,
        "16 KB of dots": "." * 16384,
        "64 KB": "A" * 65536,
        "1 MB": "A" * 1_000_000,
        "genuine, then 1 MB": GENUINE + "A" * 1_000_000,
        "1 MB signature": f"{_HEAD}.{_BODY}.{'A' * 1_000_000}",
        "JSON": "{}",
        "path": "../../etc/passwd",
        "emoji": "\U0001f511" * 50,
        "right-to-left": f"\u202e{GENUINE}",
        "zero width": GENUINE.replace(".", ".\u200b"),
        "lone surrogate": f"{GENUINE[:-1]}\ud800",
        "surrogate escape": f"{GENUINE[:-1]}\udcff",
        "last letter in Latin-1": f"{GENUINE[:-1]}\u00e9",
        "a newline in a forgery": FORGED.replace(".", ".\n"),
        "Kelvin sign": f"{GENUINE[:-1]}\u212a",
    }.items():
        yield Case(name, token, in_header=token.isprintable() or "\n" not in token)
    for text in ("null", "undefined"):  # which in a header stand for no token, and where a token is due are none
        yield Case(text, text, in_header=False)
    yield Case("genuine, genuine", f"{GENUINE},{GENUINE}", in_header=False)  # a header may repeat itself, a token not
    yield Case("genuine, forged", f"{GENUINE},{FORGED}")
    yield Case("forged, genuine", f"{FORGED},{GENUINE}")
    for number, name in enumerate(parts):
        yield from _stray_bits(number, name)
    yield Case("standard alphabet", _standard_alphabet())


def _stray_bits(number: int, name: str) -> Iterator[Case]:
    """Unused bits set at the end of a segment: the same bytes to a lenient reader (RFC 4648 section 3.5)."""
    for pad in range(3):
        head, body, last = signed(
            claims(name="n" * pad), {"alg": "ES256", "kid": KIDS["regular"], "p": "p" * pad}
        ).split(".")
        segments = [head, body, last]
        if len(segments[number]) % 4 == 0:
            continue
        end = segments[number][-1]
        segments[number] = segments[number][:-1] + _ALPHABET[_ALPHABET.index(end) | 1]
        token = ".".join(segments) if number == 2 else mint_segments(KEY, segments[0], segments[1])
        yield Case(f"stray bits in the {name}, {pad}", token)


def _standard_alphabet() -> str:
    """A signed token in the alphabet of plain base64; its payload is sure to need `+` or `/`."""
    head, body, _ = signed(json.dumps(claims(name="\u00ff\u00ff\u00fe?>?>"), ensure_ascii=False).encode()).split(".")
    assert "-" in body or "_" in body
    return mint_segments(KEY, head, body.replace("-", "+").replace("_", "/"))


def _with(insert: str) -> bytes:
    return (json.dumps(claims())[:-1] + insert + "}").encode()


def documents() -> Iterator[Case]:
    """Payloads that are JSON of another kind, or nearly JSON."""
    whole = json.dumps(claims())
    for name, text in {
        "array": f"[{whole}]",
        "text": json.dumps(whole),
        "null": "null",
        "true": "true",
        "number": "1",
        "empty": "",
        "blank": "  ",
        "two objects": whole * 2,
        "trailing text": f"{whole}x",
        "trailing NUL": f"{whole}\0",
        "leading text": f"x{whole}",
        "open": whole[:-1],
        "trailing comma": f"{whole[:-1]},}}",
        "no commas": whole.replace(",", " "),
        "single quotes": whole.replace('"', "'"),
        "bare names": whole.replace('"sub"', "sub"),
        "comment": whole.replace("{", "{/**/", 1),
        "line comment": f"//\n{whole}",
        "hash comment": f"#\n{whole}",
        "NaN": _with(',"x":NaN').decode(),
        "Infinity": _with(',"x":-Infinity').decode(),
        "1e400": _with(',"x":1e400').decode(),
        "hexadecimal": _with(',"x":0x10').decode(),
        "tab in a text": _with(',"x":"\t"').decode(),
        "NUL in a text": _with(',"x":"\0"').decode(),
        "bad escape": _with(',"x":"\\x41"').decode(),
        "half an escape": _with(',"x":"\\u12"').decode(),
        "duplicates inside": _with(',"x":{"a":1,"a":1}').decode(),
        "JSON in JSON": json.dumps({"payload": claims()}),
        "form": "sub=1&iss=2",
        "XML": "<claims/>",
        "YAML": "sub: 1",
        "Python": str(claims()),
        "MessagePack": "\x81\xa3sub\xa1x",
        "a token": GENUINE,
        "form feed between": f"\f{whole}",
        "non-breaking space between": f"\u00a0{whole}",
    }.items():
        yield Case(f"payload {name}", signed(text.encode()))
    yield Case(
        "payload spaced", signed(json.dumps(claims(), indent=1).encode()), None
    )  # white space means nothing to JSON


def giants() -> Iterator[Case]:
    """As deep, long and many as the size cap lets through, and beyond it."""
    deep = {
        "5,000 arrays": "[" * 4500 + "]" * 4500,
        "10,000 open arrays": "[" * 10_000,
        "1,500 objects": '{"a":' * 1500 + "1" + "}" * 1500,
        "2,000 open objects": '{"a":' * 2000,
        "600 arrays": "[" * 600 + "]" * 600,
        "10,000 digits": "9" * 10_000,
        "5,000 digits and a fraction": "9" * 5000 + ".5",
        "10,000 decimals": "0." + "1" * 10_000,
        "exponent of 9,000 digits": "1e" + "9" * 9000,
        "3,000 arrays side by side": "[" + "[]," * 2900 + "[]]",
    }
    for name, value in deep.items():
        # A long fraction is a number like any other, and no claim of ours.
        yield Case(f"claim of {name}", signed(_with(f',"x":{value}')), None if name == "10,000 decimals" else INVALID)
    yield Case("payload of 10,000 open arrays", signed(b"[" * 10_000))
    yield Case("payload of 5,000 arrays", signed(b"[" * 5000 + b"]" * 5000))
    many = "".join(f',"{number:x}":0' for number in range(1200))
    yield Case("1,200 claims", signed(_with(many)), None)  # unknown claims are tolerated (contract section 2)
    yield Case(
        "1,200 claims that hash alike",
        signed(_with("".join(f',"x{number}":{(2**61 - 1) * number}' for number in range(300)))),
        None,
    )
    yield Case("1,200 times the same claim", signed(_with(',"x":0' * 1200)))
    yield Case("11 KB of name", signed(claims(name="n" * 11_000)), None)
    yield Case("11 KB of escapes", signed(_with(',"x":"' + "\\u0041" * 1800 + '"')), None)
    yield Case("one byte over the cap", signed(claims(name="n" * 12_500)))
    yield Case("100 KB of name", signed(claims(name="n" * 100_000)))


def unicode() -> Iterator[Case]:
    """Bytes that are no UTF-8, and text that no UTF-8 can say, all of it signed (RFC 8259 section 8.1, RFC 3629)."""
    bad = {
        "lone continuation": b"\x80",
        "lone lead": b"\xc3",
        "0xff": b"\xff",
        "0xfe": b"\xfe",
        "overlong slash": b"\xc0\xaf",
        "overlong NUL": b"\xc0\x80",
        "overlong quote": b"\xc0\xa2",
        "three-byte overlong": b"\xe0\x80\xaf",
        "four-byte overlong": b"\xf0\x80\x80\xaf",
        "surrogate": b"\xed\xa0\x80",
        "surrogate pair": b"\xed\xa0\x81\xed\xb0\x80",
        "above U+10FFFF": b"\xf4\x90\x80\x80",
        "five bytes": b"\xf8\x88\x80\x80\x80",
        "six bytes": b"\xfc\x84\x80\x80\x80\x80",
        "cut": b"\xe2\x98",
        "Latin-1": "Bj\u00f6rk".encode("latin-1"),
        "Shift JIS": "\u65e5\u672c".encode("shift_jis"),
    }
    for place in ("name", "email", "sub", "x"):
        whole = json.dumps(claims(**{place: "MARK"})).encode()
        for name, raw in bad.items():
            yield Case(f"{place} with {name}", signed(whole.replace(b"MARK", raw)))
        for name, text in {
            "high surrogate": "\\ud800",
            "low surrogate": "\\udfff",
            "pair the wrong way": "\\udc00\\ud800",
            "high surrogate and text": "\\ud83dx",
        }.items():
            yield Case(f"{place} with an escaped {name}", signed(whole.replace(b"MARK", text.encode())))
    yield Case("lone surrogate in a claim's name", signed(_with(',"\\ud800":1')))
    yield Case("overlong name of a claim", signed(_with(',"MARK":1').replace(b"MARK", b"\xc0\xae")))
    text = json.dumps(claims())
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig", "utf-7", "cp037"):
        if encoding != "utf-7":
            yield Case(f"payload in {encoding}", signed(text.encode(encoding)))
    yield Case("payload in UTF-7", signed(text.replace("{", "+AHs-").encode()))
    yield Case("emoji in the name", signed(json.dumps(claims(name="\U0001f600"), ensure_ascii=False).encode()), None)
    yield Case("escaped emoji in the name", signed(claims(name="\U0001f600")), None)
    yield Case(
        "right-to-left name", signed(claims(name="\u202eadmin")), None
    )  # what a name looks like is the application's business
    yield Case("NUL in the name, escaped", signed(claims(name="a\0b")), None)
    yield Case("subject in full-width digits", signed(claims(sub=VICTIM.replace("7", "\uff17"))))
    yield Case("subject absent, NUL in its name", signed(claims(sub=ABSENT, **{"sub\0": VICTIM})))
