"""`/payments/products`, checkout, billing and invoices of the sandbox: no money moves (contract 4.5)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from ._items import check_client, check_customer, customer_of, quantity
from ._ledger import Customer, CustomerType, Purchase
from ._project import Project
from ._routing import (
    ANYTHING,
    BOOLEAN,
    CUSTOMER_TYPE,
    EVERYBODY,
    NUMBER,
    PAGE_SIZE,
    STRING,
    Call,
    Field,
    Route,
    integer,
    one_of,
    record_of,
    required,
)
from ._wire import Refusal, Reply, json_reply, known_error, random_text, text_reply

__all__ = ["ROUTES", "cancel", "grant", "product_of"]

_CURRENCIES = ("USD", "EUR", "GBP", "JPY", "INR", "AUD", "CAD")
_UNITS = ("day", "week", "month", "year")


def product_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """An inline product with everything that was left out, as it is kept and shown."""
    included = {
        item_id: {
            "quantity": item.get("quantity", 0),
            "repeat": item.get("repeat", "never"),
            "expires": item.get("expires", "never"),
        }
        for item_id, item in fields.get("included_items", {}).items()
    }
    return {
        "display_name": fields["display_name"],
        "customer_type": fields["customer_type"],
        "server_only": fields.get("server_only", True),
        "stackable": fields.get("stackable", False),
        "prices": fields.get("prices", {}),
        "included_items": included,
        "client_metadata": fields.get("client_metadata"),
        "client_read_only_metadata": fields.get("client_read_only_metadata"),
        "server_metadata": fields.get("server_metadata"),
    }


def grant(
    project: Project, customer: Customer, product: dict[str, Any], product_id: str | None, count: int
) -> Purchase:
    """Give a customer a product: a subscription if the first of its prices has an interval, else once and for all.

    Raises:
        Refusal: it is for customers of another type, the customer does not exist, or it can be had only once.
    """
    _check_type(customer, product, product_id)
    check_customer(project, customer)
    if count != 1 and not product["stackable"]:
        raise Refusal(text_reply("This product is not stackable; quantity must be 1", 400))
    if product_id is not None and not product["stackable"] and _owned(project, customer, product_id):
        raise known_error("PRODUCT_ALREADY_GRANTED", product_id=product_id, customer_id=customer[1])
    price: Mapping[str, Any] = next(iter(product["prices"].values()), {})
    purchase = Purchase(
        id=str(uuid.uuid4()),
        customer_type=customer[0],
        customer_id=customer[1],
        product_id=product_id,
        product=product,
        quantity=count,
        created_at_millis=project.now_millis(),
        interval=price.get("interval"),
    )
    project.purchases[purchase.id] = purchase
    return purchase


def cancel(project: Project, purchase: Purchase) -> None:
    """End a subscription now, with what was included only as long as it lasts."""
    for item_id in purchase.product["included_items"]:
        quantity(project, purchase.customer, item_id)  # what was due until now
    purchase.ended_at_millis = project.now_millis()
    for holding in project.holdings.values():
        if holding.customer == purchase.customer:
            holding.end_purchase(purchase.id)


def _owned(project: Project, customer: Customer, product_id: str | None = None) -> list[Purchase]:
    now = project.now_millis()
    return [
        purchase
        for purchase in project.purchases.values()
        if purchase.customer == customer
        and purchase.is_owned(now)
        and (product_id is None or purchase.product_id == product_id)
    ]


def _check_type(customer: Customer, product: Mapping[str, Any], product_id: str | None) -> None:
    if product["customer_type"] != customer[0]:
        raise known_error(
            "PRODUCT_CUSTOMER_TYPE_DOES_NOT_MATCH",
            product_id=product_id,
            customer_id=customer[1],
            product_customer_type=product["customer_type"],
            actual_customer_type=customer[0],
        )


def _asked_product(call: Call, product_id: str | None, inline: Mapping[str, Any] | None) -> dict[str, Any]:
    if product_id and inline:
        raise Refusal(text_reply("Cannot specify both product_id and product_inline!", 400))
    if inline and call.caller.is_client:
        text = (
            "Cannot specify product_inline when calling from client! Please call with a server API key, "
            "or use the product_id parameter."
        )
        raise Refusal(text_reply(text, 400))
    if inline:
        return product_of(inline)
    if not product_id:
        raise Refusal(text_reply("Must specify either product_id or product_inline!", 400))
    product = call.project.products.get(product_id)
    if product is None and product_id in call.project.items:
        words, context = {"why": "does not exist, but an item with this ID exists."}, "item_exists"
        raise known_error("PRODUCT_DOES_NOT_EXIST", words, product_id=product_id, context=context)
    if product is None:
        raise known_error("PRODUCT_DOES_NOT_EXIST", {"why": "does not exist."}, product_id=product_id, context=None)
    if product["server_only"] and call.caller.is_client:
        words, context = {"why": "is marked as server-only and cannot be accessed client side."}, "server_only"
        raise known_error("PRODUCT_DOES_NOT_EXIST", words, product_id=product_id, context=context)
    return product


def _list(call: Call) -> Reply:
    customer = customer_of(call)
    check_client(call, customer, "Clients can only access their own user or team products.")
    owned = [
        purchase
        for purchase in _owned(call.project, customer)
        if not (call.caller.is_client and purchase.product["server_only"])
    ]
    start = 0
    if cursor := call.query.get("cursor"):
        start = next((index for index, purchase in enumerate(owned) if purchase.id == cursor), -1)
        if start < 0:
            raise Refusal(text_reply("Invalid cursor", 400))
    end = start + int(float(call.query.get("limit", "10")))
    items = [purchase.shape(call.project.now_millis()) for purchase in owned[start:end]]
    following = owned[end].id if end < len(owned) else None
    return json_reply({"items": items, "is_paginated": True, "pagination": {"next_cursor": following}})


def _grant(call: Call) -> Reply:
    product_id = call.body.get("product_id")
    product = _asked_product(call, product_id, call.body.get("product_inline"))
    count = int(call.body.get("quantity", 1))
    purchase = grant(call.project, customer_of(call), product, product_id, count)
    subscription = {} if purchase.interval is None else {"subscription_id": purchase.id}
    return json_reply({"success": True} | subscription)


def _cancel(call: Call) -> Reply:
    customer, product_id = customer_of(call), call.params["product_id"]
    check_client(call, customer, "Clients can only cancel their own subscriptions.")
    owned = _owned(call.project, customer)
    if subscription_id := call.query.get("subscription_id"):
        ending = [item for item in owned if item.id == subscription_id and item.interval is not None]
        if not ending:
            text = "No active subscription found with this ID for the given customer."
            raise Refusal(text_reply(text, 400))
    else:
        _check_type(customer, _asked_product(call, product_id, None), product_id)
        having = [item for item in owned if item.product_id == product_id]
        if not having:
            raise Refusal(text_reply("Customer does not have this product.", 400))
        ending = [item for item in having if item.interval is not None]
        if not ending:
            raise Refusal(text_reply("This product is a one time purchase and cannot be canceled.", 400))
    for purchase in ending:
        cancel(call.project, purchase)
    return json_reply({"success": True})


def _create_purchase_url(call: Call) -> Reply:
    """An address for a checkout, at which nothing can be paid: the sandbox has no page for it."""
    body, product_id = call.body, call.body.get("product_id")
    customer: Customer = (_customer_type(body["customer_type"]), body["customer_id"])
    check_client(call, customer, "Clients can only create purchase URLs for their own user or team.")
    product = _asked_product(call, product_id, body.get("product_inline"))
    _check_type(customer, product, product_id)
    check_customer(call.project, customer)
    if product_id and not product["stackable"] and _owned(call.project, customer, product_id):
        raise known_error("PRODUCT_ALREADY_GRANTED", product_id=product_id, customer_id=customer[1])
    back = f"?{urlencode({'return_url': body['return_url']})}" if "return_url" in body else ""
    return json_reply({"url": f"{call.project.base_url}/purchase/{call.project.id}_{random_text(45)}{back}"})


def _customer_type(value: str) -> CustomerType:
    return "user" if value == "user" else "team" if value == "team" else "custom"


def _billing(call: Call) -> Reply:
    check_client(call, customer_of(call), "Clients can only manage their own billing.")
    return json_reply({"has_customer": False, "default_payment_method": None})


def _invoices(call: Call) -> Reply:
    check_client(call, customer_of(call), "Clients can only manage their own billing.")
    return json_reply({"items": [], "is_paginated": True, "pagination": {"next_cursor": None}})


def _interval(value: object) -> str | None:
    if isinstance(value, list) and len(value) == 2 and integer(1, 1000)(value[0]) is None and value[1] in _UNITS:
        return None
    return f"must be a number and one of {', '.join(_UNITS)}"


def _interval_or_never(value: object) -> str | None:
    return None if value == "never" else _interval(value)


def _record(rule: Any) -> Any:
    def check(value: Any) -> str | None:
        if not isinstance(value, dict):
            return "must be an object"
        return next((problem for item in value.values() if (problem := rule(item))), None)

    return check


def _price(value: Any) -> str | None:
    problem = _PRICE(value)
    if problem is None and not any(name in value for name in _CURRENCIES):
        return "needs at least one currency"
    return problem


_PRICE = record_of(
    {name: Field(STRING) for name in _CURRENCIES} | {"interval": Field(_interval), "free_trial": Field(_interval)}
)
_INCLUDED = record_of(
    {
        "quantity": Field(NUMBER),
        "repeat": Field(_interval_or_never),
        "expires": Field(one_of("never", "when-purchase-expires", "when-repeated")),
    }
)
_INLINE = record_of(
    {
        "display_name": required(STRING),
        "customer_type": required(CUSTOMER_TYPE),
        "free_trial": Field(_interval),
        "server_only": Field(BOOLEAN),
        "stackable": Field(BOOLEAN),
        "prices": required(_record(_price)),
        "included_items": required(_record(_INCLUDED)),
        "client_metadata": Field(ANYTHING),
        "client_read_only_metadata": Field(ANYTHING),
        "server_metadata": Field(ANYTHING),
    }
)
_CHOICE = {"product_id": Field(STRING), "product_inline": Field(_INLINE)}
_PAGE = {"cursor": Field(STRING), "limit": Field(PAGE_SIZE)}
_OF_CUSTOMER = "{customer_type}/{customer_id}"
_PRODUCTS = f"/payments/products/{_OF_CUSTOMER}"
ROUTES = (
    Route(method="GET", pattern=_PRODUCTS, handler=_list, access=EVERYBODY, query=_PAGE),
    Route(method="POST", pattern=_PRODUCTS, handler=_grant, body=_CHOICE | {"quantity": Field(integer(1, 2**31 - 1))}),
    Route(
        method="DELETE",
        pattern=f"{_PRODUCTS}/{{product_id}}",
        handler=_cancel,
        access=EVERYBODY,
        query={"subscription_id": Field(STRING)},
    ),
    Route(
        method="POST",
        pattern="/payments/purchases/create-purchase-url",
        handler=_create_purchase_url,
        access=EVERYBODY,
        body=_CHOICE
        | {
            "customer_type": required(CUSTOMER_TYPE),
            "customer_id": required(STRING),
            "return_url": Field(STRING),
        },
    ),
    Route(method="GET", pattern=f"/payments/billing/{_OF_CUSTOMER}", handler=_billing, access=EVERYBODY),
    Route(method="GET", pattern=f"/payments/invoices/{_OF_CUSTOMER}", handler=_invoices, access=EVERYBODY, query=_PAGE),
)
