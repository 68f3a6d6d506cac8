"""Items and products of customers: users, teams, or whatever an application calls one (contract 4.5)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from .. import _reasons as reasons
from .._policy.effects import Flow
from .._policy.payments import products_tag
from .._policy.state import Core
from .._wire.messages import Reply
from .._wire.payments import item_path, products_path
from ..errors import InsufficientBalance, Unavailable
from ..records import ItemData, ProductData
from ._arguments import Id, check_text, customer, millis, name_in_path, number
from ._calls import ask
from ._replies import done, page_of, record, text_in

__all__ = ["cancel", "change", "checkout_url", "get", "grant", "owned", "try_spend"]

_MOST: Final = 2**31 - 1  # `delta` is a 32-bit number
_PAGE_SIZE: Final = "100"


def get(
    core: Core, item_id: str, *, user_id: Id | None = None, team_id: Id | None = None, custom_id: str | None = None
) -> Flow[ItemData]:
    """How much a customer has of an item.

    Args:
        user_id, team_id, custom_id: the customer: one of the three.

    Raises:
        NotFound: there is no such item or customer.
        HexclaveApiError: the item is for customers of another type.
        Unavailable: it cannot be told now.
    """
    path = _item(item_id, user_id, team_id, custom_id)
    return ask(core, "an item", "GET", path, record(ItemData, id=item_id))


def change(
    core: Core,
    item_id: str,
    delta: int,
    *,
    user_id: Id | None = None,
    team_id: Id | None = None,
    custom_id: str | None = None,
    allow_negative: bool = False,
    expires_at: datetime | None = None,
    description: str | None = None,
) -> Flow[None]:
    """Give a customer of an item, or take from them with a negative `delta`. Never sent twice.

    Args:
        user_id, team_id, custom_id: the customer: one of the three.
        allow_negative: whether the balance may get below zero.
        expires_at: when what is given is taken back, with a time zone.

    Raises:
        InsufficientBalance: the balance would get below zero; nothing was taken.
        NotFound: there is no such item or customer.
        Unavailable: it is not known whether the balance was changed: read it before you try again.
    """
    path = f"{_item(item_id, user_id, team_id, custom_id)}/update-quantity"
    body: dict[str, Any] = {"delta": number("delta", delta, -_MOST, _MOST)}
    moment = millis("expires_at", expires_at)
    if expires_at is not None and moment is not None:
        body["expires_at"] = expires_at.isoformat()
    if description is not None:
        body["description"] = check_text("description", description)
    query = {"allow_negative": "true" if allow_negative is True else "false"}
    return ask(core, "an item's change", "POST", path, done, query=query, body=body)


def try_spend(
    core: Core,
    item_id: str,
    amount: int,
    *,
    user_id: Id | None = None,
    team_id: Id | None = None,
    custom_id: str | None = None,
) -> Flow[bool]:
    """Take an amount of an item from a customer, if they have it: whether it was taken. Never sent twice.

    Hexclave reads the balance before it writes: of two customers' requests at one moment both may pass (contract 4.5).

    Args:
        amount: at least 1.
        user_id, team_id, custom_id: the customer: one of the three.

    Raises:
        NotFound: there is no such item or customer.
        Unavailable: it is not known whether the amount was taken: read the balance before you try again.
    """
    delta = -number("amount", amount, 1, _MOST)
    spend = change(core, item_id, delta, user_id=user_id, team_id=team_id, custom_id=custom_id)

    def work() -> Flow[bool]:
        try:
            yield from spend
        except InsufficientBalance:
            return False
        return True

    return work()


def owned(
    core: Core, *, user_id: Id | None = None, team_id: Id | None = None, custom_id: str | None = None
) -> Flow[list[ProductData]]:
    """All products that a customer owns.

    Args:
        user_id, team_id, custom_id: the customer: one of the three.

    Raises:
        Unavailable: it cannot be told now.
    """
    path = _products(user_id, team_id, custom_id)

    def work() -> Flow[list[ProductData]]:
        found: list[ProductData] = []
        seen: set[str] = set()
        query = {"limit": _PAGE_SIZE}
        while True:
            page = yield from ask(core, "products", "GET", path, page_of(ProductData), query=query)
            found += page.items
            if page.next_cursor is None:
                return found
            if page.next_cursor in seen:  # a list without an end
                raise Unavailable(reason=reasons.API_UNUSABLE)
            seen.add(page.next_cursor)
            query = {"limit": _PAGE_SIZE, "cursor": page.next_cursor}

    core.config.require_server_key("asking Hexclave for products")
    return work()


def grant(
    core: Core,
    product_id: str,
    *,
    user_id: Id | None = None,
    team_id: Id | None = None,
    custom_id: str | None = None,
    quantity: int = 1,
) -> Flow[str | None]:
    """Give a customer a product without a payment; the id of the subscription, where it is one. Never sent twice.

    Args:
        user_id, team_id, custom_id: the customer: one of the three.

    Raises:
        NotFound: there is no such product or customer.
        AlreadyExists: they have it, and it can be had once.
        Unavailable: it is not known whether it was granted.
    """

    def read(reply: Reply) -> str | None:
        found = reply.json().get("subscription_id")
        if found is not None and not isinstance(found, str):
            raise ValueError("no id")
        return found

    body = {
        "product_id": name_in_path("product_id", product_id),
        "quantity": number("quantity", quantity, 1, _MOST),
    }
    path, forgets = _products(user_id, team_id, custom_id), _answers(user_id, team_id, custom_id)
    return ask(core, "a product's grant", "POST", path, read, body=body, forgets=forgets)


def cancel(
    core: Core,
    product_id: str,
    *,
    user_id: Id | None = None,
    team_id: Id | None = None,
    custom_id: str | None = None,
    subscription_id: str | None = None,
) -> Flow[None]:
    """End a customer's subscription to a product, or one of several.

    Args:
        user_id, team_id, custom_id: the customer: one of the three.
        subscription_id: which one; all of them when None.

    Raises:
        HexclaveApiError: they have no such subscription, or it was bought once and for all.
        Unavailable: it is not known whether it was ended.
    """
    path = f"{_products(user_id, team_id, custom_id)}/{name_in_path('product_id', product_id)}"
    query = {} if subscription_id is None else {"subscription_id": check_text("subscription_id", subscription_id)}
    # Not repeated: "has no subscription" after a failure would not tell whether this one ended it.
    forgets = _answers(user_id, team_id, custom_id)
    return ask(
        core, "the end of a subscription", "DELETE", path, done, query=query, is_repeatable=False, forgets=forgets
    )


def checkout_url(
    core: Core,
    product_id: str,
    *,
    user_id: Id | None = None,
    team_id: Id | None = None,
    custom_id: str | None = None,
    return_url: str | None = None,
) -> Flow[str]:
    """The address, good for a day, where a customer pays for a product.

    Args:
        user_id, team_id, custom_id: the customer: one of the three.
        return_url: where they come back to; of one of the project's domains.

    Raises:
        NotFound: there is no such product or customer.
        AlreadyExists: they have it, and it can be had once.
        HexclaveApiError: purchases are blocked, or the return URL is not accepted.
        Unavailable: it cannot be had now.
    """
    kind, name = customer(user_id, team_id, custom_id)
    body = {"customer_type": kind, "customer_id": name, "product_id": name_in_path("product_id", product_id)}
    if return_url is not None:
        body["return_url"] = check_text("return_url", return_url)
    return ask(core, "a checkout", "POST", "/payments/purchases/create-purchase-url", text_in("url"), body=body)


def _item(item_id: str, user_id: Id | None, team_id: Id | None, custom_id: str | None) -> str:
    checked = customer(user_id, team_id, custom_id)
    name_in_path("item_id", item_id)
    return item_path(*checked, item_id)


def _products(user_id: Id | None, team_id: Id | None, custom_id: str | None) -> str:
    return products_path(*customer(user_id, team_id, custom_id))


def _answers(user_id: Id | None, team_id: Id | None, custom_id: str | None) -> list[str]:
    """What `require_product` remembers of a customer; a custom one passes no guard."""
    kind, name = customer(user_id, team_id, custom_id)
    return [] if kind == "custom" else [products_tag(kind, name.lower())]
