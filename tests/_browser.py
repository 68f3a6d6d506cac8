"""Chromium from the system's packages, driven by Playwright, for as long as a block lasts."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ._services import do_without

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_FLAGS: Final = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@contextmanager
def running_chromium(*flags: str) -> Iterator[Browser]:
    """A browser; the test is skipped with the reason where there is none, and fails in CI.

    Args:
        flags: for its command line, besides the usual ones.
    """
    if importlib.util.find_spec("playwright") is None:
        do_without("playwright is not installed")
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None:
        do_without("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=binary, args=[*_FLAGS, *flags])
        try:
            yield browser
        finally:
            browser.close()
