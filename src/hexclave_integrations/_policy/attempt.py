"""The credentials of one request, and what came of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

from .._token import find
from ..config import HexclaveConfig
from ..errors import RequestRefused
from ..user import HexclaveUser

__all__ = ["Attempt"]


class Attempt:
    """The credentials of one request, and what came of them: an adapter keeps one on the request.

    Args:
        headers: the credential headers, as `find.collect` returns them.
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
        return find.find_token(self.headers, cookies, config)

    def find_api_key(self, config: HexclaveConfig) -> str | None:
        """The request's API key, or None.

        Raises:
            ApiKeyNotFound: the header came more than once with different values.
        """
        return find.find_api_key(self.headers, config)

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
