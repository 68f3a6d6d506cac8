"""The sandbox's connected accounts, e-mails, notification preferences and data vault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hexclave_integrations.testing import Sandbox, SandboxUser

from ._sandbox_api import Api, code

NOBODY = "11111111-1111-4111-8111-111111111111"
TRANSACTIONAL, MARKETING = "7bb82d33-2f54-4a3d-9d23-82739e0d66ef", "4f6f8873-3d04-46bd-8bef-18338b1a1b4c"


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[Api]:
    api = Api(sandbox)
    yield api
    api.close()


@pytest.fixture
def ada(sandbox: Sandbox) -> SandboxUser:
    return sandbox.create_user(primary_email="ada@example.test")


class TestConnectedAccounts:
    def test_the_access_token_is_the_one_that_was_told(self, sandbox: Sandbox, api: Api, ada: SandboxUser) -> None:
        """Of the account that is asked for, where it is good for the scopes that are asked for."""
        account = sandbox.connect_account(ada, "google", access_token="gt-1", scopes=["mail", "drive"])
        items = api.browser(ada, "GET", "/connected-accounts/me").json()["items"]
        assert items == [{"user_id": ada.id, "provider": "google", "provider_account_id": account}]
        for path in (f"google/{account}", "google"):
            path = f"/connected-accounts/{ada.id}/{path}/access-token"
            for scope in ({}, {"scope": "drive mail"}):
                response = api.server("POST", path, scope)
                assert (response.status_code, response.json()) == (201, {"access_token": "gt-1"})
            missing = api.server("POST", path, {"scope": "mail calendar"})
            assert code(missing) == (400, "OAUTH_CONNECTION_DOES_NOT_HAVE_REQUIRED_SCOPE")

    def test_the_account_that_is_good_for_it_is_taken(self, sandbox: Sandbox, api: Api, ada: SandboxUser) -> None:
        """Where a user has several at one provider."""
        sandbox.connect_account(ada, "github", account_id="a", access_token="t-a")
        sandbox.connect_account(ada, "github", account_id="b", access_token="t-b", scopes=["repo"])
        path = f"/connected-accounts/{ada.id}/github"
        assert api.server("POST", f"{path}/access-token", {"scope": "repo"}).json() == {"access_token": "t-b"}
        assert api.server("POST", f"{path}/a/access-token", {}).json() == {"access_token": "t-a"}

    def test_an_account_is_told_of_anew(self, sandbox: Sandbox, api: Api, ada: SandboxUser) -> None:
        """It is still one account."""
        for token in ("old", "new"):
            sandbox.connect_account(ada, "google", account_id="g1", access_token=token)
        assert len(api.server("GET", f"/connected-accounts/{ada.id}").json()["items"]) == 1
        path = f"/connected-accounts/{ada.id}/google/access-token"
        assert api.server("POST", path, {}).json() == {"access_token": "new"}

    @pytest.mark.parametrize(
        ("path", "answer"),
        [
            ("{ada}/github", (400, "OAUTH_CONNECTION_NOT_CONNECTED_TO_USER")),
            ("{ada}/google/other", (400, "OAUTH_CONNECTION_NOT_CONNECTED_TO_USER")),
            ("{ada}/nowhere", (400, "OAUTH_PROVIDER_NOT_FOUND_OR_NOT_ENABLED")),
            ("{ada}/google", (400, "OAUTH_ACCESS_TOKEN_NOT_AVAILABLE")),
            (f"{NOBODY}/google", (404, "USER_NOT_FOUND")),
            ("me/google", (400, "CANNOT_GET_OWN_USER_WITHOUT_USER")),
        ],
    )
    def test_a_token_that_is_not_there_is_refused(
        self, sandbox: Sandbox, api: Api, ada: SandboxUser, path: str, answer: tuple[int, str]
    ) -> None:
        """Each reason has its code."""
        sandbox.connect_account(ada, "google", account_id="g1")
        path = f"/connected-accounts/{path.format(ada=ada.id)}/access-token"
        assert code(api.server("POST", path, {})) == answer

    def test_nobody_sees_another_users_accounts(self, sandbox: Sandbox, api: Api, ada: SandboxUser) -> None:
        """From a browser."""
        sandbox.connect_account(ada, "google", account_id="g1", access_token="gt-1")
        bob = sandbox.create_user()
        path = f"/connected-accounts/{ada.id}"
        assert code(api.browser(bob, "GET", path)) == (403, None)
        token = api.browser(bob, "POST", f"{path}/google/access-token", {})
        assert code(token) == (403, None)
        assert "gt-1" not in token.text
        assert code(api.browser(bob, "GET", f"/oauth-providers?user_id={ada.id}")) == (403, None)
        assert code(api.browser(bob, "GET", "/oauth-providers")) == (403, None)

    def test_a_server_keeps_the_accounts(self, sandbox: Sandbox, api: Api, ada: SandboxUser) -> None:
        """It makes, reads, changes and deletes them; users see them as part of themselves."""
        body = {
            "user_id": ada.id,
            "provider_config_id": "google",
            "account_id": "g1",
            "email": "ada@gmail.test",
            "allow_sign_in": True,
            "allow_connected_accounts": False,
        }
        response = api.server("POST", "/oauth-providers", body)
        made = response.json()
        assert (response.status_code, made) == (201, body | {"id": made["id"], "type": "google"})
        own = {name: value for name, value in made.items() if name != "account_id"}
        path = f"/oauth-providers/me/{made['id']}"
        assert api.browser(ada, "GET", path).json() == own
        assert api.browser(ada, "GET", "/oauth-providers?user_id=me").json()["items"] == [own]
        user = api.server("GET", f"/users/{ada.id}").json()
        assert user["oauth_providers"] == [{"id": "google", "account_id": "g1", "email": "ada@gmail.test"}]
        assert api.browser(ada, "GET", "/connected-accounts/me").json()["items"] == []
        assert code(api.browser(ada, "PATCH", path, {"account_id": "g2"})) == (400, "SCHEMA_ERROR")
        api.browser(ada, "PATCH", path, {"allow_connected_accounts": True})
        assert len(api.browser(ada, "GET", "/connected-accounts/me").json()["items"]) == 1
        bob = sandbox.create_user()
        assert code(api.browser(bob, "DELETE", path.replace("/me/", f"/{ada.id}/"))) == (403, None)
        assert api.browser(ada, "DELETE", path).json() == {"success": True}
        assert code(api.browser(ada, "GET", path)) == (404, None)

    def test_an_unknown_provider_is_a_slip(self, sandbox: Sandbox, ada: SandboxUser) -> None:
        """The message names those that there are."""
        with pytest.raises(ValueError, match="google"):
            sandbox.connect_account(ada, "gogle")

    def test_accounts_end_with_their_user(self, sandbox: Sandbox, ada: SandboxUser) -> None:
        """Nothing is left."""
        sandbox.connect_account(ada, "google", access_token="gt-1")
        sandbox.delete_user(ada)
        assert sandbox._project.oauth_accounts == {}


class TestEmails:
    def test_a_message_lands_in_the_mailbox(self, sandbox: Sandbox, api: Api, ada: SandboxUser) -> None:
        """Of everybody who has an address; the others are among the results all the same."""
        bob = sandbox.create_user()
        body = {"user_ids": [ada.id, bob.id], "subject": "Hello", "html": "<p>you</p>"}
        results = [{"user_id": ada.id}, {"user_id": bob.id}]
        assert api.server("POST", "/emails/send-email", body).json() == {"results": results}
        (mail,) = sandbox.emails
        shown = (mail.to, mail.kind, mail.subject, mail.html)
        assert shown == ("ada@example.test", "message", "Hello", "<p>you</p>")
        everybody = {"all_users": True, "template_id": NOBODY, "variables": {"a": "b"}}
        assert api.server("POST", "/emails/send-email", everybody).json() == {"results": results}
        assert api.server("GET", "/emails/delivery-info").json()["stats"]["day"]["sent"] == 2

    @pytest.mark.parametrize(
        ("body", "answer"),
        [
            ({"html": "x"}, (400, "SCHEMA_ERROR")),
            ({"user_ids": [], "all_users": True, "html": "x"}, (400, "SCHEMA_ERROR")),
            ({"all_users": True}, (400, "SCHEMA_ERROR")),
            ({"all_users": True, "html": "x", "template_id": NOBODY}, (400, "SCHEMA_ERROR")),
            ({"all_users": True, "html": "x", "theme_id": True}, (400, "SCHEMA_ERROR")),
            ({"all_users": True, "draft_id": "d"}, (400, None)),
            ({"all_users": True, "html": "x", "notification_category_name": "News"}, (400, None)),
            ({"user_ids": [NOBODY], "html": "x"}, (400, "USER_ID_DOES_NOT_EXIST")),
        ],
    )
    def test_a_message_that_makes_no_sense_is_sent_to_nobody(
        self, sandbox: Sandbox, api: Api, ada: SandboxUser, body: Any, answer: tuple[int, str | None]
    ) -> None:
        """400, and no e-mail."""
        assert code(api.server("POST", "/emails/send-email", body)) == answer
        assert sandbox.emails == []

    def test_only_a_server_sends(self, sandbox: Sandbox, api: Api, ada: SandboxUser) -> None:
        """A browser is refused."""
        body = {"user_ids": [ada.id], "html": "x"}
        assert code(api.browser(ada, "POST", "/emails/send-email", body)) == (401, "INSUFFICIENT_ACCESS_TYPE")
        assert sandbox.emails == []

    def test_who_does_not_want_a_category_gets_none_of_it(self, sandbox: Sandbox, api: Api, ada: SandboxUser) -> None:
        """Other e-mails arrive."""
        path = "/emails/notification-preference/me"
        items = api.browser(ada, "GET", path).json()["items"]
        assert [(item["notification_category_name"], item["enabled"], item["can_disable"]) for item in items] == [
            ("Transactional", True, False),
            ("Marketing", True, True),
        ]
        off = api.browser(ada, "PATCH", f"{path}/{MARKETING}", {"enabled": False}).json()
        assert (off["notification_category_id"], off["enabled"]) == (MARKETING, False)
        for name in ("Marketing", "Transactional"):
            body = {"user_ids": [ada.id], "html": "x", "subject": name, "notification_category_name": name}
            api.server("POST", "/emails/send-email", body)
        assert [mail.subject for mail in sandbox.emails] == ["Transactional"]

    def test_preferences_are_their_users(self, sandbox: Sandbox, api: Api, ada: SandboxUser) -> None:
        """A server may look; another user may not, nor nobody."""
        bob = sandbox.create_user()
        path = f"/emails/notification-preference/{ada.id}"
        assert api.server("GET", path).status_code == 200
        assert code(api.browser(bob, "GET", path)) == (403, None)
        assert code(api.browser(bob, "PATCH", f"{path}/{MARKETING}", {"enabled": False})) == (403, None)
        assert code(api.browser(None, "GET", path)) == (401, "USER_AUTHENTICATION_REQUIRED")
        assert code(api.server("PATCH", f"{path}/{NOBODY}", {"enabled": False})) == (404, None)
        assert sandbox._project.notifications == {}


class TestVault:
    def test_any_store_is_there_until_one_is_defined(self, sandbox: Sandbox, api: Api) -> None:
        """From then on only those that are."""
        entry = {"hashed_key": "h", "encrypted_value": "v"}
        key = {"hashed_key": "h"}
        path = "/data-vault/stores"
        missing = (400, "DATA_VAULT_STORE_HASHED_KEY_DOES_NOT_EXIST")
        assert code(api.server("POST", f"{path}/one/get", key)) == missing
        assert api.server("POST", f"{path}/one/set", entry).json() == {"success": True}
        assert api.server("POST", f"{path}/one/get", key).json() == {"encrypted_value": "v"}
        assert code(api.server("POST", f"{path}/two/get", key)) == missing
        sandbox.define_vault_store("three")
        assert code(api.server("POST", f"{path}/three/get", key)) == missing
        for what, body in (("get", key), ("set", entry)):
            answer = code(api.server("POST", f"{path}/four/{what}", body))
            assert answer == (400, "DATA_VAULT_STORE_DOES_NOT_EXIST")
