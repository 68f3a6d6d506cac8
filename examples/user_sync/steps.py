"""What is done when an event comes, and to reconcile; on any database."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from hexclave_integrations import NotFound
from hexclave_integrations.records import UserData
from hexclave_integrations.server import Server
from hexclave_integrations.webhooks import UserCreated, UserDeleted, UserUpdated, Webhooks


class Row(Protocol):
    """A user in the table; `is_deleted` marks who is gone."""

    id: str
    display_name: str | None
    primary_email: str | None
    is_deleted: bool


class Table(Protocol):
    """What a database has to do."""

    def locked(self, user_id: str) -> AbstractContextManager[Row]:
        """A row, a new one where there is none, that nobody else reads or changes until the block ends and saves it."""

    def rows(self) -> Iterable[Row]:
        """All rows."""


def connect(webhooks: Webhooks, table: Table, server: Server) -> None:
    """Keep the table in step with what deliveries tell; one that fails, for want of an answer perhaps, comes again."""

    @webhooks.on("user.created")
    def created(event: UserCreated) -> None:
        refresh(table, server, event.data.id)

    @webhooks.on("user.updated")
    def updated(event: UserUpdated) -> None:
        refresh(table, server, event.data.id)

    @webhooks.on("user.deleted")
    def deleted(event: UserDeleted) -> None:
        with table.locked(event.data.id) as row:
            write(row, None)


def refresh(table: Table, server: Server, user_id: str, *, even_if_deleted: bool = False) -> None:
    """Write down what a user is now; asked under the lock, so that no older answer is written after a newer one."""
    with table.locked(user_id) as row:
        if row.is_deleted and not even_if_deleted:
            return
        try:
            user = server.users.get(user_id)
        except NotFound:
            write(row, None)
        else:
            write(row, user)


def reconcile(table: Table, server: Server) -> int:
    """Mend what missed deliveries left behind; return how many users were read again.

    The list is only where differences are looked for: it takes a while to read, and deliveries go on meanwhile.
    """
    known = {row.id: (row.display_name, row.primary_email, row.is_deleted) for row in table.rows()}
    different = [
        user.id
        for user in server.users.list(include_anonymous=True)  # who is restricted or anonymous is not deleted
        if known.pop(user.id, None) != (user.display_name, user.primary_email, False)
    ]
    different += [user_id for user_id, (_, _, is_deleted) in known.items() if not is_deleted]
    for user_id in different:
        refresh(table, server, user_id, even_if_deleted=True)
    return len(different)


def write(row: Row, user: UserData | None) -> None:
    """Make a row say what a user is; nothing personal stays of who is deleted."""
    row.display_name = user.display_name if user else None
    row.primary_email = user.primary_email if user else None
    row.is_deleted = user is None
