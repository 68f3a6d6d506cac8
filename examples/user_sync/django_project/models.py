"""The model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import models, transaction

__all__ = ["User", "UserTable"]


class User(models.Model):
    """A user, as far as this project's queries need them."""

    id: models.CharField[str, str] = models.CharField(max_length=36, primary_key=True)
    display_name: models.TextField[str | None, str | None] = models.TextField(null=True)
    primary_email: models.TextField[str | None, str | None] = models.TextField(null=True)
    is_deleted: models.BooleanField[bool, bool] = models.BooleanField(default=False)


class UserTable:
    """`steps.Table` for Django."""

    @contextmanager
    def locked(self, user_id: str) -> Iterator[User]:
        """Take the lock with an UPDATE, which SQLite knows too. Of two first deliveries one fails, and comes again."""
        with transaction.atomic():
            is_known = User.objects.filter(pk=user_id).update(id=user_id)
            user = User.objects.get(pk=user_id) if is_known else User.objects.create(pk=user_id)
            yield user
            user.save()

    def rows(self) -> Iterable[User]:
        """All rows."""
        return User.objects.all()
