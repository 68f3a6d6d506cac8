"""`manage.py sync_users` mends what missed deliveries left behind; the first run fills the table."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from hexclave_integrations import HexclaveClient

from ....steps import reconcile
from ...models import UserTable


class Command(BaseCommand):
    """See the module."""

    help = "Hold the table of users against Hexclave's, and mend what differs."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the command."""
        with HexclaveClient() as client:
            self.stdout.write(f"{reconcile(UserTable(), client.server)} users read again")
