"""`app.dependency_overrides`: what stands for `require_user` in a test stands for its variants too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._dependencies import FastAPIRequirement, optional_user, require_user

__all__ = ["Overrides"]


class Overrides(dict[Callable[..., Any], Callable[..., Any]]):
    """The overrides of an application. `[require_user]` also counts for `.allow(...)`, `.live()` and `optional_user`.

    Requirements that ask for more than a user, `require_permission(...)` for instance, have to be overridden by
    themselves: a test that puts somebody in for the user does not mean that they may do everything.
    """

    def get(self, key: Callable[..., Any], default: Any = None) -> Any:
        """The override of a dependency, or the default; FastAPI asks with this method."""
        found = super().get(key)
        if found is None and isinstance(key, FastAPIRequirement) and key.scope == "user":
            found = (super().get(optional_user) if key.optional else None) or super().get(require_user)
        return default if found is None else found
