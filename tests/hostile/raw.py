"""Requests that bend HTTP itself around a genuine or a forged token, and who may answer what."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from .cast import FORGED, GENUINE, INVALID, NOBODY
from .wire import request

__all__ = ["REQUESTS", "STRIPPED", "Request", "bearer", "envelope", "header"]

_G, _F = GENUINE.encode(), FORGED.encode()
_TOKEN: Final = b"x-stack-access-token"
_SERVER: Final = "server"
_GENUINE: Final = "genuine"
_TRAILED: Final = b"Transfer-Encoding: chunked"


@dataclass(frozen=True)
class Request:
    """Bytes to send.

    Attributes:
        data: the whole request, or two.
        allowed: what its answers may be, as `Answer.verdicts` tells them.
    """

    name: str
    data: bytes
    allowed: frozenset[str]


def _one(name: str, lines: bytes | list[bytes], *allowed: str, **options: bytes) -> Request:
    return Request(name, request(*([lines] if isinstance(lines, bytes) else lines), **options), frozenset(allowed))  # type: ignore[arg-type]  # `close` is not among them


def header(value: bytes, name: bytes = _TOKEN) -> bytes:
    return name + b": " + value


def bearer(value: bytes) -> bytes:
    return b"Authorization: Bearer " + value


def envelope(*, value: object = None, text: bytes | None = None) -> bytes:
    return json.dumps({"accessToken": value, "refreshToken": None}).encode() if text is None else text


def _fine() -> Iterator[Request]:
    """The honest user in every honest form: what the rest of the table is worth."""
    carried = envelope(value=GENUINE)
    rows: dict[str, bytes | list[bytes]] = {
        "token header": header(_G),
        "renamed token header": header(_G, b"x-hexclave-access-token"),
        "bearer": bearer(_G),
        "envelope header": header(carried, b"x-stack-auth"),
        "bearer envelope": bearer(b"stackauth_" + base64.b64encode(carried)),
        "renamed bearer envelope": bearer(b"hexclave_" + base64.b64encode(carried)),
        "upper-case name": header(_G, _TOKEN.upper()),
        "title-case name": header(_G, _TOKEN.title()),
        "no blank": _TOKEN + b":" + _G,
        "blanks around": _TOKEN + b": \t  " + _G + b" \t ",
        "lower-case scheme": b"authorization: bearer " + _G,
        "two blanks after the scheme": b"Authorization: Bearer  " + _G,
        "the same twice": [header(_G), header(_G)],
        "the same twice in two cases": [header(_G), header(_G, _TOKEN.upper())],
        "the same joined": header(_G + b", " + _G),
        "the same bearer twice": [bearer(_G), bearer(_G)],
    }
    for name, lines in rows.items():
        yield _one(name, lines, _GENUINE)
    yield _one("HTTP/1.0", header(_G), _GENUINE, version=b"HTTP/1.0")
    yield _one("HEAD", header(_G), _GENUINE, method=b"HEAD")
    yield _one("POST", [header(_G), b"Content-Length: 2"], _GENUINE, method=b"POST", body=b"{}")
    yield _one("percent-encoded target", header(_G), _GENUINE, target=b"/%6d%65")
    yield _one("60 other headers", [*(b"x-%d: 1" % number for number in range(60)), header(_G)], _GENUINE)


def _two_tokens() -> Iterator[Request]:
    """A genuine and a forged token at once: never the forged one, and never a guess."""
    carriers: dict[str, Callable[[bytes], bytes]] = {
        "token header": header,
        "bearer": bearer,
        "envelope": lambda text: header(envelope(value=text.decode()), b"x-stack-auth"),
    }
    for name, carry in carriers.items():
        for order, pair in {"genuine first": (_G, _F), "forged first": (_F, _G)}.items():
            yield _one(f"{name} twice, {order}", [carry(text) for text in pair], INVALID)
            yield _one(f"{name} joined, {order}", carry(b",".join(pair)), INVALID)
    yield _one("two cases, genuine first", [header(_G), header(_F, _TOKEN.upper())], INVALID)
    yield _one("three times, forged in the middle", [header(_G), header(_F), header(_G)], INVALID)
    # Whichever source speaks first in contract 1.1 decides alone; a better one later is not fallen back to.
    other = b"x-hexclave-access-token"
    envelope_f, envelope_g = carriers["envelope"](_F), carriers["envelope"](_G)
    for name, lines, expected in (
        ("forged token header, genuine bearer", [bearer(_G), header(_F)], INVALID),
        ("genuine token header, forged bearer", [bearer(_F), header(_G)], _GENUINE),
        ("forged token header, genuine renamed", [header(_G, other), header(_F)], INVALID),
        ("genuine token header, forged renamed", [header(_F, other), header(_G)], _GENUINE),
        ("forged envelope, genuine bearer", [bearer(_G), envelope_f], INVALID),
        ("genuine envelope, forged bearer", [bearer(_F), envelope_g], _GENUINE),
        ("bearer and Basic", [bearer(_G), b"Authorization: Basic eDp4"], INVALID),
        ("Basic and bearer", [b"Authorization: Basic eDp4", bearer(_F)], INVALID),
    ):
        yield _one(name, lines, expected)


def _values() -> Iterator[Request]:
    """Values that are almost a token; what a server takes for no HTTP, it may refuse itself."""
    for name, value in {
        "NUL": _G[:50] + b"\0" + _G[50:],
        "NUL at the end": _G + b"\0",
        "SOH before": b"\x01" + _G,
        "file separator after": _G + b"\x1c",
        "vertical tab after": _G + b"\x0b",
        "escape": b"\x1b[31m" + _G,
        "DEL": _G + b"\x7f",
        "bare CR": _G[:50] + b"\r" + _G[50:],
        "bare LF": _G[:50] + b"\n" + _G[50:],
        "tab inside": _G[:50] + b"\t" + _G[50:],
        "Latin-1": _G + b"\xe9",
        "non-breaking space after": _G + b"\xa0",
        "non-breaking space before": b"\xa0" + _G,
        "next line after": _G + b"\x85",
        "UTF-8": _G + "\u00e9\u2603".encode(),
        "UTF-8 spaces": "\u2003".encode() + _G + "\u3000".encode(),
        "overlong": _G + b"\xc0\x80",
        "invalid UTF-8": b"\xff\xfe" + _G,
        "byte order mark": b"\xef\xbb\xbf" + _G,
        "every byte above 0x7f": bytes(range(0x80, 0x100)),
        "quoted": b'"' + _G + b'"',
        "with a scheme": b"Bearer " + _G,
        "percent-encoded": urllib.parse.quote(GENUINE, safe="").replace(".", "%2E").encode(),
        "trailing comma": _G + b",",
        "leading comma": b"," + _G,
        "semicolon": _G + b"; q=1",
        "parameters": b"token=" + _G,
        "RFC 2047": b"=?utf-8?B?" + base64.b64encode(_G) + b"?=",
        "RFC 2047 of a forgery": b"=?utf-8?B?" + base64.b64encode(_F) + b"?=",
        "forged": _F,
    }.items():
        for carrier, line in {"token header": header(value), "bearer": bearer(value)}.items():
            yield _one(f"{carrier}: {name}", line, INVALID, _SERVER)
    for name, line in {
        "empty": _TOKEN + b":",
        "commas alone": _TOKEN + b": ,,,",
        "blanks": _TOKEN + b": \t ",
        "bearer without a token": b"Authorization: Bearer",
        "bearer and blanks": b"Authorization: Bearer   ",
        "scheme and token in one": b"Authorization: Bearer" + _G,
        "colon after the scheme": b"Authorization: Bearer: " + _G,
        "other scheme": b"Authorization: Token " + _G,
        "Basic": b"Authorization: Basic " + base64.b64encode(b"x:" + _G),
        "no scheme": b"Authorization: " + _G,
        "envelope of nobody": header(envelope(), b"x-stack-auth"),
        "cookie": b'Cookie: stack-refresh=r; stack-access=["r","' + _G + b'"]',
        "forwarded": b"X-Forwarded-Authorization: Bearer " + _G,
        "proxy": b"Proxy-Authorization: Bearer " + _G,
        "longer name": header(_G, b"x-stack-access-token-2"),
        "shorter name": header(_G, b"stack-access-token"),
    }.items():
        yield _one(name, line, NOBODY, _SERVER)


def _padded(text: bytes) -> bytes:
    """In base64, with blanks at the end until it needs padding."""
    return base64.b64encode(text + b" " * (2 - len(text) % 3))


def _envelopes() -> Iterator[Request]:
    """Envelopes that are no envelope, in both their forms."""
    twice = b'{"accessToken":"%s","accessToken":"%s"}'
    for name, text in {
        "genuine, then forged": twice % (_G, _F),
        "forged, then genuine": twice % (_F, _G),
        "array": b'["%s"]' % _G,
        "text": b'"%s"' % _G,
        "null": b"null",
        "token itself": _G,
        "number for a token": b'{"accessToken":1}',
        "array for a token": b'{"accessToken":["%s"]}' % _G,
        "object for a token": b'{"accessToken":{"token":"%s"}}' % _G,
        "true for a token": b'{"accessToken":true}',
        "number for a refresh token": b'{"accessToken":"%s","refreshToken":1}' % _G,
        "cut": b'{"accessToken":"%s' % _G,
        "trailing text": b'{"accessToken":"%s"}x' % _G,
        "NaN": b'{"accessToken":"%s","x":NaN}' % _G,
        "lone surrogate": b'{"accessToken":"%s\\ud800"}' % _G,
        "invalid UTF-8": b'{"accessToken":"%s","x":"\xff"}' % _G,
        "overlong": b'{"accessToken":"%s","x":"\xc0\x80"}' % _G,
        "2,000 deep": b'{"accessToken":"%s","x":%s}' % (_G, b"[" * 2000),
        "6,000 digits": b'{"accessToken":"%s","x":%s}' % (_G, b"9" * 6000),
        "forged": b'{"accessToken":"%s"}' % _F,
    }.items():
        # A header is Latin-1, and so every byte is a character: 8-bit bytes are text here, in a member of no meaning.
        also = (_GENUINE,) if name in ("invalid UTF-8", "overlong") else ()
        yield _one(f"envelope: {name}", header(text, b"x-stack-auth"), INVALID, _SERVER, *also)
        yield _one(f"bearer envelope: {name}", bearer(b"stackauth_" + base64.b64encode(text)), INVALID, _SERVER)
    packed = base64.b64encode(envelope(value=GENUINE + "\u00ff\u00fe"))
    for name, value in {
        "empty": b"stackauth_",
        "no base64": b"stackauth_!!!!",
        "without padding": b"hexclave_" + _padded(envelope(value=GENUINE)).rstrip(b"="),
        "other case": b"StackAuth_" + packed,
        "twice": b"stackauth_stackauth_" + packed,
        "8-bit": b"stackauth_\xff" + packed,
        "blank inside": b"stackauth_" + packed[:40] + b" " + packed[40:],
        "in itself": b"stackauth_" + base64.b64encode(envelope(value="stackauth_" + packed.decode())),
    }.items():
        yield _one(f"bearer envelope: {name}", bearer(value), INVALID, _SERVER)


def _fields() -> Iterator[Request]:
    """Header sections that two readers read in two ways."""
    for name, line in {
        "x_stack_access_token": b"x_stack_access_token",
        "X_Stack_Access_Token": b"X_Stack_Access_Token",
        "x-stack_access-token": b"x-stack_access-token",
        "HTTP_X_STACK_ACCESS_TOKEN": b"HTTP_X_STACK_ACCESS_TOKEN",
    }.items():
        yield _one(f"{name} alone", header(_G, line), NOBODY, _SERVER)
        yield _one(f"{name} beside a forged header", [header(_F), header(_G, line)], INVALID, _SERVER)
        yield _one(f"{name} forged beside a genuine header", [header(_F, line), header(_G)], _GENUINE, _SERVER)
    for name, lines in {
        "blank before the colon": _TOKEN + b" : " + _F,
        "tab before the colon": _TOKEN + b"\t: " + _F,
        "blank before the name": b" " + _TOKEN + b": " + _F,
        "NUL in the name": b"x-stack-access\0-token: " + _F,
        "8-bit name": b"x-stack-access-token\xe9: " + _F,
        "no name": b": x",
        "second header behind a bare CR": b"x-a: 1\r" + header(_F),
        "second header behind a bare LF": b"x-a: 1\n" + header(_F),
        "second header behind LF LF": b"x-a: 1\n\n" + header(_F),
        "folded": _TOKEN + b": " + _F[:60] + b"\r\n " + _F[60:],
        "folded with a tab": _TOKEN + b": " + _F[:60] + b"\r\n\t" + _F[60:],
        "folded at once": _TOKEN + b":\r\n " + _F,
        "folded other header": b"x-a: 1\r\n " + header(_F),
        "folded bearer": b"Authorization: Bearer\r\n " + _F,
    }.items():
        yield _one(name, lines, INVALID, NOBODY, _SERVER)
    yield _one("folded other header, genuine", b"x-a: 1\r\n " + header(_G), NOBODY, _SERVER)
    yield _one(
        "folded into two genuine halves", _TOKEN + b": " + _G[:60] + b"\r\n " + _G[60:], INVALID, _SERVER, _GENUINE
    )
    for size in (7_000, 20_000, 64_000, 1_000_000):
        for name, line in {
            "token header": header(b"A" * size),
            "forged and padded": header(_F + b"A" * size),
            "bearer": bearer(b"A" * size),
        }.items():
            yield _one(f"{name} of {size:,} bytes", line, INVALID, _SERVER)
        yield _one(f"bearer envelope of {size:,} bytes", bearer(b"stackauth_" + b"A" * size), INVALID, _SERVER)
        yield _one(
            f"envelope of {size:,} bytes",
            header(b'{"x":"' + b"A" * size + b'"}', b"x-stack-auth"),
            NOBODY,
            INVALID,
            _SERVER,
        )
        yield _one(f"commas of {size:,} bytes", header(b"," * size), NOBODY, INVALID, _SERVER)
        yield _one(f"blanks of {size:,} bytes", b"Authorization: Bearer" + b" " * size + b"x", INVALID, _SERVER)
        yield _one(f"forged beside {size:,} bytes", [b"x-a: " + b"A" * size, header(_F)], INVALID, _SERVER)
    for count in (50, 1000, 3000):
        yield _one(
            f"{count:,} token headers", [header(b"a.b.c%d" % number) for number in range(count)], INVALID, _SERVER
        )
        yield _one(f"{count:,} empty token headers", [_TOKEN + b":"] * count, INVALID, NOBODY, _SERVER)
        yield _one(
            f"{count:,} other headers",
            [*(b"x-%d: 1" % number for number in range(count)), header(_F)],
            INVALID,
            _SERVER,
        )


def _messages() -> Iterator[Request]:
    """Targets, versions, methods, framing: whatever else surrounds a token."""
    chunks = b"3\r\nabc\r\n0\r\n"
    for name, token, expected in (("forged", _F, INVALID), ("genuine", _G, _GENUINE)):
        allowed = (expected, _SERVER)
        line = header(token)
        yield _one(f"{name}, absolute target", line, *allowed, target=b"http://test/me")
        yield _one(f"{name}, absolute target with a user", line, *allowed, target=b"http://a:b@test/me")
        yield _one(f"{name}, double slash", line, *allowed, target=b"//me")
        yield _one(f"{name}, encoded NUL in the target", line, *allowed, target=b"/me%00")
        yield _one(f"{name}, 8-bit target", line, *allowed, target=b"/me\xff")
        yield _one(f"{name}, dots in the target", line, *allowed, target=b"/x/../me")
        yield _one(f"{name}, HTTP/1.2", line, *allowed, version=b"HTTP/1.2")
        yield _one(f"{name}, HTTP/9.9", line, *allowed, version=b"HTTP/9.9")
        yield _one(f"{name}, lower-case version", line, *allowed, version=b"http/1.1")
        yield _one(f"{name}, unknown method", line, *allowed, method=b"BREW")
        yield _one(f"{name}, lower-case method", line, *allowed, method=b"get")
        yield _one(f"{name}, chunked", [line, _TRAILED], *allowed, method=b"POST", body=chunks + b"\r\n")
        yield _one(f"{name}, bad chunks", [line, _TRAILED], *allowed, method=b"POST", body=b"zz\r\n\r\n")
        yield _one(f"{name}, no host", line, *allowed)
    yield _one("forged, HTTP/1.0", header(_F), INVALID, version=b"HTTP/1.0")
    yield _one("forged, HEAD", header(_F), INVALID, method=b"HEAD")
    yield _one("nobody, HEAD", [], NOBODY, method=b"HEAD")
    yield _one("nobody", [], NOBODY)
    # A trailer is no header (RFC 9110 section 6.5.1). uvicorn's httptools appends it to the headers it has handed over:
    # a genuine token there may count, a forged one never, and the two together are a contradiction.
    trailers = {"forged": chunks + header(_F) + b"\r\n\r\n", "genuine": chunks + header(_G) + b"\r\n\r\n"}
    trailed: list[tuple[str, list[bytes], str, tuple[str, ...]]] = [
        ("forged trailer", [], "forged", (NOBODY, INVALID, _SERVER)),
        ("genuine trailer", [], "genuine", (NOBODY, _GENUINE, _SERVER)),
        ("genuine header, forged trailer", [header(_G)], "forged", (_GENUINE, INVALID, _SERVER)),
        ("forged header, genuine trailer", [header(_F)], "genuine", (INVALID, _SERVER)),
    ]
    for name, lines, trailer, answers in trailed:
        yield _one(name, [*lines, _TRAILED, b"Trailer: " + _TOKEN], *answers, method=b"POST", body=trailers[trailer])


def _smuggled() -> Iterator[Request]:
    """Framing on which two readers disagree; the forged request inside is nobody's or refused, whoever reads it."""
    inner = request(header(_F))
    body = b"0\r\n\r\n" + inner
    length = b"Content-Length: %d" % len(body)
    for name, lines in {
        "CL.TE": [length, _TRAILED],
        "TE.CL": [_TRAILED, b"Content-Length: 5"],
        "TE.TE": [_TRAILED, b"Transfer-Encoding: identity"],
        "xchunked": [length, b"Transfer-Encoding: xchunked"],
        "chunked, identity": [length, b"Transfer-Encoding: chunked, identity"],
        "blank before the colon": [length, b"Transfer-Encoding : chunked"],
        "tab": [length, b"Transfer-Encoding:\tchunked"],
        "vertical tab": [length, b"Transfer-Encoding: \x0bchunked"],
        "folded": [length, b"Transfer-Encoding:\r\n chunked"],
        "behind a bare CR": [length, b"x-a: 1\rTransfer-Encoding: chunked"],
        "two lengths": [length, b"Content-Length: 5"],
        "two lengths in one": [b"Content-Length: 5, %d" % len(body)],
        "length with a plus": [b"Content-Length: +5"],
        "length with an underscore": [b"Content-Length: 1_0"],
        "hexadecimal length": [b"Content-Length: 0x5"],
        "negative length": [b"Content-Length: -1"],
        "length in 8 bits": [b"Content-Length: \xb2"],
        "underscored length": [b"Content_Length: 5", length],
        "no length": [],
    }.items():
        data = request(header(_G), *lines, method=b"POST", body=body, close=False)
        yield Request(f"smuggled, {name}", data, frozenset({_GENUINE, INVALID, _SERVER}))


REQUESTS: Final = (*_fine(), *_two_tokens(), *_values(), *_envelopes(), *_fields(), *_messages(), *_smuggled())
STRIPPED: Final = frozenset(
    f"{carrier}: {name}"
    for carrier in ("token header", "bearer")
    for name in (
        "file separator after",
        "vertical tab after",
        "non-breaking space after",
        "non-breaking space before",
        "next line after",
    )
)
"""Requests whose value wsgiref strips of what Python takes for blanks, before any application sees it."""
