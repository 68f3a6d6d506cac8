"""The state of a client that an observer watches: the plain one, which pays nothing, with telling around it."""

from __future__ import annotations

from collections.abc import Callable

from .._memory.caches import VerifiedToken
from .._token.keys import KeyRing
from ..api_key import HexclaveApiKey
from ..config import HexclaveConfig
from ..errors import RequestRefused
from ..requirements import Requirement
from ..telemetry._telling import Telling
from ..user import HexclaveUser
from .attempt import Attempt
from .state import Core

__all__ = ["core_for"]


def core_for(config: HexclaveConfig, clock: Callable[[], float]) -> Core:
    """The state of a client, watched if the configuration names an observer.

    Args:
        config: the project's settings.
        clock: gives epoch seconds.
    """
    if config.observer is None:
        return Core(config, clock)
    return _ObservedCore(config, clock, Telling(config.observer))


class _ObservedCore(Core):
    """A `Core` that tells what it lets through, refuses and looks up."""

    def __init__(self, config: HexclaveConfig, clock: Callable[[], float], telling: Telling) -> None:
        super().__init__(config, clock)
        self._telling = telling
        self.ring = _ObservedRing(config, telling)

    def admit_known(self, requirement: Requirement, attempt: Attempt) -> HexclaveUser | None:
        user = super().admit_known(requirement, attempt)
        if user is not None:  # else the flow goes on, and tells
            self.admitted(requirement, user)
        return user

    def admitted(self, requirement: Requirement, principal: HexclaveUser | HexclaveApiKey | None) -> None:
        self._telling.admitted(requirement.scope, _kind(principal))

    def note(self, refusal: RequestRefused, attempt: Attempt | None = None) -> None:
        if attempt is None or attempt.noted != refusal.reason:
            self._telling.refused(refusal.code)
        super().note(refusal, attempt)
        if attempt is not None:
            attempt.noted = refusal.reason

    def recall(self, name: bytes, now: float) -> VerifiedToken | None:
        known = super().recall(name, now)
        self._telling.looked_up("token", "memory", known is not None)
        return known

    def looked_up(self, cache: str, location: str, is_hit: bool) -> None:
        self._telling.looked_up(cache, location, is_hit)


class _ObservedRing(KeyRing):
    """A `KeyRing` that tells whether a token found the keys at hand."""

    def __init__(self, config: HexclaveConfig, telling: Telling) -> None:
        super().__init__(config)
        self._telling = telling

    def needs_no_fetch(self, kid: str, now: float) -> bool:
        is_hit = super().needs_no_fetch(kid, now)
        self._telling.looked_up("key set", "memory", is_hit)
        return is_hit


def _kind(principal: HexclaveUser | HexclaveApiKey | None) -> str:
    if principal is None:
        return "nobody"
    return f"{principal.type} api key" if isinstance(principal, HexclaveApiKey) else principal.kind
