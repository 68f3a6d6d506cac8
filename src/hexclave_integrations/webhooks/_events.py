"""Typed events: what Hexclave tells an application (contract section 6).

A new type or a new field of Hexclave's is no error: unknown types arrive as plain `WebhookEvent`, and every object
keeps the fields it was made from, as a mapping, so that `event.data["anything"]` works as well as `event.data.id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..records import Record, TeamData, TeamMembershipData, UserData

__all__ = [
    "IssueData",
    "IssueEvent",
    "ProjectPermissionCreated",
    "ProjectPermissionData",
    "ProjectPermissionDeleted",
    "TeamCreated",
    "TeamData",
    "TeamDeleted",
    "TeamMembershipCreated",
    "TeamMembershipData",
    "TeamMembershipDeleted",
    "TeamPermissionCreated",
    "TeamPermissionData",
    "TeamPermissionDeleted",
    "TeamUpdated",
    "TestData",
    "TestEvent",
    "UserCreated",
    "UserData",
    "UserDeleted",
    "UserDeletedData",
    "UserUpdated",
    "WebhookData",
    "WebhookEvent",
    "read_event",
]


WebhookData = Record
"""The object an event is about; its attributes are the known fields, its items all fields as they came."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class UserDeletedData(WebhookData):
    """A user who is gone, and the teams they were in."""

    id: str
    teams: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TeamPermissionData(WebhookData):
    """A permission, `id`, of a user in a team."""

    id: str
    team_id: str
    user_id: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ProjectPermissionData(WebhookData):
    """A permission, `id`, of a user in the project."""

    id: str
    user_id: str


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TestData(WebhookData):
    """What the dashboard's test button sends."""

    __test__ = False  # no test class, whatever pytest thinks of the name

    message: str | None = None
    endpointUrl: str | None = None  # noqa: N815  # as it is spelled on the wire


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class IssueData(WebhookData):
    """An issue of the project's observability (newer servers only)."""

    id: str
    short_id: str | None = None
    type: str | None = None
    value: str | None = None
    culprit: str | None = None
    level: str | None = None
    status: str | None = None
    substatus: str | None = None
    first_seen_at_millis: int | None = None
    last_seen_at_millis: int | None = None
    times_seen: str | None = None
    service_name: str | None = None
    environment: str | None = None
    release: str | None = None
    url: str | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class WebhookEvent:
    """Something that happened; a verified delivery.

    Attributes:
        id: of the delivery; the same in every repetition, so it serves as idempotency key.
        type: `user.created` and the like.
        data: the object it is about; of an unknown type, where that is no object, the value as it came.
        timestamp: when this delivery was sent; no order among events follows from it.
        body: the bytes that were signed.
    """

    id: str
    type: str
    data: Any
    timestamp: datetime
    body: bytes = field(default=b"", compare=False)

    def __repr__(self) -> str:
        """What tells deliveries apart, and nothing of the person that one is about."""
        return f"{type(self).__name__}(id={self.id!r}, type={self.type!r}, timestamp={self.timestamp.isoformat()!r})"


@dataclass(frozen=True, kw_only=True, repr=False)
class UserCreated(WebhookEvent):
    """A user signed up, anonymous ones included."""

    data: UserData


@dataclass(frozen=True, kw_only=True, repr=False)
class UserUpdated(WebhookEvent):
    """A user was changed, or saved without a change."""

    data: UserData


@dataclass(frozen=True, kw_only=True, repr=False)
class UserDeleted(WebhookEvent):
    """A user is gone; one `team_membership.deleted` comes for each of their teams as well."""

    data: UserDeletedData


@dataclass(frozen=True, kw_only=True, repr=False)
class TeamCreated(WebhookEvent):
    """A team was made; its creator's membership is not told separately."""

    data: TeamData


@dataclass(frozen=True, kw_only=True, repr=False)
class TeamUpdated(WebhookEvent):
    """A team was changed."""

    data: TeamData


@dataclass(frozen=True, kw_only=True, repr=False)
class TeamDeleted(WebhookEvent):
    """A team is gone, and all memberships and permissions in it, which are not told separately."""

    data: TeamData


@dataclass(frozen=True, kw_only=True, repr=False)
class TeamMembershipCreated(WebhookEvent):
    """A user joined a team."""

    data: TeamMembershipData


@dataclass(frozen=True, kw_only=True, repr=False)
class TeamMembershipDeleted(WebhookEvent):
    """A user left a team; their permissions in it went too and are not told separately."""

    data: TeamMembershipData


@dataclass(frozen=True, kw_only=True, repr=False)
class TeamPermissionCreated(WebhookEvent):
    """A user was granted a permission in a team, or once more."""

    data: TeamPermissionData


@dataclass(frozen=True, kw_only=True, repr=False)
class TeamPermissionDeleted(WebhookEvent):
    """A user lost a permission in a team, and what only it contained."""

    data: TeamPermissionData


@dataclass(frozen=True, kw_only=True, repr=False)
class ProjectPermissionCreated(WebhookEvent):
    """A user was granted a project permission, or once more."""

    data: ProjectPermissionData


@dataclass(frozen=True, kw_only=True, repr=False)
class ProjectPermissionDeleted(WebhookEvent):
    """A user lost a project permission, and what only it contained."""

    data: ProjectPermissionData


@dataclass(frozen=True, kw_only=True, repr=False)
class TestEvent(WebhookEvent):
    """Somebody pressed the dashboard's test button."""

    __test__ = False

    data: TestData


@dataclass(frozen=True, kw_only=True, repr=False)
class IssueEvent(WebhookEvent):
    """An issue was created, regressed, resolved, ignored or merged: `type` says which."""

    data: IssueData


_TYPES: dict[str, tuple[type[WebhookEvent], type[WebhookData]]] = {
    "user.created": (UserCreated, UserData),
    "user.updated": (UserUpdated, UserData),
    "user.deleted": (UserDeleted, UserDeletedData),
    "team.created": (TeamCreated, TeamData),
    "team.updated": (TeamUpdated, TeamData),
    "team.deleted": (TeamDeleted, TeamData),
    "team_membership.created": (TeamMembershipCreated, TeamMembershipData),
    "team_membership.deleted": (TeamMembershipDeleted, TeamMembershipData),
    "team_permission.created": (TeamPermissionCreated, TeamPermissionData),
    "team_permission.deleted": (TeamPermissionDeleted, TeamPermissionData),
    "project_permission.created": (ProjectPermissionCreated, ProjectPermissionData),
    "project_permission.deleted": (ProjectPermissionDeleted, ProjectPermissionData),
    "stack.test": (TestEvent, TestData),
    **{f"issue.{what}": (IssueEvent, IssueData) for what in ("created", "regressed", "resolved", "ignored", "merged")},
}

KNOWN_TYPES = tuple(_TYPES)


def read_event(payload: Mapping[str, Any], *, delivery_id: str, timestamp: int, body: bytes) -> WebhookEvent:
    """Make the typed event of a verified body.

    Args:
        payload: the body, parsed.
        timestamp: epoch seconds from the delivery's header.

    Raises:
        ValueError: it has no type or no data, or a known type has no data object or lacks an id.
    """
    kind = payload.get("type")
    if not isinstance(kind, str) or not kind or "data" not in payload:
        raise ValueError("not an event")
    data = payload["data"]
    event_class, data_class = _TYPES.get(kind, (WebhookEvent, WebhookData))
    if not isinstance(data, dict) and kind in _TYPES:
        raise ValueError("not an event")
    return event_class(
        id=delivery_id,
        type=kind,
        data=data_class.read(data) if isinstance(data, dict) else data,
        timestamp=datetime.fromtimestamp(timestamp, UTC),
        body=body,
    )
