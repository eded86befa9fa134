"""Puts the memory of chats together: the budget, the slots and the prefix cache, as the plan allows."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from mlx.utils import tree_flatten

from api.config import EngineConfig
from api.engine.device.free_memory import free_bytes, gigabytes, max_array_bytes
from api.engine.device.platform import Platform
from api.engine.forward.choosing.choose import ChosenForward
from api.engine.forward.kv.block_store import PIECE_BLOCKS
from api.engine.loading.load import LoadedModel
from api.engine.memory.account import BlockSizes, KVMemory
from api.engine.memory.block_cache import BlockCache
from api.engine.memory.plan import Needs, kv_budget
from api.engine.memory.prefix_cache import NoPrefixCache, PrefixCache
from api.engine.memory.sequence_memory import SequenceMemory
from api.engine.memory.slots import SlotPool
from api.engine.memory.step_estimate import StepSizes, widest_row
from api.engine.sampling.prompt_scores import most_scored_rows
from api.engine.speculation.speculation import MOST_SAMPLED_PROPOSALS, most_proposals
from api.errors import StartupError
from api.types import Report

log = structlog.get_logger(__name__)

_BLOCK_TOKENS = 32  # of the prefix cache
_FEWEST_CHAT_TOKENS = 512  # that a server is of use with, where the operator does not say
_FEWEST_STATE_BLOCKS, _MOST_STATE_BLOCKS = 8, 32  # between two states that are saved of a sequence


def build_memory(
    config: EngineConfig,
    loaded: LoadedModel,
    chosen: ChosenForward,
    needs: Needs,
    num_workers: int,
    report: Report,
    weight_bytes: int | None = None,
) -> SequenceMemory:
    """Call when the weights are loaded and nothing else is: what is free then is what there is.

    ``weight_bytes``: of all that a further process would load; None: of ``loaded``.
    Raises StartupError where ``config`` asks for more than that, or for too little to be of use.
    """
    weight_bytes = weight_bytes or loaded.weight_bytes
    budget_bytes = kv_budget(config.kv_memory_bytes, free_bytes(), needs, num_workers, weight_bytes)
    memory = KVMemory(budget_bytes)
    slots = _slot_pool(memory, loaded, chosen, report)
    if config.kv_memory_bytes is None and slots.max_sequence_tokens < min(
        loaded.context_length, _FEWEST_CHAT_TOKENS
    ):
        raise StartupError(
            f"too little memory: what steps leave for chats holds {slots.max_sequence_tokens} tokens; "
            "use a smaller model, a lower --max-step-tokens, or name a --kv-memory that is enough for you"
        )
    return SequenceMemory(slots, build_prefix_cache(config, memory, chosen, report), can_copy=chosen.can_copy)


def estimate_needs(
    config: EngineConfig,
    loaded: LoadedModel,
    platform: Platform,
    max_step_tokens: int,
    vocab_size: int,
    chosen: ChosenForward | None = None,
) -> Needs:
    """Beside keys and values; ``chosen``: None before a forward is, for which there must be room as well."""
    shapes = [array.shape for _, array in tree_flatten(loaded.model.parameters())]
    num_rows = max(max_step_tokens, config.max_batch_size)
    state_bytes = chosen.state_bytes if chosen else 0
    sizes = StepSizes(
        num_rows=num_rows,
        num_sequences=config.max_batch_size,
        num_sampled_rows=config.max_batch_size + min(num_rows, MOST_SAMPLED_PROPOSALS),
        num_verified_rows=max(
            min(num_rows, config.max_batch_size + most_proposals(config.max_batch_size)),
            config.max_batch_size + 2 * min(num_rows, most_scored_rows(vocab_size)),  # twice as many numbers
        ),
        row_width=widest_row(shapes, loaded.config, vocab_size),
        vocab_size=vocab_size,
        attention_bytes=platform.attention_bytes,
        state_bytes=state_bytes,
        loaded_bytes=_token_bytes(chosen) * _BLOCK_TOKENS * PIECE_BLOCKS if chosen else 0,
    )
    return Needs(sizes.num_bytes, platform.process_bytes, chosen.copy_share if chosen else 0.0)


def build_prefix_cache(
    config: EngineConfig, memory: KVMemory, chosen: ChosenForward, report: Report
) -> PrefixCache:
    """The cache that the forward and ``config`` allow; its blocks come out of ``memory``."""
    if config.prefix_cache == "off" or not chosen.has_slots:
        report("Prefix cache: off" if config.prefix_cache == "off" else "Prefix cache: off for this forward")
        return NoPrefixCache()
    sizes = _block_sizes(chosen)
    limit_bytes = _prefix_cache_bytes(config.prefix_cache_bytes, memory.budget_bytes, sizes)
    report(f"Prefix cache: up to {gigabytes(limit_bytes)} of it, in blocks of {_BLOCK_TOKENS} tokens")
    return BlockCache(memory, sizes, limit_bytes)


def _prefix_cache_bytes(asked_bytes: int | None, budget_bytes: int, sizes: BlockSizes) -> int:
    if asked_bytes is None:
        return budget_bytes // 2
    if asked_bytes < sizes.kv_bytes:
        raise StartupError(
            f"--prefix-cache-memory: {asked_bytes:,} bytes hold not one block of {sizes.num_tokens} tokens, "
            f"which takes {sizes.kv_bytes:,}; use --prefix-cache off to keep nothing"
        )
    if asked_bytes > budget_bytes:
        log.warning(
            "--prefix-cache-memory is more than there is for keys and values, of which it is a part",
            asked=gigabytes(asked_bytes),
            used=gigabytes(budget_bytes),
        )
    return min(asked_bytes, budget_bytes)


def _slot_pool(memory: KVMemory, loaded: LoadedModel, chosen: ChosenForward, report: Report) -> SlotPool:
    try:
        slots = SlotPool(
            memory,
            context_length=loaded.context_length,
            slot_bytes=chosen.slot_bytes,
            most_slots=_most_slots(chosen, max_array_bytes()),
        )
    except ValueError as error:
        raise StartupError(f"too little memory for the KV of even one token: {error}") from error
    state = f" and {chosen.state_bytes:,} a chat" if chosen.state_bytes else ""
    if chosen.draft_bytes:
        state = f" and {_draft_token_bytes(chosen):,} for the draft model"
    report(
        f"KV memory: up to {gigabytes(memory.budget_bytes)}, {_token_bytes(chosen):,} bytes a token{state}; "
        f"context {loaded.context_length:,} tokens"
    )
    return slots


def _most_slots(chosen: ChosenForward, max_bytes: int | None) -> Callable[[int], int | None]:
    """A class's slots are one array in each layer, which the device may limit."""
    array_bytes = chosen.array_bytes
    if array_bytes is None or max_bytes is None:
        return lambda capacity: None
    return lambda capacity: max_bytes // max(1, array_bytes(capacity))


def _token_bytes(chosen: ChosenForward) -> int:
    """Of the KV that is cached in blocks."""
    return chosen.slot_bytes(1) - chosen.state_bytes - _draft_token_bytes(chosen)


def _draft_token_bytes(chosen: ChosenForward) -> int:
    return chosen.draft_bytes(1) if chosen.draft_bytes else 0


def _block_sizes(chosen: ChosenForward) -> BlockSizes:
    """A state is saved about as often as the tokens between take the same bytes."""
    token_bytes = _token_bytes(chosen)
    num_blocks = chosen.state_bytes // max(1, token_bytes * _BLOCK_TOKENS)
    stride_tokens = _BLOCK_TOKENS * min(max(num_blocks, _FEWEST_STATE_BLOCKS), _MOST_STATE_BLOCKS)
    return BlockSizes(_BLOCK_TOKENS, token_bytes * _BLOCK_TOKENS, chosen.state_bytes, stride_tokens)
