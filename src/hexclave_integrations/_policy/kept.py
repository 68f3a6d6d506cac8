"""Key sets that are kept outside of this process: read before Hexclave is asked, and written after it has answered."""

from __future__ import annotations

from functools import partial

from .._memory.key_file import FileUnusable, KeyFile
from .effects import Background, Flow, UseFile
from .state import Core

__all__ = ["keep", "recall"]


def recall(core: Core, *, fresh: bool) -> Flow[None]:
    """Take the set that was kept, if it is newer than the one at hand.

    Args:
        fresh: only a set that is younger than `jwks_max_age`. An older one is for when Hexclave cannot be asked: keys
            that were withdrawn meanwhile are still in it.
    """
    if core.key_file is None:
        return
    try:
        text = yield UseFile(core.key_file, "read")
        if text is not None:
            found = core.kept_keys.read(text, core.clock())
            age = core.clock() - (found.fetched_at or 0)
            if not fresh or age < core.config.jwks_max_age:
                core.ring.adopt(found, core.clock())
    except (FileUnusable, ValueError) as error:
        _say(core, "jwks_file is not used: %s", error)


def keep(core: Core) -> Flow[None]:
    """Keep the set at hand, without letting anybody wait for it."""
    if core.key_file is not None:
        yield Background(partial(_write, core, core.key_file))


def _write(core: Core, file: KeyFile) -> Flow[None]:
    try:
        yield UseFile(file, "write", (core.kept_keys.write(core.ring.current),))
    except (FileUnusable, ValueError) as error:
        _say(core, "jwks_file cannot be written: %s", error)


def _say(core: Core, text: str, error: Exception) -> None:
    if str(error) not in core.said_of_file:
        core.said_of_file.add(str(error))
        core.log.warning(text, error)
