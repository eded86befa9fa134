"""A real browser before a real server that plays scripts; without a browser its tests are skipped."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from api.observability.metrics import Metrics
from api.server_stats import ServerStats
from api.stats import DeviceBytes, PrefixCacheStats, RunningChat, SchedulerStats
from tests.fakes.live_server import live_server
from tests.fakes.server_handler import FakeServerHandler, hello

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
_MODEL = {"device": "cpu", "forward": "flat", "num_parameters": 134_500_000, "weight_bytes": 538_000_000}


class WatchedHandler(FakeServerHandler):
    """Says in /stats what a full engine would, and counts who asks."""

    num_stats = 0

    def stats(self) -> dict[str, Any]:
        self.num_stats += 1
        chats = (RunningChat(100, 40, 32, 0, 50, 256), RunningChat(100, 100, 0, 64, 90, 256))
        prefixes = PrefixCacheStats(200, 100, 3, 0, 1 << 20, 1 << 30)
        scheduler = SchedulerStats(
            2, 3, 1 << 20, 1 << 21, 1 << 30, prefix_cache=prefixes, running_chats=chats
        )
        return ServerStats("ok", _MODEL, Metrics().snapshot(), scheduler, DeviceBytes(), 5, 5, 32).as_dict()


def find_browser() -> str | None:
    found = (shutil.which(name) for name in _NAMES)
    return next((path for path in found if path), str(_MAC) if _MAC.exists() else None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is in requirements-dev.txt")
    path = find_browser()
    if path is None:
        pytest.skip("no browser: on Debian apt-get install chromium")
    is_root = os.name == "posix" and os.geteuid() == 0
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"] if is_root else [])
        yield started
        started.close()


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[WatchedHandler, str]]:
    """The server's handler, and its URL."""
    handler = WatchedHandler()
    with live_server(handler) as url:
        yield handler, url


@pytest.fixture
def handler(played: tuple[WatchedHandler, str]) -> WatchedHandler:
    handler, _ = played
    handler.script, handler.refusal = hello, None
    for each in (handler.requests, handler.channels, handler.cancelled):
        each.clear()
    return handler


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """As new, with nothing kept."""
    context = browser.new_context(color_scheme="light", viewport={"width": 1100, "height": 760})
    context.set_default_timeout(10_000)
    yield context
    context.close()


def until(page: Page, condition: Callable[[], object], timeout_seconds: float = 10.0) -> None:
    """Lets the browser go on meanwhile; its own wait_for_function would need what the policy forbids."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        page.wait_for_timeout(20)


@pytest.fixture
def page(context: BrowserContext, played: tuple[WatchedHandler, str]) -> Iterator[Page]:
    """Opened; whatever breaks in it, or would break its policy, fails the test."""
    page = context.new_page()
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda line: broken.append(line.text) if "Content Security" in line.text else None)
    page.goto(played[1])
    page.wait_for_selector("#model-name:has-text('tiny')")
    yield page
    assert broken == []
