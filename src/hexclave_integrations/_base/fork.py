"""Locks across `fork`: a lock that another thread holds at that moment stays locked in the child for ever.

Servers fork after loading the application. gunicorn's `preload_app` does it through Python, which tells us; uWSGI
forks in C, and nobody is told. So the process id is looked at as well, each time a lock is taken: it costs 50 ns, and
reading what is remembered about a token takes no lock.
"""

from __future__ import annotations

import os
import threading
import weakref

__all__ = ["ForkAware"]

_alive: weakref.WeakSet[ForkAware] = weakref.WeakSet()
# Threads of a new child that come at the same time renew an object one after the other. Each process has a lock of
# its own here, so that none is inherited; `dict.setdefault` is one step.
_turns: dict[int, threading.Lock] = {}


class ForkAware:
    """Base of objects that hold locks or sockets, none of which is ever used in a child.

    A subclass guards its state with `with self._lock:`. What else belongs to one process it makes in
    `reset_after_fork`, and calls `_renew_in_child` before it touches that without the lock.
    """

    def __init__(self) -> None:
        self.reset_after_fork()
        self._pid = os.getpid()
        _alive.add(self)

    def reset_after_fork(self) -> None:
        """Make the lock anew and forget connections that belong to the parent; called on creation, and in a child."""
        self._lock_of_process = threading.Lock()

    @property
    def _lock(self) -> threading.Lock:
        """The lock of this process."""
        if self._pid != os.getpid():
            self._renew_in_child()
        return self._lock_of_process

    def _renew_in_child(self) -> None:
        """Reset if this process is a child of the one that the state was made in."""
        pid = os.getpid()
        if self._pid != pid:
            with _turns.setdefault(pid, threading.Lock()):
                if self._pid != pid:
                    self.reset_after_fork()
                    self._pid = pid


def _renew_all() -> None:
    for owner in list(_alive):
        owner._renew_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_renew_all)
