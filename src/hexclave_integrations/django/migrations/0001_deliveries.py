"""The table of `DatabaseStore`."""

from collections.abc import Sequence
from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    """A row for each delivery that is remembered."""

    initial: ClassVar[bool | None] = True

    dependencies: ClassVar[Sequence[tuple[str, str]]] = []

    operations: ClassVar[Sequence[Operation]] = [
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("token", models.CharField(max_length=64)),
                ("expires_at", models.FloatField(db_index=True)),
                ("is_done", models.BooleanField(default=False)),
            ],
            options={"verbose_name_plural": "deliveries", "default_permissions": ()},
        ),
    ]
