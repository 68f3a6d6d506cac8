"""What every adapter owes those who pay: taken once, and given back where nothing was served (see `duties.py`)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from .cookie_duties import DUTIES  # with those of duties.py
from .driving import AsgiServer, Server, denial, listening
from .duties import duty
from .frameworks import Framework, Guards, Route
from .paid_rows import too_little
from .table import World, read_answer
from .views import PERMISSION

__all__ = ["DUTIES"]

BALANCE, PRICE = 5, 2


class ViewFailed(Exception):
    """What a view of these tests fails with."""


def fail() -> None:
    raise ViewFailed


def spending(**options: Any) -> Guards:
    return lambda adapter: [adapter.require_item("credits", PRICE, spend=True, **options)]


def status_of(server: Server, path: str, headers: Mapping[str, str], method: str = "GET") -> int:
    """The status of an answer; a view's exception that reaches the server is a 500."""
    try:
        return server.send(method, path, headers).status
    except ViewFailed:
        return 500


def rich_world() -> World:
    w = World()
    w.sandbox.items.set("credits", w.alice, BALANCE)
    return w


def left(w: World) -> float:
    return w.sandbox.items.get("credits", w.alice)


def balance_after(framework: Framework, route: Route, status: int) -> float:
    """What Alice has left after one request, which gets this status."""
    w = rich_world()
    with framework.serve(w.sandbox.config, route) as server:
        assert status_of(server, route.path, w.sandbox.headers(w.alice)) == status
        return left(w)


@duty()
def what_is_spent_is_taken_once(framework: Framework) -> None:
    """However many guards of a route ask for it; each request pays anew."""
    w = rich_world()
    twice: Guards = lambda adapter: [*spending()(adapter), *spending()(adapter)]  # noqa: E731  # as a guard is written
    route = Route("/work", twice, ("GET", "POST"))
    with framework.serve(w.sandbox.config, route) as server:
        alice = w.sandbox.headers(w.alice)
        taken = [(status_of(server, "/work", alice, method), left(w)) for method in ("GET", "POST", "GET")]

    assert taken == [(200, BALANCE - PRICE), (200, BALANCE - 2 * PRICE), (402, BALANCE - 2 * PRICE)]
    assert route.visits == 2


@duty()
def what_fails_is_not_paid_for(framework: Framework) -> None:
    """A view that raises, or answers with a server's error, has served nobody."""
    for status in (500, 503):
        assert balance_after(framework, Route("/work", spending(), status=status), status) == BALANCE
    assert balance_after(framework, Route("/work", spending(), on_visit=fail), 500) == BALANCE


@duty()
def a_client_error_is_paid_for_unless_asked(framework: Framework) -> None:
    """The view has done its work, and the caller's mistake is theirs; an application may see that otherwise."""
    lenient = spending(give_back_on_client_error=True)

    assert balance_after(framework, Route("/work", spending(), status=409), 409) == BALANCE - PRICE
    assert balance_after(framework, Route("/work", lenient, status=409), 409) == BALANCE
    assert balance_after(framework, Route("/work", lenient, status=201), 201) == BALANCE - PRICE


@duty()
def who_is_refused_afterwards_does_not_pay(framework: Framework) -> None:
    """Where the next guard says no, the view has not run."""
    w = rich_world()
    route = Route(
        "/teams/{team_id}/work",
        lambda adapter: [*spending()(adapter), adapter.require_permission("{team_id}", PERMISSION)],
    )
    other = w.sandbox.create_team()
    with framework.serve(w.sandbox.config, route) as server:
        alice = w.sandbox.headers(w.alice)
        balances = [(status_of(server, f"/teams/{team.id}/work", alice), left(w)) for team in (other, w.team)]

    assert balances == [(403, BALANCE), (200, BALANCE - PRICE)]


@duty()
def nobody_is_served_while_hexclave_is_away(framework: Framework) -> None:
    """503, the view does not run, and nothing is sent twice."""
    w, route = rich_world(), Route("/work", spending())
    with framework.serve(w.sandbox.config, route, Route("/open")) as server:
        alice = w.sandbox.headers(w.alice)
        assert status_of(server, "/open", alice) == 200
        with w.sandbox.outage("error", paths="/payments"):
            before = w.sandbox.count("/update-quantity")
            status = status_of(server, "/work", alice)
            sent = w.sandbox.count("/update-quantity") - before

    assert (status, sent, route.visits, left(w)) == (503, 1, 0, BALANCE)


@duty()
def giving_back_changes_no_answer(framework: Framework) -> None:
    """Where it fails, the log says so, without a name, and the caller sees the view's own answer."""
    w = rich_world()

    def go_away() -> None:
        w.sandbox.outage("error", paths="/payments")

    route = Route("/work", spending(), status=503, on_visit=go_away)
    with framework.serve(w.sandbox.config, route) as server, listening() as said:
        reply = server.send("GET", "/work", w.sandbox.headers(w.alice))
    texts = [text for text in said if "could not be given back" in text]

    assert (reply.status, reply.body.replace(b" ", b"").strip()) == (503, b'{"visited":true}')
    assert (len(texts), left(w)) == (1, BALANCE - PRICE)
    assert not any(w.alice.id in text for text in said)


# --- websockets -----------------------------------------------------------------------------------------------


def websocket(**changes: Any) -> Route:
    return Route("/ws", spending(), is_websocket=True, **changes)


def connect(server: Server, headers: Mapping[str, str], *, can_deny: bool = False) -> list[dict[str, Any]]:
    """What the application says; an exception that reaches the server ends the connection."""
    assert isinstance(server, AsgiServer)
    try:
        return server.connect("/ws", headers, can_deny=can_deny)
    except ViewFailed:
        return []


def balance_after_websocket(framework: Framework, route: Route) -> float:
    w = rich_world()
    with framework.serve(w.sandbox.config, route) as server:
        connect(server, w.sandbox.headers(w.alice))
    assert route.visits == 1
    return left(w)


@duty("websocket")
def a_websocket_is_paid_for_when_it_is_accepted(framework: Framework) -> None:
    """What happens on it afterwards changes nothing; a view that fails before has served nobody."""
    served, failing = websocket(), websocket(on_visit=fail)
    early = websocket(on_visit=fail, fails_before_accept=True)
    balances = [balance_after_websocket(framework, route) for route in (served, failing, early)]

    assert balances == [BALANCE - PRICE, BALANCE - PRICE, BALANCE]


@duty("websocket")
def a_websocket_of_who_cannot_pay_is_denied(framework: Framework) -> None:
    """Before it is accepted, with the answer of HTTP where the server can send one."""
    w, route = World(), websocket()
    with framework.serve(w.sandbox.config, route) as server:
        ask: Callable[..., Any] = functools.partial(connect, server, w.sandbox.headers(w.alice))
        closed, denied = ask(), denial(ask(can_deny=True))

    assert [(message["type"], message["code"]) for message in closed] == [("websocket.close", 1008)]
    assert closed[0]["reason"] == "ITEM_QUANTITY_INSUFFICIENT_AMOUNT"
    assert read_answer(denied.status, denied.headers, denied.body) == too_little("credits")
    assert route.visits == 0
