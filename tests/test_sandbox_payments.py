"""The sandbox's items and products: balances, who may see and change them, and what a product includes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from hexclave_integrations.testing import Sandbox, SandboxTeam, SandboxUser
from hexclave_integrations.testing._ledger import Holding, after

from ._sandbox_api import Api, code

NOBODY = "11111111-1111-4111-8111-111111111111"
DAY = 86_400
MONTHLY = {"monthly": {"USD": "9.99", "interval": [1, "month"]}}


class World:
    """Ada is `team_admin`, Bob a member; both types of item and product are defined."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
        self.sandbox = Sandbox(clock=lambda: self.now)
        self.api = Api(self.sandbox)
        self.ada = self.sandbox.create_user()
        self.bob = self.sandbox.create_user()
        self.team = self.sandbox.create_team("Team", self.ada)
        self.sandbox.add_member(self.team, self.bob)
        self.sandbox.define_item("credits", display_name="Credits")
        self.sandbox.define_item("seats", customer_type="team")
        self.sandbox.define_item("calls", customer_type="custom")
        self.sandbox.define_product("pro", display_name="Pro", items={"credits": 100}, prices=MONTHLY)
        self.sandbox.define_product("badge")
        self.sandbox.define_product("secret", server_only=True)
        self.sandbox.define_product("pack", items={"credits": 10}, stackable=True)

    def balance(self, user: SandboxUser | None = None) -> Any:
        path = f"/payments/items/user/{(user or self.ada).id}/credits"
        return self.api.server("GET", path).json()["quantity"]

    def change(self, delta: Any, *, allow_negative: str | None = "false", **more: Any) -> httpx.Response:
        query = "" if allow_negative is None else f"?allow_negative={allow_negative}"
        path = f"/payments/items/user/{self.ada.id}/credits/update-quantity{query}"
        return self.api.server("POST", path, {"delta": delta} | more)

    def products(self, user: SandboxUser | None = None, query: str = "") -> Any:
        return self.api.server("GET", f"/payments/products/user/{(user or self.ada).id}{query}").json()

    def grant(self, **body: Any) -> httpx.Response:
        return self.api.server("POST", f"/payments/products/user/{self.ada.id}", body)

    def in_days(self, days: float) -> str:
        return (datetime.fromtimestamp(self.now, UTC) + timedelta(days=days)).isoformat()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.api.close()


class TestItems:
    def test_a_balance_is_changed_and_read(self, world: World) -> None:
        """Zero at first; below zero only where that is allowed."""
        path = f"/payments/items/user/{world.ada.id}/credits"
        first = world.api.server("GET", path).json()
        assert first == {"id": "credits", "display_name": "Credits", "quantity": 0}
        assert world.change(5).json() == {}
        assert world.change(-3).status_code == 200
        refused = world.change(-3)
        assert code(refused) == (400, "ITEM_QUANTITY_INSUFFICIENT_AMOUNT")
        details = {"item_id": "credits", "customer_id": world.ada.id, "quantity": -3}
        assert refused.json()["details"] == details
        assert world.balance() == 2
        assert world.change(-3, allow_negative="true").status_code == 200
        assert world.balance() == -1
        assert world.balance(world.bob) == 0

    def test_what_expires_first_is_taken_first(self, world: World) -> None:
        """What is left of it lapses; what was taken is not taken again."""
        world.change(10)
        world.change(5, expires_at=world.in_days(1))
        world.change(5, expires_at=world.in_days(2))
        world.change(-7)
        assert world.balance() == 13
        world.now += DAY
        assert world.balance() == 13
        world.now += DAY
        assert world.balance() == 10

    def test_a_debt_is_paid_by_what_comes_next(self, world: World) -> None:
        """The rest of it is left."""
        world.change(-4, allow_negative="true")
        world.change(10, expires_at=world.in_days(1))
        assert world.balance() == 6
        world.now += DAY
        assert world.balance() == 0

    def test_what_has_expired_already_gives_nothing(self, world: World) -> None:
        """A moment without a time zone is in UTC."""
        world.change(5, expires_at=world.in_days(-1))
        world.change(5, expires_at="2026-01-31T11:59:59")
        assert world.balance() == 0

    def test_many_changes_are_kept_as_one(self, world: World) -> None:
        """The state of a sandbox does not grow with every change."""
        for _ in range(50):
            world.change(2)
            world.change(-1)
        holding = world.sandbox._project.holdings[Holding.key_of(("user", world.ada.id), "credits")]
        assert holding.grants == [{"quantity": 50, "expires_at_millis": None, "purchase_id": None}]

    @pytest.mark.parametrize(
        ("delta", "allow_negative", "more"),
        [
            (1, None, {}),
            (1, "yes", {}),
            (0.5, "true", {}),
            ("1", "true", {}),
            (2**31, "true", {}),
            (10**400, "true", {}),
            (1, "true", {"expires_at": "soon"}),
            (1, "true", {"expires_at": 1}),
            (1, "true", {"idempotency_key": "a"}),
        ],
    )
    def test_a_change_that_makes_no_sense_is_refused(
        self, world: World, delta: Any, allow_negative: str | None, more: Any
    ) -> None:
        """400 `SCHEMA_ERROR`, and nothing is changed."""
        assert code(world.change(delta, allow_negative=allow_negative, **more)) == (400, "SCHEMA_ERROR")
        assert world.balance() == 0

    @pytest.mark.parametrize(
        ("path", "answer"),
        [
            ("user/{ada}/nothing", (404, "ITEM_NOT_FOUND")),
            ("user/{ada}/seats", (400, "ITEM_CUSTOMER_TYPE_DOES_NOT_MATCH")),
            ("team/{team}/credits", (400, "ITEM_CUSTOMER_TYPE_DOES_NOT_MATCH")),
            (f"user/{NOBODY}/credits", (404, "USER_NOT_FOUND")),
            (f"team/{NOBODY}/seats", (404, "TEAM_NOT_FOUND")),
            ("user/me/credits", (404, "USER_NOT_FOUND")),
            ("robot/{ada}/credits", (400, "SCHEMA_ERROR")),
        ],
    )
    def test_an_item_that_the_customer_cannot_have_is_refused(
        self, world: World, path: str, answer: tuple[int, str]
    ) -> None:
        """For reading and for changing alike."""
        path = "/payments/items/" + path.format(ada=world.ada.id, team=world.team.id)
        assert code(world.api.server("GET", path)) == answer
        change = world.api.server("POST", f"{path}/update-quantity?allow_negative=true", {"delta": 1})
        assert code(change) == answer

    def test_a_server_that_nobody_configures_defines_what_is_named(self, world: World) -> None:
        """For customers of that type; until it is told to, there is no such item."""
        path = f"/payments/items/team/{world.team.id}/stars"
        assert code(world.api.server("GET", path)) == (404, "ITEM_NOT_FOUND")
        world.sandbox.accepts_any_item = True
        assert world.sandbox.accepts_any_item
        assert world.api.server("GET", path).json() == {"id": "stars", "display_name": "stars", "quantity": 0}
        mine = world.api.server("GET", f"/payments/items/user/{world.ada.id}/stars")
        assert code(mine) == (400, "ITEM_CUSTOMER_TYPE_DOES_NOT_MATCH")

    def test_teams_and_custom_customers_hold_items_of_their_own(self, world: World) -> None:
        """A custom customer is whoever is named."""
        for path in (f"team/{world.team.id}/seats", "custom/acme/calls"):
            path = f"/payments/items/{path}"
            world.api.server("POST", f"{path}/update-quantity?allow_negative=false", {"delta": 4})
            assert world.api.server("GET", path).json()["quantity"] == 4
        assert world.api.server("GET", "/payments/items/custom/other/calls").json()["quantity"] == 0

    def test_a_browser_sees_its_own_users_items_and_those_of_teams_they_administer(self, world: World) -> None:
        """And changes none, nor sees anybody else's."""
        own = f"/payments/items/user/{world.ada.id}/credits"
        team = f"/payments/items/team/{world.team.id}/seats"
        assert world.api.browser(world.ada, "GET", own).json()["quantity"] == 0
        assert world.api.browser(world.ada, "GET", team).status_code == 200
        assert code(world.api.browser(world.bob, "GET", own)) == (403, None)
        assert code(world.api.browser(world.bob, "GET", team)) == (401, "TEAM_PERMISSION_REQUIRED")
        assert code(world.api.browser(world.ada, "GET", "/payments/items/custom/acme/calls")) == (403, None)
        assert code(world.api.browser(None, "GET", own)) == (401, "USER_AUTHENTICATION_REQUIRED")
        change = world.api.browser(world.ada, "POST", f"{own}/update-quantity?allow_negative=true", {"delta": 1})
        assert code(change) == (401, "INSUFFICIENT_ACCESS_TYPE")
        assert world.balance() == 0

    def test_a_hundred_spends_at_once_take_what_is_there_and_no_more(self) -> None:
        """Over real HTTP, from many threads."""
        sandbox = Sandbox()
        user = sandbox.create_user()
        sandbox.items.set("credits", user, 30)
        headers = {
            "x-stack-project-id": sandbox.config.project_id,
            "x-stack-access-type": "server",
            "x-stack-secret-server-key": str(sandbox.config.secret_server_key),
        }
        path = f"/api/v1/payments/items/user/{user.id}/credits/update-quantity?allow_negative=false"
        with sandbox.serve() as url, httpx.Client(base_url=url, headers=headers, timeout=30) as client:

            def spend(_: int) -> int:
                return client.post(path, json={"delta": -1}).status_code

            with ThreadPoolExecutor(16) as pool:
                statuses = list(pool.map(spend, range(100)))
        assert sorted(statuses) == [200] * 30 + [400] * 70
        assert sandbox.items.get("credits", user) == 0


class TestProducts:
    def test_a_subscription_is_granted_listed_and_cancelled(self, world: World) -> None:
        """It includes items, can be had once, and shows when its period ends."""
        answer = world.grant(product_id="pro").json()
        assert answer == {"success": True, "subscription_id": answer["subscription_id"]}
        assert world.balance() == 100
        assert code(world.grant(product_id="pro")) == (400, "PRODUCT_ALREADY_GRANTED")
        listed = world.products()
        assert listed["items"] == [
            {
                "id": "pro",
                "quantity": 1,
                "product": {
                    "display_name": "Pro",
                    "customer_type": "user",
                    "server_only": False,
                    "stackable": False,
                    "prices": MONTHLY,
                    "included_items": {"credits": {"quantity": 100, "repeat": "never", "expires": "never"}},
                    "client_metadata": None,
                    "client_read_only_metadata": None,
                    "server_metadata": None,
                },
                "type": "subscription",
                "subscription": {
                    "subscription_id": answer["subscription_id"],
                    "current_period_end": "2026-02-28T12:00:00.000Z",
                    "cancel_at_period_end": False,
                    "is_cancelable": True,
                },
            }
        ]
        path = f"/payments/products/user/{world.ada.id}/pro"
        assert world.api.browser(world.ada, "DELETE", path).json() == {"success": True}
        assert world.products()["items"] == []
        assert world.balance() == 100
        assert code(world.api.server("DELETE", path)) == (400, None)

    def test_a_product_without_an_interval_is_bought_once_and_for_all(self, world: World) -> None:
        """It cannot be cancelled over HTTP, where Python may take it away."""
        assert world.grant(product_id="badge").json() == {"success": True}
        assert [(item["type"], item["subscription"]) for item in world.products()["items"]] == [("one_time", None)]
        assert code(world.api.server("DELETE", f"/payments/products/user/{world.ada.id}/badge")) == (400, None)
        world.sandbox.cancel_product("badge", world.ada)
        assert world.products()["items"] == []
        with pytest.raises(LookupError):
            world.sandbox.cancel_product("badge", world.ada)

    def test_a_stackable_product_is_had_several_times(self, world: World) -> None:
        """Each brings what is included; others cannot be had twice at once."""
        world.grant(product_id="pack", quantity=3)
        world.grant(product_id="pack")
        assert world.balance() == 40
        assert [item["quantity"] for item in world.products()["items"]] == [3, 1]
        assert code(world.grant(product_id="badge", quantity=2)) == (400, None)

    def test_included_items_come_again_and_lapse_as_the_product_says(self, world: World) -> None:
        """Monthly, for the month only, as long as the subscription lasts."""
        monthly = {"quantity": 10, "repeat": [1, "month"]}
        items = {
            "credits": monthly | {"expires": "when-repeated"},
            "tokens": monthly,
            "extra": monthly | {"expires": "when-purchase-expires"},
        }
        world.sandbox.define_product("plus", items=items, prices=MONTHLY)
        world.sandbox.grant_product("plus", world.ada)

        def held() -> list[float]:
            return [world.sandbox.items.get(name, world.ada) for name in items]

        assert held() == [10, 10, 10]
        world.change(-4)
        assert held() == [6, 10, 10]
        world.now += 28 * DAY  # 28 February
        assert held() == [10, 20, 20]
        world.now += 31 * DAY  # 31 March
        assert held() == [10, 30, 30]
        world.sandbox.cancel_product("plus", world.ada)
        assert held() == [10, 30, 0]
        world.now += 365 * DAY
        assert held() == [0, 30, 0]

    def test_an_inline_product_is_granted_by_a_server(self, world: World) -> None:
        """It has no id, is hidden from browsers unless it says otherwise, and is cancelled by its subscription."""
        inline = {
            "display_name": "Deal",
            "customer_type": "user",
            "prices": {"p": {"EUR": "1", "interval": [2, "week"]}},
            "included_items": {"credits": {"quantity": 3}},
        }
        subscription = world.grant(product_inline=inline).json()["subscription_id"]
        assert [(item["id"], item["product"]["server_only"]) for item in world.products()["items"]] == [(None, True)]
        assert world.balance() == 3
        path = f"/payments/products/user/{world.ada.id}"
        assert world.api.browser(world.ada, "GET", path).json()["items"] == []
        wrong = world.api.server("DELETE", f"{path}/any?subscription_id={NOBODY}")
        assert code(wrong) == (400, None)
        assert world.api.server("DELETE", f"{path}/any?subscription_id={subscription}").status_code == 200
        assert world.products()["items"] == []

    @pytest.mark.parametrize(
        ("body", "answer"),
        [
            ({"product_id": "nothing"}, (400, "PRODUCT_DOES_NOT_EXIST")),
            ({"product_id": "credits"}, (400, "PRODUCT_DOES_NOT_EXIST")),
            ({}, (400, None)),
            ({"product_id": "pro", "quantity": 0}, (400, "SCHEMA_ERROR")),
            ({"product_id": "pack", "quantity": 10**400}, (400, "SCHEMA_ERROR")),
            ({"product_inline": {"display_name": "X"}}, (400, "SCHEMA_ERROR")),
            (
                {"product_inline": {"display_name": "X", "customer_type": "user", "prices": {"p": {}}}},
                (400, "SCHEMA_ERROR"),
            ),
        ],
    )
    def test_what_cannot_be_granted_is_refused(self, world: World, body: Any, answer: tuple[int, str | None]) -> None:
        """And nobody has it."""
        assert code(world.grant(**body)) == answer
        assert world.products()["items"] == []

    def test_a_product_is_for_one_type_of_customer(self, world: World) -> None:
        """400 for the others, 404 for a user who is not there."""
        body = {"product_id": "pro"}
        team = world.api.server("POST", f"/payments/products/team/{world.team.id}", body)
        assert code(team) == (400, "PRODUCT_CUSTOMER_TYPE_DOES_NOT_MATCH")
        assert code(world.api.server("POST", f"/payments/products/user/{NOBODY}", body)) == (404, "USER_NOT_FOUND")
        with pytest.raises(ValueError, match="DOES_NOT_MATCH"):
            world.sandbox.grant_product("pro", world.team)
        with pytest.raises(LookupError, match="define_product"):
            world.sandbox.grant_product("nothing", world.ada)

    def test_a_browser_sees_and_cancels_its_own_users_products(self, world: World) -> None:
        """It grants nothing, and a product for servers only is not there."""
        world.grant(product_id="secret")
        world.grant(product_id="pro")
        path = f"/payments/products/user/{world.ada.id}"
        listed = world.api.browser(world.ada, "GET", path).json()["items"]
        assert [item["id"] for item in listed] == ["pro"]
        assert code(world.api.browser(world.bob, "GET", path)) == (403, None)
        assert code(world.api.browser(world.bob, "DELETE", f"{path}/pro")) == (403, None)
        granted = world.api.browser(world.ada, "POST", path, {"product_id": "badge"})
        assert code(granted) == (401, "INSUFFICIENT_ACCESS_TYPE")
        hidden = world.api.browser(world.ada, "DELETE", f"{path}/secret")
        assert code(hidden) == (400, "PRODUCT_DOES_NOT_EXIST")
        assert len(world.products()["items"]) == 2

    def test_a_list_of_products_comes_in_pages(self, world: World) -> None:
        """Ten at a time unless it is said otherwise; a cursor that was never given is refused."""
        for _ in range(12):
            world.grant(product_id="pack")
        first = world.products()
        assert len(first["items"]) == 10
        rest = world.products(query=f"?cursor={first['pagination']['next_cursor']}")
        assert (len(rest["items"]), rest["pagination"]["next_cursor"]) == (2, None)
        assert len(world.products(query="?limit=3")["items"]) == 3
        path = f"/payments/products/user/{world.ada.id}?cursor=nothing"
        assert code(world.api.server("GET", path)) == (400, None)

    def test_a_checkout_has_an_address(self, world: World) -> None:
        """For a product that the customer may buy; the way back is part of it."""
        path = "/payments/purchases/create-purchase-url"
        body = {"customer_type": "user", "customer_id": world.ada.id, "product_id": "pro"}
        url = world.api.browser(world.ada, "POST", path, body | {"return_url": "http://localhost/a?b=c"}).json()["url"]
        assert url.startswith(f"{world.sandbox.config.api_url}/purchase/")
        assert url.endswith("?return_url=http%3A%2F%2Flocalhost%2Fa%3Fb%3Dc")
        assert code(world.api.browser(world.bob, "POST", path, body)) == (403, None)
        unknown = world.api.server("POST", path, body | {"product_id": "nothing"})
        assert code(unknown) == (400, "PRODUCT_DOES_NOT_EXIST")
        hidden = world.api.browser(world.ada, "POST", path, body | {"product_id": "secret"})
        assert code(hidden) == (400, "PRODUCT_DOES_NOT_EXIST")
        world.grant(product_id="pro")
        assert code(world.api.server("POST", path, body)) == (400, "PRODUCT_ALREADY_GRANTED")

    def test_there_is_neither_a_card_nor_an_invoice(self, world: World) -> None:
        """A page about billing shows that, to whom it may concern."""
        billing, invoices = (f"/payments/{what}/user/{world.ada.id}" for what in ("billing", "invoices"))
        card = world.api.browser(world.ada, "GET", billing).json()
        assert card == {"has_customer": False, "default_payment_method": None}
        none = {"items": [], "is_paginated": True, "pagination": {"next_cursor": None}}
        assert world.api.browser(world.ada, "GET", f"{invoices}?limit=5").json() == none
        assert code(world.api.browser(world.bob, "GET", billing)) == (403, None)
        assert code(world.api.browser(world.bob, "GET", invoices)) == (403, None)


class TestFromPython:
    def test_a_test_sets_reads_and_changes_balances(self, world: World) -> None:
        """As the API shows them, for users, teams and custom customers, with what products included."""
        items = world.sandbox.items
        world.sandbox.grant_product("pro", world.ada)
        items.set("credits", world.ada, 20)
        assert items.get("credits", world.ada.id) == world.balance() == 20
        items.change("credits", world.ada, -25)
        assert items.get("credits", world.ada) == -5
        customers: list[SandboxTeam | str] = [world.team, "acme"]
        for item_id, customer in zip(("seats", "calls"), customers, strict=True):
            items.set(item_id, customer, 3)
            assert items.get(item_id, customer) == 3

    def test_setting_defines_an_item_and_reading_does_not(self, world: World) -> None:
        """A name with a slip in it is noticed."""
        world.sandbox.items.set("stars", world.team, 1)
        assert world.api.server("GET", f"/payments/items/team/{world.team.id}/stars").json()["quantity"] == 1
        with pytest.raises(LookupError, match="define_item"):
            world.sandbox.items.get("star", world.team)
        with pytest.raises(LookupError, match="define_item"):
            world.sandbox.items.change("star", world.team, 1)

    def test_a_deleted_customer_leaves_nothing_behind(self, world: World) -> None:
        """Neither balance nor product."""
        world.sandbox.grant_product("pro", world.ada)
        world.sandbox.items.set("seats", world.team, 3)
        assert world.balance() == 100
        world.sandbox.delete_user(world.ada)
        world.sandbox.delete_team(world.team)
        project = world.sandbox._project
        assert (project.holdings, project.purchases) == ({}, {})


@pytest.mark.parametrize(
    ("start", "interval", "count", "end"),
    [
        ("2026-01-31", [1, "month"], 1, "2026-02-28"),
        ("2026-01-31", [1, "month"], 2, "2026-03-31"),
        ("2024-02-29", [1, "year"], 1, "2025-02-28"),
        ("2026-11-30", [3, "month"], 1, "2027-02-28"),
        ("2026-03-01", [2, "week"], 2, "2026-03-29"),
        ("2026-12-31", [1, "day"], 1, "2027-01-01"),
    ],
)
def test_intervals_follow_the_calendar(start: str, interval: list[Any], count: int, end: str) -> None:
    """A month is a month, and its last day stays one."""

    def millis(day: str) -> int:
        return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)

    assert after(millis(start), interval, count) == millis(end)
