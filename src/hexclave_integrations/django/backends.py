"""`HexclaveBackend`: the row of Django's user model that stands for a Hexclave user."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest

from ..user import HexclaveUser
from ._conf import installation

__all__ = ["HexclaveBackend"]

logger = logging.getLogger("hexclave_integrations")


class HexclaveBackend(ModelBackend):
    """Finds or makes a row by the Hexclave user id alone: an e-mail address proves nothing about an older account.

    Only for regular users. A row that is not active is refused, and so is one whose name is the user id and which
    somebody can log in to with a password: it was not made here. Other backends go on working beside it.
    """

    def authenticate(  # type: ignore[override]  # each backend takes credentials of its own
        self, request: HttpRequest | None, hexclave_user: HexclaveUser | None = None
    ) -> Any:
        """The row of a verified user, or None when he is refused.

        Args:
            request: not used.
            hexclave_user: from `request.hexclave_user` or a client, never from what a caller says of himself.
        """
        if not _is_regular(hexclave_user):
            return None
        row, _ = get_user_model()._default_manager.get_or_create(**self._lookup(hexclave_user))
        return self._accepted(row)

    async def aauthenticate(  # type: ignore[override]  # as above
        self, request: HttpRequest | None, hexclave_user: HexclaveUser | None = None
    ) -> Any:
        """As `authenticate`, in async code."""
        if not _is_regular(hexclave_user):
            return None
        row, _ = await get_user_model()._default_manager.aget_or_create(**self._lookup(hexclave_user))
        return self._accepted(row)

    def defaults(self, user: HexclaveUser) -> dict[str, Any]:
        """Further fields of a new row; override it to copy what your project wants to keep."""
        return {}

    def _lookup(self, user: Any) -> dict[str, Any]:
        defaults = {"password": make_password(None), **self.defaults(user)}
        return {installation().user_field: user.id, "defaults": defaults}

    def _accepted(self, row: Any) -> Any:
        if installation().user_field == row.USERNAME_FIELD and row.has_usable_password():
            logger.warning("A user row is named like a Hexclave user and has a password: it is not used for him")
            return None
        return row if self.user_can_authenticate(row) else None


def _is_regular(user: object) -> bool:
    return isinstance(user, HexclaveUser) and user.kind == "regular"
