"""Clients: threads that send a bounded number of requests at a steady pace and keep what came of each."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ._cast import ASKING, QUICK, Cast
from ._oracle import Caller, Outcome, Ticket
from ._phases import Phase
from ._servers import Process

__all__ = ["Load", "send"]

LIMIT: Final = 15.0
"""Seconds after which a client gives up: only a broken server gets there."""

# Clients of one process. No more than the threads it has: what is measured is the kit, not a queue before it.
_CLIENTS: Final[tuple[Mapping[Caller, int], ...]] = (QUICK, QUICK, ASKING, ASKING, ASKING, ASKING)


def send(process: Process, ticket: Ticket) -> Outcome:
    """Make one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=LIMIT)
    begin, status = time.time(), None
    try:
        connection.request(ticket.method, ticket.path, headers=dict(ticket.headers))
        answer = connection.getresponse()
        answer.read()
        status = answer.status
    except (OSError, http.client.HTTPException):
        pass  # no answer is an outcome
    finally:
        connection.close()
    return Outcome(ticket=ticket, server=process.name, begin=begin, end=time.time(), status=status)


class Load:
    """Sends `requests` requests within `seconds` to all processes; ends by itself, or with its `with` block.

    Args:
        phase: gives the phase that is being played.
    """

    def __init__(
        self, processes: Sequence[Process], cast: Cast, phase: Callable[[], Phase], requests: int, seconds: float
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._cast, self._phase = cast, phase
        self._over = threading.Event()
        self._deadline = time.monotonic() + seconds
        clients = [(process, group) for process in processes for group in _CLIENTS]
        quota = max(1, requests // len(clients))
        self._threads = [
            threading.Thread(target=self._work, args=(*client, quota, seconds / quota, number), daemon=True)
            for number, client in enumerate(clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(LIMIT + 5)

    def _work(self, process: Process, group: Mapping[Caller, int], quota: int, pause: float, number: int) -> None:
        chance = random.Random(number)
        due = time.monotonic() + pause * chance.random()
        for _ in range(quota):
            if self._over.wait(max(0.0, due - time.monotonic())) or time.monotonic() > self._deadline:
                return
            self.outcomes.append(send(process, self._cast.draw(group, chance, self._phase())))
            due = max(due + pause, time.monotonic())  # what was missed is not made up for by a burst
