"""Adapters that are careless with other people's money, each in one way (see `mutants.py`)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from hexclave_integrations import Unavailable, starlette
from hexclave_integrations.errors import PaymentRequired

from .mutants import MUTANTS, made_of, mutant

__all__ = ["MUTANTS"]

Conclude = Callable[[Any, int | None], Any]


def concluding(change: Callable[[Conclude], Conclude]) -> Mapping[str, Any]:
    """A middleware whose client is told in another way how a request ended."""

    class Middleware(starlette.HexclaveMiddleware):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            client: Any = self.source.client
            if "conclude" not in vars(client):
                client.conclude = change(client.conclude)
            await super().__call__(scope, receive, send)

    return {"HexclaveMiddleware": Middleware}


@mutant(
    "starlette",
    "what_fails_is_not_paid_for",
    "a_client_error_is_paid_for_unless_asked",
    "who_is_refused_afterwards_does_not_pay",
    "giving_back_changes_no_answer",
    "a_websocket_is_paid_for_when_it_is_accepted",
)
def nothing_is_given_back() -> Mapping[str, Any]:
    async def forget(attempt: Any, status: int | None) -> None:
        """Somebody else will."""

    return concluding(lambda conclude: forget)


@mutant(
    "starlette",
    "what_is_spent_is_taken_once",
    "a_client_error_is_paid_for_unless_asked",
    "who_is_refused_afterwards_does_not_pay",
    "a_websocket_is_paid_for_when_it_is_accepted",
)
def everything_is_given_back() -> Mapping[str, Any]:
    return concluding(lambda conclude: lambda attempt, status: conclude(attempt, None))


@mutant("starlette", "a_client_error_is_paid_for_unless_asked")
def every_client_error_is_given_back() -> Mapping[str, Any]:
    return concluding(lambda conclude: lambda attempt, status: conclude(attempt, 500 if status == 409 else status))


@mutant("starlette", "who_is_refused_afterwards_does_not_pay")
def a_later_refusal_is_paid_for() -> Mapping[str, Any]:
    def change(conclude: Conclude) -> Conclude:
        async def forgetful(attempt: Any, status: int | None) -> None:
            attempt.was_refused = False
            await conclude(attempt, status)

        return forgetful

    return concluding(change)


@mutant(
    "starlette",
    "what_fails_is_not_paid_for",
    "a_client_error_is_paid_for_unless_asked",
    "who_is_refused_afterwards_does_not_pay",
    "a_websocket_is_paid_for_when_it_is_accepted",
)
def what_is_given_back_is_given_twice() -> Mapping[str, Any]:
    def change(conclude: Conclude) -> Conclude:
        async def generous(attempt: Any, status: int | None) -> None:
            taken = dict(attempt.spending._taken)
            await conclude(attempt, status)
            attempt.spending._taken.update(taken)
            await conclude(attempt, status)

        return generous

    return concluding(change)


class _Careless(starlette.StarletteRequirement):
    """A requirement that spends, and does something else besides."""

    def __call__(self, endpoint: Any) -> Any:
        asking = super().__call__(endpoint)
        if not self.spend:
            return asking

        @functools.wraps(asking)
        async def guarded(connection: Any) -> Any:
            return await self.careless(connection, asking, endpoint)

        return guarded

    async def careless(self, connection: Any, asking: Any, endpoint: Any) -> Any:
        raise NotImplementedError


def spending_with(kind: type[_Careless]) -> Mapping[str, Any]:
    def require_item(item_id: str, amount: int, *, spend: bool, give_back_on_client_error: bool = False) -> Any:
        options: Any = {"spend": spend, "returns_on_client_error": give_back_on_client_error}
        return kind(scope="item", item=item_id, amount=amount, **options)

    return {**made_of(kind), "require_item": require_item}


@mutant("starlette", "what_is_spent_is_taken_once")
def each_guard_takes() -> Mapping[str, Any]:
    class Careless(_Careless):
        async def careless(self, connection: Any, asking: Any, endpoint: Any) -> Any:
            caller = connection.scope["hexclave_integrations.caller"]
            caller.attempt.spending = None
            return await asking(connection)

    return spending_with(Careless)


@mutant("starlette", "nobody_is_served_while_hexclave_is_away")
def an_outage_is_free() -> Mapping[str, Any]:
    class Careless(_Careless):
        async def careless(self, connection: Any, asking: Any, endpoint: Any) -> Any:
            try:
                return await asking(connection)
            except Unavailable:
                return await endpoint(connection)

    return spending_with(Careless)


@mutant("starlette", "a_websocket_of_who_cannot_pay_is_denied")
def a_websocket_is_told_after_it_was_accepted() -> Mapping[str, Any]:
    class Careless(_Careless):
        async def careless(self, connection: Any, asking: Any, endpoint: Any) -> Any:
            try:
                return await asking(connection)
            except PaymentRequired:
                if connection.scope["type"] == "websocket":
                    await connection.accept()
                raise

    return spending_with(Careless)
