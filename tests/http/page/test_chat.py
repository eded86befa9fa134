"""The chat in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from api.errors import QueueFullError
from api.events import OutputDelta, OutputPiece
from api.types import ChatPrompt, FinishReason
from tests.fakes.server_handler import calling, ends, failing, hanging, saying, silent
from tests.http.page.conftest import WatchedHandler, until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page


def ask(page: Page, text: str = "Hi there") -> None:
    page.fill("#prompt", text)
    page.press("#prompt", "Enter")


def wait_for_end(page: Page) -> None:
    page.wait_for_selector(".message:last-child footer button")


def answer_text(page: Page) -> str:
    return page.locator(".message.assistant .markdown").last.inner_text()


def sent_messages(handler: WatchedHandler) -> list[dict[str, Any]]:
    """Role and content of what the last request had."""
    prompt = handler.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt)
    return [{"role": each["role"], "content": each["content"]} for each in prompt.messages]


def test_an_answer_streams_and_ends_with_its_figures(page: Page, handler: WatchedHandler) -> None:
    handler.script = hanging
    ask(page)
    page.wait_for_selector("text=Hello ✓")
    assert page.is_visible("#stop")
    assert not page.is_visible("#send")
    request, channel = handler.requests[-1], handler.channels[-1]
    channel.put_from_elsewhere(OutputDelta(request.request_id, 0, OutputPiece(content=" and more")))
    page.wait_for_selector("text=Hello ✓ and more")
    for event in ends(request, FinishReason.STOP):
        channel.put_from_elsewhere(event)
    wait_for_end(page)
    figures = page.locator(".message.assistant .numbers").inner_text()
    assert "TTFT" in figures
    assert "3 tokens" in figures
    assert "tokens/s" in figures
    assert "29 % cached" in figures
    assert page.is_visible("#send")


def test_stop_ends_it_on_the_server_too(page: Page, handler: WatchedHandler) -> None:
    handler.script = hanging
    ask(page)
    page.wait_for_selector("text=Hello ✓")
    page.click("#stop")
    page.wait_for_selector("text=stopped")
    assert answer_text(page) == "Hello ✓"
    until(page, lambda: handler.cancelled == [handler.requests[-1].request_id])
    handler.script = saying(OutputPiece(content="Again"))
    ask(page, "Go on")
    wait_for_end(page)
    assert [each["content"] for each in sent_messages(handler)] == ["Hi there", "Hello ✓", "Go on"]


def test_a_reload_keeps_the_chat_and_what_had_come_of_an_answer(page: Page, handler: WatchedHandler) -> None:
    ask(page)
    wait_for_end(page)
    handler.script = hanging
    ask(page, "Second")
    until(page, lambda: page.locator(".markdown").all_inner_texts() == ["Hello ✓", "Hello ✓"])
    page.reload()
    page.wait_for_selector("text=interrupted")
    assert page.locator(".message.user .plain").all_inner_texts() == ["Hi there", "Second"]
    assert page.locator(".message.assistant .markdown").all_inner_texts() == ["Hello ✓", "Hello ✓"]


def test_a_reload_before_the_first_token_is_no_error(page: Page, handler: WatchedHandler) -> None:
    handler.script = silent
    ask(page)
    until(page, lambda: handler.requests)
    page.reload()
    page.wait_for_selector("text=interrupted")
    assert page.locator(".error:visible").count() == 0


def test_edit_and_regenerate_drop_what_stood_behind(page: Page, handler: WatchedHandler) -> None:
    ask(page, "First")
    wait_for_end(page)
    ask(page, "Second")
    wait_for_end(page)
    page.locator(".message.assistant").first.get_by_text("Regenerate").click()
    until(page, lambda: len(handler.requests) == 3)
    wait_for_end(page)
    assert [each["content"] for each in sent_messages(handler)] == ["First"]
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_label("Edited message").fill("Better")
    page.get_by_text("Send again").click()
    until(page, lambda: len(handler.requests) == 4)
    wait_for_end(page)
    assert [each["content"] for each in sent_messages(handler)] == ["Better"]
    assert page.locator(".message").count() == 2


def test_several_chats_are_kept_and_can_be_deleted(page: Page, handler: WatchedHandler) -> None:
    for text in ("One", "Two"):
        page.click("#new-chat")
        ask(page, text)
        wait_for_end(page)
    assert page.locator("#chat-list .title").all_inner_texts() == ["Two", "One"]
    page.locator("#chat-list .title", has_text="One").click()
    assert page.locator(".message.user .plain").all_inner_texts() == ["One"]
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator("li.shown").get_by_label("Delete this chat").click()
    until(page, lambda: page.locator("#chat-list li").count() == 1)
    page.reload()
    assert page.locator("#chat-list .title").all_inner_texts() == ["Two"]


def test_an_answer_goes_on_in_a_chat_that_is_not_shown(page: Page, handler: WatchedHandler) -> None:
    handler.script = hanging
    ask(page, "Slow")
    page.wait_for_selector("text=Hello ✓")
    page.click("#new-chat")
    assert page.is_visible("#send")
    for event in ends(handler.requests[-1], FinishReason.STOP):
        handler.channels[-1].put_from_elsewhere(event)
    page.locator("#chat-list .title", has_text="Slow").click()
    wait_for_end(page)
    assert answer_text(page) == "Hello ✓"


def test_system_prompt_and_sampling_go_with_the_request(page: Page, handler: WatchedHandler) -> None:
    page.click("#toggle-settings")
    page.fill("#settings textarea[name=system]", "Be brief.")
    page.fill("#settings input[name=temperature]", "0.35")
    page.fill("#settings input[name=max_tokens]", "40")
    page.reload()
    ask(page)
    wait_for_end(page)
    assert sent_messages(handler)[0] == {"role": "system", "content": "Be brief."}
    request = handler.requests[-1]
    assert (request.sampling.temperature, request.max_tokens) == (0.35, 40)
    page.click("#toggle-settings")
    page.get_by_label("Reset Temperature").click()
    ask(page)
    until(page, lambda: len(handler.requests) == 2)
    assert handler.requests[-1].sampling.temperature != 0.35


def test_a_schema_is_kept_to_and_a_broken_one_is_explained(page: Page, handler: WatchedHandler) -> None:
    page.click("#toggle-settings")
    page.check("#settings input[name=useSchema]")
    ask(page)
    wait_for_end(page)
    assert handler.requests[-1].structure is not None
    page.fill("#settings textarea[name=schema]", "{")
    ask(page)
    page.wait_for_selector("#notice:visible")
    assert "not JSON" in page.locator("#notice").inner_text()
    assert len(handler.requests) == 1


def test_whoever_tries_tools_plays_their_part(page: Page, handler: WatchedHandler) -> None:
    page.click("#toggle-settings")
    page.check("#settings input[name=useTools]")
    handler.script = calling("get_weather", '{"city":', '"Rome"}')
    ask(page, "Weather in Rome?")
    page.wait_for_selector("text=Call of get_weather")
    assert '"city": "Rome"' in page.locator(".message.assistant pre").inner_text()
    handler.script = saying(OutputPiece(content="Sunny."))
    page.get_by_label("get_weather").fill("21 degrees")
    page.get_by_text("Send results").click()
    page.wait_for_selector("text=Sunny.")
    assert sent_messages(handler)[-1] == {"role": "tool", "content": "21 degrees"}


def test_thinking_is_folded(page: Page, handler: WatchedHandler) -> None:
    handler.script = saying(OutputPiece(reasoning="Let me see."), OutputPiece(content="Paris."))
    ask(page)
    wait_for_end(page)
    assert not page.is_visible("text=Let me see.")
    page.click("summary")
    assert page.is_visible("text=Let me see.")
    assert answer_text(page) == "Paris."


def test_code_is_copied_as_it_was_written(
    page: Page, context: BrowserContext, handler: WatchedHandler
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    code = "if a < b:\n    print('<b>')"
    handler.script = saying(OutputPiece(content=f"So:\n\n```python\n{code}\n```\n"))
    ask(page)
    wait_for_end(page)
    page.locator("figure.code").get_by_text("Copy").click()
    page.wait_for_selector("text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == code


@pytest.mark.parametrize("in_mid_stream", [False, True])
def test_an_error_is_said_and_can_be_tried_again(
    page: Page, handler: WatchedHandler, in_mid_stream: bool
) -> None:
    error = QueueFullError("The queue is full.")
    if in_mid_stream:
        handler.script = failing(error, before=hanging)
    else:
        handler.refusal = error
    ask(page)
    page.wait_for_selector(".error:has-text('The queue is full.')")
    handler.script, handler.refusal = saying(OutputPiece(content="Now.")), None
    page.get_by_text("Regenerate").click()
    page.wait_for_selector("text=Now.")
    assert page.locator(".error:visible").count() == 0


def test_a_key_is_asked_for_once(page: Page, handler: WatchedHandler) -> None:
    """As by a server that has keys."""
    seen: list[str | None] = []

    def guard(route: Any) -> None:
        seen.append(route.request.headers.get("authorization"))
        if seen[-1] == "Bearer right":
            route.continue_()
        else:
            route.fulfill(status=401, body='{"error": {"message": "A key is needed."}}')

    page.route("**/v1/chat/completions", guard)
    ask(page)
    page.fill("#key-input", "right")
    page.press("#key-input", "Enter")
    wait_for_end(page)
    ask(page, "Once more")
    until(page, lambda: len(handler.requests) == 2)
    assert seen == [None, "Bearer right", "Bearer right"]
