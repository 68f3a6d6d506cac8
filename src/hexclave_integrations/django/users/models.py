"""The table that links Hexclave users to rows of Django's user model."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models

__all__ = ["HexclaveLink"]


class HexclaveLink(models.Model):
    """One Hexclave user and the one row that stands for them.

    Only this package writes it, so no sign-up form or profile page can claim somebody else's Hexclave id. The link
    goes when the row is deleted.
    """

    hexclave_id: models.CharField[str, str] = models.CharField(max_length=36, unique=True, editable=False)
    user: models.OneToOneField[Any, Any] = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="hexclave_link", editable=False
    )

    objects: ClassVar[models.Manager[HexclaveLink]] = models.Manager()

    class Meta:
        default_permissions: ClassVar[tuple[str, ...]] = ()
        verbose_name = "link to a Hexclave user"
        verbose_name_plural = "links to Hexclave users"

    def __str__(self) -> str:
        return f"link of row {self.user_id}"  # type: ignore[attr-defined]  # Django adds the column's name
