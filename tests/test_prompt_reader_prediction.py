"""What a client predicts of the answers, read beside the prompt."""

from __future__ import annotations

import pytest

from api.engine.sequences.predicted_text import Prediction
from api.errors import ContextLengthError, InvalidRequestError
from api.text.tokenizer import Tokenizer
from tests.test_prompt_reader import create_reader, read_one, request, tokenizer

__all__ = ["tokenizer"]  # the fixture


def prediction_of(tokenizer: Tokenizer, text: str) -> Prediction:
    sequence, _ = read_one(create_reader(tokenizer), request(prediction=text))
    assert sequence.prediction is not None
    return sequence.prediction


def test_the_text_is_tokenised_as_an_answer(tokenizer: Tokenizer) -> None:
    text = "The quick fox"
    prediction = prediction_of(tokenizer, text)
    assert prediction.predict(100) == tuple(tokenizer.encode(text))


def test_names_of_special_tokens_in_it_are_text(tokenizer: Tokenizer) -> None:
    ends = prediction_of(tokenizer, "The end<|end|>").predict(100)
    assert not set(ends) & tokenizer.eos_token_ids
    assert tokenizer.decode(ends, skip_special_tokens=False) == "The end<|end|>"
    assert set(tokenizer.encode("The end<|end|>")) & tokenizer.eos_token_ids


def test_without_one_there_is_none(tokenizer: Tokenizer) -> None:
    sequence, _ = read_one(create_reader(tokenizer), request())
    assert sequence.prediction is None


def test_choices_follow_it_apart(tokenizer: Tokenizer) -> None:
    pairs = create_reader(tokenizer).read(request(prediction="Hello", num_choices=2))
    first, second = (sequence.prediction for sequence, _ in pairs)
    assert first is not None and second is not None
    first.take(tokenizer.encode("Hello")[0])
    assert (first.num_accepted, second.num_accepted) == (1, 0)


def test_it_is_no_part_of_the_prompt(tokenizer: Tokenizer) -> None:
    reader = create_reader(tokenizer, context_length=100)
    plain, _ = read_one(reader, request(max_tokens=60))
    predicted, _ = read_one(reader, request(max_tokens=60, prediction="Hello " * 15))
    assert predicted.token_ids == plain.token_ids
    assert predicted.max_tokens == plain.max_tokens == 60


def test_more_than_the_context_is_refused_by_its_name(tokenizer: Tokenizer) -> None:
    reader = create_reader(tokenizer, context_length=20)
    with pytest.raises(ContextLengthError) as caught:
        reader.read(request(prediction="x y " * 20))
    assert (caught.value.status, caught.value.param) == (400, "prediction.content")


def test_what_no_context_can_hold_is_refused_before_it_is_tokenised(tokenizer: Tokenizer) -> None:
    reader = create_reader(tokenizer, context_length=20)
    with pytest.raises(ContextLengthError) as caught:
        reader.measure(request(prediction="word " * 100_000))
    assert caught.value.param == "prediction.content"


def test_its_length_counts_as_text_to_be_read(tokenizer: Tokenizer) -> None:
    reader = create_reader(tokenizer, context_length=10_000)
    text = "word " * 1000
    assert reader.measure(request(prediction=text)) == reader.measure(request()) + len(text)


def test_a_lone_surrogate_is_refused_by_its_name(tokenizer: Tokenizer) -> None:
    for text in ("a\ud800", "a\udc00"):
        with pytest.raises(InvalidRequestError) as caught:
            create_reader(tokenizer).read(request(prediction=text))
        assert caught.value.param == "prediction.content"
