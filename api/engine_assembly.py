"""Puts a server's engine together from its parts. Runs on the batch thread, which then owns all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import structlog

from api.config import EngineConfig, ServerConfig
from api.engine.block_cache import BlockCache
from api.engine.block_sizes import BlockSizes
from api.engine.device_memory import DeviceMemory
from api.engine.forward.choose import ChosenForward, choose_forward
from api.engine.kv_memory import KVMemory
from api.engine.kv_slots import SlotPool
from api.engine.model_loader.load import LoadedModel, load_model
from api.engine.model_loader.locate import locate_model
from api.engine.model_loader.memory import free_bytes, gigabytes
from api.engine.model_package import class_finder, load_model_package
from api.engine.platform import Platform, detect_platform, prepare_device
from api.engine.prefix_cache import NoPrefixCache, PrefixCache
from api.engine.prefix_disk.assembly import check_disk_folder, open_prefix_disk
from api.engine.prefix_disk.disk import NoPrefixDisk, PrefixDisk
from api.engine.sampler import Sampler
from api.engine.scheduler import Scheduler
from api.engine.sequence_memory import SequenceMemory
from api.engine.speculation import NoSpeculation, PromptLookupSpeculation, Speculation
from api.engine.step_budget import StepBudget
from api.engine.verification_costs import VerificationCosts
from api.errors import StartupError
from api.generator import BatchGenerator
from api.prompt_reader import PromptReader
from api.stats import DeviceBytes
from api.text.tokenizer import Tokenizer, load_tokenizer

log = structlog.get_logger(__name__)

Report = Callable[[str], None]

# What stays free for activations, the buffer cache and everybody else on the machine.
_MARGIN_SHARE = 0.15
_SMALLEST_MARGIN_BYTES = 1024**3
_FALLBACK_VOCAB_SIZE = 256
_BLOCK_TOKENS = 32  # of the prefix cache
_FEWEST_STATE_BLOCKS, _MOST_STATE_BLOCKS = 8, 32  # between two states that are kept of a sequence
_SAMPLING_VERSION = 1  # raised when a seed no longer draws the tokens that it drew before


@dataclass(frozen=True, slots=True)
class LoadedEngine:
    """All that a loaded model gives to the threads."""

    scheduler: Scheduler
    generator: BatchGenerator
    prompt_reader: PromptReader
    prefix_disk: PrefixDisk | NoPrefixDisk
    model_names: tuple[str, ...]
    context_length: int
    fingerprint: str  # same weights and arithmetic: same value
    vocab_size: int  # token ids are below this
    describe: dict[str, Any]  # what /stats says about the model
    read_device: Callable[[], DeviceBytes]


def load_engine(config: ServerConfig, report: Report) -> LoadedEngine:
    """Locates, loads and checks the model; ``report`` gets a line for each step a person waits for.

    Raises StartupError with one clear line for everything that can be wrong with a model.
    """
    check_disk_folder(config.engine)
    platform = detect_platform()
    prepare_device(platform)
    files = locate_model(config.engine.model, report)
    find_classes = class_finder(load_model_package(platform.model_functions))
    loaded = load_model(files, config.engine, find_classes, report)
    tokenizer = load_tokenizer(
        loaded.folder,
        eos_token_ids=loaded.eos_token_ids,
        trust_remote_code=config.engine.trust_remote_code,
        allow_special_tokens=config.allow_special_tokens,
    )
    _report_template(tokenizer, report)
    budget = _step_budget(config.engine, platform)
    chosen = choose_forward(
        loaded.model,
        platform,
        _vocab_size(loaded),
        budget.max_step_tokens,
        config.engine.forward,
        report,
        config.engine.kv_bits,
    )
    free_bytes = _free_budget_bytes(config.workers, loaded.weight_bytes)
    memory = KVMemory(config.engine.kv_memory_bytes or free_bytes)
    slots = _slot_pool(memory, loaded, chosen, report)
    prefixes = build_prefix_cache(config.engine, memory, chosen, report)
    fingerprint = _fingerprint(loaded, chosen, platform, config.engine.kv_bits)
    disk, forward = open_prefix_disk(
        config.engine, prefixes, chosen.forward, loaded.model, files.names[0], fingerprint, report
    )
    sequence_memory = SequenceMemory(slots, prefixes, can_copy=chosen.can_copy)
    return LoadedEngine(
        scheduler=Scheduler(
            sequence_memory,
            budget,
            config.engine.max_batch_size,
            speculation=_speculation(config.engine, chosen, budget, platform, report),
        ),
        generator=BatchGenerator(forward, Sampler(platform), platform.release_memory),
        prompt_reader=PromptReader(
            tokenizer,
            context_length=loaded.context_length,
            memory_tokens=slots.max_sequence_tokens,
            default_max_tokens=config.default_max_tokens,
        ),
        prefix_disk=disk,
        model_names=files.names,
        context_length=loaded.context_length,
        fingerprint=fingerprint,
        vocab_size=tokenizer.vocab_size,
        describe=_describe(loaded, chosen, platform),
        read_device=DeviceMemory().read,
    )


def _report_template(tokenizer: Tokenizer, report: Report) -> None:
    support = tokenizer.template_support
    if tokenizer.has_chat_template and support.folded:
        log.warning(support.describe())
    elif tokenizer.has_chat_template:
        report(support.describe())


def _step_budget(config: EngineConfig, platform: Platform) -> StepBudget:
    return StepBudget(
        stall_seconds=config.step_stall_ms / 1000,
        max_step_tokens=config.max_step_tokens or platform.max_step_tokens,
        first_chunk_tokens=platform.first_chunk_tokens,
        row_multiple=platform.row_multiple,
    )


def _speculation(
    config: EngineConfig, chosen: ChosenForward, budget: StepBudget, platform: Platform, report: Report
) -> Speculation:
    if config.speculation == "off" or not chosen.can_rewind:
        report("Speculation: off" if config.speculation == "off" else "Speculation: off for this forward")
        return NoSpeculation()
    return PromptLookupSpeculation(VerificationCosts(budget, platform.row_multiple))


def _slot_pool(memory: KVMemory, loaded: LoadedModel, chosen: ChosenForward, report: Report) -> SlotPool:
    try:
        slots = SlotPool(memory, context_length=loaded.context_length, slot_bytes=chosen.slot_bytes)
    except ValueError as error:
        raise StartupError(f"too little memory for the KV of even one token: {error}") from error
    state = f" and {chosen.state_bytes:,} a chat" if chosen.state_bytes else ""
    report(
        f"KV memory: up to {gigabytes(memory.budget_bytes)}, "
        f"{chosen.slot_bytes(1) - chosen.state_bytes:,} bytes a token{state}; "
        f"context {loaded.context_length:,} tokens"
    )
    return slots


def build_prefix_cache(
    config: EngineConfig, memory: KVMemory, chosen: ChosenForward, report: Report
) -> PrefixCache:
    """The cache that the forward and ``config`` allow; its blocks come out of ``memory``."""
    if config.prefix_cache == "off" or not chosen.has_slots:
        report("Prefix cache: off" if config.prefix_cache == "off" else "Prefix cache: off for this forward")
        return NoPrefixCache()
    limit_bytes = min(config.prefix_cache_bytes or memory.budget_bytes // 2, memory.budget_bytes)
    report(f"Prefix cache: up to {gigabytes(limit_bytes)} of it, in blocks of {_BLOCK_TOKENS} tokens")
    return BlockCache(memory, _block_sizes(chosen), limit_bytes)


def _block_sizes(chosen: ChosenForward) -> BlockSizes:
    """A state is kept about as often as the tokens between take the same bytes."""
    token_bytes = chosen.slot_bytes(1) - chosen.state_bytes
    num_blocks = chosen.state_bytes // max(1, token_bytes * _BLOCK_TOKENS)
    stride_tokens = _BLOCK_TOKENS * min(max(num_blocks, _FEWEST_STATE_BLOCKS), _MOST_STATE_BLOCKS)
    return BlockSizes(_BLOCK_TOKENS, token_bytes * _BLOCK_TOKENS, chosen.state_bytes, stride_tokens)


def _free_budget_bytes(num_workers: int, weight_bytes: int) -> int:
    """This process's share of what is free, less the weights that its siblings may still have to load.

    At least half of its plain share: a worker that is started again finds its siblings loaded.
    """
    free = free_bytes() or 0
    usable = max(0, free - max(_SMALLEST_MARGIN_BYTES, int(free * _MARGIN_SHARE)))
    return max(usable - (num_workers - 1) * weight_bytes, usable // 2) // num_workers


def _vocab_size(loaded: LoadedModel) -> int:
    """The ids that the self-check may use; any safe bound will do."""
    nested = loaded.config.get("text_config") or {}
    size = loaded.config.get("vocab_size", nested.get("vocab_size"))
    return size if isinstance(size, int) and size > 0 else _FALLBACK_VOCAB_SIZE


def _fingerprint(loaded: LoadedModel, chosen: ChosenForward, platform: Platform, kv_bits: int | None) -> str:
    libraries = [version(name) for name in ("mlx", "mlx-lm", "numpy")]
    weights = (loaded.fingerprint, loaded.weight_bytes)
    arithmetic = (chosen.forward.name, platform.name, *libraries, _SAMPLING_VERSION, kv_bits)
    return "fp_" + hashlib.sha256(repr((weights, arithmetic)).encode()).hexdigest()[:12]


def _describe(loaded: LoadedModel, chosen: ChosenForward, platform: Platform) -> dict[str, Any]:
    return {
        "device": platform.name,
        "forward": chosen.forward.name,
        "num_parameters": loaded.num_parameters,
        "weight_bytes": loaded.weight_bytes,
        "kv_bytes_per_token": chosen.slot_bytes(1) - chosen.state_bytes,
        "state_bytes_per_chat": chosen.state_bytes,
    }
