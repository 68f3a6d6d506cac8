"""`manage.py hexclave_check`: the system checks of this adapter, and with `--online` what `hexclave check` looks at."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...._adapter.check import check
from ... import checks
from ..._conf import installation


class Command(BaseCommand):
    """Exits with 1 when something is wrong."""

    help = "Checks the settings, the middleware and the routes; with --online also asks Hexclave, Redis and the clock."
    requires_system_checks: list[str] = []  # noqa: RUF012  # it runs its own, and reports them all

    def add_arguments(self, parser: CommandParser) -> None:
        """Add `--online`."""
        parser.add_argument(
            "--online", action="store_true", help="ask Hexclave, Redis and the clock, as `hexclave check` does"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the checks.

        Raises:
            CommandError: one of them failed, or what the settings lead to is not as it should be.
        """
        found = [*checks.check_settings(), *checks.check_middleware(), *checks.check_routes()]
        for message in found:
            self.stderr.write(str(message))
        if any(message.is_serious() for message in found):
            raise CommandError("Hexclave is not set up correctly.")
        wrong = []
        for finding in check(installation().config) if options["online"] else ():
            self.stdout.write(str(finding))
            wrong += [finding.what] if finding.state == "wrong" else []
        if "project" in wrong:
            raise CommandError("Hexclave gave no usable keys: see above, HEXCLAVE_API_URL and HEXCLAVE_PROJECT_ID.")
        if wrong:
            raise CommandError(f"Hexclave is not set up correctly: {', '.join(wrong)}.")
        self.stdout.write(self.style.SUCCESS("Hexclave is set up correctly."))
