"""What both clients share: the state behind them, and what needs no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from . import _flows
from ._core import Attempt, Core
from .config import HexclaveConfig
from .errors import RequestRefused
from .requirements import Requirement
from .user import HexclaveUser

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
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        return Attempt(pairs, cookies, self._core.wanted_headers)

    def _known(self, requirement: Requirement, attempt: Attempt) -> HexclaveUser | None:
        """The user let through, where that needs no question to Hexclave: the path of most requests.

        Raises:
            RequestRefused: the answer is no.
        """
        if requirement.needs_server_key:
            return None
        attempt.asked = True
        if attempt.settled:
            user = self._core.outcome(attempt)
        elif self._judge(attempt):
            user = attempt.outcome()
        else:
            return None
        if user is not None:
            _flows.check_kind(requirement, user)
        return user

    def _judge(self, attempt: Attempt) -> bool:
        """Settle an attempt without asking anybody; False where that cannot be."""
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
