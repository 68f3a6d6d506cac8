"""The login of a command line at the sandbox, beyond what was recorded from a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hexclave_integrations.testing import SandboxSignIn

from ._sandbox_page import PASSWORD, Page, code, open_page


@pytest.fixture
def page() -> Iterator[Page]:
    with open_page() as page:
        yield page


def begin(page: Page, **fields: Any) -> dict[str, str]:
    login: dict[str, str] = page.post("/auth/cli", fields).json()
    return login


def complete(page: Page, login: dict[str, str], **fields: Any) -> Any:
    return page.post("/auth/cli/complete", {"login_code": login["login_code"]} | fields)


def poll(page: Page, login: dict[str, str]) -> dict[str, str]:
    answer: dict[str, str] = page.post("/auth/cli/poll", {"polling_code": login["polling_code"]}).json()
    return answer


def test_a_command_line_gets_the_session_of_the_browser(page: Page) -> None:
    """Once it was confirmed, and once only; the token refreshes."""
    ada = page.sandbox.sign_up("ada@example.test", PASSWORD)
    login = begin(page)
    assert poll(page, login) == {"status": "waiting"}
    assert complete(page, login, refresh_token=ada.refresh_token).json() == {"success": True}
    answer = poll(page, login)
    assert answer == {"status": "success", "refresh_token": ada.refresh_token}
    assert page.refreshes(answer["refresh_token"])
    assert poll(page, login) == {"status": "used"}


def test_codes_are_good_for_two_hours(page: Page) -> None:
    """Afterwards nobody can confirm, and what was confirmed is not told."""
    ada = page.sandbox.sign_up("ada@example.test", PASSWORD)
    confirmed, waiting = begin(page), begin(page)
    complete(page, confirmed, refresh_token=ada.refresh_token)
    page.pass_time(7200)
    assert complete(page, waiting, refresh_token=ada.refresh_token).status_code == 400
    assert poll(page, confirmed) == poll(page, waiting) == {"status": "expired"}


@pytest.mark.parametrize("kind", ["restricted", "anonymous"])
def test_only_regular_users_confirm(page: Page, kind: str) -> None:
    """A restricted or anonymous user's session is not handed to a command line."""
    somebody: SandboxSignIn = page.sandbox.sign_up_anonymously()
    if kind == "restricted":
        somebody = page.sandbox.sign_up("ada@example.test", PASSWORD)
        page.sandbox.restrict(somebody.user)
    login = begin(page)
    refused = complete(page, login, refresh_token=somebody.refresh_token)
    assert code(refused) == (403, "RESTRICTED_USER_NOT_ALLOWED")
    assert poll(page, login) == {"status": "waiting"}


def test_an_anonymous_session_is_claimed_once(page: Page) -> None:
    """The browser takes over what the command line did anonymously, and upgrades it there."""
    visitor = page.sandbox.sign_up_anonymously()
    login = begin(page, anon_refresh_token=visitor.refresh_token)
    answer = complete(page, login, mode="claim-anon-session").json()
    assert answer["refresh_token"] == visitor.refresh_token
    claimed = SandboxSignIn(visitor.user, answer["access_token"], answer["refresh_token"], is_new_user=False)
    assert page.me(claimed)["id"] == visitor.user.id
    again = complete(page, login, mode="claim-anon-session")
    assert (again.status_code, again.text) == (400, "No anonymous session associated with this code")
    assert complete(page, login, mode="check").json() == {"cli_session_state": "none"}


def test_a_code_of_one_end_is_none_of_the_other(page: Page) -> None:
    """Whoever sees the login code in the browser's address cannot poll with it, nor confirm with the polling code."""
    ada = page.sandbox.sign_up("ada@example.test", PASSWORD)
    login = begin(page)
    swapped = {"polling_code": login["login_code"], "login_code": login["polling_code"]}
    response = page.post("/auth/cli/poll", {"polling_code": swapped["polling_code"]})
    assert code(response) == (400, "INVALID_POLLING_CODE")
    assert complete(page, swapped, refresh_token=ada.refresh_token).status_code == 400
    assert poll(page, login) == {"status": "waiting"}
