"""`HexclaveBackend`: the row of Django's user model that stands for a Hexclave user."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from ..user import HexclaveUser
from ._conf import installation
from .users._profile import profile_of
from .users._rows import find_or_make

__all__ = ["HexclaveBackend"]


class HexclaveBackend(ModelBackend):
    """Finds or makes the row of a Hexclave user; neither a name nor an e-mail address leads to an older account.

    The row is found by the table of `hexclave_integrations.django.users`, or by a field of your own user model that
    `DJANGO_USER_FIELD` names and nobody else fills. Only regular users have rows; a row that is not active is refused.
    Other backends go on working beside it.
    """

    def authenticate(  # type: ignore[override]  # each backend takes credentials of its own
        self, request: HttpRequest | None, hexclave_user: HexclaveUser | None = None
    ) -> Any:
        """The row of a verified user, or None when they are refused.

        Args:
            request: not used.
            hexclave_user: from `request.hexclave_user` or a client, never from what callers say of themselves.

        Raises:
            ConfigurationError: the table is missing, or the field is one that people fill.
        """
        if not isinstance(hexclave_user, HexclaveUser) or not hexclave_user.is_authenticated:
            return None
        user = hexclave_user
        row = find_or_make(user.id, installation().user_field, lambda: self.defaults(user))
        return row if row is not None and self.user_can_authenticate(row) else None

    async def aauthenticate(  # type: ignore[override]  # as above
        self, request: HttpRequest | None, hexclave_user: HexclaveUser | None = None
    ) -> Any:
        """As `authenticate`, in async code."""
        return await sync_to_async(self.authenticate)(request, hexclave_user=hexclave_user)

    def defaults(self, user: HexclaveUser) -> dict[str, Any]:
        """Further fields of a new row; override it to add what your project wants to keep.

        The log-in name is made unless it is given here.
        """
        return self.profile(user)

    def profile(self, user: HexclaveUser, row: Any = None) -> dict[str, Any]:
        """The fields that follow the Hexclave user: name, and e-mail address where it is verified and nobody else's.

        A new row gets them, and with `webhook_view`, an event `user.updated` brings a row to them again. Return {} to
        leave these fields to your project.

        Args:
            user: verified.
            row: the row to keep in step; None for a new one.
        """
        return profile_of(user, row)
