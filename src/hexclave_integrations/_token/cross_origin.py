"""Whether a page of another origin may have made a request that has cookies: the defence against CSRF. Pure.

The algorithm is that of `net/http.CrossOriginProtection` of Go 1.25. Go compares the host of `Origin` with `Host` as
texts, and this module by host and port, whether or not a default port is written. It refuses what Go reads leniently: a
header that came several times, and a user name or a path in an origin.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from .. import _reasons as reasons
from .._base.origin import is_own_origin

__all__ = ["ORIGIN_HEADERS", "why_refused"]

SEC_FETCH_SITE: Final = "sec-fetch-site"
ORIGIN: Final = "origin"
HOST: Final = "host"
ORIGIN_HEADERS: Final = (SEC_FETCH_SITE, ORIGIN, HOST)
# TRACE, which RFC 9110 section 9.2.1 calls safe too, is not among them: browsers cannot send it, and Go checks it.
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def why_refused(
    found: Mapping[str, str], method: str | None, trusted: Collection[str], *, is_websocket: bool = False
) -> str | None:
    """The reason to refuse a request whose token came in a cookie, or None where it may count.

    A request without `Sec-Fetch-Site` and without `Origin` passes: every browser of the last years sends one of them
    with each unsafe request, so that it comes from something else, which nobody can lead to send its user's cookies.
    It is different for a websocket: every browser sends `Origin` with its handshake (RFC 6455 section 4.1), and a page
    reads what the server sends, so that only a page of the same host, or a trusted one, has the cookies count.

    Args:
        found: the request's headers by lower-case name, `ORIGIN_HEADERS` among them; repeated ones joined by commas.
        method: the request's method; None where it is not known, which counts as unsafe.
        trusted: origins whose pages may make such requests, as browsers write them.
        is_websocket: whether it is the handshake of a websocket.
    """
    if not is_websocket and method in _SAFE_METHODS:
        return None
    origin = found.get(ORIGIN, "")
    if origin in trusted:
        return None
    if is_websocket:
        return None if is_own_origin(origin, found.get(HOST)) else reasons.WEBSOCKET_OF_ANOTHER_PAGE
    site = found.get(SEC_FETCH_SITE, "")
    if site:
        return None if site in ("same-origin", "none") else reasons.REQUEST_OF_ANOTHER_PAGE
    if not origin or is_own_origin(origin, found.get(HOST)):
        return None
    return reasons.ORIGIN_IS_NOT_THE_HOST
