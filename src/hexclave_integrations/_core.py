"""What the flows work on: their effects, the state behind a client, and the credentials of one request.

A `Flow[T]` yields one of five effects and is resumed with the outcome::

    Fetch(request)        make this HTTP request       a Reply; or TransportError is thrown in
    Once(key, start)      run a flow, unless one with  (True, what it returned), or its error is thrown in;
                          an equal key is under way    (False, None) after the other one has ended: look again
    Background(start)     run a flow, do not wait      None
    Shared(...)           use the fleet's memory       what the operation returns
    Ask(function)         call the application's code  its result, awaited where that is possible
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from . import _api, _tokens
from ._caches import AnswerCache, TokenCache, VerifiedToken
from ._keys import KeyRing
from ._shared import SharedAnswers
from ._verify import Parsed, Verifier
from .config import HexclaveConfig
from .errors import InvalidToken, RequestRefused, TokenExpired
from .user import HexclaveUser

__all__ = ["Ask", "Attempt", "Background", "Core", "Effect", "Fetch", "Flow", "Once", "Shared", "digest"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fetch:
    """Make `request`."""

    request: _api.Request


@dataclass(frozen=True, slots=True)
class Once:
    """Run the flow that `start` makes, unless one with an equal `key` is under way: then wait for its end."""

    key: Hashable
    start: Callable[[], Flow[Any]]


@dataclass(frozen=True, slots=True)
class Background:
    """Run the flow that `start` makes, without waiting for it."""

    start: Callable[[], Flow[None]]


@dataclass(frozen=True, slots=True)
class Shared:
    """Call an operation of the answers that a fleet shares: `operation` without a loop, `a` and its name on one."""

    answers: SharedAnswers
    operation: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Call the application's `function`."""

    function: Callable[[], Any]


Effect: TypeAlias = Fetch | Once | Background | Shared | Ask
Flow: TypeAlias = Generator[Effect, Any, T]


class Attempt:
    """The credentials of one request, and what came of them: an adapter keeps one on the request.

    Args:
        headers: the credential headers, as `_tokens.collect` returns them.
        cookies: gives the request's cookies, still percent-encoded; called only with `accept_cookies`. It must not
            hold whatever holds this attempt: a cycle would keep each request until the garbage collector comes.

    Attributes:
        settled: whether it is known who the caller is; then `user` and `error` say who.
        asked: whether the answer to the request depends on who the caller is.
    """

    __slots__ = ("_cookies", "asked", "error", "headers", "settled", "user")

    def __init__(self, headers: Mapping[str, str], cookies: Callable[[], Mapping[str, str] | None]) -> None:
        self.headers = headers
        self._cookies = cookies
        self.settled = False
        self.asked = False
        self.user: HexclaveUser | None = None
        self.error: RequestRefused | None = None

    def find_token(self, config: HexclaveConfig) -> str | None:
        """The request's access token, or None.

        Raises:
            InvalidToken: credentials came that cannot be read.
        """
        cookies = self._cookies() if config.accept_cookies else None
        return _tokens.find_token(self.headers, cookies, config)

    def find_api_key(self, config: HexclaveConfig) -> str | None:
        """The request's API key, or None.

        Raises:
            ApiKeyNotFound: the header came more than once with different values.
        """
        return _tokens.find_api_key(self.headers, config)

    def settle(self, user: HexclaveUser | None, error: RequestRefused | None = None) -> None:
        """Remember who the caller is, so that nothing is verified twice in a request."""
        # Without its traceback, whose frames hold this attempt.
        self.user, self.error = user, None if error is None else error.with_traceback(None)
        self.settled = True

    def outcome(self) -> HexclaveUser | None:
        """The settled user, or nobody.

        Raises:
            RequestRefused: what the credentials came to.
        """
        if self.error is not None:
            raise copy.copy(self.error)  # the traceback of what is raised will hold this attempt
        return self.user


class Core:
    """The state behind one client: configuration, clock, keys, memories. No I/O.

    Args:
        config: the project's settings.
        clock: gives epoch seconds.
    """

    def __init__(self, config: HexclaveConfig, clock: Callable[[], float]) -> None:
        self.config = config
        self.clock = clock
        self.wanted_headers = _tokens.wanted_headers(config)
        self.verifier = Verifier(config)
        self.ring = KeyRing(config)
        self.tokens = TokenCache(config.token_cache_size)
        # Apart, so that a flood of invented API keys cannot push out permissions.
        self.answers = AnswerCache()
        self.api_keys = AnswerCache()
        self.shared = None if config.redis_url is None else SharedAnswers.connect(config)
        # Hexclave asked for silence until then (429), for each kind of question; epoch seconds. Strangers can make
        # up API keys, and what they are told off for must not keep users from their permissions.
        self.paused_until: dict[str, float] = {}

    def recall(self, name: bytes) -> HexclaveUser | None:
        """The user of a token verified before with keys that are still fresh, or None: the path of most requests.

        Args:
            name: the token's `digest`.

        Raises:
            TokenExpired: it was verified before and has expired since.
        """
        entry = self.tokens.get(name)
        if entry is None:
            return None
        now = self.clock()
        if entry.generation != self.ring.current.generation or not self.ring.is_fresh(now):
            return None
        if now >= entry.over_from:
            raise TokenExpired
        return entry.user

    def judge(self, token: str) -> HexclaveUser | None:
        """The user of a token, if that can be told without asking anybody, or None.

        Raises:
            AuthenticationError: the token is not acceptable.
        """
        if not _tokens.MIN_TOKEN <= len(token) <= _tokens.MAX_TOKEN:
            raise InvalidToken  # by its length alone, before anything is read
        name = digest(token)
        known = self.recall(name)
        if known is not None:
            return known
        parsed = self.verifier.parse(token)
        if not self.ring.is_settled(parsed.kid, self.clock()):
            return None
        current = self.ring.current
        key = current.keys.get(parsed.kid)
        if key is None:
            raise InvalidToken
        return self.prove(name, parsed, key, current.generation)

    def outcome(self, attempt: Attempt) -> HexclaveUser | None:
        """Who a settled attempt says that the caller is, or nobody: on a websocket he may have been so for hours.

        Raises:
            RequestRefused: what the credentials came to, or the token is over by now.
        """
        user = attempt.outcome()
        if user is not None:
            self.check_expiry(user)
        return user

    def check_expiry(self, user: HexclaveUser) -> None:
        """Hold the end of a user's token against the clock; one read from the API has none.

        Raises:
            TokenExpired: it is over.
        """
        ends = user.expires_at
        if ends is not None and self.clock() >= self.verifier.over_from(int(ends.timestamp())):
            raise TokenExpired

    def prove(self, name: bytes, parsed: Parsed, key: EllipticCurvePublicKey, generation: int) -> HexclaveUser:
        """Verify a token with the key of a generation, and remember it under its digest.

        Raises:
            AuthenticationError: the token is not acceptable.
        """
        user, expires = self.verifier.verify(parsed, key, self.clock())
        self.tokens.put(name, VerifiedToken(user, self.verifier.over_from(expires), generation))
        return user


def digest(secret: str) -> bytes:
    """What a token or API key is remembered under; the secret itself is not kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
