"""`Hexclave(app)`: installs the middleware, the exception handler, and the description of refusals."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.requests import HTTPConnection

from .._adapter.client_source import ALREADY_INSTALLED, ClientSource
from .._adapter.default import asked_by_default, checked_default
from .._asgi.caller import refuse
from .._asgi.lazy_user import identify
from .._asgi.middleware import CallerMiddleware
from ..client import AsyncHexclaveClient
from ..config import HexclaveConfig
from ..errors import ConfigurationError, RequestRefused
from ..user import HexclaveUser
from ._default import standing_of
from ._dependencies import (
    EITHER,
    KEY_SCHEME_NAME,
    PAID,
    SCHEME_NAME,
    FastAPIRequirement,
    require_api_key,
    require_user,
)
from ._internals import candidates_of
from ._overrides import Overrides

__all__ = ["Hexclave"]

_REFUSALS = {
    "401": "Not signed in, or the access token is not acceptable",
    "402": "Signed in, and not paid for",
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
        config: the project's settings; read from the environment when None, and then not before the application
            starts, so that its OpenAPI description can be written where there are none.
        websocket_close_codes: accept a websocket that is refused and close it with a code that its page can read: 4401
            (not signed in, or the token is over), 4403 (not allowed), 1013 (try again later).
        default: what every route asks that has no requirement of its own and is not marked `@public`, `require_user`
            for instance. It counts for plain routes of Starlette, mounted applications and static files as well, and
            not for FastAPI's own pages of the API's description.

    Attributes:
        client: the `AsyncHexclaveClient` behind the requirements, for use in your own code.

    A missing or wrong setting stops the start with `ConfigurationError`.
    """

    def __init__(
        self,
        app: FastAPI | None = None,
        config: HexclaveConfig | None = None,
        *,
        websocket_close_codes: bool = False,
        default: FastAPIRequirement | None = None,
    ) -> None:
        self._default = checked_default(default, FastAPIRequirement, "Hexclave(app, default=require_user)")
        self._source = ClientSource(config)
        self._has_close_codes = websocket_close_codes
        if app is not None:
            self.init_app(app)

    @property
    def client(self) -> AsyncHexclaveClient:
        """Made when first needed.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        return self._source.client

    def init_app(self, app: FastAPI) -> None:
        """Install on an application that has not started yet; several applications may share one `Hexclave`.

        Raises:
            ConfigurationError: `app` is no FastAPI application, has started, or has Hexclave with other settings.
        """
        if not isinstance(app, FastAPI):
            raise ConfigurationError("Hexclave(app) takes the FastAPI application itself.")
        options: dict[str, Any] = {"websocket_close_codes": self._has_close_codes, "default": self._default}
        for middleware in app.user_middleware:
            source = middleware.kwargs.get("source")
            if isinstance(source, ClientSource):
                if not self._source.is_like(source) or middleware.kwargs != {"source": source, **options}:
                    raise ConfigurationError(ALREADY_INSTALLED)
                self._source = source
                return
        if app.middleware_stack is not None:
            raise ConfigurationError(
                "This application has started: call Hexclave(app) where it is made, and not in its lifespan."
            )
        app.add_middleware(CallerMiddleware, source=self._source, **options)
        app.dependency_overrides = Overrides(app.dependency_overrides)
        handlers: dict[Any, Any] = app.exception_handlers
        handlers.setdefault(RequestRefused, refuse)  # an application may have its own answer already
        _describe_refusals(app, self._source, self._default)

    async def identify(self, connection: HTTPConnection) -> HexclaveUser | None:
        """The verified user of a request, of any kind, or None for nobody: for middleware, in any order.

        It refuses nobody. Bad credentials, and a caller of whom it cannot be told now, are nobody.

        Args:
            connection: the request or websocket.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        return await identify(self.client, connection)


def _describe_default(schema: dict[str, Any], app: FastAPI, default: FastAPIRequirement | None) -> None:
    """Name the scheme of the default on every operation that asks it."""
    if default is None:
        return
    name, found = default.scheme_name, False
    for route in (route for candidates in candidates_of(app.router) for route in candidates):
        operations = schema.get("paths", {}).get(getattr(route, "path_format", None), {})
        for method in getattr(route, "methods", None) or ():
            standing = standing_of(route, method)
            if standing is not None and method.lower() in operations and asked_by_default(standing, default):
                operations[method.lower()].setdefault("security", [{name: []}])
                found = True
    if found:
        schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes.setdefault(name, jsonable_encoder(default.model, by_alias=True, exclude_none=True))


def _describe_refusals(app: FastAPI, source: ClientSource, default: FastAPIRequirement | None) -> None:
    """Complete the OpenAPI description: API keys, and 401, 402, 403 and 503 on every route that has a requirement."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        schema = original()
        _describe_default(schema, app, default)
        operations = [
            operation
            for path in schema.get("paths", {}).values()
            for operation in path.values()
            if isinstance(operation, dict)
        ]
        paid = {id(operation) for operation in operations if _take_mark(operation)}
        guarded = [operation for operation in operations if _name_schemes(operation)]
        if guarded:
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {}).setdefault("HexclaveError", _ERROR_SCHEMA)
            _describe_schemes(components["securitySchemes"], source.config)
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/HexclaveError"}}}
        for operation in guarded:
            for status, description in _REFUSALS.items():
                if status != "402" or id(operation) in paid:
                    operation["responses"].setdefault(status, {"description": description, "content": content})
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents for extending the description


def _take_mark(operation: dict[str, Any]) -> bool:
    """Take the mark of what has to be paid for from the names of an operation's schemes; say whether there was one."""
    items: list[dict[str, Any]] = operation.get("security", [])
    if not any(name.endswith(PAID) for item in items for name in item):
        return False
    operation["security"] = [{name.removesuffix(PAID): value for name, value in item.items()} for item in items]
    return True


def _name_schemes(operation: dict[str, Any]) -> bool:
    """Name each scheme that a requirement of an operation takes, as alternatives; say whether there is one."""
    found = False
    alternatives: list[dict[str, Any]] = []
    for item in operation.get("security", ()):
        names = [SCHEME_NAME, KEY_SCHEME_NAME] if EITHER in item else [*item]
        found = found or any(name in (SCHEME_NAME, KEY_SCHEME_NAME) for name in names)
        alternatives += [{name: []} for name in names] if EITHER in item else [item]
    if found:
        operation["security"] = [item for number, item in enumerate(alternatives) if item not in alternatives[:number]]
    return found


def _describe_schemes(schemes: dict[str, Any], config: HexclaveConfig | None) -> None:
    for name in [name for name in schemes if name.endswith(PAID)]:
        schemes.setdefault(name.removesuffix(PAID), schemes.pop(name))
    if schemes.pop(EITHER, None) is not None:
        described = {SCHEME_NAME: require_user.model, KEY_SCHEME_NAME: require_api_key.model}
        for name, model in described.items():
            schemes.setdefault(name, jsonable_encoder(model, by_alias=True, exclude_none=True))
    if KEY_SCHEME_NAME in schemes and config is not None:
        schemes[KEY_SCHEME_NAME]["name"] = config.api_key_header
