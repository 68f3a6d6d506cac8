"""`HexclaveConfig`: every setting of the kit, validated when it is made, from arguments or the environment."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, Self
from urllib.parse import SplitResult, urlsplit

from ._base.origin import as_browsers_write
from ._base.webhook_secret import signing_key
from .errors import ConfigurationError
from .telemetry._observer import Observer, checked

__all__ = ["AsyncTransport", "HexclaveConfig", "SyncTransport"]

# A UUID as Hexclave's SDK accepts it for project ids: version 1-8, variant 0/8/9/a/b (contract section 8).
_PROJECT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[089ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.ASCII)  # a name or an IPv6 address; no "%00", no ";" between URLs
_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1", re.ASCII)
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_CLOUD_HOST = re.compile(r"https://api[12]?(\.dev|\.staging)?\.(?:hexclave|stack-auth)\.com", re.ASCII)


class SyncTransport(Protocol):
    """What `HexclaveClient` sends through when the default will not do: an httpx transport, for instance."""

    def handle_request(self, request: Any, /) -> Any: ...


class AsyncTransport(Protocol):
    """What `AsyncHexclaveClient` sends through when the default will not do."""

    async def handle_async_request(self, request: Any, /) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HexclaveConfig:
    """The settings of one Hexclave project. Validated on construction; secrets stay out of `repr`.

    Args:
        project_id: the project's UUID, or `internal`.
        secret_server_key: `ssk_...`; needed for permissions, teams, live checks and API keys.
        publishable_client_key: `pck_...`; only for projects that require it.
        api_url: base URL of the API; https, or http on loopback.
        issuer_urls: base URLs whose tokens are accepted besides those of `api_url`.
        accept_cookies: read tokens from cookies too. Cookies invite CSRF: off unless asked for (contract 1.3), and
            requests that change something then have to come from a page of this server's own origin.
        trusted_origins: `scheme://host[:port]` of other pages whose requests may carry cookies.
        leeway: clock skew allowed in token times, seconds.
        jwks_max_age: age at which the key set is refreshed in the background, seconds.
        jwks_max_stale: age up to which old keys serve while they cannot be refreshed, seconds.
        jwks_cooldown: least time between key fetches for unknown keys or after a failure, seconds.
        jwks_file: where the last good key set is kept, for a process that starts while Hexclave is away. A file of one
            project; its folder is there, and only this user may write to it.
        http_timeout: longest wait for Hexclave, seconds.
        permission_ttl: how long permissions and memberships are remembered, seconds; 0 asks every time.
        api_key_ttl: how long a checked API key is remembered, seconds; 0 asks every time.
        max_questions: how many questions a second this process puts to Hexclave for callers who may be strangers: with
            an API key that was never valid here, or about a team that they were never seen to be a member of.
        api_key_header: the header that API keys are sent in, besides `Authorization: Bearer`.
        token_cache_size: how many verified tokens are remembered; 0 turns the cache off.
        webhook_secrets: `whsec_...` secrets of the webhook endpoint, newest first.
        redis_url: where state is shared between processes: a URL, or a client of the package redis.
        transport: how to reach Hexclave instead of real HTTP; the sandbox and tests set it.
        observer: is told of decisions, questions and deliveries, see `hexclave_integrations.telemetry`.

    Raises:
        ConfigurationError: a value is missing or wrong; the message names setting, variables and fix.
    """

    project_id: str = ""
    secret_server_key: str | None = field(default=None, repr=False)
    publishable_client_key: str | None = field(default=None, repr=False)
    api_url: str = "https://api.hexclave.com"
    issuer_urls: tuple[str, ...] = ()
    accept_cookies: bool = False
    trusted_origins: tuple[str, ...] = ()
    leeway: float = 10
    jwks_max_age: float = 600
    jwks_max_stale: float = 86400
    jwks_cooldown: float = 30
    jwks_file: str | os.PathLike[str] | None = None
    http_timeout: float = 3
    permission_ttl: float = 60
    api_key_ttl: float = 60
    max_questions: float = 50
    api_key_header: str = "x-api-key"
    token_cache_size: int = 4096
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    redis_url: Any = field(default=None, repr=False)
    transport: SyncTransport | AsyncTransport | None = field(default=None, repr=False, compare=False)
    observer: Observer | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, clean in _CLEANERS.items():
            object.__setattr__(self, name, clean(name, getattr(self, name)))
        if self.jwks_max_stale < self.jwks_max_age:
            raise _error("jwks_max_stale", "is less than jwks_max_age", "make it at least jwks_max_age")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """Read every setting from `HEXCLAVE_X`, then the legacy `STACK_X`; arguments win over both.

        Args:
            environ: the variables; `os.environ` when None. An empty or blank variable counts as unset.
            overrides: settings by field name; None counts as not given.

        Raises:
            ConfigurationError: as on construction.
        """
        source = os.environ if environ is None else environ
        values = {name: value for name, value in overrides.items() if value is not None}
        for item in fields(cls):
            if item.name in values or item.name in ("transport", "observer"):  # which no text can name
                continue
            text = _from_environment(source, item.name)
            if text is not None:
                values[item.name] = _parse(item.name, item.default, text)
        return cls(**values)

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, Any], prefix: str = "", environ: Mapping[str, str] | None = None
    ) -> Self:
        """Read the settings of a framework (`PROJECT_ID` and so on), and from the environment what they lack.

        Args:
            values: typed values, or texts as in variables; None and a blank text count as lacking.
            prefix: how the names of ours begin among the others, `HEXCLAVE_` for instance; all are ours when empty.
            environ: the variables; `os.environ` when None.

        Raises:
            ConfigurationError: as on construction, or a name is no setting: a misspelt one must not be ignored.
        """
        if not isinstance(values, Mapping):
            raise ConfigurationError("The settings of Hexclave are no mapping of names to values.")
        names = {f"{prefix}{item.name.upper()}": item for item in fields(cls)}
        names[f"{prefix}WEBHOOK_SECRET"] = names[f"{prefix}WEBHOOK_SECRETS"]
        for name in values:
            if str(name).startswith(prefix) and name not in names:
                near = difflib.get_close_matches(str(name).upper(), names, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(names))}."
                raise ConfigurationError(f"{name} is no setting of Hexclave: {hint}")
        found: dict[str, Any] = {}
        for name, item in names.items():
            value = values.get(name)
            if isinstance(value, str):
                text = value.strip()
                value = _parse(item.name, item.default, text) if text else None
            if value is not None:
                found.setdefault(item.name, value)
        return cls.from_env(environ, **found)

    @staticmethod
    def webhook_secrets_from_env(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """The webhook secrets alone, for an endpoint in an application that verifies no tokens.

        Args:
            environ: the variables; `os.environ` when None.
        """
        text = _from_environment(os.environ if environ is None else environ, "webhook_secrets")
        return () if text is None else _strings("webhook_secrets", _parse("webhook_secrets", (), text))

    @staticmethod
    def data_vault_secret_from_env(environ: Mapping[str, str] | None = None) -> str | None:
        """The secret that the data vault's values are encrypted with, or None where it is not set (contract 4.7).

        Args:
            environ: the variables; `os.environ` when None.
        """
        return _from_environment(os.environ if environ is None else environ, "data_vault_secret")

    @property
    def issuer_bases(self) -> tuple[str, ...]:
        """Base URLs whose issuers are accepted: those of `api_url`, then `issuer_urls`.

        Both cloud hosts stand for each other, and so do the three names of the loopback interface, with the same
        scheme, port and path: a local server cannot know by which of them it will be called. Any other host stands
        for itself alone.
        """
        cloud = _CLOUD_HOST.fullmatch(self.api_url)
        if cloud:
            stage = cloud[1] or ""
            own: tuple[str, ...] = (f"https://api{stage}.hexclave.com", f"https://api{stage}.stack-auth.com")
        else:
            own = (self.api_url, *_loopback_twins(self.api_url))
        return tuple(dict.fromkeys(own + self.issuer_urls))

    def require_server_key(self, purpose: str) -> str:
        """The secret server key, for something that cannot work without it.

        Raises:
            ConfigurationError: it is not set; the message names `purpose`.
        """
        if self.secret_server_key is None:
            raise _error("secret_server_key", f"is missing, and {purpose} needs it", "copy it from the dashboard")
        return self.secret_server_key


def _loopback_twins(url: str) -> tuple[str, ...]:
    """A clean base URL under each name of the loopback interface, if it has one of them; else nothing."""
    parts = urlsplit(url)
    host, colon, port = parts.netloc.rpartition(":") if parts.port is not None else (parts.netloc, "", "")
    if host not in _LOOPBACK_NAMES:
        return ()
    return tuple(parts._replace(netloc=f"{name}{colon}{port}").geturl() for name in _LOOPBACK_NAMES)


def _error(name: str, problem: str, fix: str) -> ConfigurationError:
    variable = name.upper()
    return ConfigurationError(
        f"{name} {problem}: {fix}; pass {name}=... or set HEXCLAVE_{variable} (or the legacy STACK_{variable})."
    )


def _from_environment(environ: Mapping[str, str], name: str) -> str | None:
    variables = [f"HEXCLAVE_{name.upper()}", f"STACK_{name.upper()}"]
    if name == "webhook_secrets":  # the documentation's own name for a single secret (contract section 6)
        variables += ["HEXCLAVE_WEBHOOK_SECRET", "STACK_WEBHOOK_SECRET"]
    for variable in variables:
        text = environ.get(variable, "").strip()
        if text:
            return text
    return None


def _parse(name: str, default: object, text: str) -> object:
    """Turn a variable's text into the type of the field's default; the cleaners judge the value."""
    if isinstance(default, bool):
        lowered = text.lower()
        if lowered in {"1", "true", "yes", "on"}:
            return True
        if lowered in {"0", "false", "no", "off"}:
            return False
        raise _error(name, "is neither true nor false", "use true or false")
    if isinstance(default, int | float):
        try:
            return int(text) if name == "token_cache_size" else float(text)
        except ValueError:
            raise _error(name, "is not a number", "use a plain number") from None
    if isinstance(default, tuple):
        return tuple(part for part in (piece.strip() for piece in text.replace(",", " ").split()) if part)
    return text


def _project_id(name: str, value: object) -> str:
    if value is None or value == "":
        raise _error(name, "is missing", "copy the project id from the dashboard")
    if not isinstance(value, str):
        raise _error(name, "is not a string", "use the project's UUID")
    lowered = value.lower()
    if lowered != "internal" and not _PROJECT_ID.fullmatch(lowered):
        raise _error(name, "is neither a UUID nor 'internal'", "copy the project id from the dashboard")
    return lowered


def _key(prefix: str) -> Callable[[str, object], str | None]:
    foreign = {"pck_", "ssk_", "sak_"} - {prefix}

    def clean(name: str, value: object) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str) or not re.fullmatch(r"[!-~]{1,512}", value):
            raise _error(name, "is not a key", f"use the value that starts with {prefix}")
        if value[:4] in foreign:
            raise _error(name, f"is a key of another kind ({value[:4]}...)", f"use the one that starts with {prefix}")
        return value

    return clean


def _base_url(name: str, value: object) -> str:
    fix = "use a base URL such as https://api.hexclave.com (http only on loopback)"
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise _error(name, "is not a URL", fix)
    try:
        parts: SplitResult = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _error(name, "is not a URL", fix) from None
    if "@" in parts.netloc or "?" in value or "#" in value or "\\" in value:
        raise _error(name, "has a user name, query or fragment", fix)
    path = parts.path.rstrip("/")
    if "/api/v1" in path or "/api/latest" in path:
        raise _error(name, "contains the API path", "leave out everything from /api/ on")
    if not _HOST.fullmatch(host):
        raise _error(name, "is not a URL", fix)
    if not (parts.scheme == "https" or (parts.scheme == "http" and _LOOPBACK.fullmatch(host))):
        raise _error(name, "is not secure", fix)
    location = f"[{host}]" if ":" in host else host
    if port is not None and port != {"http": 80, "https": 443}[parts.scheme]:
        location += f":{port}"
    return f"{parts.scheme}://{location}{path}"


def _base_urls(name: str, value: object) -> tuple[str, ...]:
    return tuple(_base_url(name, item) for item in _strings(name, value))


def _origins(name: str, value: object) -> tuple[str, ...]:
    origins = [as_browsers_write(item) for item in _strings(name, value)]
    if None in origins:
        fix = "write scheme://host or scheme://host:port, without a path, a slash at the end, a * or a user name"
        raise _error(name, "has something that is no origin", f"{fix}, and letters outside ASCII in punycode")
    return tuple(origin for origin in origins if origin is not None)


def _strings(name: str, value: object) -> tuple[str, ...]:
    items: Sequence[object] = (value,) if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    if (not items and value not in ((), [])) or not all(isinstance(item, str) and item for item in items):
        raise _error(name, "is not a list of strings", "use a list, or commas in the variable")
    return tuple(str(item) for item in items)


def _webhook_secrets(name: str, value: object) -> tuple[str, ...]:
    secrets = _strings(name, value)
    for secret in secrets:
        signing_key(secret)
    return secrets


def _optional_string(name: str, value: object) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise _error(name, "is not a string", "leave it out or give a value")
    return value


def _path(name: str, value: object) -> str | None:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value or value.endswith(("/", os.sep)):
        raise _error(name, "is not the path of a file", "give a path such as /var/lib/app/hexclave-keys")
    return value


def _redis(name: str, value: object) -> object:
    # A client, which a Sentinel may have made; the package redis need not be there to tell.
    # A cluster's is refused by whoever uses it.
    is_client = callable(getattr(value, "eval", None)) and callable(getattr(value, "execute_command", None))
    return value if is_client and not isinstance(value, type) else _optional_string(name, value)


def _header_name(name: str, value: object) -> str:
    # No underscore: WSGI cannot tell it from a dash, and proxies drop such headers.
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", value):
        raise _error(name, "is not a header name", "use letters, digits and dashes, as in x-api-key")
    lowered = value.lower()
    if lowered in ("authorization", "cookie", "x-stack-access-token", "x-hexclave-access-token", "x-stack-auth"):
        raise _error(name, "is a header with a meaning of its own", "use a name such as x-api-key")
    return lowered


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _error(name, "is neither True nor False", "use True or False")
    return value


def _number(low: float, high: float) -> Callable[[str, object], float]:
    def clean(name: str, value: object) -> float:
        # The comparison refuses NaN too.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise _error(name, "is not a number in range", f"use a number from {low:g} to {high:g}")
        return value

    return clean


def _integer(low: int, high: int) -> Callable[[str, object], int]:
    def clean(name: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _error(name, "is not a whole number in range", f"use a whole number from {low} to {high}")
        return value

    return clean


def _transport(name: str, value: object) -> object:
    if value is not None and not (hasattr(value, "handle_request") or hasattr(value, "handle_async_request")):
        raise ConfigurationError(f"{name} is no transport: pass an object with handle_request or handle_async_request.")
    return value


_CLEANERS: dict[str, Callable[[str, Any], object]] = {
    "project_id": _project_id,
    "secret_server_key": _key("ssk_"),
    "publishable_client_key": _key("pck_"),
    "api_url": _base_url,
    "issuer_urls": _base_urls,
    "accept_cookies": _boolean,
    "trusted_origins": _origins,
    "leeway": _number(0, 300),
    "jwks_max_age": _number(1, 86400),
    "jwks_max_stale": _number(1, 7 * 86400),
    "jwks_cooldown": _number(0, 3600),
    "jwks_file": _path,
    "http_timeout": _number(0.01, 60),
    "permission_ttl": _number(0, 3600),
    "api_key_ttl": _number(0, 3600),
    "max_questions": _number(1, 100_000),
    "api_key_header": _header_name,
    "token_cache_size": _integer(0, 1_000_000),
    "webhook_secrets": _webhook_secrets,
    "redis_url": _redis,
    "transport": _transport,
    "observer": checked,
}
