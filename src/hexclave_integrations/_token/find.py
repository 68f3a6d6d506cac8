"""Find the access token in a request: every form the real clients send, in one fixed order (contract 1.1).

Pure. An adapter hands over the headers as it has them; nothing here knows a framework.
"""

from __future__ import annotations

import binascii
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from .. import _reasons as reasons
from .._base import strict
from ..api_key import looks_like_api_key
from ..config import HexclaveConfig
from ..errors import ApiKeyNotFound, ConfigurationError, InvalidToken
from .cross_origin import ORIGIN_HEADERS

__all__ = [
    "HEADER_NAMES",
    "MAX_HEADER",
    "MAX_TOKEN",
    "MIN_TOKEN",
    "Credential",
    "are_there",
    "collect",
    "find_api_key",
    "find_in_cookies",
    "find_in_headers",
    "find_token",
    "plain_bearer",
    "read_cookies",
    "wanted_headers",
    "wanted_names",
    "why_nobody",
]

MIN_TOKEN: Final = 90  # two dots, a signature of 86 characters, and at least one before each dot
MAX_TOKEN: Final = 16 * 1024
MAX_HEADER: Final = 32 * 1024

STACK_TOKEN: Final = "x-stack-access-token"
HEXCLAVE_TOKEN: Final = "x-hexclave-access-token"
AUTHORIZATION: Final = "authorization"
STACK_AUTH: Final = "x-stack-auth"
# What only an environ or a scope holds, with values that no header can have.
_FOREIGN: Final = {
    "wsgi.version": "a WSGI environ",
    "wsgi.multiprocess": "a WSGI environ, or request.META of Django",
    "asgi": "an ASGI scope, or a whole request",
}
HEADER_NAMES: Final = (STACK_TOKEN, HEXCLAVE_TOKEN, AUTHORIZATION, STACK_AUTH)

# Bearer credentials anywhere in the header: another scheme may have commas of its own (Digest, AWS4-HMAC-SHA256).
_MENTIONS_BEARER = re.compile(r"(?:^|,)[ \t]*Bearer[ \t]", re.IGNORECASE)
_BEARER = re.compile(r"Bearer[ \t]+(.+)", re.IGNORECASE | re.DOTALL)
_ENVELOPES = ("stackauth_", "hexclave_")
_BLANKS: Final = " \t"  # what may surround a header's value (RFC 9110 section 5.6.3); Python's own blanks are many more
# What JavaScript makes of a missing token when it becomes text: the frontend says that nobody is signed in.
_MISSING: Final = frozenset({"null", "undefined"})
_SEVERAL: Final = ";"  # between the values of a cookie whose name came more than once


class Credential(str):
    """A text that speaks for a caller: its `repr`, which debuggers and error reports show, hides it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<credential>"


def wanted_names(config: HexclaveConfig) -> tuple[str, ...]:
    """The headers that credentials are read from, in lower case; with cookies, those that say where they come from."""
    return (*HEADER_NAMES, config.api_key_header, *(ORIGIN_HEADERS if config.accept_cookies else ()))


def wanted_headers(config: HexclaveConfig) -> dict[str | bytes, str]:
    """As `wanted_names`, by name as text and as bytes."""
    names = wanted_names(config)
    return {name: name for name in (*names, *_FOREIGN)} | {name.encode(): name for name in names}


def collect(headers: Iterable[tuple[Any, Any]], wanted: Mapping[str | bytes, str]) -> dict[str, str]:
    """Pick the credential headers out of name/value pairs, text or bytes (ASGI).

    A repeated header is joined with a comma, as WSGI servers do, so that every framework judges the same
    text (RFC 9110 section 5.2).

    Args:
        wanted: from `wanted_headers`.

    Raises:
        ConfigurationError: it is a WSGI environ or an ASGI scope, in which nobody's credentials would be found.
    """
    found: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for name, value in headers:
        known = wanted.get(name.lower())
        if known is None:
            continue
        text = value.decode("latin-1") if type(value) is bytes else value
        if known in _FOREIGN:
            _refuse_foreign(known, text)
        if known not in found:
            found[known] = text
            continue
        parts = repeated.setdefault(known, [found[known]])
        if len(parts) <= MAX_HEADER:  # so many that their commas alone are too long: the rest changes nothing
            parts.append(text)
    for known, parts in repeated.items():
        found[known] = ",".join(parts)
    return found


def _refuse_foreign(name: str, value: object) -> None:
    if not isinstance(value, str):  # a header of that name, which a stranger may send, is a text
        raise ConfigurationError(
            f"This takes the headers of a request, and got {_FOREIGN[name]}: pass request.headers. For a bare WSGI "
            'environ that is werkzeug.datastructures.EnvironHeaders(environ), for a bare ASGI scope scope["headers"].'
        )


def read_cookies(headers: Iterable[str]) -> dict[str, str]:
    """The cookies of ours in `Cookie` headers, still percent-encoded.

    A name that came with several values has them all, joined by `;`, which no cookie can contain. Their order proves
    nothing: a neighbouring subdomain can plant a cookie of the same name that comes before the real one.

    Frameworks use the standard library's unquoting, which takes time in the square of the length (CVE-2024-7592).
    Hexclave's cookies are never quoted, so they are read here (RFC 6265 section 5.4; contract 1.3).
    """
    found: dict[str, dict[str, None]] = {}
    for header in headers:
        for pair in header[:MAX_HEADER].split(";"):
            name, equals, value = pair.partition("=")
            # Other blanks belong to the name: browsers let anybody set a cookie named "\xa0__Host-...".
            name = name.strip(_BLANKS)
            if equals and name.removeprefix("__Host-").startswith(("stack-", "hexclave-")):
                found.setdefault(name, {})[value.strip(_BLANKS)] = None
    return {name: _SEVERAL.join(values) for name, values in found.items()}


def find_token(
    found: Mapping[str, str], cookies: Mapping[str, str] | None, config: HexclaveConfig
) -> Credential | None:
    """The access token of a request, or None when no credentials came.

    The first source that speaks decides, and headers speak before cookies.

    Args:
        found: the credential headers, as `collect` returns them.
        cookies: the request's cookies, still percent-encoded; read only with `accept_cookies`.

    Raises:
        InvalidToken: credentials came that are ours and cannot be read, or contradict each other.
    """
    token = find_in_headers(found)
    if token is None and cookies and config.accept_cookies:
        return find_in_cookies(cookies, config.project_id)
    return token or None


def find_in_headers(found: Mapping[str, str]) -> Credential | None:
    """The access token in a request's headers; blank where a client says "signed out"; None where none of them speaks.

    An envelope whose token is null says "signed out": then no cookie counts either. The text `null` or `undefined` in
    place of a token is no credential, and the next source is read (contract 1.2).

    Args:
        found: the credential headers, as `collect` returns them.

    Raises:
        InvalidToken: credentials came that are ours and cannot be read, or contradict each other.
    """
    if not found:
        return None
    value = found.get(STACK_TOKEN, "")
    # As below, at once: most requests end here.
    if "," not in value and len(value) <= MAX_HEADER and MIN_TOKEN <= len(plain := value.strip(_BLANKS)) <= MAX_TOKEN:
        return Credential(plain)
    for name in (STACK_TOKEN, HEXCLAVE_TOKEN):
        if token := _present(_single(found.get(name))):
            return _bounded(token)
    bearer = _bearer(found.get(AUTHORIZATION))
    if bearer is not None:
        for prefix in _ENVELOPES:
            if bearer.startswith(prefix):
                return _from_envelope(_decode_base64(bearer[len(prefix) :]))
    if envelope := found.get(STACK_AUTH):
        _cap(envelope)
        return _from_envelope(envelope.encode("utf-8", "surrogatepass"))  # which the reader refuses
    return None if bearer is None else _bounded(bearer)


def plain_bearer(found: Mapping[str, str]) -> Credential | None:
    """The credentials of `Authorization: Bearer` where they, and no form of Hexclave's own, decide who the caller is.

    Args:
        found: the credential headers, as `collect` returns them.
    """
    try:
        own = [_present(_single(found.get(name))) for name in (STACK_TOKEN, HEXCLAVE_TOKEN)]
        if any(own) or found.get(STACK_AUTH):
            return None
        bearer = _bearer(found.get(AUTHORIZATION))
    except InvalidToken:
        return None
    return None if bearer is None or bearer.startswith(_ENVELOPES) else Credential(bearer)


def are_there(found: Mapping[str, str]) -> bool:
    """Whether a header has credentials of ours where an access token may be, good or bad.

    Args:
        found: the credential headers, as `collect` returns them.
    """
    try:
        if any(_present(_single(found.get(name))) for name in (STACK_TOKEN, HEXCLAVE_TOKEN)):
            return True
        if found.get(STACK_AUTH, "").strip(_BLANKS):
            return True
        return _bearer(found.get(AUTHORIZATION)) is not None
    except InvalidToken:
        return True


def why_nobody(found: Mapping[str, str], cookies: Mapping[str, str], project_id: str) -> str:
    """Why a request without a usable access token has none; its headers and cookies are no error by themselves.

    Args:
        found: the credential headers, as `collect` returns them.
        cookies: the request's cookies, still percent-encoded, where they count.
    """
    bearer = found.get(AUTHORIZATION, "").strip(_BLANKS)
    if bearer and not _MENTIONS_BEARER.search(bearer):
        return reasons.OTHER_SCHEME
    if any(name in found for name in HEADER_NAMES):
        return reasons.SIGNED_OUT
    access = [cookies[name] for name in ("hexclave-access", "stack-access") if name in cookies]
    if not access:
        return reasons.NO_CREDENTIALS
    if _refresh_token(cookies, project_id) is None:
        return reasons.COOKIE_WITHOUT_SESSION
    is_readable = any(_pair(raw) is not None for value in access for raw in value.split(_SEVERAL))
    return reasons.COOKIE_OF_ANOTHER_SESSION if is_readable else reasons.COOKIE_UNREADABLE


def find_api_key(found: Mapping[str, str], config: HexclaveConfig) -> Credential | None:
    """The API key of a request, from the API key header or `Authorization: Bearer`, or None (contract 4.4).

    Raises:
        ApiKeyNotFound: the header came more than once with different values.
    """
    try:
        text = _present(_single(found.get(config.api_key_header)))
        if text is None:
            bearer = _bearer(found.get(AUTHORIZATION))
            text = bearer if bearer is not None and looks_like_api_key(bearer) else None
    except InvalidToken as error:
        raise ApiKeyNotFound(reason=error.reason) from None
    return None if text is None else Credential(text)


def _cap(value: str) -> None:
    if len(value) > MAX_HEADER:
        raise InvalidToken(reason=reasons.HEADER_TOO_LONG)


def _bounded(token: str) -> Credential:
    if len(token) > MAX_TOKEN:
        raise InvalidToken(reason=reasons.TOKEN_LENGTH)
    return Credential(token)


def _single(value: str | None) -> str | None:
    """The one value of a header whose grammar has no comma; repeats of the same value count once."""
    if not value:
        return None
    _cap(value)
    if "," in value:
        values = {part.strip(_BLANKS) for part in value.split(",")}
        if len(values) != 1:
            raise InvalidToken(reason=reasons.SEVERAL_CREDENTIALS)
        return values.pop()
    return value.strip(_BLANKS)


def _present(text: str | None) -> str | None:
    """The text of a credential; None where it is blank, or stands for a missing one."""
    # The length first: to look a long text up in a set, all of it is read.
    return None if not text or (len(text) < MIN_TOKEN and text in _MISSING) else text


def _bearer(value: str | None) -> str | None:
    """The credentials of the Bearer scheme; other schemes are not ours."""
    if not value or not _MENTIONS_BEARER.search(value):
        return None
    match = _BEARER.fullmatch(_single(value) or "")
    return _present(match[1].strip(_BLANKS)) if match else None


def _decode_base64(payload: str) -> bytes:
    try:
        return binascii.a2b_base64(payload.encode("ascii"), strict_mode=True)
    except ValueError:  # binascii.Error and UnicodeEncodeError are ValueErrors
        raise InvalidToken(reason=reasons.ENVELOPE_BASE64) from None


def _from_envelope(text: bytes) -> Credential:
    """Read `{"accessToken", "refreshToken"}`, each a string or null; a missing key counts as null."""
    try:
        envelope = strict.json_object(text)
    except ValueError:
        raise InvalidToken(reason=reasons.ENVELOPE_UNREADABLE) from None
    access, refresh = envelope.get("accessToken"), envelope.get("refreshToken")
    if not isinstance(access, str | None) or not isinstance(refresh, str | None):
        raise InvalidToken(reason=reasons.ENVELOPE_TYPES)
    return _bounded(access or "")


def find_in_cookies(cookies: Mapping[str, str], project_id: str) -> Credential | None:
    """The token of the access cookie that belongs to the session (contract 1.3).

    A neighbouring subdomain can plant an access cookie beside the real one. It cannot pair it with a refresh token
    that it does not know, so every access cookie that came is held against the session.
    """
    refresh = _refresh_token(cookies, project_id)
    if refresh is None:
        return None
    for name in ("hexclave-access", "stack-access"):
        for raw in cookies.get(name, "").split(_SEVERAL):
            pair = _pair(raw)
            if pair is not None and hmac.compare_digest(pair[0].encode(), refresh.encode()):
                return _bounded(pair[1]) or None
    return None


def _pair(raw: str) -> tuple[str, str] | None:
    """The refresh token and the access token of an access cookie; None where it cannot be read."""
    text = _decoded(raw)
    if text is None or not text.startswith('["'):
        return None
    try:
        # The strict reader reads objects; the cookie is an array.
        (items,) = strict.json_object(b'{"pair":' + text.encode() + b"}").values()
    except ValueError:
        return None
    if not isinstance(items, list) or len(items) != 2 or not all(isinstance(item, str) for item in items):
        return None
    return items[0], items[1]


def _refresh_token(cookies: Mapping[str, str], project_id: str) -> str | None:
    """The refresh token of the session.

    Where a `__Host-` cookie came, no other name counts: a neighbouring subdomain can plant every other one, with any
    time in it. Without one the SDK's order holds: the newest structured cookie of the new name, else the legacy plain
    one, else the newest legacy structured one.
    """
    new, legacy = f"hexclave-refresh-{project_id}--", f"stack-refresh-{project_id}--"
    own = [cookies[name] for name in (f"__Host-{new}default", f"__Host-{legacy}default") if name in cookies]
    if own:
        return next((session[1] for session in map(_session, own) if session is not None), None)
    plain = cookies.get(f"stack-refresh-{project_id}") or cookies.get("stack-refresh")
    return _newest(cookies, new) or (_decoded(plain) if plain else None) or _newest(cookies, legacy)


def _newest(cookies: Mapping[str, str], prefix: str) -> str | None:
    names = (name for name in cookies if name == f"{prefix}default" or name.startswith(f"{prefix}custom-"))
    sessions = [session for name in names if (session := _session(cookies[name])) is not None]
    return max(sessions)[1] if sessions else None


def _session(raw: str) -> tuple[float, str] | None:
    """The time and the refresh token of a structured cookie; None where it cannot be read: the SDK skips it as well."""
    try:
        value = strict.json_object((_decoded(raw) or "").encode())
    except ValueError:
        return None
    token, updated = value.get("refresh_token"), value.get("updated_at_millis")
    if isinstance(token, str) and token and isinstance(updated, int | float) and not isinstance(updated, bool):
        return updated, token
    return None


def _decoded(raw: str) -> str | None:
    """Undo percent-encoding; None where the value is too large, is no UTF-8, or is one of several of its name."""
    if len(raw) > MAX_HEADER or _SEVERAL in raw:
        return None
    try:
        text = unquote(raw, errors="strict")
        text.encode()
    except UnicodeError:
        return None
    return text
