"""The server's own calls, each over real HTTP, in both colours."""

from __future__ import annotations

import dataclasses
import inspect
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hexclave_integrations import (
    AlreadyExists,
    ApiKeyRevoked,
    HexclaveApiError,
    InsufficientBalance,
    NotFound,
    ReconnectRequired,
    records,
)
from hexclave_integrations.server import AsyncServer, Server, _async, _sync
from hexclave_integrations.testing import Sandbox
from hexclave_integrations.webhooks import TeamData, TeamMembershipData, UserData

from ._server_calls import COLOURS, Calls

NOBODY = "11111111-1111-4111-8111-111111111111"


@pytest.fixture(params=COLOURS)
def calls(request: pytest.FixtureRequest, hexclave_sandbox: Sandbox) -> Iterator[Calls]:
    """Calls to a sandbox that is served over HTTP."""
    with hexclave_sandbox.serve():
        calls = Calls(request.param, hexclave_sandbox.config)
        yield calls
        calls.close()


class TestUsers:
    def test_create_get_update_delete(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """A user's life; what is read is what was written."""
        made = calls.do(
            lambda server: server.users.create(
                display_name="Ada", primary_email="ada@example.com", server_metadata={"plan": "pro"}
            )
        )
        assert isinstance(made, UserData)
        assert isinstance(made, records.UserData)
        assert (made.display_name, made.primary_email, made.server_metadata) == (
            "Ada",
            "ada@example.com",
            {"plan": "pro"},
        )
        assert dict(calls.do(lambda server: server.users.get(made.id)))["id"] == made.id
        assert calls.do(lambda server: server.users.get(uuid.UUID(made.id))) == made
        assert calls.do(lambda server: server.users.get(made.id.upper())) == made

        changed = calls.do(lambda server: server.users.update(made.id, display_name=None, server_metadata=[1]))
        assert (changed.display_name, changed.server_metadata, changed.primary_email) == (
            None,
            [1],
            "ada@example.com",
        )
        assert calls.do(lambda server: server.users.delete(made.id)) is None
        with pytest.raises(NotFound) as caught:
            calls.do(lambda server: server.users.get(made.id))
        assert (caught.value.code, caught.value.status) == ("USER_NOT_FOUND", 404)

    def test_a_field_that_is_new_is_kept(self, calls: Calls) -> None:
        """What the classes do not know is reachable as an item."""
        made = calls.do(lambda server: server.users.create(display_name="Ada"))

        assert made["risk_scores"] == made.raw["risk_scores"]
        assert made["auth_with_email"] is False

    def test_every_kind_of_user_is_read(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """By id there is no filter."""
        for kind in ("regular", "restricted", "anonymous"):
            user = calls.do(lambda server, user_id: server.users.get(user_id), hexclave_sandbox.create_user(kind).id)
            assert (user.is_anonymous, user.is_restricted) == (kind == "anonymous", kind != "regular")

    def test_list_goes_over_all_pages(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """All users come, once each, and pages are fetched as they are read."""
        made = [hexclave_sandbox.create_user().id for _ in range(205)]

        assert sorted(user.id for user in calls.do(lambda server: server.users.list())) == sorted(made)
        assert hexclave_sandbox.count("/users") == 3

    def test_a_page_that_is_not_read_is_not_fetched(self, hexclave_sandbox: Sandbox) -> None:
        """Whoever stops early asks for one page only; nothing is asked before the first is wanted."""
        for _ in range(101):
            hexclave_sandbox.create_user()
        with hexclave_sandbox.serve():
            calls = Calls("sync", hexclave_sandbox.config)
            users = calls.client.server.users.list()
            assert hexclave_sandbox.count("/users") == 0
            next(users)
            assert hexclave_sandbox.count("/users") == 1
            assert len(list(users)) == 100
            assert next(users, None) is None
            calls.close()
        assert hexclave_sandbox.count("/users") == 2

    def test_list_filters(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """Restricted and anonymous users come only if they are asked for."""
        sandbox, team = hexclave_sandbox, hexclave_sandbox.create_team()
        regular, restricted, anonymous = (
            sandbox.create_user(kind, display_name=kind) for kind in ("regular", "restricted", "anonymous")
        )
        sandbox.add_member(team, restricted)

        def ids(**query: Any) -> set[str]:
            return {user.id for user in calls.do(lambda server: server.users.list(**query))}

        assert ids() == {regular.id}
        assert ids(include_restricted=True) == {regular.id, restricted.id}
        assert ids(include_anonymous=True) == {regular.id, restricted.id, anonymous.id}
        assert ids(team_id=team.id) == set()
        assert ids(team_id=team.id, include_restricted=True) == {restricted.id}
        assert ids(query="regu") == {regular.id}
        assert ids(query="?&=#/%00") == set()

    def test_a_taken_address(self, calls: Calls) -> None:
        """A refusal has its class, and its message names nobody."""
        fields = {"primary_email": "ada@example.com", "primary_email_auth_enabled": True}
        calls.do(lambda server: server.users.create(**fields))
        with pytest.raises(AlreadyExists) as caught:
            calls.do(lambda server: server.users.create(**fields))

        assert caught.value.code == "USER_EMAIL_ALREADY_EXISTS"
        assert "ada@example.com" in str(caught.value.details)
        assert "ada" not in str(caught.value) + repr(caught.value)

    def test_a_value_that_is_not_accepted(self, calls: Calls) -> None:
        """What only Hexclave can judge, it refuses."""
        with pytest.raises(HexclaveApiError) as caught:
            calls.do(lambda server: server.users.create(primary_email="no address"))

        assert (type(caught.value), caught.value.code, caught.value.status) == (HexclaveApiError, "SCHEMA_ERROR", 400)


class TestTeams:
    def test_create_get_update_delete(self, calls: Calls) -> None:
        """A team's life."""
        made = calls.do(lambda server: server.teams.create(display_name="Engines", server_metadata={"a": 1}))
        assert isinstance(made, TeamData)
        assert (made.display_name, made.server_metadata) == ("Engines", {"a": 1})
        assert calls.do(lambda server: server.teams.get(made.id)) == made
        changed = calls.do(lambda server: server.teams.update(made.id, display_name="Looms"))
        assert (changed.id, changed.display_name) == (made.id, "Looms")
        assert [team.id for team in calls.do(lambda server: server.teams.list())] == [made.id]
        assert calls.do(lambda server: server.teams.delete(made.id)) is None
        with pytest.raises(NotFound):
            calls.do(lambda server: server.teams.get(made.id))

    def test_members(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """Who is in a team, of any kind."""
        creator = hexclave_sandbox.create_user(display_name="Ada")
        other = hexclave_sandbox.create_user("restricted")
        team = calls.do(lambda server: server.teams.create(display_name="Engines", creator_user_id=creator.id))
        membership = calls.do(lambda server: server.teams.add_member(team.id, other.id))
        assert isinstance(membership, TeamMembershipData)
        assert (membership.team_id, membership.user_id) == (team.id, other.id)

        members = calls.do(lambda server: server.teams.members(team.id))
        assert {member.user_id for member in members} == {creator.id, other.id}
        ada = next(member for member in members if member.user_id == creator.id)
        assert isinstance(ada, records.TeamMemberData)
        assert issubclass(records.TeamMemberData, TeamMembershipData)
        assert isinstance(ada.user, UserData)
        assert (ada.display_name, ada.user.id) == ("Ada", creator.id)
        assert [each.id for each in calls.do(lambda server: server.teams.list(user_id=other.id))] == [team.id]

        with pytest.raises(AlreadyExists):
            calls.do(lambda server: server.teams.add_member(team.id, other.id))
        assert calls.do(lambda server: server.teams.remove_member(team.id, other.id)) is None
        with pytest.raises(NotFound):
            calls.do(lambda server: server.teams.remove_member(team.id, other.id))
        assert len(calls.do(lambda server: server.teams.members(team.id))) == 1
        assert calls.do(lambda server: server.teams.members(NOBODY)) == []

    def test_invitations(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """An invitation is sent and listed."""
        team = hexclave_sandbox.create_team()
        made = calls.do(
            lambda server: server.teams.invite(team.id, "ada@example.com", "http://localhost:3000/handler/invitation")
        )

        (listed,) = calls.do(lambda server: server.teams.invitations(team.id))
        assert (listed.id, listed.team_id, listed.recipient_email) == (made.id, team.id, "ada@example.com")
        assert (made.team_id, made.recipient_email) == (team.id, "ada@example.com")
        assert isinstance(listed.expires_at_millis, int)
        assert hexclave_sandbox.emails[-1].to == "ada@example.com"
        with pytest.raises(HexclaveApiError) as caught:
            calls.do(lambda server: server.teams.invite(team.id, "ada@example.com", "https://evil.example/x"))
        assert caught.value.code == "REDIRECT_URL_NOT_WHITELISTED"
        with pytest.raises(NotFound):
            calls.do(lambda server: server.teams.invite(NOBODY, "ada@example.com", "http://localhost:3000/x"))


class TestAccess:
    def test_team_permissions(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """A grant counts at once, and its revocation too, although the answers are remembered."""
        sandbox = hexclave_sandbox
        sandbox.define_permission("export_reports")
        user, team = sandbox.create_user(), sandbox.create_team()
        sandbox.add_member(team, user)

        def holds() -> bool:
            found: bool = calls.ask(lambda client: client.has_permission(user.id, "export_reports", team.id))
            return found

        assert not holds()
        assert calls.do(lambda server: server.permissions.grant(user.id, "export_reports", team_id=team.id)) is None
        assert holds()
        assert calls.do(lambda server: server.permissions.revoke(user.id, "export_reports", team.id)) is None
        assert not holds()
        with pytest.raises(NotFound) as caught:
            calls.do(lambda server: server.permissions.revoke(user.id, "export_reports", team.id))
        assert (caught.value.code, caught.value.status) == ("TEAM_PERMISSION_NOT_FOUND", 401)
        calls.do(lambda server: server.permissions.grant(user.id, "$read_members", team.id))
        assert calls.ask(lambda client: client.has_permission(user.id, "$read_members", team.id))

    def test_project_permissions(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """As in a team."""
        hexclave_sandbox.define_permission("admin_panel", scope="project")
        user = hexclave_sandbox.create_user()

        def held() -> frozenset[str]:
            found: frozenset[str] = calls.ask(lambda client: client.list_permissions(user.id))
            return found

        assert held() == frozenset()
        calls.do(lambda server: server.permissions.grant(user.id, "admin_panel"))
        assert held() == {"admin_panel"}
        calls.do(lambda server: server.permissions.revoke(user.id, "admin_panel"))
        assert held() == frozenset()
        with pytest.raises(NotFound):
            calls.do(lambda server: server.permissions.grant(user.id, "no_such"))

    @pytest.mark.parametrize("kind", ["user", "team"])
    def test_api_keys(self, calls: Calls, hexclave_sandbox: Sandbox, kind: str) -> None:
        """A key is made, shown once, listed, and after its revocation no good, at once."""
        made_for = hexclave_sandbox.create_user() if kind == "user" else hexclave_sandbox.create_team()
        owner = {f"{kind}_id": made_for.id}
        end = datetime.now(UTC) + timedelta(days=1)
        key = calls.do(lambda server: server.api_keys.create("for the crawler", expires_at=end, **owner))
        assert (key.type, key.description, key.is_public) == (kind, "for the crawler", False)
        assert key.expires_at_millis == int(end.timestamp() * 1000)
        assert getattr(key, f"{kind}_id") == made_for.id
        assert calls.ask(lambda client: client.check_api_key(key.value)).id == key.id

        (listed,) = calls.do(lambda server: server.api_keys.list(**owner))
        assert (listed.id, listed.value, listed.last_four) == (key.id, None, key.value[-4:])
        assert calls.do(lambda server: server.api_keys.revoke(key.id, **owner)).manually_revoked_at_millis > 0
        with pytest.raises(ApiKeyRevoked):
            calls.ask(lambda client: client.check_api_key(key.value))
        with pytest.raises(NotFound):
            calls.do(lambda server: server.api_keys.revoke(NOBODY, **owner))

    def test_sessions(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """A session is made, its tokens count, it is listed, and ended."""
        user = hexclave_sandbox.create_user()
        tokens = calls.do(lambda server: server.sessions.create(user.id, expires_in=3600))
        found = calls.ask(lambda client: client.verify_token(tokens.access_token))
        assert found.id == user.id
        assert isinstance(tokens.refresh_token, str)
        assert found.session_id in [each.id for each in calls.do(lambda server: server.sessions.list(user.id))]
        assert calls.do(lambda server: server.sessions.revoke(found.session_id, user.id)) is None
        assert found.session_id not in [each.id for each in calls.do(lambda server: server.sessions.list(user.id))]
        with pytest.raises(NotFound) as caught:  # Hexclave says this one in words alone
            calls.do(lambda server: server.sessions.revoke(found.session_id, user.id))
        assert (caught.value.code, caught.value.status) == (None, 404)
        assert isinstance((caught.value.details or {})["text"], str)
        with pytest.raises(NotFound) as caught:
            calls.do(lambda server: server.sessions.create(NOBODY))
        assert caught.value.code == "USER_ID_DOES_NOT_EXIST"
        calls.do(lambda server: server.sessions.create(user.id, expires_in=timedelta(days=367), is_impersonation=True))


class TestPayments:
    @pytest.mark.parametrize("kind", ["user", "team", "custom"])
    def test_items(self, calls: Calls, hexclave_sandbox: Sandbox, kind: Any) -> None:
        """A balance is read, raised, spent, and never overdrawn unless that is allowed."""
        hexclave_sandbox.define_item("credits", customer_type=kind)
        name = {
            "user": hexclave_sandbox.create_user().id,
            "team": hexclave_sandbox.create_team().id,
            "custom": "acme@eu:12",
        }[kind]
        of = {f"{kind}_id": name}

        def balance() -> float:
            item = calls.do(lambda server: server.items.get("credits", **of))
            assert item.id == "credits"
            return float(item.quantity)

        assert balance() == 0
        assert calls.do(lambda server: server.items.change("credits", 3, **of)) is None
        assert calls.do(lambda server: server.items.try_spend("credits", 2, **of)) is True
        assert calls.do(lambda server: server.items.try_spend("credits", 2, **of)) is False
        assert balance() == 1
        with pytest.raises(InsufficientBalance):
            calls.do(lambda server: server.items.change("credits", -2, **of))
        assert balance() == 1
        calls.do(lambda server: server.items.change("credits", -2, allow_negative=True, description="late", **of))
        assert balance() == -1
        moment = datetime.now(UTC) + timedelta(days=1)
        assert calls.do(lambda server: server.items.change("credits", 1, expires_at=moment, **of)) is None
        with pytest.raises(NotFound):
            calls.do(lambda server: server.items.get("no-such", **of))

    def test_an_item_for_others(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """Spending what is for teams only is an error, not "too little"."""
        hexclave_sandbox.define_item("credits", customer_type="team")
        user = hexclave_sandbox.create_user()
        with pytest.raises(HexclaveApiError) as caught:
            calls.do(lambda server: server.items.try_spend("credits", 1, user_id=user.id))
        assert caught.value.code == "ITEM_CUSTOMER_TYPE_DOES_NOT_MATCH"

    def test_products(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """Granted, listed over all pages, cancelled, and sold."""
        sandbox, user = hexclave_sandbox, hexclave_sandbox.create_user()
        monthly = {"monthly": {"USD": "5", "interval": [1, "month"]}}
        for product_id, prices in (("pro", monthly), ("book", {"once": {"USD": "9"}})):
            sandbox.define_product(product_id, customer_type="user", prices=prices)
        sandbox.define_product("seat", customer_type="user", prices=monthly, stackable=True)
        subscription = calls.do(lambda server: server.products.grant("pro", user_id=user.id))
        assert isinstance(subscription, str)
        calls.do(lambda server: server.products.grant("seat", user_id=user.id, quantity=2))
        calls.do(lambda server: server.products.grant("book", user_id=user.id))
        owned = calls.do(lambda server: server.products.list(user_id=user.id))
        assert {(product.id, product.quantity) for product in owned} == {("pro", 1), ("seat", 2), ("book", 1)}
        assert all(product.product["display_name"] for product in owned)
        with pytest.raises(AlreadyExists):
            calls.do(lambda server: server.products.grant("pro", user_id=user.id))
        with pytest.raises(NotFound):
            calls.do(lambda server: server.products.grant("no-such", user_id=user.id))
        assert calls.do(lambda server: server.products.cancel("pro", user_id=user.id)) is None
        with pytest.raises(HexclaveApiError) as caught:
            calls.do(lambda server: server.products.cancel("book", user_id=user.id))
        assert caught.value.code is None

    def test_products_over_pages(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """More products than a page has."""
        user = hexclave_sandbox.create_user()
        hexclave_sandbox.define_product("seat", customer_type="user", prices={"a": {"USD": "1"}}, stackable=True)
        for _ in range(101):
            hexclave_sandbox.grant_product("seat", user)

        assert len(calls.do(lambda server: server.products.list(user_id=user.id))) == 101

    def test_checkout(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """An address to pay at."""
        user = hexclave_sandbox.create_user()
        hexclave_sandbox.define_product("pro", customer_type="user", prices={"once": {"USD": "9"}})
        back = "http://localhost:3000/thanks"
        url = calls.do(lambda server: server.products.checkout_url("pro", user_id=user.id, return_url=back))
        assert url.startswith("http")
        assert calls.do(lambda server: server.checkout_url("pro", user_id=user.id)).startswith("http")
        with pytest.raises(NotFound):
            calls.do(lambda server: server.products.checkout_url("no-such", user_id=user.id))


class TestOthers:
    def test_emails(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """An e-mail reaches the users it names."""
        ada = hexclave_sandbox.create_user(primary_email="ada@example.com")
        sent = calls.do(lambda server: server.emails.send(user_ids=[ada.id], html="<p>Hi</p>", subject="Hello"))
        assert sent == [ada.id]
        mail = hexclave_sandbox.emails[-1]
        assert (mail.to, mail.subject, mail.html) == ("ada@example.com", "Hello", "<p>Hi</p>")
        template = str(uuid.uuid4())
        assert calls.do(
            lambda server: server.emails.send(
                all_users=True,
                template_id=template,
                variables={"name": "Ada"},
                theme_id=False,
                is_high_priority=True,
                notification_category_name="Transactional",
                scheduled_at=datetime.now(UTC),
            )
        ) == [ada.id]
        with pytest.raises(NotFound) as caught:
            calls.do(lambda server: server.emails.send(user_ids=[ada.id, NOBODY], html="<p>Hi</p>"))
        assert caught.value.code == "USER_ID_DOES_NOT_EXIST"
        with pytest.raises(HexclaveApiError):
            calls.do(lambda server: server.emails.send(user_ids=[ada.id], draft_id="no-such"))

    def test_connected_accounts(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """Accounts are listed; a token is for the scopes it was given for."""
        user = hexclave_sandbox.create_user()
        account = hexclave_sandbox.connect_account(user, "github", access_token="gho_x", scopes=["repo", "gist"])
        hexclave_sandbox.connect_account(user, "google")
        listed = calls.do(lambda server: server.connected_accounts.list(user.id))
        assert ("github", account) in [(each.provider, each.provider_account_id) for each in listed]

        def token(provider: str, scopes: Any = (), **more: Any) -> Any:
            return calls.do(lambda server: server.connected_accounts.access_token(user.id, provider, scopes, **more))

        assert token("github") == "gho_x"
        assert token("github", ["gist", "repo"]) == "gho_x"
        assert token("github", account_id=account) == "gho_x"
        for provider, scopes in (("github", ["admin"]), ("google", [])):
            with pytest.raises(ReconnectRequired):
                token(provider, scopes)
        with pytest.raises(NotFound):
            token("spotify")
        with pytest.raises(HexclaveApiError) as caught:
            token("no-such")
        assert caught.value.code == "OAUTH_PROVIDER_NOT_FOUND_OR_NOT_ENABLED"

    def test_project(self, calls: Calls, hexclave_sandbox: Sandbox) -> None:
        """The project itself, which also tells that id and key are right."""
        project = calls.do(lambda server: server.project.get())

        assert project.id == hexclave_sandbox.config.project_id
        assert isinstance(project.config["sign_up_enabled"], bool)


def test_both_colours_have_the_same_calls() -> None:
    """Groups, names, signatures and documentation."""

    def shape(kind: type) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in dir(kind):
            if name.startswith("_"):
                continue
            member = inspect.getattr_static(kind, name)
            if isinstance(member, property):
                assert member.fget is not None
                found[name] = shape(getattr(_of(kind), inspect.get_annotations(member.fget)["return"]))
            else:
                signature = inspect.signature(getattr(kind, name))
                found[name] = [str(each) for each in signature.parameters.values()]
                assert inspect.getdoc(getattr(kind, name))
        return found

    def _of(kind: type) -> Any:
        return _sync if kind.__module__ == _sync.__name__ else _async

    assert shape(Server) == shape(AsyncServer)
    assert shape(Server)["users"]["get"] == ["self", "user_id: 'Id'"]
    assert len(shape(Server)) == 12


@pytest.mark.parametrize("kind", [getattr(records, name) for name in records.__all__])
def test_a_repr_shows_nobody(kind: Any) -> None:
    """Logs and error reports show reprs: they hold neither a person's data nor a secret."""
    names = [each.name for each in dataclasses.fields(kind) if each.name != "raw"]
    special: dict[str, Any] = {"quantity": 12345.5, "product": {"x": "a product of somebody"}}
    raw = {name: special.get(name, f"{name} of somebody") for name in names}
    found = kind.read(raw)

    assert repr(found) == str(found) == f"<{kind.__name__}>"
    assert dict(found) == raw
