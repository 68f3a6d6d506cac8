"""Websocket handshakes that offer tokens as subprotocols, which is how browsers send them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final

from .cast import FORGED, GENUINE, INVALID, NOBODY
from .raw import Request, bearer, envelope, header
from .wire import request

__all__ = ["HANDSHAKES"]

_G, _F = GENUINE.encode(), FORGED.encode()
_SERVER: Final = "server"
_SWITCHED: Final = "switched"


def _handshakes() -> Iterator[Request]:
    name, prefix = b"Sec-WebSocket-Protocol: ", b"hexclave.access-token."
    genuine, forged = prefix + _G, prefix + _F
    upgrade = [b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13"]
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    rows: list[tuple[str, list[bytes], tuple[str, ...]]] = [
        ("genuine", [name + genuine], (_SWITCHED,)),
        ("genuine beside hexclave", [name + b"hexclave, " + genuine], (_SWITCHED,)),
        ("genuine in a header", [header(_G)], (_SWITCHED,)),
        ("nobody", [], (NOBODY,)),
        ("nobody, hexclave alone", [name + b"hexclave"], (NOBODY,)),
        ("forged", [name + forged], (INVALID,)),
        ("forged beside hexclave", [name + b"hexclave, " + forged], (INVALID,)),
        ("genuine, then forged", [name + genuine + b", " + forged], (INVALID,)),
        ("forged, then genuine", [name + forged + b", " + genuine], (INVALID,)),
        ("two headers, genuine first", [name + genuine, name + forged], (INVALID, _SERVER)),
        ("two headers, forged first", [name + forged, name + genuine], (INVALID, _SERVER)),
        ("forged header, genuine subprotocol", [header(_F), name + genuine], (INVALID,)),
        ("forged bearer, genuine subprotocol", [bearer(_F), name + genuine], (INVALID,)),
        ("empty token", [name + prefix], (NOBODY, INVALID, _SERVER)),
        ("prefix in another case", [name + b"Hexclave.Access-Token." + _G], (NOBODY,)),
        ("prefix twice", [name + prefix + genuine], (INVALID,)),
        ("token without prefix", [name + _G], (NOBODY,)),
        ("commas alone", [name + b",,,"], (NOBODY, _SERVER)),
        ("quoted", [name + prefix + b'"' + _G + b'"'], (INVALID, _SERVER)),
        ("8-bit", [name + genuine + b"\xe9"], (INVALID, _SERVER)),
        ("non-breaking space", [name + genuine + b"\xa0"], (INVALID, _SERVER)),
        ("NUL", [name + genuine + b"\0"], (INVALID, _SERVER)),
        ("bare CR", [name + genuine[:60] + b"\r" + genuine[60:]], (INVALID, _SERVER)),
        ("folded", [name + forged[:60] + b"\r\n " + forged[60:]], (INVALID, NOBODY, _SERVER)),
        ("underscored", [b"Sec_WebSocket_Protocol: " + genuine], (NOBODY, _SERVER)),
        # The websockets library leaves a connection without an answer whose header lines have more than 8 KiB.
        ("7,000 bytes", [name + prefix + b"A" * 7000], (INVALID, _SERVER)),
        ("200 tokens", [name + b",".join(prefix + b"a.b.c%d" % number for number in range(200))], (INVALID, _SERVER)),
        (
            "HTTP envelope",
            [name + prefix + b"stackauth_" + base64.b64encode(envelope(value=GENUINE)).rstrip(b"=")],
            (INVALID, _SERVER),
        ),
    ]
    for shown, lines, allowed in rows:
        data = request(*upgrade, key, *lines, target=b"/ws", close=False)
        yield Request(f"websocket: {shown}", data, frozenset(allowed))
    yield Request(
        "websocket: forged, no key",
        request(*upgrade, name + forged, target=b"/ws", close=False),
        frozenset({INVALID, _SERVER}),
    )
    yield Request(
        "websocket: forged, HTTP/1.0",
        request(*upgrade, key, name + forged, target=b"/ws", version=b"HTTP/1.0", close=False),
        frozenset({INVALID, _SERVER}),
    )


HANDSHAKES: Final = tuple(_handshakes())
