"""`manage.py hexclave_webhook_again`: lets deliveries that are done be handled once more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import URLPattern, get_resolver

from ...._adapter.endpoints import webhooks_of
from ....errors import WebhookInProgress, WebhookStoreUnavailable
from ....webhooks import Webhooks


class Command(BaseCommand):
    """Forgets that deliveries are done, at every endpoint of the project; exits with 1 where that could not be."""

    help = (
        "Forgets that webhook deliveries are done, so that their handlers run again when the sender repeats them "
        '("resend" in the dashboard). The ids are in the log of the time when they were handled.'
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the ids."""
        parser.add_argument("ids", nargs="+", metavar="ID", help="of a delivery, msg_...")

    def handle(self, *args: Any, **options: Any) -> None:
        """Forget the deliveries.

        Raises:
            CommandError: there is no endpoint, its memory cannot be reached from here, or a delivery was not done.
        """
        endpoints = list(dict.fromkeys(_endpoints(get_resolver())))
        if not endpoints:
            raise CommandError("No webhook_view(...) is among the URL patterns of settings.ROOT_URLCONF.")
        if any(getattr(webhooks.store, "is_local", False) for webhooks in endpoints):
            raise CommandError(
                "The deliveries are remembered in the memory of the server's processes, which no command can reach: "
                "restart them, or use DatabaseStore, RedisStore, or a cache that is shared."
            )
        failed = 0
        for delivery_id in options["ids"]:
            try:
                found = [webhooks.forget(delivery_id) for webhooks in endpoints]
            except WebhookInProgress:
                problem: str | None = "it is being handled at this moment; nothing was forgotten, try again later"
            except WebhookStoreUnavailable:
                raise CommandError("The webhook store cannot be asked now; the log says why.") from None
            else:
                problem = None if any(found) else "it is not known as done; a repetition would be handled anyway"
            if problem is None:
                self.stdout.write(f"{delivery_id}: the next repetition of it will be handled.")
            else:
                failed += 1
                self.stderr.write(f"{delivery_id}: {problem}.")
        if failed:
            raise CommandError(f"{failed} of {len(options['ids'])} deliveries were not forgotten.")


def _endpoints(resolver: Any) -> Iterator[Webhooks]:
    for item in resolver.url_patterns:
        if not isinstance(item, URLPattern):
            yield from _endpoints(item)
            continue
        view: Any = item.callback
        while view is not None:
            found = webhooks_of(view)
            if found is not None:
                yield found
            view = getattr(view, "__wrapped__", None)
