"""The credentials of one request, and what came of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .._memory.caches import VerifiedToken
from .._token import find
from .._token.cross_origin import why_refused
from .._token.foreign import is_foreign
from .._token.verify import Parsed
from ..config import HexclaveConfig
from ..errors import AuthenticationError, CrossOriginRefused, RequestRefused
from ..user import HexclaveUser
from .spending import Spending

__all__ = ["Attempt", "Unproved"]


@dataclass(frozen=True, slots=True)
class Unproved:
    """A token that was read, and whose key is not at hand: nothing in it is trusted yet.

    Attributes:
        name: the token's digest, under which it will be remembered.
        parsed: its parts.
    """

    name: bytes
    parsed: Parsed


class Attempt:
    """The credentials of one request, and what came of them: an adapter keeps one on the request.

    What came of them counts only for the client that worked it out: an application may hand a request on to another
    one, of another project.

    Args:
        headers: the credential headers, as `find.collect` returns them.
        cookies: gives the request's cookies, still percent-encoded; called only with `accept_cookies`. It must not
            hold an object that holds this attempt: such a cycle would keep each request until the garbage collector
            runs.
        method: the request's method; None where it is not known, which counts as one that changes something.
        is_websocket: whether it is the handshake of a websocket.

    Attributes:
        asked: whether the answer to the request depends on who the caller is.
        by_cookie: whether the token that was found came in a cookie, which a browser sends unasked.
        was_refused: whether a requirement, or the framework after it, has refused the request, so that its handler did
            not run.
        spending: what was taken from customers for the request; None as long as nothing was.
        noted: why the request was refused, if that was noted already.
        owner: the state of the client whose answer this is; None where nobody has asked yet.
    """

    __slots__ = (
        *("_cookies", "_error", "_is_websocket", "_method", "_token", "_unproved"),
        *("asked", "by_cookie", "headers", "noted", "owner", "spending", "was_refused"),
    )

    def __init__(
        self,
        headers: Mapping[str, str],
        cookies: Callable[[], Mapping[str, str] | None],
        method: str | None = None,
        *,
        is_websocket: bool = False,
    ) -> None:
        self.headers: Mapping[str, str] = headers
        self._cookies = cookies
        self._method = method
        self._is_websocket = is_websocket
        self.asked: bool = False
        self.by_cookie: bool = False
        self.was_refused: bool = False
        self.spending: Spending | None = None
        self.noted: str | None = None
        self.owner: object = None
        self._token: VerifiedToken | None = None
        self._error: RequestRefused | None = None
        self._unproved: Unproved | None = None

    def find_token(self, config: HexclaveConfig) -> find.Credential | None:
        """The request's access token, or None.

        Raises:
            InvalidToken: credentials came that cannot be read.
            CrossOriginRefused: it came in a cookie, and a page of another origin may have made the request.
        """
        token = find.find_in_headers(self.headers)
        if token is not None or not config.accept_cookies:
            return token or None
        self.by_cookie = True  # also where a cookie came that cannot be read
        token = find.find_in_cookies(self._cookies() or {}, config.project_id)
        self.by_cookie = token is not None
        if token is not None:
            # Before anything is verified: what the cookie says plays no part in it.
            self._refuse_other_pages(config)
        return token

    def _refuse_other_pages(self, config: HexclaveConfig) -> None:
        reason = why_refused(self.headers, self._method, config.trusted_origins, is_websocket=self._is_websocket)
        if reason is not None:
            raise CrossOriginRefused(reason=reason)

    def counts_as_none(self, config: HexclaveConfig) -> bool:
        """Whether unacceptable credentials count as none where a user is optional.

        They do in a cookie: a page that a server renders cannot refresh it, and the frontend leaves such cookies behind
        for a day. And they do where `Authorization` has a token that is plainly another issuer's.
        """
        return self.by_cookie or self.is_foreign(config)

    def is_foreign(self, config: HexclaveConfig) -> bool:
        """Whether the credentials are a bearer token that is plainly another issuer's, in no form of ours."""
        bearer = find.plain_bearer(self.headers)
        return bearer is not None and is_foreign(bearer, config)

    def find_api_key(self, config: HexclaveConfig) -> str | None:
        """The request's API key, or None.

        Raises:
            ApiKeyNotFound: the header came more than once with different values.
        """
        try:
            return find.find_api_key(self.headers, config)
        except AuthenticationError as error:
            error.__context__ = None
            raise error.with_traceback(None) from None  # whose frames hold the headers

    def why_nobody(self, config: HexclaveConfig) -> str:
        """Why the request counts as nobody's: the reason to give where it is refused for that."""
        cookies = self._cookies() if config.accept_cookies else None
        return find.why_nobody(self.headers, cookies or {}, config.project_id)

    @property
    def settled(self) -> bool:
        """Whether some client has worked out who the caller is."""
        return self.owner is not None and self._unproved is None

    def settle(self, owner: object, token: VerifiedToken | None, error: RequestRefused | None = None) -> None:
        """Remember who the caller is, so that nothing is worked out twice in a request.

        Args:
            owner: the state of the client that worked it out.
            token: the verified token, or None for nobody.
            error: what the credentials came to, if they were refused.
        """
        # Without its traceback, whose frames hold this attempt.
        self.owner, self._token, self._unproved = owner, token, None
        self._error = None if error is None else error.with_traceback(None)

    def postpone(self, owner: object, unproved: Unproved) -> None:
        """Remember the parts of a token whose key has to be fetched first."""
        self.owner, self._unproved = owner, unproved

    def unproved_for(self, owner: object) -> Unproved | None:
        """What `postpone` remembered for the same client's state."""
        return self._unproved if self.owner is owner else None

    def outcome(self, now: float) -> HexclaveUser | None:
        """The settled user, or None for nobody: on a websocket, hours may have passed since.

        Args:
            now: epoch seconds.

        Raises:
            RequestRefused: what the credentials came to, or the token is over by now.
        """
        if self._error is not None:
            raise copy.copy(self._error)  # the traceback of what is raised will hold this attempt
        return None if self._token is None else self._token.user_at(now)
