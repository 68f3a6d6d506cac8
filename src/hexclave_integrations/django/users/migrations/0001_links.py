"""The table of `HexclaveLink`."""

from collections.abc import Sequence
from typing import ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.migrations.operations.base import Operation


class Migration(migrations.Migration):
    """A row for each Hexclave user who has a row among Django's users."""

    initial: ClassVar[bool | None] = True

    dependencies: ClassVar[Sequence[tuple[str, str]]] = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations: ClassVar[Sequence[Operation]] = [
        migrations.CreateModel(
            name="HexclaveLink",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("hexclave_id", models.CharField(editable=False, max_length=36, unique=True)),
                (
                    "user",
                    models.OneToOneField(
                        editable=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="hexclave_link",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "link to a Hexclave user",
                "verbose_name_plural": "links to Hexclave users",
                "default_permissions": (),
            },
        ),
    ]
