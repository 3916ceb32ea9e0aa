"""A real Chromium, and pages that must not make a single mistake in it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.services.live_server import LiveServer, live_server

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
expect.set_options(timeout=15_000)  # of milliseconds on an idle machine
IS_REQUIRED = bool(os.environ.get("HPSEARCH_TEST_BROWSER"))  # noqa: TID251 - set by .ci/run


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium of this machine, or Playwright's own."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = next(filter(None, map(shutil.which, NAMES)), None)
        path = found or (own if Path(own).exists() else None)
        if path is None:
            reason = f"NO BROWSER TEST HAS RUN: none of {', '.join(NAMES)} is installed"
            if IS_REQUIRED:
                pytest.fail(reason)
            pytest.skip(reason)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def server(sqlite_url: str, tmp_path: Path) -> Iterator[LiveServer]:
    """A server whose workers the test moves by hand."""
    with live_server(sqlite_url, tmp_path / "data") as server:
        yield server


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open pages, logged in; at the end none may have had an error of its script."""
    mistakes: list[str] = []
    contexts: list[BrowserContext] = []

    def open_page(login_link: str, path: str = "/", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        page.on("console", lambda said: _note(mistakes, said.type, said.text))
        page.goto(login_link)
        page.goto(login_link.partition("/login")[0] + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert mistakes == []


def _note(mistakes: list[str], kind: str, text: str) -> None:
    # what the browser says of answers that are refusals, or do not come, is no mistake of a page
    if kind == "error" and "Failed to load resource" not in text and "ERR_" not in text:
        mistakes.append(text)
