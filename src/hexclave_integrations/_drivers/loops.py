"""Run flows on event loops."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Coroutine, Hashable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _reasons as reasons
from .._base import drive
from .._policy.effects import Background, Compute, Effect, Fetch, Flow, Once, Pause, UseFile, UseFleet
from .._wire.messages import Reply, Request, TransportError, logger
from ..config import HexclaveConfig
from ..errors import ConfigurationError, Unavailable
from ..telemetry._telling import Telling
from .flights import Flights
from .http import Body, borrowed, failed, failures, headers
from .question import Question
from .threads import TOLD, SyncDriver

if TYPE_CHECKING:
    import httpx

__all__ = ["AsyncDriver"]

T = TypeVar("T")


class AsyncDriver:
    """Runs flows on asyncio; one driver serves any number of event loops.

    Connections are kept only on loops that the driver was opened on, and will be closed on: WSGI servers run each
    async view on a loop of its own, whose connections nobody could close.

    Args:
        config: gives the time-out.
        transport: an httpx async transport instead of real HTTP; it stays its owner's to close.
        flights: the flows under way, to wait for; own ones when None.
    """

    def __init__(self, config: HexclaveConfig, transport: Any = None, flights: Flights | None = None) -> None:
        if transport is not None and not hasattr(transport, "handle_async_request"):
            raise ConfigurationError("transport cannot be used with async: it has no handle_async_request.")
        self._timeout = config.http_timeout
        self._telling = None if config.observer is None else Telling(config.observer)
        self._transport = transport
        self.flights: Flights = Flights() if flights is None else flights
        self._threads = SyncDriver(config, None, self.flights)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient]
        self._clients = weakref.WeakKeyDictionary()

    async def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end and return what it returns, or raise what it raises."""
        return await drive.arun(flow, self._perform, TOLD)

    async def open(self) -> None:
        """Keep connections on the running loop until `close` is called there."""
        loop = _running_loop()
        if self._transport is None and loop not in self._clients:
            self._clients[loop] = self._new_client()

    async def close(self) -> None:
        """Close the running loop's connections and end its background work; a later request opens new ones."""
        loop = _running_loop()
        mine = [task for task in self._tasks.copy() if task.get_loop() is loop]  # other loops' threads change it
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        client = self._clients.pop(loop, None)
        if client is not None:
            await client.aclose()

    async def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Fetch):
            return await self._fetch(effect.request)
        if isinstance(effect, Once):
            leads, future = self.flights.join(effect.key, _running_loop())
            if leads:
                return True, await self._lead(effect, future)
            await self._wait(effect.key, future)
            return False, None
        if isinstance(effect, Background):
            self._spawn(effect.start())
            return None
        if isinstance(effect, UseFleet):
            return await getattr(effect.memory, f"a{effect.operation}")(*effect.arguments)
        if isinstance(effect, UseFile):
            return await asyncio.to_thread(getattr(effect.file, effect.operation), *effect.arguments)
        if isinstance(effect, Compute):
            return await asyncio.to_thread(effect.function)
        if isinstance(effect, Pause):
            return await asyncio.sleep(effect.seconds)
        result = effect.function()
        return await result if hasattr(result, "__await__") else result

    async def _lead(self, effect: Once, future: Future[None]) -> Any:
        """Run a flow that others may wait for, as a task of its own, which goes on when this request is cancelled.

        Servers cancel a request whose client hangs up. If that ended the fetch of the key set, a stranger could have
        it begun anew, again and again, and keep the cool-down from ever starting.
        """
        task = self._start(self.run(effect.start()))

        def land(task: asyncio.Task[Any]) -> None:
            self.flights.land(effect.key, future)
            if not task.cancelled():
                task.exception()  # it is raised below, unless nobody is there any more; then asyncio would complain

        task.add_done_callback(land)  # not `finally` inside of it: a task that is cancelled early never gets there
        try:
            await asyncio.wait([task])  # which, when cancelled, leaves the task alone
            if task.cancelled():
                raise Unavailable(reason=reasons.STOPPED)  # by `close`, or with its loop
            return task.result()
        finally:
            del task  # an error holds this frame, and would hold the request in a cycle

    async def _wait(self, key: Hashable, future: Future[None]) -> None:
        try:
            async with asyncio.timeout(2 * self._timeout + 1):
                await asyncio.wrap_future(future)
        except TimeoutError:
            self.flights.land(key, future)  # as in `SyncDriver`
            raise Unavailable(reason=reasons.GIVEN_UP) from None

    def _spawn(self, flow: Flow[None]) -> None:
        if self._transport is None:
            # On a thread, so that it outlives a short loop, with connections that end with it.
            self._threads.spawn(flow, then_close=True)
        else:
            self._start(self._run_quietly(flow))

    async def _run_quietly(self, flow: Flow[None]) -> None:
        try:
            await self.run(flow)
        except Exception:  # noqa: BLE001  # nobody is waiting to hear of it
            logger.exception("A background refresh failed")

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        # A loop that was closed under its tasks never ends them.
        self._tasks.difference_update([task for task in self._tasks.copy() if task.get_loop().is_closed()])
        task = _running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._tasks.discard)
        return task

    async def _fetch(self, request: Request) -> Reply:
        if self._telling is None:
            return await self._send(request)
        with Question(self._telling, request) as question:
            return question.answered(await self._send(request))

    async def _send(self, request: Request) -> Reply:
        client = self._clients.get(_running_loop())
        if client is not None:
            return await self._exchange(client, request)
        async with self._new_client() as client:
            return await self._exchange(client, request)

    async def _exchange(self, client: httpx.AsyncClient, request: Request) -> Reply:
        deadline = time.monotonic() + self._timeout
        try:
            async with (
                asyncio.timeout(self._timeout),
                client.stream(request.method, request.url, headers=headers(request), content=request.body) as response,
            ):
                body = Body(response, deadline)
                async for chunk in response.aiter_bytes():
                    body.feed(chunk)
                return body.reply()
        except failures() as error:
            raise failed(error) from None
        except RuntimeError:
            if client.is_closed:
                raise TransportError("closed meanwhile") from None
            raise

    def _new_client(self) -> httpx.AsyncClient:
        import httpx

        if self._transport is not None:
            return httpx.AsyncClient(transport=borrowed(self._transport), timeout=self._timeout)
        return httpx.AsyncClient(verify=self._threads.lines.tls, timeout=self._timeout, follow_redirects=False)


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "Hexclave's async client runs on asyncio, and this is another library such as Trio: start the server with "
            "an asyncio worker (Hypercorn: --worker-class asyncio), and give tests the anyio backend asyncio."
        ) from None
