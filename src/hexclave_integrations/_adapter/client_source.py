"""Where an ASGI adapter gets its client from: made when first needed, and replaced for the length of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ..client import AsyncHexclaveClient
from ..config import HexclaveConfig
from ..errors import ConfigurationError

__all__ = ["ALREADY_INSTALLED", "NOT_INSTALLED", "ClientSource"]

ALREADY_INSTALLED: Final = (
    "Hexclave is installed on this application already, with other settings: give it its settings where it is made, "
    "and use override_config(app, config) where a test needs others."
)
NOT_INSTALLED: Final = "Hexclave is not installed on this application: there is nothing to override."


class ClientSource:
    """Gives a client, and reads the settings of the environment not before that.

    Args:
        config: the project's settings; read from the environment when None.
    """

    def __init__(self, config: HexclaveConfig | None) -> None:
        self._config = config
        self._client: AsyncHexclaveClient | None = None
        if config is not None:
            self._client = AsyncHexclaveClient(config)

    @property
    def client(self) -> AsyncHexclaveClient:
        """The client.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        if self._client is None:
            self._client = AsyncHexclaveClient(self._config)
        return self._client

    @property
    def config(self) -> HexclaveConfig | None:
        """The settings; None where they are missing or wrong."""
        try:
            return self.client.config
        except ConfigurationError:
            return None

    def is_like(self, other: ClientSource) -> bool:
        """Whether another source has the very same settings."""
        if other is self or (self._config is None and other._config is None):
            return True
        return self.config is not None and self.config == other.config

    @contextmanager
    def replaced(self, client: AsyncHexclaveClient) -> Iterator[None]:
        """Give another client for the length of the block."""
        before, self._client = self._client, client
        try:
            yield
        finally:
            self._client = before
