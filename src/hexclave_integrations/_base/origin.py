"""Origins of web pages: how a browser writes them, and whether one belongs to a host. Pure."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["as_browsers_write", "is_own_origin"]

_HOST: Final = r"(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?"
_AUTHORITY: Final = re.compile(_HOST, re.IGNORECASE | re.ASCII)
_ORIGIN: Final = re.compile(rf"(?P<scheme>https?)://{_HOST}", re.IGNORECASE | re.ASCII)
# Applications in a web view have schemes of their own, capacitor://localhost for instance.
_ANY_ORIGIN: Final = re.compile(rf"(?P<scheme>[a-z][a-z0-9+.-]*)://{_HOST}", re.IGNORECASE | re.ASCII)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def is_own_origin(origin: str | None, host: str | None) -> bool:
    """Whether `Origin` names the host and port of `Host`; which scheme it names does not matter.

    TLS often ends at a proxy, so that the server does not know its own scheme: a `Host` without a port stands for the
    default port of the scheme in `Origin` (RFC 6454 section 6.2, RFC 9110 section 7.2).

    Args:
        origin: the value of `Origin`; None where the request has none.
        host: the value of `Host`, likewise. A header that came several times has its values joined by commas, which
            is no origin and no host.
    """
    page, server = _ORIGIN.fullmatch(origin or ""), _AUTHORITY.fullmatch(host or "")
    if page is None or server is None:
        return False
    default = _DEFAULT_PORTS[page["scheme"].lower()]
    return (page["host"].lower(), page["port"] or default) == (server["host"].lower(), server["port"] or default)


def as_browsers_write(origin: str) -> str | None:
    """An origin as browsers send it in `Origin`: lower case, no default port (RFC 6454 section 6.2).

    Args:
        origin: `scheme://host` or `scheme://host:port`.

    Returns:
        None where it is no origin: it has a user name, a path, a query or a fragment, it is `null`, or its host is a
        pattern or has characters that browsers write in punycode.
    """
    match = _ANY_ORIGIN.fullmatch(origin)
    if match is None or int(match["port"] or 0) > 65535:
        return None
    scheme, host, port = match["scheme"].lower(), match["host"].lower(), match["port"]
    return f"{scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS.get(scheme) else "")
