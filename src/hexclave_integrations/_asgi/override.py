"""Other settings for an application that has Hexclave already, for the length of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.types import ASGIApp

from .._adapter.client_source import NOT_INSTALLED
from ..client import AsyncHexclaveClient
from ..config import HexclaveConfig
from ..errors import ConfigurationError
from .middleware import CallerMiddleware, layers_of

__all__ = ["override_config"]


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
    is_new = isinstance(app, Starlette) and app.middleware_stack is None
    if isinstance(app, Starlette) and is_new:
        app.middleware_stack = app.build_middleware_stack()
    try:
        found = [layer.source for layer in layers_of(app) if isinstance(layer, CallerMiddleware)]
        if not found:
            raise ConfigurationError(NOT_INSTALLED)
        client = AsyncHexclaveClient(config)
        with found[0].replaced(client):
            yield client
    finally:
        if isinstance(app, Starlette) and is_new:
            app.middleware_stack = None  # the next start builds it anew, with what was added meanwhile
