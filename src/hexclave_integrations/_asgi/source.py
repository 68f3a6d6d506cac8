"""Where a middleware gets its client from: made when first needed, and replaced for the length of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.types import ASGIApp

from ..client import AsyncHexclaveClient
from ..config import HexclaveConfig
from ..errors import ConfigurationError

__all__ = ["ALREADY_INSTALLED", "ClientSource", "override_config"]

ALREADY_INSTALLED = (
    "Hexclave is installed on this application already, with other settings: give it its settings where it is made, "
    "and use override_config(app, config) where a test needs others."
)


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


@contextmanager
def override_config(app: ASGIApp, config: HexclaveConfig) -> Iterator[AsyncHexclaveClient]:
    """Give an application that has Hexclave already other settings for the length of the block: for tests.

    ::

        with override_config(app, hexclave_sandbox.config), TestClient(app) as client:
            ...

    The application may have been made without any settings, and may have served requests. Applications mounted in it
    that have a Hexclave of their own are left alone.

    Args:
        app: the application.
        config: the settings, a sandbox's for instance.

    Yields:
        The client behind the requirements.

    Raises:
        ConfigurationError: Hexclave is not installed on the application.
    """
    from .middleware import CallerMiddleware, layers_of

    is_new = isinstance(app, Starlette) and app.middleware_stack is None
    if isinstance(app, Starlette) and is_new:
        app.middleware_stack = app.build_middleware_stack()
    try:
        found = [layer.source for layer in layers_of(app) if isinstance(layer, CallerMiddleware)]
        if not found:
            raise ConfigurationError("Hexclave is not installed on this application: there is nothing to override.")
        client = AsyncHexclaveClient(config)
        with found[0].replaced(client):
            yield client
    finally:
        if isinstance(app, Starlette) and is_new:
            app.middleware_stack = None  # the next start builds it anew, with what was added meanwhile
