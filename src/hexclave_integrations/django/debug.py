"""`HexclaveReporterFilter`: keeps tokens, keys and passwords out of Django's debug page and error mails.

::

    DEFAULT_EXCEPTION_REPORTER_FILTER = "hexclave_integrations.django.debug.HexclaveReporterFilter"

Django hides what it knows by its name. It does not know the cookies of Hexclave's frontend, among them the refresh
token that lives for a year, the password inside a URL, nor a token that a view has put into a variable. What a view
puts into the text of an exception, or a caller into the query of the URL, stays visible.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter

from .._token.find import HEADER_NAMES, read_cookies
from ..config import HexclaveConfig
from ..errors import ConfigurationError
from ._conf import SETTING, installation

__all__ = ["HexclaveReporterFilter"]

_SHORTEST: Final = 8  # characters; less would hide words that are no secrets
_NAMES: Final = re.compile(r"REDIS_URL|DATABASE_URL|^(?:__Host-|__Secure-)?(?:stack|hexclave)-", re.IGNORECASE)
_PASSWORD_IN_URL: Final = re.compile(r"(://[^/@\s:]*:)[^@\s]+@")


class _Names:
    """A pattern that finds Django's own sensitive names and those of this package."""

    def __init__(self, djangos: Any) -> None:
        self.djangos = djangos

    def search(self, name: str) -> Any:
        return self.djangos.search(name) or _NAMES.search(name)


class HexclaveReporterFilter(SafeExceptionReporterFilter):
    """As Django's filter; it also hides the credentials of the request and of the settings, wherever they show."""

    hidden_settings: Any = _Names(SafeExceptionReporterFilter.hidden_settings)

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        """Hide a value by its name, and the password of a URL wherever it stands."""
        cleansed = super().cleanse_setting(key, value)
        return (
            _PASSWORD_IN_URL.sub(rf"\1{self.cleansed_substitute}@", cleansed) if isinstance(cleansed, str) else cleansed
        )

    def get_safe_settings(self) -> dict[str, Any]:
        """Hide secrets in the settings."""
        found = dict(super().get_safe_settings())
        if SETTING in found:
            found[SETTING] = self._hidden(found[SETTING], list(_secrets_of_settings()))
        return found

    def get_safe_request_meta(self, request: HttpRequest) -> dict[str, Any]:
        """Hide credentials among the headers."""
        return self._all_hidden(super().get_safe_request_meta(request), request)

    def get_safe_cookies(self, request: HttpRequest) -> dict[str, Any]:
        """Hide credentials among the cookies."""
        return self._all_hidden(super().get_safe_cookies(request), request)

    def get_traceback_frame_variables(self, request: Any, tb_frame: Any) -> Any:
        """Hide each variable that shows a credential, whatever its name."""
        return self._all_hidden(dict(super().get_traceback_frame_variables(request, tb_frame)), request).items()

    def _all_hidden(self, values: dict[str, Any], request: Any) -> dict[str, Any]:
        secrets = [*_secrets_of_settings(), *_secrets_of(request)]
        return {name: self._hidden(value, secrets) for name, value in values.items()}

    def _hidden(self, value: Any, secrets: list[str]) -> Any:
        try:
            text = value if isinstance(value, str) else repr(value)
        except Exception:  # noqa: BLE001  # of any object that a variable may hold
            return self.cleansed_substitute
        return self.cleansed_substitute if any(secret in text for secret in secrets) else value


def _secrets_of_settings() -> Iterator[str]:
    """The secrets that this package is configured with."""
    with contextlib.suppress(ConfigurationError):
        config = installation().config
        password = urlsplit(config.redis_url).password if isinstance(config.redis_url, str) else None
        for text in (config.secret_server_key, *config.webhook_secrets, password, password and unquote(password)):
            if text and len(text) >= _SHORTEST:
                yield text


def _secrets_of(request: Any) -> Iterator[str]:
    """The credentials in a request: each as it came, and the tokens inside it."""
    meta: dict[str, Any] = getattr(request, "META", {})
    for name in _header_names():
        yield from _parts(meta.get("HTTP_" + name.upper().replace("-", "_")))
    for raw in read_cookies([str(meta.get("HTTP_COOKIE", ""))]).values():
        yield from _parts(raw)
        yield from _parts(unquote(raw))


def _header_names() -> list[str]:
    try:
        config = installation().config
    except ConfigurationError:
        config = HexclaveConfig(project_id="internal")  # for the names that need no setting
    return [*HEADER_NAMES, config.api_key_header]


def _parts(value: object) -> Iterator[str]:
    """A credential and what it consists of: the items of JSON or of a list, and the parts of a token."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _parts(item)
        return
    if not isinstance(value, str):
        return
    text = value.strip()
    with contextlib.suppress(ValueError, RecursionError):
        decoded = json.loads(text)
        if not isinstance(decoded, str):
            yield from _parts(decoded)
    for word in re.split(r"[\s,]+", text):
        yield from (part for part in (word, *word.split(".")) if len(part) >= _SHORTEST)
    if len(text) >= _SHORTEST:
        yield text
