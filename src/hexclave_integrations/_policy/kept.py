"""Key sets that are kept outside of this process: read before Hexclave is asked, and written after it has answered.

In Redis the fleet shares one fetch. In a file a set survives the process. What is read passes the strict parser, has to
bear the seal of the server key, and never makes a set live longer than `jwks_max_stale` from its fetch.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Final

from .._memory.key_file import FileUnusable, KeyFile
from .effects import Background, Flow, Pause, UseFile, UseFleet
from .state import Core

__all__ = ["keep", "leave", "recall", "take_turn"]

# How long a process waits for another one's fetch, in growing steps, as parts of http_timeout: in all a third of it.
_STEPS: Final = (0.015, 0.03, 0.06, 0.1, 0.13)


def recall(core: Core, *, fresh: bool) -> Flow[None]:
    """Take the newest set that was kept, if it is newer than the one at hand.

    Args:
        fresh: only a set that is younger than `jwks_max_age`. An older one is for when Hexclave cannot be asked: keys
            that were withdrawn meanwhile are still in it.
    """
    if core.shared_keys is not None:
        yield from _take_shared(core, (yield UseFleet(core.shared_keys, "recall", ())), fresh=fresh)
    if core.key_file is None or core.ring.is_fresh(core.clock()):
        return
    try:
        text = yield UseFile(core.key_file, "read")
        if text is not None:
            _adopt(core, text, fresh=fresh)
    except (FileUnusable, ValueError) as error:
        _say(core, "jwks_file is not used: %s", error)


def take_turn(core: Core, is_due: Callable[[], bool]) -> Flow[str | None]:
    """Claim the fleet's next fetch, or wait a moment for whoever has it; return the claim, for `keep` or `leave`.

    Args:
        is_due: whether a fetch is still needed.
    """
    if core.shared_keys is None:
        return None
    holder = secrets.token_hex(8)
    for step in (*_STEPS, None):
        claimed = yield UseFleet(core.shared_keys, "claim", (holder,))
        yield from _take_shared(core, claimed.text, fresh=True)
        if claimed.is_ours:
            if is_due():
                return holder
            yield from leave(core, holder)
            return None
        if step is None or not is_due():
            return None
        yield Pause(step * core.config.http_timeout)
    return None


def leave(core: Core, holder: str | None) -> Flow[None]:
    """Give a turn back without a set."""
    if core.shared_keys is not None and holder is not None:
        yield UseFleet(core.shared_keys, "end", (holder, None, 0.0))


def keep(core: Core, holder: str | None) -> Flow[None]:
    """Keep the set at hand; nobody waits for the disk.

    Args:
        holder: from `take_turn`.
    """
    if core.shared_keys is not None:
        text = _written(core, "The key set is not shared: %s")
        if text is None:
            yield from leave(core, holder)
        else:
            yield UseFleet(core.shared_keys, "end", (holder or "", text, core.config.jwks_max_stale))
    yield from _keep_in_file(core)


def _take_shared(core: Core, text: str | None, *, fresh: bool) -> Flow[None]:
    if text is None:
        return
    try:
        if _adopt(core, text, fresh=fresh):
            yield from _keep_in_file(core)
    except ValueError as error:
        core.log.warning("The key set in Redis is not used: %s", error)


def _adopt(core: Core, text: str, *, fresh: bool) -> bool:
    now = core.clock()
    found = core.kept_keys.read(text, now)
    is_fresh = found.fetched_at is not None and now - found.fetched_at < core.config.jwks_max_age
    return (is_fresh or not fresh) and core.ring.adopt(found, now)


def _keep_in_file(core: Core) -> Flow[None]:
    if core.key_file is not None:
        yield Background(partial(_write, core, core.key_file))


def _write(core: Core, file: KeyFile) -> Flow[None]:
    text = _written(core, "jwks_file cannot be written: %s")
    try:
        if text is not None:
            yield UseFile(file, "write", (text,))
    except FileUnusable as error:
        _say(core, "jwks_file cannot be written: %s", error)


def _written(core: Core, complaint: str) -> str | None:
    try:
        return core.kept_keys.write(core.ring.current)
    except ValueError as error:
        _say(core, complaint, error)
        return None


def _say(core: Core, text: str, error: Exception) -> None:
    said = text % error
    if said not in core.said_of_keys:
        core.said_of_keys.add(said)
        core.log.warning("%s", said)
