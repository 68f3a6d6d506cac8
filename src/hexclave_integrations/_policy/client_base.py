"""What both clients share: the state behind them, and what needs no I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from .. import _reasons as reasons
from .._memory.caches import VerifiedToken
from .._token import find
from ..config import HexclaveConfig
from ..errors import AuthenticationError, ConfigurationError, InvalidToken, RequestRefused
from ..requirements import Requirement
from ..user import HexclaveUser
from .attempt import Attempt
from .observed import core_for

__all__ = ["NO_PARAMS", "BaseClient", "Headers", "admit_known", "concealed", "recognize"]

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""A mapping, or name/value pairs as text or bytes; names in any case, repeats allowed."""

NO_PARAMS: Final[Mapping[str, Any]] = MappingProxyType({})


class BaseClient:
    """The state of a client; use `HexclaveClient` or `AsyncHexclaveClient`."""

    def __init__(self, config: HexclaveConfig | None, transport: Any, clock: Callable[[], float]) -> None:
        self.config: HexclaveConfig = HexclaveConfig.from_env() if config is None else config
        self._core = core_for(self.config, clock)
        self._transport = self.config.transport if transport is None else transport
        on_change = getattr(self._transport, "on_change", None)
        if on_change is not None:  # a sandbox, which says when what it answered is no longer true
            on_change(self._core.forget_answers)

    def attempt(
        self,
        headers: Headers,
        cookies: Callable[[], Mapping[str, str] | None] = lambda: None,
        method: str | None = None,
        *,
        is_websocket: bool = False,
    ) -> Attempt:
        """The credentials of one request, for `admit` and `identify`; an adapter keeps it on its request.

        Args:
            headers: the request's headers.
            cookies: gives its cookies, still percent-encoded; called only with `accept_cookies`.
            method: its method; None where it is not known, which counts as one that changes something.
            is_websocket: whether it is the handshake of a websocket.
        """
        found = find.collect(_pairs(headers), self._core.wanted_headers)
        return Attempt(found, cookies, method, is_websocket=is_websocket)

    def presume(self, attempt: Attempt, user: HexclaveUser | None) -> None:
        """Take somebody for the caller of a request without credentials: for the tests of applications alone."""
        attempt.settle(self._core, None if user is None else VerifiedToken(user, math.inf, 0))

    def _find_token(
        self, headers: Headers, cookies: Mapping[str, str] | None, method: str | None
    ) -> find.Credential | RequestRefused | None:
        """The access token in a request, or None, or the refusal of what cannot be read.

        The refusal is returned and not raised, so that the calling function can delete its headers first: debuggers and
        error reports show the local variables of every function that an exception passes through.
        """
        try:
            return self.attempt(headers, lambda: cookies, method).find_token(self.config)
        except RequestRefused as error:
            self._core.note(error)
            error.__context__ = None
            return error.with_traceback(None)


def admit_known(client: BaseClient, requirement: Requirement, attempt: Attempt) -> HexclaveUser | None:
    """The user that a requirement lets through, where nothing has to be asked, and so nothing awaited.

    None where nobody is signed in, or where something has to be asked first: `client.admit` then decides.

    Args:
        client: verifies.
        requirement: what the route asks for.
        attempt: the request's credentials.

    Raises:
        RequestRefused: the answer is no.
    """
    return client._core.admit_known(requirement, attempt)


def recognize(client: BaseClient, attempt: Attempt) -> HexclaveUser | None:
    """The verified user of a request, of any kind, where nothing has to be fetched to tell; else None.

    Args:
        client: verifies.
        attempt: the request's credentials.

    Raises:
        AuthenticationError: credentials came and are not acceptable.
    """
    core = client._core
    now = core.clock()
    return attempt.outcome(now) if core.settle(attempt, now) else None


def concealed(credential: str, refusal: type[AuthenticationError] = InvalidToken) -> find.Credential:
    """A token or API key, in place of the text that debuggers and error reports would show.

    Args:
        credential: what the application was given, which may be anything.
        refusal: of what is no text.

    Raises:
        AuthenticationError: `refusal`.
    """
    if not isinstance(credential, str):
        raise refusal(reason=reasons.NOT_TEXT)
    return find.Credential(credential)


def _pairs(headers: Headers) -> Iterable[tuple[str | bytes, str | bytes]]:
    items = getattr(headers, "items", None)  # asking the abstract class takes five times as long
    if items is None and hasattr(headers, "headers"):  # one of Django can be iterated over, for its body
        raise ConfigurationError("This takes the headers of a request, and got a whole request: pass request.headers.")
    pairs: Any = headers if items is None else items()
    return pairs  # type: ignore[no-any-return]  # only a mapping has items
