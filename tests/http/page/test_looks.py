"""The live view, light and dark, and narrow screens, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.http.page.conftest import WatchedHandler, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

_PHONE = {"width": 360, "height": 700}


def ground(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def overflow(page: Page) -> int:
    """How many pixels the page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def test_dark_as_the_system_until_somebody_chooses(page: Page) -> None:
    light = ground(page)
    page.emulate_media(color_scheme="dark")
    dark = ground(page)
    assert light != dark
    page.click("#theme")
    assert ground(page) == light
    page.click("#theme")
    page.emulate_media(color_scheme="light")
    assert ground(page) == dark
    page.reload()
    page.wait_for_selector("#theme:has-text('Dark')")
    assert ground(page) == dark


def test_a_phone_shows_one_thing_at_a_time(page: Page, handler: WatchedHandler) -> None:
    page.set_viewport_size(_PHONE)
    page.fill("#prompt", "A" * 400)
    page.click("#send")
    page.wait_for_selector(".message:last-child footer button")
    assert overflow(page) <= 0
    assert not page.is_visible("#chats")
    page.click("#toggle-chats")
    assert page.is_visible("#new-chat")
    page.click("#new-chat")
    assert not page.is_visible("#chats")
    page.click("#toggle-settings")
    assert overflow(page) <= 0
    page.click("#toggle-settings")
    page.click("#tab-live")
    page.wait_for_selector(".chat-bar")
    assert overflow(page) <= 0


def test_the_live_view_has_a_bar_for_each_chat(page: Page, handler: WatchedHandler) -> None:
    page.click("#tab-live")
    page.wait_for_selector(".chat-bar")
    assert page.locator(".chats h2").inner_text() == "2 running, 3 waiting"
    assert page.locator(".chat-bar .numbers").all_inner_texts() == [
        "prompt 100 · 40 % read · 32 % cached · 0 written · place of 256",
        "prompt 100 · 64 written · place of 256",
    ]
    widths = page.locator(".track").first.locator("i").evaluate_all("all => all.map(i => i.style.width)")
    assert widths == ["12.5%", "3.125%", "23.4375%", "0%"]
    facts = page.locator(".facts").inner_text()
    assert "flat, cpu" in facts
    assert "134.5M parameters" in facts
    line = page.locator(".plot path").first
    until(page, lambda: "L" in (line.get_attribute("d") or ""))  # from one sample to the next


def test_it_asks_only_while_it_is_seen(page: Page, handler: WatchedHandler) -> None:
    before = handler.num_stats
    page.wait_for_timeout(1500)
    assert handler.num_stats == before  # the chat is shown
    page.click("#tab-live")
    until(page, lambda: handler.num_stats >= before + 2)
    assert handler.num_stats <= before + 4
    hide = "Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})"
    page.evaluate(f"() => {{ {hide}; document.dispatchEvent(new Event('visibilitychange')); }}")
    page.wait_for_timeout(300)
    hidden = handler.num_stats
    page.wait_for_timeout(1500)
    assert handler.num_stats == hidden


def test_the_view_is_kept_and_a_server_that_is_gone_is_named(page: Page, handler: WatchedHandler) -> None:
    page.click("#tab-live")
    page.reload()
    page.wait_for_selector(".chat-bar")
    page.route("**/stats", lambda route: route.abort())
    page.wait_for_selector(".error:has-text('cannot be reached')")
    page.unroute("**/stats")
    page.wait_for_selector(".error", state="hidden")
