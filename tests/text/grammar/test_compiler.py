from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft4Validator, Draft202012Validator

from api.engine.loading.locate import locate_model
from api.errors import InvalidRequestError
from api.text.grammar.compiled_grammar import CompiledGrammar
from api.text.grammar.compiler import GrammarCompiler
from api.text.grammar.sources import MAX_CHOICES
from api.text.grammar.vocabulary import VocabularySource
from api.text.tokenizer import Tokenizer, load_tokenizer
from api.types import Structure
from benchmarks.json_schemas import Sampler
from tests.text.grammar.schemas import SCHEMAS

CompileSchema = Callable[[Any], CompiledGrammar]
Takes = Callable[[CompiledGrammar, str], bool]
MAX_COMPILE_SECONDS = 4.0
SCHEMA = "response_format.json_schema.schema"

by_name = pytest.mark.parametrize(
    ("schema", "good", "bad"), [each[1:] for each in SCHEMAS], ids=[each[0] for each in SCHEMAS]
)


def validator_of(schema: Any) -> Any:
    is_draft4 = isinstance(schema, dict) and isinstance(
        schema.get("exclusiveMinimum", schema.get("exclusiveMaximum")), bool
    )
    has_item_list = isinstance(schema, dict) and isinstance(schema.get("items"), list)
    validator = Draft4Validator if is_draft4 or has_item_list else Draft202012Validator
    return validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


@by_name
def test_a_good_answer_fits_and_a_bad_one_does_not(
    compile_schema: CompileSchema, takes: Takes, schema: Any, good: str, bad: str
) -> None:
    grammar = compile_schema(schema)
    assert takes(grammar, good)
    assert not takes(grammar, bad)


@by_name
def test_whatever_the_grammar_yields_is_valid(
    compile_schema: CompileSchema, sampler: Sampler, schema: Any, good: str, bad: str
) -> None:
    grammar, validator = compile_schema(schema), validator_of(schema)
    assert validator.is_valid(json.loads(good))
    for _ in range(5):
        text, is_ended = sampler.draw(grammar.new_matcher())
        if is_ended:
            validator.validate(json.loads(text))


@pytest.mark.parametrize("text", ["{}", '{"a": [1, {"b": "c"}], "d":null}'])
def test_json_object_takes_any_object(compiler: GrammarCompiler, takes: Takes, text: str) -> None:
    assert takes(compiler.compile(Structure("json_object")), text)


@pytest.mark.parametrize("text", ["[]", "1", '"a"', "", "{", '{"a":1} ', '```json\n{"a":1}```'])
def test_json_object_takes_nothing_else(compiler: GrammarCompiler, takes: Takes, text: str) -> None:
    assert not takes(compiler.compile(Structure("json_object")), text)


def test_white_space_is_one_space_at_most(compile_schema: CompileSchema, takes: Takes) -> None:
    grammar = compile_schema(
        {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "null"}}}
    )
    assert takes(grammar, '{"a":[null,null],"b":[]}')
    assert takes(grammar, '{"a": [null, null], "b": []}')
    for text in (
        '{"a":  []}',
        '{ "a":[]}',
        '{"a":[\n]}',
        " {}",
        '{"a" :[]}',
        '{"a":[] }',
        '{"a":[],\n"b":[]}',
    ):
        assert not takes(grammar, text), text


def test_a_key_has_one_spelling(compile_schema: CompileSchema, takes: Takes) -> None:
    """Else a property could come again, under the schema of unnamed ones."""
    grammar = compile_schema({"type": "object", "properties": {"ab": {"type": "integer"}}})
    assert not takes(grammar, '{"\\u0061b": "x"}')


def test_answers_end_with_any_end_of_sequence_token(load_kind: Callable[[str], Tokenizer]) -> None:
    backend = load_kind("byte_level")._backend
    tokenizer = Tokenizer(backend, eos_token_ids=[backend.encode("!", add_special_tokens=False)[0]])
    matcher = (
        GrammarCompiler(VocabularySource.of(tokenizer)).compile(Structure("choice", ("a",))).new_matcher()
    )
    assert matcher.consume_token(tokenizer.encode("a")[0])
    mask = matcher.compute_bitmask()
    allowed = {token for token in range(tokenizer.vocab_size) if mask[token // 8] >> token % 8 & 1}
    assert len(tokenizer.eos_token_ids) == 2
    assert allowed == tokenizer.eos_token_ids


def test_matchers_are_independent(compiler: GrammarCompiler, tokenizer: Tokenizer) -> None:
    grammar = compiler.compile(Structure("choice", ("ab", "cd")))
    first, second = grammar.new_matcher(), grammar.new_matcher()
    assert first.consume_tokens(tokenizer.encode("ab"))
    assert first.is_accepting()
    assert not second.is_accepting()
    assert second.consume_tokens(tokenizer.encode("cd"))


@pytest.mark.parametrize(
    ("expression", "good", "bad"),
    [
        (r"\d{3}-\w+", "123-ab_", "x123-a"),
        (r"^(yes|no)$", "no", "nope"),
        (r"a/b\.c", "a/b.c", "a/bxc"),
        (r"[^\s]+", "ab", "a b"),
        (r"[\w.-]+@[\w-]+", "a.b-c@d", "a"),
        (r"a+?b", "aab", "b"),
        ("\u00e9.", "\u00e9x", "ex"),
    ],
)
def test_a_regular_expression_is_the_whole_answer(
    compiler: GrammarCompiler, takes: Takes, expression: str, good: str, bad: str
) -> None:
    grammar = compiler.compile(Structure("regex", expression))
    assert takes(grammar, good)
    assert not takes(grammar, bad)


CHOICES = ("red", "dark red", 'a "b"\\', "line\nend", "\u00e9\U0001f600", "\x7f\x01", "/x/", "")


@pytest.mark.parametrize("choice", CHOICES)
def test_choices_are_literal(compiler: GrammarCompiler, takes: Takes, choice: str) -> None:
    grammar = compiler.compile(Structure("choice", CHOICES))
    assert takes(grammar, choice)
    assert not takes(grammar, choice + "?")


@pytest.mark.parametrize(
    "source",
    ['start: "a" word\nword: /[0-9]+/', 'root ::= "a" digits\ndigits ::= [0-9]+'],
    ids=["lark", "ebnf"],
)
def test_a_grammar_in_either_notation(compiler: GrammarCompiler, takes: Takes, source: str) -> None:
    grammar = compiler.compile(Structure("lark", source))
    assert takes(grammar, "a12")
    assert not takes(grammar, "a")


@pytest.mark.parametrize(
    ("structure", "param", "message"),
    [
        (Structure("json_schema", {"not": {"type": "null"}}), SCHEMA, "keyword 'not'"),
        (
            Structure("json_schema", {"not": {"type": "null"}}, "structured_outputs.json"),
            "structured_outputs.json",
            "'not'",
        ),
        (Structure("json_schema", False), SCHEMA, "nothing fits"),
        (Structure("json_schema", {"minimum": float("nan")}), SCHEMA, "no JSON"),
        (Structure("json_schema", {"properties": {"\ud800": {}}}), SCHEMA, "JSON"),
        (Structure("json_schema", {"type": "string", "pattern": "^\x01$"}), SCHEMA, "no text fits"),
        (Structure("regex", "(a", "guided_regex"), "guided_regex", "regular expression for guided_regex"),
        (Structure("regex", "\ud800", "guided_regex"), "guided_regex", "surrogate"),
        (Structure("regex", 3, "guided_regex"), "guided_regex", "string"),
        (Structure("choice", (), "guided_choice"), "guided_choice", "list of strings"),
        (Structure("choice", ("a", 1), "guided_choice"), "guided_choice", "list of strings"),
        (Structure("choice", ("a",) * (MAX_CHOICES + 1), "guided_choice"), "guided_choice", str(MAX_CHOICES)),
        (Structure("lark", "start: nothing", "guided_grammar"), "guided_grammar", "nothing"),
        (Structure("lark", "root ::= (", "guided_grammar"), "guided_grammar", "grammar for guided_grammar"),
    ],
)
def test_what_cannot_be_had_is_the_clients_error(
    compiler: GrammarCompiler, structure: Structure, param: str, message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message) as caught:
        compiler.compile(structure)
    assert caught.value.param == param
    assert len(caught.value.message) < 500


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


def doubling(depth: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {"d0": {"type": "string"}}
    for level in range(1, depth):
        child = {"$ref": f"#/$defs/d{level - 1}"}
        definitions[f"d{level}"] = {"type": "object", "properties": {"a": child, "b": child}}
    return {"$ref": f"#/$defs/d{depth - 1}", "$defs": definitions}


ABSURD: dict[str, Any] = {
    "huge enum": {"enum": [f"value number {index}" for index in range(100_000)]},
    "large enum": {"enum": [f"value {index}" for index in range(10_000)]},
    "minItems": {"type": "array", "items": {"type": "integer"}, "minItems": 10**9},
    "maxItems": {"type": "array", "items": {"type": "integer"}, "maxItems": 10**30},
    "minLength": {"type": "string", "minLength": 10**9},
    "maxLength": {"type": "string", "maxLength": 10**9},
    "repeat": {"type": "string", "pattern": "^x{1,1000000}$"},
    "repeats of repeats": {"type": "string", "pattern": "^(.{1,1000}){1,1000}$"},
    "catastrophic": {"type": "string", "pattern": "^((a+)+)+b$"},
    "exponential": {"type": "string", "pattern": "(a|b)*a(a|b){40}c"},
    "deep": nested(200),
    "deeper than the stack": nested(3000),
    "reference loop": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    },
    "doubling references": doubling(40),
    "crossed options": {
        "allOf": [{"anyOf": [{"properties": {f"a{i}_{j}": {}}} for i in range(10)]} for j in range(8)]
    },
    "many properties": {
        "type": "object",
        "properties": {f"p{index}": {"type": "string"} for index in range(3000)},
    },
    "many patterns": {"type": "object", "patternProperties": {f"^p{index}_": {} for index in range(300)}},
    "large multiple": {"type": "integer", "multipleOf": 99_991, "minimum": 5},
    "multiples together": {"allOf": [{"multipleOf": 997}, {"multipleOf": 991}, {"multipleOf": 983}]},
    "many options": {"oneOf": [{"const": index} for index in range(1000)]},
}


@pytest.mark.parametrize("schema", ABSURD.values(), ids=ABSURD)
def test_absurd_schemas_cost_little(tokenizer: Tokenizer, schema: Any) -> None:
    """Each is compiled or refused, within seconds of work, and what was compiled keeps within its limits."""
    compiler = GrammarCompiler(VocabularySource.of(tokenizer))
    started = time.process_time()
    try:
        matcher = compiler.compile(Structure("json_schema", schema)).new_matcher()
    except InvalidRequestError:
        matcher = None
    assert time.process_time() - started < MAX_COMPILE_SECONDS
    if matcher is not None:
        started = time.process_time()
        matcher.compute_bitmask()
        assert time.process_time() - started < 0.5


def test_what_was_compiled_is_kept(tokenizer: Tokenizer) -> None:
    compiler = GrammarCompiler(VocabularySource.of(tokenizer), max_cached=2)
    first = compiler.compile(Structure("json_schema", {"type": "integer", "title": "A"}))
    assert compiler.compile(Structure("json_schema", {"title": "B", "type": "integer"})) is first
    compiler.compile(Structure("choice", ("a",)))
    compiler.compile(Structure("choice", ("b",)))
    assert compiler.compile(Structure("json_schema", {"type": "integer"})) is not first


def test_property_order_is_part_of_a_schema(compile_schema: CompileSchema, takes: Takes) -> None:
    properties = {"a": {"type": "integer"}, "b": {"type": "integer"}}
    backwards = dict(reversed(properties.items()))
    assert takes(compile_schema({"type": "object", "properties": properties}), '{"a":1,"b":2}')
    assert takes(compile_schema({"type": "object", "properties": backwards}), '{"b":2,"a":1}')


@pytest.mark.parametrize(
    "kind", ["byte_level", "sentencepiece", "sentencepiece_keeping_space", "metaspace", "wordpiece"]
)
def test_every_kind_of_tokenizer_works_or_says_that_it_cannot(
    load_kind: Callable[[str], Tokenizer], kind: str
) -> None:
    tokenizer = load_kind(kind)
    try:
        grammar = GrammarCompiler(VocabularySource.of(tokenizer)).compile(Structure("regex", "[a-z]+"))
    except InvalidRequestError as error:
        assert "tokenizer" in error.message
        assert kind not in {"byte_level", "sentencepiece", "sentencepiece_keeping_space"}
        return
    text, _ = Sampler(tokenizer).draw(grammar.new_matcher())
    assert text.strip().isalpha()


@pytest.mark.model
def test_the_default_model_s_tokenizer_follows_a_schema() -> None:
    tokenizer = load_tokenizer(locate_model(None, print).folder)
    schema = next(schema for name, schema, *_ in SCHEMAS if name == "person")
    grammar = GrammarCompiler(VocabularySource.of(tokenizer)).compile(Structure("json_schema", schema))
    sampler, num_ended = Sampler(tokenizer), 0
    for _ in range(20):
        text, is_ended = sampler.draw(grammar.new_matcher())
        num_ended += is_ended
        assert not is_ended or validator_of(schema).is_valid(json.loads(text))
    assert num_ended > 0


def test_a_tokenizer_of_another_make_is_refused(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tokenizer, "definition", lambda self: None)
    with pytest.raises(InvalidRequestError, match="this model's tokenizer"):
        GrammarCompiler(VocabularySource.of(tokenizer)).compile(Structure("json_object"))
