"""The addresses of users as contact channels: how they are found and changed (contract 4.8).

A user's primary address is part of the user, every other one is a row of `Project.contact_channels`: no fact is kept
twice. A `ContactChannel` with `is_primary` is a view of the user, made when it is asked for.
"""

from __future__ import annotations

import uuid

from ._project import Project
from ._records import ContactChannel, User

__all__ = ["channels_of", "delete_channel", "find_auth_channel", "normalize", "save_channel", "set_primary"]


def normalize(email: str) -> str:
    """An address as it is kept and compared."""
    return email.strip().lower()


def channels_of(project: Project, user: User) -> list[ContactChannel]:
    """A user's channels, oldest first."""
    channels = [item for item in project.contact_channels.values() if item.user_id == user.id]
    primary = _primary(user)
    return sorted([primary, *channels] if primary else channels, key=lambda item: item.created_at_millis)


def find_auth_channel(project: Project, email: str) -> tuple[User, ContactChannel] | None:
    """The user who signs in with an address, and its channel; None where nobody does."""
    wanted = normalize(email)
    for user in project.users.values():
        for channel in channels_of(project, user):
            if channel.used_for_auth and normalize(channel.value) == wanted:
                return user, channel
    return None


def set_primary(project: Project, user: User, channel: ContactChannel | None) -> None:
    """Make a channel the user's primary one, or none of them; what was primary stays an address of theirs.

    Args:
        user: in the project, or not yet.
    """
    old = _primary(user)
    if old and (channel is None or channel.id != old.id):
        old.is_primary = False
        project.contact_channels[old.id] = old
    if channel:
        project.contact_channels.pop(channel.id, None)
    _set_primary(user, channel)


def save_channel(project: Project, channel: ContactChannel) -> None:
    """Keep a channel that was made or changed; one that became primary takes the place of the one that was."""
    user = project.users[channel.user_id]
    if channel.is_primary:
        set_primary(project, user, channel)
        return
    if user.primary_email is not None and user.primary_channel_id == channel.id:
        _set_primary(user, None)
    project.contact_channels[channel.id] = channel


def delete_channel(project: Project, channel: ContactChannel) -> None:
    """Take an address away from its user."""
    if channel.is_primary:
        _set_primary(project.users[channel.user_id], None)
    else:
        del project.contact_channels[channel.id]


def _primary(user: User) -> ContactChannel | None:
    if user.primary_email is None:
        return None
    return ContactChannel(
        id=user.primary_channel_id,
        user_id=user.id,
        value=user.primary_email,
        created_at_millis=user.primary_channel_since or user.signed_up_at_millis,
        is_verified=user.primary_email_verified,
        used_for_auth=user.primary_email_auth_enabled,
        is_primary=True,
    )


def _set_primary(user: User, channel: ContactChannel | None) -> None:
    user.primary_email = channel.value if channel else None
    user.primary_email_verified = channel is not None and channel.is_verified
    user.primary_email_auth_enabled = channel is not None and channel.used_for_auth
    user.primary_channel_id = channel.id if channel else str(uuid.uuid4())
    user.primary_channel_since = channel.created_at_millis if channel else 0
