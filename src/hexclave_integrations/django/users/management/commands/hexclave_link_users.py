"""`manage.py hexclave_link_users`: links rows that an older version of this package found by their user name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import router, transaction

from ....._base.strict import is_uuid
from ...models import HexclaveLink


class Command(BaseCommand):
    """Links a row where nothing speaks against this package having made it; the others it names, and exits with 1."""

    help = (
        "Links rows whose user name is a Hexclave user id, which is how they were found before, to that Hexclave user. "
        "A row that somebody may have made in another way is left alone: look at it, then name it with --row."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument("--dry-run", action="store_true", help="change nothing, only say what would be done")
        parser.add_argument(
            "--with-email", action="store_true", help="your HexclaveBackend.defaults() gives rows an e-mail address"
        )
        parser.add_argument(
            "--row", action="append", default=[], metavar="PK", help="link this row too, whatever speaks against it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Link the rows.

        Raises:
            CommandError: some rows were left alone, or a row named with --row cannot be linked.
        """
        wanted = set(options["row"])
        linked, doubtful = 0, 0
        with transaction.atomic(using=router.db_for_write(HexclaveLink)):
            for row in _candidates():
                named = str(row.pk) in wanted
                wanted.discard(str(row.pk))
                name = row.get_username()
                if HexclaveLink.objects.filter(hexclave_id=name).exists():
                    reason: str | None = "its Hexclave user has another row by now"
                else:
                    reason = None if named else _doubt(row, with_email=options["with_email"])
                if reason is not None:
                    doubtful += 1
                    self.stderr.write(f"Row {row.pk} was left alone: {reason}.")
                    continue
                linked += 1
                if not options["dry_run"]:
                    HexclaveLink.objects.create(hexclave_id=name, user=row)
            if wanted:
                raise CommandError(f"No unlinked row with a Hexclave id as its name: {', '.join(sorted(wanted))}.")
        self.stdout.write(f"{linked} rows {'would be' if options['dry_run'] else 'were'} linked.")
        if doubtful:
            raise CommandError(f"{doubtful} rows were left alone. Link those that are right with --row.")


def _candidates() -> Iterator[Any]:
    """The rows without a link whose user name is a user id."""
    rows = get_user_model()._base_manager.filter(hexclave_link__isnull=True).order_by("pk")
    for row in rows.iterator():
        if is_uuid(row.get_username()):
            yield row


def _doubt(row: Any, *, with_email: bool) -> str | None:
    """What speaks against this package having made a row: it sets no password, logs nobody in, grants nothing."""
    if row.has_usable_password():
        return "it has a password"
    if row.last_login is not None:
        return "somebody has logged in to it"
    if getattr(row, "is_staff", False) or getattr(row, "is_superuser", False):
        return "it belongs to the staff"
    if not with_email and getattr(row, "email", None):
        return "it has an e-mail address"
    return None
