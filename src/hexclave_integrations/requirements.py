"""Requirements: what a route asks of its caller, as immutable values. No framework in here.

An adapter subclasses `Requirement` to make it a dependency or a decorator; `HexclaveClient.authorize` takes
the plain ones of this module.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, Self, TypeAlias, TypeVar

from ._base import strict
from ._base.guards import NotADependency, RefusesAsDependency, Unapplied, with_signature
from ._factories import (
    SELECTED_TEAM,
    RequireItem,
    RequirePermission,
    RequireProduct,
    RequireProjectPermission,
    RequireTeam,
    TeamReference,
    explained,
)
from .errors import AnonymousNotAllowed, ConfigurationError, RestrictedNotAllowed
from .user import HexclaveUser

__all__ = [
    "SELECTED_TEAM",
    "UNAPPLIED",
    "RequireItem",
    "RequirePermission",
    "RequireProduct",
    "RequireProjectPermission",
    "RequireTeam",
    "Requirement",
    "TeamReference",
    "optional_user",
    "require_api_key",
    "require_item",
    "require_permission",
    "require_product",
    "require_project_permission",
    "require_team",
    "require_user",
]


Scope: TypeAlias = Literal["user", "team", "team permission", "project permission", "api key", "item", "product"]

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PERMISSION = re.compile(r"\$?[a-z0-9_:]+")  # contract 4.3
_PAYMENT_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
_MAX_AMOUNT: Final = 2**31 - 1  # contract 4.5
_WITH_TEAM: Final = ("team", "team permission", "item", "product")

R = TypeVar("R", bound="Requirement")


class _Allow(Unapplied, Generic[R]):
    """`requirement.allow`, not yet called."""

    __slots__ = ("_requirement",)

    def __init__(self, requirement: R) -> None:
        self._requirement = requirement

    @explained
    def __call__(self, *, restricted: bool = False, anonymous: bool = False, api_key: bool = False) -> R:
        """A copy that lets more through.

        Args:
            restricted: allow restricted users.
            anonymous: allow anonymous users; implies `restricted` (contract 3.2).
            api_key: take a user's API key in place of an access token; its owner is then the user.
        """
        old = self._requirement
        return dataclasses.replace(
            old,
            restricted=old.restricted or restricted or anonymous,
            anonymous=old.anonymous or anonymous,
            api_key=old.api_key or api_key,
        )

    def _fix(self) -> str:
        return "A requirement's allow was not called. Write require_user.allow(restricted=True)."


class _Live(Unapplied, Generic[R]):
    """`requirement.live`, not yet called."""

    __slots__ = ("_requirement",)

    def __init__(self, requirement: R) -> None:
        self._requirement = requirement

    @explained
    def __call__(self) -> R:
        """A copy that asks Hexclave on every request whether user and session still exist (contract 9.20)."""
        return dataclasses.replace(self._requirement, is_live=True)

    def _fix(self) -> str:
        return "A requirement's live was not called. Write require_user.live()."


@with_signature(RefusesAsDependency("Use one of its values: require_user, require_permission(team, permission)"))
@dataclass(frozen=True, kw_only=True)
class Requirement:
    """What a caller must be or hold. Make one with the functions of this module or of an adapter.

    Attributes:
        scope: what is asked beyond the user's kind.
        optional: nobody is let through too, as None.
        restricted, anonymous: kinds let through besides regular users.
        api_key: a user's API key serves as well as an access token.
        is_live: ask Hexclave now, cache nothing.
        team: the team that the scope is about, or None.
        permission: the permission's id, or None.
        item: the id of the item that the caller, or the team, has to have some of, or None.
        amount: how much of it.
        spend: take the amount, once for a request.
        returns_on_client_error: give it back after a 4xx of the handler's own, too.
        product: the id of the product that the caller, or the team, has to have, or None.
        team_parameter: the name in a `"{name}"` team reference, or None.
        needs_server_key: whether Hexclave has to be asked on behalf of the server.
        takes_api_key: whether API keys are looked for in the request.

    Raises:
        ConfigurationError: a literal team is no UUID, an id cannot exist, an amount cannot be right, or the scope would
            ignore one.
    """

    scope: Scope = "user"
    optional: bool = False
    restricted: bool = False
    anonymous: bool = False
    api_key: bool = False
    is_live: bool = False
    team: TeamReference | None = None
    permission: str | None = None
    item: str | None = None
    amount: int = 1
    spend: bool = False
    returns_on_client_error: bool = False
    product: str | None = None
    # Worked out once: they are read on every request.
    team_parameter: str | None = field(init=False, repr=False, compare=False)
    needs_server_key: bool = field(init=False, repr=False, compare=False)
    takes_api_key: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.permission is not None and not self.scope.endswith("permission")) or (
            self.team is not None and self.scope not in _WITH_TEAM
        ):
            raise ConfigurationError(
                "A team or permission that the scope does not ask about would be ignored. "
                "Use require_permission, require_project_permission or require_team."
            )
        if self.optional and self.scope != "user":
            raise ConfigurationError("Only a user can be optional: nobody holds a permission.")
        if self.scope.endswith("permission") and not (
            isinstance(self.permission, str) and _PERMISSION.fullmatch(self.permission)
        ):
            raise ConfigurationError(
                "A permission id has lower-case letters, digits, '_' and ':' only, with '$' before Hexclave's own."
            )
        self._check_payment()
        if (self.scope.startswith("team") or self.team is not None) and not (
            self.team is SELECTED_TEAM
            or callable(self.team)
            or (isinstance(self.team, str) and (_PARAMETER.fullmatch(self.team) or strict.is_uuid(self.team)))
        ):
            raise ConfigurationError(
                'A team is a UUID, "{name}" for a route parameter, SELECTED_TEAM, or a callable taking the request.'
            )
        match = _PARAMETER.fullmatch(self.team) if isinstance(self.team, str) else None
        object.__setattr__(self, "team_parameter", match[1] if match else None)
        object.__setattr__(self, "needs_server_key", self.is_live or self.api_key or self.scope != "user")
        object.__setattr__(self, "takes_api_key", self.api_key or self.scope == "api key")

    def _check_payment(self) -> None:
        if (self.scope == "item", self.scope == "product") != (self.item is not None, self.product is not None) or (
            self.scope != "item" and (self.amount != 1 or self.spend)
        ):
            raise ConfigurationError(
                "An item or product that the scope does not ask about would be ignored. "
                "Use require_item or require_product."
            )
        for named in (self.item, self.product):
            if named is not None and not (isinstance(named, str) and _PAYMENT_ID.fullmatch(named)):
                raise ConfigurationError(
                    "The id of an item or product has letters, digits, '_' and '-' only, does not begin with '-', and "
                    "has 63 characters at most."
                )
        if isinstance(self.amount, bool) or not (isinstance(self.amount, int) and 1 <= self.amount <= _MAX_AMOUNT):
            raise ConfigurationError("The amount of an item is a whole number from 1 to 2147483647.")
        if not isinstance(self.spend, bool) or (self.returns_on_client_error and not self.spend):
            raise ConfigurationError("Only what is spent can be given back: write require_item(..., spend=True).")

    def __bool__(self) -> bool:
        """A requirement is no answer: `return require_user` in a permission class would let everybody in.

        Raises:
            NotADependency: always.
        """
        raise NotADependency("A requirement is no answer: it has to be applied to a route, or awaited with a request.")

    @property
    def allow(self) -> _Allow[Self]:
        """`.allow(restricted=True)` or `.allow(anonymous=True)`: a copy that lets those users through too."""
        return _Allow(self)

    @property
    def live(self) -> _Live[Self]:
        """`.live()`: a copy that is true only if Hexclave confirms it now."""
        return _Live(self)

    def without_spending(self) -> Self:
        """The same question, where the answer matters and nothing is served: a balance that is high enough."""
        return dataclasses.replace(self, spend=False, returns_on_client_error=False) if self.spend else self

    def check_kind(self, user: HexclaveUser) -> None:
        """Hold the kind of a user against this requirement.

        Args:
            user: who makes the request.

        Raises:
            AnonymousNotAllowed, RestrictedNotAllowed: this kind is not let through.
        """
        if user.kind == "anonymous" and not self.anonymous:
            raise AnonymousNotAllowed
        if user.kind == "restricted" and not self.restricted:
            raise RestrictedNotAllowed(details={"restricted_reason": {"type": user.restricted_reason}})

    def team_id(self, params: Mapping[str, Any], request: object, selected: str | None) -> Any:
        """Resolve the team reference; an adapter awaits the result if it is awaitable.

        Args:
            params: the route's parameters.
            request: what a callable reference is called with.
            selected: the user's selected team.

        Raises:
            ConfigurationError: the route has no parameter of that name.
        """
        if self.team is SELECTED_TEAM:
            return selected
        if isinstance(self.team, str):
            name = self.team_parameter
            if name is None:
                return self.team
            if name not in params:
                raise ConfigurationError(f'The route has no parameter "{name}", which its requirement names as team.')
            return str(params[name])  # a converter may have made it a uuid.UUID
        return self.team(request) if callable(self.team) else None


UNAPPLIED: Final = (Requirement, Unapplied)
"""What asks nobody where it stands for a function, a view or an answer: for `isinstance`."""


require_user: Final = Requirement()
"""A regular user."""

require_api_key: Final = Requirement(scope="api key")
"""A valid API key of a regular user, or of a team."""

optional_user: Final = Requirement(optional=True, restricted=True, anonymous=True)
"""Everyone; the user is None when no credentials came. Bad credentials are refused."""

require_item: Final = RequireItem(Requirement)
"""Callers who have enough of an item: `require_item("credits", 1, spend=True)`.

`client.authorize` spends and returns; nobody tells it how things ended, so giving back is up to its caller:
`client.server.items.change`.
"""

require_permission: Final = RequirePermission(Requirement)
"""Holders of a team permission: `require_permission("{team_id}", "export_reports")`."""

require_product: Final = RequireProduct(Requirement)
"""Callers who have a product, or members of a team that has it: `require_product("pro", "{team_id}")`."""

require_project_permission: Final = RequireProjectPermission(Requirement)
"""Holders of a project permission: `require_project_permission("access_admin_dashboard")`."""

require_team: Final = RequireTeam(Requirement)
"""Members of a team: `require_team("{team_id}")`."""
