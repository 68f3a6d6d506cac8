"""Whether requests wait for keys: the longest one while a slow key endpoint is asked again."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx

from hexclave_integrations import HexclaveClient
from hexclave_integrations.testing import Sandbox

from ._measure import Scale, Table

__all__ = ["FIRST", "LATER", "TITLE", "tables"]

DELAY = 0.2
TITLE = "Waiting for keys"
FIRST = "the first request of a process"
LATER = "the longest request while keys are refreshed"
NOTE = f"The key endpoint takes {DELAY * 1e3:.0f} ms; requests come one after the other until the refresh has ended."


class _Slow(httpx.BaseTransport):
    """A transport that takes its time; `ended` is set by the second answer, which is the refresh's."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._answers = 0
        self.ended = threading.Event()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        time.sleep(DELAY)
        response: httpx.Response = self._inner.handle_request(request)
        self._answers += 1
        if self._answers == 2:
            self.ended.set()
        return response


def tables(scale: Scale) -> list[Table]:
    """Measure."""
    del scale  # one refresh is the whole of it
    sandbox = Sandbox()
    now = time.time()
    transport = _Slow(sandbox.config.transport)
    client = HexclaveClient(sandbox.config, transport=transport, clock=lambda: now)
    token = sandbox.token(sandbox.create_user(), 86400)
    first = _seconds(client, token)
    now += sandbox.config.jwks_max_age + 1
    later = [_seconds(client, token)]
    while not transport.ended.is_set():
        later.append(_seconds(client, token))
    rows = {FIRST: (first * 1e3, first / DELAY), LATER: (max(later) * 1e3, max(later) / DELAY)}
    return [Table(TITLE, {"ms": ".2f", "x the key endpoint": ".4f"}, rows, NOTE)]


def _seconds(client: HexclaveClient, token: str) -> float:
    begin = time.perf_counter()
    client.verify_token(token)
    return time.perf_counter() - begin
