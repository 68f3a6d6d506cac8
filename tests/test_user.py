"""`HexclaveUser` as a value: what it shows, and what it keeps to itself."""

import copy
import dataclasses
import inspect
import pickle
from typing import Annotated, Any
from unittest.mock import create_autospec

import msgspec
import pytest
from fastapi import Depends, FastAPI
from fastapi.encoders import jsonable_encoder

from hexclave_integrations import ConfigurationError, HexclaveApiKey, HexclaveClient, HexclaveUser
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.user import AccessToken


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

    for name in inspect.signature(HexclaveUser).parameters:
        expected = "Bob" if name == "display_name" else getattr(user, name)
        assert (name, getattr(changed, name)) == (name, expected)


def test_every_encoder_shows_the_same_fields(hexclave_sandbox: Sandbox) -> None:
    """What FastAPI, Flask and Litestar write for a user are the public fields, and nothing of claims or session."""
    user = fetched(hexclave_sandbox)
    public = {"id", "kind", "display_name", "primary_email", "primary_email_verified", "selected_team_id"}

    for shown in (jsonable_encoder(user), dataclasses.asdict(user), msgspec.to_builtins(user)):
        assert shown == {name: getattr(user, name) for name in public}
    assert {each.name for each in dataclasses.fields(HexclaveUser)} == public


@pytest.mark.parametrize("kind", [HexclaveUser, HexclaveApiKey, AccessToken])
def test_values_can_be_inspected_and_stood_in_for(kind: Any) -> None:
    """Tools that read a class find the parameters of its values, and mocks are held against them."""
    names = list(inspect.signature(kind).parameters)
    assert names == list(inspect.signature(kind.__init__).parameters)[1:]

    stand_in = create_autospec(kind)
    with pytest.raises(TypeError):
        stand_in(nonsense=1)
    for name in names:
        assert hasattr(create_autospec(kind, instance=True), name)


@pytest.mark.parametrize("kind", [HexclaveUser, HexclaveApiKey, AccessToken])
def test_values_are_no_dependencies(kind: Any) -> None:
    """FastAPI would let the caller describe themselves: the route cannot even be written."""
    app = FastAPI()

    async def view(user: Annotated[Any, Depends(kind)]) -> None:
        """Never runs."""

    with pytest.raises(ConfigurationError, match=f"{kind.__name__} is no dependency"):
        app.get("/")(view)
