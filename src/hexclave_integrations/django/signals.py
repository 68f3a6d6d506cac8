"""Signals for webhooks: one for every delivery, and one for each type that Hexclave's documents name.

::

    @receiver(user_created)
    def welcome(sender, event, **kwargs):
        Profile.objects.create(hexclave_id=event.data.id)

`webhook_view` sends them with `event`, and the event's class as sender. Receivers are treated as handlers that were
registered with `@webhooks.on("*")`: they are sync or async, run once for each delivery, and one that raises makes the
sender come back. For what must happen after the commit there is `@webhooks.on(..., after_commit=True)`.
"""

from __future__ import annotations

from typing import Final

from django.dispatch import Signal

from ..webhooks import WebhookEvent

__all__ = [
    "project_permission_created",
    "project_permission_deleted",
    "send_signals",
    "team_created",
    "team_deleted",
    "team_membership_created",
    "team_membership_deleted",
    "team_permission_created",
    "team_permission_deleted",
    "team_updated",
    "user_created",
    "user_deleted",
    "user_updated",
    "webhook_received",
]

webhook_received: Final = Signal()
"""Every delivery, those of other types included: `stack.test`, `issue.*`, and what is yet to come."""

user_created: Final = Signal()
user_updated: Final = Signal()
user_deleted: Final = Signal()
team_created: Final = Signal()
team_updated: Final = Signal()
team_deleted: Final = Signal()
team_membership_created: Final = Signal()
team_membership_deleted: Final = Signal()
team_permission_created: Final = Signal()
team_permission_deleted: Final = Signal()
project_permission_created: Final = Signal()
project_permission_deleted: Final = Signal()

_BY_TYPE: Final = {
    "user.created": user_created,
    "user.updated": user_updated,
    "user.deleted": user_deleted,
    "team.created": team_created,
    "team.updated": team_updated,
    "team.deleted": team_deleted,
    "team_membership.created": team_membership_created,
    "team_membership.deleted": team_membership_deleted,
    "team_permission.created": team_permission_created,
    "team_permission.deleted": team_permission_deleted,
    "project_permission.created": project_permission_created,
    "project_permission.deleted": project_permission_deleted,
}


def send_signals(event: WebhookEvent) -> None:
    """Send the general signal, then that of the event's type; what a receiver raises comes out.

    `webhook_view` registers this function as a handler; without that view, register it yourself.

    Args:
        event: a verified delivery.
    """
    webhook_received.send(sender=type(event), event=event)
    if event.type in _BY_TYPE:
        _BY_TYPE[event.type].send(sender=type(event), event=event)
