"""Rows of Django's users that know how their Hexclave user is called, and no address that is not proved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ._django import World, ask, database

# isort: split
from django.contrib.auth import get_user_model
from django.http import JsonResponse
from django.test import Client
from django.urls import path

from hexclave_integrations.django import require_user, webhook_view
from hexclave_integrations.django.backends import HexclaveBackend
from hexclave_integrations.webhooks import Webhooks

BRIDGE: dict[str, Any] = {
    "AUTHENTICATION_BACKENDS": ["hexclave_integrations.django.backends.HexclaveBackend"],
    "hexclave": {"DJANGO_USERS": True},
}


class OwnNames(HexclaveBackend):
    """A project that keeps names and addresses itself."""

    def profile(self, user: Any, row: Any = None) -> dict[str, Any]:
        return {}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def rows() -> Iterator[Any]:
    with database():
        yield get_user_model()._default_manager


@require_user
def show(request: Any) -> JsonResponse:
    row = request.user
    return JsonResponse({"pk": row.pk, "name": row.get_full_name(), "first": row.first_name, "email": row.email})


def seen(world: World, user: Any, **settings: Any) -> dict[str, Any]:
    """A request of a user, and what their row says."""
    with world.settings(path("", show), **{**BRIDGE, **settings}):
        found: dict[str, Any] = ask("wsgi", "/", world.headers(user), raises=True).json()
        return found


def deliver(world: World, **data: Any) -> int:
    """An event `user.updated`, and the status of its answer."""
    webhooks = Webhooks(secrets=world.sandbox.config.webhook_secrets)
    body, headers = world.sandbox.webhook("user.updated", data)
    with world.settings(path("hook", webhook_view(webhooks)), **BRIDGE):
        client = Client()
        return client.post("/hook", body, content_type="application/json", headers=headers).status_code


def person(world: World, name: str | None, email: str | None, *, verified: bool = True) -> Any:
    return world.sandbox.create_user(display_name=name, primary_email=email, primary_email_verified=verified)


def test_a_new_row_is_filled(world: World, rows: Any) -> None:
    """Name and verified address, so that `get_full_name()` and `email` say what people expect."""
    found = seen(world, person(world, "Ada King Lovelace", "ada@example.com"))
    assert (found["name"], found["first"], found["email"]) == ("Ada King Lovelace", "Ada", "ada@example.com")
    assert seen(world, person(world, None, None))["name"] == ""
    long = seen(world, person(world, "x" * 400, "ada2@example.com"))
    assert len(long["first"]) == 150  # as Django's own user model has it


def test_an_address_without_a_proof_is_not_filled(world: World, rows: Any) -> None:
    """Whoever types in the address of somebody else gets a row without one."""
    assert seen(world, person(world, "Mallory", "victim@example.com", verified=False))["email"] == ""


def test_an_address_of_another_row_is_not_filled(world: World, rows: Any) -> None:
    """Nobody becomes another user by their address: the older row keeps it, and stays apart."""
    older = rows.create_user("older", "Ada@Example.com", "secret")
    found = seen(world, person(world, "Ada", "ada@example.com"))
    assert (found["email"], found["pk"] == older.pk) == ("", False)
    older.refresh_from_db()
    assert (older.email, older.first_name) == ("Ada@example.com", "")


def test_a_row_is_kept_in_step(world: World, rows: Any) -> None:
    """An event brings name and address to what they are now; an address that is not proved any more is emptied."""
    ada = person(world, "Ada Byron", "ada@example.com")
    seen(world, ada)
    changed = {"id": ada.id, "display_name": "Ada Lovelace", "primary_email": "new@example.com"}

    assert deliver(world, **changed, primary_email_verified=True) == 200
    row = rows.get()
    assert (row.get_full_name(), row.email) == ("Ada Lovelace", "new@example.com")
    assert deliver(world, **changed, primary_email_verified=False) == 200
    assert rows.get().email == ""
    rows.create_user("older", "taken@example.com")
    assert deliver(world, **{**changed, "primary_email": "taken@example.com"}, primary_email_verified=True) == 200
    assert rows.get(pk=row.pk).email == ""


def test_an_event_about_somebody_else_changes_no_row(world: World, rows: Any) -> None:
    """Only a linked row follows, neither one of the same address nor one that is named with the id."""
    bob = person(world, "Bob", "bob@example.com")
    rows.create_user("bob", "bob@example.com", first_name="Robert")
    rows.create_user(bob.id, "x@example.com", first_name="Nobody")
    data = {"id": bob.id, "display_name": "Mallory", "primary_email": "bob@example.com"}

    assert deliver(world, **data, primary_email_verified=True) == 200
    assert sorted(rows.values_list("first_name", flat=True)) == ["Nobody", "Robert"]


def test_a_project_may_keep_names_itself(world: World, rows: Any) -> None:
    """Its backend gives no profile."""
    backends = [f"{__name__}.OwnNames"]
    assert seen(world, person(world, "Ada", "ada@example.com"), AUTHENTICATION_BACKENDS=backends)["name"] == ""
