"""Every field that OpenAI publishes has a row in our table: a new one is a failing test, not silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from api.http.chat_completions.shape import ChatCompletionRequest
from api.http.compatibility.objects import OBJECTS
from api.http.compatibility.openai import CHAT, COMPLETIONS
from api.http.fields.reasoning_shapes import ReasoningEffort
from tests.openai_schema.extract import extract

FACTS = json.loads(Path(__file__).with_name("fields.json").read_text(encoding="utf-8"))

TABLES = {
    "CreateChatCompletionRequest": CHAT,
    "CreateCompletionRequest": COMPLETIONS,
    "ChatCompletionRequestSystemMessage": OBJECTS["system message"],
    "ChatCompletionRequestDeveloperMessage": OBJECTS["developer message"],
    "ChatCompletionRequestUserMessage": OBJECTS["user message"],
    "ChatCompletionRequestAssistantMessage": OBJECTS["assistant message"],
    "ChatCompletionRequestToolMessage": OBJECTS["tool message"],
    "ChatCompletionRequestFunctionMessage": OBJECTS["function message"],
    "ChatCompletionRequestMessageContentPartText": OBJECTS["text part"],
    "ChatCompletionRequestMessageContentPartRefusal": OBJECTS["refusal part"],
    "ChatCompletionRequestMessageContentPartImage": OBJECTS["image part"],
    "ChatCompletionRequestMessageContentPartAudio": OBJECTS["audio part"],
    "ChatCompletionRequestMessageContentPartFile": OBJECTS["file part"],
    "ChatCompletionMessageToolCall": OBJECTS["tool call"],
    "ChatCompletionMessageCustomToolCall": OBJECTS["custom tool call"],
    "ChatCompletionTool": OBJECTS["tool"],
    "CustomToolChatCompletions": OBJECTS["custom tool"],
    "FunctionObject": OBJECTS["function"],
    "ChatCompletionFunctions": OBJECTS["legacy function"],
    "ChatCompletionNamedToolChoice": OBJECTS["tool choice"],
    "ChatCompletionNamedToolChoiceCustom": OBJECTS["custom tool choice"],
    "ChatCompletionAllowedToolsChoice": OBJECTS["allowed tools choice"],
    "ChatCompletionAllowedTools": OBJECTS["allowed tools"],
    "ChatCompletionFunctionCallOption": OBJECTS["legacy function choice"],
    "ResponseFormatText": OBJECTS["text format"],
    "ResponseFormatJsonObject": OBJECTS["JSON object format"],
    "ResponseFormatJsonSchema": OBJECTS["JSON schema format"],
    "ResponseFormatJsonSchema.json_schema": OBJECTS["JSON schema"],
    "ChatCompletionStreamOptions": OBJECTS["stream options"],
    "PredictionContent": OBJECTS["prediction"],
}
# Of messages, tools and options, in other servers' words.
LOCAL = {
    "annotations",
    "continuous_usage_stats",
    "defer_loading",
    "images",
    "partial",
    "prefix",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "tools",
}
LOCAL_NAMES = {
    ("ChatCompletionRequestToolMessage", "name"),
    ("ChatCompletionRequestMessageContentPartText", "cache_control"),
    ("ChatCompletionTool", "cache_control"),
}


@pytest.mark.parametrize("name", FACTS["fields"])
def test_every_published_field_has_a_row(name: str) -> None:
    rows = {field.name for field in TABLES[name]}
    assert set(FACTS["fields"][name]) - rows == set()


@pytest.mark.parametrize("name", FACTS["fields"])
def test_no_row_claims_a_field_that_is_not_published(name: str) -> None:
    extra = {field.name for field in TABLES[name]} - set(FACTS["fields"][name])
    assert {each for each in extra if each not in LOCAL and (name, each) not in LOCAL_NAMES} == set()


def test_rows_are_unique() -> None:
    for rows in TABLES.values():
        names = [field.name for field in rows]
        assert len(names) == len(set(names))


def test_the_values_of_closed_sets_are_the_published_ones() -> None:
    assert list(get_args(ReasoningEffort)) == FACTS["enums"]["ReasoningEffort"]
    verbosity = ChatCompletionRequest.model_fields["verbosity"].annotation
    assert list(get_args(get_args(verbosity)[0])) == FACTS["enums"]["Verbosity"]


def test_names_are_found_behind_references_and_alternatives() -> None:
    document = {
        "info": {"version": "1"},
        "components": {
            "schemas": {
                name: {
                    "anyOf": [{"allOf": [{"$ref": "#/x/Base"}], "properties": {"b": {}}}, {"type": "null"}]
                }
                for name in (*{path.partition(".")[0] for path in FACTS["fields"]}, *FACTS["enums"])
            }
            | {"Base": {"properties": {"a": {}, "json_schema": {"properties": {"c": {}}}}}}
        },
    }
    found = extract(document, "x")["fields"]
    assert found["ChatCompletionTool"] == ["a", "b", "json_schema"]
    assert found["ResponseFormatJsonSchema.json_schema"] == ["c"]
