"""Every request field by name: honoured, refused, or without effect, and why.

One table, three readers: refusals at run time, ``docs/compatibility.md``, and the test that holds it
against the fields that OpenAI publishes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from api.errors import UnsupportedFieldError


class Support(StrEnum):
    HONOURED = "honoured"
    REFUSED = "refused"
    NO_EFFECT = "no effect"


@dataclass(frozen=True, slots=True)
class Field:
    """``neutral`` are the values of a refused field that mean the same as leaving it out."""

    name: str
    support: Support
    note: str = ""
    neutral: tuple[Any, ...] = ()


def _honoured(name: str, note: str = "") -> Field:
    return Field(name, Support.HONOURED, note)


def _refused(name: str, note: str, *neutral: Any) -> Field:
    return Field(name, Support.REFUSED, note, neutral)


def _no_effect(name: str, note: str) -> Field:
    return Field(name, Support.NO_EFFECT, note)


_AUTOMATIC = "the prefix cache is automatic: prompts that begin alike share it, as long as memory lasts"

_SHARED = (
    _honoured("frequency_penalty"),
    _honoured("logit_bias", "ids of the vocabulary only"),
    _honoured("model", "any of the served names"),
    _honoured("n", "the prompt is read and counted once"),
    _honoured("presence_penalty"),
    _honoured("seed", "the same seed gives the same tokens, whatever else is in the batch"),
    _honoured("stop", "up to 4 strings; in the content, not within a call or the reasoning"),
    _honoured("stream"),
    _honoured("stream_options", "tolerated without `stream`"),
    _honoured("temperature"),
    _honoured("top_p", "0 keeps the likeliest token"),
    _no_effect("user", "nothing is stored by user; fair shares go by API key and address"),
)

CHAT = (
    *_SHARED,
    _refused("audio", "the model writes text"),
    _honoured("function_call", "the form that preceded `tool_choice`"),
    _honoured("functions", "the form that preceded `tools`; calls are answered as `function_call`"),
    _honoured("logprobs", "of the content's tokens; calls and reasoning have none"),
    _honoured("max_completion_tokens", "wins over `max_tokens`"),
    _honoured("max_tokens"),
    _honoured(
        "messages",
        "all shown: what the template does not take is folded into what it does; "
        "names of special tokens in them are text, unless the server runs with `--allow-special-tokens`",
    ),
    _no_effect("metadata", "nothing is stored that it could describe"),
    _refused("modalities", 'the model writes text; `["text"]` is accepted', ["text"]),
    _refused("moderation", "there is no moderation model"),
    _honoured("parallel_tool_calls"),
    _refused("prediction", "no speculation on given text"),
    _no_effect("prompt_cache_key", "all requests share one cache; `cache_salt` keeps them apart"),
    _no_effect("prompt_cache_options", _AUTOMATIC),
    _no_effect("prompt_cache_retention", "kept as long as memory lasts; what was used last is kept longest"),
    _honoured("reasoning_effort", "given to the model's template; `none` also turns `enable_thinking` off"),
    _honoured(
        "response_format",
        "enforced by grammar, `strict` or not; an object that names its properties gets no others",
    ),
    _no_effect("safety_identifier", "nothing is reported about users"),
    _no_effect("service_tier", "there is one tier"),
    _no_effect("store", "nothing is stored"),
    _honoured("tool_choice"),
    _honoured(
        "tools",
        "functions; custom tools are refused; parameters that no grammar can hold get a 400 where a call is "
        "forced or the function is `strict`",
    ),
    _honoured("top_logprobs", "needs `logprobs`"),
    _refused("verbosity", "no model is trained for it here; `medium` is accepted", "medium"),
    _refused("web_search_options", "the server reaches no network"),
)

COMPLETIONS = (
    *_SHARED,
    _refused("best_of", "answers are not ranked; the value of `n` is accepted"),
    _honoured("echo", "not together with `logprobs`"),
    _honoured("logprobs", "0 to 5"),
    _honoured("max_tokens", "at least 1; 16 by default"),
    _honoured(
        "prompt",
        "a text, token ids, or a list of either; names of special tokens in a text become these tokens",
    ),
    _refused("suffix", "the model does not fill in the middle; an empty one is accepted", ""),
)

SHARED_EXTENSIONS = (
    _honoured(
        "cache_prompt", "llama.cpp's; false: nothing of the prefix cache is used, nor kept for other requests"
    ),
    _honoured("cache_salt", "prompts share what is cached with prompts of the same salt only"),
    _honoured("extra_key", "another name of `cache_salt`"),
    _honoured("guided_choice", "as `structured_outputs.choice`"),
    _honoured("guided_grammar", "as `structured_outputs.grammar`"),
    _honoured("guided_json", "as `structured_outputs.json`"),
    _honoured("guided_regex", "as `structured_outputs.regex`"),
    _no_effect("id_slot", "llama.cpp's; each request gets a free slot, and the cache is all slots'"),
    _honoured("ignore_eos"),
    _honoured("include_stop_str_in_output"),
    _honoured("min_p"),
    _honoured("min_tokens", "before an end of sequence or a stop token; a stop string ends the answer still"),
    _no_effect("n_cache_reuse", "llama.cpp's; prompts share their beginnings, not their middles"),
    _honoured(
        "priority",
        "an integer, 0 by default; lower ones go first in the queue; each 30 s of waiting raises a request "
        "to the next better priority there is; of one priority, clients take turns",
    ),
    _honoured("repeat_penalty", "another name of `repetition_penalty`"),
    _honoured("repetition_penalty"),
    _honoured("stop_token_ids", "ids of the vocabulary only"),
    _honoured("structured_outputs", "one of `json`, `regex`, `choice`, `grammar` (Lark), `json_object`"),
    _honoured("top_k", "0 and -1 are off"),
    _refused("allowed_token_ids", "not implemented", []),
    _refused("bad_words", "not implemented", []),
    _refused("dry_multiplier", "not implemented; 0 is accepted", 0),
    _refused("length_penalty", "no beam search; 1 is accepted", 1),
    _refused("mirostat", "not implemented; 0 is accepted", 0),
    _refused("prompt_logprobs", "not implemented"),
    _refused("typical_p", "not implemented; 1 is accepted", 1),
    _refused("use_beam_search", "no beam search; `false` is accepted", False),
    _refused("xtc_probability", "not implemented; 0 is accepted", 0),
)

CHAT_EXTENSIONS = (
    *SHARED_EXTENSIONS,
    _honoured("add_generation_prompt", "the opposite of `continue_final_message`"),
    _refused("best_of", "answers are not ranked; 1 is accepted", 1),
    _honoured("chat_template_kwargs", "given to the model's template"),
    _honoured("continue_final_message", "the answer goes on with the assistant's last message"),
    _honoured("enable_thinking", "given to the model's template"),
    _honoured("thinking_budget", "another name of `thinking_token_budget`"),
    _honoured("thinking_budget_tokens", "another name of `thinking_token_budget`"),
    _honoured("thinking_token_budget", "tokens of reasoning before it is closed; -1 is no limit"),
)

COMPLETION_EXTENSIONS = (*SHARED_EXTENSIONS, _honoured("response_format", "enforced by grammar"))

_PLAIN_MESSAGE = (
    _honoured("content", "text; images, audio and files are refused"),
    _honoured("name", "given to the model's template"),
    _honoured("role"),
)
_BREAKPOINT = _no_effect("prompt_cache_breakpoint", _AUTOMATIC)

OBJECTS: dict[str, tuple[Field, ...]] = {
    "system message": _PLAIN_MESSAGE,
    "developer message": _PLAIN_MESSAGE,
    "user message": _PLAIN_MESSAGE,
    "assistant message": (
        _no_effect("annotations", "part of answers that clients send back"),
        _refused("audio", "the model takes text"),
        _honoured("content", "null beside calls or a refusal"),
        _honoured("function_call", "as one of `tool_calls`"),
        _honoured("name", "given to the model's template"),
        _honoured("reasoning", "another name of `reasoning_content`"),
        _honoured("reasoning_content", "given to the model's template"),
        _honoured("refusal", "as content"),
        _honoured("role"),
        _honoured("tool_calls", "functions; custom tools are refused"),
    ),
    "tool message": (
        _honoured("content", "text"),
        _honoured("name", "by default that of the call"),
        _honoured("role"),
        _honoured("tool_call_id"),
    ),
    "function message": (
        _honoured("content", "as a tool message's"),
        _honoured("name"),
        _honoured("role"),
    ),
    "text part": (
        _no_effect("cache_control", _AUTOMATIC),
        _BREAKPOINT,
        _honoured("text"),
        _honoured("type"),
    ),
    "refusal part": (_honoured("refusal", "of assistants' messages, as text"), _honoured("type")),
    "image part": (
        _BREAKPOINT,
        _refused("image_url", "the model takes text"),
        _refused("type", "by the value `image_url`"),
    ),
    "audio part": (
        _BREAKPOINT,
        _refused("input_audio", "the model takes text"),
        _refused("type", "by the value `input_audio`"),
    ),
    "file part": (
        _BREAKPOINT,
        _refused("file", "the model takes text"),
        _refused("type", "by the value `file`"),
    ),
    "tool call": (
        _honoured(
            "function", "`arguments` may also be an object or null; what is no object is shown as text"
        ),
        _honoured("id"),
        _honoured("type"),
    ),
    "custom tool call": (
        _refused("custom", "functions only"),
        _refused("id", "functions only"),
        _refused("type", "by the value `custom`"),
    ),
    "tool": (_honoured("function"), _honoured("type")),
    "custom tool": (_refused("custom", "functions only"), _refused("type", "by the value `custom`")),
    "function": (
        _honoured("description", "part of the prompt"),
        _honoured("name"),
        _honoured("parameters", "none: an empty object"),
        _honoured("strict", "the arguments follow the schema by grammar"),
    ),
    "legacy function": (
        _honoured("description", "part of the prompt"),
        _honoured("name"),
        _honoured("parameters", "none: an empty object"),
    ),
    "tool choice": (_honoured("function"), _honoured("type")),
    "custom tool choice": (_refused("custom", "functions only"), _refused("type", "by the value `custom`")),
    "allowed tools choice": (_honoured("allowed_tools"), _honoured("type")),
    "allowed tools": (_honoured("mode"), _honoured("tools")),
    "legacy function choice": (_honoured("name"),),
    "text format": (_honoured("type"),),
    "JSON object format": (_honoured("type"),),
    "JSON schema format": (_honoured("json_schema"), _honoured("type")),
    "JSON schema": (
        _no_effect("description", "the grammar needs none; describe the answer in the prompt"),
        _no_effect("name", "it names the schema and nothing else"),
        _honoured("schema", "none: any object; a keyword that cannot be enforced is refused by its name"),
        _honoured("strict", "enforced either way"),
    ),
    "stream options": (
        _no_effect("include_obfuscation", "nothing is padded"),
        _honoured("include_usage"),
    ),
}


def refuse_fields(body: BaseModel, fields: Iterable[Field], path: str = "") -> None:
    """Raises UnsupportedFieldError for the first refused field that asks for something."""
    for field in fields:
        if field.support is not Support.REFUSED:
            continue
        value = getattr(body, field.name, None)
        if value is not None and value not in field.neutral:
            name = path + field.name
            raise UnsupportedFieldError(
                f"'{name}' is not supported by this server: {field.note}.", param=name
            )
