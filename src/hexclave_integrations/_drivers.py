"""Run flows: the only module that does HTTP, and where sync and async part (see `_policy/effects.py`).

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

from ._base.fork import ForkAware
from ._memory.redis import RedisUnavailable
from ._policy.effects import Background, Effect, Fetch, Flow, Once, Shared
from ._wire.messages import Reply, Request, TransportError, logger
from .config import HexclaveConfig
from .errors import ConfigurationError, HexclaveError, Unavailable

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
            future.set_running_or_notify_cancel()  # from here on no waiter can cancel it for the others
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
        self._client: httpx.Client | None = None
        self._inherited: list[httpx.Client] = []
        super().__init__()

    def reset_after_fork(self) -> None:
        self._lock = threading.Lock()
        # The parent's connections are left to the parent, and kept: collecting them would close and complain.
        if self._client is not None:
            self._inherited.append(self._client)
        self._client = None

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
                except (TransportError, RedisUnavailable, HexclaveError) as problem:
                    error = problem

    def spawn(self, flow: Flow[None], *, then_close: bool = False) -> None:
        """Run a flow on a thread of its own; its problems are logged."""
        thread = threading.Thread(
            target=self._run_quietly, args=(flow, then_close), name="hexclave-refresh", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is shutting down
            logger.warning("A background refresh could not start: %s", error)

    def close(self) -> None:
        """Close connections; a later request opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _run_quietly(self, flow: Flow[None], then_close: bool) -> None:
        try:
            self.run(flow)
        except Exception:  # noqa: BLE001  # nobody is waiting to hear of it
            logger.exception("A background refresh failed")
        finally:
            if then_close:
                self.close()

    def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Fetch):
            return self._send(effect.request)
        if isinstance(effect, Once):
            leads, future = self._flights.join(effect.key)
            if not leads:
                self._wait(effect.key, future)
                return False, None
            try:
                return True, self.run(effect.start())
            finally:
                self._flights.land(effect.key, future)
        if isinstance(effect, Background):
            self.spawn(effect.start())
            return None
        if isinstance(effect, Shared):
            return getattr(effect.answers, effect.operation)(*effect.arguments)
        result = effect.function()
        if hasattr(result, "__await__"):
            if hasattr(result, "close"):
                result.close()
            raise ConfigurationError("A team reference is a coroutine function, which this framework cannot await.")
        return result

    def _wait(self, key: Hashable, future: Future[None]) -> None:
        try:
            future.result(2 * self._timeout + 1)
        except FutureTimeout:
            # Whoever fetches is lost, with his thread or loop perhaps: do not let the next ones wait for him too.
            self._flights.land(key, future)
            raise Unavailable from None

    def _send(self, request: Request) -> Reply:
        """On a thread of its own: httpx bounds each step of an exchange and not the whole, which may come in drips."""
        reply: Future[Reply] = Future()

        def exchange() -> None:
            try:
                reply.set_result(self._exchange(request))
            except BaseException as error:  # noqa: BLE001  # it is raised where somebody waits for it
                reply.set_exception(error)

        try:
            threading.Thread(target=exchange, name="hexclave-request", daemon=True).start()
        except RuntimeError:  # no more threads, or the interpreter is shutting down
            raise TransportError("no thread") from None
        try:
            return reply.result(self._timeout)
        except FutureTimeout:
            raise TransportError("too slow") from None

    def _exchange(self, request: Request) -> Reply:
        import httpx

        client = self._opened()
        deadline = time.monotonic() + self._timeout
        try:
            with client.stream(
                request.method, request.url, headers=_headers(request), content=request.body
            ) as response:
                body = _Body(response, deadline)
                for chunk in response.iter_bytes():
                    body.feed(chunk)
                return body.reply()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise TransportError(type(error).__name__) from None
        except RuntimeError:
            if client.is_closed:
                raise TransportError("closed meanwhile") from None
            raise

    def _opened(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._client is None:
                transport = None if self._transport is None else _borrowed(self._transport)
                self._client = httpx.Client(transport=transport, timeout=self._timeout, follow_redirects=False)
                # An application that is dropped without closing it, as tests do, leaves no open connections.
                weakref.finalize(self, self._client.close).atexit = False
            return self._client


class AsyncDriver:
    """Runs flows on asyncio; one driver serves any number of event loops.

    Connections are kept only on loops that somebody opened the driver on, and closes it on: WSGI servers run
    each async view on a loop of its own, whose connections nobody could close.

    Args:
        config: gives the time-out.
        transport: an httpx async transport instead of real HTTP; it stays its owner's to close.
        flights: whom to wait for; own ones when None.
    """

    def __init__(self, config: HexclaveConfig, transport: Any = None, flights: Flights | None = None) -> None:
        if transport is not None and not hasattr(transport, "handle_async_request"):
            raise ConfigurationError("transport cannot be used with async: it has no handle_async_request.")
        self._timeout = config.http_timeout
        self._transport = transport
        self._flights = Flights() if flights is None else flights
        self._config = config
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
                except (TransportError, RedisUnavailable, HexclaveError) as problem:
                    error = problem

    async def open(self) -> None:
        """Keep connections on the running loop until `close` is called there."""
        loop = asyncio.get_running_loop()
        if self._transport is None and loop not in self._clients:
            self._clients[loop] = self._new_client()

    async def close(self) -> None:
        """Close the running loop's connections and end its background work; a later request opens new ones."""
        loop = asyncio.get_running_loop()
        mine = [task for task in self._tasks.copy() if task.get_loop() is loop]  # other loops' threads change it
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        client = self._clients.pop(loop, None)
        if client is not None:
            await client.aclose()

    async def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Fetch):
            return await self._send(effect.request)
        if isinstance(effect, Once):
            leads, future = self._flights.join(effect.key)
            if not leads:
                await self._wait(effect.key, future)
                return False, None
            try:
                return True, await self.run(effect.start())
            finally:
                self._flights.land(effect.key, future)
        if isinstance(effect, Background):
            self._spawn(effect.start())
            return None
        if isinstance(effect, Shared):
            return await getattr(effect.answers, f"a{effect.operation}")(*effect.arguments)
        result = effect.function()
        return await result if hasattr(result, "__await__") else result

    def _spawn(self, flow: Flow[None]) -> None:
        if self._transport is None:
            # On a thread, so that it outlives a short loop, with connections that end with it.
            SyncDriver(self._config, None, self._flights).spawn(flow, then_close=True)
            return
        task = asyncio.get_running_loop().create_task(self._run_quietly(flow))
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)

    async def _run_quietly(self, flow: Flow[None]) -> None:
        try:
            await self.run(flow)
        except Exception:  # noqa: BLE001  # nobody is waiting to hear of it
            logger.exception("A background refresh failed")

    async def _wait(self, key: Hashable, future: Future[None]) -> None:
        try:
            async with asyncio.timeout(2 * self._timeout + 1):
                await asyncio.wrap_future(future)
        except TimeoutError:
            self._flights.land(key, future)  # as in `SyncDriver`
            raise Unavailable from None

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
        except RuntimeError:
            if client.is_closed:
                raise TransportError("closed meanwhile") from None
            raise

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
