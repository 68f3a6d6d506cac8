"""What both clients share: the state behind them, and what needs no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from .._token import find
from ..config import HexclaveConfig
from ..errors import NotAuthenticated, RequestRefused
from ..requirements import Requirement
from ..user import HexclaveUser
from .attempt import Attempt
from .state import Core

__all__ = ["NO_PARAMS", "BaseClient", "Headers"]

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""A mapping, or name/value pairs as text or bytes; names in any case, repeats allowed."""

NO_PARAMS: Final[Mapping[str, Any]] = MappingProxyType({})


class BaseClient:
    """The state of a client; use `HexclaveClient` or `AsyncHexclaveClient`."""

    def __init__(self, config: HexclaveConfig | None, transport: Any, clock: Callable[[], float]) -> None:
        self.config = HexclaveConfig.from_env() if config is None else config
        self._core = Core(self.config, clock)
        self._transport = self.config.transport if transport is None else transport

    def attempt(self, headers: Headers, cookies: Callable[[], Mapping[str, str] | None] = lambda: None) -> Attempt:
        """The credentials of one request, for `admit` and `identify`; an adapter keeps it on its request.

        Args:
            headers: the request's headers.
            cookies: gives its cookies, still percent-encoded; called only with `accept_cookies`.
        """
        return Attempt(find.collect(_pairs(headers), self._core.wanted_headers), cookies)

    def _find_token(self, headers: Headers, cookies: Mapping[str, str] | None) -> str | None:
        """The access token in a request, or None.

        Raises:
            InvalidToken: credentials came that cannot be read.
        """
        return find.find_token(find.collect(_pairs(headers), self._core.wanted_headers), cookies, self.config)

    def _need_token(self, headers: Headers, cookies: Mapping[str, str] | None) -> str:
        """The access token in a request.

        Raises:
            InvalidToken: credentials came that cannot be read.
            NotAuthenticated: none came.
        """
        token = self._find_token(headers, cookies)
        if token is None:
            raise NotAuthenticated
        return token

    def _known(self, requirement: Requirement, attempt: Attempt) -> HexclaveUser | None:
        """The user let through, where that needs no question to Hexclave, else None: then ask `admit`.

        Raises:
            RequestRefused: the answer is no.
        """
        if requirement.needs_server_key:
            return None
        attempt.asked = True
        if not self._judge(attempt):
            return None
        user = attempt.outcome()
        if user is not None:
            requirement.check_kind(user)
        return user

    def _judge(self, attempt: Attempt) -> bool:
        """Settle an attempt without asking anybody; False where that cannot be.

        Raises:
            TokenExpired: it was settled, and its token is over by now: on a websocket that may be hours later.
        """
        if attempt.settled:
            if attempt.user is not None:
                self._core.check_expiry(attempt.user)
            return True
        try:
            token = attempt.find_token(self.config)
            user = None if token is None else self._core.judge(token)
        except RequestRefused as error:
            attempt.settle(None, error)
            return True
        if token is not None and user is None:
            return False
        attempt.settle(user)
        return True


def _pairs(headers: Headers) -> Iterable[tuple[str | bytes, str | bytes]]:
    items = getattr(headers, "items", None)  # asking the abstract class takes five times as long
    pairs: Any = headers if items is None else items()
    return pairs  # type: ignore[no-any-return]  # only a mapping has items
