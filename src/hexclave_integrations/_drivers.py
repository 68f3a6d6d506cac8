"""Run flows: the only module that does HTTP, and where sync and async part (see `_core.py`).

Whoever needs something that is already being fetched waits for that fetch, whichever thread or event loop makes
it. The wait is on a `concurrent.futures.Future`, which belongs to no loop: a cancelled waiter disturbs nobody, and
when the one who fetches is cancelled, a waiter takes over.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import Hashable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ._api import Reply, Request, TransportError, logger
from ._core import Background, Effect, Fetch, Flow, Once
from ._fork import ForkAware
from .config import HexclaveConfig
from .errors import ConfigurationError, HexclaveError

if TYPE_CHECKING:
    import httpx

__all__ = ["AsyncDriver", "Flights", "SyncDriver"]

T = TypeVar("T")

MAX_BODY: Final = 1024 * 1024


class Flights(ForkAware):
    """Which keys somebody is working on."""

    def reset_after_fork(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, Future[None]] = {}

    def join(self, key: Hashable) -> tuple[bool, Future[None]]:
        """Become the one who works on `key` (True), or get the future of the one who does."""
        with self._lock:
            future = self._under_way.get(key)
            if future is not None:
                return False, future
            future = self._under_way[key] = Future()
            return True, future

    def land(self, key: Hashable, future: Future[None]) -> None:
        """The flow has ended, or was given up: let the others look."""
        with self._lock:
            if self._under_way.get(key) is future:
                del self._under_way[key]
        if not future.done():
            future.set_result(None)


class _Body:
    """Collects an answer and gives up on one that is too large, too slow or encoded against our wish."""

    def __init__(self, response: httpx.Response, deadline: float) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise TransportError("an encoded answer")
        self._data = bytearray()
        self._deadline = deadline
        self._response = response

    def feed(self, chunk: bytes) -> None:
        self._data += chunk
        if len(self._data) > MAX_BODY:
            raise TransportError("too much data")
        if time.monotonic() > self._deadline:
            raise TransportError("too slow")

    def reply(self) -> Reply:
        headers = {name.lower(): value for name, value in self._response.headers.items()}
        return Reply(self._response.status_code, headers, bytes(self._data))


def _headers(request: Request) -> Mapping[str, str]:
    # Without compression the size limit is one on what arrives.
    return {**request.headers, "accept-encoding": "identity"}


class SyncDriver(ForkAware):
    """Runs flows with blocking HTTP; safe for threads.

    Args:
        config: gives the time-out.
        transport: an httpx transport instead of real HTTP; it stays its owner's to close.
        flights: whom to wait for; own ones when None.
    """

    def __init__(self, config: HexclaveConfig, transport: Any = None, flights: Flights | None = None) -> None:
        if transport is not None and not hasattr(transport, "handle_request"):
            raise ConfigurationError("transport cannot be used without async: it has no handle_request.")
        self._timeout = config.http_timeout
        self._transport = transport
        self._flights = Flights() if flights is None else flights
        super().__init__()

    def reset_after_fork(self) -> None:
        self._lock = threading.Lock()
        # The parent's connections are left to the parent: closing them here would end them for both.
        self._client: httpx.Client | None = None

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return what it returns, or raise what it raises."""
        outcome: Any = None
        error: Exception | None = None
        with contextlib.closing(flow):
            while True:
                try:
                    effect = flow.send(outcome) if error is None else flow.throw(error)
                except StopIteration as stop:
                    value: T = stop.value
                    return value
                outcome = error = None
                try:
                    outcome = self._perform(effect)
                except (TransportError, HexclaveError) as problem:
                    error = problem

    def spawn(self, flow: Flow[None]) -> None:
        """Run a flow on a thread of its own; its problems are logged."""
        threading.Thread(target=self._run_quietly, args=(flow,), name="hexclave-refresh", daemon=True).start()

    def close(self) -> None:
        """Close connections; a later request opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _run_quietly(self, flow: Flow[None]) -> None:
        try:
            self.run(flow)
        except Exception:  # noqa: BLE001  # nobody is waiting to hear of it
            logger.exception("A background refresh failed")

    def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Fetch):
            return self._send(effect.request)
        if isinstance(effect, Once):
            leads, future = self._flights.join(effect.key)
            if not leads:
                self._wait(future)
                return False, None
            try:
                return True, self.run(effect.start())
            finally:
                self._flights.land(effect.key, future)
        if isinstance(effect, Background):
            self.spawn(effect.start())
            return None
        result = effect.function()
        if hasattr(result, "__await__"):
            if hasattr(result, "close"):
                result.close()
            raise ConfigurationError("A team reference is a coroutine function, which this framework cannot await.")
        return result

    def _wait(self, future: Future[None]) -> None:
        try:
            future.result(2 * self._timeout + 1)
        except FutureTimeout:
            raise TransportError("another request's fetch did not end") from None

    def _send(self, request: Request) -> Reply:
        import httpx

        deadline = time.monotonic() + self._timeout
        try:
            with self._opened().stream(
                request.method, request.url, headers=_headers(request), content=request.body
            ) as response:
                body = _Body(response, deadline)
                for chunk in response.iter_bytes():
                    body.feed(chunk)
                return body.reply()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise TransportError(type(error).__name__) from None

    def _opened(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._client is None:
                transport = None if self._transport is None else _borrowed(self._transport)
                self._client = httpx.Client(transport=transport, timeout=self._timeout, follow_redirects=False)
            return self._client


class AsyncDriver:
    """Runs flows on asyncio; one driver serves any number of event loops.

    Connections are kept only on loops that somebody opened the driver on, and closes it on: WSGI servers run
    each async view on a loop of its own, whose connections nobody could close.

    Args:
        config: gives the time-out.
        transport: an httpx async transport instead of real HTTP; it stays its owner's to close.
    """

    def __init__(self, config: HexclaveConfig, transport: Any = None) -> None:
        if transport is not None and not hasattr(transport, "handle_async_request"):
            raise ConfigurationError("transport cannot be used with async: it has no handle_async_request.")
        self._timeout = config.http_timeout
        self._transport = transport
        self._flights = Flights()
        # Background refreshes over real HTTP run on a thread, so that they outlive a short loop.
        self._background = SyncDriver(config, None, self._flights) if transport is None else None
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient]
        self._clients = weakref.WeakKeyDictionary()
        self._tls: Any = None

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return what it returns, or raise what it raises."""
        outcome: Any = None
        error: Exception | None = None
        with contextlib.closing(flow):
            while True:
                try:
                    effect = flow.send(outcome) if error is None else flow.throw(error)
                except StopIteration as stop:
                    value: T = stop.value
                    return value
                outcome = error = None
                try:
                    outcome = await self._perform(effect)
                except (TransportError, HexclaveError) as problem:
                    error = problem

    async def open(self) -> None:
        """Keep connections on the running loop until `close` is called there."""
        loop = asyncio.get_running_loop()
        if self._transport is None and loop not in self._clients:
            self._clients[loop] = self._new_client()

    async def close(self) -> None:
        """Close the running loop's connections and end its background work; a later request opens new ones."""
        loop = asyncio.get_running_loop()
        mine = [task for task in self._tasks if task.get_loop() is loop]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        client = self._clients.pop(loop, None)
        if client is not None:
            await client.aclose()
        if self._background is not None:
            self._background.close()

    async def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Fetch):
            return await self._send(effect.request)
        if isinstance(effect, Once):
            leads, future = self._flights.join(effect.key)
            if not leads:
                await self._wait(future)
                return False, None
            try:
                return True, await self.run(effect.start())
            finally:
                self._flights.land(effect.key, future)
        if isinstance(effect, Background):
            self._spawn(effect.start())
            return None
        result = effect.function()
        return await result if hasattr(result, "__await__") else result

    def _spawn(self, flow: Flow[None]) -> None:
        if self._background is not None:
            self._background.spawn(flow)
            return
        task = asyncio.get_running_loop().create_task(self._run_quietly(flow))
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)

    async def _run_quietly(self, flow: Flow[None]) -> None:
        try:
            await self.run(flow)
        except Exception:  # noqa: BLE001  # nobody is waiting to hear of it
            logger.exception("A background refresh failed")

    async def _wait(self, future: Future[None]) -> None:
        try:
            async with asyncio.timeout(2 * self._timeout + 1):
                # Shielded: cancelling one who waits must not cancel the future that all wait for.
                await asyncio.shield(asyncio.wrap_future(future))
        except TimeoutError:
            raise TransportError("another request's fetch did not end") from None

    async def _send(self, request: Request) -> Reply:
        client = self._clients.get(asyncio.get_running_loop())
        if client is not None:
            return await self._exchange(client, request)
        async with self._new_client() as client:
            return await self._exchange(client, request)

    async def _exchange(self, client: httpx.AsyncClient, request: Request) -> Reply:
        import httpx

        deadline = time.monotonic() + self._timeout
        try:
            async with (
                asyncio.timeout(self._timeout),
                client.stream(request.method, request.url, headers=_headers(request), content=request.body) as response,
            ):
                body = _Body(response, deadline)
                async for chunk in response.aiter_bytes():
                    body.feed(chunk)
                return body.reply()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:  # TimeoutError is an OSError
            raise TransportError(type(error).__name__) from None

    def _new_client(self) -> httpx.AsyncClient:
        import httpx

        if self._transport is not None:
            return httpx.AsyncClient(transport=_borrowed(self._transport), timeout=self._timeout)
        if self._tls is None:  # reading the certificate store takes as long as a hundred requests
            self._tls = httpx.create_ssl_context()
        return httpx.AsyncClient(verify=self._tls, timeout=self._timeout, follow_redirects=False)


def _borrowed(transport: Any) -> Any:
    """An httpx transport that sends through another one and never closes it."""
    import httpx

    class Borrowed(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response: httpx.Response = transport.handle_request(request)
            return response

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response: httpx.Response = await transport.handle_async_request(request)
            return response

    return Borrowed()
