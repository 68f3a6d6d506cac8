"""The table behind `stores.DatabaseStore`; it stays empty without that store."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

__all__ = ["Delivery"]


class Delivery(models.Model):
    """A webhook delivery that somebody is working on, or that is done."""

    # A hash: ids differ in upper and lower case, which the collation of a database may not see.
    key: models.CharField[str, str] = models.CharField(max_length=64, primary_key=True)
    token: models.CharField[str, str] = models.CharField(max_length=64)
    # Epoch seconds: without USE_TZ, dates are local time, which is set back an hour once a year.
    expires_at: models.FloatField[float, float] = models.FloatField(db_index=True)
    is_done: models.BooleanField[bool, bool] = models.BooleanField(default=False)

    objects: ClassVar[models.Manager[Delivery]] = models.Manager()

    class Meta:
        default_permissions: ClassVar[tuple[str, ...]] = ()
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return self.key
