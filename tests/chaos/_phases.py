"""What goes wrong and for how long, as data, and the settings that the applications run with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Literal

__all__ = ["CALM", "PHASES", "RECOVERY", "SETTINGS", "SHORT", "Phase"]

SETTINGS: Final[dict[str, Any]] = {
    "leeway": 1,
    "jwks_max_age": 2,
    "jwks_max_stale": 9,
    "jwks_cooldown": 1,
    "http_timeout": 1,
    "permission_ttl": 3,
    "api_key_ttl": 3,
}
"""Short times, so that every bound is reached within seconds; what follows from them stands in `_oracle.py`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A time in which something goes wrong.

    Attributes:
        seconds: how long.
        keys: what the proxy does to requests for keys, one after another; none means that it forwards them.
        api: the same for every other request.
        refused: nobody listens where Hexclave should be.
        redis: what becomes of the server.
        rotates: at its beginning all signing keys are replaced, and users get new tokens.
        strangers: whether tokens with unknown key ids are sent. Just before a rotation they are not: each may spend
            the one key fetch of a cool-down, and users of the new key then get 401 until it is over, by design.
        fixed: its length is part of its meaning, and `--seconds` does not change it.
    """

    name: str
    seconds: float
    keys: tuple[str, ...] = ()
    api: tuple[str, ...] = ()
    refused: bool = False
    redis: Literal["runs", "pauses", "stops"] = "runs"
    rotates: bool = False
    strangers: bool = True
    fixed: bool = False

    @property
    def keys_out(self) -> bool:
        """Whether no usable key set can be had."""
        return self.refused or (bool(self.keys) and not self.keys_foreign)

    @property
    def keys_foreign(self) -> bool:
        """Whether the key set that can be had is a valid one of somebody else."""
        return "another project's" in self.keys

    @property
    def api_out(self) -> bool:
        """Whether questions to Hexclave are not answered usably."""
        return self.refused or any(behaviour != "slow" for behaviour in self.api)

    @property
    def is_trouble(self) -> bool:
        """Whether anything at all goes wrong."""
        return bool(self.keys or self.api or self.refused or self.redis != "runs")

    def lasting(self, seconds: float) -> Phase:
        """The same phase with another length."""
        return dataclasses.replace(self, seconds=seconds)


CALM: Final = Phase(name="calm", seconds=2)
RECOVERY: Final = Phase(name="recovery", seconds=0, strangers=False)
"""Between two phases, for as long as the oracle grants and a moment more."""

_LIES: Final = (
    "html",
    "no keys",
    "redirect to a forger's",
    "keys of other kinds",
    "truncated JSON",
    "40 MB",
    "body too short",
    "empty",
    "list",
    "deep JSON",
    "invalid UTF-8",
    "not HTTP",
    "unannounced gzip",
)

PHASES: Final = (
    CALM,
    Phase(name="keys hang", seconds=3, keys=("hanging", "dripping body")),
    Phase(name="keys rotate", seconds=5, rotates=True, strangers=False, fixed=True),
    Phase(name="keys fail", seconds=3, keys=("error", "rate limit", "not found", "closed", "reset")),
    Phase(name="keys lie", seconds=4, keys=_LIES),
    Phase(name="keys of another project", seconds=2.5, keys=("another project's",)),
    Phase(name="keys hang and rotate", seconds=3, keys=("hanging",), rotates=True, strangers=False),
    Phase(name="API refuses connections", seconds=3, refused=True),
    Phase(name="API is too busy", seconds=3, api=("busy", "busy, not saying for how long")),
    Phase(name="API fails", seconds=3, api=("error", "html", "truncated JSON", "closed", "redirect")),
    Phase(name="API hangs", seconds=3, api=("hanging", "dripping body", "40 MB")),
    Phase(name="API slow, Redis pauses", seconds=3, api=("slow",), redis="pauses"),
    Phase(name="Redis stops", seconds=3, redis="stops"),
    Phase(
        name="all at once",
        seconds=3,
        keys=("error",),
        api=("hanging", "busy"),
        redis="stops",
        rotates=True,
        strangers=False,
    ),
    Phase(name="keys gone for too long", seconds=11, keys=("error",), fixed=True),
)

SHORT: Final = (
    Phase(name="calm", seconds=1, strangers=False),
    Phase(name="keys rotate", seconds=1, rotates=True, strangers=False),
    Phase(name="all at once", seconds=1.5, keys=("error", "html"), api=("error", "busy"), redis="stops"),
)
