"""The objects inside of a request, field by field."""

from __future__ import annotations

from api.http.compatibility.field import AUTOMATIC, Field, honoured, no_effect, refused

_PLAIN_MESSAGE = (
    honoured("content", "text; images, audio and files are refused"),
    refused("images", "the model takes text", []),
    honoured("name", "given to the model's template"),
    honoured("role"),
    refused("tools", "tools belong at the top level of the request", []),
)
_BREAKPOINT = no_effect("prompt_cache_breakpoint", AUTOMATIC)

OBJECTS: dict[str, tuple[Field, ...]] = {
    "system message": _PLAIN_MESSAGE,
    "developer message": _PLAIN_MESSAGE,
    "user message": _PLAIN_MESSAGE,
    "assistant message": (
        no_effect("annotations", "part of answers that clients send back"),
        refused("audio", "the model takes text"),
        honoured("content", "null beside calls or a refusal"),
        no_effect("reasoning_details", "OpenRouter's; `reasoning` has the text"),
        honoured("partial", "of the last message: as `continue_final_message`"),
        honoured("prefix", "of the last message: as `continue_final_message`"),
        honoured("function_call", "as one of `tool_calls`"),
        honoured("name", "given to the model's template"),
        honoured("reasoning", "another name of `reasoning_content`"),
        honoured("reasoning_content", "given to the model's template"),
        honoured("refusal", "as content"),
        honoured("role"),
        honoured("tool_calls", "functions; custom tools are refused"),
    ),
    "tool message": (
        honoured("content", "text"),
        honoured("name", "by default that of the call"),
        honoured("role"),
        honoured("tool_call_id"),
    ),
    "function message": (
        honoured("content", "as a tool message's"),
        honoured("name"),
        honoured("role"),
    ),
    "text part": (
        no_effect("cache_control", AUTOMATIC),
        _BREAKPOINT,
        honoured("text"),
        honoured("type"),
    ),
    "refusal part": (honoured("refusal", "of assistants' messages, as text"), honoured("type")),
    "image part": (
        _BREAKPOINT,
        refused("image_url", "the model takes text"),
        refused("type", "by the value `image_url`"),
    ),
    "audio part": (
        _BREAKPOINT,
        refused("input_audio", "the model takes text"),
        refused("type", "by the value `input_audio`"),
    ),
    "file part": (
        _BREAKPOINT,
        refused("file", "the model takes text"),
        refused("type", "by the value `file`"),
    ),
    "tool call": (
        honoured("function", "`arguments` may also be an object or null; what is no object is shown as text"),
        honoured("id"),
        honoured("type"),
    ),
    "custom tool call": (
        refused("custom", "functions only"),
        refused("id", "functions only"),
        refused("type", "by the value `custom`"),
    ),
    "tool": (
        no_effect("cache_control", AUTOMATIC),
        refused("defer_loading", "the prompt has all tools; `false` is accepted", False),
        honoured("function"),
        honoured("type"),
    ),
    "custom tool": (refused("custom", "functions only"), refused("type", "by the value `custom`")),
    "function": (
        honoured("description", "part of the prompt"),
        honoured("name"),
        honoured("parameters", "none: an empty object"),
        refused("defer_loading", "the prompt has all tools; `false` is accepted", False),
        honoured("strict", "the arguments follow the schema by grammar"),
    ),
    "legacy function": (
        honoured("description", "part of the prompt"),
        honoured("name"),
        honoured("parameters", "none: an empty object"),
    ),
    "tool choice": (honoured("function"), honoured("type")),
    "custom tool choice": (refused("custom", "functions only"), refused("type", "by the value `custom`")),
    "allowed tools choice": (honoured("allowed_tools"), honoured("type")),
    "allowed tools": (honoured("mode"), honoured("tools")),
    "legacy function choice": (honoured("name"),),
    "text format": (honoured("type"),),
    "JSON object format": (honoured("type"),),
    "JSON schema format": (honoured("json_schema"), honoured("type")),
    "forms of local servers": (
        honoured("grammar", "of the type `grammar`"),
        honoured("pattern", "of the type `regex`"),
        honoured("schema", "of the types `json_object`, `json_schema` and `json`; also JSON in a string"),
        honoured("type", "also `json`, `regex` and `grammar`; `structural_tag` is refused"),
        honoured("value", "TGI's; of the types `json`, `regex` and `grammar`"),
    ),
    "structured outputs": (
        honoured("choice"),
        no_effect("backend", "there is one"),
        no_effect("disable_additional_properties", "objects that name their properties get no others"),
        no_effect("disable_any_whitespace", "JSON has no free white space here"),
        no_effect("disable_fallback", "there is one backend"),
        honoured("grammar", "Lark, or the EBNF of llama.cpp and its kin"),
        honoured("json", "also in a string"),
        honoured("json_object"),
        honoured("regex"),
        refused("structural_tag", "not implemented"),
        refused("whitespace_pattern", "JSON has no free white space here", ""),
    ),
    "JSON schema": (
        no_effect("description", "the grammar needs none; describe the answer in the prompt"),
        no_effect("name", "it names the schema and nothing else"),
        honoured("schema", "none: any object; a keyword that cannot be enforced is refused by its name"),
        honoured("strict", "enforced either way"),
    ),
    "prediction": (honoured("content", "text, or text parts, which are joined"), honoured("type")),
    "stream options": (
        no_effect("continuous_usage_stats", "vLLM's; the usage is the last chunk's"),
        no_effect("include_obfuscation", "nothing is padded"),
        honoured("include_usage"),
    ),
}
