from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.engine.sampling.constraint import Constraint
from api.engine.sequences.sequence import Sequence
from api.errors import ContextLengthError, InvalidRequestError
from api.events import OutputPipeline, ReadsPrompt
from api.prompt_reader import _SEED_STEP, PromptReader
from api.step_plan import SampledLogprobs
from api.text.grammar.compiler import GrammarCompiler
from api.text.grammar.vocabulary import VocabularySource, build_vocabulary
from api.text.length_limits import max_token_bytes
from api.text.tokenizer import Tokenizer, load_tokenizer
from api.types import ChatPrompt, GenerationRequest, SamplingParams, Structure, TextPrompts, ToolUse
from tests.text.conftest import byte_level, write_folder
from tests.text.templates import CHATML_WITH_TOOLS, HARMONY, HARMONY_TOKENS

SAMPLING = SamplingParams(temperature=0.5, seed=3)
USER = ({"role": "user", "content": "Hello"},)
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(write_folder(tmp_path_factory.mktemp("tokenizer"), byte_level()))


@pytest.fixture(scope="module")
def thinking_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("thinking")
    markers = ("<think>", "</think>", "<tool_call>", "</tool_call>")
    write_folder(folder, byte_level(), CHATML_WITH_TOOLS, tokens=markers)
    return load_tokenizer(folder)


def create_reader(tokenizer: Tokenizer, **settings: int | None) -> PromptReader:
    sizes: dict[str, Any] = {"context_length": 100, "memory_tokens": 1000, "default_max_tokens": None}
    spell = build_vocabulary(VocabularySource.of(tokenizer)).tokenize_bytes
    return PromptReader(tokenizer, spell=spell, **(sizes | settings))


def request(text: str = "Hello", **fields: Any) -> GenerationRequest:
    messages = fields.pop("messages", ({"role": "user", "content": text},))
    names = ("continue_final_message", "tool_use", "template_options")
    chat = {name: fields.pop(name) for name in names if name in fields}
    prompt = fields.pop("prompt", None) or ChatPrompt(messages, **chat)
    return GenerationRequest("r1", prompt, fields.pop("sampling", SAMPLING), **fields)


def read_all(reader: PromptReader, wanted: GenerationRequest) -> list[tuple[Sequence, OutputPipeline]]:
    """As the server does, with the grammar compiled before."""
    job = reader.grammar_job(wanted)
    compiler = GrammarCompiler(VocabularySource.of(reader._tokenizer))
    return reader.read(wanted, None if job is None else compiler.run(job))


def read_one(reader: PromptReader, wanted: GenerationRequest) -> tuple[Sequence, OutputPipeline]:
    (pair,) = read_all(reader, wanted)
    return pair


def test_a_request_becomes_a_sequence(tokenizer: Tokenizer) -> None:
    sequence, _ = read_one(create_reader(tokenizer), request(max_tokens=7, arrival_seconds=12.5))
    assert sequence.token_ids == tokenizer.encode("<|begin|><|user|>Hello<|end|><|assistant|>")
    assert sequence.num_prompt_tokens == len(sequence.token_ids) == sequence.num_known
    assert (sequence.request_id, sequence.max_tokens, sequence.arrival_seconds) == ("r1", 7, 12.5)
    assert (sequence.sampling.temperature, sequence.sampling.seed) == (0.5, 3)
    assert sequence.eos_token_ids == tokenizer.eos_token_ids != frozenset()
    assert set(sequence.sampling.end_token_ids) == tokenizer.eos_token_ids
    assert (sequence.sampling.grammar, sequence.sampling.thinking) == (None, None)


def test_each_sequence_has_an_id_of_its_own(tokenizer: Tokenizer) -> None:
    reader = create_reader(tokenizer)
    sequences = [sequence for _ in range(5) for sequence, _ in reader.read(request(num_choices=2))]
    assert len({sequence.sequence_id for sequence in sequences}) == 10


def test_choices_share_the_prompt_and_have_seeds_of_their_own(tokenizer: Tokenizer) -> None:
    sampling = SamplingParams(seed=2**64 - 2)
    first, second, third = (
        s for s, _ in create_reader(tokenizer).read(request(num_choices=3, sampling=sampling))
    )
    assert first.is_sibling(second) and first.is_sibling(third)
    assert [s.choice_index for s in (first, second, third)] == [0, 1, 2]
    assert [s.sampling.seed for s in (first, second, third)] == [
        (2**64 - 2 + i * _SEED_STEP) % 2**64 for i in range(3)
    ]
    assert first.token_ids == second.token_ids and first.token_ids is not second.token_ids


def test_plain_prompts_are_tokenised_with_bos_or_taken_as_they_are(tokenizer: Tokenizer) -> None:
    prompts = TextPrompts(("Hello", (5, 6, 7)))
    pairs = create_reader(tokenizer).read(request(prompt=prompts, num_choices=2))
    assert [(s.prompt_index, s.choice_index) for s, _ in pairs] == [(0, 0), (0, 1), (1, 2), (1, 3)]
    assert pairs[0][0].token_ids == tokenizer.encode("Hello", add_special_tokens=True)
    assert pairs[2][0].token_ids == [5, 6, 7]
    assert not pairs[0][0].is_sibling(pairs[2][0])


def test_an_echo_begins_with_the_prompt(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("quick fox")
    pairs = create_reader(tokenizer).read(request(prompt=TextPrompts(("The ", tuple(ids)), echo=True)))
    texts = [
        pipeline.feed(tokenizer.encode("dog")[0]).content + pipeline.flush().content for _, pipeline in pairs
    ]
    assert texts[0].startswith("The d") and texts[1].startswith("quick foxd")


@pytest.mark.parametrize("prompt", [(5, 10**6), (-1,), "\ud800"])
def test_prompts_that_are_none_are_refused(tokenizer: Tokenizer, prompt: Any) -> None:
    reader = create_reader(tokenizer)
    with pytest.raises(InvalidRequestError) as caught:
        reader.read(request(prompt=TextPrompts((prompt,))))
    assert caught.value.param == "prompt"


class NamingTokenizer(Tokenizer):
    """Adds no beginning of text by itself."""

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        return super().encode(text)


class Naming:
    """A tokenizer's backend with other names for special tokens."""

    def __init__(self, backend: Any, **names: Any) -> None:
        vars(self).update(names, _backend=backend)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def __len__(self) -> int:
        return len(self._backend)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"bos_token_id": 5, "eos_token_id": 6, "eos_token_ids": {7}}, 5),
        ({"bos_token_id": None, "eos_token_id": 6, "eos_token_ids": {7}}, 6),
        ({"bos_token_id": None, "eos_token_id": None, "eos_token_ids": {8, 7}}, 7),
    ],
)
def test_an_empty_prompt_is_a_beginning_of_text(
    tokenizer: Tokenizer, names: dict[str, Any], expected: int
) -> None:
    backend: Any = Naming(tokenizer._backend, **names)
    reader = create_reader(NamingTokenizer(backend))
    ((sequence, _),) = reader.read(request(prompt=TextPrompts(("",))))
    assert (sequence.token_ids, sequence.num_prompt_tokens) == ([expected], 1)


def test_an_empty_prompt_needs_a_token_to_begin_with(tokenizer: Tokenizer) -> None:
    names: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "eos_token_ids": set()}
    backend: Any = Naming(tokenizer._backend, **names)
    with pytest.raises(InvalidRequestError) as caught:
        create_reader(NamingTokenizer(backend)).read(request(prompt=TextPrompts(("",))))
    assert caught.value.param == "prompt"


def test_a_prompt_without_an_answer_is_read_plainly(tokenizer: Tokenizer) -> None:
    sampling = SamplingParams(temperature=0.5, frequency_penalty=1.0, num_prompt_logprobs=2)
    ((sequence, _),) = create_reader(tokenizer).read(
        request(prompt=TextPrompts(("quick",)), sampling=sampling, max_tokens=0)
    )
    assert sequence.max_tokens == 0
    assert sequence.sampling == SamplingParams(temperature=0.0, num_prompt_logprobs=2)


def test_a_prompt_may_fill_the_context_where_no_answer_is_wanted(tokenizer: Tokenizer) -> None:
    reader, prompt = create_reader(tokenizer, context_length=6), TextPrompts(((1, 2, 3, 4, 5, 6),))
    assert reader.read(request(prompt=prompt, max_tokens=0))
    with pytest.raises(ContextLengthError):
        reader.read(request(prompt=prompt, max_tokens=1))


def test_an_echo_with_logprobs_begins_with_the_prompts_tokens(tokenizer: Tokenizer) -> None:
    sampling = SamplingParams(num_prompt_logprobs=1, num_top_logprobs=1)
    prompt = TextPrompts(("The quick fox",), echo=True)
    ((sequence, pipeline),) = create_reader(tokenizer).read(request(prompt=prompt, sampling=sampling))
    assert isinstance(pipeline, ReadsPrompt)
    scored = [SampledLogprobs(-1.0 - i, ((5, -0.5),), rank=i + 2) for i in range(len(sequence.token_ids) - 1)]
    first, second = pipeline.feed_prompt(scored[:1]), pipeline.feed_prompt(scored[1:])
    assert (first.content, second.content) == ("The quick fox", "")
    assert first.prompt is not None and second.prompt is not None
    assert (first.prompt.has_first, second.prompt.has_first) == (True, False)
    tokens = (*first.prompt.tokens, *second.prompt.tokens)
    assert b"".join(token.raw for token in tokens if token.adds_text) == b"The quick fox"
    assert [token.token_id for token in tokens] == sequence.token_ids
    assert [(token.logprob, token.rank) for token in tokens[1:]] == [(s.logprob, s.rank) for s in scored]
    end = pipeline.feed_end(min(tokenizer.eos_token_ids), SampledLogprobs(-3.0))
    assert (end.content, end.logprobs[0].logprob, end.logprobs[0].adds_text) == ("", -3.0, False)


def test_stop_tokens_end_the_answer_and_eos_may_be_ignored(tokenizer: Tokenizer) -> None:
    reader = create_reader(tokenizer)
    both, _ = read_one(reader, request(stop_token_ids=(5,)))
    only, _ = read_one(reader, request(stop_token_ids=(5,), ignores_eos=True))
    assert both.eos_token_ids == tokenizer.eos_token_ids | {5}
    assert only.eos_token_ids == {5}
    assert only.sampling.end_token_ids == (5,)


def test_a_structure_gives_each_choice_a_grammar_that_can_end(tokenizer: Tokenizer) -> None:
    structure = Structure("regex", "[ab]{2}")
    pairs = read_all(create_reader(tokenizer), request(structure=structure, num_choices=2, ignores_eos=True))
    for sequence, _ in pairs:
        assert sequence.sampling.grammar is not None
        assert sequence.eos_token_ids == tokenizer.eos_token_ids
        matcher = sequence.sampling.grammar.new_matcher()
        assert matcher.consume_tokens(tokenizer.encode("a") + tokenizer.encode("b"))
        assert matcher.is_accepting()


def test_a_call_that_is_required_has_a_grammar(tokenizer: Tokenizer) -> None:
    reader = create_reader(tokenizer, context_length=1000)
    free, _ = read_one(reader, request(tool_use=ToolUse((TOOL,), ("find",), "auto")))
    forced, _ = read_one(reader, request(tool_use=ToolUse((TOOL,), ("find",), "required")))
    assert free.sampling.grammar is None
    assert forced.sampling.grammar is not None


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_a_structure_leaves_room_for_calls(tokenizer: Tokenizer, mode: Any) -> None:
    """An answer may be of the structure or call; a call that is forced is no answer."""
    reader = create_reader(tokenizer, context_length=1000)
    wanted = request(structure=Structure("json_object"), tool_use=ToolUse((TOOL,), ("find",), mode))
    grammar = read_one(reader, wanted)[0].sampling.grammar
    assert grammar is not None

    def begins(text: str) -> bool:
        token_ids = [i for char in text for i in tokenizer.encode(char)]
        return grammar.new_matcher().try_consume_tokens(token_ids) == len(token_ids)

    assert begins('<tool_call>{"name": "find", "arguments": {"a": 1}}</tool_call>')
    assert begins('{"a": 1}') is (mode == "auto")


def test_only_a_grammar_or_a_budget_needs_to_know_of_thinking(thinking_tokenizer: Tokenizer) -> None:
    reader = create_reader(thinking_tokenizer)
    options = {"enable_thinking": True}
    plain, _ = read_one(reader, request(template_options=options))
    budget, _ = read_one(reader, request(template_options=options, max_thinking_tokens=9))
    closed = {"enable_thinking": False}
    grammar, _ = read_one(reader, request(structure=Structure("json_object"), template_options=closed))
    assert plain.sampling.thinking is None
    open_block, closed_block = budget.sampling.thinking, grammar.sampling.thinking
    assert open_block is not None and closed_block is not None
    assert (open_block.max_tokens, closed_block.max_tokens) == (9, None)
    assert open_block.text.new_tracker().is_inside and not open_block.text.new_tracker().is_opening
    assert closed_block.text.new_tracker().is_opening and not closed_block.text.new_tracker().is_inside


@pytest.mark.parametrize("pieces", [["Hm", ".</", "think", ">"], ["Hm.", "</", "think", ">\n\n"]])
def test_grammar_and_pipeline_see_the_same_end_of_thinking(tmp_path: Path, pieces: list[str]) -> None:
    template = CHATML_WITH_TOOLS + "{# <think> </think> #}<think>\n"
    tokenizer = load_tokenizer(write_folder(tmp_path, byte_level(), template, tokens=pieces))
    structure = Structure("regex", "yes|no")
    sequence, pipeline = read_one(create_reader(tokenizer), request(structure=structure))
    constraint = Constraint(sequence.sampling)
    texts = []
    for piece in [*pieces, *"yes"]:
        (token_id,) = tokenizer.encode(piece)
        constraint.consume(token_id)
        texts.append(pipeline.feed(token_id))
    assert constraint.error is None and constraint.matcher is not None and constraint.matcher.is_accepting()
    texts.append(pipeline.flush())
    assert "".join(each.content for each in texts) == "yes"
    assert "".join(each.reasoning for each in texts) == "Hm."


def test_the_answer_of_an_open_block_is_reasoning(thinking_tokenizer: Tokenizer) -> None:
    _, pipeline = read_one(
        create_reader(thinking_tokenizer), request(template_options={"enable_thinking": True})
    )
    pieces = [pipeline.feed(i) for i in thinking_tokenizer.encode("hm</think>yes")] + [pipeline.flush()]
    assert "".join(piece.reasoning for piece in pieces) == "hm"
    assert "".join(piece.content for piece in pieces) == "yes"


def test_a_structured_answer_of_messages_with_headers_begins_in_its_content(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, byte_level(), HARMONY, special_tokens=HARMONY_TOKENS)
    tokenizer = load_tokenizer(folder)
    sequence, pipeline = read_one(create_reader(tokenizer), request(structure=Structure("choice", ["yes"])))
    end = tokenizer.encode("<|channel|>final<|message|>")
    assert sequence.token_ids[-len(end) :] == end
    assert sequence.sampling.thinking is None
    assert "".join(pipeline.feed(i).content for i in tokenizer.encode("yes")) == "yes"


def test_text_and_chats_are_tokenised_and_back(tokenizer: Tokenizer) -> None:
    reader = create_reader(tokenizer)
    begin = tokenizer.encode("<|begin|>")
    assert reader.tokenize("Hello", add_special_tokens=True) == begin + reader.tokenize("Hello", False)
    assert reader.tokenize_chat(ChatPrompt(USER)) == tokenizer.encode(
        "<|begin|><|user|>Hello<|end|><|assistant|>"
    )
    assert reader.detokenize(reader.tokenize("Hello", True)) == "<|begin|>Hello"
    with pytest.raises(InvalidRequestError, match="1000000 is not in the vocabulary"):
        reader.detokenize([1_000_000])


def test_the_pipeline_turns_tokens_to_text_and_knows_the_stop_strings(tokenizer: Tokenizer) -> None:
    _, pipeline = read_one(create_reader(tokenizer), request(stop=("wor",)))
    text = "".join(pipeline.feed(token_id).content for token_id in tokenizer.encode("Hello world"))
    assert text == "Hello " and pipeline.is_stopped


def test_a_stop_string_may_stay_in_the_text(tokenizer: Tokenizer) -> None:
    _, pipeline = read_one(create_reader(tokenizer), request(stop=("wor",), includes_stop=True))
    text = "".join(pipeline.feed(token_id).content for token_id in tokenizer.encode("Hello world"))
    assert text == "Hello wor" and pipeline.is_stopped


def test_a_continued_message_is_left_open(tokenizer: Tokenizer) -> None:
    messages = (*USER, {"role": "assistant", "content": "The quick"})
    wanted = request(messages=messages, continue_final_message=True)
    sequence, _ = read_one(create_reader(tokenizer), wanted)
    assert sequence.token_ids == tokenizer.encode("<|begin|><|user|>Hello<|end|><|assistant|>The quick")


def test_an_empty_prompt_is_refused(tmp_path: Path) -> None:
    reader = create_reader(load_tokenizer(write_folder(tmp_path, byte_level(), "{# nothing #}")))
    with pytest.raises(InvalidRequestError, match="empty prompt") as caught:
        reader.read(request(""))
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 100),
        ({"memory_tokens": 60}, 60),
        ({"default_max_tokens": 10}, None),
        ({"default_max_tokens": 1000}, 100),
    ],
)
def test_without_a_limit_an_answer_may_fill_what_there_is(
    tokenizer: Tokenizer, settings: dict[str, int], expected: int | None
) -> None:
    sequence, _ = read_one(create_reader(tokenizer, **settings), request())
    wanted = 10 if expected is None else expected - sequence.num_prompt_tokens
    assert sequence.max_tokens == wanted


def test_prompt_and_answer_may_fill_the_context_to_the_last_token(tokenizer: Tokenizer) -> None:
    reader = create_reader(tokenizer)
    num_prompt_tokens = read_one(reader, request())[0].num_prompt_tokens
    rest = 100 - num_prompt_tokens
    assert read_one(reader, request(max_tokens=rest))[0].max_tokens == rest
    with pytest.raises(
        ContextLengthError, match=f"101 tokens .{num_prompt_tokens} in the messages"
    ) as caught:
        reader.read(request(max_tokens=101 - num_prompt_tokens))
    assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")


def test_a_prompt_that_leaves_no_room_for_an_answer_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ContextLengthError, match="maximum context length is 100"):
        create_reader(tokenizer, default_max_tokens=1).read(request("x" * 100))


def test_what_fits_the_context_but_not_the_memory_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ContextLengthError, match="--kv-memory"):
        create_reader(tokenizer, memory_tokens=40).read(request(max_tokens=60))


def test_a_text_of_more_bytes_than_any_tokens_of_the_context_is_refused_unread(tokenizer: Tokenizer) -> None:
    bound = max_token_bytes(tokenizer.definition())
    assert bound is not None
    reader = create_reader(tokenizer)
    fits, exceeds = "é" * (50 * bound), "é" * (50 * bound + 1)
    assert reader.measure(request(fits)) >= len(fits)
    for wanted in (request(exceeds), request(prompt=TextPrompts(("a", exceeds)))):
        with pytest.raises(ContextLengthError, match=f"{100 * bound} bytes"):
            reader.measure(wanted)


def test_what_a_template_may_leave_out_is_not_counted(tokenizer: Tokenizer) -> None:
    long = "x" * 10**6
    thoughts = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": long})
    reader = create_reader(tokenizer)
    assert reader.measure(request(messages=thoughts)) > 10**6
    assert reader.measure(request(" " * 10**6)) > 10**6


def test_a_chats_prompt_is_scored_for_one_choice_only(tokenizer: Tokenizer) -> None:
    scoring = SamplingParams(num_prompt_logprobs=0)
    reader = create_reader(tokenizer)
    chat = reader.read(request(num_choices=3, sampling=scoring))
    texts = reader.read(request(prompt=TextPrompts(("a",)), num_choices=2, sampling=scoring))
    assert [s.sampling.num_prompt_logprobs for s, _ in chat] == [0, None, None]
    assert [s.sampling.num_prompt_logprobs for s, _ in texts] == [0, 0]
