"""Requirements: immutable values, validated when made, and useless unless called."""

from __future__ import annotations

import dataclasses
import inspect
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from hexclave_integrations import SELECTED_TEAM, ConfigurationError, requirements
from hexclave_integrations.requirements import (
    Requirement,
    optional_user,
    require_api_key,
    require_permission,
    require_project_permission,
    require_team,
    require_user,
)

from ._minting import TEAM

VALUES: list[Any] = [
    pytest.param(require_user, id="user"),
    pytest.param(optional_user, id="optional-user"),
    pytest.param(require_api_key, id="api-key"),
    pytest.param(require_team("{team_id}"), id="team"),
    pytest.param(require_permission(TEAM, "export_reports"), id="permission"),
    pytest.param(require_project_permission("$admin"), id="project-permission"),
]
each_value = pytest.mark.parametrize("requirement", VALUES)


def flags(requirement: Requirement) -> tuple[bool, bool, bool, bool, bool]:
    """Who is let through, and how surely."""
    return (
        requirement.optional,
        requirement.restricted,
        requirement.anonymous,
        requirement.api_key,
        requirement.is_live,
    )


@pytest.mark.parametrize(
    ("requirement", "scope", "expected"),
    [
        pytest.param(require_user, "user", (False,) * 5, id="user"),
        pytest.param(optional_user, "user", (True, True, True, False, False), id="optional-user"),
        pytest.param(require_api_key, "api key", (False,) * 5, id="api-key"),
        pytest.param(require_team(TEAM), "team", (False,) * 5, id="team"),
        pytest.param(require_permission(TEAM, "a"), "team permission", (False,) * 5, id="permission"),
        pytest.param(require_project_permission("a"), "project permission", (False,) * 5, id="project-permission"),
    ],
)
def test_by_default_only_regular_users_pass(requirement: Requirement, scope: str, expected: tuple[bool, ...]) -> None:
    """Restricted and anonymous users, API keys and nobody get in only where that is said."""
    assert (scope, expected) == (requirement.scope, flags(requirement))


@each_value
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({}, (False, False, False), id="nothing"),
        pytest.param({"restricted": True}, (True, False, False), id="restricted"),
        pytest.param({"anonymous": True}, (True, True, False), id="anonymous-implies-restricted"),
        pytest.param({"restricted": False, "anonymous": True}, (True, True, False), id="anonymous-wins"),
        pytest.param({"api_key": True}, (False, False, True), id="api-key"),
        pytest.param({"anonymous": True, "api_key": True}, (True, True, True), id="all"),
    ],
)
def test_allow_gives_a_new_value(
    requirement: Requirement, arguments: dict[str, bool], expected: tuple[bool, bool, bool]
) -> None:
    """More are let through by the copy, and nobody more by the original."""
    before = flags(requirement)

    wider = requirement.allow(**arguments)

    assert before == flags(requirement)
    assert type(requirement) is type(wider)
    old = (requirement.restricted, requirement.anonymous, requirement.api_key)
    assert tuple(a or b for a, b in zip(old, expected, strict=True)) == (
        wider.restricted,
        wider.anonymous,
        wider.api_key,
    )
    assert (requirement.scope, requirement.team, requirement.permission, requirement.is_live, requirement.optional) == (
        wider.scope,
        wider.team,
        wider.permission,
        wider.is_live,
        wider.optional,
    )


@each_value
def test_live_gives_a_new_value(requirement: Requirement) -> None:
    """The copy asks Hexclave each time; the original does not."""
    live = requirement.live()

    assert not requirement.is_live
    assert dataclasses.replace(requirement, is_live=True) == live
    assert type(requirement) is type(live)
    assert live == live.live()


def test_allow_and_live_combine_in_any_order() -> None:
    """Neither forgets the other, and `allow` never narrows."""
    one = require_user.allow(restricted=True).live()

    assert one == require_user.live().allow(restricted=True)
    assert one == one.allow(restricted=False)
    assert require_user.allow(anonymous=True) == require_user.allow(restricted=True).allow(anonymous=True)


@each_value
def test_a_requirement_is_a_frozen_value(requirement: Requirement) -> None:
    """Equal ones are equal, and none can be changed after the route was made."""
    same = dataclasses.replace(requirement)

    assert same == requirement
    assert hash(same) == hash(requirement)
    with pytest.raises(dataclasses.FrozenInstanceError):
        requirement.anonymous = True  # type: ignore[misc]  # that is the point


def test_a_subclass_keeps_its_class() -> None:
    """An adapter's requirement stays one through `allow` and `live`."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Adapted(Requirement):
        """Needs a docstring: without one `dataclass` asks the guarded class for its signature."""

    assert Adapted(restricted=True, is_live=True) == Adapted().allow(restricted=True).live()


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        pytest.param(require_user, False, id="user"),
        pytest.param(optional_user, False, id="optional-user"),
        pytest.param(require_user.allow(anonymous=True), False, id="anonymous"),
        pytest.param(require_user.live(), True, id="live"),
        pytest.param(optional_user.live(), True, id="optional-live"),
        pytest.param(require_user.allow(api_key=True), True, id="user-or-api-key"),
        pytest.param(require_api_key, True, id="api-key"),
        pytest.param(require_team(TEAM), True, id="team"),
        pytest.param(require_permission(TEAM, "a"), True, id="permission"),
        pytest.param(require_project_permission("a"), True, id="project-permission"),
    ],
)
def test_what_has_to_ask_hexclave_needs_the_server_key(requirement: Requirement, expected: bool) -> None:
    """Everything but the verification of a token is asked on behalf of the server."""
    assert expected is requirement.needs_server_key


# --- validation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "permission",
    [
        pytest.param("export_reports", id="word"),
        pytest.param("a", id="letter"),
        pytest.param("reports:export:2", id="colons-and-digits"),
        pytest.param("$invite_members", id="hexclaves-own"),
    ],
)
def test_a_permission_id_that_can_exist_is_taken(permission: str) -> None:
    """Lower-case letters, digits, underscores, colons, and `$` in front (contract 4.3)."""
    assert permission == require_permission(TEAM, permission).permission
    assert permission == require_project_permission(permission).permission


@pytest.mark.parametrize(
    "permission",
    [
        pytest.param("", id="empty"),
        pytest.param(" ", id="space"),
        pytest.param("Export", id="upper-case"),
        pytest.param("export-reports", id="dash"),
        pytest.param("export reports", id="space-inside"),
        pytest.param("export_reports\n", id="line-feed"),
        pytest.param("$", id="dollar-only"),
        pytest.param("a$b", id="dollar-inside"),
        pytest.param("$$a", id="two-dollars"),
        pytest.param("a/../b", id="path"),
        pytest.param("a&recursive=false", id="query"),
        pytest.param("é", id="not-ascii"),
        pytest.param("٣", id="foreign-digit"),
        pytest.param(None, id="none"),
        pytest.param(5, id="number"),
        pytest.param(["a"], id="list"),
        pytest.param(lambda request: "a", id="callable"),
    ],
)
def test_a_permission_id_that_cannot_exist_stops_the_start(permission: Any) -> None:
    """A typing error in an id would refuse everybody at run time."""
    with pytest.raises(ConfigurationError, match="permission id"):
        require_permission(TEAM, permission)
    with pytest.raises(ConfigurationError, match="permission id"):
        require_project_permission(permission)


def pick_team(request: object) -> str:
    """A callable reference."""
    assert request == "request"
    return TEAM


@pytest.mark.parametrize(
    ("team", "parameter", "expected"),
    [
        pytest.param(TEAM, None, TEAM, id="literal"),
        pytest.param(TEAM.upper(), None, TEAM.upper(), id="literal-upper-case"),
        pytest.param("{team_id}", "team_id", "from the route", id="parameter"),
        pytest.param("{_t1}", "_t1", "other", id="parameter-other"),
        pytest.param("{uuid}", "uuid", TEAM, id="parameter-converted"),
        pytest.param(SELECTED_TEAM, None, "the selected one", id="selected"),
        pytest.param(pick_team, None, TEAM, id="callable"),
    ],
)
def test_a_team_reference_is_resolved(team: Any, parameter: str | None, expected: str) -> None:
    """A literal as it is, a parameter from the route as text, the selected team, or what a callable answers."""
    params = {"team_id": "from the route", "_t1": "other", "uuid": uuid.UUID(TEAM)}
    for requirement in (require_team(team), require_permission(team, "a")):
        assert parameter == requirement.team_parameter
        assert expected == requirement.team_id(params, "request", "the selected one")


def test_nobody_has_selected_a_team() -> None:
    """Then there is no team to be a member of."""
    assert require_team(SELECTED_TEAM).team_id({}, None, None) is None


def test_a_missing_route_parameter_is_a_configuration_error() -> None:
    """The route is wrong, not the caller; the error names the parameter."""
    with pytest.raises(ConfigurationError, match='no parameter "team_id"'):
        require_team("{team_id}").team_id({"id": TEAM}, None, None)


@pytest.mark.parametrize(
    "team",
    [
        pytest.param("", id="empty"),
        pytest.param("team_id", id="name-without-braces"),
        pytest.param("{}", id="empty-braces"),
        pytest.param("{team-id}", id="dash"),
        pytest.param("{team id}", id="space"),
        pytest.param("{1}", id="number-in-braces"),
        pytest.param("{team_id}\n", id="line-feed"),
        pytest.param("{a}{b}", id="two"),
        pytest.param("x{team_id}", id="text-before"),
        pytest.param("{{team_id}}", id="double-braces"),
        pytest.param("<team_id>", id="angle-brackets"),
        pytest.param("{téam}", id="not-ascii"),
        pytest.param(f"{TEAM}/..", id="path"),
        pytest.param("team_123456", id="id-of-the-docs-sample"),
        pytest.param("selected team", id="name-of-the-enum"),
        pytest.param(None, id="none"),
        pytest.param(5, id="number"),
        pytest.param(uuid.UUID(TEAM), id="uuid-object"),
    ],
)
def test_a_team_reference_that_cannot_be_right_stops_the_start(team: Any) -> None:
    """A forgotten brace would refuse everybody at run time."""
    with pytest.raises(ConfigurationError, match="A team is"):
        require_team(team)
    with pytest.raises(ConfigurationError, match="A team is"):
        require_permission(team, "a")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"permission": "admin"}, id="permission-of-a-user"),
        pytest.param({"team": TEAM}, id="team-of-a-user"),
        pytest.param({"team": TEAM, "permission": "admin"}, id="both-of-a-user"),
        pytest.param({"scope": "team", "team": TEAM, "permission": "admin"}, id="permission-of-a-membership"),
        pytest.param({"scope": "project permission", "permission": "a", "team": TEAM}, id="team-of-a-project"),
        pytest.param({"scope": "api key", "permission": "admin"}, id="permission-of-an-api-key"),
    ],
)
def test_nothing_that_is_asked_for_is_ignored(arguments: dict[str, Any]) -> None:
    """`Requirement(permission="admin")` would let every user in if the scope did not ask about it."""
    with pytest.raises(ConfigurationError, match="would be ignored"):
        Requirement(**arguments)


# --- misuse -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thing", "fix"),
    [
        pytest.param(Requirement, "require_user", id="the-class"),
        pytest.param(require_permission, 'require_permission("{team_id}", "export_reports")', id="permission"),
        pytest.param(require_project_permission, "require_project_permission(", id="project-permission"),
        pytest.param(require_team, 'require_team("{team_id}")', id="team"),
        pytest.param(require_user.allow, "require_user.allow(restricted=True)", id="allow"),
        pytest.param(require_user.live, "require_user.live()", id="live"),
        pytest.param(optional_user.allow, ".allow(", id="optional-allow"),
        pytest.param(require_team(TEAM).live, ".live()", id="team-live"),
    ],
)
def test_what_was_not_called_refuses_to_be_a_dependency(thing: Callable[..., Any], fix: str) -> None:
    """FastAPI inspects its dependencies at start-up; the error then says what to write."""
    with pytest.raises(ConfigurationError) as caught:
        inspect.signature(thing)

    assert fix in str(caught.value)


def test_a_subclass_refuses_to_be_a_dependency_as_a_class() -> None:
    """The guard is inherited by every adapter's requirement."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Adapted(Requirement):
        """Needs a docstring, as above."""

        def __call__(self, request: object) -> None:
            """A dependency."""

    with pytest.raises(ConfigurationError, match="Adapted is no dependency"):
        inspect.signature(Adapted)
    assert list(inspect.signature(Adapted()).parameters) == ["request"]


@pytest.mark.parametrize("made_by", [require_user.allow, require_user.live, require_team(TEAM).live])
def test_what_was_not_called_decorates_nothing(made_by: Callable[..., Any]) -> None:
    """`@require_user.live` without parentheses is refused where it stands, and the error says what to write."""
    with pytest.raises(ConfigurationError, match=r"not called. Write require_user\.(allow|live)\("):

        @made_by
        def view() -> None:
            """Never guarded, and never there."""


def test_factories_still_show_their_documentation() -> None:
    """The guard hides the signature, not the docstring."""
    for factory in (require_permission, require_project_permission, require_team):
        assert "Raises:" in (factory.__doc__ or "")


def test_factories_take_keywords() -> None:
    """The guard passes arguments on as they are given."""
    assert require_permission(TEAM, "a") == require_permission(team=TEAM, permission="a")
    with pytest.raises(TypeError):
        require_permission(TEAM)  # type: ignore[call-arg]  # that is the point


def test_the_public_names_exist() -> None:
    """Nothing in `__all__` is missing."""
    assert all(hasattr(requirements, name) for name in requirements.__all__)
