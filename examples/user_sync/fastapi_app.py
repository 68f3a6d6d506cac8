"""The table in SQLAlchemy, behind FastAPI.

Set HEXCLAVE_PROJECT_ID, HEXCLAVE_SECRET_SERVER_KEY, HEXCLAVE_WEBHOOK_SECRET and DATABASE_URL, then::

    uvicorn --factory examples.user_sync.fastapi_app:create_app
    python -m examples.user_sync.fastapi_app                      # reconciles
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI
from sqlalchemy import Engine, create_engine, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hexclave_integrations import HexclaveClient
from hexclave_integrations.fastapi import webhook_router
from hexclave_integrations.webhooks import Webhooks

from .steps import connect, reconcile


class Base(DeclarativeBase):
    """The models of this application."""


class User(Base):
    """A user, as far as this application's queries need them."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(primary_key=True)
    display_name: Mapped[str | None]
    primary_email: Mapped[str | None]
    is_deleted: Mapped[bool] = mapped_column(default=False)


class UserTable:
    """`steps.Table` for SQLAlchemy."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        Base.metadata.create_all(engine)  # a project of its own has migrations

    @contextmanager
    def locked(self, user_id: str) -> Iterator[User]:
        """Take the lock with an UPDATE, which SQLite knows too. Of two first deliveries one fails, and comes again."""
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            session.execute(update(User).where(User.id == user_id).values(id=user_id))
            user = session.get(User, user_id)
            if user is None:
                user = User(id=user_id, is_deleted=False)
                session.add(user)
                session.flush()
            yield user

    def rows(self) -> list[User]:
        """All rows."""
        with Session(self._engine) as session:
            return list(session.scalars(select(User)))


def create_app(
    table: UserTable | None = None, client: HexclaveClient | None = None, webhooks: Webhooks | None = None
) -> FastAPI:
    """The application, with settings from the environment where none are given."""
    webhooks = webhooks or Webhooks()
    connect(webhooks, table or default_table(), (client or HexclaveClient()).server)
    app = FastAPI()
    app.include_router(webhook_router(webhooks, "/webhooks/hexclave"))
    return app


def default_table() -> UserTable:
    """The table of `DATABASE_URL`."""
    return UserTable(create_engine(os.environ.get("DATABASE_URL", "sqlite:///users.sqlite")))


if __name__ == "__main__":
    with HexclaveClient() as from_environment:
        print(reconcile(default_table(), from_environment.server), "users read again")
