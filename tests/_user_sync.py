"""What a table of users goes through, whichever framework keeps it; `python -m tests._user_sync` runs it on Django."""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeAlias

from examples.user_sync.steps import Row
from hexclave_integrations import HexclaveClient
from hexclave_integrations.testing import Sandbox

__all__ = ["Delivery", "Story"]

Delivery: TypeAlias = tuple[bytes, dict[str, str]]


class Story:
    """Users who come, change and go; what Hexclave would deliver of it is collected.

    Args:
        post: hands a delivery to the application; its status.
        rows: the application's table.
        reconcile: runs the command.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        post: Callable[[bytes, dict[str, str]], int],
        rows: Callable[[], Iterable[Row]],
        reconcile: Callable[[], object],
    ) -> None:
        self.random = random.Random(7)
        self.post, self.rows, self.reconcile = post, rows, reconcile
        self.sandbox = sandbox
        self.client = HexclaveClient(replace(sandbox.config, transport=None))
        self.deliveries: list[Delivery] = []
        self.alive: set[str] = set()
        self.gone: set[str] = set()
        sandbox.deliver_webhooks_to(self._collect)

    def _collect(self, body: bytes, headers: Any) -> int:
        self.deliveries.append((body, dict(headers)))
        return 200

    def live(self, steps: int) -> None:
        """Let some of everything happen."""
        users = self.client.server.users
        for number in range(steps):
            choice = self.random.choice(["create", "update", "update", "delete"]) if self.alive else "create"
            if choice == "create":
                self.alive.add(users.create(display_name=f"new {number}").id)
            else:
                user_id = self.random.choice(sorted(self.alive))
                if choice == "update":
                    users.update(user_id, display_name=f"changed {number}")
                else:
                    users.delete(user_id)
                    self.alive.remove(user_id)
                    self.gone.add(user_id)
        self.sandbox.flush_webhooks()

    def deliver(self, keep: float = 1.0) -> None:
        """Hand over what was collected: in any order, some of it twice, and only a part of it.

        Svix repeats a delivery under its id, which runs no handler again; Hexclave may send one anew.
        """
        chosen = [each for each in self.deliveries if self.random.random() < keep]
        again = [json.loads(body) for body, _ in self.random.sample(chosen, len(chosen) // 3)]
        chosen += self.random.sample(chosen, len(chosen) // 3)
        chosen += [self.sandbox.webhook(event["type"], event["data"]) for event in again]
        self.random.shuffle(chosen)
        self.deliveries.clear()
        for body, headers in chosen:
            assert self.post(body, headers) == 200

    def check(self) -> None:
        """The table says what Hexclave says, and of who is gone only that."""
        listed = self.client.server.users.list(include_anonymous=True)
        truth = {user.id: (user.display_name, user.primary_email) for user in listed}
        rows = list(self.rows())
        assert {row.id: (row.display_name, row.primary_email) for row in rows if not row.is_deleted} == truth
        assert {row.id for row in rows if row.is_deleted} <= self.gone
        assert {(row.display_name, row.primary_email) for row in rows if row.is_deleted} <= {(None, None)}

    def tell(self) -> None:
        """The whole story."""
        self.sandbox.create_user("anonymous")
        self.sandbox.create_user("restricted")
        self.reconcile()  # who was there before the first delivery
        self.check()
        for _ in range(3):  # nothing is lost: no reconciliation is needed
            self.live(12)
            self.deliver()
            self.check()
        self.live(12)
        late, self.deliveries[:] = list(self.deliveries), []  # overtaken by all that happens meanwhile
        self.live(12)
        self.deliver()
        self.deliveries += late
        self.deliver()
        self.check()
        self.live(25)
        self.deliver(keep=0.4)
        self.live(5)
        self.deliveries.clear()
        self.reconcile()
        self.check()
        self.client.close()


def main() -> None:
    """Tell the story to the Django project."""
    sandbox = Sandbox()
    with sandbox.serve() as url:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "examples.user_sync.django_project.settings",
            "HEXCLAVE_PROJECT_ID": sandbox.config.project_id,
            "HEXCLAVE_API_URL": url,
            "HEXCLAVE_SECRET_SERVER_KEY": str(sandbox.config.secret_server_key),
            "HEXCLAVE_WEBHOOK_SECRET": sandbox.config.webhook_secrets[0],
        }
        import django

        django.setup()
        from django.core.management import call_command
        from django.test import Client

        from examples.user_sync.django_project.models import User

        call_command("migrate", run_syncdb=True, verbosity=0)
        browser = Client(SERVER_NAME="localhost")

        def post(body: bytes, headers: dict[str, str]) -> int:
            rest = {name: value for name, value in headers.items() if name != "content-type"}
            return browser.post("/webhooks/hexclave", body, "application/json", headers=rest).status_code

        Story(sandbox, post, User.objects.all, lambda: call_command("sync_users", stdout=io.StringIO())).tell()
    print("equal")


if __name__ == "__main__":
    main()
