"""The state behind one client: configuration, clock, keys, memories. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from .._base.log import SparingLog
from .._memory.caches import AnswerCache, TokenCache, VerifiedToken
from .._memory.fleet import FleetMemory
from .._token import find
from .._token.keys import KeyRing
from .._token.verify import Parsed, Verifier
from .._wire.messages import logger
from ..config import HexclaveConfig
from ..errors import InvalidToken, TokenExpired
from ..user import HexclaveUser
from .attempt import Attempt

__all__ = ["Core", "digest"]


class Core:
    """The state behind one client: configuration, clock, keys, memories. No I/O.

    Args:
        config: the project's settings.
        clock: gives epoch seconds.
    """

    def __init__(self, config: HexclaveConfig, clock: Callable[[], float]) -> None:
        self.config = config
        self.clock = clock
        self.wanted_headers = find.wanted_headers(config)
        self.verifier = Verifier(config)
        self.ring = KeyRing(config)
        self.tokens = TokenCache(config.token_cache_size)
        # Apart, so that a flood of invented API keys cannot push out permissions.
        self.answers = AnswerCache()
        self.api_keys = AnswerCache()
        self.fleet = None if config.redis_url is None else FleetMemory.connect(config)
        self.log = SparingLog(logger)
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
        if not find.MIN_TOKEN <= len(token) <= find.MAX_TOKEN:
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
