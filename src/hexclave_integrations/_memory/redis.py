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

__all__ = ["RedisScripts", "RedisUnavailable"]


class RedisUnavailable(Exception):
    """Redis cannot be asked now; the text names the problem and no secret."""


class RedisScripts(ForkAware):
    """Runs Lua scripts on one Redis server, with or without an event loop.

    Connections are kept for threads, and on event loops that `open` was called on. On any other loop each call
    makes its own: WSGI servers run each async view on a loop of its own, whose connections nobody could close.

    Args:
        url: `redis://` or `rediss://`, with the password if there is one.
        timeout: longest wait, seconds.

    Raises:
        ConfigurationError: the package `redis` is missing, or the URL is none.
    """

    def __init__(self, url: str, timeout: float) -> None:
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
        self._redis = redis
        self._errors = (redis.RedisError, UnicodeError, OSError, TimeoutError)
        self._url = url
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
        if not hasattr(redis.ConnectionPool, "make_connection"):
            raise ConfigurationError(
                f"redis {redis.__version__} does not let its URL be judged: use a version of it that this version of "
                "hexclave-integrations supports."
            )
        try:
            with contextlib.closing(redis.Redis.from_url(url, **self._options)) as client:
                client.connection_pool.make_connection()  # connects to nothing yet, and judges the URL's options
        except (ValueError, TypeError, AttributeError, redis.RedisError):
            raise ConfigurationError("redis_url is no Redis URL: use redis://host:6379/0 or rediss://...") from None
        self._client: Any = None
        self._inherited: list[Any] = []
        super().__init__()

    def reset_after_fork(self) -> None:
        super().reset_after_fork()
        # The parent's connections are left to the parent, and kept: collecting them would close and complain.
        if self._client is not None:
            self._inherited.append(self._client)
        self._client = self._redis.Redis.from_url(self._url, **self._options, **self._retry)
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()

    def run(self, script: str, keys: list[str], arguments: list[str]) -> Any:
        """Run a script.

        Raises:
            RedisUnavailable: Redis cannot be asked now.
        """
        self._renew_in_child()
        try:
            return self._client.eval(script, len(keys), *keys, *arguments)
        except self._errors as error:
            raise RedisUnavailable(type(error).__name__) from None

    async def arun(self, script: str, keys: list[str], arguments: list[str]) -> Any:
        """As `run`, on an event loop."""
        self._renew_in_child()
        kept = self._clients.get(asyncio.get_running_loop())
        client = (
            self._redis.asyncio.Redis.from_url(self._url, **self._options, **self._async_retry)
            if kept is None
            else kept
        )
        try:
            return await client.eval(script, len(keys), *keys, *arguments)
        except self._errors as error:
            raise RedisUnavailable(type(error).__name__) from None
        finally:
            if kept is None:
                await client.aclose()

    def open(self) -> None:
        """Keep connections on the running loop until `aclose` is called there."""
        self._renew_in_child()
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = self._redis.asyncio.Redis.from_url(self._url, **self._options, **self._async_retry)

    def close(self) -> None:
        """Close the connections of threads; a later call opens new ones."""
        self._renew_in_child()
        self._client.close()

    async def aclose(self) -> None:
        """Close the running loop's connections; a later call opens new ones."""
        self._renew_in_child()
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()
