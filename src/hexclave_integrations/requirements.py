"""Requirements: what a route asks of its caller, as immutable values. No framework in here.

An adapter subclasses `Requirement` to make it a dependency or a decorator; `HexclaveClient.authorize` takes
the plain ones of this module.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Concatenate, Final, Generic, Literal, ParamSpec, Self, TypeAlias, TypeVar

from ._base import strict
from ._base.guards import NotADependency, RefusesAsDependency, Unapplied
from .errors import AnonymousNotAllowed, ConfigurationError, RestrictedNotAllowed
from .user import HexclaveUser

__all__ = [
    "SELECTED_TEAM",
    "UNAPPLIED",
    "RequirePermission",
    "RequireProjectPermission",
    "RequireTeam",
    "Requirement",
    "TeamReference",
    "optional_user",
    "require_api_key",
    "require_permission",
    "require_project_permission",
    "require_team",
    "require_user",
]


class _SelectedTeam(enum.Enum):
    SELECTED_TEAM = "selected team"


SELECTED_TEAM: Final = _SelectedTeam.SELECTED_TEAM
"""The team the user selected: a preference, so membership or permission is checked as for any other team."""

TeamReference: TypeAlias = str | _SelectedTeam | Callable[[Any], Any]
"""A literal team id, `"{name}"` for a route parameter, `SELECTED_TEAM`, or a callable taking the request."""

Scope: TypeAlias = Literal["user", "team", "team permission", "project permission", "api key"]

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PERMISSION = re.compile(r"\$?[a-z0-9_:]+")  # contract 4.3

R = TypeVar("R", bound="Requirement")
P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U", bound=Unapplied)


def _explained(method: Callable[Concatenate[U, P], T]) -> Callable[Concatenate[U, P], T]:
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


class _Allow(Unapplied, Generic[R]):
    """`requirement.allow`, not yet called."""

    __slots__ = ("_requirement",)

    def __init__(self, requirement: R) -> None:
        self._requirement = requirement

    @_explained
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

    @_explained
    def __call__(self) -> R:
        """A copy that asks Hexclave on every request whether user and session still exist (contract 9.20)."""
        return dataclasses.replace(self._requirement, is_live=True)

    def _fix(self) -> str:
        return "A requirement's live was not called. Write require_user.live()."


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
        team_parameter: the name in a `"{name}"` team reference, or None.
        needs_server_key: whether Hexclave has to be asked on behalf of the server.
        takes_api_key: whether API keys are looked for in the request.

    Raises:
        ConfigurationError: a literal team is no UUID, a permission id cannot exist, or the scope would ignore one.
    """

    scope: Scope = "user"
    optional: bool = False
    restricted: bool = False
    anonymous: bool = False
    api_key: bool = False
    is_live: bool = False
    team: TeamReference | None = None
    permission: str | None = None
    # Worked out once: they are read on every request.
    team_parameter: str | None = field(init=False, repr=False, compare=False)
    needs_server_key: bool = field(init=False, repr=False, compare=False)
    takes_api_key: bool = field(init=False, repr=False, compare=False)

    __signature__ = RefusesAsDependency("Use one of its values: require_user, require_permission(team, permission)")

    def __post_init__(self) -> None:
        if (self.permission is not None and not self.scope.endswith("permission")) or (
            self.team is not None and not self.scope.startswith("team")
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
        if self.scope.startswith("team") and not (
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


class _Factory(Unapplied, Generic[R]):
    """A function that makes requirements of one class, and has to be called where the route is written.

    Args:
        requirement: the adapter's class of requirements.
        spelling: how the adapter's users write it, for error texts; `{}` stands for the call.
    """

    __slots__ = ("_requirement", "_spelling")

    _example: ClassVar[str]

    def __init__(self, requirement: type[R], spelling: str = "{}") -> None:
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

    @_explained
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

    @_explained
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

    @_explained
    def __call__(self, team: TeamReference) -> R:
        """Make the requirement; see the class."""
        return self._requirement(scope="team", team=team)


require_user: Final = Requirement()
"""A regular user."""

require_api_key: Final = Requirement(scope="api key")
"""A valid API key of a regular user, or of a team."""

optional_user: Final = Requirement(optional=True, restricted=True, anonymous=True)
"""Everyone; the user is None when no credentials came. Bad credentials are refused."""

require_permission: Final = RequirePermission(Requirement)
"""Holders of a team permission: `require_permission("{team_id}", "export_reports")`."""

require_project_permission: Final = RequireProjectPermission(Requirement)
"""Holders of a project permission: `require_project_permission("access_admin_dashboard")`."""

require_team: Final = RequireTeam(Requirement)
"""Members of a team: `require_team("{team_id}")`."""
