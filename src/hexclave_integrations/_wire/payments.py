"""What is asked of Hexclave about items and products, and how its answers are read (contract 4.5). Pure."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import quote

from .. import _reasons as reasons
from ..config import HexclaveConfig
from .api import object_of, rows_of, server_call, server_request
from .messages import Reply, Request, UnusableReply

__all__ = [
    "change_request",
    "item_path",
    "item_request",
    "products_path",
    "products_request",
    "read_change",
    "read_products",
    "read_quantity",
]

_PAGE_SIZE: Final = 100
_LONGEST_CURSOR: Final = 1024
_NO_CUSTOMER: Final = frozenset({"CUSTOMER_DOES_NOT_EXIST", "USER_NOT_FOUND", "TEAM_NOT_FOUND"})
_NO_ITEM: Final = frozenset({"ITEM_NOT_FOUND", "ITEM_CUSTOMER_TYPE_DOES_NOT_MATCH"})


def item_request(config: HexclaveConfig, customer: tuple[str, str], item_id: str) -> Request:
    """A request for a customer's balance of an item."""
    return server_request(config, "the balance of an item", item_path(*customer, item_id))


def change_request(config: HexclaveConfig, customer: tuple[str, str], item_id: str, delta: int) -> Request:
    """A request to give to a customer, or to take from them, but never more than they have."""
    path = f"{item_path(*customer, item_id)}/update-quantity"
    what = "taking of an item" if delta < 0 else "giving an item back"
    # What is given is given also to who owes more than that.
    query = {"allow_negative": "false" if delta < 0 else "true"}
    return server_call(config, what, "POST", path, query, json.dumps({"delta": delta}).encode())


def products_request(config: HexclaveConfig, customer: tuple[str, str], cursor: str | None) -> Request:
    """A request for a page of the products that a customer has."""
    query = {"limit": str(_PAGE_SIZE)} | ({} if cursor is None else {"cursor": cursor})
    return server_request(config, "products", products_path(*customer), **query)


def read_quantity(reply: Reply, *, item_id: str) -> float | None:
    """The balance, which may be negative; None where Hexclave knows no such customer.

    Raises:
        UnusableReply: the answer is neither, or there is no such item.
    """
    if _is_of_nobody(reply, item_id):
        return None
    body = object_of(reply)
    quantity = body.get("quantity")
    if body.get("id") != item_id:
        raise UnusableReply("another item")
    if isinstance(quantity, bool) or not isinstance(quantity, int | float):
        raise UnusableReply("no quantity")
    return quantity


def read_change(reply: Reply, *, item_id: str) -> bool | None:
    """Whether the balance was changed; False where it is too low, None where Hexclave knows no such customer.

    Raises:
        UnusableReply: the answer is none of these, or there is no such item.
    """
    if _is_of_nobody(reply, item_id):
        return None
    if reply.real_status == 400 and reply.known_error == "ITEM_QUANTITY_INSUFFICIENT_AMOUNT":
        return False
    object_of(reply)
    return True


def read_products(reply: Reply) -> tuple[frozenset[str], str | None]:
    """The ids of the products on a page, and the cursor of the next page.

    Raises:
        UnusableReply: the answer is no such list.
    """
    if reply.known_error in _NO_CUSTOMER:
        return frozenset(), None
    rows = rows_of(reply)
    pagination = object_of(reply).get("pagination")
    cursor = pagination.get("next_cursor") if isinstance(pagination, dict) else None
    if cursor is not None and not (isinstance(cursor, str) and 0 < len(cursor) <= _LONGEST_CURSOR):
        raise UnusableReply("no cursor")
    # One that was made up for a single customer has no id.
    owned = (row for row in rows if isinstance(row.get("id"), str) and _is_some(row.get("quantity")))
    return frozenset(row["id"] for row in owned), cursor


def _is_some(quantity: object) -> bool:
    return isinstance(quantity, int | float) and not isinstance(quantity, bool) and quantity > 0


def _is_of_nobody(reply: Reply, item_id: str) -> bool:
    if reply.known_error in _NO_ITEM:
        # The id is the application's own, and no caller's.
        raise UnusableReply(f"no item {item_id} for customers of this type", reasons.ITEM_UNKNOWN)
    return reply.known_error in _NO_CUSTOMER


def item_path(kind: str, customer_id: str, item_id: str) -> str:
    return f"/payments/items/{kind}/{quote(customer_id, safe='')}/{quote(item_id, safe='')}"


def products_path(kind: str, customer_id: str) -> str:
    return f"/payments/products/{kind}/{quote(customer_id, safe='')}"
