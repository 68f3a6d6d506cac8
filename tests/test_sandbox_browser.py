"""Hexclave's own JavaScript clients in a real browser: they sign in at a sandbox, and call a FastAPI application."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import time_machine

from hexclave_integrations.testing import Sandbox

from ._browser import running_chromium
from ._frontend import application, bundled, served
from ._services import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

DATA: Final = Path(__file__).parent / "data" / "sdk"
GUIDE: Final = Path(__file__).parents[1] / "docs" / "guides" / "local-development.md"
LIMIT: Final = 30.0
PASSWORD: Final = "correct horse"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests; each has a context of its own."""
    with running_chromium() as found:
        yield found


@contextmanager
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser without cookies that leaves this machine alone: Stripe's script is what the SDK would fetch."""
    found = browser.new_context()
    try:
        found.set_default_timeout(LIMIT * 1000)
        found.route(re.compile(r"^(?!http://(127\.0\.0\.1|localhost):)"), lambda route: route.abort())
        yield found
    finally:
        found.close()


SIGN_UP: Final = """async ([email, password]) => {
  window.app = openApp(settings);
  const verificationCallbackUrl = location.origin + "/handler/email-verification";
  const result = await app.signUpWithCredential({ email, password, noRedirect: true, verificationCallbackUrl });
  const user = await app.getUser();
  return [result.status, user.id, user.primaryEmail];
}"""
SIGN_IN: Final = """async ([email, password]) => {
  window.app = openApp(settings);
  const result = await app.signInWithCredential({ email, password, noRedirect: true });
  return result.status === "ok" ? (await app.getUser()).id : result.error.errorCode;
}"""
TOKEN: Final = "async () => (await (await app.getUser()).getAuthJson()).accessToken"
ASK: Final = """async ([url, token]) => {
  const answer = await fetch(url, token ? { headers: { "x-stack-access-token": token } } : {});
  const body = await answer.json();
  return [answer.status, body.id ?? body.code];
}"""
TALK: Final = """([url, token]) => new Promise((done) => {
  const socket = new WebSocket(url, token ? ["hexclave", `hexclave.access-token.${token}`] : []);
  socket.onmessage = (event) => done([event.data, socket.protocol]);
  socket.onclose = (event) => done(["closed", event.wasClean]);
})"""


def ask(page: Page, url: str, token: str | None = None) -> tuple[int, str]:
    """Fetch within the page; the status, and the user's id or the code of the refusal."""
    status, told = page.evaluate(ASK, [url, token])
    return status, told


def test_page_signs_up_and_in_and_calls_its_backends(sdk: Path, browser: Browser) -> None:
    """With a token, to another origin and through a websocket; with the SDK's cookies on its own; until sign-out."""
    sandbox = Sandbox()
    script = bundled(sdk, DATA / "page.js")
    with (
        sandbox.serve(),
        served(application(sandbox, script, accept_cookies=True)) as own,
        served(application(sandbox, allow_origins=[f"http://localhost:{own}"])) as other,
        context(browser) as private,
    ):
        page = private.new_page()
        page.goto(f"http://localhost:{own}/")
        there = f"http://localhost:{other}/api"
        assert ask(page, f"{there}/me") == (401, "USER_AUTHENTICATION_REQUIRED")
        assert ask(page, "/api/me") == (401, "USER_AUTHENTICATION_REQUIRED")

        status, user, email = page.evaluate(SIGN_UP, ["Ada@example.com", PASSWORD])
        assert (status, email) == ("ok", "ada@example.com")
        token = page.evaluate(TOKEN)
        assert ask(page, f"{there}/me", token) == (200, user)
        assert ask(page, f"{there}/me", f"{token[:-8]}AAAAAAAA") == (401, "UNPARSABLE_ACCESS_TOKEN")
        assert ask(page, f"{there}/me") == (401, "USER_AUTHENTICATION_REQUIRED")  # where cookies do not count
        assert ask(page, "/api/me") == (200, user)
        assert page.evaluate(TALK, [f"ws://localhost:{other}/api/socket", token]) == [user, "hexclave"]
        assert page.evaluate(TALK, [f"ws://localhost:{other}/api/socket", None]) == ["closed", False]

        page.goto(f"http://127.0.0.1:{own}/")  # the same application as another site: nothing allows it
        with pytest.raises(Exception, match="Failed to fetch"):
            ask(page, f"{there}/me", token)
        assert page.evaluate(SIGN_IN, ["ada@example.com", "wrong horse"]) == "EMAIL_PASSWORD_MISMATCH"
        assert ask(page, "/api/me") == (401, "USER_AUTHENTICATION_REQUIRED")
        assert page.evaluate(SIGN_IN, ["ada@example.com", PASSWORD]) == user
        assert ask(page, "/api/live") == (200, user)

        page.evaluate("async () => (await app.getUser()).setDisplayName('Ada')")
        token = page.evaluate(TOKEN)  # the SDK has dropped the one from before, its cookie too
        assert ask(page, "/api/me") == (200, user)
        page.evaluate("async () => (await app.getUser()).signOut()")
        assert ask(page, "/api/me") == (401, "USER_AUTHENTICATION_REQUIRED")
        assert ask(page, "/api/me", token) == (200, user)  # a token outlives its session
        assert ask(page, "/api/live", token) == (401, "USER_AUTHENTICATION_REQUIRED")
        page.goto(f"http://localhost:{own}/")
        assert ask(page, "/api/live") == (200, user)  # the other site's session goes on


def test_page_renews_a_token_that_is_over(sdk: Path, browser: Browser) -> None:
    """After the ten minutes that an access token lives, the SDK gets another with its refresh token."""
    sandbox = Sandbox()
    script = bundled(sdk, DATA / "page.js")
    with sandbox.serve(), served(application(sandbox, script)) as own, context(browser) as private:
        page = private.new_page()
        page.goto(f"http://localhost:{own}/")
        user = page.evaluate(SIGN_UP, ["ada@example.com", PASSWORD])[1]
        token = page.evaluate(TOKEN)
        assert ask(page, "/api/me", token) == (200, user)

        later = time.time() + 700
        page.clock.set_system_time(later)
        with time_machine.travel(later):
            assert ask(page, "/api/me", token) == (401, "ACCESS_TOKEN_EXPIRED")
            renewed = page.evaluate(TOKEN)
            assert ask(page, "/api/me", renewed) == (200, user)


class Pages:
    """The SDK's pages in a browser, as a person sees them.

    Args:
        origin: of the application.
    """

    def __init__(self, page: Page, origin: str) -> None:
        self.page, self.origin = page, origin

    def open(self, path: str) -> None:
        self.page.goto(f"{self.origin}{path}")

    def fill(self, **fields: str) -> None:
        for name, text in fields.items():
            self.page.locator(f"#{name.replace('_', '-')}").fill(text)

    def click(self, name: str, role: Any = "button") -> None:
        self.page.get_by_role(role, name=name, exact=True).click()

    def see(self, **me: str | None) -> None:
        """Wait for the application's own page, which shows what the backend on another origin told."""
        self.page.get_by_text(json.dumps(me, separators=(",", ":"))).wait_for()

    def sign_out(self) -> None:
        self.click("Sign out", "link")
        self.page.get_by_text("Sign in to your account").wait_for()


def test_pages_of_the_sdk_work(sdk: Path, browser: Browser, tmp_path: Path) -> None:
    """The guide's frontend: sign-up, verification, account settings, sign-in with a password and with a code."""
    sandbox, port = Sandbox(), free_port()
    with (
        sandbox.serve(),
        served(application(sandbox, allow_origins=[f"http://localhost:{port}"])) as backend,
        served(application(sandbox, guides_frontend(sandbox, backend, sdk, tmp_path)), port),
        context(browser) as private,
    ):
        page = private.new_page()
        pages = Pages(page, f"http://localhost:{port}")
        pages.open("/")
        pages.click("Sign up", "link")
        pages.click("Email & Password", "tab")
        pages.fill(email="ada@example.com", password="short", repeat_password="short")
        pages.click("Sign Up")
        page.get_by_text("Password too short").wait_for()
        pages.fill(password=PASSWORD, repeat_password=PASSWORD)
        pages.click("Sign Up")
        page.get_by_text('"name":null').wait_for()
        (user,) = (one for one in sandbox._project.users.values() if not one.is_anonymous)
        pages.see(id=user.id, name=None)

        mail = sandbox.emails[-1]
        assert (mail.kind, mail.to) == ("email_verification", "ada@example.com")
        page.goto(str(mail.link))
        pages.click("Verify")
        page.get_by_text("You email has been verified").wait_for()
        assert user.primary_email_verified

        pages.open("/")
        pages.click("Account", "link")
        name = page.get_by_text("User name", exact=True).locator("xpath=ancestor::*[.//button][1]")
        name.get_by_role("button").click()
        name.get_by_role("textbox").fill("Ada Lovelace")
        name.get_by_role("button", name="Save").click()
        name.get_by_text("Ada Lovelace", exact=True).wait_for()
        assert user.display_name == "Ada Lovelace"

        pages.open("/")
        pages.see(id=user.id, name="Ada Lovelace")
        pages.sign_out()
        pages.click("Email & Password", "tab")
        pages.fill(email="ada@example.com", password="wrong horse")
        pages.click("Sign In")
        page.get_by_text("Wrong e-mail or password").wait_for()
        pages.fill(password=PASSWORD)
        pages.click("Sign In")
        pages.see(id=user.id, name="Ada Lovelace")

        pages.sign_out()
        pages.fill(email="ada@example.com")
        pages.click("Send email")
        page.get_by_text("Enter the code from your email").wait_for()
        mail = sandbox.emails[-1]
        assert (mail.kind, mail.to) == ("sign_in_code", "ada@example.com")
        page.get_by_role("textbox").press_sequentially(str(mail.code).lower())
        pages.see(id=user.id, name="Ada Lovelace")
        assert [one.id for one in sandbox._project.users.values() if not one.is_anonymous] == [user.id]


def guides_frontend(sandbox: Sandbox, backend: int, sdk: Path, folder: Path) -> str:
    """The script of the page in the guide to local development, for a backend at that port."""
    (code,) = re.findall(r"^```tsx\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert code.count("http://localhost:8000/me") == 1
    file = folder / "main.tsx"
    file.write_text(code.replace("http://localhost:8000/me", f"http://localhost:{backend}/api/me"), encoding="utf-8")
    settings = {"PROJECT_ID": sandbox.config.project_id, "API_URL": sandbox.config.api_url}
    return bundled(sdk, file, {f"VITE_HEXCLAVE_{name}": value for name, value in settings.items()})
