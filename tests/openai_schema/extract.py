"""The field names in OpenAI's published description: ``extract.py openapi.json COMMIT > fields.json``.

The document is ``openapi.json`` of https://github.com/openai/openai-openapi. Names and allowed values are
facts; none of its texts are kept. After an update the tests beside this file say which fields are new.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

OBJECTS = (
    "CreateChatCompletionRequest",
    "CreateCompletionRequest",
    "ChatCompletionRequestSystemMessage",
    "ChatCompletionRequestDeveloperMessage",
    "ChatCompletionRequestUserMessage",
    "ChatCompletionRequestAssistantMessage",
    "ChatCompletionRequestToolMessage",
    "ChatCompletionRequestFunctionMessage",
    "ChatCompletionRequestMessageContentPartText",
    "ChatCompletionRequestMessageContentPartRefusal",
    "ChatCompletionRequestMessageContentPartImage",
    "ChatCompletionRequestMessageContentPartAudio",
    "ChatCompletionRequestMessageContentPartFile",
    "ChatCompletionMessageToolCall",
    "ChatCompletionMessageCustomToolCall",
    "ChatCompletionTool",
    "CustomToolChatCompletions",
    "FunctionObject",
    "ChatCompletionFunctions",
    "ChatCompletionNamedToolChoice",
    "ChatCompletionNamedToolChoiceCustom",
    "ChatCompletionAllowedToolsChoice",
    "ChatCompletionAllowedTools",
    "ChatCompletionFunctionCallOption",
    "ResponseFormatText",
    "ResponseFormatJsonObject",
    "ResponseFormatJsonSchema",
    "ResponseFormatJsonSchema.json_schema",
    "ChatCompletionStreamOptions",
    "PredictionContent",
)
ENUMS = ("ReasoningEffort", "Verbosity")


def extract(document: dict[str, Any], commit: str) -> dict[str, Any]:
    schemas = document["components"]["schemas"]
    return {
        "document": "https://github.com/openai/openai-openapi",
        "commit": commit,
        "version": document["info"]["version"],
        "fields": {path: sorted(_properties(_find(path, schemas), schemas)) for path in OBJECTS},
        "enums": {name: _enum(schemas[name]) for name in ENUMS},
    }


def _find(path: str, schemas: dict[str, Any]) -> dict[str, Any]:
    name, *inner = path.split(".")
    found = schemas[name]
    for step in inner:
        found = _properties(found, schemas)[step]
    return dict(found)


def _properties(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return _properties(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    properties = dict(schema.get("properties", {}))
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ())):
        properties |= _properties(part, schemas)
    return properties


def _enum(schema: dict[str, Any]) -> list[str]:
    parts = schema.get("anyOf", [schema])
    return [value for part in parts for value in part.get("enum", ())]


if __name__ == "__main__":
    facts = extract(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2])
    print(json.dumps(facts, indent=2))
