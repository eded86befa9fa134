from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from api.text.tokenizer import Tokenizer
from api.text.tool_calls.formats import (
    STANDARD_FORMAT,
    find_tool_call_format,
    match_header,
    may_become_bare_call,
)
from tests.text.conftest import TEMPLATE
from tests.text.templates import BARE_JSON, CHATML_WITH_TOOLS, HARMONY, SHORT_IDS

LoadWith = Callable[..., Tokenizer]


def test_a_template_without_tools_has_the_standard_format(load_with: LoadWith) -> None:
    assert find_tool_call_format(load_with(TEMPLATE)) is STANDARD_FORMAT
    assert find_tool_call_format(load_with(None)) is STANDARD_FORMAT


@pytest.mark.parametrize(
    ("template", "begin", "end", "is_json"),
    [
        (CHATML_WITH_TOOLS, "<tool_call>", "</tool_call>", True),
        (SHORT_IDS, "[TOOL_CALLS]", "", False),
        (CHATML_WITH_TOOLS + "{# <arg_key> #}", "<tool_call>", "</tool_call>", False),
        (
            CHATML_WITH_TOOLS.replace("tool_call.name", "tool_call['name']"),
            "<tool_call>",
            "</tool_call>",
            True,
        ),
        (BARE_JSON, "", "", True),
        (HARMONY, " to=functions.", "<|call|>", False),
    ],
)
def test_the_format_that_the_template_teaches(
    load_with: LoadWith, template: str, begin: str, end: str, is_json: bool
) -> None:
    found = find_tool_call_format(load_with(template))
    assert (found.begin, found.end, found.is_json) == (begin, end, is_json)


def test_lenient_parsers_need_the_end_marker(load_with: LoadWith) -> None:
    assert find_tool_call_format(load_with(CHATML_WITH_TOOLS)).parses_unclosed
    assert not find_tool_call_format(load_with(CHATML_WITH_TOOLS + "{# <arg_key> #}")).parses_unclosed


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ('{"name": "now", "arguments": {"a": 1}}', '{"name": "now", "arguments": '),
        (
            '\n[{"type":"function","name":"now","parameters":{}}',
            '\n[{"type":"function","name":"now","parameters":',
        ),
        ('{"name": "now", "arguments": "{}"}', None),
        ('{"name": "now", "argu', None),
        ("Hello", None),
    ],
)
def test_json_headers(text: str, header: str | None) -> None:
    match = match_header(STANDARD_FORMAT.headers_of(["now"]), text)
    assert (match and match[0]) == header


@pytest.mark.parametrize("template", [CHATML_WITH_TOOLS, SHORT_IDS, HARMONY])
def test_headers_are_sought_in_linear_time(load_with: LoadWith, template: str) -> None:
    found = find_tool_call_format(load_with(template))
    headers = found.headers_of(["f", "aa", "a" * 64])
    started = time.process_time()
    for text in (" " * 4000, ";" * 4000, "a" * 4000, "f" + " " * 4000, '{"name"' + " " * 4000):
        assert match_header(headers, text) is None
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("", True),
        (" \n{", True),
        ('{ "na', True),
        ('<|python_tag|>{"name": "f", "par', True),
        ('{"type": "function", "name', True),
        ("Hello", False),
        ('{"answer', False),
        ('{"name": "' + "f" * 100, False),
    ],
)
def test_what_may_become_a_bare_call(text: str, may: bool) -> None:
    assert may_become_bare_call(text, 64) is may
