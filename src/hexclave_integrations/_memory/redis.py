"""Redis, as both colours use it: one small class that runs scripts, so that every operation is one atomic step.

`RedisStore` keeps delivery claims with it, `fleet.py` keeps Hexclave's answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import Any

from .._base.fork import ForkAware
from ..errors import ConfigurationError
from .redis_fitness import CLUSTER
from .redis_problems import is_demoted, name_problem, name_url_problem

__all__ = ["RedisScripts", "RedisUnavailable"]


class RedisUnavailable(Exception):
    """Redis cannot be asked now; the text names the problem and no secret."""


class RedisScripts(ForkAware):
    """Runs Lua scripts on one Redis server, with or without an event loop.

    Connections are kept for threads, and on event loops that `open` was called on. On any other loop each call
    makes its own: WSGI servers run each async view on a loop of its own, whose connections nobody could close.

    Where the server has become a replica, its connections are dropped and the address is looked up again, once.

    Args:
        server: a URL, `redis://` or `rediss://`, with the password if there is one; or a client of the package redis,
            such as a Sentinel makes. A client keeps its own time-outs and connections; on event loops a sync one is
            used from threads, and one for asyncio cannot be used without a loop.
        timeout: longest wait, seconds, where `server` is a URL.

    Raises:
        ConfigurationError: the package `redis` is missing, or the URL is none.
    """

    def __init__(self, server: Any, timeout: float) -> None:
        try:
            import redis
            import redis.asyncio
            from redis.asyncio.retry import Retry as AsyncRetry
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ModuleNotFoundError as error:
            if error.name != "redis":  # it is installed, and something in it is missing
                raise
            raise ConfigurationError('redis_url needs redis: pip install "hexclave-integrations[redis]".') from None
        if isinstance(server, redis.RedisCluster | redis.asyncio.RedisCluster):
            raise ConfigurationError(CLUSTER)
        self._redis = redis
        self._errors = (redis.RedisError, UnicodeError, OSError, TimeoutError)
        self._given_sync = server if isinstance(server, redis.Redis) else None
        self._given_async = server if isinstance(server, redis.asyncio.Redis) else None
        self._url = server
        self._is_tls = isinstance(server, str) and server.startswith("rediss:")
        # A client that was given may hand out further connections to a server that was demoted.
        self._tries = 2 if self._given_sync is None and self._given_async is None else 5
        self._options: dict[str, Any] = {
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "decode_responses": True,
        }
        # A kept connection may have been closed by the server: one try more, at once. By itself the library would
        # go on for many seconds while a request waits. A script that ran and whose answer was lost may run again.
        lost = (redis.ConnectionError,)
        self._retry: dict[str, Any] = {"retry": Retry(NoBackoff(), 1, supported_errors=lost)}
        self._async_retry: dict[str, Any] = {"retry": AsyncRetry(NoBackoff(), 1, supported_errors=lost)}
        if self._given_sync is None and self._given_async is None:
            self._check_url()
        self._client: Any = None
        self._inherited: list[Any] = []
        super().__init__()

    @property
    def needs_loop(self) -> bool:
        """Whether there is nothing but a client for asyncio, so that `run` cannot be used."""
        return self._given_async is not None

    def _check_url(self) -> None:
        for pool in (self._redis.ConnectionPool, self._redis.asyncio.ConnectionPool):
            if not hasattr(pool, "make_connection"):  # or the URL would be blamed for it
                raise ConfigurationError(
                    f"redis {self._redis.__version__} does not let its URL be judged: use a version of it that this "
                    "version of hexclave-integrations supports."
                )
        problem = None
        try:
            with contextlib.closing(self._redis.Redis.from_url(self._url, **self._options)) as client:
                client.connection_pool.make_connection()  # connects to nothing yet, and judges the URL's options
            async_pool: Any = self._redis.asyncio.ConnectionPool.from_url(self._url, **self._options)
            async_pool.make_connection()
        except (ValueError, TypeError, AttributeError, self._redis.RedisError) as error:
            problem = name_url_problem(self._url, error)
        if problem is not None:  # raised here, without the library's error, which may quote the URL
            raise ConfigurationError(problem)

    def reset_after_fork(self) -> None:
        super().reset_after_fork()
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()
        if self._given_sync is not None or self._given_async is not None:
            self._client = self._given_sync  # its own pool looks at the process id
            return
        # The parent's connections are left to the parent, and kept: collecting them would close and complain.
        if self._client is not None:
            self._inherited.append(self._client)
        self._client = self._new_client()

    def run(self, script: str, keys: list[str], arguments: list[str]) -> Any:
        """Run a script.

        Raises:
            RedisUnavailable: Redis cannot be asked now.
        """
        self._renew_in_child()
        client = self._client
        if client is None:
            raise RedisUnavailable("it was given as a client for asyncio, and there is no event loop: give redis.Redis")
        for left in reversed(range(self._tries)):
            try:
                return _text(client.eval(script, len(keys), *keys, *arguments))
            except self._errors as error:
                if not left or not is_demoted(error):
                    raise RedisUnavailable(name_problem(error, self._is_tls)) from None
            # Connections in use are left to their threads, which will find out by themselves.
            _disconnect(client)
            if self._given_sync is None:
                with self._lock:
                    if client is self._client:
                        self._client = self._new_client()
                    client = self._client
        raise AssertionError("unreachable")

    async def arun(self, script: str, keys: list[str], arguments: list[str]) -> Any:
        """As `run`, on an event loop."""
        self._renew_in_child()
        if self._given_sync is not None:
            return await asyncio.to_thread(self.run, script, keys, arguments)
        kept = self._given_async or self._clients.get(asyncio.get_running_loop())
        client = self._new_async_client() if kept is None else kept
        try:
            for left in reversed(range(self._tries)):
                try:
                    return _text(await client.eval(script, len(keys), *keys, *arguments))
                except self._errors as error:
                    if not left or not is_demoted(error):
                        raise RedisUnavailable(name_problem(error, self._is_tls)) from None
                await _disconnect(client)
                if kept is not None and self._given_async is None:
                    client = self._replaced(client)
            raise AssertionError("unreachable")
        finally:
            if kept is None:
                await client.aclose()

    def _replaced(self, client: Any) -> Any:
        """The running loop's client in place of one whose server was demoted; another task may have replaced it."""
        loop = asyncio.get_running_loop()
        if self._clients.get(loop) is client:
            self._clients[loop] = self._new_async_client()
        return self._clients.get(loop, client)

    def open(self) -> None:
        """Keep connections on the running loop until `aclose` is called there."""
        self._renew_in_child()
        loop = asyncio.get_running_loop()
        if loop not in self._clients and self._given_sync is None and self._given_async is None:
            self._clients[loop] = self._new_async_client()

    def close(self) -> None:
        """Close the connections of threads; a later call opens new ones. A client that was given is left open."""
        self._renew_in_child()
        if self._given_sync is None and self._given_async is None:
            self._client.close()

    async def aclose(self) -> None:
        """Close the running loop's connections; a later call opens new ones."""
        self._renew_in_child()
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _new_client(self) -> Any:
        return self._redis.Redis.from_url(self._url, **self._options, **self._retry)

    def _new_async_client(self) -> Any:
        return self._redis.asyncio.Redis.from_url(self._url, **self._options, **self._async_retry)


def _disconnect(client: Any) -> Any:
    """Close the connections that are not in use; for asyncio, what has to be awaited for that."""
    pool = client.connection_pool
    try:
        return pool.disconnect(inuse_connections=False)
    except TypeError:  # some pools know no difference
        return pool.disconnect()


def _text(reply: Any) -> Any:
    """A reply as texts: a client that was given may hand out bytes."""
    if isinstance(reply, bytes):
        return reply.decode()
    return [_text(part) for part in reply] if isinstance(reply, list) else reply
