from __future__ import annotations

from collections.abc import Callable

from api.events import TokenLogprob
from api.step_plan import SampledLogprobs
from api.text.detokenizer import IncrementalDetokenizer
from api.text.logprobs import HeldLogprobs, read_logprobs
from api.text.tokenizer import Tokenizer

LoadKind = Callable[[str], Tokenizer]


def logprob(text: str) -> TokenLogprob:
    return TokenLogprob(text, text.encode(), -1.0)


def test_texts_are_what_the_tokens_add_here(load_kind: LoadKind) -> None:
    tokenizer = load_kind("sentencepiece")
    detokenizer = IncrementalDetokenizer(tokenizer)
    names = {tokenizer.token_string(token_id): token_id for token_id in range(tokenizer.vocab_size)}
    word = next(names[name] for name in names if name.startswith("\u2581") and name.strip("\u2581").isalpha())
    text = tokenizer.token_string(word).strip("\u2581")
    sampled = SampledLogprobs(-0.1, ((word, -0.1),))
    texts = []
    for _ in range(2):
        read = read_logprobs(tokenizer, detokenizer, word, sampled)
        texts.append((read.text, read.top[0].text))
        detokenizer.feed(word)
    assert texts == [(text, text), (f" {text}", f" {text}")]  # a text's first space is none


def test_a_part_of_a_character_has_its_own_bytes(load_kind: LoadKind) -> None:
    tokenizer = load_kind("sentencepiece")
    read = read_logprobs(tokenizer, IncrementalDetokenizer(tokenizer), 1 + 0xE2, SampledLogprobs(-2.0))
    assert (read.text, read.raw, read.logprob) == ("\ufffd", b"\xe2", -2.0)


def test_a_special_token_goes_by_its_name(load_kind: LoadKind) -> None:
    tokenizer = load_kind("byte_level")
    (end,) = tokenizer.encode("<|end|>")
    (letter,) = tokenizer.encode("a")
    sampled = SampledLogprobs(-0.1, ((end, -2.0),))
    read = read_logprobs(tokenizer, IncrementalDetokenizer(tokenizer), letter, sampled)
    assert (read.top[0].text, read.top[0].raw) == ("<|end|>", b"<|end|>")


def test_held_logprobs_come_with_their_first_character() -> None:
    held = HeldLogprobs()
    held.feed((logprob("ab"),), 2)
    held.feed((logprob(""), logprob("c")), 1)
    assert held.show(0) == ()
    assert held.show(1) == (logprob("ab"),)
    assert held.show(1) == ()
    assert held.show(1) == (logprob(""), logprob("c"))
    assert held.flush() == ()


def test_flush_gives_the_textless_rest() -> None:
    held = HeldLogprobs()
    held.feed((logprob("a"),), 1)
    held.feed((logprob(""),), 0)
    assert held.show(1) == (logprob("a"),)
    assert (held.flush(), held.flush()) == ((logprob(""),), ())
