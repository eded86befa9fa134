"""Fields that other servers document and this one does not have: refused where they ask for something.

From the request fields of vLLM, SGLang, llama.cpp's server, llama-cpp-python, Ollama, mlx_lm.server,
LM Studio, TGI, and of the services behind OpenRouter, Together, Fireworks, DeepSeek, Qwen and Mistral.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from api.http.compatibility.field import AUTOMATIC, Field, no_effect, refused

_MISSING = "not implemented"
_AT_TOP = "its fields belong at the top level of the request"
_ONE_MODEL = "there are no adapters"
_IDS = "the answer has no token ids; `logprobs` has the tokens' texts and bytes"
_ONLY_WITH = "only counts with `{}`, which is refused"
_NO_MEDIA = "there is no image, audio or video that it could be about"
_ROUTING = "there is one model and nothing to route between"
_NO_TEXT_CHANGE = "speculation changes no token"


def _has_penalty(body: BaseModel) -> bool:
    """Whether any counts the tokens so far; a window over them matters only then."""
    values = vars(body)
    repetition = (values.get("repetition_penalty"), values.get("repeat_penalty"))
    others = (values.get("frequency_penalty"), values.get("presence_penalty"))
    return any(value not in (None, 1) for value in repetition) or any(others)


def _draws(body: BaseModel) -> bool:
    return vars(body).get("temperature") != 0


def _off(name: str, note: str, *neutral: Any) -> Field:
    """A refused field whose neutral values are worth a word."""
    return refused(
        name, f"{note}; {' and '.join(f'`{each!r}`'.lower() for each in neutral)} accepted", *neutral
    )


def _window(name: str) -> Field:
    note = "penalties count the whole text; accepted as -1 and where no penalty is asked for"
    return refused(name, note, -1).when(_has_penalty)


_SAMPLING = (
    refused("allowed_token_ids", _MISSING, []),
    refused("bad_words", _MISSING, []),
    refused("custom_logit_processor", "no code of requests is run", ""),
    refused("custom_params", "there are no custom processors", {}),
    refused("do_sample", "send `temperature` 0 for the likeliest tokens", True).when(_draws),
    no_effect("dry_allowed_length", _ONLY_WITH.format("dry_multiplier")),
    no_effect("dry_base", _ONLY_WITH.format("dry_multiplier")),
    _off("dry_multiplier", _MISSING, 0),
    no_effect("dry_penalty_last_n", _ONLY_WITH.format("dry_multiplier")),
    no_effect("dry_sequence_breakers", _ONLY_WITH.format("dry_multiplier")),
    no_effect("dynatemp_exponent", _ONLY_WITH.format("dynatemp_range")),
    _off("dynatemp_range", _MISSING, 0),
    _off("early_stopping", "no beam search", False),
    _off("epsilon_cutoff", _MISSING, 0),
    _off("eta_cutoff", _MISSING, 0),
    _window("frequency_context_size"),
    _off("guidance_scale", _MISSING, 1),
    _off("length_penalty", "no beam search", 1),
    _off("logit_bias_type", "`logit_bias` has token ids", "input_ids"),
    refused("logits_processors", "no code of requests is run", []),
    _off("min_keep", _MISSING, 0),
    _off("mirostat", _MISSING, 0),
    no_effect("mirostat_eta", _ONLY_WITH.format("mirostat")),
    _off("mirostat_mode", _MISSING, 0),
    no_effect("mirostat_tau", _ONLY_WITH.format("mirostat")),
    _off("n_indent", _MISSING, 0),
    refused("negative_prompt", _MISSING, ""),
    _off("no_repeat_ngram_size", _MISSING, 0),
    _off("num_beams", "no beam search", 1),
    _off("penalize_nl", "penalties treat a line's end as any token", True).when(_has_penalty),
    _window("presence_context_size"),
    refused("random_seed", "send `seed`"),
    _window("repeat_last_n"),
    _window("repetition_context_size"),
    refused("repetition_detection", _MISSING),
    refused("samplers", "their order is fixed", []),
    _off("smoothing_factor", _MISSING, 0),
    _off("tfs_z", _MISSING, 1),
    _off("top_a", _MISSING, 0),
    _off("top_n_sigma", _MISSING, 0, -1),
    _off("typical_p", _MISSING, 1),
    _off("use_beam_search", "no beam search", False),
    _off("watermark", _MISSING, False),
    _off("watermarking", _MISSING, False),
    _off("xtc_probability", _MISSING, 0),
    no_effect("xtc_threshold", _ONLY_WITH.format("xtc_probability")),
)

_ENDS_AND_FORMS = (
    refused("context_length_exceeded_behavior", "what is too long is refused: `error` is accepted", "error"),
    no_effect("guided_decoding_backend", "there is one"),
    refused("guided_whitespace_pattern", "JSON has no free white space here", ""),
    refused("grammar_triggers", "a grammar holds from the start", []),
    _off("grammar_lazy", "a grammar holds from the start", False),
    no_effect("preserved_tokens", "special tokens are none of the answer's text"),
    refused("stop_regex", _MISSING, [], ""),
    refused("stop_sequences", "send `stop`", []),
    refused("structural_tag", _MISSING),
    _off("t_max_predict_ms", _MISSING, 0, -1),
)

_PROMPTS = (
    no_effect("n_discard", "no token of a text is discarded"),
    no_effect("n_keep", "no token of a text is discarded"),
    refused("context", "send the texts before", []),
    refused("images", "the model takes text", []),
    refused("input_extra", "the model does not fill in the middle", []),
    refused("input_ids", "token ids go to /v1/completions", []),
    refused("input_prefix", "the model does not fill in the middle", ""),
    refused("input_suffix", "the model does not fill in the middle", ""),
    refused("prompt_embeds", "prompts are texts or token ids"),
    refused("prompt_truncate_len", "prompts are never cut"),
    refused("raw", "plain texts go to /v1/completions", False),
    refused("system", "send a message of the role `system`", ""),
    refused("template", "prompts are made by the model's own chat template", ""),
    refused("truncate", "prompts are never cut"),
    refused("truncate_prompt_tokens", "prompts are never cut"),
    no_effect("truncation_side", _ONLY_WITH.format("truncate_prompt_tokens")),
)

_ANSWERS = (
    _off("decoder_input_details", _IDS, False),
    _off("details", _IDS, False),
    _off("detokenize", "the answer is text", True),
    _off("logprob_start_len", "`echo` with `logprobs` has all of the prompt's", -1),
    refused("logprob_token_ids", _MISSING, []),
    _off("n_cmpl", "send `n`", 1),
    _off("n_probs", "send `logprobs`", 0),
    _off("perf_metrics_in_response", "figures are in /stats", False),
    _off("post_sampling_probs", "logprobs are those before temperature", False),
    _off("raw_output", _MISSING, False),
    refused("response_fields", "the answer has all of its fields", []),
    _off("return_cached_tokens_details", "`usage` has the cached tokens' number", False),
    _off("return_full_text", "send `echo` to /v1/completions", False),
    _off("return_hidden_states", _MISSING, False),
    _off("return_meta_info", _MISSING, False),
    _off("return_progress", "a silent stream has comment lines", False),
    _off("return_prompt_text", _MISSING, False),
    _off("return_prompt_token_ids", _IDS, False),
    _off("return_routed_experts", _MISSING, False),
    _off("return_token_ids", _IDS, False),
    _off("return_tokens", _IDS, False),
    _off("return_tokens_as_token_ids", _IDS, False),
    _off("skip_special_tokens", "special tokens are none of the answer's text", True),
    no_effect("spaces_between_special_tokens", "special tokens are none of the answer's text"),
    no_effect("stream_interval", "each step's text is sent at once"),
    _off("timings_per_token", "figures are in /stats", False),
    _off("top_n_tokens", "send `top_logprobs`", 0),
)

_MODELS_AND_ROUTING = (
    refused("adapter_id", _ONE_MODEL, ""),
    refused("adapters", _ONE_MODEL, ""),
    no_effect("backend_sampling", "where tokens are drawn changes none of them"),
    refused("bootstrap_host", "prompts are read where answers are written"),
    no_effect("custom_labels", "nothing is counted by label"),
    no_effect("data_parallel_rank", _ROUTING),
    no_effect("draft_model", _NO_TEXT_CHANGE),
    refused("ec_transfer_params", "prompts are read where answers are written"),
    no_effect("images_config", _NO_MEDIA),
    no_effect("keep_alive", "the model stays loaded"),
    refused("kv_transfer_params", "prompts are read where answers are written"),
    refused("lora", _ONE_MODEL, []),
    refused("lora_path", _ONE_MODEL, ""),
    refused("lora_request", _ONE_MODEL, {}),
    no_effect("max_dynamic_patch", _NO_MEDIA),
    no_effect("media_io_kwargs", _NO_MEDIA),
    no_effect("min_dynamic_patch", _NO_MEDIA),
    no_effect("mm_processor_kwargs", _NO_MEDIA),
    no_effect("models", _ROUTING),
    no_effect("num_draft_tokens", _NO_TEXT_CHANGE),
    no_effect("prompt_cache_max_len", AUTOMATIC),
    no_effect("provider", _ROUTING),
    no_effect("request_id", "answers have ids of the server's own"),
    no_effect("rid", "answers have ids of the server's own"),
    no_effect("route", _ROUTING),
    no_effect("routed_dp_rank", _ROUTING),
    no_effect("session_id", "prompts that begin alike share the cache, of one session or not"),
    refused("session_params", "requests bring all of their text", {}),
    no_effect("speculation", _NO_TEXT_CHANGE),
    no_effect("ttl", "the model stays loaded"),
    refused("vllm_xargs", _MISSING, {}),
)

_NESTS = (
    refused("extra_body", _AT_TOP, {}),
    refused("generation_config", _AT_TOP, {}),
    refused("model_kwargs", _AT_TOP, {}),
    refused("options", _AT_TOP, {}),
    refused("parameters", _AT_TOP, {}),
    refused("sampling_params", _AT_TOP, {}),
)

FOREIGN = (*_SAMPLING, *_ENDS_AND_FORMS, *_PROMPTS, *_ANSWERS, *_MODELS_AND_ROUTING, *_NESTS)

CHAT_FOREIGN = (
    *FOREIGN,
    _off("add_special_tokens", "the template says what a chat begins with", False),
    _off("best_of", "answers are not ranked", 1),
    refused("chat_template", "prompts are made by the model's own chat template", ""),
    _off("disable_reasoning", "send `enable_thinking`", False),
    refused("documents", "send them in a message", []),
    _off("echo", "the messages are not part of the answer", False),
    _off("enable_search", "the server reaches no network", False),
    no_effect("search_options", _ONLY_WITH.format("enable_search")),
    refused("integrations", "the server calls no tools itself", []),
    _off("parse_tool_calls", "calls are always told from the text", True),
    refused("plugins", "the server reaches no network", []),
    refused("prompt", "plain texts go to /v1/completions", "", []),
    refused("prompt_mode", "send `reasoning_effort` or `enable_thinking`"),
    _off("reasoning_format", "reasoning comes apart from the content", "auto", "deepseek"),
    refused("reasoning_history", "the model's template decides"),
    refused("role_mapping", "prompts are made by the model's own chat template", {}),
    _off("safe_prompt", "send a system message", False),
    refused("safety_model", "there is one model", ""),
    refused("search_parameters", "the server reaches no network", {}),
    _off("separate_reasoning", "reasoning comes apart from the content", True),
    _off("stream_reasoning", "reasoning streams as it comes", True),
    refused("task", _MISSING),
    _off("thinking_forced_open", "the model's template decides", False),
    refused("transforms", "prompts are never cut", []),
    refused("translation_options", _MISSING, {}),
    no_effect("use_audio_in_video", _NO_MEDIA),
    _off("web_search", "the server reaches no network", False),
)

_NO_CHAT = "texts have no template; chats go to /v1/chat/completions"

COMPLETION_FOREIGN = (
    *FOREIGN,
    refused("chat_template_kwargs", _NO_CHAT, {}),
    refused("enable_thinking", _NO_CHAT),
    refused("functions", _NO_CHAT, []),
    refused("messages", _NO_CHAT, []),
    refused("reasoning", _NO_CHAT, {}),
    refused("reasoning_effort", _NO_CHAT),
    refused("think", _NO_CHAT),
    refused("thinking", _NO_CHAT),
    refused("thinking_budget", _NO_CHAT, -1),
    refused("thinking_budget_tokens", _NO_CHAT, -1),
    refused("thinking_token_budget", _NO_CHAT, -1),
    refused("tool_choice", _NO_CHAT, "none"),
    refused("tools", _NO_CHAT, []),
    refused("top_logprobs", "send their number as `logprobs`"),
)

FOREIGN_NAMES = frozenset(field.name for field in (*CHAT_FOREIGN, *COMPLETION_FOREIGN))
