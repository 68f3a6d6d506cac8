"""Items, purchases and balances of the sandbox: the rows and their arithmetic, with `now` passed in (contract 4.5)."""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

__all__ = ["Customer", "CustomerType", "Holding", "Item", "Purchase", "iso"]

CustomerType: TypeAlias = Literal["user", "team", "custom"]
Customer: TypeAlias = tuple[CustomerType, str]  # type and id

_UNIT_DAYS = {"day": 1, "week": 7}
_UNIT_MONTHS = {"month": 1, "year": 12}


@dataclass(slots=True, kw_only=True)
class Item:
    """What customers can hold a number of, credits or seats for instance."""

    id: str
    display_name: str
    customer_type: CustomerType


@dataclass(slots=True, kw_only=True)
class Holding:
    """How much of one item one customer has.

    Attributes:
        grants: what is left of each grant: `quantity`, `expires_at_millis` or None, and `purchase_id` where the grant
            ends with that purchase.
        debt: what was taken beyond the grants; the next ones pay it.
    """

    customer_type: CustomerType
    customer_id: str
    item_id: str
    grants: list[dict[str, Any]] = field(default_factory=list)
    debt: float = 0

    @staticmethod
    def key_of(customer: Customer, item_id: str) -> str:
        """Under which key a project keeps the holding."""
        return "\n".join((*customer, item_id))

    @property
    def customer(self) -> Customer:
        """Whose it is."""
        return self.customer_type, self.customer_id

    def balance(self, now_millis: int) -> float:
        """What the customer has now; negative if more was taken than was there."""
        self._drop_expired(now_millis)
        given: float = sum(grant["quantity"] for grant in self.grants)
        return given - self.debt

    def change(
        self, delta: float, now_millis: int, *, expires_at_millis: int | None = None, purchase_id: str | None = None
    ) -> None:
        """Give, or take with a negative `delta`: first of what expires soonest.

        Args:
            delta: what is added.
            expires_at_millis: when what is left of a grant lapses, epoch milliseconds; None for never.
            purchase_id: the purchase with which a grant ends.
        """
        self._drop_expired(now_millis)
        if delta < 0:
            self.debt -= delta
        elif expires_at_millis is None or expires_at_millis > now_millis:
            grant = {"quantity": delta, "expires_at_millis": expires_at_millis, "purchase_id": purchase_id}
            self.grants.append(grant)
        self._pay_debt()

    def end_purchase(self, purchase_id: str) -> None:
        """Drop the grants that end with a purchase."""
        self.grants = [grant for grant in self.grants if grant["purchase_id"] != purchase_id]

    def _drop_expired(self, now_millis: int) -> None:
        self.grants = [
            grant
            for grant in self.grants
            if grant["expires_at_millis"] is None or grant["expires_at_millis"] > now_millis
        ]

    def _pay_debt(self) -> None:
        for grant in sorted(self.grants, key=_soonest_first):
            paid = min(self.debt, grant["quantity"])
            self.debt -= paid
            grant["quantity"] -= paid
        self.grants = _merged(grant for grant in self.grants if grant["quantity"])


def _soonest_first(grant: dict[str, Any]) -> float:
    expires: int | None = grant["expires_at_millis"]
    return float("inf") if expires is None else expires


def _merged(grants: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The grants, those that end alike as one: the length of the list follows the ends, not the number of changes."""
    merged: dict[tuple[int | None, str | None], dict[str, Any]] = {}
    for grant in grants:
        end = grant["expires_at_millis"], grant["purchase_id"]
        if end in merged:
            merged[end]["quantity"] += grant["quantity"]
        else:
            merged[end] = grant
    return list(merged.values())


@dataclass(slots=True, kw_only=True)
class Purchase:
    """A product that a customer has: bought once, or subscribed to where its price has an interval.

    Attributes:
        product_id: None for an inline product.
        product: as it was when it was granted, in the shape that the API calls an inline product.
        interval: `[1, "month"]` and the like for a subscription; None otherwise.
        granted: how often each included item was given so far.
    """

    id: str
    customer_type: CustomerType
    customer_id: str
    product_id: str | None
    product: dict[str, Any]
    quantity: int
    created_at_millis: int
    interval: list[Any] | None = None
    ended_at_millis: int | None = None
    granted: dict[str, int] = field(default_factory=dict)

    @property
    def customer(self) -> Customer:
        """Whose it is."""
        return self.customer_type, self.customer_id

    def is_owned(self, now_millis: int) -> bool:
        """Whether the customer has it now."""
        return self.ended_at_millis is None or self.ended_at_millis > now_millis

    def due(self, item_id: str, now_millis: int) -> list[tuple[float, int | None, bool]]:
        """What of an included item has to be given by now and was not yet; it counts as given from here on.

        Returns:
            For each grant: quantity, when it expires (epoch milliseconds; None for never), and whether it ends with
            the purchase.
        """
        included = self.product["included_items"][item_id]
        repeat = included.get("repeat", "never")
        expires = included.get("expires", "never")
        quantity = included.get("quantity", 0) * self.quantity
        grants: list[tuple[float, int | None, bool]] = []
        count = self.granted.get(item_id, 0)
        while repeat != "never" or count == 0:
            start = self.created_at_millis if count == 0 else after(self.created_at_millis, repeat, count)
            if start > now_millis or not self.is_owned(start):
                break
            count += 1
            lapses = expires == "when-repeated" and repeat != "never"
            end = after(self.created_at_millis, repeat, count) if lapses else None
            grants.append((quantity, end, expires == "when-purchase-expires"))
        self.granted[item_id] = count
        return grants

    def shape(self, now_millis: int) -> dict[str, Any]:
        """The purchase as a list of the customer's products shows it."""
        subscription = None
        if self.interval is not None:
            subscription = {
                "subscription_id": self.id,
                "current_period_end": iso(self._period_end(now_millis, self.interval)),
                "cancel_at_period_end": False,
                "is_cancelable": True,
            }
        return {
            "id": self.product_id,
            "quantity": self.quantity,
            "product": self.product,
            "type": "one_time" if self.interval is None else "subscription",
            "subscription": subscription,
        }

    def _period_end(self, now_millis: int, interval: list[Any]) -> int:
        count = 1
        while (end := after(self.created_at_millis, interval, count)) <= now_millis:
            count += 1
        return end


def after(millis: int, interval: list[Any], count: int) -> int:
    """The moment `count` intervals after another; the 31st becomes the last day of a shorter month.

    Args:
        millis: epoch milliseconds.
        interval: a number and `day`, `week`, `month` or `year`.
    """
    number, unit = interval[0] * count, interval[1]
    start = datetime.fromtimestamp(millis / 1000, UTC)
    if unit in _UNIT_DAYS:
        end = start + timedelta(days=number * _UNIT_DAYS[unit])
    else:
        months = start.year * 12 + start.month - 1 + number * _UNIT_MONTHS[unit]
        year, month = months // 12, months % 12 + 1
        end = start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))
    return round(end.timestamp() * 1000)


def iso(millis: int) -> str:
    """The moment as JavaScript writes it, `2026-11-25T14:00:00.000Z`."""
    moment = datetime.fromtimestamp(millis / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
