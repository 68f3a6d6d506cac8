"""Whether a browser's request comes from a page of the host that it goes to. Pure."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_own_origin"]

_HOST: Final = r"(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?"
_AUTHORITY: Final = re.compile(_HOST, re.IGNORECASE | re.ASCII)
_ORIGIN: Final = re.compile(rf"(?P<scheme>https?)://{_HOST}", re.IGNORECASE | re.ASCII)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def is_own_origin(origin: str | None, host: str | None) -> bool:
    """Whether `Origin` names the host and port of `Host`; which scheme it names does not matter.

    TLS often ends at a proxy, so that the server does not know its own scheme: a `Host` without a port stands for the
    default port of the scheme in `Origin` (RFC 6454 section 6.2, RFC 9110 section 7.2).

    Args:
        origin: the value of `Origin`; None where the request has none, or several.
        host: the value of `Host`, likewise.
    """
    page, server = _ORIGIN.fullmatch(origin or ""), _AUTHORITY.fullmatch(host or "")
    if page is None or server is None:
        return False
    default = _DEFAULT_PORTS[page["scheme"].lower()]
    return (page["host"].lower(), page["port"] or default) == (server["host"].lower(), server["port"] or default)
