"""The state behind one client: configuration, clock, keys, memories. No I/O."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

from .. import _reasons as reasons
from .._base.log import SparingLog
from .._memory.budget import Acquainted, Budget
from .._memory.caches import AnswerCache, TokenCache, VerifiedToken
from .._memory.fleet import FleetMemory
from .._memory.key_file import KeyFile
from .._memory.shared_keys import SharedKeys
from .._token import find
from .._token.kept_keys import MAX_TEXT, KeptKeys
from .._token.keys import KeyRing, KeySet
from .._token.verify import Verifier
from .._wire.messages import logger
from ..api_key import HexclaveApiKey
from ..config import HexclaveConfig
from ..errors import AuthenticationError, InvalidToken, RequestRefused
from ..requirements import Requirement
from ..user import HexclaveUser
from .attempt import Attempt, Unproved

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
        self.wanted_headers: dict[str | bytes, str] = find.wanted_headers(config)
        self.verifier: Verifier = Verifier(config)
        self.ring: KeyRing = KeyRing(config)
        self.tokens: TokenCache = TokenCache(config.token_cache_size)
        # Apart, so that a flood of invented API keys cannot push out permissions.
        self.answers: AnswerCache = AnswerCache()
        self.api_keys: AnswerCache = AnswerCache()
        self.fleet: FleetMemory | None = None if config.redis_url is None else FleetMemory.connect(config)
        self.kept_keys: KeptKeys = KeptKeys(config)
        self.fleet_was_inspected: bool = False
        # Without a server key nothing could be sealed, and whoever can write into Redis could add keys.
        self.shared_keys: SharedKeys | None = None
        if self.fleet is not None and self.kept_keys.name is not None:
            self.shared_keys = SharedKeys(self.fleet, self.kept_keys.name, config.http_timeout + 1)
        self.key_file: KeyFile | None = None if config.jwks_file is None else KeyFile(config.jwks_file, MAX_TEXT)
        # What is wrong with the places of kept keys, said once: whoever reads the log cannot do more than mend it.
        self.said_of_keys: set[str] = set()
        # Questions that strangers can provoke, and those who are none.
        self.budget: Budget = Budget(config.max_questions)
        self.acquainted: Acquainted = Acquainted()
        self.log: SparingLog = SparingLog(logger)
        # Hexclave asked for silence until then (429), for each kind of question; epoch seconds. Strangers can make
        # up API keys, and what they are told off for must not keep users from their permissions.
        self.paused_until: dict[str, float] = {}

    def forget_answers(self) -> None:
        """Forget every answer about permissions, memberships and API keys, those still under way included."""
        self.answers.forget_all()
        self.api_keys.forget_all()

    def settle(self, attempt: Attempt, now: float) -> bool:
        """Work out who makes a request, where that needs no question; False where a key has to be fetched first.

        The token is found, digested and read here, once for each request; what is still to be proved is kept on the
        attempt.

        Args:
            attempt: the request's credentials.
            now: epoch seconds.
        """
        if attempt.owner is self:
            return attempt.settled
        try:
            token = attempt.find_token(self.config)
            judged = None if token is None else self.judge(token, now)
        except RequestRefused as error:
            attempt.settle(self, None, error)
            return True
        if isinstance(judged, Unproved):
            attempt.postpone(self, judged)
            return False
        attempt.settle(self, judged)
        return True

    def admit_known(self, requirement: Requirement, attempt: Attempt) -> HexclaveUser | None:
        """The user that a requirement lets through, where nothing has to be asked: the path of most requests.

        None where nobody is signed in, or where something has to be asked first: the flow `admit` then decides.

        Args:
            requirement: what the route asks for.
            attempt: the request's credentials.

        Raises:
            RequestRefused: the answer is no.
        """
        attempt.asked = True
        if requirement.needs_server_key:
            return None
        now = self.clock()
        try:
            if not self.settle(attempt, now):
                return None
            user = self.outcome(attempt, now, optional=True) if requirement.optional else attempt.outcome(now)
            if user is not None:
                requirement.check_kind(user)
            return user
        except RequestRefused as error:
            attempt.was_refused = True
            self.note(error, attempt)
            raise

    def note(self, refusal: RequestRefused, attempt: Attempt | None = None) -> None:
        """Write into the log what is refused and why, at DEBUG: the one place for requests, in every framework.

        Args:
            refusal: gives code and reason; nothing else is written.
            attempt: whose it is; the same refusal is not written twice for one request.
        """
        if logger.isEnabledFor(logging.DEBUG):
            if attempt is not None:
                if attempt.noted == refusal.reason:
                    return
                attempt.noted = refusal.reason
            logger.debug("Refused: %s: %s", refusal.code, refusal.reason)

    def admitted(self, requirement: Requirement, principal: HexclaveUser | HexclaveApiKey | None) -> None:
        """Tell an observer, if there is one, whom a requirement lets through; see `observed.py`."""

    def looked_up(self, cache: str, location: str, is_hit: bool) -> None:
        """Tell an observer, if there is one, whether something was remembered; see `observed.py`."""

    def outcome(self, attempt: Attempt, now: float, *, optional: bool = False) -> HexclaveUser | None:
        """As `attempt.outcome`, with a note of the refusal.

        Args:
            attempt: the settled credentials of a request.
            now: epoch seconds.
            optional: some credentials that are not acceptable count as none.

        Raises:
            RequestRefused: as for `attempt.outcome`.
        """
        try:
            return attempt.outcome(now)
        except RequestRefused as error:
            if optional and isinstance(error, AuthenticationError) and attempt.counts_as_none(self.config):
                return None
            self.note(error, attempt)
            raise

    def judge(self, token: str, now: float) -> VerifiedToken | Unproved:
        """Verify a token, or say what is still to be proved because its key is not at hand.

        Args:
            token: the access token.
            now: epoch seconds.

        Raises:
            AuthenticationError: the token is not acceptable.
        """
        if not find.MIN_TOKEN <= len(token) <= find.MAX_TOKEN:
            raise InvalidToken(reason=reasons.TOKEN_LENGTH)  # before anything is read
        name = digest(token)
        known = self.recall(name, now)
        if known is not None:
            return known
        try:
            unproved = Unproved(name, self.verifier.parse(token))
            if not self.ring.needs_no_fetch(unproved.parsed.kid, now):
                return unproved
            return self.prove(unproved, self.ring.current, now) or unproved
        except AuthenticationError as error:
            error.__context__ = None  # as its own traceback, that has frames with the parts of the token
            raise error.with_traceback(None) from None

    def recall(self, name: bytes, now: float) -> VerifiedToken | None:
        """A token verified before with keys that are still fresh, or None; it may be over by now.

        Args:
            name: the token's `digest`.
            now: epoch seconds.
        """
        known = self.tokens.get(name)
        ring = self.ring
        if known is None or known.generation != ring.current.generation or not ring.is_fresh(now):
            return None
        return known

    def prove(self, unproved: Unproved, key_set: KeySet, now: float) -> VerifiedToken | None:
        """Verify a token with a key set, and remember it; None where it is open which users the key was published for.

        Args:
            unproved: the token.
            key_set: where its key is looked up.
            now: epoch seconds.

        Raises:
            AuthenticationError: the token is not acceptable.
        """
        kid = unproved.parsed.kid
        key = key_set.keys.get(kid)
        if key is None:
            raise InvalidToken(reason=reasons.UNKNOWN_KEY)
        user, expires = self.verifier.verify(unproved.parsed, key, now)
        if key_set.kinds.get(kid, user.kind) != user.kind:
            if key_set.kinds_are_certain:
                raise InvalidToken(reason=reasons.KEY_OF_OTHER_USERS)
            return None
        token = VerifiedToken(user, self.verifier.over_from(expires), key_set.generation)
        self.tokens.put(unproved.name, token)
        return token


def digest(secret: str) -> bytes:
    """What a token or API key is remembered under; the secret itself is not kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
