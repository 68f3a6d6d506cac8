"""One way to make the server's own calls in both colours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from hexclave_integrations import AsyncHexclaveClient, HexclaveClient, HexclaveConfig

__all__ = ["COLOURS", "Calls"]

COLOURS = ("sync", "async")


class Calls:
    """A client of a colour, whose calls are made by `do`.

    Args:
        colour: `sync` or `async`; the latter makes each call on an event loop of its own.
        options: of the client.
    """

    def __init__(self, colour: str, config: HexclaveConfig, **options: Any) -> None:
        self.client: Any
        if colour == "sync":
            self.client = HexclaveClient(config, **options)
        else:
            self.client = AsyncHexclaveClient(config, **options)

    def do(self, call: Callable[..., Any], *args: Any) -> Any:
        """The result of a call; a list of what an iterator gives.

        Args:
            call: is given `client.server`.
            args: what else it is given.
        """
        return self.ask(lambda client: call(client.server, *args))

    def ask(self, call: Callable[[Any], Any]) -> Any:
        """As `do`, with the client itself."""
        if isinstance(self.client, HexclaveClient):
            result = call(self.client)
            return list(result) if isinstance(result, Iterator) else result

        async def resolve() -> Any:
            result = call(self.client)
            if isinstance(result, AsyncIterator):
                return [each async for each in result]
            return await result

        return asyncio.run(resolve())

    def close(self) -> None:
        """Close connections."""
        if isinstance(self.client, HexclaveClient):
            self.client.close()
