"""Run flows: the only modules that do HTTP, and where sync and async part (see `_policy/effects.py`).

Requests that need the same thing at the same time wait for one flow that gets it, whichever thread or event loop runs
it. They wait on a `concurrent.futures.Future`, which belongs to no loop, so a cancelled waiter disturbs nobody.
"""

from .flights import Flights
from .loops import AsyncDriver
from .threads import SyncDriver

__all__ = ["AsyncDriver", "Flights", "SyncDriver"]
