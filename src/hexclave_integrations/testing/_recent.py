"""A list that forgets what is oldest: a sandbox may be served for days."""

from __future__ import annotations

from typing import Final, TypeVar

__all__ = ["MAX_RECORDS", "RecentList"]

T = TypeVar("T")

MAX_RECORDS: Final = 10_000


class RecentList(list[T]):
    """A list of which `append` keeps the newest `MAX_RECORDS`."""

    def append(self, item: T, /) -> None:
        """Add an item, and drop the oldest one if there are too many."""
        super().append(item)
        if len(self) > MAX_RECORDS:
            del self[: len(self) - MAX_RECORDS]
