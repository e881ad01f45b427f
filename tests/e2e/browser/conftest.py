"""A real browser before a real farm. A page that says an error or asks another host fails its test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright
from services.process import missing

from farm.embedded import EmbeddedFarm

sys.path.insert(0, str(Path(__file__).parent))

AXE = Path(__file__).parent / "vendor/axe.js"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def _found() -> str | None:
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def chromium() -> str:
    """Debian's own, installed where it is missing and that is allowed; else the tests are skipped, in CI they fail."""
    if _found() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (
            ["apt-get", "update", "-q"],
            ["apt-get", "install", "-qy", "--no-install-recommends", "chromium"],
        ):
            subprocess.run(command, env=environment, capture_output=True, timeout=600, check=False)
    path = _found()
    return path or missing("chromium", "none on PATH (Debian: apt-get install chromium)")


class Visitor:
    """One person's window on the farm, and all that went wrong in it."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.context = context
        self.origin = origin
        self.wrong: list[str] = []
        self.allowed: list[str] = []
        self.page = self.watch(context.new_page())

    def watch(self, page: Page) -> Page:
        """Note what goes wrong in a tab."""
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrong.append(f"{page.url}: {error}"))
        page.on("request", self._asked)
        return page

    def open(self, path: str) -> Page:
        """Go to an address of the farm."""
        self.page.goto(self.origin + path)
        return self.page

    def expect(self, *words: str) -> None:
        """These words in an error of the console are what the test makes happen."""
        self.allowed += words

    def _said(self, message: ConsoleMessage) -> None:
        text = f"{message.text} {message.location.get('url', '')}"
        if message.type in {"error", "warning"} and not any(word in text for word in self.allowed):
            self.wrong.append(f"console {message.type}: {text}")

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.wrong.append(f"a request to another origin: {request.url}")

    def check(self) -> None:
        """Fail with what went wrong so far."""
        assert self.wrong == []


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = chromium()
    arguments = ["--no-proxy-server", "--disable-gpu"] + (["--no-sandbox"] if os.geteuid() == 0 else [])
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=arguments)
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Browser, farm: EmbeddedFarm) -> Iterator[Callable[..., Visitor]]:
    """Opens windows: ``visit()``, ``visit(viewport=NARROW, color_scheme="dark")``. At the end each must be clean."""
    opened: list[Visitor] = []

    def open_(**how: Any) -> Visitor:
        context = browser.new_context(**{"viewport": WIDE, **how})
        context.set_default_timeout(30_000)
        opened.append(Visitor(context, farm.url))
        return opened[-1]

    yield open_
    for one in opened:
        one.context.close()
    for one in opened:
        one.check()


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    """A wide, light window."""
    return visit()


def serious(page: Page) -> list[str]:
    """What axe finds on a page that keeps people out: its serious and critical findings."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']}: {node['target']} {node.get('failureSummary', '')}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


def fits(page: Page) -> bool:
    """Whether nothing but a box that scrolls by itself is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))
