"""What a customer has paid for, as flows: balances, products, and taking from a balance for one request (contract 4.5).

Hexclave reads a balance before it begins to write, so that several takings at once may take more than there is. So a
client takes from one customer's balance of one item once at a time; other processes it cannot hold back.

A taking is no question that could be repeated. It is sent once. Where no usable answer comes it counts as not done, and
the caller is told 503; whether Hexclave did it all the same, nobody knows.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from .. import _reasons as reasons
from .._wire import payments as wire
from ..errors import ItemQuantityInsufficient, ProductRequired, RequestRefused, SessionEnded, Unavailable
from ..errors import TeamMembershipRequired as NotAMember
from ..requirements import Requirement
from .asking import Memory, answer_once, ask
from .effects import Flow, Once
from .spending import Charge, Customer, Spending
from .state import Core, digest

__all__ = ["check_paid", "give_back", "products", "products_tag"]

_MAX_PAGES: Final = 50
_NOT_GIVEN_BACK: Final = "What a failed request had spent could not be given back to the customer"


def check_paid(core: Core, requirement: Requirement, customer: Customer, spending: Spending | None) -> Flow[None]:
    """Hold a customer against a requirement about an item or a product.

    Args:
        customer: who pays.
        spending: what was taken for the request so far, where the requirement takes something.

    Raises:
        PaymentRequired: the customer has too little, or does not have it.
        SessionEnded, TeamMembershipRequired: there is no such user or team any more.
        Unavailable: it cannot be told now.
    """
    if requirement.product is not None:
        owned = yield from products(core, customer, fresh=requirement.is_live)
        if requirement.product not in owned:
            raise ProductRequired(details={"product_id": requirement.product})
        return
    item_id = requirement.item
    assert item_id is not None
    if spending is None:
        request = wire.item_request(core.config, customer, item_id)
        quantity = yield from ask(core, request, partial(wire.read_quantity, item_id=item_id))
        is_enough = None if quantity is None else quantity >= requirement.amount
    else:
        charge = Charge(customer, item_id, requirement.amount, requirement.returns_on_client_error)
        is_enough = yield from _take_once(core, charge, spending)
    if is_enough is None:
        raise _no_customer(customer)
    if not is_enough:
        raise ItemQuantityInsufficient(details={"item_id": item_id})


def products(core: Core, customer: Customer, *, fresh: bool = False) -> Flow[frozenset[str]]:
    """The ids of the products that a customer has, remembered for `permission_ttl`.

    Args:
        fresh: ask Hexclave, whatever is remembered.

    Raises:
        Unavailable: it cannot be told now.
    """
    memory = None if fresh else _memory(core, customer, None)
    if memory is None:
        return (yield from _ask_for_products(core, customer, fresh=True))
    question = partial(_ask_for_products, core, customer, fresh=False)
    return (yield from answer_once(core, core.answers, memory, question))


def _ask_for_products(core: Core, customer: Customer, *, fresh: bool) -> Flow[frozenset[str]]:
    found: frozenset[str] = frozenset()
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        request = wire.products_request(core.config, customer, cursor)
        memory = None if fresh else _memory(core, customer, cursor)
        page, cursor = yield from ask(core, request, wire.read_products, memory)
        found |= page
        if cursor is None:
            return found
    core.log.warning("Hexclave's list of a customer's products has no end")
    raise Unavailable(reason=reasons.API_UNUSABLE)


def _memory(core: Core, customer: Customer, cursor: str | None) -> Memory:
    page = "" if cursor is None else f":{digest(cursor).hex()}"
    tag = products_tag(*customer)
    # No webhook tells of products; of users and teams that are deleted, one does.
    return Memory(f"{tag}{page}", (tag, ":".join(customer)), lambda _: core.config.permission_ttl)


def products_tag(kind: str, customer_id: str) -> str:
    """The tag of what is remembered of a customer's products, to forget it by when they get or lose one."""
    return f"products:{kind}:{customer_id}"


def _take_once(core: Core, charge: Charge, spending: Spending) -> Flow[bool | None]:
    """Take a charge unless the request has paid it already; False for too little, None for no such customer.

    Raises:
        Unavailable: it was not taken, or nobody knows; or others took from the same balance for too long.
    """
    until = core.clock() + 2 * core.config.http_timeout + 1
    key = ("taking", *charge.customer, charge.item_id)
    while True:
        is_mine, outcome = yield Once(key, partial(_take, core, charge, spending))
        if is_mine:
            taken: bool | None = outcome
            return taken
        if core.clock() >= until:
            raise Unavailable(reason=reasons.GIVEN_UP)


def _take(core: Core, charge: Charge, spending: Spending) -> Flow[bool | None]:
    if spending.has(charge):
        return True
    if spending.is_closed():  # while this one waited for its turn
        raise Unavailable(reason=reasons.REQUEST_ENDED)
    request = wire.change_request(core.config, charge.customer, charge.item_id, -charge.amount)
    taken = yield from ask(core, request, partial(wire.read_change, item_id=charge.item_id))
    if taken:
        if spending.is_closed():  # the caller has hung up meanwhile: no handler will run for it
            yield from _give_back(core, charge)
            raise Unavailable(reason=reasons.REQUEST_ENDED)
        spending.note(charge, core)
    return taken


def give_back(core: Core, spending: Spending, status: int | None, *, was_refused: bool) -> Flow[None]:
    """Give back what has to go back now that a request has ended; what cannot be given back is logged.

    Args:
        spending: what was taken for the request.
        status: of the answer; None where there is none, because the handler raised or was cancelled.
        was_refused: whether the request was refused afterwards, so that its handler did not run.
    """
    for charge in spending.end(core, status, was_refused=was_refused):
        try:
            # As a flow of its own, which goes on although the request is cancelled.
            yield Once(("giving back", id(spending), charge), partial(_give_back, core, charge))
        except RequestRefused:  # the client was closed
            core.log.error(_NOT_GIVEN_BACK)


def _give_back(core: Core, charge: Charge) -> Flow[None]:
    request = wire.change_request(core.config, charge.customer, charge.item_id, charge.amount)
    try:
        yield from ask(core, request, partial(wire.read_change, item_id=charge.item_id))
    except RequestRefused:
        core.log.error(_NOT_GIVEN_BACK)


def _no_customer(customer: Customer) -> RequestRefused:
    return SessionEnded(reason=reasons.USER_GONE) if customer[0] == "user" else NotAMember()
