"""Adapters that somebody could have written in haste: each is careless in one way, and a duty has to notice.

They are columns of `frameworks.py` with one of the adapter's exports replaced: its requirements, its middleware, or
its webhook endpoint.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import flask as flask_framework
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket

from hexclave_integrations import HexclaveConfig, django, litestar, starlette
from hexclave_integrations._asgi.caller import Caller
from hexclave_integrations._policy.attempt import Attempt
from hexclave_integrations._token.cross_origin import ORIGIN_HEADERS
from hexclave_integrations.webhooks import Webhooks

from .frameworks import FRAMEWORKS, Framework

__all__ = ["MUTANTS", "Mutant"]

BY_NAME = {framework.name: framework for framework in FRAMEWORKS}


@dataclass(frozen=True)
class Mutant:
    """A careless adapter.

    Args:
        name: what is wrong with it.
        framework: the column with it in place of the careful one.
        noticed_by: the duties that it does not do; all others it does.
    """

    name: str
    framework: Framework
    noticed_by: frozenset[str]


MUTANTS: list[Mutant] = []


def mutant(
    column: str, *noticed_by: str
) -> Callable[[Callable[[], Mapping[str, Any]]], Callable[[], Mapping[str, Any]]]:
    """List a careless variant of a column; what is decorated makes the exports that differ, by name."""

    def listed(make: Callable[[], Mapping[str, Any]]) -> Callable[[], Mapping[str, Any]]:
        careful = BY_NAME[column]
        module = SimpleNamespace(**{**vars(careful.module), **make()})
        MUTANTS.append(Mutant(make.__name__, dataclasses.replace(careful, module=module), frozenset(noticed_by)))
        return make

    return listed


# --- careless requirements ------------------------------------------------------------------------------------


def made_of(kind: type[starlette.StarletteRequirement]) -> dict[str, Any]:
    """Starlette's requirements, as values of another class."""
    return {
        "require_user": kind(),
        "require_team": lambda team: kind(scope="team", team=team),
        "require_permission": lambda team, permission: kind(scope="team permission", team=team, permission=permission),
        "require_project_permission": lambda permission: kind(scope="project permission", permission=permission),
    }


def passing(wanted: Callable[[HTTPConnection], bool]) -> dict[str, Any]:
    """Requirements that let everybody pass where they are told to."""

    class Careless(starlette.StarletteRequirement):
        def __call__(self, endpoint: Any) -> Any:
            @functools.wraps(asking := super().__call__(endpoint))
            async def guarded(connection: Any) -> Any:
                return await (endpoint if wanted(connection) else asking)(connection)

            return guarded

    return made_of(Careless)


@mutant("starlette", "a_guard_guards_every_method", "a_page_of_another_origin_has_no_use_for_cookies")
def post_is_not_guarded() -> Mapping[str, Any]:
    return passing(lambda connection: connection.scope.get("method") == "POST")


@mutant("starlette", "a_guard_guards_every_method")
def head_and_options_are_not_guarded() -> Mapping[str, Any]:
    return passing(lambda connection: connection.scope.get("method") in ("HEAD", "OPTIONS"))


@mutant(
    "starlette",
    "a_websocket_is_refused_before_it_is_accepted",
    "a_websocket_is_denied_with_the_answer_of_http",
    "a_page_can_read_why_its_websocket_is_refused",
    "a_page_of_another_origin_opens_no_websocket",
)
def websockets_are_not_guarded() -> Mapping[str, Any]:
    return passing(lambda connection: isinstance(connection, WebSocket))


@mutant("starlette", "a_callable_team_gets_the_request")
def a_callable_team_gets_no_request() -> Mapping[str, Any]:
    class Careless(starlette.StarletteRequirement):
        def __call__(self, endpoint: Any) -> Any:
            team = self.team
            if not callable(team):
                return super().__call__(endpoint)
            return starlette.require_team(lambda request: team(SimpleNamespace(headers={})))(endpoint)

    return {"require_team": made_of(Careless)["require_team"]}


@mutant("starlette", "a_request_leaves_nothing_behind", "a_refusal_leaves_nothing_behind")
def cookies_hold_the_scope() -> Mapping[str, Any]:
    class Careless(starlette.StarletteRequirement):
        def __call__(self, endpoint: Any) -> Any:
            @functools.wraps(asking := super().__call__(endpoint))
            async def guarded(connection: HTTPConnection) -> Any:
                scope = connection.scope
                scope["careless.cookies"] = lambda: Request(scope).cookies
                return await asking(connection)

            return guarded

    return made_of(Careless)


@mutant("django asgi", "a_request_leaves_nothing_behind", "a_refusal_leaves_nothing_behind")
def requests_hold_what_holds_them() -> Mapping[str, Any]:
    class Careless(django.DjangoRequirement):
        def __call__(self, view: Any = None, /, *args: Any, **kwargs: Any) -> Any:
            @functools.wraps(asking := super().__call__(view))
            async def guarded(request: Any, *args: Any, **kwargs: Any) -> Any:
                request.careless = lambda: request
                return await asking(request, *args, **kwargs)

            return guarded

    return {"require_user": Careless()}


@mutant(
    "starlette",
    "a_request_has_one_caller",
    # Each guard has a middleware of its own, with a client that nobody warmed, and what it leaves behind.
    "keys_are_there_before_the_first_request",
    "a_request_leaves_nothing_behind",
    "a_webhook_makes_the_application_forget",
    "a_page_can_read_why_its_websocket_is_refused",
    "who_is_refused_afterwards_does_not_pay",
)
def each_guard_makes_an_attempt() -> Mapping[str, Any]:
    class Middleware(starlette.HexclaveMiddleware):
        def __init__(self, app: Any, config: HexclaveConfig, **options: Any) -> None:
            super().__init__(app, config, **options)
            self._config = config

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["careless.config"] = self._config
            await super().__call__(scope, receive, send)

    class Careless(starlette.StarletteRequirement):
        def __call__(self, endpoint: Any) -> Any:
            @functools.wraps(asking := super().__call__(endpoint))
            async def guarded(connection: Any) -> Any:
                answers: list[Any] = []

                async def app(scope: Any, receive: Any, send: Any) -> None:
                    answers.append(await asking(type(connection)(scope, receive, send)))

                middleware = starlette.HexclaveMiddleware(app, connection.scope["careless.config"])
                await middleware(connection.scope, connection._receive, connection._send)
                return answers[0] if answers else nothing

            return guarded

    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        """The refusal has been sent."""

    return {**made_of(Careless), "HexclaveMiddleware": Middleware}


@mutant("litestar", "a_requirement_without_its_call_stops_the_start")
def needs_call_is_left_away() -> Mapping[str, Any]:
    """The other adapters refuse a function that makes requirements at the start by other means as well."""

    def require_permission(team: str, permission: str) -> Any:
        return litestar.LitestarRequirement(scope="team permission", team=team, permission=permission)

    return {"require_permission": require_permission}


# --- a careless middleware ------------------------------------------------------------------------------------


@mutant(
    "starlette",
    "a_missing_server_key_stops_the_start",
    "an_unknown_route_parameter_stops_the_start",
    "a_requirement_without_its_call_stops_the_start",
)
def nothing_is_checked_at_the_start() -> Mapping[str, Any]:
    class Middleware(starlette.HexclaveMiddleware):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def hopeful(message: Any) -> None:
                await send({"type": message["type"].replace("failed", "complete")})

            await super().__call__(scope, receive, hopeful if scope["type"] == "lifespan" else send)

    return {"HexclaveMiddleware": Middleware}


@mutant("starlette", "keys_are_there_before_the_first_request")
def the_client_is_not_warmed() -> Mapping[str, Any]:
    class Middleware(starlette.HexclaveMiddleware):
        def __init__(self, app: Any, config: HexclaveConfig, **options: Any) -> None:
            super().__init__(app, config, **options)
            self._another = starlette.HexclaveMiddleware(app, config)

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await self._another(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)

    return {"HexclaveMiddleware": Middleware}


@mutant("starlette", "a_page_can_read_why_its_websocket_is_refused")
def the_page_is_not_told() -> Mapping[str, Any]:
    class Middleware(starlette.HexclaveMiddleware):
        def __init__(self, app: Any, config: HexclaveConfig, *, websocket_close_codes: bool = False) -> None:
            super().__init__(app, config)

    return {"HexclaveMiddleware": Middleware}


@mutant("starlette", "connections_end_with_the_application")
def the_client_is_not_closed() -> Mapping[str, Any]:
    class Middleware(starlette.HexclaveMiddleware):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def forgetful() -> Any:
                message = await receive()
                if message["type"] == "lifespan.shutdown":
                    await send({"type": "lifespan.shutdown.complete"})
                    await asyncio.get_running_loop().create_future()  # until the server cancels it
                return message

            await super().__call__(scope, forgetful if scope["type"] == "lifespan" else receive, send)

    return {"HexclaveMiddleware": Middleware}


def overwriting(name: bytes, value: bytes) -> type:
    """A middleware that sets a header, whatever the application said."""

    class Middleware(starlette.HexclaveMiddleware):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def overwrite(message: Any) -> None:
                if message["type"] == "http.response.start":
                    kept = [pair for pair in message["headers"] if pair[0] != name]
                    message = {**message, "headers": [*kept, (name, value)]}
                await send(message)

            await super().__call__(scope, receive, overwrite)

    return Middleware


@mutant("starlette", "what_an_application_says_of_caches_stays")
def cache_control_is_overwritten() -> Mapping[str, Any]:
    return {"HexclaveMiddleware": overwriting(b"cache-control", b"private, no-store")}


@mutant("starlette", "what_an_application_says_of_caches_stays")
def vary_is_overwritten() -> Mapping[str, Any]:
    vary = b"X-Stack-Access-Token, X-Hexclave-Access-Token, Authorization, X-Stack-Auth, X-Api-Key"
    return {"HexclaveMiddleware": overwriting(b"vary", vary)}


# --- careless webhooks, of Flask ------------------------------------------------------------------------------


def endpoint(read: Callable[[Webhooks], bytes], client: Callable[[], Any]) -> Mapping[str, Any]:
    """A blueprint that reads bodies, and finds the client to tell, in another way."""

    def webhook_blueprint(webhooks: Webhooks, path: str) -> flask_framework.Blueprint:
        blueprint = flask_framework.Blueprint("careless", __name__)

        @blueprint.post(path)
        def receive() -> flask_framework.Response:
            headers = flask_framework.request.headers.items()
            status, fields, content = webhooks.receive(read(webhooks), headers, client())
            return flask_framework.Response(content, status, fields)

        return blueprint

    return {"webhook_blueprint": webhook_blueprint}


@mutant("flask", "a_webhook_body_without_end_is_not_read_to_its_end")
def a_webhook_body_has_no_bound() -> Mapping[str, Any]:
    return endpoint(
        lambda webhooks: flask_framework.request.get_data(),
        lambda: flask_framework.current_app.extensions["hexclave"].client,
    )


@mutant("flask", "a_webhook_makes_the_application_forget")
def a_webhook_tells_no_client() -> Mapping[str, Any]:
    return endpoint(lambda webhooks: flask_framework.request.stream.read(webhooks.max_body + 1), lambda: None)


def asking_with(change: Callable[[Attempt], None]) -> dict[str, Any]:
    """A middleware that changes the attempt of each request before it asks."""

    class Middleware(starlette.HexclaveMiddleware):
        async def _identify(self, caller: Caller, scope: Any) -> None:
            change(caller.attempt)
            await super()._identify(caller, scope)

    return {"HexclaveMiddleware": Middleware}


@mutant("starlette", "a_page_of_another_origin_has_no_use_for_cookies", "an_optional_user_of_another_page_is_refused")
def every_method_is_called_get() -> Mapping[str, Any]:
    def change(attempt: Attempt) -> None:
        attempt._method = "GET"

    return asking_with(change)


@mutant("starlette", "a_page_of_another_origin_opens_no_websocket")
def a_handshake_is_taken_for_a_request() -> Mapping[str, Any]:
    def change(attempt: Attempt) -> None:
        attempt._is_websocket = False

    return asking_with(change)


@mutant(
    "starlette",
    "a_page_of_another_origin_has_no_use_for_cookies",
    "an_optional_user_of_another_page_is_refused",
    "a_page_of_another_origin_opens_no_websocket",
)
def where_a_request_comes_from_is_dropped() -> Mapping[str, Any]:
    def change(attempt: Attempt) -> None:
        attempt.headers = {name: attempt.headers[name] for name in attempt.headers if name not in ORIGIN_HEADERS}

    return asking_with(change)
