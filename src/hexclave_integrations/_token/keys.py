"""The key ring: which public key, how old, may I fetch now? Pure decisions; `now` is passed in, no lock, no I/O.

The set is replaced as one immutable snapshot, so readers need no lock. Only the flow that fetched writes.

    age of the set          known key              unknown key
    < max_age               use                    one fetch a cool-down, then refuse
    < max_stale             use, refresh behind    one fetch a cool-down, then refuse, or "cannot tell"
                                                   while the last fetch failed
    older, or no set        one fetch a cool-down, then "cannot tell"
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey, EllipticCurvePublicNumbers

from .. import _reasons as reasons
from .._base import strict
from ..config import HexclaveConfig
from ..user import UserKind

__all__ = ["KINDS_IN_ORDER", "Decision", "KeyRing", "KeySet", "kinds_by_order", "parse_key_set"]

MAX_KEYS: Final = 64
_COORDINATE: Final = 32
KINDS_IN_ORDER: Final[tuple[UserKind, ...]] = ("regular", "restricted", "anonymous")


class Decision(enum.Enum):
    """What to do for a key id."""

    USE = enum.auto()
    USE_AND_REFRESH = enum.auto()
    FETCH = enum.auto()
    REFUSE = enum.auto()
    CANNOT_TELL = enum.auto()


@dataclass(frozen=True, slots=True)
class KeySet:
    """An immutable snapshot.

    Attributes:
        keys: by key id.
        kinds: for the tokens of which kind of user a key was published, by key id, where the set tells: by the order
            that Hexclave writes it in, or for certain.
        kinds_are_certain: whether Hexclave was asked for each kind by itself.
        fetched_at: epoch seconds.
        generation: another number means that the keys themselves changed.
    """

    keys: Mapping[str, EllipticCurvePublicKey] = field(default_factory=lambda: MappingProxyType({}))
    kinds: Mapping[str, UserKind] = field(default_factory=lambda: MappingProxyType({}))
    kinds_are_certain: bool = False
    fetched_at: float | None = None
    generation: int = 0


class KeyRing:
    """The keys of one project and the memory of when they were asked for.

    Args:
        config: gives `jwks_max_age`, `jwks_max_stale` and `jwks_cooldown`.
    """

    def __init__(self, config: HexclaveConfig) -> None:
        self._max_age = config.jwks_max_age
        self._max_stale = config.jwks_max_stale
        self._cooldown = config.jwks_cooldown
        self.current: KeySet = KeySet()
        self._failed = False
        # Why there is no usable set, or none that is up to date.
        self.problem: str = reasons.KEYS_NOT_FETCHED
        # Fetches that may not be repeated before the cool-down is over: for an unknown key, or failed ones.
        self._armed_at: float | None = None
        # The background refresh that somebody already started.
        self._refreshing_since: float | None = None
        # When Hexclave was last asked which users each key is for.
        self._kinds_asked_at: float | None = None

    def is_fresh(self, now: float) -> bool:
        """Whether the set is younger than `jwks_max_age`: nothing to fetch, nothing to doubt."""
        fetched_at = self.current.fetched_at  # as `_younger`, without a call on the path of every request
        return fetched_at is not None and 0 <= now - fetched_at < self._max_age

    def needs_no_fetch(self, kid: str, now: float) -> bool:
        """Whether neither a fetch nor a refresh is due for a token that names `kid`; `now` in epoch seconds."""
        if not self.is_fresh(now):
            return False
        return kid in self.current.keys or (not self._failed and self._cooling(self._armed_at, now))

    def decide(self, kid: str, now: float, *, may_fetch: bool = True) -> Decision:
        """Say what to do for a token that names `kid`.

        Args:
            now: epoch seconds.
            may_fetch: False for a request that has just waited for a fetch.
        """
        usable = self._younger(self._max_stale, now)
        if usable and kid in self.current.keys:
            if self.is_fresh(now) or self._cooling(self._armed_at, now) or self._cooling(self._refreshing_since, now):
                return Decision.USE
            self._refreshing_since = now
            return Decision.USE_AND_REFRESH
        if may_fetch and not self._cooling(self._armed_at, now):
            return Decision.FETCH
        return Decision.REFUSE if usable and not self._failed else Decision.CANNOT_TELL

    def wants_refresh(self, now: float) -> bool:
        """Whether a background refresh that starts now has anything to do."""
        return not self.is_fresh(now) and not self._cooling(self._armed_at, now)

    def retry_after(self, now: float) -> float:
        """Seconds until the next fetch is allowed."""
        return 0.0 if self._armed_at is None else max(0.0, self._armed_at + self._cooldown - now)

    def accept(self, document: bytes, now: float, *, wanted: str | None = None) -> None:
        """Take a fetched key set; `wanted` is the key id that the fetch was made for.

        Raises:
            ValueError: no usable key in it; the old set stays. Call `failed` then.
        """
        keys = parse_key_set(document)
        old = self.current
        same = _are_same(keys, old.keys)
        # The keys first: a thread that reads the flags below then finds the keys they speak of.
        if same:
            self.current = replace(old, fetched_at=now)
        else:
            kinds = MappingProxyType(kinds_by_order(list(keys)))
            self.current = KeySet(MappingProxyType(keys), kinds, fetched_at=now, generation=old.generation + 1)
        # A fresh set that still lacks the key arms the cool-down: the next unknown key does not fetch again.
        self._armed_at = now if wanted is not None and wanted not in keys else None
        self._failed = False
        self.problem = reasons.KEYS_NOT_FETCHED
        self._refreshing_since = None

    def adopt(self, kept: KeySet, now: float) -> bool:
        """Take a set that was fetched before or elsewhere, if it is newer than ours; say whether it was taken.

        An old set ends nothing: the failure of the last fetch stands, and with it the cool-down.

        Args:
            kept: the set; its generation does not count.
            now: epoch seconds.
        """
        old = self.current
        if kept.fetched_at is None or not 0 <= now - kept.fetched_at < self._max_stale:
            return False
        if old.fetched_at is not None and kept.fetched_at <= old.fetched_at <= now:
            return False
        if _are_same(kept.keys, old.keys) and (old.kinds_are_certain or not kept.kinds_are_certain):
            self.current = replace(old, fetched_at=kept.fetched_at)
        else:
            self.current = replace(kept, generation=old.generation + 1)
        if self.is_fresh(now):
            self._failed = False
            self.problem = reasons.KEYS_NOT_FETCHED
            self._refreshing_since = None
        return True

    def may_ask_for_kinds(self, now: float) -> bool:
        """Whether the cool-down allows to ask which users each key is for."""
        return not self._cooling(self._kinds_asked_at, now)

    def asked_for_kinds(self, now: float) -> None:
        """Note that Hexclave is being asked which users each key is for."""
        self._kinds_asked_at = now

    def accept_kinds(self, regular: bytes, restricted: bytes) -> None:
        """Take what Hexclave publishes for regular users alone, and for them and restricted ones.

        Raises:
            ValueError: one of the two is no key set.
        """
        for_regular, for_both = parse_key_set(regular), parse_key_set(restricted)
        kinds: dict[str, UserKind] = {
            kid: "regular" if kid in for_regular else "restricted" if kid in for_both else "anonymous"
            for kid in self.current.keys
        }
        self.current = replace(self.current, kinds=MappingProxyType(kinds), kinds_are_certain=True)

    def failed(self, now: float, reason: str = reasons.KEYS_UNUSABLE) -> None:
        """Note that a fetch failed, and why: the old keys stay and the cool-down starts."""
        self._failed = True
        self.problem = reason
        self._armed_at = now
        self._refreshing_since = None

    def _younger(self, limit: float, now: float) -> bool:
        fetched_at = self.current.fetched_at
        # A set from the future means that the clock was set back: its age is unknown, so it is old.
        return fetched_at is not None and 0 <= now - fetched_at < limit

    def _cooling(self, since: float | None, now: float) -> bool:
        return since is not None and 0 <= now - since < self._cooldown


def _are_same(keys: Mapping[str, EllipticCurvePublicKey], others: Mapping[str, EllipticCurvePublicKey]) -> bool:
    return keys.keys() == others.keys() and all(keys[kid] == others[kid] for kid in keys)


def kinds_by_order(kids: list[str]) -> dict[str, UserKind]:
    """Hexclave writes two keys for each kind of user, in this order (contract section 2); of another set, nothing."""
    if len(kids) != 2 * len(KINDS_IN_ORDER):
        return {}
    return {kid: KINDS_IN_ORDER[index // 2] for index, kid in enumerate(kids)}


def parse_key_set(document: bytes) -> dict[str, EllipticCurvePublicKey]:
    """Read the EC P-256 keys of a JWK set (RFC 7517 section 5); anything else in it is skipped.

    Raises:
        ValueError: no JWK set, or no usable key in it.
    """
    entries = strict.json_object(document).get("keys")
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError("not a key set")
    keys: dict[str, EllipticCurvePublicKey] = {}
    ambiguous: set[str] = set()
    for entry in entries:
        found = _read_key(entry)
        if found is None:
            continue
        kid, key = found
        if kid in keys and keys[kid] != key:
            ambiguous.add(kid)
        keys[kid] = key
    for kid in ambiguous:  # two keys under one name: neither is trustworthy
        del keys[kid]
    if not keys:
        raise ValueError("no usable key")
    return keys


def _read_key(entry: Any) -> tuple[str, EllipticCurvePublicKey] | None:
    if not isinstance(entry, dict):
        return None
    kid, x, y = entry.get("kid"), entry.get("x"), entry.get("y")
    operations = entry.get("key_ops", ["verify"])
    suitable = (
        entry.get("kty") == "EC"
        and entry.get("crv") == "P-256"
        and entry.get("alg", "ES256") == "ES256"
        and entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in entry  # a published private key signs for everybody
    )
    if not suitable or not isinstance(kid, str) or not kid or not isinstance(x, str) or not isinstance(y, str):
        return None
    try:
        abscissa, ordinate = strict.base64url(x.encode("ascii")), strict.base64url(y.encode("ascii"))
        if len(abscissa) != _COORDINATE or len(ordinate) != _COORDINATE:
            return None
        point = EllipticCurvePublicNumbers(int.from_bytes(abscissa), int.from_bytes(ordinate), SECP256R1())
        return kid, point.public_key()  # raises for a point that is not on the curve
    except ValueError:
        return None
