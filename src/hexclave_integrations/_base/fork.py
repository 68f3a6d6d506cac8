"""Locks across `fork`: a lock that another thread holds at that moment stays locked in the child for ever.

Servers fork after loading the application (gunicorn's `preload_app`, uWSGI). Whoever owns a lock derives from
`ForkAware` and makes it anew in the child, before any other code runs there.
"""

from __future__ import annotations

import os
import weakref

__all__ = ["ForkAware"]

_alive: weakref.WeakSet[ForkAware] = weakref.WeakSet()


class ForkAware:
    """Base of objects that hold locks or sockets; `reset_after_fork` makes them on creation and in a child."""

    def __init__(self) -> None:
        self.reset_after_fork()
        _alive.add(self)

    def reset_after_fork(self) -> None:
        """Make locks anew and forget connections that belong to the parent process."""
        raise NotImplementedError


def _reset_all() -> None:
    for owner in list(_alive):
        owner.reset_after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_reset_all)
