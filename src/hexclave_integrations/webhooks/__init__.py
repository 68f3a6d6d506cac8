"""Receive Hexclave's webhooks: verified, typed, each handled once, nothing lost.

::

    webhooks = Webhooks(secrets=["whsec_..."])

    @webhooks.on("user.created")
    def welcome(event): ...

An adapter makes the endpoint of it: `fastapi.webhook_router`, `flask.webhook_blueprint`, `django.webhook_view`.
"""

from ._delivery import Outcome
from ._endpoint import UnknownEventType, Webhooks
from ._events import (
    IssueData,
    IssueEvent,
    ProjectPermissionCreated,
    ProjectPermissionData,
    ProjectPermissionDeleted,
    TeamCreated,
    TeamData,
    TeamDeleted,
    TeamMembershipCreated,
    TeamMembershipData,
    TeamMembershipDeleted,
    TeamPermissionCreated,
    TeamPermissionData,
    TeamPermissionDeleted,
    TeamUpdated,
    TestData,
    TestEvent,
    UserCreated,
    UserData,
    UserDeleted,
    UserDeletedData,
    UserUpdated,
    WebhookData,
    WebhookEvent,
)
from ._running import Handler

__all__ = [
    "Handler",
    "IssueData",
    "IssueEvent",
    "Outcome",
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
    "UnknownEventType",
    "UserCreated",
    "UserData",
    "UserDeleted",
    "UserDeletedData",
    "UserUpdated",
    "WebhookData",
    "WebhookEvent",
    "Webhooks",
]
