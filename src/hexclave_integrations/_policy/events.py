"""What a webhook event makes untrue of what is remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import _reasons as reasons
from .._memory.redis import RedisUnavailable
from ..errors import Unavailable
from .effects import Flow, UseFleet
from .state import Core

__all__ = ["forget", "forget_here", "forget_tags", "tags_of_event"]


def forget(core: Core, kind: str, data: Mapping[str, Any]) -> Flow[None]:
    """Forget what a webhook event made untrue, here and in the whole fleet (contract section 6).

    Args:
        kind: the event's type.
        data: the event's data.

    Raises:
        Unavailable: the fleet cannot be told now; the sender has to come back.
    """
    yield from forget_tags(core, tags_of_event(kind, data))


def forget_tags(core: Core, tags: Sequence[str]) -> Flow[None]:
    """Forget every answer about the users, teams and API keys that the tags name, here and in the whole fleet.

    Raises:
        Unavailable: the fleet cannot be told now; this process has forgotten.
    """
    if not tags:
        return
    try:
        # Redis first: as long as it remembers, a question asked in between copies the old answer back into the
        # memory of this process.
        if core.fleet is not None:
            yield UseFleet(core.fleet, "forget", (tags,))
    except RedisUnavailable as error:
        core.log.error("Redis cannot be told what is not true any more: %s", error)
        raise Unavailable(retry_after=5, reason=reasons.FLEET_UNAVAILABLE) from None
    finally:
        forget_here(core, tags)


def forget_here(core: Core, tags: Sequence[str]) -> None:
    """Forget in this process alone."""
    core.answers.forget(tags)
    core.api_keys.forget(tags)


def tags_of_event(kind: str, data: Mapping[str, Any]) -> list[str]:
    """The tags of what an event made untrue."""

    def value(name: str) -> str:
        return str(data.get(name, "")).lower()

    if kind.startswith(("team_permission.", "team_membership.")):
        return [f"member:{value('team_id')}:{value('user_id')}"]
    if kind.startswith("project_permission."):
        return [f"project:{value('user_id')}"]
    if kind == "team.deleted":
        return [f"team:{value('id')}"]
    return [f"user:{value('id')}"] if kind in ("user.updated", "user.deleted") else []
