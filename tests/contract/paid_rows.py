"""The rows of items and products; with them, and those of `supabase_rows.py`, the table is whole."""

from __future__ import annotations

from .supabase_rows import ROWS
from .table import (
    ANONYMOUS,
    NO_MEMBER,
    NOBODY,
    Answer,
    Steps,
    World,
    me,
    refused,
    restricted,
    row,
    unavailable,
)

__all__ = ["ROWS", "too_little"]

STRANGER = "11111111-1111-4111-8111-111111111111"


def too_little(item_id: str) -> Answer:
    return refused(
        402,
        "ITEM_QUANTITY_INSUFFICIENT_AMOUNT",
        "The balance of an item is lower than what is required.",
        details={"item_id": item_id},
    )


def no_product(product_id: str) -> Answer:
    return refused(
        402,
        "PRODUCT_REQUIRED",
        "A product is required that the customer does not have.",
        details={"product_id": product_id},
    )


@row
def nobody_pays(w: World) -> Steps:
    for path in ("/credits", "/spend", "/pro", f"/teams/{w.team.id}/spend", f"/teams/{w.team.id}/pro"):
        yield path, {}, NOBODY


@row
def the_kind_of_user_comes_before_the_balance(w: World) -> Steps:
    for user, answer in ((w.anonymous, ANONYMOUS), (w.restricted, restricted())):
        w.sandbox.items.set("credits", user, 5)
        for path in ("/credits", "/spend", "/pro", f"/teams/{w.team.id}/spend"):
            yield path, w.sandbox.headers(user), answer
        assert w.sandbox.items.get("credits", user) == 5


@row
def a_balance_that_is_high_enough(w: World) -> Steps:
    w.sandbox.items.set("credits", w.alice, 2)
    w.sandbox.items.set("credits", w.bob, 1)
    for _ in range(2):
        yield "/credits", w.sandbox.headers(w.alice), me(w.alice)
        yield "/credits", w.sandbox.headers(w.bob), too_little("credits")
    assert w.sandbox.items.get("credits", w.alice) == 2, "only what is spent is taken"
    w.sandbox.items.set("credits", w.alice, -3)
    yield "/credits", w.sandbox.headers(w.alice), too_little("credits")


@row
def a_balance_that_is_spent(w: World) -> Steps:
    w.sandbox.items.set("credits", w.alice, 5)
    for left in (3, 1):
        yield "/spend", w.sandbox.headers(w.alice), me(w.alice)
        assert w.sandbox.items.get("credits", w.alice) == left
    yield "/spend", w.sandbox.headers(w.alice), too_little("credits")
    assert w.sandbox.items.get("credits", w.alice) == 1, "all of it or nothing"


@row
def a_team_pays(w: World) -> Steps:
    w.sandbox.items.set("seats", w.team, 1)
    spend = f"/teams/{w.team.id}/spend"
    yield spend, w.sandbox.headers(w.bob), NO_MEMBER
    yield f"/teams/{STRANGER}/spend", w.sandbox.headers(w.alice), NO_MEMBER
    yield "/teams/nope/spend", w.sandbox.headers(w.alice), NO_MEMBER
    assert w.sandbox.items.get("seats", w.team) == 1
    yield f"/teams/{w.team.id.upper()}/spend", w.sandbox.headers(w.alice), me(w.alice)
    yield spend, w.sandbox.headers(w.alice), too_little("seats")


@row
def a_product_that_is_owned(w: World) -> Steps:
    w.sandbox.grant_product("pro", w.alice)
    yield "/pro", w.sandbox.headers(w.alice), me(w.alice)
    yield "/pro", w.sandbox.headers(w.bob), no_product("pro")
    asked = len(w.sandbox.requests)
    with w.sandbox.outage():
        yield "/pro", w.sandbox.headers(w.alice), me(w.alice)
        yield "/pro", w.sandbox.headers(w.bob), no_product("pro")
    assert len(w.sandbox.requests) == asked, "remembered as permissions are"


@row
def a_product_of_a_team(w: World) -> Steps:
    w.sandbox.grant_product("team-pro", w.team)
    yield f"/teams/{w.team.id}/pro", w.sandbox.headers(w.alice), me(w.alice)
    yield f"/teams/{w.team.id}/pro", w.sandbox.headers(w.bob), NO_MEMBER
    other = w.sandbox.create_team()
    w.sandbox.add_member(other, w.bob)
    yield f"/teams/{other.id}/pro", w.sandbox.headers(w.bob), no_product("team-pro")


@row
def payments_cannot_be_checked(w: World) -> Steps:
    w.sandbox.items.set("credits", w.alice, 5)
    w.sandbox.grant_product("pro", w.alice)
    yield "/me", w.sandbox.headers(w.alice), me(w.alice)
    for kind in ("refused", "error", "garbage"):
        with w.sandbox.outage(kind):
            yield "/credits", w.sandbox.headers(w.alice), unavailable()
            yield "/spend", w.sandbox.headers(w.alice), unavailable()
    with w.sandbox.outage():
        yield "/pro", w.sandbox.headers(w.alice), unavailable()
    with w.sandbox.outage("rate_limit", retry_after=7):
        yield "/spend", w.sandbox.headers(w.alice), unavailable(7)
    assert w.sandbox.items.get("credits", w.alice) == 5
