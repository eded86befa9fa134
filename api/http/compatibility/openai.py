"""The fields that OpenAI publishes for the two dialects."""

from __future__ import annotations

from api.http.compatibility.field import AUTOMATIC, honoured, no_effect, refused

_SHARED = (
    honoured("frequency_penalty"),
    honoured(
        "logit_bias", "ids of the vocabulary only; also llama.cpp's list of pairs; `false` bans a token"
    ),
    honoured("model", "any of the served names"),
    honoured("n", "the prompt is read and counted once"),
    honoured("presence_penalty"),
    honoured("seed", "the same seed gives the same tokens, whatever else is in the batch"),
    honoured(
        "stop",
        "up to 4 strings, also names of special tokens; in the content, not within a call or the reasoning",
    ),
    honoured("stream"),
    honoured("stream_options", "tolerated without `stream`"),
    honoured("temperature", "without it what the model's `generation_config.json` says, else 1"),
    honoured("top_p", "0 keeps the likeliest token"),
    no_effect("user", "nothing is stored by user; fair shares go by API key and address"),
)

CHAT = (
    *_SHARED,
    refused("audio", "the model writes text"),
    honoured("function_call", "the form that preceded `tool_choice`"),
    honoured("functions", "the form that preceded `tools`; calls are answered as `function_call`"),
    honoured("logprobs", "of the content's tokens; calls and reasoning have none"),
    honoured("max_completion_tokens", "wins over `max_tokens`"),
    honoured("max_tokens"),
    honoured(
        "messages",
        "all shown: what the template does not take is folded into what it does; "
        "names of special tokens in them are text, unless the server runs with `--allow-special-tokens`",
    ),
    no_effect("metadata", "nothing is stored that it could describe"),
    refused("modalities", 'the model writes text; `["text"]` is accepted', ["text"]),
    refused("moderation", "there is no moderation model"),
    honoured("parallel_tool_calls"),
    honoured(
        "prediction",
        "its tokens are verified several a step and change no token of the answer; beside every other "
        "field, though penalties and enforced forms gain nothing by it; at most as many tokens as the "
        "context. In the usage, of all choices: `accepted_prediction_tokens` are those that the answer "
        "follows, from its beginning and in runs of two or more, each once; `rejected_prediction_tokens` are "
        "all others, and part of no other number, not of `completion_tokens` either",
    ),
    no_effect(
        "prompt_cache_key",
        "requests with the same API key share what is cached; `cache_salt` keeps them apart",
    ),
    no_effect("prompt_cache_options", AUTOMATIC),
    no_effect("prompt_cache_retention", "kept as long as memory lasts; what was used last is kept longest"),
    honoured("reasoning_effort", "given to the model's template; `none` also turns `enable_thinking` off"),
    honoured(
        "response_format",
        "enforced by grammar, `strict` or not; an object that names its properties gets no others",
    ),
    no_effect("safety_identifier", "nothing is reported about users"),
    no_effect("service_tier", "there is one tier"),
    no_effect("store", "nothing is stored"),
    honoured("tool_choice"),
    honoured(
        "tools",
        "functions; custom tools are refused; parameters that no grammar can hold get a 400 where a call is "
        "forced or the function is `strict`",
    ),
    honoured("top_logprobs", "needs `logprobs`"),
    refused("verbosity", "no model is trained for it here; `medium` is accepted", "medium"),
    refused("web_search_options", "the server reaches no network"),
)

COMPLETIONS = (
    *_SHARED,
    refused("best_of", "answers are not ranked; the value of `n` is accepted"),
    honoured(
        "echo", "with `logprobs` also those of the prompt, and of the end of sequence if it ended there"
    ),
    honoured("logprobs", "0 to 5"),
    honoured("max_tokens", "from 0, which reads the prompt only; 16 by default"),
    honoured(
        "prompt",
        "a text, token ids, or a list of either; null and empty: a beginning of text; "
        "names of special tokens in a text become these tokens",
    ),
    refused("suffix", "the model does not fill in the middle; an empty one is accepted", ""),
)
