"""`manage.py hexclave_check`: the system checks of this adapter, and whether Hexclave's keys can be had."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ... import checks
from ..._conf import installation


class Command(BaseCommand):
    """Exits with 1 when something is wrong."""

    help = "Checks the settings, the middleware and the routes; with --online also fetches the project's keys."
    requires_system_checks: list[str] = []  # noqa: RUF012  # it runs its own, and reports them all

    def add_arguments(self, parser: CommandParser) -> None:
        """Add `--online`."""
        parser.add_argument("--online", action="store_true", help="fetch the key set from Hexclave")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the checks.

        Raises:
            CommandError: one of them failed, or the keys cannot be had.
        """
        found = [*checks.check_settings(), *checks.check_middleware(), *checks.check_routes()]
        for message in found:
            self.stderr.write(str(message))
        if any(message.is_serious() for message in found):
            raise CommandError("Hexclave is not set up correctly.")
        if options["online"] and not installation().client.warm():
            raise CommandError("Hexclave gave no usable keys: see the log, HEXCLAVE_API_URL and HEXCLAVE_PROJECT_ID.")
        self.stdout.write(self.style.SUCCESS("Hexclave is set up correctly."))
