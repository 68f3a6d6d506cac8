"""`HexclaveUser` as a value: what it shows, and what it keeps to itself."""

from __future__ import annotations

import copy
import dataclasses
import pickle

from fastapi.encoders import jsonable_encoder

from hexclave_integrations import HexclaveClient, HexclaveUser
from hexclave_integrations.testing import Sandbox


def fetched(sandbox: Sandbox) -> HexclaveUser:
    user = sandbox.create_user(display_name="Alice", server_metadata={"private": "note"})
    with HexclaveClient(sandbox.config) as client:
        found = client.get_user(user.id)
    assert found is not None
    return found


def test_claims_of_a_fetched_user_are_the_servers_object(hexclave_sandbox: Sandbox) -> None:
    """Server code reaches every field that Hexclave keeps."""
    assert fetched(hexclave_sandbox).claims["server_metadata"] == {"private": "note"}


def test_no_serializer_shows_the_servers_object(hexclave_sandbox: Sandbox) -> None:
    """A route that returns the user tells the browser the attributes and no more."""
    user = fetched(hexclave_sandbox)
    shown = jsonable_encoder(user)

    assert shown["display_name"] == "Alice"
    assert "private" not in repr(shown) + repr(user) + repr(dataclasses.asdict(user))


def test_copies_keep_everything(hexclave_sandbox: Sandbox) -> None:
    """A user survives pickle and copy, claims included."""
    user = fetched(hexclave_sandbox)

    for copied in (copy.copy(user), copy.deepcopy(user), pickle.loads(pickle.dumps(user))):
        assert user == copied
        assert user.claims == copied.claims


def test_replace_keeps_everything(hexclave_sandbox: Sandbox) -> None:
    """`dataclasses.replace` changes what it is told to, and what no response shows stays too."""
    user = fetched(hexclave_sandbox)
    changed = dataclasses.replace(user, display_name="Bob")

    for each in dataclasses.fields(HexclaveUser):
        expected = "Bob" if each.name == "display_name" else getattr(user, each.name)
        assert (each.name, getattr(changed, each.name)) == (each.name, expected)
