"""A list that forgets its oldest items, so that a sandbox that runs for days does not grow with what it was asked."""

from __future__ import annotations

from typing import Final, TypeVar

__all__ = ["RECENT", "Recent"]

RECENT: Final = 1000
_Item = TypeVar("_Item")


class Recent(list[_Item]):
    """A list whose `append` keeps the last `RECENT` items."""

    __slots__ = ()

    def append(self, item: _Item, /) -> None:
        """Add an item, and drop the oldest ones beyond the bound."""
        super().append(item)
        del self[:-RECENT]
