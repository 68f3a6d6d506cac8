"""The sandbox's page in a real browser, and what its buttons do to a real application."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from hexclave_integrations.testing import Sandbox
from hexclave_integrations.testing._mailbox import SandboxEmail

from ._browser import running_chromium
from ._sandbox_command import LIMIT, PLAIN, running
from ._services import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE: Final = "<img src=x onerror=alert(1)><script>alert(2)</script>" + "x" * 200
SIZES: Final = [(375, "light"), (375, "dark"), (1280, "light"), (1280, "dark")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests; each page has a context of its own."""
    with running_chromium() as found:
        yield found


@contextmanager
def opened(browser: Browser, url: str, width: int = 1280, scheme: Any = "light") -> Iterator[Page]:
    """The page, once it shows the state; it must ask nobody else, raise no dialog and write nothing to the console."""
    problems: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.set_default_timeout(LIMIT * 1000)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    page = context.new_page()
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(f"{url}/") else problems.append(request.url))
    try:
        page.goto(f"{url}/")
        status(page, "Running").wait_for()
        yield page
        assert problems == []
    finally:
        context.close()


def wait_for(done: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def button(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def status(page: Page, text: str) -> Any:
    """The mark at the top that says how the sandbox is."""
    return page.locator("#status", has_text=re.compile(f"^{text}$"))


def make_user(page: Page, name: str, kind: str) -> None:
    form = page.locator("#user-form")
    form.get_by_label("Name").fill(name)
    form.get_by_label("Kind").select_option(kind)
    form.get_by_role("button").click()
    page.locator("#user-list").get_by_text(name, exact=True).wait_for()


def copied_token(page: Page, name: str) -> dict[str, str]:
    """The header with the token that the page put into the clipboard."""
    button(page, f"Copy a token of {name}").click()
    page.get_by_text(f"A token of {name} is in the clipboard.").wait_for()
    return {"x-stack-access-token": str(page.evaluate("navigator.clipboard.readText()"))}


def test_buttons_move_a_real_application(browser: Browser) -> None:
    """Users of each kind, grants, restrictions, sign-out, keys and outages: each click shows in the application."""
    port = free_port()
    serve = [sys.executable, "-m", "uvicorn", "examples.fastapi_app.main:app", "--port", str(port)]
    # Permissions are asked for each time, so that a change shows at once; the keys are fetched anew without a pause.
    settings = {"HEXCLAVE_PERMISSION_TTL": "0", "HEXCLAVE_JWKS_COOLDOWN": "0"}
    with (
        running("--", *serve, "--log-level", "warning", extra=settings) as sandbox,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", **PLAIN) as application,
        opened(browser, sandbox.url) as page,
    ):
        wait_for(lambda: _answers(application))
        assert application.get("/me").status_code == 401
        for name, kind in (("Rita", "regular"), ("Rob", "restricted"), ("Ann", "anonymous")):
            make_user(page, name, kind)
        tokens = {name: copied_token(page, name) for name in ("Rita", "Rob", "Ann")}
        answers = {name: application.get("/me", headers=tokens[name]) for name in tokens}
        assert [answer.status_code for answer in answers.values()] == [200, 403, 401]
        assert answers["Rita"].json()["name"] == "Rita"
        assert answers["Rob"].json()["code"] == "RESTRICTED_USER_NOT_ALLOWED"
        assert answers["Ann"].json()["code"] == "ANONYMOUS_AUTHENTICATION_NOT_ALLOWED"

        button(page, "Lift the restriction of Rob").click()
        button(page, "Restrict Rob").wait_for()
        assert application.get("/me", headers=copied_token(page, "Rob")).status_code == 200

        page.get_by_label("Name of a new team").fill("Engines")
        button(page, "Make team").click()
        button(page, "Copy the id of the team Engines").click()
        page.get_by_text("The team id is in the clipboard.").wait_for()
        reports = f"/teams/{page.evaluate('navigator.clipboard.readText()')}/reports"
        assert application.post(reports, headers=tokens["Rita"]).status_code == 403
        form = page.locator("#grant-form")
        form.get_by_label("User").select_option(label="Rita")
        form.get_by_label("Permission").fill("export_reports")
        form.get_by_label("Where").select_option(label="Engines")
        form.get_by_role("button").click()
        revoke = button(page, "Revoke export_reports in Engines from Rita")
        revoke.wait_for()
        assert application.post(reports, headers=tokens["Rita"]).status_code == 200

        button(page, "Begin outage").click()
        status(page, "Outage").wait_for()
        assert application.get("/me", headers=tokens["Rita"]).status_code == 200  # the keys are known
        assert application.post(reports, headers=tokens["Rita"]).status_code == 503
        page.locator("#request-list").get_by_text("An outage is on").first.wait_for()
        button(page, "End outage").click()
        page.get_by_text("Everything is answered.").wait_for()
        assert application.post(reports, headers=tokens["Rita"]).status_code == 200

        revoke.click()
        revoke.wait_for(state="detached")
        assert application.post(reports, headers=tokens["Rita"]).status_code == 403

        assert application.delete("/account", headers=tokens["Rita"]).status_code == 200  # asks each time
        button(page, "Sign Rita out everywhere").click()
        page.get_by_text("Signed out.").wait_for()
        assert application.delete("/account", headers=tokens["Rita"]).status_code == 401

        key_form = page.locator("#key-form")
        key_form.get_by_label("Owner").select_option(label="Rita")
        key_form.get_by_role("button").click()
        page.locator("#secret").wait_for()
        key = {"x-api-key": page.locator("#secret-text").inner_text()}
        button(page, "Close").click()
        assert application.get("/machine", headers=key).status_code == 200

        rotated = copied_token(page, "Rita")
        button(page, "Rotate signing keys").click()
        page.get_by_text("The keys were rotated.").wait_for()
        fresh = copied_token(page, "Rita")
        assert application.get("/me", headers=fresh).status_code == 200
        assert application.get("/me", headers=rotated).status_code == 401

        page.once("dialog", lambda dialog: dialog.accept())
        button(page, "Delete Rita").click()
        page.locator("#user-list").get_by_text("Rita", exact=True).wait_for(state="detached")
        assert application.delete("/account", headers=fresh).status_code == 401


def _answers(application: httpx.Client) -> bool:
    try:
        return application.get("/").status_code == 200
    except httpx.HTTPError:
        return False


def test_refused_requests_are_explained(browser: Browser) -> None:
    """What an application asked shows without a reload, with status, code and reason; the rest can be hidden."""
    sandbox = Sandbox()
    with sandbox.serve() as url, opened(browser, url) as page:
        project = sandbox.config.project_id
        keys = f"/api/v1/projects/{project}/.well-known/jwks.json"
        headers = {"x-stack-access-type": "server", "x-stack-project-id": project}
        httpx.get(url + keys, **PLAIN)
        headers |= {"x-stack-secret-server-key": "ssk_of_another_run"}
        httpx.get(f"{url}/api/v1/users", headers=headers, **PLAIN)
        rows = page.locator("#request-list > li")
        page.get_by_text("The secret server key is not this sandbox's").wait_for()
        assert rows.count() == 2
        assert "401" in rows.first.inner_text()
        assert "INVALID_SECRET_SERVER_KEY" in rows.first.inner_text()
        page.get_by_label("Refused only").check()
        rows.nth(1).wait_for(state="detached")
        assert rows.count() == 1


def test_secrets_show_on_a_click_only(browser: Browser) -> None:
    """No token, and no secret key, is in the page before somebody asks for it, nor after it was closed."""
    sandbox = Sandbox()
    sandbox.create_user(display_name="Ada")
    secret = str(sandbox.config.secret_server_key)
    with sandbox.serve() as url, opened(browser, url) as page:
        button(page, "Show a token of Ada").wait_for()
        assert not re.search(r"eyJ|ssk_|whsec_", page.content())
        for opener, text in (("Show a token of Ada", "x-stack-access-token: eyJ"), ("Show all variables", secret)):
            button(page, opener).click()
            page.locator("#secret-text").filter(has_text=text).wait_for()
            page.keyboard.press("Escape")
            page.locator("#secret").wait_for(state="hidden")
            page.wait_for_function("document.getElementById('secret-text').textContent === ''")
        assert not re.search(r"eyJ|ssk_|whsec_", page.content())


def fill_with_everything(sandbox: Sandbox) -> None:
    """Something in every list, with hostile text wherever a stranger can put some."""
    ada = sandbox.create_user(display_name=HOSTILE, primary_email="a@example.com")
    sandbox.create_user("restricted", primary_email="<b>b</b>@example.com")
    sandbox.create_user("anonymous")
    team = sandbox.create_team(HOSTILE, creator=ada)
    sandbox.grant(ada, "export_reports_of_the_whole_department_and_more", team=team)
    sandbox.create_api_key(user=ada, description=HOSTILE)
    sandbox.token(ada)
    emails = sandbox._project.emails
    emails.append(SandboxEmail(to=HOSTILE, kind="x<i>", subject=HOSTILE, code="A7K2QX", link="javascript:alert(3)"))
    with httpx.Client(transport=sandbox._transport, base_url="https://sandbox") as client:
        client.get(f"/api/v1/{'<script>alert(4)</script>' * 5}", params={"q": HOSTILE})
    sandbox.deliver_webhooks_to(f"http://127.0.0.1:{free_port()}/<b>", retries=())
    sandbox.send_webhook(HOSTILE[:60], {})
    sandbox.flush_webhooks()


def test_hostile_text_is_text(browser: Browser) -> None:
    """Whatever somebody calls themselves: no element comes of it, nothing runs, and no link leads into a script."""
    sandbox = Sandbox()
    fill_with_everything(sandbox)
    dialogs: list[str] = []
    with sandbox.serve() as url, opened(browser, url) as page:
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        page.locator("#webhook-list > li").first.wait_for()
        assert page.locator("main img, main script, main b, main i").count() == 0
        assert page.locator('a[href^="javascript"]').count() == 0
        for name in ("user", "team", "key", "email", "webhook"):
            assert "<" in page.locator(f"#{name}-list").inner_text()
    sandbox.close()
    assert dialogs == []


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_readable_at_any_size_and_theme(width: int, scheme: str, browser: Browser) -> None:
    """Nothing makes the page scroll sideways, and every text has the contrast that WCAG 2 asks for (AA, 4.5)."""
    sandbox = Sandbox()
    fill_with_everything(sandbox)
    with sandbox.serve() as url, opened(browser, url, width, scheme) as page:
        page.locator("#webhook-list > li").first.wait_for()
        page.locator("summary").click()
        sizes = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        faint = page.evaluate(CONTRAST)
        button(page, "Show all variables").click()
        page.locator("#secret").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        faint += page.evaluate(CONTRAST)
    sandbox.close()

    assert sizes[0] <= sizes[1] == width
    assert faint == []


CONTRAST: Final = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walk.nextNode(); text; text = walk.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || node.closest(":disabled, noscript")) continue;
    if (!node.checkVisibility({ visibilityProperty: true })) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${text.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return faint;
}"""


def test_everything_can_be_done_by_keyboard(browser: Browser) -> None:
    """Every control is reached by Tab, has a name, and shows that it has the focus; Enter does what a click does."""
    sandbox = Sandbox()
    fill_with_everything(sandbox)
    with sandbox.serve() as url, opened(browser, url, 375) as page:
        page.locator("#webhook-list > li").first.wait_for()
        wanted = page.evaluate(
            "[...document.querySelectorAll('a, button, input, select, summary, .log')]"
            ".filter((node) => !node.disabled && node.checkVisibility()).length"
        )
        names: list[str] = []
        for _ in range(wanted):
            page.keyboard.press("Tab")
            name, outline = page.evaluate(
                "[document.activeElement.getAttribute('aria-label') || document.activeElement.labels?.[0]?.textContent"
                " || document.activeElement.textContent, getComputedStyle(document.activeElement).outlineStyle]"
            )
            assert name.strip(), page.evaluate("document.activeElement.outerHTML")
            assert outline == "solid", name
            names.append(name.strip())
        assert names[0] == "Skip to the users"
        assert any(name.startswith("Revoke export_reports") for name in names)
        assert any(name.startswith("Defined permissions") for name in names)

        page.locator("#user-form").get_by_label("Name").focus()
        page.keyboard.type("Kay")
        page.keyboard.press("Enter")
        copy = button(page, "Copy a token of Kay")
        copy.focus()
        page.keyboard.press("Enter")
        page.get_by_text("A token of Kay is in the clipboard.").wait_for()
        # The row is made anew when the user's session shows, and the focus is still on its button.
        page.locator("#user-list > li").filter(has_text="Kay").get_by_text("1 session").wait_for()
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Copy a token of Kay"
    sandbox.close()


def test_open_page_goes_on_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    """It says that nothing answers, and shows the same users when the sandbox is back."""
    options = ("--port", str(free_port()), "--state", str(tmp_path / "state"))
    with running(*options) as first:
        context = browser.new_context()
        page = context.new_page()
        page.goto(first.url)
        make_user(page, "Ada", "regular")
        first.end(signal.SIGTERM)
        status(page, "Not running: trying again").wait_for()
    with running(*options) as second:
        status(page, "Running").wait_for()
        page.locator("#user-list").get_by_text("Ada", exact=True).wait_for()
        make_user(page, "Bob", "regular")
        assert second.state()["users"]["total"] == 2
        context.close()


def test_picture_for_the_documentation(browser: Browser, tmp_path: Path) -> None:
    """The page as the guide to local development shows it; with HEXCLAVE_DOCS_PICTURES=1 it is written there."""
    guide = Path(__file__).resolve().parents[1] / "docs" / "_static"
    folder = guide if os.environ.get("HEXCLAVE_DOCS_PICTURES") == "1" else tmp_path
    sandbox = Sandbox()
    sandbox.create_user(display_name="Ada Lovelace")
    sandbox.create_user(kind="anonymous")
    with sandbox.serve() as url, opened(browser, url, width=1100) as page:
        page.get_by_text("Ada Lovelace").first.wait_for()
        taken = page.screenshot(path=folder / "sandbox.png")

    assert taken.startswith(b"\x89PNG")
    assert (guide / "sandbox.png").stat().st_size < 200_000
