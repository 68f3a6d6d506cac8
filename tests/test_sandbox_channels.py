"""The addresses of users at the sandbox: contact channels, and their verification."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hexclave_integrations.testing import SandboxRefused, SandboxSignIn

from ._sandbox_page import CALLBACK, PASSWORD, Page, code, open_page

ADA, WORK = "ada@example.test", "work@example.test"
USED = "CONTACT_CHANNEL_ALREADY_USED_FOR_AUTH_BY_SOMEONE_ELSE"
NOBODY = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def page() -> Iterator[Page]:
    with open_page() as page:
        yield page


@pytest.fixture
def ada(page: Page) -> SandboxSignIn:
    return page.sandbox.sign_up(ADA, PASSWORD, verification_callback_url=None)


def channels(page: Page, who: SandboxSignIn) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = page.ask("GET", "/contact-channels?user_id=me", who=who).json()["items"]
    return items


def add(page: Page, who: SandboxSignIn, value: str = WORK, **fields: Any) -> httpx.Response:
    body = {"user_id": "me", "type": "email", "value": value, "used_for_auth": False} | fields
    page.pass_time(1)
    return page.post("/contact-channels", body, who=who)


def path(channel: dict[str, Any]) -> str:
    return f"/contact-channels/{channel['user_id']}/{channel['id']}"


def change(page: Page, who: SandboxSignIn | None, channel: dict[str, Any], **fields: Any) -> httpx.Response:
    access = "client" if who else "server"
    return page.ask("PATCH", path(channel), fields, who=who, access=access)


def send(page: Page, who: SandboxSignIn, channel: dict[str, Any]) -> httpx.Response:
    return page.post(f"{path(channel)}/send-verification-code", {"callback_url": CALLBACK}, who=who)


def verify(page: Page, text: str | None) -> tuple[int, str | None]:
    return code(page.post("/contact-channels/verify", {"code": text}))


def test_the_primary_address_is_a_channel(page: Page, ada: SandboxSignIn) -> None:
    """As recorded from a real server; its id stays."""
    [channel] = channels(page, ada)
    assert channel == {
        "user_id": ada.user.id,
        "id": channel["id"],
        "type": "email",
        "value": ADA,
        "is_primary": True,
        "is_verified": False,
        "used_for_auth": True,
    }
    assert channels(page, ada) == [channel]
    assert page.ask("GET", path(channel), who=ada).json() == channel


def test_another_address(page: Page, ada: SandboxSignIn) -> None:
    """It is neither primary nor verified, and does not sign in; the user is the same."""
    response = add(page, ada, "Work@Example.test")
    assert response.status_code == 201
    channel = response.json()
    assert (channel["value"], channel["is_primary"], channel["is_verified"]) == (WORK, False, False)
    assert [item["value"] for item in channels(page, ada)] == [ADA, WORK]
    assert page.me(ada)["primary_email"] == ADA
    with pytest.raises(SandboxRefused, match="EMAIL_PASSWORD_MISMATCH"):
        page.sandbox.sign_in(WORK, PASSWORD)
    again = add(page, ada)
    assert (again.status_code, again.text) == (400, "Contact channel already exists")


def test_an_address_that_signs_in(page: Page, ada: SandboxSignIn) -> None:
    """With either address one comes to the same account, until the channel is for that no more."""
    channel = add(page, ada, used_for_auth=True).json()
    assert page.sandbox.sign_in(WORK, PASSWORD).user == page.sandbox.sign_in(ADA, PASSWORD).user == ada.user
    assert change(page, ada, channel, used_for_auth=False).status_code == 200
    with pytest.raises(SandboxRefused):
        page.sandbox.sign_in(WORK, PASSWORD)


def test_an_address_signs_one_user_in(page: Page, ada: SandboxSignIn) -> None:
    """Nobody can add, change or sign up with an address that somebody signs in with."""
    bob = page.sandbox.sign_up("bob@example.test", PASSWORD)
    add(page, ada, used_for_auth=True)
    refused = add(page, bob, used_for_auth=True)
    assert code(refused) == (409, USED)
    assert refused.json()["details"]["contact_channel_value"] == WORK
    channel = add(page, bob).json()  # only to write to
    assert code(change(page, bob, channel, used_for_auth=True)) == (409, USED)
    [own, _] = channels(page, bob)
    assert code(change(page, bob, own, value=ADA)) == (409, USED)
    with pytest.raises(SandboxRefused, match="USER_EMAIL_ALREADY_EXISTS"):
        page.sandbox.sign_up(WORK, PASSWORD)
    assert page.sandbox.sign_in(WORK, PASSWORD).user == ada.user


def test_the_primary_address_changes(page: Page, ada: SandboxSignIn) -> None:
    """The user's fields follow, the one before is kept, and both keep their ids and their order."""
    before = add(page, ada, used_for_auth=True).json()
    first = channels(page, ada)[0]
    assert change(page, ada, before, is_primary=True).json()["is_primary"] is True
    assert page.me(ada)["primary_email"] == WORK
    assert [(item["id"], item["is_primary"]) for item in channels(page, ada)] == [
        (first["id"], False),
        (before["id"], True),
    ]
    assert change(page, ada, before, is_primary=False).status_code == 200
    assert page.me(ada)["primary_email"] is None
    assert not any(item["is_primary"] for item in channels(page, ada))


def test_a_primary_address_from_the_start(page: Page, ada: SandboxSignIn) -> None:
    """It takes the place of the one before."""
    assert add(page, ada, is_primary=True).json()["is_primary"] is True
    assert page.me(ada)["primary_email"] == WORK
    assert [item["is_primary"] for item in channels(page, ada)] == [False, True]


def test_an_address_goes(page: Page, ada: SandboxSignIn) -> None:
    """The channel is deleted; of the primary one the user's fields go as well, and the way in."""
    other = add(page, ada).json()
    assert page.ask("DELETE", path(other), who=ada).json() == {"success": True}
    [primary] = channels(page, ada)
    assert page.ask("DELETE", path(primary), who=ada).json() == {"success": True}
    assert channels(page, ada) == []
    assert page.me(ada)["primary_email"] is None
    with pytest.raises(SandboxRefused):
        page.sandbox.sign_in(ADA, PASSWORD)
    gone = page.ask("DELETE", path(primary), who=ada)
    assert (gone.status_code, gone.text) == (400, "Contact channel not found")
    gone = page.ask("GET", path(primary), who=ada)
    assert (gone.status_code, gone.text) == (404, "Contact channel not found.")


def test_verification(page: Page, ada: SandboxSignIn) -> None:
    """The code of the e-mail verifies the address it was sent to, once; the user's fields follow."""
    [channel] = channels(page, ada)
    assert send(page, ada, channel).json() == {"success": True}
    email = page.last_email("email_verification")
    assert (email.to, email.link) == (ADA, f"{CALLBACK}?code={email.code}")
    check = page.post("/contact-channels/verify/check-code", {"code": email.code})
    assert check.json() == {"is_code_valid": True}
    assert page.me(ada)["primary_email_verified"] is False
    assert verify(page, email.code) == (200, None)
    assert page.me(ada)["primary_email_verified"] is True
    assert verify(page, email.code) == (409, "VERIFICATION_CODE_ALREADY_USED")
    assert code(send(page, ada, channel)) == (409, "EMAIL_ALREADY_VERIFIED")


def test_verification_of_another_address(page: Page, ada: SandboxSignIn) -> None:
    """Nothing but that channel is verified."""
    channel = add(page, ada).json()
    send(page, ada, channel)
    assert verify(page, page.last_email("email_verification").code) == (200, None)
    assert [item["is_verified"] for item in channels(page, ada)] == [False, True]


def test_a_code_is_for_one_address(page: Page, ada: SandboxSignIn) -> None:
    """Another address of the same channel is not verified by the code that went to the first."""
    channel = add(page, ada).json()
    send(page, ada, channel)
    old = page.last_email("email_verification").code
    assert change(page, ada, channel, value="new@example.test").status_code == 200
    response = page.post("/contact-channels/verify", {"code": old})
    assert (response.status_code, response.text) == (
        400,
        "Contact channel not found. Was your contact channel deleted?",
    )
    assert not any(item["is_verified"] for item in channels(page, ada))


def test_a_new_address_is_to_be_verified_again(page: Page, ada: SandboxSignIn) -> None:
    """Only a server may say that an address is verified."""
    [channel] = channels(page, ada)
    assert change(page, None, channel, is_verified=True).json()["is_verified"] is True
    assert change(page, ada, channel, value="new@example.test").json()["is_verified"] is False
    assert code(change(page, ada, channel, is_verified=True)) == (400, "SCHEMA_ERROR")
    assert code(add(page, ada, is_verified=True)) == (400, "SCHEMA_ERROR")
    user = page.me(ada)
    assert (user["primary_email"], user["primary_email_verified"]) == ("new@example.test", False)


def test_verification_lifts_the_restriction() -> None:
    """Where a project wants verified addresses; another address restricts again."""
    with open_page(require_email_verification=True) as page:
        ada = page.sandbox.sign_up(ADA, PASSWORD, verification_callback_url=None)
        [channel] = channels(page, ada)
        send(page, ada, channel)
        assert page.me(ada)["is_restricted"] is True
        verify(page, page.last_email("email_verification").code)
        assert page.me(ada)["is_restricted"] is False
        change(page, ada, channel, value="new@example.test")
        assert page.me(ada)["restricted_reason"] == {"type": "email_not_verified"}


def test_the_older_way_to_ask_for_a_code(page: Page, ada: SandboxSignIn) -> None:
    """`user.sendVerificationEmail()` names the primary address, and nobody else's."""
    url, body = "/contact-channels/send-verification-code", {"email": ADA, "callback_url": CALLBACK}
    assert page.post(url, body, who=ada).json() == {"success": True}
    assert page.last_email("email_verification").to == ADA
    other = page.post(url, body | {"email": WORK}, who=ada)
    assert code(other) == (400, "EMAIL_IS_NOT_PRIMARY_EMAIL")
    assert code(page.post(url, body)) == (401, "USER_AUTHENTICATION_REQUIRED")
    page.sandbox.verify_email(str(page.sandbox.emails[-1].code))
    assert code(page.post(url, body, who=ada)) == (409, "EMAIL_ALREADY_VERIFIED")


def test_users_see_their_own_channels_only(page: Page, ada: SandboxSignIn) -> None:
    """Whatever a page asks of somebody else's addresses is refused, and a server may."""
    bob = page.sandbox.sign_up("bob@example.test", PASSWORD)
    [channel] = channels(page, ada)
    listed = page.ask("GET", f"/contact-channels?user_id={ada.user.id}", who=bob)
    assert (listed.status_code, listed.text) == (403, "Client can only list contact channels for their own user.")
    assert page.ask("GET", "/contact-channels", who=bob).status_code == 403
    assert code(page.ask("GET", "/contact-channels?user_id=me")) == (400, "CANNOT_GET_OWN_USER_WITHOUT_USER")
    assert code(page.ask("GET", path(channel))) == (400, "CANNOT_GET_OWN_USER_WITHOUT_USER")
    assert page.ask("GET", path(channel), who=bob).status_code == 403
    assert change(page, bob, channel, value="mine@example.test").status_code == 403
    assert page.ask("DELETE", path(channel), who=bob).status_code == 403
    assert add(page, bob, user_id=ada.user.id).status_code == 403
    refused = send(page, bob, channel)
    assert (refused.status_code, refused.text) == (400, "Can only send verification code for your own user")
    assert channels(page, ada) == [channel]
    assert len(page.ask("GET", "/contact-channels", access="server").json()["items"]) == 2
    assert page.ask("GET", path(channel), access="server").json() == channel


def test_a_server_that_errs(page: Page, ada: SandboxSignIn) -> None:
    """Unknown users and channels, and another user's channel."""
    bob = page.sandbox.sign_up("bob@example.test", PASSWORD)
    [channel] = channels(page, ada)
    body = {"user_id": NOBODY, "type": "email", "value": WORK, "used_for_auth": True}
    assert code(page.post("/contact-channels", body, access="server")) == (404, "USER_NOT_FOUND")
    url = f"/contact-channels/{bob.user.id}/{channel['id']}"
    assert page.ask("GET", url, access="server").status_code == 404
    assert page.ask("DELETE", url, access="server").status_code == 400
    assert page.ask("PATCH", url, {"used_for_auth": False}, access="server").status_code == 400
    sent = page.post(
        f"/contact-channels/{NOBODY}/{NOBODY}/send-verification-code", {"callback_url": CALLBACK}, access="server"
    )
    assert code(sent) == (400, "USER_ID_DOES_NOT_EXIST")
    assert page.sandbox.sign_in(ADA, PASSWORD).user == ada.user


def test_a_server_that_writes_the_primary_address(page: Page, ada: SandboxSignIn) -> None:
    """PATCH on the user changes which channel is primary: none is lost, and no address is there twice."""
    add(page, ada)
    url, body = f"/users/{ada.user.id}", {"primary_email": WORK, "primary_email_verified": True}
    assert page.ask("PATCH", url, body, access="server").status_code == 200
    shown = {item["value"]: (item["is_primary"], item["is_verified"]) for item in channels(page, ada)}
    assert shown == {ADA: (False, False), WORK: (True, True)}
    assert len(channels(page, ada)) == 2


def test_a_server_cannot_give_away_an_address_that_signs_in(page: Page, ada: SandboxSignIn) -> None:
    """Whether it is primary or not."""
    add(page, ada, used_for_auth=True)
    body = {"primary_email": WORK, "primary_email_auth_enabled": True}
    assert code(page.post("/users", body, access="server")) == (409, "USER_EMAIL_ALREADY_EXISTS")
    bob = page.sandbox.sign_up("bob@example.test", PASSWORD).user
    assert code(page.ask("PATCH", f"/users/{bob.id}", body, access="server")) == (409, "USER_EMAIL_ALREADY_EXISTS")
    assert page.ask("PATCH", f"/users/{ada.user.id}", body, access="server").status_code == 200


def test_users_of_a_server_verify_as_well() -> None:
    """Where a project wants verified addresses, only a server that vouches for one makes a regular user."""
    with open_page(require_email_verification=True) as page:
        body = {"primary_email": ADA, "primary_email_auth_enabled": True, "password": PASSWORD}
        assert page.post("/users", body, access="server").json()["restricted_reason"] == {"type": "email_not_verified"}
        verified = {"primary_email": WORK, "primary_email_verified": True}
        assert page.post("/users", verified, access="server").json()["is_restricted"] is False


def test_channels_go_with_their_user(page: Page, ada: SandboxSignIn) -> None:
    """Somebody else may sign up with the addresses afterwards."""
    add(page, ada, used_for_auth=True)
    page.sandbox.delete_user(ada.user)
    assert page.ask("GET", "/contact-channels", access="server").json()["items"] == []
    assert page.sandbox._project.contact_channels == {}
    assert page.sandbox.sign_up(WORK, PASSWORD).user != ada.user
