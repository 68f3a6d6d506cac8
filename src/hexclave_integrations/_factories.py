"""What makes requirements where a route is written: `require_team("{team_id}")` and its kin, whatever the framework.

They stand here for `requirements.py`, which users and adapters import them from.
"""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Concatenate, Final, Generic, ParamSpec, TypeAlias, TypeVar

from ._base.guards import NotADependency, Unapplied

__all__ = [
    "SELECTED_TEAM",
    "RequireItem",
    "RequirePermission",
    "RequireProduct",
    "RequireProjectPermission",
    "RequireTeam",
    "TeamReference",
    "explained",
]

R = TypeVar("R")
P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U", bound=Unapplied)


class _SelectedTeam(enum.Enum):
    SELECTED_TEAM = "selected team"


SELECTED_TEAM: Final = _SelectedTeam.SELECTED_TEAM
"""The team the user selected: a preference, so membership or permission is checked as for any other team."""

TeamReference: TypeAlias = str | _SelectedTeam | Callable[[Any], Any]
"""A literal team id, `"{name}"` for a route parameter, `SELECTED_TEAM`, or a callable taking the request."""


def explained(method: Callable[Concatenate[U, P], T]) -> Callable[Concatenate[U, P], T]:
    """Answer a call with the wrong arguments, such as `@require_user.live` makes of a view, with what to write."""
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(self: U, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            signature.bind(self, *args, **kwargs)
        except TypeError:
            raise NotADependency(self._fix()) from None
        return method(self, *args, **kwargs)

    return call


class _Factory(Unapplied, Generic[R]):
    """A function that makes requirements of one class, and has to be called where the route is written.

    Args:
        requirement: the adapter's class of requirements.
        spelling: how the adapter's users write it, for error texts; `{}` stands for the call.
    """

    __slots__ = ("_requirement", "_spelling")

    _example: ClassVar[str]

    def __init__(self, requirement: Callable[..., R], spelling: str = "{}") -> None:
        self._requirement = requirement
        self._spelling = spelling

    def _fix(self) -> str:
        call = self._spelling.replace("{}", self._example)
        return f"A requirement was used without calling it. Write {call}."


class RequirePermission(_Factory[R]):
    """Let holders of a team permission through, directly or through another one (contract 4.3).

    Args:
        team: a team id, `"{name}"`, `SELECTED_TEAM`, or a callable taking the request.
        permission: the permission's id.

    Raises:
        ConfigurationError: neither can be right.
    """

    __slots__ = ()

    _example = 'require_permission("{team_id}", "export_reports")'

    @explained
    def __call__(self, team: TeamReference, permission: str) -> R:
        """Make the requirement; see the class."""
        return self._requirement(scope="team permission", team=team, permission=permission)


class RequireProjectPermission(_Factory[R]):
    """Let holders of a project permission through.

    Args:
        permission: the permission's id.

    Raises:
        ConfigurationError: the id cannot exist.
    """

    __slots__ = ()

    _example = 'require_project_permission("access_admin_dashboard")'

    @explained
    def __call__(self, permission: str) -> R:
        """Make the requirement; see the class."""
        return self._requirement(scope="project permission", permission=permission)


class RequireTeam(_Factory[R]):
    """Let members of a team through.

    Args:
        team: a team id, `"{name}"`, `SELECTED_TEAM`, or a callable taking the request.

    Raises:
        ConfigurationError: the reference cannot be right.
    """

    __slots__ = ()

    _example = 'require_team("{team_id}")'

    @explained
    def __call__(self, team: TeamReference) -> R:
        """Make the requirement; see the class."""
        return self._requirement(scope="team", team=team)


class RequireItem(_Factory[R]):
    """Let callers through who have enough of an item, credits for instance, and take it if asked to (contract 4.5).

    What is spent is taken before the handler runs, once for a request. It is given back if the handler raises, the
    answer has status 500 or more, or another requirement refuses the caller; on a websocket only until it is accepted.

    Args:
        item_id: the item's id.
        amount: how much of it, a whole number from 1.
        team: the team that has to have it, as for `RequirePermission`, of which the caller has to be a member; the
            caller themselves when None.
        spend: take the amount, or refuse.
        give_back_on_client_error: give it back after a 4xx of the handler's own, too.

    Raises:
        ConfigurationError: one of them cannot be right.
    """

    __slots__ = ("_spending",)

    _example = 'require_item("credits", 1)'

    def __init__(
        self, requirement: Callable[..., R], spelling: str = "{}", spending: Callable[..., R] | None = None
    ) -> None:
        super().__init__(requirement, spelling)
        self._spending = requirement if spending is None else spending

    @explained
    def __call__(
        self,
        item_id: str,
        amount: int = 1,
        *,
        team: TeamReference | None = None,
        spend: bool = False,
        give_back_on_client_error: bool = False,
    ) -> R:
        """Make the requirement; see the class."""
        kind = self._spending if spend else self._requirement
        return kind(
            scope="item",
            item=item_id,
            amount=amount,
            team=team,
            spend=spend,
            returns_on_client_error=give_back_on_client_error,
        )


class RequireProduct(_Factory[R]):
    """Let callers through who have a product, bought, subscribed to or granted (contract 4.5).

    Args:
        product_id: the product's id.
        team: the team that has to have it, as for `RequireItem`.

    Raises:
        ConfigurationError: one of them cannot be right.
    """

    __slots__ = ()

    _example = 'require_product("pro")'

    @explained
    def __call__(self, product_id: str, team: TeamReference | None = None) -> R:
        """Make the requirement; see the class."""
        return self._requirement(scope="product", product=product_id, team=team)
