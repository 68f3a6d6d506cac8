"""What every adapter adds to an answer, so that no cache shares what belongs to one caller (contract 1.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import AnyStr, Final, Generic

from .._token.find import HEADER_NAMES
from ..config import HexclaveConfig
from ..errors._bases import PRIVATE

__all__ = ["PRIVATE", "HeaderGuard", "cache_control", "vary_on_credentials"]

# Possessive, so that a quotation mark without its partner costs no second look (RFC 9110 sections 5.6.1 and 5.6.4).
_QUOTED: Final = r'"(?:[^"\\]|\\.)*+"'
_LIST: Final = re.compile(rf'(?:[^"]|{_QUOTED})*+')
_DIRECTIVE: Final = re.compile(rf'(?:[^",]|{_QUOTED})++')


def cache_control(given: str | None) -> str:
    """The `Cache-Control` of an answer that depends on its caller: always `private`, or stricter.

    `public` becomes `private`, because it does not show that the application means it: Werkzeug's `send_file` writes
    it for every file with a `max_age`. `Expires` cannot bring sharing back (RFC 9111 section 3). An application that
    wants its own shared cache to keep such an answer says so in `CDN-Cache-Control` (RFC 9213), which outranks
    `Cache-Control` there. No helper of a framework writes that header, and it is left as it is.

    Args:
        given: the application's own; what it says of age and validation stays. Without one, nothing may be stored.
    """
    if not given or not _LIST.fullmatch(given):  # caches differ on where a quotation without an end stops
        return PRIVATE
    directives: dict[str, None] = {}
    for part in _DIRECTIVE.findall(given):
        directive = part.strip()
        name = directive.partition("=")[0].rstrip().lower()
        if name in ("public", "private"):  # with a value, `private` keeps out single fields only (RFC 9111 5.2.2.7)
            directive = "private"
        if directive and name != "s-maxage":
            directives[directive] = None
    if not directives:
        return PRIVATE
    if not any(directive.lower() in ("private", "no-store") for directive in directives):
        directives["private"] = None
    return ", ".join(directives)


def vary_on_credentials(vary: str | None, config: HexclaveConfig) -> str:
    """A `Vary` value that names every header credentials are read from (RFC 9110 section 12.5.5).

    Args:
        vary: what the answer has so far.
    """
    names = [name.strip() for name in (vary or "").split(",") if name.strip()]
    present = {name.lower() for name in names}
    if "*" in present:
        return "*"
    wanted = [*HEADER_NAMES, config.api_key_header]
    if config.accept_cookies:
        wanted.append("cookie")
    return ", ".join(names + [name.title() for name in wanted if name not in present])


class HeaderGuard(Generic[AnyStr]):
    """Puts cache headers on the raw headers of an answer that may differ between callers: text in WSGI, bytes in ASGI.

    Args:
        config: names the headers that credentials are read from.
        kind: `str` or `bytes`.
    """

    def __init__(self, config: HexclaveConfig, kind: type[AnyStr]) -> None:
        self._config = config
        self._encode: Callable[[str], AnyStr] = str if kind is str else _encoded  # type: ignore[assignment]
        self._control_name: AnyStr = self._encode("cache-control")
        self._vary_name: AnyStr = self._encode("vary")
        # What most answers get, whose application says nothing itself.
        self._plain_control: tuple[AnyStr, AnyStr] = (self._control_name, self._encode(PRIVATE))
        self._plain_vary: tuple[AnyStr, AnyStr] = (self._vary_name, self._encode(vary_on_credentials(None, config)))

    def __call__(
        self, headers: Iterable[tuple[AnyStr, AnyStr]], *, private: bool = True
    ) -> list[tuple[AnyStr, AnyStr]]:
        """The headers, with credentials named in `Vary`.

        Args:
            headers: those of the answer.
            private: whether the answer depends on who the caller is, so that shared caches are kept out.
        """
        kept: list[tuple[AnyStr, AnyStr]] = []
        control: list[AnyStr] = []
        vary: list[AnyStr] = []
        for pair in headers:
            name = pair[0].lower()
            if name == self._vary_name:
                vary.append(pair[1])
            elif private and name == self._control_name:
                control.append(pair[1])
            else:
                kept.append(pair)
        if control:
            kept.append((self._control_name, self._encode(cache_control(_joined(control)))))
        elif private:
            kept.append(self._plain_control)
        if vary:
            kept.append((self._vary_name, self._encode(vary_on_credentials(_joined(vary), self._config))))
        else:
            kept.append(self._plain_vary)
        return kept


def _encoded(text: str) -> bytes:
    return text.encode("latin-1")


def _joined(values: list[AnyStr]) -> str:
    """The values of a repeated header as one (RFC 9110 section 5.3)."""
    return ", ".join(value.decode("latin-1") if isinstance(value, bytes) else value for value in values)
