"""Keep credentials out of Sentry: a `before_send` that removes Hexclave's tokens and keys from an event.

::

    from hexclave_integrations.sentry import before_send

    sentry_sdk.init(dsn=..., before_send=before_send, before_send_transaction=before_send)

With a hook of the application's own, call this one last, so that it sees what the other added::

    def my_before_send(event, hint):
        event["tags"] = {**event.get("tags", {}), "region": "eu"}
        return before_send(event, hint)

An API key that comes in a header with a name of its own is removed with `scrub(event, names=["x-partner-key"])`.
`before_send_log` and `before_send_span` may be this hook as well.

When a view fails, Sentry sends the request's headers and cookies and the local variables of each frame. Credentials are
found there by the names they have (contract 1.1, 1.3 and 3.2), by their shapes (a JSON web token, an envelope, an API
key, a project key, a webhook secret), and once found, wherever else in the event they stand.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any, Final
from urllib.parse import quote, unquote

from ._token.find import HEADER_NAMES

__all__ = ["FILTERED", "before_send", "scrub"]

FILTERED: Final = "[Filtered]"
"""What stands in place of a credential; Sentry's own scrubber writes the same."""

_MAX_DEPTH: Final = 40
_MAX_TEXT: Final = 256 * 1024
_MAX_KNOWN: Final = 100
_ENCODINGS: Final = 3  # percent-encoding of percent-encoding, as in a URL in a URL

# Names of headers, cookies, fields and variables, in lower case and with dashes.
_NAME: Final = re.compile(
    "|".join(re.escape(name) for name in HEADER_NAMES)
    + r"|(?:access|refresh)-?token|api-?key|(?:server|admin|client)-?key|webhook-?secrets?|sec-websocket-protocol"
    r"|(?:stack|hexclave)-(?:refresh|access)"
)
# The same in a text, with what may stand between a name and its value: "=", ": ", "', b'", '\\": \\"', "%22%3A%22".
# A name and a blank alone are prose.
_BETWEEN: Final = r"""(?:%[0-9A-Fa-f]{2}|[^A-Za-z0-9%]|[bru](?=['"]))"""
_NAMED: Final = re.compile(
    r"((?:(?:access|refresh)[_-]?token|stack[_-]auth|authorization|api[_-]?key|(?:server|admin|client)[_-]?key"
    r"|(?:stack|hexclave)-(?:refresh|access)(?!-token)[A-Za-z0-9-]{0,160}+)"
    rf"[ \t]{{0,4}}(?:%[0-9A-Fa-f]{{2}}|[^A-Za-z0-9%\s.]){_BETWEEN}{{0,24}}+(?:(?:Bearer|Basic)(?:\s|\+|%20){{1,8}})?)"
    r"([A-Za-z0-9._~+/=%-]{16,})",
    re.IGNORECASE | re.ASCII,
)
_SHAPE: Final = re.compile(
    r"(?:eyJ|ZXlK)[\w+/=%.-]{8,}"  # base64 of '{"', where tokens and envelopes begin, and base64 of that
    r"|(?:stackauth|hexclave)_(?!integrations)[A-Za-z0-9+/=%]{16,}"
    r"|(?<![A-Za-z0-9])(?:ssk|sak|pck|sk|pk)_[A-Za-z0-9]{16,}"
    r"|whsec_[A-Za-z0-9+/=_%-]{8,}"
    r"|(?<![\w-])[\w-]{86}(?![\w-])",  # the signature of a token
    re.ASCII,
)
_API_KEY: Final = "574ck4u7h"
_WORD: Final = re.compile(r"\w+", re.ASCII)
_RUN: Final = re.compile(r"[A-Za-z0-9_~+/=-]{16,}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ENVELOPES: Final = ("stackauth_", "hexclave_")
_SOURCE: Final = frozenset({"context_line", "pre_context", "post_context"})
_PLAIN: Final = (bool, int, float, date, type(None))


def before_send(event: Any, hint: Any = None) -> Any:
    """The event without credentials: for `before_send` and its kin of `sentry_sdk.init`; never raises.

    Args:
        event: as Sentry hands it over, serialized.
        hint: not read.
    """
    return scrub(event)


def scrub(event: Any, *, names: Iterable[str] = ()) -> Any:
    """A copy of an event without credentials; a part that cannot be scrubbed is left out. Never raises.

    Args:
        event: as Sentry hands it over, serialized.
        names: of further headers, cookies, fields or variables that hold credentials, `api_key_header` for instance.
    """
    try:
        return _Scrubber(frozenset(_normal(name) for name in names)).event(event)
    except Exception:  # noqa: BLE001  # an event that is lost is better than a token that is not
        return None


class _Scrubber:
    """Two walks over an event: one that learns which texts are credentials, one that leaves them out."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._known: dict[str, None] = {}
        self._ordered: list[str] = []

    def event(self, event: Any) -> Any:
        """The event, part by part, so that one bad part does not cost the others."""
        parts = event.items() if isinstance(event, dict) else [("", event)]
        for name, part in parts:
            with contextlib.suppress(Exception):
                self._learn(part, str(name), 1)
        spelled = {form for secret in self._known for form in (secret, quote(secret, safe=""))}
        # A credential before those it contains.
        self._ordered = sorted(spelled, key=lambda secret: (-len(secret), secret))
        if not isinstance(event, dict):
            return self._clean(event, "", 0)
        cleaned = {}
        for name, part in parts:
            with contextlib.suppress(Exception):  # left out
                cleaned[self._clean_key(name)] = self._clean(part, str(name), 1)
        return cleaned

    def _learn(self, value: Any, name: str, depth: int) -> None:
        """Note the credentials in a value, which has this name where it stands."""
        if depth > _MAX_DEPTH or name in _SOURCE:
            return
        if isinstance(value, dict):
            for key, item in value.items():
                self._learn(item, str(key), depth + 1)
        elif isinstance(value, list | tuple):
            named = self._pair_name(value)
            for item in value:
                self._learn(item, named or name, depth + 1)
        elif isinstance(value, str | bytes) and len(value) <= _MAX_TEXT:
            text = _decoded(_text(value))
            if self._is_credential(name):
                self._note(text)
            for match in _NAMED.finditer(text):
                self._note(match[2])
            for match in _SHAPE.finditer(text):
                self._note(match[0])

    def _note(self, text: str) -> None:
        for piece in _pieces(text):
            for run in _RUN.findall(piece):
                if len(self._known) >= _MAX_KNOWN:
                    return
                # What has no digit is a word of a program, and an id is no secret.
                if any(map(str.isdigit, run)) and not _UUID.fullmatch(run):
                    self._known[run] = None

    def _clean(self, value: Any, name: str, depth: int) -> Any:
        if isinstance(value, _PLAIN):
            return value
        if depth > _MAX_DEPTH:
            return FILTERED
        if isinstance(value, dict):
            items = () if self._is_credential(name) else value.items()
            return {self._clean_key(key): self._clean(item, str(key), depth + 1) for key, item in items}
        if isinstance(value, list | tuple):
            named = self._pair_name(value)
            if named is not None:
                return [self._text(_text(value[0]), ""), FILTERED]
            return [self._clean(item, name, depth + 1) for item in value]
        if not isinstance(value, str | bytes) or self._is_credential(name):
            return FILTERED
        return self._text(_text(value), name)

    def _clean_key(self, key: Any) -> Any:
        return self._text(key, "") if isinstance(key, str) else key

    def _text(self, text: str, name: str) -> str:
        if len(text) > _MAX_TEXT:
            return FILTERED
        cleaned = self._once(text, name)
        decoded = _decoded(cleaned)
        if decoded != cleaned:
            again = self._once(decoded, name)
            if again != decoded:  # something was hidden in the encoding
                return again
        return cleaned

    def _once(self, text: str, name: str) -> str:
        text = _SHAPE.sub(FILTERED, text)
        for secret in self._ordered:
            text = text.replace(secret, FILTERED)
        if _API_KEY in text:
            text = _WORD.sub(lambda match: FILTERED if _API_KEY in match[0] else match[0], text)
        return text if name in _SOURCE else _NAMED.sub(rf"\1{FILTERED}", text)

    def _is_credential(self, name: str) -> bool:
        normal = _normal(name)
        return normal in self._names or _NAME.search(normal) is not None

    def _pair_name(self, value: list[Any] | tuple[Any, ...]) -> str | None:
        """The name in a pair of name and value, as in a list of headers, if it is one of ours."""
        if len(value) != 2 or not isinstance(value[0], str | bytes) or len(value[0]) > 256:
            return None
        name = _text(value[0]).strip("b'\"")  # Sentry shows texts of variables as their repr
        return name if self._is_credential(name) else None


def _normal(name: str) -> str:
    return name[:256].lower().replace("_", "-").removeprefix("http-")


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _decoded(text: str) -> str:
    for _ in range(_ENCODINGS):
        before, text = text, unquote(text)
        if text == before:
            break
    return text


def _pieces(text: str) -> Iterator[str]:
    """A credential, and what is inside of it: an envelope holds a refresh token as well."""
    yield text
    for word in text.split():
        for prefix in _ENVELOPES:
            if word.startswith(prefix):
                payload = word.removeprefix(prefix)
                try:
                    yield base64.b64decode(payload[: len(payload) // 4 * 4]).decode("latin-1")
                except binascii.Error:
                    continue
