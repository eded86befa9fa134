"""Fields of local servers that this one honours, or can pass over because nothing depends on them."""

from __future__ import annotations

from api.http.compatibility.field import honoured, no_effect

SHARED_EXTENSIONS = (
    honoured(
        "cache_prompt", "llama.cpp's; false: nothing of the prefix cache is used, nor kept for other requests"
    ),
    honoured("cache_salt", "prompts share what is cached with prompts of the same salt and API key only"),
    honoured("ebnf", "SGLang's: the EBNF of llama.cpp and its kin, or Lark"),
    honoured("extra_key", "another name of `cache_salt`"),
    honoured("format", 'Ollama\'s: `"json"`, or a JSON schema'),
    honoured("grammar", "llama.cpp's: its EBNF, or Lark; or TGI's object of `type` and `value`"),
    honoured("guided_choice", "as `structured_outputs.choice`"),
    honoured("guided_decoding", "another name of `structured_outputs`"),
    honoured("guided_grammar", "as `structured_outputs.grammar`"),
    honoured("guided_json", "as `structured_outputs.json`"),
    honoured("guided_json_object", "as `structured_outputs.json_object`"),
    honoured("guided_regex", "as `structured_outputs.regex`"),
    no_effect("id_slot", "llama.cpp's; each request gets a free slot, and the cache is all slots'"),
    honoured("ignore_eos"),
    honoured("include_stop_str_in_output"),
    honoured("json_schema", "llama.cpp's and SGLang's: a JSON schema, also in a string"),
    honoured("max_new_tokens", "another name of `max_tokens`"),
    honoured("min_new_tokens", "another name of `min_tokens`"),
    honoured("min_p"),
    honoured("min_tokens", "before an end of sequence or a stop token; a stop string ends the answer still"),
    no_effect("n_cache_reuse", "llama.cpp's; prompts share their beginnings, not their middles"),
    honoured("n_predict", "another name of `max_tokens`; -1 is no limit but the context's"),
    honoured("no_stop_trim", "another name of `include_stop_str_in_output`"),
    honoured(
        "priority",
        "an integer, 0 by default; lower ones go first in the queue; each 30 s of waiting raises a request "
        "to the next better priority there is; of one priority, clients take turns",
    ),
    honoured("prompt_cache_isolation_key", "another name of `cache_salt`"),
    honoured("prompt_logprobs", "vLLM's, in its form; 0 to 20; not with `stream`"),
    honoured("regex", "as `structured_outputs.regex`"),
    honoured("repeat_penalty", "another name of `repetition_penalty`"),
    honoured("repetition_penalty"),
    honoured("stop_token_ids", "ids of the vocabulary only"),
    honoured("structured_outputs", "one of `json`, `regex`, `choice`, `grammar` (Lark), `json_object`"),
    honoured("top_k", "0 and -1 are off"),
    honoured("usage", 'OpenRouter\'s `{"include": true}`, as `stream_options.include_usage`'),
)

CHAT_EXTENSIONS = (
    *SHARED_EXTENSIONS,
    honoured("add_generation_prompt", "the opposite of `continue_final_message`"),
    honoured("chat_template_kwargs", "given to the model's template"),
    honoured("continue_final_message", "the answer goes on with the assistant's last message"),
    honoured("enable_thinking", "given to the model's template"),
    honoured("include_reasoning", "false leaves reasoning out of the answer"),
    honoured(
        "reasoning",
        "OpenRouter's: `effort` as `reasoning_effort`, `enabled` as `enable_thinking`, `max_tokens` as "
        "`thinking_token_budget`, `exclude` as the opposite of `include_reasoning`",
    ),
    honoured("think", "Ollama's: a boolean as `enable_thinking`, a string as `reasoning_effort`"),
    honoured(
        "thinking",
        "`type` as `enable_thinking`, `budget_tokens` as `thinking_token_budget`; or a boolean",
    ),
    honoured("thinking_budget", "another name of `thinking_token_budget`"),
    honoured("thinking_budget_tokens", "another name of `thinking_token_budget`"),
    honoured("thinking_token_budget", "tokens of reasoning before it is closed; -1 is no limit"),
)

COMPLETION_EXTENSIONS = (
    *SHARED_EXTENSIONS,
    honoured("add_special_tokens", "vLLM's; false: the tokenizer adds no beginning of text"),
    honoured("max_completion_tokens", "wins over `max_tokens`"),
    honoured("response_format", "enforced by grammar"),
)
