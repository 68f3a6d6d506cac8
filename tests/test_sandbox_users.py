"""The sandbox's users: what a server and they themselves may write, and how they are listed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from hexclave_integrations.testing import Sandbox
from hexclave_integrations.testing._passwords import password_matches

from ._sandbox_api import Api, code

BCRYPT = "$2a$10$VIhIOofSMqGdGlL4wzE//e.77dAQGqNtF/1dT7bqCrVtQuInWy2qi"


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[Api]:
    api = Api(sandbox)
    yield api
    api.close()


class TestCreating:
    def test_a_server_creates_a_user_with_every_field(self, api: Api) -> None:
        """What was sent is what is read; a secret is not."""
        fields = {
            "display_name": "Ada",
            "primary_email": "Ada@Example.Test",
            "primary_email_verified": True,
            "primary_email_auth_enabled": True,
            "password": "correct horse",
            "otp_auth_enabled": True,
            "totp_secret_base64": "AQIDBA==",
            "profile_image_url": "https://example.test/a.png",
            "client_metadata": {"a": 1},
            "client_read_only_metadata": ["b"],
            "server_metadata": "c",
            "country_code": "at",
            "risk_scores": {"sign_up": {"bot": 7, "free_trial_abuse": 9}},
            "restricted_by_admin": True,
            "restricted_by_admin_reason": "why",
            "restricted_by_admin_private_details": "really",
            "oauth_providers": [{"id": "google", "account_id": "g1", "email": "ada@gmail.test"}],
        }
        response = api.server("POST", "/users", fields)
        assert response.status_code == 201
        user = response.json()
        assert user == api.server("GET", f"/users/{user['id']}").json()
        expected = fields | {
            "primary_email": "ada@example.test",
            "country_code": "AT",
            "has_password": True,
            "auth_with_email": True,
            "requires_totp_mfa": True,
            "is_restricted": True,
            "restricted_reason": {"type": "restricted_by_administrator"},
        }
        del expected["password"], expected["totp_secret_base64"]
        assert {name: user[name] for name in expected} == expected
        assert "correct horse" not in response.text
        assert "AQIDBA" not in response.text

    def test_the_password_is_kept_as_a_hash(self, api: Api, sandbox: Sandbox) -> None:
        """The password that was sent signs in, and no other."""
        fields = {"primary_email": "ada@example.test", "password": "correct horse"}
        user = sandbox._project.users[api.server("POST", "/users", fields).json()["id"]]
        assert password_matches("correct horse", user.password_hash)
        assert not password_matches("wrong horse", user.password_hash)

    @pytest.mark.parametrize(
        "fields",
        [
            {"nickname": "Ada"},
            {"selected_team_id": None},
            {"display_name": "A" * 257},
            {"primary_email": "no address"},
            {"password": "A" * 71},
            {"country_code": "AUT"},
            {"is_anonymous": "yes"},
            {"totp_secret_base64": "no base64"},
            {"restricted_by_admin_reason": "why"},
            {"risk_scores": {"sign_up": {"bot": 101, "free_trial_abuse": 0}}},
            {"risk_scores": {"sign_up": {"bot": 7.5, "free_trial_abuse": 0}}},
            {"risk_scores": {}},
            {"oauth_providers": [{"id": "google"}]},
        ],
    )
    def test_a_field_that_the_schema_does_not_take_is_refused(
        self, api: Api, sandbox: Sandbox, fields: dict[str, Any]
    ) -> None:
        """400 `SCHEMA_ERROR`, and nobody was created."""
        assert code(api.server("POST", "/users", fields)) == (400, "SCHEMA_ERROR")
        assert not sandbox._project.users

    @pytest.mark.parametrize("body", ['{"risk_scores": ' * 5000 + "0" + "}" * 5000, '{"risk_scores": 1e999}', "[", ""])
    def test_a_body_that_is_no_sensible_json_is_refused(self, api: Api, sandbox: Sandbox, body: str) -> None:
        """400, however deep and large what is in it."""
        assert api.raw("POST", "/users", body).status_code == 400
        assert not sandbox._project.users

    @pytest.mark.parametrize(
        "fields",
        [
            {"primary_email_auth_enabled": True},
            {"primary_email_verified": True},
            {"password": "a", "password_hash": BCRYPT},
            {"password_hash": "no hash"},
            {"passkey_auth_enabled": True},
            {"oauth_providers": [{"id": "nowhere", "account_id": "1"}]},
        ],
    )
    def test_fields_that_contradict_each_other_are_refused_in_plain_text(
        self, api: Api, sandbox: Sandbox, fields: dict[str, Any]
    ) -> None:
        """400 without a known error, and nobody was created."""
        assert code(api.server("POST", "/users", fields)) == (400, None)
        assert not sandbox._project.users

    def test_an_address_signs_in_one_user(self, api: Api) -> None:
        """The second one with the address gets 409; who does not sign in with it may have it."""
        fields = {"primary_email": "ada@example.test", "primary_email_auth_enabled": True}
        assert api.server("POST", "/users", fields).status_code == 201
        again = fields | {"primary_email": "ADA@example.test"}
        assert code(api.server("POST", "/users", again)) == (409, "USER_EMAIL_ALREADY_EXISTS")
        assert api.server("POST", "/users", again | {"primary_email_auth_enabled": False}).status_code == 201

    def test_a_webhook_tells_of_who_was_created(self, api: Api, sandbox: Sandbox) -> None:
        """As they are read, with their accounts elsewhere."""
        told: list[Any] = []

        def receive(body: bytes, headers: Mapping[str, str]) -> int:
            told.append(json.loads(body))
            return 200

        with sandbox.deliver_webhooks_to(receive):
            accounts = [{"id": "google", "account_id": "g1"}]
            user = api.server("POST", "/users", {"display_name": "Ada", "oauth_providers": accounts}).json()
            sandbox.flush_webhooks()
        assert told == [{"type": "user.created", "data": user}]
        assert user["oauth_providers"] == [{"id": "google", "account_id": "g1", "email": None}]

    def test_only_a_server_creates_users(self, api: Api, sandbox: Sandbox) -> None:
        """A browser is refused, a user's as well."""
        user = sandbox.create_user()
        assert code(api.browser(user, "POST", "/users", {})) == (401, "INSUFFICIENT_ACCESS_TYPE")


class TestChanging:
    def test_users_write_their_own_fields_and_no_others(self, api: Api, sandbox: Sandbox) -> None:
        """What a browser may not write is an unknown field to it."""
        user = sandbox.create_user(primary_email="ada@example.test")
        own = {"display_name": "", "client_metadata": [1], "otp_auth_enabled": True, "totp_secret_base64": "AQ=="}
        body = api.browser(user, "PATCH", "/users/me", own).json()
        assert (body["display_name"], body["client_metadata"]) == (None, [1])
        assert (body["otp_auth_enabled"], body["requires_totp_mfa"]) == (True, True)
        for name, value in {"password": "x", "server_metadata": 1, "primary_email_verified": True}.items():
            assert code(api.browser(user, "PATCH", "/users/me", {name: value})) == (400, "SCHEMA_ERROR")
        off = {"totp_secret_base64": None, "passkey_auth_enabled": False}
        assert api.browser(user, "PATCH", "/users/me", off).json()["requires_totp_mfa"] is False

    @pytest.mark.parametrize("fields", [{"password": "another horse"}, {"password": None}, {"password_hash": BCRYPT}])
    def test_a_new_password_ends_every_session(self, api: Api, sandbox: Sandbox, fields: dict[str, Any]) -> None:
        """The old password is no more, and neither is any session."""
        user = sandbox.create_user(primary_email="ada@example.test")
        sandbox.new_session(user)
        body = api.server("PATCH", f"/users/{user.id}", fields).json()
        assert body["has_password"] is (fields != {"password": None})
        assert sandbox._project.live_sessions(user.id) == []

    def test_another_address_is_not_verified(self, api: Api, sandbox: Sandbox) -> None:
        """It signs in as the old one did; none at all neither signs in nor is verified."""
        user = sandbox.create_user(primary_email="ada@example.test", primary_email_verified=True)

        def patch(**fields: Any) -> tuple[Any, ...]:
            body = api.server("PATCH", f"/users/{user.id}", fields).json()
            names = ("primary_email", "primary_email_verified", "primary_email_auth_enabled")
            return tuple(body[name] for name in names)

        assert patch(display_name="Ada") == ("ada@example.test", True, True)
        assert patch(primary_email="ada@example.test") == ("ada@example.test", True, True)
        assert patch(primary_email="new@example.test") == ("new@example.test", False, True)
        assert patch(primary_email="newer@example.test", primary_email_verified=True)[1] is True
        assert patch(primary_email=None) == (None, False, False)

    def test_an_address_of_somebody_else_is_refused_and_nothing_is_changed(self, api: Api, sandbox: Sandbox) -> None:
        """409, and the other fields of the same request are not written either."""
        sandbox.create_user(primary_email="ada@example.test")
        bob = sandbox.create_user(primary_email="bob@example.test", display_name="Bob")
        changes = {"primary_email": "ada@example.test", "display_name": "Ada", "password": "taken"}
        response = api.server("PATCH", f"/users/{bob.id}", changes)
        assert code(response) == (409, "USER_EMAIL_ALREADY_EXISTS")
        assert api.server("GET", f"/users/{bob.id}").json()["display_name"] == "Bob"
        assert sandbox._project.users[bob.id].password_hash is None

    def test_an_address_is_compared_when_it_begins_to_sign_somebody_in(self, api: Api, sandbox: Sandbox) -> None:
        """Then 409; a change of anything else goes through, whoever has the same address."""
        ada, twin = (sandbox.create_user(primary_email="Ada@example.test") for _ in range(2))
        for user in (ada, twin):
            assert api.server("PATCH", f"/users/{user.id}", {"display_name": "Ada"}).status_code == 200
        off, on = {"primary_email_auth_enabled": False}, {"primary_email_auth_enabled": True}
        assert api.server("PATCH", f"/users/{twin.id}", off).status_code == 200
        assert code(api.server("PATCH", f"/users/{twin.id}", on)) == (409, "USER_EMAIL_ALREADY_EXISTS")

    def test_the_old_address_stays_one_of_the_users(self, api: Api, sandbox: Sandbox) -> None:
        """As a channel that is not primary; back again, it is as verified as it was, and nothing is there twice."""
        user = sandbox.create_user(primary_email="ada@example.test", primary_email_verified=True)

        def channels(email: str | None) -> dict[str, tuple[bool, bool]]:
            body = api.server("PATCH", f"/users/{user.id}", {"primary_email": email}).json()
            assert body["primary_email"] == email
            items = api.server("GET", f"/contact-channels?user_id={user.id}").json()["items"]
            assert len({item["id"] for item in items}) == len(items)
            return {item["value"]: (item["is_primary"], item["is_verified"]) for item in items}

        both = channels("new@example.test")
        assert both == {"ada@example.test": (False, True), "new@example.test": (True, False)}
        assert channels("ada@example.test") == {"ada@example.test": (True, True), "new@example.test": (False, False)}
        assert channels(None) == {"ada@example.test": (False, True), "new@example.test": (False, False)}

    def test_lifting_a_restriction_clears_its_reasons(self, api: Api, sandbox: Sandbox) -> None:
        """Reason and details go with the restriction."""
        user = sandbox.create_user()
        details = {"restricted_by_admin_reason": "why", "restricted_by_admin_private_details": "really"}
        api.server("PATCH", f"/users/{user.id}", {"restricted_by_admin": True} | details)
        body = api.server("PATCH", f"/users/{user.id}", {"restricted_by_admin": False}).json()
        assert [body[name] for name in details] == [None, None]
        assert body["is_restricted"] is False

    def test_an_anonymous_user_becomes_a_regular_one(self, api: Api, sandbox: Sandbox) -> None:
        """Never the other way round."""
        user = sandbox.create_user("anonymous")
        assert code(api.server("PATCH", f"/users/{user.id}", {"is_anonymous": True})) == (400, "SCHEMA_ERROR")
        body = api.server("PATCH", f"/users/{user.id}", {"is_anonymous": False}).json()
        assert (body["is_anonymous"], body["restricted_reason"]) == (False, None)

    def test_users_delete_themselves_where_the_project_lets_them(self, api: Api, sandbox: Sandbox) -> None:
        """A new project does not; a server may always."""
        user, other = sandbox.create_user(), sandbox.create_user()
        sandbox.client_user_deletion_enabled = False
        assert code(api.browser(user, "DELETE", "/users/me")) == (400, None)
        assert api.server("DELETE", f"/users/{user.id}").status_code == 200
        sandbox.client_user_deletion_enabled = True
        assert api.browser(other, "DELETE", "/users/me").status_code == 200


class TestListing:
    def test_pages_show_everybody_once(self, api: Api) -> None:
        """In order of sign-up, forwards and backwards."""
        made = [api.server("POST", "/users", {"display_name": f"User {n}"}).json()["id"] for n in range(5)]
        pages = {}
        for desc in ("false", "true"):
            seen, cursor = [], ""
            for _ in range(3):
                page = api.server("GET", f"/users?limit=2&desc={desc}{cursor}").json()
                seen += [item["id"] for item in page["items"]]
                cursor = f"&cursor={page['pagination']['next_cursor']}"
            assert cursor == "&cursor=None"
            pages[desc] = seen
        assert sorted(pages["false"]) == sorted(made)
        assert pages["true"] == pages["false"][::-1]

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=1.5", "limit=", "limit=-1", "limit=1e3", "desc=yes", "order_by=id"]
    )
    def test_a_query_that_makes_no_sense_is_refused(self, api: Api, query: str) -> None:
        """400 `SCHEMA_ERROR`."""
        assert code(api.server("GET", f"/users?{query}")) == (400, "SCHEMA_ERROR")

    def test_a_search_finds_names_addresses_and_whole_ids(self, api: Api, sandbox: Sandbox) -> None:
        """In any case; part of an id is no search for it."""
        ada = sandbox.create_user(display_name="Ada Lovelace", primary_email="al@example.test")
        sandbox.create_user(display_name="Bob")

        def found(words: str) -> list[str]:
            return [item["id"] for item in api.server("GET", f"/users?query={words}").json()["items"]]

        assert found("LOVE") == found("al@") == found(ada.id) == [ada.id]
        assert found("nobody") == found(ada.id[:8]) == []

    def test_only_anonymous_users_are_listed_where_anonymous_ones_are_asked_for(
        self, api: Api, sandbox: Sandbox
    ) -> None:
        """Without that it is a contradiction."""
        sandbox.create_user()
        visitor = sandbox.create_user("anonymous")
        assert code(api.server("GET", "/users?only_anonymous=true")) == (400, None)
        items = api.server("GET", "/users?only_anonymous=true&include_anonymous=true").json()["items"]
        assert [item["id"] for item in items] == [visitor.id]
