"""The forms that an answer may be held to, in OpenAI's words and in those of local servers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from api.http.fields.wire import BOOLEAN_TAG, OBJECT_TAG, STRING_TAG, WireModel, by_json_type


class JsonSchemaFormat(WireModel):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$", max_length=64)]
    description: str | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


# A schema may come as JSON in a string: command lines and some clients send it so.
JsonSchema = Annotated[
    Annotated[dict[str, Any], Tag(OBJECT_TAG)]
    | Annotated[bool, Tag(BOOLEAN_TAG)]
    | Annotated[str, Tag(STRING_TAG)],
    by_json_type("a JSON schema"),
]
Expression = Annotated[str, Field(min_length=1)]
Choices = Annotated[list[Expression], Field(min_length=1)]


class ResponseFormat(WireModel):
    """OpenAI's types first; then those of local servers, each with a field that it needs.

    ``schema``: where llama.cpp and its kin have the schema of both JSON types. ``value``: TGI's.
    """

    type: Literal["text", "json_object", "json_schema", "json", "regex", "grammar"]
    json_schema: JsonSchemaFormat | None = None
    schema_: Annotated[JsonSchema | None, Field(alias="schema")] = None
    value: JsonSchema | None = None
    grammar: Expression | None = None
    pattern: Expression | None = None


class StructuredOutputs(WireModel):
    """Exactly one of its fields says what the answer must be."""

    json_: Annotated[JsonSchema | None, Field(alias="json")] = None
    regex: Expression | None = None
    choice: Choices | None = None
    grammar: Expression | None = None
    json_object: bool | None = None


class GrammarObject(WireModel):
    """TGI's."""

    type: Literal["json", "regex"]
    value: JsonSchema


Grammar = Annotated[
    Annotated[str, Tag(STRING_TAG)] | Annotated[GrammarObject, Tag(OBJECT_TAG)],
    by_json_type("a grammar"),
]


class StructureFields(WireModel):
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_decoding: StructuredOutputs | None = None
    guided_json: JsonSchema | None = None
    guided_json_object: bool | None = None
    guided_regex: Expression | None = None
    guided_choice: Choices | None = None
    guided_grammar: Expression | None = None
    json_schema: JsonSchema | None = None
    regex: Expression | None = None
    grammar: Grammar | None = None
    ebnf: Expression | None = None
    format: JsonSchema | None = None
