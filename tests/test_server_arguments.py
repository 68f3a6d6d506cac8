"""What is wrong with a call of the server's own is said before anything is sent, in both colours."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeAlias

import pytest

from hexclave_integrations import ConfigurationError, HexclaveError, InvalidArgument
from hexclave_integrations.testing import Sandbox

from ._server_calls import COLOURS, Calls

ID = "3241a285-8329-4d69-8f3d-316e08cf140c"
Operation: TypeAlias = Callable[[Any, Any], Any]

HOSTILE = {
    "empty": "",
    "parent": "..",
    "here": ".",
    "path": "../../users",
    "path in an id": f"{ID}/../x",
    "backslash": "..\\x",
    "query": f"{ID}?limit=1",
    "fragment": f"{ID}#x",
    "NUL": f"{ID}\0",
    "line": f"{ID}\r\nx-evil: 1",
    "line at the end": f"{ID}\n",
    "escape": "%2e%2e%2fusers",
    "escaped NUL": "%00",
    "letters": "useré",
    "digits": "٣241a285-8329-4d69-8f3d-316e08cf140c",
    "wide": "\uff0e\uff0e\uff0fusers",
    "half a character": "\ud800",
    "space": f" {ID}",
    "long": "a" * 10_000,
    "number": 7,
    "nothing": None,
    "bytes": ID.encode(),
    "list": [ID],
}

# Each place of an id, with everything else right.
IDS: dict[str, Operation] = {
    "users.get": lambda s, v: s.users.get(v),
    "users.update": lambda s, v: s.users.update(v, display_name="x"),
    "users.delete": lambda s, v: s.users.delete(v),
    "teams.get": lambda s, v: s.teams.get(v),
    "teams.update": lambda s, v: s.teams.update(v, display_name="x"),
    "teams.delete": lambda s, v: s.teams.delete(v),
    "teams.members": lambda s, v: s.teams.members(v),
    "teams.add_member team": lambda s, v: s.teams.add_member(v, ID),
    "teams.add_member user": lambda s, v: s.teams.add_member(ID, v),
    "teams.remove_member team": lambda s, v: s.teams.remove_member(v, ID),
    "teams.remove_member user": lambda s, v: s.teams.remove_member(ID, v),
    "teams.invite": lambda s, v: s.teams.invite(v, "a@example.com", "https://example.com"),
    "teams.invitations": lambda s, v: s.teams.invitations(v),
    "permissions.grant user": lambda s, v: s.permissions.grant(v, "read", ID),
    "permissions.revoke user": lambda s, v: s.permissions.revoke(v, "read", ID),
    "api_keys.revoke": lambda s, v: s.api_keys.revoke(v, user_id=ID),
    "sessions.create": lambda s, v: s.sessions.create(v),
    "sessions.list": lambda s, v: s.sessions.list(v),
    "sessions.revoke session": lambda s, v: s.sessions.revoke(v, ID),
    "sessions.revoke user": lambda s, v: s.sessions.revoke(ID, v),
    "emails.send": lambda s, v: s.emails.send(user_ids=[ID, v], html="x"),
    "connected_accounts.list": lambda s, v: s.connected_accounts.list(v),
    "connected_accounts.access_token": lambda s, v: s.connected_accounts.access_token(v, "github"),
    "permissions.grant": lambda s, v: s.permissions.grant(ID, v),
    "permissions.revoke": lambda s, v: s.permissions.revoke(ID, v, ID),
    "items.get": lambda s, v: s.items.get(v, user_id=ID),
    "items.change": lambda s, v: s.items.change(v, 1, user_id=ID),
    "items.try_spend": lambda s, v: s.items.try_spend(v, 1, user_id=ID),
    "products.grant": lambda s, v: s.products.grant(v, user_id=ID),
    "products.cancel": lambda s, v: s.products.cancel(v, user_id=ID),
    "products.checkout_url": lambda s, v: s.products.checkout_url(v, user_id=ID),
    "provider": lambda s, v: s.connected_accounts.access_token(ID, v),
    "vault": lambda s, v: s.vault(v, "secret").get("key"),
}
# Where None means that it was not given.
OPTIONAL: dict[str, Operation] = {
    "users.list": lambda s, v: s.users.list(team_id=v),
    "teams.list": lambda s, v: s.teams.list(user_id=v),
    "permissions.grant team": lambda s, v: s.permissions.grant(ID, "read", v),
    "permissions.revoke team": lambda s, v: s.permissions.revoke(ID, "read", v),
    "api_keys.create user": lambda s, v: s.api_keys.create("x", user_id=v),
    "api_keys.create team": lambda s, v: s.api_keys.create("x", team_id=v),
    "api_keys.list": lambda s, v: s.api_keys.list(user_id=v),
    "api_keys.revoke owner": lambda s, v: s.api_keys.revoke(ID, team_id=v),
    "items.get user": lambda s, v: s.items.get("credits", user_id=v),
    "items.get team": lambda s, v: s.items.get("credits", team_id=v),
    "items.get custom": lambda s, v: s.items.get("credits", custom_id=v),
    "products.list custom": lambda s, v: s.products.list(custom_id=v),
    "products.checkout_url custom": lambda s, v: s.products.checkout_url("pro", custom_id=v),
    "account": lambda s, v: s.connected_accounts.access_token(ID, "github", account_id=v),
    "users.update team": lambda s, v: s.users.update(ID, selected_team_id=v),
}
CUSTOM = {"items.get custom", "products.list custom", "products.checkout_url custom", "account"}


@pytest.fixture(params=COLOURS)
def calls(request: pytest.FixtureRequest, hexclave_sandbox: Sandbox) -> Calls:
    return Calls(request.param, hexclave_sandbox.config)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_id_is_never_sent(calls: Calls, hexclave_sandbox: Sandbox, value: Any) -> None:
    """Wherever an id belongs, what is none is refused here, and the message does not repeat it."""
    for name, operation in (IDS | (OPTIONAL if value is not None else {})).items():
        with pytest.raises(InvalidArgument) as caught:
            calls.do(operation, value)
        assert isinstance(caught.value, HexclaveError)
        assert isinstance(caught.value, ValueError)
        assert not isinstance(value, str) or len(value) < 3 or value not in str(caught.value), name

    assert list(hexclave_sandbox.requests) == []


NAMES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a misspelt field": (lambda s: s.users.update(ID, dispaly_name="x"), "display_name"),
    "a misspelt field of a new user": (lambda s: s.users.create(primary_mail="x"), "primary_email"),
    "a misspelt field of a team": (lambda s: s.teams.update(ID, displayname="x"), "display_name"),
    "a field of something else": (lambda s: s.teams.update(ID, creator_user_id=ID), "there are"),
    "a field that may only be changed": (lambda s: s.users.create(selected_team_id=ID), "field"),
    "a team without a name": (lambda s: s.teams.create(), "display_name"),
    "no owner": (lambda s: s.api_keys.create("x"), "exactly one"),
    "two owners": (lambda s: s.api_keys.list(user_id=ID, team_id=ID), "exactly one"),
    "no customer": (lambda s: s.items.get("credits"), "exactly one"),
    "two customers": (lambda s: s.products.list(user_id=ID, custom_id="x"), "exactly one"),
    "no recipient": (lambda s: s.emails.send(html="x"), "exactly one"),
    "everybody and somebody": (lambda s: s.emails.send(user_ids=[ID], all_users=True, html="x"), "exactly one"),
    "no content": (lambda s: s.emails.send(user_ids=[ID]), "exactly one"),
    "two contents": (lambda s: s.emails.send(user_ids=[ID], html="x", template_id=ID), "exactly one"),
    "variables of nothing": (lambda s: s.emails.send(user_ids=[ID], html="x", variables={}), "template_id"),
    "an argument that there is not": (lambda s: s.users.get(ID, fresh=True), "fresh"),
    "an argument too few": (lambda s: s.users.get(), "user_id"),
}


@pytest.mark.parametrize(("call", "hint"), NAMES.values(), ids=NAMES)
def test_a_wrong_name_is_a_type_error(
    calls: Calls, hexclave_sandbox: Sandbox, call: Callable[[Any], Any], hint: str
) -> None:
    """As for any Python function; a misspelt field is told the nearest one."""
    with pytest.raises(TypeError, match=hint):
        calls.do(call)

    assert list(hexclave_sandbox.requests) == []


deep: Any = []
for _ in range(100_000):
    deep = [deep]

VALUES: dict[str, Callable[[Any], Any]] = {
    "half a character": lambda s: s.users.create(display_name="\ud800"),
    "NUL": lambda s: s.users.create(display_name="a\0b"),
    "NUL behind backslashes": lambda s: s.users.create(server_metadata={"a": ["\\\\\0"]}),
    "NUL in a key": lambda s: s.users.create(server_metadata={"\0": 1}),
    "not a number": lambda s: s.users.update(ID, server_metadata=math.nan),
    "infinity": lambda s: s.users.update(ID, server_metadata=[math.inf]),
    "no JSON": lambda s: s.users.update(ID, server_metadata=object()),
    "bottomless": lambda s: s.users.update(ID, server_metadata=deep),
    "no text": lambda s: s.api_keys.create(7, user_id=ID),
    "an empty text": lambda s: s.api_keys.create("", user_id=ID),
    "NUL in a query": lambda s: s.users.list(query="\0"),
    "an empty query": lambda s: s.users.list(query=""),
    "no moment": lambda s: s.api_keys.create("x", user_id=ID, expires_at=1_800_000_000),
    "a moment without a zone": lambda s: s.api_keys.create(
        "x",
        user_id=ID,
        expires_at=datetime(2030, 1, 1),  # what it is about
    ),
    "no length of time": lambda s: s.sessions.create(ID, expires_in="1h"),
    "no time": lambda s: s.sessions.create(ID, expires_in=0),
    "not a time": lambda s: s.sessions.create(ID, expires_in=math.nan),
    "too long": lambda s: s.sessions.create(ID, expires_in=timedelta(days=368)),
    "less than nothing": lambda s: s.items.try_spend("credits", -1, user_id=ID),
    "nothing": lambda s: s.items.try_spend("credits", 0, user_id=ID),
    "a truth": lambda s: s.items.try_spend("credits", True, user_id=ID),
    "a part": lambda s: s.items.change("credits", 0.5, user_id=ID),
    "too much": lambda s: s.items.change("credits", 2**31, user_id=ID),
    "no product": lambda s: s.products.grant("pro", user_id=ID, quantity=0),
    "one text for a list": lambda s: s.emails.send(user_ids=ID, html="x"),
    "nobody": lambda s: s.emails.send(user_ids=[], html="x"),
    "one scope for a list": lambda s: s.connected_accounts.access_token(ID, "github", "repo"),
    "a large value": lambda s: s.vault("store", "secret").set("key", "é" * 300_000),
    "no value": lambda s: s.vault("store", "secret").set("key", None),
    "no key": lambda s: s.vault("store", "secret").get(7),
    "half a key": lambda s: s.vault("store", "secret").get("\ud800"),
}


@pytest.mark.parametrize("call", VALUES.values(), ids=VALUES)
def test_a_wrong_value_is_never_sent(calls: Calls, hexclave_sandbox: Sandbox, call: Callable[[Any], Any]) -> None:
    """What could not arrive, or not as it was meant, is refused here."""
    with pytest.raises(InvalidArgument):
        calls.do(call)

    assert list(hexclave_sandbox.requests) == []


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "a\\u0000b", 'é"日\n\t\x7f 🎉', "\u2028"])
def test_a_text_arrives_as_it_is(calls: Calls, text: str) -> None:
    """A text that only looks like an escape is one like any other."""
    made = calls.do(lambda server: server.users.create(display_name=text, server_metadata={text: text}))

    assert (made.display_name, made.server_metadata) == (text, {text: text})


@pytest.mark.parametrize("name", ["a@b.c", "x:y|z", "..a", "a..", "~", "a+b=c&d"])
def test_a_custom_customer_arrives_as_it_is(calls: Calls, hexclave_sandbox: Sandbox, name: str) -> None:
    """Whatever an application calls one, as far as a path can carry it."""
    hexclave_sandbox.define_item("credits", customer_type="custom")
    calls.do(lambda server: server.items.change("credits", 2, custom_id=name))

    assert hexclave_sandbox.items.get("credits", name) == 2


@pytest.mark.parametrize("name", IDS | OPTIONAL)
@pytest.mark.parametrize("colour", COLOURS)
def test_without_a_server_key(hexclave_sandbox: Sandbox, colour: str, name: str) -> None:
    """A missing key is an error of the configuration, whatever is asked."""
    calls = Calls(colour, replace(hexclave_sandbox.config, secret_server_key=None))
    operation, value = (IDS | OPTIONAL)[name], "read" if name in ("permissions.grant", "permissions.revoke") else ID
    with pytest.raises(ConfigurationError, match="secret_server_key"):
        calls.do(lambda server: operation(server, value))

    assert list(hexclave_sandbox.requests) == []


def test_a_moment_arrives_as_it_is(calls: Calls, hexclave_sandbox: Sandbox) -> None:
    """In any time zone."""
    user = hexclave_sandbox.create_user()
    moment = datetime(2030, 1, 1, 12, tzinfo=UTC)
    for zone in (UTC, timezone(timedelta(hours=-7))):
        key = calls.do(
            lambda server, end: server.api_keys.create("x", user_id=user.id, expires_at=end), moment.astimezone(zone)
        )
        assert key.expires_at_millis == 1893499200000
