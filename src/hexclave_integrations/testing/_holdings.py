"""What users and teams of a sandbox hold, and how a test tells of it: items, products, invitations, accounts."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from ._accounts import PROVIDERS, add_account
from ._contents import SandboxContents
from ._handles import AnyTeam, AnyUser, SandboxTeam, SandboxUser
from ._invitations import invite
from ._items import change_quantity, define_item, quantity
from ._ledger import Customer, CustomerType
from ._mailbox import SandboxEmail
from ._products import cancel, grant, product_of
from ._project import Project
from ._wire import Refusal

__all__ = ["SandboxHoldings", "SandboxItems"]


class SandboxItems:
    """The balances of a sandbox's items.

    A customer is a user or a team of the sandbox, as such or by id; any other text is a custom customer.
    """

    def __init__(self, project: Project, lock: threading.RLock) -> None:
        self._project = project
        self._lock = lock

    def get(self, item_id: str, customer: AnyUser | AnyTeam) -> float:
        """How much a customer has, what their products include among it; negative for what they owe.

        Raises:
            LookupError: no such item was defined.
        """
        with self._lock:
            self._find(item_id)
            return quantity(self._project, customer_of(self._project, customer), item_id)

    def set(self, item_id: str, customer: AnyUser | AnyTeam, amount: float) -> None:
        """Let a customer have exactly so much; an item that is not defined yet is defined for customers like them."""
        with self._lock:
            who = customer_of(self._project, customer)
            define_item(self._project, item_id, who[0])
            delta = amount - quantity(self._project, who, item_id)
            change_quantity(self._project, who, item_id, delta, allow_negative=True)

    def change(self, item_id: str, customer: AnyUser | AnyTeam, delta: float) -> None:
        """Give to a customer, or take with a negative `delta`, below zero as well.

        Raises:
            LookupError: no such item was defined.
        """
        with self._lock:
            self._find(item_id)
            who = customer_of(self._project, customer)
            change_quantity(self._project, who, item_id, delta, allow_negative=True)

    def _find(self, item_id: str) -> None:
        if item_id not in self._project.items:
            raise LookupError(f"This sandbox has no item {item_id!r}: define_item makes one.")


class SandboxHoldings(SandboxContents):
    """What a test tells of items, products, invitations, connected accounts, vault stores and e-mails."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.items: SandboxItems = SandboxItems(project, self._lock)

    @property
    def client_user_deletion_enabled(self) -> bool:
        """Whether users may delete themselves, which a new project does not allow and a sandbox does."""
        return self._project.client_user_deletion_enabled

    @client_user_deletion_enabled.setter
    def client_user_deletion_enabled(self, is_enabled: bool) -> None:
        self._project.client_user_deletion_enabled = is_enabled

    @property
    def accepts_any_item(self) -> bool:
        """Whether the API defines an item when it is first named, for customers like the one named with it.

        A sandbox does not, so that a slip in a name is noticed; True suits a server that nobody configures.
        """
        return self._project.accepts_any_item

    @accepts_any_item.setter
    def accepts_any_item(self, accepts: bool) -> None:
        self._project.accepts_any_item = accepts

    # Items and products

    def define_item(
        self, item_id: str, *, customer_type: CustomerType = "user", display_name: str | None = None
    ) -> None:
        """Define an item, or define it anew: what customers of that type can hold a number of."""
        with self._lock:
            self._project.items.pop(item_id, None)
            define_item(self._project, item_id, customer_type, display_name)

    def define_product(
        self,
        product_id: str,
        *,
        customer_type: CustomerType = "user",
        display_name: str | None = None,
        items: Mapping[str, float | Mapping[str, Any]] | None = None,
        prices: Mapping[str, Mapping[str, Any]] | None = None,
        stackable: bool = False,
        server_only: bool = False,
    ) -> None:
        """Define a product, or define it anew; who has it already keeps it as it was.

        Args:
            items: what is included: a quantity, given once for good; or, as in the API, `quantity` with `repeat`
                (`[1, "month"]`) and `expires` (`never`, `when-purchase-expires`, `when-repeated`). Items that are not
                defined yet are defined.
            prices: as in the API, `{"monthly": {"USD": "9.99", "interval": [1, "month"]}}`. With an interval in the
                first of them the product is a subscription, which can be cancelled.
            stackable: whether a customer can have it several times.
            server_only: whether client access does not see it.
        """
        included = {
            item_id: dict(item) if isinstance(item, Mapping) else {"quantity": item}
            for item_id, item in (items or {}).items()
        }
        fields = {
            "display_name": display_name or product_id,
            "customer_type": customer_type,
            "included_items": included,
            "prices": {price_id: dict(price) for price_id, price in (prices or {}).items()},
            "stackable": stackable,
            "server_only": server_only,
        }
        with self._lock:
            for item_id in included:
                define_item(self._project, item_id, customer_type)
            self._project.products[product_id] = product_of(fields)

    def grant_product(self, product_id: str, customer: AnyUser | AnyTeam, *, quantity: int = 1) -> str:
        """Give a customer a product, with what it includes.

        Args:
            customer: a user or a team, as such or by id; any other text is a custom customer.

        Returns:
            The id of the purchase, which is that of the subscription where it is one.

        Raises:
            LookupError: no such product was defined.
            ValueError: it is for customers of another type, or it can be had only once.
        """
        with self._lock:
            product = self._project.products.get(product_id)
            if product is None:
                raise LookupError(f"This sandbox has no product {product_id!r}: define_product makes one.")
            try:
                who = customer_of(self._project, customer)
                return grant(self._project, who, product, product_id, quantity).id
            except Refusal as refusal:
                raise ValueError(refusal.reply.body.decode()) from None

    def cancel_product(self, product_id: str, customer: AnyUser | AnyTeam) -> None:
        """Take a product from a customer, bought once or subscribed to.

        Raises:
            LookupError: the customer does not have it.
        """
        with self._lock:
            who, now = customer_of(self._project, customer), self._project.now_millis()
            purchases = [
                item
                for item in self._project.purchases.values()
                if item.customer == who and item.product_id == product_id and item.is_owned(now)
            ]
            if not purchases:
                raise LookupError(f"This customer has no product {product_id!r}.")
            for purchase in purchases:
                cancel(self._project, purchase)

    # Invitations, accounts elsewhere, vault stores

    def invite(
        self, team: AnyTeam, email: str, callback_url: str = "http://localhost:3000/handler/team-invitation"
    ) -> SandboxEmail:
        """Invite an address to a team.

        Returns:
            The e-mail, which is also the last of `emails`: its `code` accepts the invitation.
        """
        with self._lock:
            invite(self._project, self._team(team), email, callback_url)
            return self._project.emails[-1]

    def connect_account(
        self,
        user: AnyUser,
        provider: str,
        *,
        account_id: str | None = None,
        email: str | None = None,
        access_token: str | None = None,
        scopes: Iterable[str] = (),
    ) -> str:
        """Connect a user with an account at an OAuth provider; a known one is told anew.

        Args:
            provider: `google`, `github` and the like.
            account_id: what the provider calls the account; a new one when None.
            access_token: what the provider gave; None for a user who has to authorise again.
            scopes: what the access token is good for.

        Returns:
            The account's id at the provider.

        Raises:
            ValueError: Hexclave knows no such provider.
        """
        if provider not in PROVIDERS:
            raise ValueError(f"No provider: {provider!r}. Use one of {', '.join(PROVIDERS)}.")
        with self._lock:
            account = add_account(
                self._project,
                self._user(user).id,
                provider,
                account_id or uuid.uuid4().hex,
                email=email,
                access_token=access_token,
                scopes=scopes,
            )
            return account.account_id

    def define_vault_store(self, store_id: str) -> None:
        """Define a store of the data vault. Until the first one is defined, whichever store is named is there."""
        with self._lock:
            self._project.accepts_any_vault_store = False
            self._project.vault_stores.setdefault(store_id, {})


def customer_of(project: Project, customer: AnyUser | AnyTeam) -> Customer:
    """Who is meant: a user, a team, or the custom customer of that name."""
    customer_id = customer if isinstance(customer, str) else customer.id
    if isinstance(customer, SandboxUser) or customer_id in project.users:
        return "user", customer_id
    if isinstance(customer, SandboxTeam) or customer_id in project.teams:
        return "team", customer_id
    return "custom", customer_id
