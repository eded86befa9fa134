"""``--check``: the model is loaded and checked as for serving, and told what its memory holds."""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from api.assembly.engine import LoadedEngine, load_engine
from api.config import ServerConfig
from api.engine.cpu.denormals import flushed_denormals
from api.engine.device.free_memory import gigabytes

log = structlog.get_logger(__name__)

_FIRST_CHAT_TOKENS = 1024
_CHAT_TOKENS_FACTOR = 4


def check_model(config: ServerConfig) -> str:
    """Returns the plan, in lines; nothing listens meanwhile. Raises StartupError as a start does."""
    with flushed_denormals():
        engine = load_engine(config, log.info)
        try:
            return "\n".join(f"{name:<9}{text}" for name, text in plan(engine, config))
        finally:
            engine.grammars.close()


def plan(engine: LoadedEngine, config: ServerConfig) -> Iterator[tuple[str, str]]:
    """What is told, by its name; with several workers of each of them."""
    model, draft = engine.describe, engine.describe["draft_model"]
    yield "model", f"{engine.model_names[0]}, {model['num_parameters']:,} parameters"
    yield "device", model["device"]
    yield "forward", model["forward"]
    yield "weights", gigabytes(model["weight_bytes"])
    if draft is not None:
        yield "draft", f"{draft['name']}, {gigabytes(draft['weight_bytes'])}"
    yield "KV", f"{gigabytes(engine.slots.budget_bytes)}, {_chat_bytes(model)}"
    for num_tokens in chat_sizes(engine.slots.max_sequence_tokens):
        yield "", f"room for {engine.slots.num_fitting(num_tokens):,} chats of {num_tokens:,} tokens"
    yield "batch", f"{config.engine.max_batch_size} chats at once"
    if config.workers > 1:
        yield "workers", f"{config.workers}, each with all of this"


def _chat_bytes(model: dict[str, int]) -> str:
    state_bytes = model["state_bytes_per_chat"]
    state = f" and {state_bytes:,} a chat" if state_bytes else ""
    return f"{model['kv_bytes_per_token']:,} bytes a token{state}"


def chat_sizes(longest: int) -> Iterator[int]:
    """1,024 tokens, 4,096 and so on, and the longest chat that there is room for."""
    num_tokens = _FIRST_CHAT_TOKENS
    while num_tokens < longest:
        yield num_tokens
        num_tokens *= _CHAT_TOKENS_FACTOR
    yield longest
