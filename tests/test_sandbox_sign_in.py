"""Signing up and in at the sandbox: passwords, one-time codes, anonymous users, refresh, as a frontend sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest

from hexclave_integrations.testing import Sandbox, SandboxRefused, SandboxSignIn

from ._sandbox_page import CALLBACK, PASSWORD, Page, code, open_page

ADA = "ada@example.test"
MINUTE, DAY = 60, 86_400


@pytest.fixture
def page() -> Iterator[Page]:
    with open_page() as page:
        yield page


def audience(token: str) -> str:
    claims: dict[str, str] = jwt.decode(token, options={"verify_signature": False})
    return claims["aud"]


class TestPasswords:
    def test_an_account_begins_and_is_signed_in_to(self, page: Page) -> None:
        """What sign-up and sign-in answer is the same person, in two sessions."""
        first = page.post("/auth/password/sign-up", {"email": ADA, "password": PASSWORD}).json()
        second = page.post("/auth/password/sign-in", {"email": "ADA@Example.test", "password": PASSWORD}).json()
        assert first["user_id"] == second["user_id"]
        assert first["refresh_token"] != second["refresh_token"]
        assert page.refreshes(first["refresh_token"])
        assert page.refreshes(second["refresh_token"])

    @pytest.mark.parametrize(
        ("email", "password"),
        [(ADA, "wrong horse battery"), ("nobody@example.test", PASSWORD), ("other@example.test", PASSWORD)],
        ids=["wrong password", "unknown address", "user without a known password"],
    )
    def test_who_does_not_know_it_is_kept_out_with_the_same_words(self, page: Page, email: str, password: str) -> None:
        """A wrong password and an unknown address get the same answer, byte for byte."""
        page.sandbox.sign_up(ADA, PASSWORD)
        page.sandbox.create_user(primary_email="other@example.test")
        response = page.post("/auth/password/sign-in", {"email": email, "password": password})
        assert code(response) == (400, "EMAIL_PASSWORD_MISMATCH")
        assert response.json() == {"code": "EMAIL_PASSWORD_MISMATCH", "error": "Wrong e-mail or password."}

    def test_an_address_that_does_not_sign_in_opens_nothing(self, page: Page) -> None:
        """The right password is refused once the address is not for signing in any more."""
        user = page.sandbox.sign_up(ADA, PASSWORD).user
        page.ask("PATCH", f"/users/{user.id}", {"primary_email_auth_enabled": False}, access="server")
        with pytest.raises(SandboxRefused, match="EMAIL_PASSWORD_MISMATCH"):
            page.sandbox.sign_in(ADA, PASSWORD)

    @pytest.mark.parametrize(
        ("password", "refusal"),
        [("short", "PASSWORD_TOO_SHORT"), ("x" * 7, "PASSWORD_TOO_SHORT"), ("x" * 71, "SCHEMA_ERROR")],
    )
    def test_a_password_has_8_to_70_characters(self, page: Page, password: str, refusal: str) -> None:
        """Every endpoint that sets a password refuses it, and nothing has changed."""
        somebody = page.sandbox.sign_up(ADA, PASSWORD)
        update = {"old_password": PASSWORD, "new_password": password}
        page.sandbox.send_sign_in_code("bob@example.test")
        page.post("/auth/password/send-reset-code", {"email": ADA, "callback_url": CALLBACK})
        reset = {"code": page.last_email("password_reset").code, "password": password}
        for response in (
            page.post("/auth/password/sign-up", {"email": "carol@example.test", "password": password}),
            page.post("/auth/password/update", update, who=somebody),
            page.post("/auth/password/set", {"password": password}, who=somebody),
            page.post("/auth/password/reset", reset),
        ):
            assert code(response) == (400, refusal)
        assert page.sandbox.sign_in(ADA, PASSWORD).user == somebody.user

    def test_python_refuses_a_password_that_is_too_long(self, page: Page) -> None:
        """The method of the sandbox has no schema before it, and says so itself."""
        with pytest.raises(SandboxRefused) as caught:
            page.sandbox.sign_up(ADA, "x" * 71)
        assert (caught.value.status, caught.value.code) == (400, "PASSWORD_TOO_LONG")
        assert page.sandbox.sign_up(ADA, "x" * 70).is_new_user

    @pytest.mark.parametrize("email", ["nope", "a b@example.test", "a@localhost", "a@example.t", "a.@example.test"])
    def test_sign_up_asks_for_an_address(self, page: Page, email: str) -> None:
        """What is no address of the open Internet is refused by the schema."""
        response = page.post("/auth/password/sign-up", {"email": email, "password": PASSWORD})
        assert code(response) == (400, "SCHEMA_ERROR")
        assert "body.email must" in response.json()["error"]

    def test_a_new_password_ends_the_other_sessions(self, page: Page) -> None:
        """The session that changed it goes on, the others end, and the old password is over."""
        here, there = page.sandbox.sign_up(ADA, PASSWORD), page.sandbox.sign_in(ADA, PASSWORD)
        body = {"old_password": PASSWORD, "new_password": "another battery"}
        response = page.post("/auth/password/update", body, who=here, refresh_token=here.refresh_token)
        assert response.json() == {"success": True}
        assert page.refreshes(here.refresh_token)
        assert not page.refreshes(there.refresh_token)
        assert code(page.post("/auth/password/sign-in", {"email": ADA, "password": PASSWORD}))[0] == 400
        assert page.sandbox.sign_in(ADA, "another battery").user == here.user

    def test_who_may_change_a_password(self, page: Page) -> None:
        """Nobody without a user, without the old password, or where there is none."""
        body = {"old_password": "wrong horse battery", "new_password": "another battery"}
        assert code(page.post("/auth/password/update", body)) == (401, "USER_AUTHENTICATION_REQUIRED")
        assert code(page.post("/auth/password/set", {"password": PASSWORD})) == (401, "USER_AUTHENTICATION_REQUIRED")
        somebody, visitor = page.sandbox.sign_up(ADA, PASSWORD), page.sandbox.sign_up_anonymously()
        refused = page.post("/auth/password/update", body, who=somebody)
        assert code(refused) == (400, "PASSWORD_CONFIRMATION_MISMATCH")
        assert code(page.post("/auth/password/update", body, who=visitor)) == (400, "USER_DOES_NOT_HAVE_PASSWORD")
        assert page.refreshes(somebody.refresh_token)

    def test_a_first_password_is_set_once(self, page: Page) -> None:
        """Who came with a one-time code may set a password, and then has to know it to change it."""
        nonce = page.sandbox.send_sign_in_code(ADA)
        somebody = page.sandbox.sign_in_with_code(str(page.sandbox.emails[-1].code), nonce)
        assert page.post("/auth/password/set", {"password": PASSWORD}, who=somebody).json() == {"success": True}
        assert page.sandbox.sign_in(ADA, PASSWORD).user == somebody.user
        again = page.post("/auth/password/set", {"password": "another battery"}, who=somebody)
        assert (again.status_code, again.text) == (400, "User already has a password set.")

    def test_a_second_factor_is_asked_for(self, page: Page) -> None:
        """A user with a second factor gets no tokens for their password, and the sandbox takes no factor."""
        page.sandbox.create_user(primary_email=ADA, password=PASSWORD, requires_totp_mfa=True)
        response = page.post("/auth/password/sign-in", {"email": ADA, "password": PASSWORD})
        assert code(response) == (400, "MULTI_FACTOR_AUTHENTICATION_REQUIRED")
        assert len(response.json()["details"]["attempt_code"]) == 45
        attempt = {"type": "totp", "totp": "123456", "code": response.json()["details"]["attempt_code"]}
        assert code(page.post("/auth/mfa/sign-in", attempt)) == (404, "VERIFICATION_CODE_NOT_FOUND")


class TestResets:
    def send(self, page: Page, email: str = ADA) -> dict[str, Any]:
        answer: dict[str, Any] = page.post(
            "/auth/password/send-reset-code", {"email": email, "callback_url": CALLBACK}
        ).json()
        return answer

    def test_a_forgotten_password_is_replaced(self, page: Page) -> None:
        """The code of the e-mail sets another password, once; every session ends."""
        somebody = page.sandbox.sign_up(ADA, PASSWORD)
        self.send(page)
        email = page.last_email("password_reset")
        assert (email.to, email.link) == (ADA, f"{CALLBACK}?code={email.code}")
        assert page.post("/auth/password/reset/check-code", {"code": email.code}).json() == {"is_code_valid": True}
        body = {"code": email.code, "password": "another battery"}
        assert page.post("/auth/password/reset", body).json() == {"success": True}
        assert not page.refreshes(somebody.refresh_token)
        assert page.sandbox.sign_in(ADA, "another battery").user == somebody.user
        assert code(page.post("/auth/password/reset", body)) == (409, "VERIFICATION_CODE_ALREADY_USED")
        with pytest.raises(SandboxRefused):
            page.sandbox.sign_in(ADA, PASSWORD)

    def test_nothing_tells_whether_an_address_is_known(self, page: Page) -> None:
        """The answers are equal; only the mailbox knows."""
        page.sandbox.sign_up(ADA, PASSWORD, verification_callback_url=None)
        assert self.send(page) == self.send(page, "nobody@example.test")
        assert [email.to for email in page.sandbox.emails] == [ADA]

    def test_a_code_for_something_else_resets_nothing(self, page: Page) -> None:
        """Codes for signing in or verifying are no codes for a reset, nor do they outlive a week or the user."""
        somebody = page.sandbox.sign_up(ADA, PASSWORD, verification_callback_url=CALLBACK)
        other = page.last_email("email_verification").code
        body = {"code": other, "password": "another battery"}
        assert code(page.post("/auth/password/reset", body)) == (404, "VERIFICATION_CODE_NOT_FOUND")
        self.send(page)
        body["code"] = page.last_email("password_reset").code
        page.pass_time(7 * DAY)
        assert code(page.post("/auth/password/reset", body)) == (400, "VERIFICATION_CODE_EXPIRED")
        self.send(page)
        body["code"] = page.last_email("password_reset").code
        page.sandbox.delete_user(somebody.user)
        assert code(page.post("/auth/password/reset", body)) == (404, "USER_NOT_FOUND")


class TestCodes:
    def send(self, page: Page, email: str = ADA) -> str:
        nonce: str = page.post("/auth/otp/send-sign-in-code", {"email": email, "callback_url": CALLBACK}).json()[
            "nonce"
        ]
        return nonce

    def sign_in(self, page: Page, text: str) -> tuple[int, str | None]:
        return code(page.post("/auth/otp/sign-in", {"code": text}))

    @pytest.mark.parametrize("spell", [str.upper, str.lower, str.swapcase])
    def test_a_code_signs_up_in_any_case(self, page: Page, spell: Callable[[str], str]) -> None:
        """Six characters of the e-mail and the nonce are one text; the new user's address is verified."""
        nonce = self.send(page)
        typed = page.last_email("sign_in_code").code
        assert typed is not None
        assert (len(typed), len(nonce)) == (6, 39)
        text = spell(typed + nonce)
        assert page.post("/auth/otp/sign-in/check-code", {"code": text}).json() == {"is_code_valid": True}
        answer = page.post("/auth/otp/sign-in", {"code": text}).json()
        assert answer["is_new_user"] is True
        user = page.ask("GET", f"/users/{answer['user_id']}", access="server").json()
        assert (user["primary_email"], user["primary_email_verified"], user["otp_auth_enabled"]) == (ADA, True, True)
        assert self.sign_in(page, text) == (409, "VERIFICATION_CODE_ALREADY_USED")

    def test_a_known_user_comes_back(self, page: Page) -> None:
        """Whose address is verified signs in to their account, and can do so from now on."""
        user = page.sandbox.create_user(primary_email=ADA, primary_email_verified=True)
        nonce = page.sandbox.send_sign_in_code("ADA@example.test")
        signed_in = page.sandbox.sign_in_with_code(str(page.sandbox.emails[-1].code).lower(), nonce)
        assert (signed_in.user, signed_in.is_new_user) == (user, False)
        assert page.me(signed_in)["otp_auth_enabled"] is True

    def test_an_unverified_address_is_no_way_into_an_account(self, page: Page) -> None:
        """Whoever reads the mailbox might not be who signed up with the address."""
        page.sandbox.sign_up(ADA, PASSWORD, verification_callback_url=None)
        response = page.post("/auth/otp/send-sign-in-code", {"email": ADA, "callback_url": CALLBACK})
        assert code(response) == (409, "USER_EMAIL_ALREADY_EXISTS")
        assert response.json()["details"] == {"email": ADA, "would_work_if_email_was_verified": True}
        assert page.sandbox.emails == []

    def test_an_account_that_began_meanwhile_is_not_opened(self, page: Page) -> None:
        """The code was sent before somebody signed up with the address and a password."""
        nonce = self.send(page)
        text = f"{page.last_email('sign_in_code').code}{nonce}"
        page.sandbox.sign_up(ADA, PASSWORD)
        assert self.sign_in(page, text) == (409, "USER_EMAIL_ALREADY_EXISTS")

    def test_a_code_ends_after_a_quarter_of_an_hour(self, page: Page) -> None:
        """A second before it is good, and at that moment it is not."""
        nonce = self.send(page)
        text = f"{page.last_email('sign_in_code').code}{nonce}"
        page.pass_time(15 * MINUTE - 1)
        assert page.post("/auth/otp/sign-in/check-code", {"code": text}).status_code == 200
        page.pass_time(1)
        assert self.sign_in(page, text) == (400, "VERIFICATION_CODE_EXPIRED")

    def test_guesses_are_counted(self, page: Page) -> None:
        """Whoever has the nonce has twenty tries for the rest; the right code is one too many then."""
        nonce = self.send(page)
        right = f"{page.last_email('sign_in_code').code}{nonce}"
        for _ in range(20):
            assert self.sign_in(page, "000000" + nonce) == (404, "VERIFICATION_CODE_NOT_FOUND")
        assert self.sign_in(page, right) == (400, "VERIFICATION_CODE_MAX_ATTEMPTS_REACHED")

    @pytest.mark.parametrize("text", ["", "123456", "x" * 44, "x" * 46, 7, None])
    def test_a_code_has_45_characters(self, page: Page, text: object) -> None:
        """Anything else is refused by the schema."""
        assert code(page.post("/auth/otp/sign-in", {"code": text})) == (400, "SCHEMA_ERROR")

    def test_a_link_keeps_its_query(self, page: Page) -> None:
        """The code is added to the page's own parameters."""
        url = "http://127.0.0.1:5173/magic?next=%2Fhome&code=old#top"
        page.sandbox.send_sign_in_code(ADA, callback_url=url)
        link = str(page.last_email("sign_in_code").link)
        assert link.startswith("http://127.0.0.1:5173/magic?next=%2Fhome&code=")
        assert link.endswith("#top")
        assert "old" not in link
        text = link.partition("&code=")[2].partition("#")[0]
        assert page.sandbox.sign_in_with_code(text).is_new_user


class TestLinks:
    @pytest.mark.parametrize("url", ["http://localhost:3000/a", "https://app.localhost/a", "http://127.0.0.1/a"])
    def test_they_lead_to_this_computer(self, page: Page, url: str) -> None:
        """A frontend that is being developed is trusted."""
        body = {"email": ADA, "password": PASSWORD, "verification_callback_url": url}
        assert page.post("/auth/password/sign-up", body).status_code == 200

    @pytest.mark.parametrize(
        "url",
        ["https://evil.example/a", "https://localhost.evil.example/a", "javascript://localhost/a", "ftp://localhost/"],
    )
    def test_and_to_no_other(self, page: Page, url: str) -> None:
        """Nobody has an account afterwards whose code would have gone elsewhere."""
        body = {"email": ADA, "password": PASSWORD, "verification_callback_url": url}
        assert code(page.post("/auth/password/sign-up", body)) == (400, "REDIRECT_URL_NOT_WHITELISTED")
        response = page.post("/auth/otp/send-sign-in-code", {"email": ADA, "callback_url": url})
        assert code(response) == (400, "REDIRECT_URL_NOT_WHITELISTED")
        assert page.sandbox.emails == []
        with pytest.raises(SandboxRefused):
            page.sandbox.sign_in(ADA, PASSWORD)

    def test_but_for_the_projects_domains(self) -> None:
        """A domain is an origin, and the project says which it has."""
        with open_page(domains=["https://app.example.com/"]) as page:
            page.sandbox.sign_up(ADA, PASSWORD, verification_callback_url="https://app.example.com/verify")
            config = page.ask("GET", "/projects/current").json()["config"]
            assert config["domains"] == [{"domain": "https://app.example.com", "handler_path": "/handler"}]
            for url in ("http://app.example.com/verify", "https://app.example.com:444/", "https://example.com/"):
                with pytest.raises(SandboxRefused, match="REDIRECT_URL_NOT_WHITELISTED"):
                    page.sandbox.send_sign_in_code("bob@example.test", callback_url=url)


class TestAnonymous:
    def test_a_visitor_is_an_anonymous_user(self, page: Page) -> None:
        """Their token is for anonymous users only."""
        answer = page.post("/auth/anonymous/sign-up", {}).json()
        assert audience(answer["access_token"]) == f"{page.sandbox.config.project_id}:anon"
        assert page.refreshes(answer["refresh_token"])

    @pytest.mark.parametrize("way", ["password", "code"])
    def test_who_signs_up_keeps_their_id(self, page: Page, way: str) -> None:
        """The account stays, the old refresh token dies, and the new token is a regular user's."""
        visitor = page.sandbox.sign_up_anonymously()
        page.pass_time(10)
        if way == "password":
            body = {"email": ADA, "password": PASSWORD}
            answer = page.post("/auth/password/sign-up", body, who=visitor).json()
        else:
            nonce = page.sandbox.send_sign_in_code(ADA)
            text = f"{page.sandbox.emails[-1].code}{nonce}"
            answer = page.post("/auth/otp/sign-in", {"code": text}, who=visitor).json()
        assert answer["user_id"] == visitor.user.id
        assert audience(answer["access_token"]) == page.sandbox.config.project_id
        assert not page.refreshes(visitor.refresh_token)
        assert page.refreshes(answer["refresh_token"])
        user = page.me(visitor)  # the old access token is good until it ends
        assert (user["is_anonymous"], user["primary_email"]) == (False, ADA)

    def test_who_is_no_visitor_any_more_gets_another_account(self, page: Page) -> None:
        """A regular user's token on the sign-up form does not give their account another password."""
        somebody = page.sandbox.sign_up(ADA, PASSWORD)
        body = {"email": "bob@example.test", "password": "another battery"}
        assert page.post("/auth/password/sign-up", body, who=somebody).json()["user_id"] != somebody.user.id
        assert page.sandbox.sign_in(ADA, PASSWORD).user == somebody.user

    def test_a_visitor_cannot_take_somebodys_address(self, page: Page) -> None:
        """Nor do they lose their session by trying."""
        page.sandbox.sign_up(ADA, PASSWORD)
        visitor = page.sandbox.sign_up_anonymously()
        with pytest.raises(SandboxRefused, match="USER_EMAIL_ALREADY_EXISTS"):
            page.sandbox.sign_up("Ada@example.test", PASSWORD, anonymous=visitor)
        assert page.refreshes(visitor.refresh_token)
        assert page.sandbox.sign_up("bob@example.test", PASSWORD, anonymous=visitor).user == visitor.user


class TestRefresh:
    def ask(self, page: Page, **fields: str | None) -> tuple[int, str | None]:
        form = {"grant_type": "refresh_token", "client_id": page.sandbox.config.project_id} | fields
        response = page.client.post("/auth/oauth/token", data={name: text for name, text in form.items() if text})
        return code(response)

    def test_the_form_that_the_sdk_sends(self, page: Page) -> None:
        """Client id and secret are the project's; who has none sends the word for it, or nothing."""
        token = page.sandbox.sign_up(ADA, PASSWORD).refresh_token
        for secret in (page.sandbox.config.publishable_client_key, "__stack_public_client__", None):
            assert self.ask(page, refresh_token=token, client_secret=secret) == (200, None)

    def test_a_refusal_names_its_code(self, page: Page) -> None:
        """Without the header the SDK would try for 20 seconds more."""
        signed_in = page.sandbox.sign_up(ADA, PASSWORD)
        page.sandbox.sign_out(signed_in.user)
        for token in (signed_in.refresh_token, "garbage", None):
            assert self.ask(page, refresh_token=token) == (401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")

    def test_who_is_no_client_of_the_project(self, page: Page) -> None:
        """Another project's id, another key, or another grant get no token."""
        token = page.sandbox.sign_up(ADA, PASSWORD).refresh_token
        invalid = (400, "INVALID_OAUTH_CLIENT_ID_OR_SECRET")
        assert self.ask(page, refresh_token=token, client_id="11111111-1111-4111-8111-111111111111") == invalid
        assert self.ask(page, refresh_token=token, client_id=None) == invalid
        assert self.ask(page, refresh_token=token, client_secret="pck_wrong") == invalid
        grant = "authorization_code"
        assert self.ask(page, refresh_token=token, grant_type=grant) == (400, "INVALID_AUTHORIZATION_CODE")
        assert self.ask(page, refresh_token=token, grant_type="password") == (400, "SCHEMA_ERROR")

    def test_a_session_ends_after_a_year(self, page: Page) -> None:
        """A refresh does not prolong it."""
        token = page.sandbox.sign_up(ADA, PASSWORD).refresh_token
        page.pass_time(365 * DAY - 1)
        assert self.ask(page, refresh_token=token) == (200, None)
        page.pass_time(1)
        assert self.ask(page, refresh_token=token) == (401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED")

    def test_a_body_that_is_no_form_of_json(self, page: Page) -> None:
        """An endpoint with a body says what it did not get."""
        response = page.client.post("/auth/oauth/token", content=b"x", headers={"content-type": "text/plain"})
        assert code(response) == (400, "SCHEMA_ERROR")


class TestWaysThatAreOff:
    @pytest.mark.parametrize(
        ("method", "path", "refusal"),
        [
            ("GET", "/auth/oauth/authorize/google?client_id=x", (400, "OAUTH_PROVIDER_NOT_FOUND_OR_NOT_ENABLED")),
            ("POST", "/auth/passkey/initiate-passkey-authentication", (400, "PASSKEY_AUTHENTICATION_NOT_ENABLED")),
            ("POST", "/auth/passkey/initiate-passkey-registration", (400, "PASSKEY_AUTHENTICATION_NOT_ENABLED")),
            ("POST", "/auth/passkey/sign-in", (400, "PASSKEY_AUTHENTICATION_NOT_ENABLED")),
            ("GET", "/internal/backend-urls", (404, None)),
        ],
    )
    def test_they_say_so(self, page: Page, method: str, path: str, refusal: tuple[int, str | None]) -> None:
        """Providers, passkeys and the list of other hosts are not there, as the project's settings say."""
        assert code(page.ask(method, path, {} if method == "POST" else None)) == refusal
        config = page.ask("GET", "/projects/current").json()["config"]
        assert (config["enabled_oauth_providers"], config["passkey_enabled"]) == ([], False)

    def test_events_are_swallowed(self, page: Page) -> None:
        """Whatever analytics sends, nothing is kept."""
        assert page.post("/analytics/events/batch", {"events": [{"anything": 1}]}).json() == {"inserted": 0}


def told_of(sandbox: Sandbox) -> list[tuple[str, Any]]:
    """A list that fills with the webhooks that are sent from now on."""
    told: list[tuple[str, Any]] = []

    def receive(body: bytes, headers: Any) -> int:
        event = json.loads(body)
        told.append((event["type"], event["data"]["id"]))
        return 200

    sandbox.deliver_webhooks_to(receive)
    return told


class TestWebhooks:
    def test_what_is_told(self, page: Page) -> None:
        """Sign-up is `user.created`, an upgrade and a reset are `user.updated`; the rest sends nothing (contract 6)."""
        sandbox = page.sandbox
        told = told_of(sandbox)
        visitor = sandbox.sign_up_anonymously()
        somebody = sandbox.sign_up(ADA, PASSWORD, anonymous=visitor)
        sandbox.verify_email(str(page.last_email("email_verification").code))
        sandbox.sign_in(ADA, PASSWORD)
        page.refreshes(somebody.refresh_token)
        nonce = sandbox.send_sign_in_code("bob@example.test")
        bob = sandbox.sign_in_with_code(str(sandbox.emails[-1].code), nonce)
        page.post("/auth/password/set", {"password": PASSWORD}, who=bob)
        page.ask("DELETE", "/auth/sessions/current", who=bob)
        page.post("/auth/password/send-reset-code", {"email": ADA, "callback_url": CALLBACK})
        reset = {"code": page.last_email("password_reset").code, "password": "another battery"}
        page.post("/auth/password/reset", reset)
        sandbox.flush_webhooks()
        sandbox.close()
        assert told == [
            ("user.created", visitor.user.id),
            ("user.updated", visitor.user.id),
            ("user.created", bob.user.id),
            ("user.updated", visitor.user.id),
        ]


class TestPython:
    def test_what_a_sign_in_gives(self, page: Page) -> None:
        """User, tokens, and the header that a frontend sends."""
        signed_in = page.sandbox.sign_up(ADA, PASSWORD)
        assert isinstance(signed_in, SandboxSignIn)
        assert signed_in.headers() == {"x-stack-access-token": signed_in.access_token}
        assert page.me(signed_in)["id"] == signed_in.user.id
        assert page.sandbox.headers(signed_in.user).keys() == signed_in.headers().keys()

    def test_a_refusal_says_which_and_nothing_else(self, page: Page) -> None:
        """Status and code; no address, password or code."""
        with pytest.raises(SandboxRefused) as caught:
            page.sandbox.sign_in(ADA, "wrong horse battery")
        assert str(caught.value) == "EMAIL_PASSWORD_MISMATCH (400)"
        assert (caught.value.status, caught.value.code) == (400, "EMAIL_PASSWORD_MISMATCH")

    def test_the_mailbox_is_read_only(self, page: Page) -> None:
        """What a test does with the list is its own affair."""
        page.sandbox.sign_up(ADA, PASSWORD)
        page.sandbox.emails.clear()
        assert [(email.to, email.kind) for email in page.sandbox.emails] == [(ADA, "email_verification")]

    def test_nothing_shows_a_secret(self, page: Page) -> None:
        """No repr of what the sandbox keeps or hands out has a password, its hash, a code or a token."""
        sandbox = page.sandbox
        signed_in = sandbox.sign_up(ADA, PASSWORD)
        sandbox.send_sign_in_code("bob@example.test")
        page.post("/auth/cli", {})
        project = sandbox._project
        rows = [*project.users.values(), *project.sessions.values(), *project.cli_logins, *project.codes]
        names = ("password_hash", "refresh_token", "polling_code", "login_code", "code", "link", "access_token")
        found = [getattr(row, name, None) for row in [*rows, *sandbox.emails, signed_in] for name in names]
        secrets = {str(secret) for secret in found if secret is not None}
        assert len(secrets) == 10
        shown = repr([signed_in, sandbox.emails, sandbox.requests, rows, vars(project)])
        assert [secret for secret in (PASSWORD, *secrets) if secret in shown] == []


def test_restriction_until_verification() -> None:
    """Where a project wants verified addresses, who signs up is restricted until they verified theirs."""
    with open_page(require_email_verification=True) as page:
        signed_in = page.sandbox.sign_up(ADA, PASSWORD)
        restricted = f"{page.sandbox.config.project_id}:restricted"
        assert audience(signed_in.access_token) == restricted
        assert page.me(signed_in)["restricted_reason"] == {"type": "email_not_verified"}
        page.sandbox.verify_email(str(page.last_email("email_verification").code))
        again = page.sandbox.sign_in(ADA, PASSWORD)
        assert audience(again.access_token) == page.sandbox.config.project_id
        nonce = page.sandbox.send_sign_in_code("bob@example.test")
        by_code = page.sandbox.sign_in_with_code(str(page.sandbox.emails[-1].code), nonce)
        assert audience(by_code.access_token) == page.sandbox.config.project_id


def test_an_administrators_restriction() -> None:
    """A server restricts and lets go through PATCH; who signs in meanwhile is restricted."""
    with open_page() as page:
        user = page.sandbox.sign_up(ADA, PASSWORD).user
        for is_restricted, suffix in ((True, ":restricted"), (False, "")):
            body = {"restricted_by_admin": is_restricted}
            assert page.ask("PATCH", f"/users/{user.id}", body, access="server").status_code == 200
            token = page.sandbox.sign_in(ADA, PASSWORD).access_token
            assert audience(token) == f"{page.sandbox.config.project_id}{suffix}"
