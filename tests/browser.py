"""Pages opened in the system's Chromium, as a visitor would, with everything noted that goes wrong.

Used as a pytest plugin (see ``tests/conftest.py``). Tests that need it are marked ``browser``. They
are skipped where Chromium or Playwright is missing, and fail there if MINIFCN_REQUIRE_BROWSER=1.
"""
from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-first-run"]
SERIOUS = ("serious", "critical")


def _missing(what: str) -> None:
    if os.environ.get("MINIFCN_REQUIRE_BROWSER") == "1":
        pytest.fail(f"MINIFCN_REQUIRE_BROWSER=1, but {what}")
    pytest.skip(what)


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """The browser itself; one for all tests of a process."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        _missing("Chromium is not installed (apt-get install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _missing("Playwright is not installed (pip install 'minifcn[site]')")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """A page, and what happened on it: messages of the console, requests that leave the disk."""

    def __init__(self, page):
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.errors.append(message.text)
                if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url)
                if not request.url.startswith(("file:", "data:", "blob:", "about:")) else None)

    def open(self, path: Path | str, fragment: str = ""):
        """Load a file, and wait until its scripts have run."""
        self.page.goto(f"{Path(path).resolve().as_uri()}{fragment}", wait_until="load")
        return self.page

    def assert_quiet(self) -> None:
        assert not self.errors
        assert not self.requests

    def assert_accessible(self) -> None:
        """axe-core finds nothing serious."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page, options={"preload": False}).response["violations"]
        assert not [(each["id"], [node["html"][:200] for node in each["nodes"]][:3])
                    for each in found if each["impact"] in SERIOUS]

    def assert_fits(self, width: int) -> None:
        """The page needs no sideways scrolling in a window of this width."""
        self.page.set_viewport_size({"width": width, "height": 900})
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture
def visit(chromium) -> Iterator[Visit]:
    """A fresh page, 1280 pixels wide."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    yield Visit(context.new_page())
    context.close()


@pytest.fixture
def visit_without_script(chromium) -> Iterator[Visit]:
    context = chromium.new_context(java_script_enabled=False)
    yield Visit(context.new_page())
    context.close()
