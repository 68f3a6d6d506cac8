"""`HexclaveConfig`: every setting of the kit, validated when it is made, from arguments or the environment."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

from ._base import settings
from .errors import ConfigurationError
from .telemetry._observer import Observer, checked

__all__ = ["AsyncTransport", "HexclaveConfig", "SyncTransport"]

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
            raise settings.setting_error("jwks_max_stale", "is less than jwks_max_age", "make it at least jwks_max_age")

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
            text = settings.from_environment(source, item.name)
            if text is not None:
                values[item.name] = settings.parsed(item.name, item.default, text)
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
                value = settings.parsed(item.name, item.default, text) if text else None
            if value is not None:
                found.setdefault(item.name, value)
        return cls.from_env(environ, **found)

    @staticmethod
    def webhook_secrets_from_env(environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """The webhook secrets alone, for an endpoint in an application that verifies no tokens.

        Args:
            environ: the variables; `os.environ` when None.
        """
        text = settings.from_environment(os.environ if environ is None else environ, "webhook_secrets")
        return () if text is None else settings.strings("webhook_secrets", settings.parsed("webhook_secrets", (), text))

    @staticmethod
    def data_vault_secret_from_env(environ: Mapping[str, str] | None = None) -> str | None:
        """The secret that the data vault's values are encrypted with, or None where it is not set (contract 4.7).

        Args:
            environ: the variables; `os.environ` when None.
        """
        return settings.from_environment(os.environ if environ is None else environ, "data_vault_secret")

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
            raise settings.setting_error(
                "secret_server_key", f"is missing, and {purpose} needs it", "copy it from the dashboard"
            )
        return self.secret_server_key


def _loopback_twins(url: str) -> tuple[str, ...]:
    """A clean base URL under each name of the loopback interface, if it has one of them; else nothing."""
    parts = urlsplit(url)
    host, colon, port = parts.netloc.rpartition(":") if parts.port is not None else (parts.netloc, "", "")
    if host not in _LOOPBACK_NAMES:
        return ()
    return tuple(parts._replace(netloc=f"{name}{colon}{port}").geturl() for name in _LOOPBACK_NAMES)


_CLEANERS: dict[str, Callable[[str, Any], object]] = {
    "project_id": settings.project_id,
    "secret_server_key": settings.key("ssk_"),
    "publishable_client_key": settings.key("pck_"),
    "api_url": settings.base_url,
    "issuer_urls": settings.base_urls,
    "accept_cookies": settings.boolean,
    "trusted_origins": settings.origins,
    "leeway": settings.number(0, 300),
    "jwks_max_age": settings.number(1, 86400),
    "jwks_max_stale": settings.number(1, 7 * 86400),
    "jwks_cooldown": settings.number(0, 3600),
    "jwks_file": settings.path,
    "http_timeout": settings.number(0.01, 60),
    "permission_ttl": settings.number(0, 3600),
    "api_key_ttl": settings.number(0, 3600),
    "max_questions": settings.number(1, 100_000),
    "api_key_header": settings.header_name,
    "token_cache_size": settings.integer(0, 1_000_000),
    "webhook_secrets": settings.webhook_secrets,
    "redis_url": settings.redis,
    "transport": settings.transport,
    "observer": checked,
}
