"""Who makes a request: found out at most once, and kept in the ASGI scope of the request."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketState

from .._adapter.close_codes import close_code
from .._adapter.subprotocol import SUBPROTOCOL, split_offered
from .._policy.client_base import admit_known
from .._token.find import STACK_TOKEN, are_there, read_cookies
from ..api_key import HexclaveApiKey
from ..client import AsyncHexclaveClient
from ..errors import ConfigurationError, RequestRefused
from ..requirements import Requirement
from ..user import HexclaveUser
from .private import NAMES

__all__ = ["SCOPE_KEY", "SUBPROTOCOL", "Caller", "caller_of", "refuse"]

SCOPE_KEY: Final = "hexclave_integrations.caller"
_TOKEN_HEADER: Final = STACK_TOKEN.encode()


class Caller:
    """The caller of one http or websocket request.

    Attributes:
        attempt: the credentials of the request, and what came of them.
        begun: the checks that were begun; None once the answer has started: nothing can be held back any more.
        client: verifies and authorizes.
        answers_subprotocol: whether the client offered `hexclave` next to its token, and expects that to be selected.
        is_accepted: whether the application has accepted the websocket, which can then only be closed.
        has_close_codes: whether a refused websocket is accepted and closed with a code that its page can read.
        default: what is asked where an endpoint has no requirement of its own; None once that is decided.
        principal: who the default has let through.
        sets_user: whether that is `request.user` then.
    """

    # The `send` of the request is not kept here: a server's `send` holds the scope, and the scope holds this object.
    __slots__ = (
        "answers_subprotocol",
        "attempt",
        "begun",
        "client",
        "default",
        "has_close_codes",
        "is_accepted",
        "principal",
        "sets_user",
    )

    def __init__(
        self,
        client: AsyncHexclaveClient,
        scope: Any,
        *,
        has_close_codes: bool = False,
        default: Requirement | None = None,
        sets_user: bool = False,
    ) -> None:
        self.client = client
        self.default = default
        self.principal: HexclaveUser | HexclaveApiKey | None = None
        self.sets_user = sets_user
        self.has_close_codes = has_close_codes
        is_websocket = scope["type"] == "websocket"
        self.answers_subprotocol = is_websocket and _take_subprotocol_token(scope, client)
        self.is_accepted = False
        headers = scope.get("headers", ())
        method = scope.get("method")
        self.attempt = client.attempt(headers, lambda: _cookies(headers), method, is_websocket=is_websocket)
        self.begun: list[Coroutine[Any, Any, Any]] | None = []
        earlier: Caller | None = scope.get(SCOPE_KEY)  # of middleware around ours that has asked already
        if earlier is not None:
            self.attempt.asked = earlier.attempt.asked
            # An application that has no default is asked that of the application around it.
            self.default = earlier.default if default is None else default
            self.answers_subprotocol = self.answers_subprotocol or earlier.answers_subprotocol

    def known(self, requirement: Requirement, connection: HTTPConnection) -> HexclaveUser | None:
        """The user that a requirement lets through, where nothing has to be awaited; None where `check` decides.

        Raises:
            RequestRefused: the caller does not meet the requirement.
        """
        _show_refusal_to_app(connection.scope)  # also for questions that the endpoint asks later
        return admit_known(self.client, requirement, self.attempt)

    def check(
        self, requirement: Requirement, connection: HTTPConnection
    ) -> Coroutine[Any, Any, HexclaveUser | HexclaveApiKey | None]:
        """Hold the caller against a requirement.

        Raises:
            RequestRefused: when awaited, if the caller does not meet the requirement, or if that cannot be told now.
        """
        _show_refusal_to_app(connection.scope)  # also for questions that the endpoint asks later
        return self.client.admit(requirement, self.attempt, params=connection.path_params, request=connection)

    def watch(self, check: Coroutine[Any, Any, Any]) -> None:
        """Remember a check, which has to be awaited before the answer starts."""
        if self.begun is not None:
            self.begun.append(check)

    def expect_awaited(self) -> None:
        """Make sure that every check was awaited; called before the answer starts, where one was begun.

        Raises:
            ConfigurationError: a check was not awaited. No other answer to this request may start either.
        """
        if any(map(_is_unawaited, self.begun or ())):
            raise ConfigurationError("A requirement was called and not awaited: write await require_user(connection).")

    def close(self) -> None:
        """Close the checks that were never awaited; called when the request is over without an answer.

        The error was reported by then, and Python need not warn as well.
        """
        for check in self.begun or ():
            if _is_unawaited(check):
                check.close()


def _is_unawaited(check: Coroutine[Any, Any, Any]) -> bool:
    return inspect.getcoroutinestate(check) == inspect.CORO_CREATED


def _cookies(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    return read_cookies(value.decode("latin-1") for name, value in headers if name == b"cookie")


def _take_subprotocol_token(scope: Any, client: AsyncHexclaveClient) -> bool:
    """Move a token offered as a subprotocol into a header, so that no application echoes or logs it.

    Returns whether the client offered `hexclave` as well.
    """
    tokens, others = split_offered(scope.get("subprotocols") or ())
    if not tokens:
        return False
    scope["subprotocols"] = others
    headers = [pair for pair in scope.get("headers", ()) if pair[0] != b"sec-websocket-protocol"]
    # uvicorn hands over bytes above 127 as lone surrogates. They become `?`, which is in no subprotocol and no token.
    if scope["subprotocols"]:
        headers.append((b"sec-websocket-protocol", ", ".join(scope["subprotocols"]).encode("latin-1", "replace")))
    # The other forms come first: this token counts only if the client sent none of them. Basic credentials, which a
    # browser sends by itself, are not one of them, and neither is a blank header.
    if not are_there(client.attempt(headers).headers):
        headers = [pair for pair in headers if pair[0] != _TOKEN_HEADER]
        headers += [(_TOKEN_HEADER, token.encode("latin-1", "replace")) for token in tokens]
    scope["headers"] = headers
    return SUBPROTOCOL in scope["subprotocols"]


def _show_refusal_to_app(scope: Any) -> None:
    """Let the innermost Starlette application turn refusals into answers.

    A mounted application has its own exception handlers and answers 500 to an error that it does not know. An
    application that already handles refusals is left alone.
    """
    handlers = scope.get(NAMES["exception handlers"])
    if handlers is not None:
        handlers[0].setdefault(RequestRefused, refuse)


def caller_of(connection: HTTPConnection) -> Caller:
    """The caller that the middleware put into the scope.

    Raises:
        ConfigurationError: there is no middleware around this application.
    """
    caller = connection.scope.get(SCOPE_KEY)
    if caller is None:
        raise ConfigurationError(
            "A requirement is used and Hexclave is not installed on this application: "
            "call Hexclave(app) (FastAPI) or add HexclaveMiddleware (Starlette)."
        )
    found: Caller = caller
    return found


async def refuse(connection: HTTPConnection, error: Exception) -> Response | None:
    """The exception handler for refusals: an answer for http, a denial or a close for a websocket."""
    assert isinstance(error, RequestRefused)
    response = Response(error.body(), error.status, dict(error.headers()))
    if not isinstance(connection, WebSocket):
        return response
    denial = "websocket.http.response" in (connection.scope.get("extensions") or {})
    # The exception handler may get another connection object than the one that the application accepted.
    caller: Caller | None = connection.scope.get(SCOPE_KEY)
    accepted = caller is not None and caller.is_accepted
    is_open = accepted or connection.application_state is not WebSocketState.CONNECTING
    if caller is not None and caller.has_close_codes:
        if not is_open:
            # A browser drops a connection that selects none of the subprotocols it offered.
            offered = connection.scope.get("subprotocols") or ()
            await connection.send({"type": "websocket.accept", "subprotocol": next(iter(offered), None)})
        await connection.close(close_code(error, is_readable=True), error.code)
    elif denial and not is_open:
        await connection.send_denial_response(response)
    else:
        await connection.close(close_code(error), error.code)
    return None
