"""What is wrong with Redis, in words that help whoever reads the log, and without its URL, user or password."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl, urlsplit

__all__ = ["is_demoted", "name_problem", "name_url_problem"]

# What an error of Redis begins with, such as NOPERM. Before Redis 7 an error inside of a script came after its place.
_CODE: Final = re.compile(r"(?:^|: -)([A-Z]{3,})\b")
_BY_CODE: Final = {
    "NOAUTH": "it asks for a password and got none: put one into the URL",
    "WRONGPASS": "it does not take the user name or password in the URL",
    "NOPERM": "its ACL does not let this user run scripts, or use these keys (NOPERM)",
    "READONLY": "it is a read-only replica",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "LOADING": "it is still loading its data",
    "OOM": "its memory is full and it evicts nothing (OOM)",
    "MISCONF": "it cannot save its data and therefore takes no writes (MISCONF)",
    "NOREPLICAS": "it has too few replicas and therefore takes no writes (NOREPLICAS)",
    "MOVED": "it is a cluster, which is not supported",
    "CROSSSLOT": "it is a cluster, which is not supported",
    "CLUSTERDOWN": "it is a cluster, which is not supported",
    "WRONGTYPE": "another program keeps something else under our keys (WRONGTYPE)",
}
_DEMOTED: Final = ("READONLY", "MASTERDOWN")
# The library has exception classes for some codes and leaves the code out of their text.
_CODES_OF_CLASSES: Final = {
    "NoPermissionError": "NOPERM",
    "ReadOnlyError": "READONLY",
    "MasterDownError": "MASTERDOWN",
    "BusyLoadingError": "LOADING",
    "OutOfMemoryError": "OOM",
    "MovedError": "MOVED",
    "ClusterCrossSlotError": "CROSSSLOT",
    "ClusterDownError": "CLUSTERDOWN",
}
# X509_V_ERR_... of OpenSSL's x509_vfy.h.
_CERTIFICATES: Final = {
    10: "has expired",
    18: "is self-signed, and not among those that are trusted",
    19: "comes from an issuer that is not trusted",
    20: "comes from an issuer that is not trusted",
    62: "is for another host name",
    64: "is for another address",
}
_NO_TLS: Final = "where the port speaks no TLS, the URL begins with redis://"
_CLOSED: Final = (
    "it closed the connection; a server that expects TLS does that where the URL begins with redis:// in place of "
    "rediss://"
)


def name_problem(error: BaseException, is_tls: bool = False) -> str:
    """What an error of the Redis library means: for an operator, after "Redis cannot be asked"."""
    for each in _chain(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"its certificate {_CERTIFICATES.get(each.verify_code, 'is not trusted')}"
        if isinstance(each, ssl.SSLError):
            return f"the TLS handshake failed; {_NO_TLS}"
        if isinstance(each, socket.gaierror):
            return "its host name is not known"
    for each in _chain(error):
        if isinstance(each, ConnectionRefusedError):
            return "nobody listens there (connection refused)"
    code = _code_of(error)
    if code in _BY_CODE:
        return _BY_CODE[code]
    name = type(error).__name__
    if name.startswith("Authentication"):
        # The library leaves the code out, and servers before Redis 6 have none for a wrong password.
        said = str(error).lower()
        if "without any password" in said or "no password is set" in said:
            return "it has no password, and the URL has one"
        return _BY_CODE["NOAUTH" if "required" in said or "already authenticated" in said else "WRONGPASS"]
    if name == "MasterNotFoundError":
        return "the Sentinels know no primary of that name"
    if name == "MaxConnectionsError":
        return "all connections of its pool are in use"
    if any(isinstance(each, TimeoutError) for each in _chain(error)) or name == "TimeoutError":
        # A plain port waits for the end of what it takes for a command.
        is_handshake = is_tls and "connecting" in str(error)
        return f"it did not answer {f'the TLS handshake in time; {_NO_TLS}' if is_handshake else 'in time'}"
    if any(isinstance(each, ConnectionResetError | BrokenPipeError | EOFError) for each in _chain(error)):
        return _CLOSED
    if name == "ConnectionError" and "closed" in str(error).lower():
        return _CLOSED
    system = next((each for each in _chain(error) if isinstance(each, OSError) and each.errno), None)
    if system is not None:
        return f"it cannot be reached (system error {system.errno})"
    return f"{name} ({code})" if code else name


def is_demoted(error: BaseException) -> bool:
    """Whether the server has become a replica: its address may lead to another one by now."""
    return _code_of(error) in _DEMOTED


def name_url_problem(url: object, error: BaseException) -> str:
    """Why the Redis library does not take a URL; the text names options, and no value."""
    query = urlsplit(url).query if isinstance(url, str) and "://" in url else ""
    if "@" in query:  # a password with a question mark in it
        return 'redis_url is no Redis URL: write special characters of the password as in "%3F".'
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True) if re.fullmatch(r"[A-Za-z_]+", name)]
    found = next((name for name in names if re.search(rf"['\"`]{name}['\"`]", str(error))), None)
    if found is not None and isinstance(error, TypeError):
        fix = "Options for TLS need rediss://" if found.startswith("ssl_") else "Remove it from the URL"
        return f'redis_url has an option that the package redis does not know there: "{found}". {fix}.'
    if found is not None or (names and not isinstance(error, ValueError)):
        return f'redis_url has an option with a value that the package redis does not take: "{found or names[0]}".'
    return "redis_url is no Redis URL: use redis://host:6379/0 or rediss://..."


def _code_of(error: BaseException) -> str | None:
    found = _CODE.search(str(error))
    by_class = next((code for each in type(error).__mro__ if (code := _CODES_OF_CLASSES.get(each.__name__))), None)
    return by_class or (found[1] if found else None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from."""
    current: BaseException | None = error
    for _ in range(10):
        if current is None:
            return
        yield current
        current = current.__cause__ or current.__context__
