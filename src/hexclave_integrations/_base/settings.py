"""What a setting may be: read from a variable of the environment, and cleaned or refused with a message that helps.

A cleaner takes the name of a setting and a value, and returns the value as the rest of the kit may rely on it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ..errors import ConfigurationError
from .origin import as_browsers_write
from .webhook_secret import signing_key

__all__ = [
    "base_url",
    "base_urls",
    "boolean",
    "from_environment",
    "header_name",
    "integer",
    "key",
    "number",
    "origins",
    "parsed",
    "path",
    "project_id",
    "redis",
    "setting_error",
    "strings",
    "transport",
    "webhook_secrets",
]

# A UUID as Hexclave's SDK accepts it for project ids: version 1-8, variant 0/8/9/a/b (contract section 8).
_PROJECT_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[089ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
# A name or an IPv6 address; no "%00", no ";" between URLs.
_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.ASCII)
_LOOPBACK: Final = re.compile(r"localhost|127(\.\d{1,3}){3}|::1", re.ASCII)


def setting_error(name: str, problem: str, fix: str) -> ConfigurationError:
    """What is wrong with a setting and what mends it; never its value."""
    variable = name.upper()
    return ConfigurationError(
        f"{name} {problem}: {fix}; pass {name}=... or set HEXCLAVE_{variable} (or the legacy STACK_{variable})."
    )


def from_environment(environ: Mapping[str, str], name: str) -> str | None:
    """The text of a setting, from `HEXCLAVE_X` or the legacy `STACK_X`; None where neither has one."""
    variables = [f"HEXCLAVE_{name.upper()}", f"STACK_{name.upper()}"]
    if name == "webhook_secrets":  # the documentation's own name for a single secret (contract section 6)
        variables += ["HEXCLAVE_WEBHOOK_SECRET", "STACK_WEBHOOK_SECRET"]
    for variable in variables:
        text = environ.get(variable, "").strip()
        if text:
            return text
    return None


def parsed(name: str, default: object, text: str) -> object:
    """Turn a variable's text into the type of the field's default; the cleaners judge the value."""
    if isinstance(default, bool):
        lowered = text.lower()
        if lowered in {"1", "true", "yes", "on"}:
            return True
        if lowered in {"0", "false", "no", "off"}:
            return False
        raise setting_error(name, "is neither true nor false", "use true or false")
    if isinstance(default, int | float):
        try:
            return int(text) if name == "token_cache_size" else float(text)
        except ValueError:
            raise setting_error(name, "is not a number", "use a plain number") from None
    if isinstance(default, tuple):
        return tuple(part for part in (piece.strip() for piece in text.replace(",", " ").split()) if part)
    return text


def project_id(name: str, value: object) -> str:
    """A UUID in lower case, or `internal`."""
    if value is None or value == "":
        raise setting_error(name, "is missing", "copy the project id from the dashboard")
    if not isinstance(value, str):
        raise setting_error(name, "is not a string", "use the project's UUID")
    lowered = value.lower()
    if lowered != "internal" and not _PROJECT_ID.fullmatch(lowered):
        raise setting_error(name, "is neither a UUID nor 'internal'", "copy the project id from the dashboard")
    return lowered


def key(prefix: str) -> Callable[[str, object], str | None]:
    """The cleaner of a key whose text begins with `prefix`; it refuses the keys of another kind."""
    foreign = {"pck_", "ssk_", "sak_"} - {prefix}

    def clean(name: str, value: object) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str) or not re.fullmatch(r"[!-~]{1,512}", value):
            raise setting_error(name, "is not a key", f"use the value that starts with {prefix}")
        if value[:4] in foreign:
            raise setting_error(
                name, f"is a key of another kind ({value[:4]}...)", f"use the one that starts with {prefix}"
            )
        return value

    return clean


def base_url(name: str, value: object) -> str:
    """A URL as tokens name it: https, or http on loopback; without the default port and a slash at the end."""
    fix = "use a base URL such as https://api.hexclave.com (http only on loopback)"
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise setting_error(name, "is not a URL", fix)
    try:
        parts: SplitResult = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise setting_error(name, "is not a URL", fix) from None
    if "@" in parts.netloc or "?" in value or "#" in value or "\\" in value:
        raise setting_error(name, "has a user name, query or fragment", fix)
    path = parts.path.rstrip("/")
    if "/api/v1" in path or "/api/latest" in path:
        raise setting_error(name, "contains the API path", "leave out everything from /api/ on")
    if not _HOST.fullmatch(host):
        raise setting_error(name, "is not a URL", fix)
    if not (parts.scheme == "https" or (parts.scheme == "http" and _LOOPBACK.fullmatch(host))):
        raise setting_error(name, "is not secure", fix)
    location = f"[{host}]" if ":" in host else host
    if port is not None and port != {"http": 80, "https": 443}[parts.scheme]:
        location += f":{port}"
    return f"{parts.scheme}://{location}{path}"


def base_urls(name: str, value: object) -> tuple[str, ...]:
    """Several of these."""
    return tuple(base_url(name, item) for item in strings(name, value))


def origins(name: str, value: object) -> tuple[str, ...]:
    """Origins as browsers write them."""
    origins = [as_browsers_write(item) for item in strings(name, value)]
    if None in origins:
        fix = "write scheme://host or scheme://host:port, without a path, a slash at the end, a * or a user name"
        raise setting_error(name, "has something that is no origin", f"{fix}, and letters outside ASCII in punycode")
    return tuple(origin for origin in origins if origin is not None)


def strings(name: str, value: object) -> tuple[str, ...]:
    """A text or several; none of them empty."""
    items: Sequence[object] = (value,) if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    if (not items and value not in ((), [])) or not all(isinstance(item, str) and item for item in items):
        raise setting_error(name, "is not a list of strings", "use a list, or commas in the variable")
    return tuple(str(item) for item in items)


def webhook_secrets(name: str, value: object) -> tuple[str, ...]:
    """Secrets that signatures can be checked with."""
    secrets = strings(name, value)
    for secret in secrets:
        signing_key(secret)
    return secrets


def _optional_string(name: str, value: object) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise setting_error(name, "is not a string", "leave it out or give a value")
    return value


def path(name: str, value: object) -> str | None:
    """The path of a file, or None."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value or value.endswith(("/", os.sep)):
        raise setting_error(name, "is not the path of a file", "give a path such as /var/lib/app/hexclave-keys")
    return value


def redis(name: str, value: object) -> object:
    """A URL, a client, or None."""
    # A client, which a Sentinel may have made; the package redis need not be there to tell.
    # A cluster's is refused by whoever uses it.
    is_client = callable(getattr(value, "eval", None)) and callable(getattr(value, "execute_command", None))
    return value if is_client and not isinstance(value, type) else _optional_string(name, value)


def header_name(name: str, value: object) -> str:
    """The name of a header, in lower case, that has no other meaning here."""
    # No underscore: WSGI cannot tell it from a dash, and proxies drop such headers.
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", value):
        raise setting_error(name, "is not a header name", "use letters, digits and dashes, as in x-api-key")
    lowered = value.lower()
    if lowered in ("authorization", "cookie", "x-stack-access-token", "x-hexclave-access-token", "x-stack-auth"):
        raise setting_error(name, "is a header with a meaning of its own", "use a name such as x-api-key")
    return lowered


def boolean(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise setting_error(name, "is neither True nor False", "use True or False")
    return value


def number(low: float, high: float) -> Callable[[str, object], float]:
    """The cleaner of a number from `low` to `high`."""

    def clean(name: str, value: object) -> float:
        # The comparison refuses NaN too.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise setting_error(name, "is not a number in range", f"use a number from {low:g} to {high:g}")
        return value

    return clean


def integer(low: int, high: int) -> Callable[[str, object], int]:
    """The cleaner of a whole number from `low` to `high`."""

    def clean(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise setting_error(name, "is not a whole number in range", f"use a whole number from {low} to {high}")
        return value

    return clean


def transport(name: str, value: object) -> object:
    """A transport of httpx, sync or async, or None."""
    if value is not None and not (hasattr(value, "handle_request") or hasattr(value, "handle_async_request")):
        raise ConfigurationError(f"{name} is no transport: pass an object with handle_request or handle_async_request.")
    return value
