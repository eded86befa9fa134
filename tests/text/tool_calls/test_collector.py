from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.events import OutputPipeline
from api.text.answer_form import AnswerForm
from api.text.output_pipeline import build_pipeline
from api.text.reasoning import find_reasoning_format
from api.text.tokenizer import Tokenizer
from api.text.tool_calls.formats import STANDARD_FORMAT, ToolCallFormat, find_tool_call_format
from tests.text.streams import Answer, encode_cut, joined, stream, tool_use
from tests.text.templates import BARE_JSON, CHATML_WITH_TOOLS, HARMONY, HARMONY_TOKENS, SHORT_IDS

LoadWith = Callable[..., Tokenizer]
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

MARKERS = ("<tool_call>", "</tool_call>", "<think>", "</think>")
WEATHER = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris",  "days": 2}}\n</tool_call>'
NOW = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
WEATHER_CALL = ("get_weather", '{"city": "Paris",  "days": 2}')
NOW_CALL = ("now", "{}")


@pytest.fixture(params=["tokens", "special_tokens"])
def caller(load_with: LoadWith, request: pytest.FixtureRequest) -> Tokenizer:
    return load_with(**{"tokens": (), request.param: MARKERS})


def pipeline_of(
    tokenizer: Tokenizer,
    tool_format: ToolCallFormat = STANDARD_FORMAT,
    *,
    stops: tuple[str, ...] = (),
    **fields: Any,
) -> OutputPipeline:
    return build_pipeline(
        tokenizer,
        AnswerForm(
            reasoning=find_reasoning_format(tokenizer), tool_format=tool_format, tool_use=tool_use(**fields)
        ),
        stops=stops,
    )


def answer_of(
    tokenizer: Tokenizer, text: str, tool_format: ToolCallFormat = STANDARD_FORMAT, **fields: Any
) -> Answer:
    answer = joined(stream(pipeline_of(tokenizer, tool_format, **fields), tokenizer.encode(text)))
    assert all(re.fullmatch(r"call_[0-9a-f]{24}", call_id) for call_id in answer.call_ids)
    assert len(set(answer.call_ids)) == len(answer.calls)
    return replace(answer, call_ids=[])


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        (WEATHER, "", [WEATHER_CALL]),
        (f"Let me see.\n{WEATHER}", "Let me see.", [WEATHER_CALL]),
        (f"{WEATHER}\n{NOW}\n", "", [WEATHER_CALL, NOW_CALL]),
        (f"{WEATHER}\n\nDone.", "Done.", [WEATHER_CALL]),
        (f"{WEATHER.removesuffix('</tool_call>')}", "", [WEATHER_CALL]),  # ended without its marker
        (f"{WEATHER.removesuffix('_call>')}", "", [WEATHER_CALL]),  # cut within it
        (
            '<tool_call>[{"name": "now", "arguments": {}}, {"name": "now", "arguments": {}}]</tool_call>',
            "",
            [NOW_CALL] * 2,
        ),
        ('<tool_call>{"name": "now", "arguments": {}, "id": {"a": "}"}}</tool_call>x', "x", [NOW_CALL]),
        ('<tool_call>{"arguments": {}, "name": "now"}</tool_call>', "", [NOW_CALL]),
        ('<tool_call>{"name": "now"}</tool_call>', "", [NOW_CALL]),
        ("Hello\n", "Hello\n", []),
        ("a < b <tool", "a < b <tool", []),
    ],
)
def test_calls_and_content(caller: Tokenizer, text: str, content: str, calls: list[tuple[str, str]]) -> None:
    assert answer_of(caller, text) == Answer(content, calls=calls)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "rm", "arguments": {"path": "/"}}</tool_call>',
        "A\n<tool_call>no call</tool_call> at all",
        "<tool_call></tool_call>",
        '<tool_call>{"name": "get_weather", "argu',
        '<tool_call>{"name": "now"',
        "<tool_call>",
        '<tool_call>{"name": "now", "arguments": {}, ',
    ],
)
def test_what_is_no_call_is_text(caller: Tokenizer, text: str) -> None:
    pipeline = pipeline_of(caller)
    answer = joined(stream(pipeline, caller.encode(text)))
    is_call = text.endswith("{}, ")
    assert answer.calls == ([NOW_CALL] if is_call else [])
    assert answer.content == ("" if is_call else text)
    assert pipeline.has_tool_calls is is_call


def test_text_of_no_call_keeps_its_logprobs(caller: Tokenizer) -> None:
    token_ids = caller.encode(f"A\n<tool_call>none</tool_call>b{NOW}")
    answer = joined(stream(pipeline_of(caller), token_ids, has_logprobs=True))
    assert b"".join(each.raw for each in answer.logprobs) == b"A\n<tool_call>none</tool_call>b"
    assert [each.logprob for each in answer.logprobs] == [-float(i) for i in range(len(answer.logprobs))]


def test_a_cut_call_is_partial_arguments(caller: Tokenizer) -> None:
    text = WEATHER[: WEATHER.index("ris")]
    assert answer_of(caller, text) == Answer(calls=[("get_weather", '{"city": "Pa')])


def test_arguments_stream_after_id_and_name(caller: Tokenizer) -> None:
    pipeline = pipeline_of(caller)
    token_ids = [i for char in WEATHER for i in caller.encode(char)]
    deltas = [delta for token_id in token_ids for delta in pipeline.feed(token_id).tool_calls]
    assert (deltas[0].name, deltas[0].arguments) == ("get_weather", "")
    before, comma, behind = WEATHER_CALL[1].partition(",  ")
    assert [delta.arguments for delta in deltas[1:]] == [*before, comma + behind[0], *behind[1:]]
    assert {delta.name for delta in deltas[1:]} == {delta.call_id for delta in deltas[1:]} == {None}


def test_markers_inside_of_arguments_are_text(caller: Tokenizer) -> None:
    arguments = '{"city": "</tool_call><tool_call>"}'
    text = f'<tool_call>{{"name": "get_weather", "arguments": {arguments}}}</tool_call>!'
    assert answer_of(caller, text) == Answer("!", calls=[("get_weather", arguments)])


@pytest.mark.parametrize(
    "body",
    [
        '{"arguments": {"city": "</tool_call>!"}, "name": "get_weather"}',
        '{"name": "get_weather", "arguments": "{\\"city\\": \\"</tool_call>!\\"}"}',
        '[{"name": "get_weather", "arguments": {"city": "</tool_call>!"}}]',
    ],
)
def test_markers_inside_of_strings_are_text_also_where_the_call_comes_whole(
    caller: Tokenizer, body: str
) -> None:
    answer = answer_of(caller, f"<tool_call>{body}</tool_call>.")
    ((name, arguments),) = answer.calls
    assert (name, json.loads(arguments), answer.content) == ("get_weather", {"city": "</tool_call>!"}, ".")


DAMAGED = [
    '{"name": "get_weather", "arguments": {"city": "a\nb", "days": 2,}}',
    '{"arguments": {"city": "a\nb", "days": 2,}, "name": "get_weather",}',
    "{'name': 'get_weather', 'arguments': {'city': 'a\\nb', 'days': 2}}",
    '{"name": "get_weather", "arguments": "{\'city\': \'a\\\\nb\', \'days\': 2,}"}',
]


@pytest.mark.parametrize("body", DAMAGED)
def test_arguments_are_json_also_where_the_call_has_small_damage(caller: Tokenizer, body: str) -> None:
    pipeline = pipeline_of(caller)
    token_ids = [i for char in f"<tool_call>{body}</tool_call>." for i in caller.encode(char)]
    answer = joined(stream(pipeline, token_ids))
    ((name, arguments),) = answer.calls
    assert (name, json.loads(arguments)) == ("get_weather", {"city": "a\nb", "days": 2})
    assert answer.content == "." and pipeline.has_tool_calls


def test_damage_that_cannot_be_mended_comes_as_it_is(caller: Tokenizer) -> None:
    text = '<tool_call>{"name": "get_weather", "arguments": {"city": Paris}}</tool_call>.'
    assert answer_of(caller, text) == Answer(".", calls=[("get_weather", '{"city": Paris}')])


@pytest.mark.parametrize("allows_parallel", [True, False])
def test_brackets_that_are_missing_before_the_marker_are_closed(
    caller: Tokenizer, allows_parallel: bool
) -> None:
    text = '<tool_call>{"name": "get_weather", "arguments": {"days": 2, \n</tool_call>' + NOW
    calls = answer_of(caller, text, allows_parallel=allows_parallel).calls
    assert (calls[0][0], json.loads(calls[0][1])) == ("get_weather", {"days": 2})
    assert calls[1:] == ([NOW_CALL] if allows_parallel else [])


def test_a_call_that_is_cut_stays_cut(caller: Tokenizer) -> None:
    text = '<tool_call>{"name": "get_weather", "arguments": {"days": 2, '
    assert answer_of(caller, text).calls == [("get_weather", '{"days": 2, ')]


def test_one_call_only(caller: Tokenizer) -> None:
    pipeline = pipeline_of(caller, allows_parallel=False, stops=("see!",))
    pieces = stream(pipeline, caller.encode(f"I see {WEATHER}{NOW} more"))
    assert pipeline.is_stopped and pipeline.has_tool_calls
    assert replace(joined(pieces), call_ids=[]) == Answer("I see", calls=[WEATHER_CALL])
    assert not pipeline.feed(caller.encode("x")[0]) and not pipeline.flush()


def test_the_text_before_an_only_call_is_whole(caller: Tokenizer) -> None:
    pipeline = pipeline_of(caller, allows_parallel=False, stops=("seen",))
    assert joined(stream(pipeline, caller.encode(f"I see{NOW}"))).content == "I see"


def test_a_stop_string_ends_content_and_not_arguments(caller: Tokenizer) -> None:
    pipeline = pipeline_of(caller, stops=("Paris",))
    answer = joined(stream(pipeline, caller.encode(f"{WEATHER}In Paris{NOW}")))
    assert replace(answer, call_ids=[]) == Answer("In ", calls=[WEATHER_CALL])


def test_calls_after_reasoning(caller: Tokenizer) -> None:
    text = f"<think>\nI could {NOW}\n</think>\n\n{WEATHER}"
    answer = answer_of(caller, text)
    assert answer == Answer("", answer.reasoning, calls=[WEATHER_CALL])
    assert answer.reasoning.startswith("I could ")  # call it there, that is


PARTS = [
    WEATHER,
    NOW,
    "<tool_call>",
    "</tool_call>",
    "\n",
    " a",
    "<think>",
    "</think>",
    '{"name": "now"}',
    "\N{EURO SIGN}",
]


@relaxed
@given(
    parts=st.lists(st.sampled_from(PARTS), max_size=6),
    cuts=st.sets(st.integers(0, 300), max_size=30),
    allows_parallel=st.booleans(),
)
def test_however_the_tokens_fall(
    load_with: LoadWith, parts: list[str], cuts: set[int], allows_parallel: bool
) -> None:
    caller = load_with(tokens=MARKERS)
    text = "".join(parts)
    pipeline = pipeline_of(caller, allows_parallel=allows_parallel)
    pieces = stream(pipeline, encode_cut(caller, text, cuts))
    expected = answer_of(caller, text, allows_parallel=allows_parallel)
    assert replace(joined(pieces), call_ids=[]) == expected


def declared(name: str, **fields: Any) -> ToolCallFormat:
    module = import_module(f"mlx_lm.tool_parsers.{name}")
    return ToolCallFormat(
        module.tool_call_start, module.tool_call_end, is_json=False, parse=module.parse_tool_call, **fields
    )


XML_CALL = (
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>"
)


def test_formats_that_cannot_stream_come_whole(caller: Tokenizer) -> None:
    pipeline = pipeline_of(caller, declared("qwen3_coder"))
    pieces = stream(pipeline, caller.encode(f"Hm.\n{XML_CALL}\n{XML_CALL}"))
    assert replace(joined(pieces), call_ids=[]) == Answer(
        "Hm.", calls=[("get_weather", '{"city": "Paris"}')] * 2
    )
    assert max(len(piece.tool_calls) for piece in pieces) == 1


def test_a_cut_call_of_such_a_format_is_text(caller: Tokenizer) -> None:
    text = "<tool_call>get_weather<arg_key>city</arg_key><arg_val"
    assert answer_of(caller, text, declared("glm47", parses_unclosed=False)) == Answer(text)
    assert answer_of(caller, XML_CALL[:-30], declared("qwen3_coder")) == Answer(XML_CALL[:-30])


def test_special_tokens_inside_of_a_call_reach_the_parser(load_with: LoadWith) -> None:
    tokenizer = load_with(special_tokens=("<|tool_call>", "<tool_call|>", '<|"|>'), tokens=())
    text = '<|tool_call>call:get_weather{city:<|"|>a}b<|"|>,days:2}<tool_call|>'
    expected = Answer(calls=[("get_weather", '{"city": "a}b", "days": 2}')])
    assert answer_of(tokenizer, text, declared("gemma4")) == expected
    assert answer_of(tokenizer, text, declared("gemma4"), allows_parallel=False) == expected


def test_several_calls_between_two_markers_of_which_one_is_allowed(load_with: LoadWith) -> None:
    text = "<|tool_call_start|>[now(), get_weather(days=2)]<|tool_call_end|>"
    tokenizer = load_with(tokens=())
    pythonic = declared("pythonic")
    assert len(answer_of(tokenizer, text, pythonic).calls) == 2
    assert answer_of(tokenizer, text, pythonic, allows_parallel=False).calls == [NOW_CALL]


def test_calls_without_an_end_marker(load_with: LoadWith) -> None:
    tokenizer = load_with(SHORT_IDS, special_tokens=("[TOOL_CALLS]", "[ARGS]"), tokens=())
    mistral = find_tool_call_format(tokenizer)
    calls = [("get_weather", '{"city": "a"}'), NOW_CALL]
    text = '[TOOL_CALLS]get_weather[ARGS]{"city": "a"}[TOOL_CALLS]now[ARGS]{}'
    assert answer_of(tokenizer, f"So: {text}", mistral) == Answer("So:", calls=calls)
    text = (
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "a"}}, {"name": "now", "arguments": {}}]'
    )
    assert answer_of(tokenizer, text, mistral) == Answer(calls=calls)


def test_kimis_section_streams(load_with: LoadWith) -> None:
    names = ["tool_calls_section_begin", "tool_calls_section_end", "tool_call_begin", "tool_call_end"]
    special = (*(f"<|{name}|>" for name in names), "<|tool_call_argument_begin|>")
    template = "{{ messages[0].content }}{{ tools }}<|tool_calls_section_begin|>"
    tokenizer = load_with(template, special_tokens=special, tokens=())
    kimi = find_tool_call_format(tokenizer)
    call = "<|tool_call_begin|>functions.{}<|tool_call_argument_begin|>{}<|tool_call_end|>"
    calls = call.format("get_weather:0", '{"city": "a"}') + call.format("now:1", "{}")
    pipeline = pipeline_of(tokenizer, kimi)
    text = f"Hm.<|tool_calls_section_begin|>{calls}<|tool_calls_section_end|>Done"
    pieces = stream(pipeline, tokenizer.encode(text))
    expected = Answer("Hm.Done", calls=[("get_weather", '{"city": "a"}'), NOW_CALL])
    assert replace(joined(pieces), call_ids=[]) == expected
    assert sum(bool(piece.tool_calls) for piece in pieces) > 4


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (
            '{"name": "get_weather", "parameters": {"days": 2}}',
            Answer(calls=[("get_weather", '{"days": 2}')]),
        ),
        ('<|python_tag|>{"name": "now", "parameters": {}}', Answer(calls=[NOW_CALL])),
        (
            '{"name": "now", "parameters": {}}; {"name": "now", "parameters": {}}',
            Answer(calls=[NOW_CALL] * 2),
        ),
        ('{"name": "Bob", "age": 5}', Answer('{"name": "Bob", "age": 5}')),
        ("Hello {", Answer("Hello {")),
        ('{"answer": 1}<|python_tag|>', Answer('{"answer": 1}')),
    ],
)
def test_calls_without_any_marker(load_with: LoadWith, text: str, answer: Answer) -> None:
    tokenizer = load_with(BARE_JSON, special_tokens=("<|python_tag|>",), tokens=())
    bare = find_tool_call_format(tokenizer)
    assert bare.is_bare
    assert answer_of(tokenizer, text, bare) == answer


def test_plain_text_streams_where_calls_have_no_marker(load_with: LoadWith) -> None:
    tokenizer = load_with(BARE_JSON, special_tokens=("<|python_tag|>",), tokens=())
    pipeline = pipeline_of(tokenizer, find_tool_call_format(tokenizer))
    pieces = [pipeline.feed(i) for char in "Hi you" for i in tokenizer.encode(char)]
    assert [piece.content for piece in pieces] == ["H", "i", "", " y", "o", "u"]


@pytest.mark.parametrize(
    "call",
    [
        '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"days": 2}',
        ' to=functions.get_weather<|channel|>commentary json<|message|>{"days": 2}<|call|>',
        ' to=functions.{"name": "get_weather", "arguments": {"days": 2}}<|call|>',
    ],
)
def test_calls_in_headers(load_with: LoadWith, call: str) -> None:
    tokenizer = load_with(HARMONY, special_tokens=HARMONY_TOKENS)
    harmony = find_tool_call_format(tokenizer)
    expected = Answer("", "Hm.", [("get_weather", '{"days": 2}')])
    text = f"<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant{call}"
    assert answer_of(tokenizer, text, harmony) == expected


def test_the_declared_format_of_a_chat_template(load_with: LoadWith) -> None:
    tokenizer = load_with(CHATML_WITH_TOOLS, tokens=("<tool_call>", "</tool_call>"))
    assert answer_of(tokenizer, WEATHER, find_tool_call_format(tokenizer)).calls == [WEATHER_CALL]


def test_quotes_of_a_format_that_is_no_json_hold_no_marker_back(load_with: LoadWith) -> None:
    text = "<|tool_call_start|>[get_weather(city='say \"hi')]<|tool_call_end|>."
    answer = answer_of(load_with(tokens=()), text, declared("pythonic"))
    assert answer == Answer(".", calls=[("get_weather", '{"city": "say \\"hi"}')])
