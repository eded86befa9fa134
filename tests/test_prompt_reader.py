from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.errors import ContextLengthError, InvalidRequestError
from api.prompt_reader import PromptReader
from api.text.tokenizer import Tokenizer, load_tokenizer
from api.types import GenerationRequest, SamplingParams
from tests.text.conftest import byte_level, write_folder

SAMPLING = SamplingParams(temperature=0.5, seed=3)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(write_folder(tmp_path_factory.mktemp("tokenizer"), byte_level()))


def create_reader(tokenizer: Tokenizer, **settings: int | None) -> PromptReader:
    sizes: dict[str, Any] = {"context_length": 100, "memory_tokens": 1000, "default_max_tokens": None}
    return PromptReader(tokenizer, **(sizes | settings))


def request(text: str = "Hello", **fields: Any) -> GenerationRequest:
    messages = fields.pop("messages", ({"role": "user", "content": text},))
    return GenerationRequest("r1", messages, SAMPLING, **fields)


def test_a_request_becomes_a_sequence(tokenizer: Tokenizer) -> None:
    sequence, _ = create_reader(tokenizer).read(request(max_tokens=7, arrival_seconds=12.5))
    assert sequence.token_ids == tokenizer.encode("<|begin|><|user|>Hello<|end|><|assistant|>")
    assert sequence.num_prompt_tokens == len(sequence.token_ids) == sequence.num_known
    assert (sequence.request_id, sequence.max_tokens, sequence.arrival_seconds) == ("r1", 7, 12.5)
    assert sequence.sampling is SAMPLING
    assert sequence.eos_token_ids == tokenizer.eos_token_ids != frozenset()


def test_each_sequence_has_an_id_of_its_own(tokenizer: Tokenizer) -> None:
    reader = create_reader(tokenizer)
    assert len({reader.read(request())[0].sequence_id for _ in range(5)}) == 5


def test_the_pipeline_turns_tokens_to_text_and_knows_the_stop_strings(tokenizer: Tokenizer) -> None:
    _, pipeline = create_reader(tokenizer).read(request(stop=("wor",)))
    text = "".join(pipeline.feed(token_id) for token_id in tokenizer.encode("Hello world"))
    assert text == "Hello " and pipeline.is_stopped


def test_a_continued_message_is_left_open(tokenizer: Tokenizer) -> None:
    messages = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The quick"})
    sequence, _ = create_reader(tokenizer).read(request(messages=messages, continue_final_message=True))
    assert sequence.token_ids == tokenizer.encode("<|begin|><|user|>Hi<|end|><|assistant|>The quick")


def test_an_empty_prompt_is_refused(tmp_path: Path) -> None:
    reader = create_reader(load_tokenizer(write_folder(tmp_path, byte_level(), "{# nothing #}")))
    with pytest.raises(InvalidRequestError, match="empty prompt") as caught:
        reader.read(request())
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
    sequence, _ = create_reader(tokenizer, **settings).read(request())
    wanted = 10 if expected is None else expected - sequence.num_prompt_tokens
    assert sequence.max_tokens == wanted


def test_prompt_and_answer_may_fill_the_context_to_the_last_token(tokenizer: Tokenizer) -> None:
    reader = create_reader(tokenizer)
    num_prompt_tokens = reader.read(request())[0].num_prompt_tokens
    assert reader.read(request(max_tokens=100 - num_prompt_tokens))[0].max_tokens == 100 - num_prompt_tokens
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
