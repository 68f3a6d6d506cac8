"""`/payments/items` of the sandbox, and who may look at whose (contract 4.5)."""

from __future__ import annotations

from datetime import UTC, datetime

from ._ledger import Customer, CustomerType, Holding, Item
from ._project import Project
from ._routing import BOOLEAN_TEXT, EVERYBODY, STRING, Call, Field, Route, integer, required
from ._teams import require_permission
from ._wire import Refusal, Reply, json_reply, known_error, text_reply

__all__ = ["ROUTES", "change_quantity", "check_client", "check_customer", "customer_of", "define_item", "quantity"]


def define_item(project: Project, item_id: str, customer_type: CustomerType, display_name: str | None = None) -> None:
    """Define an item unless there is one of that id."""
    item = Item(id=item_id, display_name=display_name or item_id, customer_type=customer_type)
    project.items.setdefault(item_id, item)


def quantity(project: Project, customer: Customer, item_id: str) -> float:
    """How much of an item a customer has, what their products include among it."""
    return _holding(project, customer, item_id).balance(project.now_millis())


def change_quantity(
    project: Project,
    customer: Customer,
    item_id: str,
    delta: float,
    *,
    allow_negative: bool,
    expires_at_millis: int | None = None,
) -> None:
    """Give to a customer, or take from them with a negative `delta`, under the sandbox's lock: all of it or nothing.

    Raises:
        Refusal: `ITEM_QUANTITY_INSUFFICIENT_AMOUNT`.
    """
    holding, now = _holding(project, customer, item_id), project.now_millis()
    if not allow_negative and holding.balance(now) + delta < 0:
        raise known_error("ITEM_QUANTITY_INSUFFICIENT_AMOUNT", item_id=item_id, customer_id=customer[1], quantity=delta)
    holding.change(delta, now, expires_at_millis=expires_at_millis)


def check_customer(project: Project, customer: Customer) -> None:
    """Refuse a user or team that there is not; a custom customer is whoever is named."""
    customer_type, customer_id = customer
    if customer_type == "user" and customer_id not in project.users:
        raise known_error("USER_NOT_FOUND")
    if customer_type == "team" and customer_id not in project.teams:
        raise known_error("TEAM_NOT_FOUND", team_id=customer_id)


def customer_of(call: Call) -> Customer:
    """The customer in the path."""
    for customer_type in ("user", "team"):
        if call.params["customer_type"] == customer_type:
            return customer_type, call.params["customer_id"]
    return "custom", call.params["customer_id"]


def check_client(call: Call, customer: Customer, forbidden: str) -> None:
    """Let client access through for the user themselves, or for a team of which they are `team_admin`.

    Args:
        forbidden: the text of the 403 for everybody else.
    """
    if not call.caller.is_client:
        return
    user = call.caller.user
    if user is None:
        raise known_error("USER_AUTHENTICATION_REQUIRED")
    customer_type, customer_id = customer
    if customer_type == "team":
        require_permission(call.project, customer_id, user.id, "team_admin")
    elif customer_type == "custom" or customer_id != user.id:
        raise Refusal(text_reply(forbidden, 403))


def _holding(project: Project, customer: Customer, item_id: str) -> Holding:
    """What the customer holds of an item, with everything that their products included up to now."""
    key, now = Holding.key_of(customer, item_id), project.now_millis()
    holding = project.holdings.get(key)
    if holding is None:
        holding = Holding(customer_type=customer[0], customer_id=customer[1], item_id=item_id)
        project.holdings[key] = holding
    for purchase in project.purchases.values():
        if purchase.customer == customer and item_id in purchase.product["included_items"]:
            for amount, expires, ends_with_purchase in purchase.due(item_id, now):
                purchase_id = purchase.id if ends_with_purchase else None
                holding.change(amount, now, expires_at_millis=expires, purchase_id=purchase_id)
    return holding


def _find(call: Call, customer: Customer) -> Item:
    item_id = call.params["item_id"]
    if call.project.accepts_any_item:
        define_item(call.project, item_id, customer[0])
    item = call.project.items.get(item_id)
    if item is None:
        raise known_error("ITEM_NOT_FOUND", item_id=item_id)
    if item.customer_type != customer[0]:
        raise known_error(
            "ITEM_CUSTOMER_TYPE_DOES_NOT_MATCH",
            item_id=item.id,
            customer_id=customer[1],
            item_customer_type=item.customer_type,
            actual_customer_type=customer[0],
        )
    check_customer(call.project, customer)
    return item


def _read(call: Call) -> Reply:
    customer = customer_of(call)
    check_client(call, customer, "Clients can only access their own user or team items.")
    item = _find(call, customer)
    return json_reply(
        {"id": item.id, "display_name": item.display_name, "quantity": quantity(call.project, customer, item.id)}
    )


def _update_quantity(call: Call) -> Reply:
    customer = customer_of(call)
    item = _find(call, customer)
    expires = call.body.get("expires_at")
    change_quantity(
        call.project,
        customer,
        item.id,
        int(call.body["delta"]),
        allow_negative=call.query["allow_negative"] == "true",
        expires_at_millis=None if expires is None else _millis(expires),
    )
    return json_reply({})


def _millis(moment: str) -> int:
    parsed = datetime.fromisoformat(moment)
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)


def _moment(value: object) -> str | None:
    if not isinstance(value, str):
        return "must be a string"
    try:
        _millis(value)
    except (ValueError, OverflowError):
        return "must be a valid ISO 8601 date"
    return None


_ITEM = "/payments/items/{customer_type}/{customer_id}/{item_id}"
_CHANGE = {
    "delta": required(integer(-(2**31), 2**31 - 1)),
    "expires_at": Field(_moment),
    "description": Field(STRING),
}
ROUTES = (
    Route(method="GET", pattern=_ITEM, handler=_read, access=EVERYBODY),
    Route(
        method="POST",
        pattern=f"{_ITEM}/update-quantity",
        handler=_update_quantity,
        query={"allow_negative": required(BOOLEAN_TEXT)},
        body=_CHANGE,
    ),
)
