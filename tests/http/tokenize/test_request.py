from typing import Any

import pytest

from api.errors import InvalidRequestError, ModelNotFoundError
from api.http.tokenize.request import parse_detokenize, parse_tokenize, to_text, to_tokens
from api.threads.contracts import RequestReader
from api.types import ChatPrompt
from tests.http.converting import SERVED, USER


class Recorder:
    """A prompt reader that returns what it was asked."""

    def tokenize(self, text: str, add_special_tokens: bool) -> Any:
        return (text, add_special_tokens)

    def tokenize_chat(self, prompt: ChatPrompt) -> Any:
        return prompt

    def detokenize(self, token_ids: list[int]) -> Any:
        return token_ids


def ask(**fields: Any) -> Any:
    reader: RequestReader = Recorder()  # type: ignore[assignment]
    return to_tokens(parse_tokenize(fields, SERVED, False), SERVED).ask(reader)


def test_a_prompt() -> None:
    assert ask(prompt="hi") == ("hi", True)
    assert ask(prompt="", add_special_tokens=False, model="tiny") == ("", False)


def test_how_long_the_text_is_is_told() -> None:
    chat = parse_tokenize({"messages": [USER] * 3}, SERVED, False)
    assert to_tokens(chat, SERVED).num_chars >= 3 * len(USER["content"])
    assert to_tokens(parse_tokenize({"prompt": "hello"}, SERVED, False), SERVED).num_chars == 5


def test_a_chat_is_the_one_that_would_be_answered() -> None:
    assert ask(messages=[USER]) == ChatPrompt(messages=(USER,))
    tool = {"type": "function", "function": {"name": "f"}}
    prompt = ask(messages=[USER], tools=[tool], enable_thinking=False)
    assert prompt.tool_use.callable_names == ("f",)
    assert prompt.template_options == {"enable_thinking": False}


@pytest.mark.parametrize("fields", [{}, {"prompt": "x", "messages": [USER]}])
def test_it_is_one_or_the_other(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ask(**fields)
    assert caught.value.param == "prompt"


def test_ids_must_be_in_the_vocabulary() -> None:
    body = parse_detokenize({"tokens": [1, 999]}, SERVED, False)
    question = to_text(body, SERVED)
    assert question.num_chars == 2
    assert question.ask(Recorder()) == [1, 999]  # type: ignore[arg-type,comparison-overlap]
    with pytest.raises(InvalidRequestError) as caught:
        to_text(parse_detokenize({"tokens": [1000]}, SERVED, False), SERVED)
    assert caught.value.param == "tokens"


def test_a_wrong_model_is_refused_by_both() -> None:
    with pytest.raises(ModelNotFoundError):
        parse_tokenize({"prompt": "x", "model": "y"}, SERVED, False)
    with pytest.raises(ModelNotFoundError):
        parse_detokenize({"tokens": [], "model": "y"}, SERVED, False)
