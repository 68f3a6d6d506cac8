"""What was taken from customers for one request, and how much of it goes back when the request has ended. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Charge", "Customer", "Spending"]

Customer: TypeAlias = tuple[Literal["user", "team"], str]
"""The type and the id of who pays."""


@dataclass(frozen=True, slots=True)
class Charge:
    """An amount of an item that a requirement takes from a customer.

    Attributes:
        customer: who pays.
        item_id: what they pay with.
        amount: how much.
        returns_on_client_error: whether it goes back after a 4xx of the handler's own, too.
    """

    customer: Customer
    item_id: str
    amount: int
    returns_on_client_error: bool = False


class Spending:
    """The charges of one request: each is taken once, however often the request is asked for it."""

    __slots__ = ("_is_closed", "_taken")

    def __init__(self) -> None:
        self._taken: dict[Charge, object] = {}
        self._is_closed = False

    def close(self) -> None:
        """Let nothing more be taken: nobody waits for it any more."""
        self._is_closed = True

    def is_closed(self) -> bool:
        """Whether the request has ended; what is taken all the same has to go back at once."""
        return self._is_closed

    def has(self, charge: Charge) -> bool:
        """Whether it was taken for this request already."""
        return charge in self._taken

    def note(self, charge: Charge, owner: object) -> None:
        """Remember that it was taken.

        Args:
            charge: what was taken.
            owner: the state of the client that took it, and gives it back.
        """
        self._taken[charge] = owner

    def end(self, owner: object, status: int | None, *, was_refused: bool) -> list[Charge]:
        """Say what goes back now that the request has ended, and forget it, so that nothing goes back twice.

        Args:
            owner: the state of the client that is asked; what another one took is left alone.
            status: of the answer; None where there is none, because the handler raised or was cancelled.
            was_refused: whether the request was refused after the charge, so that its handler did not run.
        """
        self.close()
        mine = [charge for charge, taker in self._taken.items() if taker is owner]
        back = [charge for charge in mine if _goes_back(charge, status, was_refused=was_refused)]
        for charge in mine:
            del self._taken[charge]
        return back


def _goes_back(charge: Charge, status: int | None, *, was_refused: bool) -> bool:
    if status is None or status >= 500:
        return True
    # A refusal may be answered by a redirect to a page that sells. Behind a 2xx a handler has run all the same.
    if was_refused and status >= 300:
        return True
    return charge.returns_on_client_error and status >= 400
