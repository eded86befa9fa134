from pydantic import BaseModel

from api.http.chat_completions.shape import ChatCompletionRequest
from api.http.completions.shape import CompletionRequest
from api.http.fields.validation import unknown_fields, validate_body

USER = {"role": "user", "content": "hi"}


def unknown(model: type[BaseModel], **fields: object) -> list[str]:
    return sorted(set(unknown_fields(validate_body(model, {"model": "m", **fields}))))


def test_unknown_names_are_found_at_any_depth() -> None:
    tool = {"type": "function", "function": {"name": "f", "a": 1}, "b": 2}
    found = unknown(
        ChatCompletionRequest,
        messages=[USER, USER | {"content": [{"type": "text", "text": "x", "c": 3}]}, USER | {"d": 4}],
        tools=[tool],
        stream_options={"e": 5},
        tempratur=1,
    )
    assert found == [
        "messages[].content[].c",
        "messages[].d",
        "stream_options.e",
        "tempratur",
        "tools[].b",
        "tools[].function.a",
    ]


def test_what_is_free_form_has_no_unknown_names() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"anything": 1}}}
    fields = {"metadata": {"x": "y"}, "chat_template_kwargs": {"x": 1}, "logit_bias": {"1": 1}}
    assert unknown(ChatCompletionRequest, messages=[USER], tools=[tool], **fields) == []
    assert unknown(CompletionRequest, prompt=[[1], [2]]) == []
