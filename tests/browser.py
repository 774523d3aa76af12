"""Debian's Chromium, driven by Playwright with the network cut, and the accessibility check axe."""

import contextlib
import shutil
from dataclasses import dataclass, field

import pytest

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing: apt-get install chromium")


@dataclass
class Visit:
    """A page that was opened.

    Attributes:
        page: playwright's Page.
        complaints: errors of scripts, and what the console said as an error.
        requests: addresses that were asked for, but for the page itself and data: URLs.
    """

    page: object
    complaints: list = field(default_factory=list)
    requests: list = field(default_factory=list)

    def violations(self):
        """What axe complains of."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page)
        return found.generate_report() if found.violations_count else ""


_shared = None  # the browser of `one_browser`


@contextlib.contextmanager
def one_browser():
    """All visits of the block are made with one browser, each in a context of its own; no asyncio beside it."""
    global _shared
    with _launched() as _shared:
        try:
            yield
        finally:
            _shared = None


@contextlib.contextmanager
def _launched():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def visit(path, *, width=1280, drawn=None, scheme="light"):
    """Open a file in headless Chromium, offline, and yield a Visit.

    Args:
        path: HTML file.
        width: of the window in pixels.
        drawn: JavaScript expression that is true when the page is complete; None does not wait.
        scheme: what the reader prefers, light or dark.
    """
    with contextlib.nullcontext(_shared) if _shared else _launched() as browser:
        context = browser.new_context(viewport={"width": width, "height": 800}, offline=True, color_scheme=scheme)
        seen = Visit(context.new_page())
        address = path.resolve().as_uri()
        seen.page.on("console", lambda m: m.type == "error" and seen.complaints.append(m.text))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on(
            "request",
            lambda r: r.url != address and not r.url.startswith("data:") and seen.requests.append(r.url),
        )
        seen.page.goto(address)
        if drawn:
            seen.page.wait_for_function(drawn, timeout=60_000)
        yield seen
        context.close()
