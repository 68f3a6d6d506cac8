"""`Hexclave(app)`: installs the middleware, the exception handler, and the description of refusals."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from .._asgi.caller import refuse
from .._asgi.middleware import CallerMiddleware
from ..client import AsyncHexclaveClient
from ..config import HexclaveConfig
from ..errors import ConfigurationError, RequestRefused
from ._dependencies import SCHEME_NAME

__all__ = ["Hexclave"]

_REFUSALS = {
    "401": "Not signed in, or the access token is not acceptable",
    "403": "Signed in, and not allowed",
    "503": "Authentication cannot be checked now; try again after `Retry-After` seconds",
}
_ERROR_SCHEMA = {
    "title": "HexclaveError",
    "type": "object",
    "required": ["code", "error"],
    "properties": {"code": {"type": "string"}, "error": {"type": "string"}, "details": {"type": "object"}},
}


class Hexclave:
    """Puts Hexclave in front of a FastAPI application, mounted sub-applications included.

    Args:
        app: the application; None to call `init_app` later.
        config: the project's settings; read from the environment when None.

    Attributes:
        client: the `AsyncHexclaveClient` behind the requirements, for use in your own code.

    Raises:
        ConfigurationError: a setting is missing or wrong.
    """

    def __init__(self, app: FastAPI | None = None, config: HexclaveConfig | None = None) -> None:
        self._config = config
        self._client: AsyncHexclaveClient | None = None
        if app is not None:
            self.init_app(app)

    @property
    def client(self) -> AsyncHexclaveClient:
        """Made when first needed.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        if self._client is None:
            self._client = AsyncHexclaveClient(self._config)
        return self._client

    def init_app(self, app: FastAPI) -> None:
        """Install on an application that has not started yet; several applications may share one `Hexclave`.

        Raises:
            ConfigurationError: a setting is missing or wrong, or `app` is no FastAPI application.
        """
        if not isinstance(app, FastAPI):
            raise ConfigurationError("Hexclave(app) takes the FastAPI application itself.")
        app.add_middleware(CallerMiddleware, client=self.client)
        handlers: dict[Any, Any] = app.exception_handlers
        handlers.setdefault(RequestRefused, refuse)  # an application may have its own answer already
        _describe_refusals(app)


def _describe_refusals(app: FastAPI) -> None:
    """Add 401, 403 and 503 to the OpenAPI description of every route that has a requirement."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        schema = original()
        guarded = [
            operation
            for path in schema.get("paths", {}).values()
            for operation in path.values()
            if isinstance(operation, dict) and any(SCHEME_NAME in item for item in operation.get("security", ()))
        ]
        if guarded:
            schema.setdefault("components", {}).setdefault("schemas", {}).setdefault("HexclaveError", _ERROR_SCHEMA)
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/HexclaveError"}}}
        for operation in guarded:
            for status, description in _REFUSALS.items():
                operation["responses"].setdefault(status, {"description": description, "content": content})
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents for extending the description
