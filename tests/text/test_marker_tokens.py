from __future__ import annotations

from collections.abc import Callable, Iterable

from api.text.marker_tokens import MarkerTexts, MarkerTokens
from api.text.tokenizer import Tokenizer
from tests.fakes.piece_tokenizer import PieceTokenizer

END = "</think>"


def tokens_of(texts: list[str], marker: str = END) -> tuple[PieceTokenizer, MarkerTokens]:
    tokenizer = PieceTokenizer(texts)
    return tokenizer, MarkerTokens(marker, MarkerTexts(tokenizer.as_tokenizer(), (marker,)))


def names(tokenizer: PieceTokenizer, token_ids: Iterable[int]) -> set[str]:
    return {tokenizer.token_string(token_id) for token_id in token_ids}


def test_the_tokens_that_go_on() -> None:
    tokenizer, end = tokens_of([*"</think>", "</", "think", "nk>\n", ">a", "<b", "hi"])
    assert names(tokenizer, end.going_on(0)) == {"<", "</"}
    assert names(tokenizer, end.going_on(2)) == {"t", "think"}
    assert names(tokenizer, end.going_on(5)) == {"n", "nk>\n"}
    assert names(tokenizer, end.going_on(7)) == {">", ">a"}


def test_a_beginning_that_leads_nowhere_is_none() -> None:
    tokenizer, end = tokens_of([*"</thin", "nk>"])
    assert names(tokenizer, end.going_on(5)) == {"nk>"}
    tokenizer, end = tokens_of([*"</thin"])
    assert [end.going_on(place) for place in range(8)] == [()] * 8


def test_the_tokens_that_bring_more() -> None:
    tokenizer, end = tokens_of(["a", "</think>b", "c</think>\n", "</think>", "nk>\n", ">e", "</th"])
    rests = {tokenizer.token_string(i): rest for i, rest in end.completing("x")}
    assert rests == {"</think>b": "b", "c</think>\n": "\n"}
    assert {tokenizer.token_string(i): r for i, r in end.completing("x</thi")} == rests | {"nk>\n": "\n"}


def test_what_closes_best_comes_first() -> None:
    tokenizer, end = tokens_of([*"</think>", "think", ">x"])
    assert tokenizer.token_string(end.closing(2)[0]) == "think"
    assert [tokenizer.token_string(i) for i in end.closing(7)] == [">", ">x"]
    tokenizer, end = tokens_of([*"</think>", "think", END])
    assert tokenizer.token_string(end.closing(2)[0]) == END


def test_a_marker_that_is_one_token_does_not_begin_with_its_letters() -> None:
    tokenizer, end = tokens_of([*"</think>", "</", END, "</think>a"])
    assert names(tokenizer, end.going_on(0)) == names(tokenizer, end.first_token_ids) == {END, "</think>a"}
    assert end.going_on(1) == ()


def test_a_sentencepiece_word_at_the_start_has_no_space(load_kind: Callable[[str], Tokenizer]) -> None:
    tokenizer = load_kind("sentencepiece")
    begin = MarkerTokens("the", MarkerTexts(tokenizer, ("the",)))
    spaced = [i for i in begin.first_token_ids if tokenizer.token_string(i).startswith("\u2581t")]
    assert spaced and not set(spaced) & set(begin.going_on(0))


def test_special_tokens_go_by_their_names(load_with: Callable[..., Tokenizer]) -> None:
    tokenizer = load_with(special_tokens=("<think>", END), tokens=())
    end = MarkerTokens(END, MarkerTexts(tokenizer, (END,)))
    assert end.closing(0)[0] == end.closing(3)[0] == tokenizer.encode(END)[0]
