"""Puts a server's engine together from its parts. Runs on the batch thread, which then owns all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import structlog

from api.assembly.disk import check_disk_folder, open_prefix_disk
from api.assembly.draft import DraftModel, DraftPlace, check_vocabulary, load_draft
from api.assembly.memory import build_memory, estimate_needs
from api.assembly.tuning import EngineTuning
from api.config import EngineConfig, ServerConfig
from api.engine.budget.step_budget import StepBudget
from api.engine.device.free_memory import free_bytes, gigabytes, total_bytes
from api.engine.device.platform import Platform, detect_platform, prepare_device
from api.engine.device.used_memory import DeviceMemory, give_back_memory
from api.engine.disk.prefix_disk import NoPrefixDisk, PrefixDisk
from api.engine.files.fingerprints import fingerprint_of
from api.engine.forward.choosing.choose import ChosenForward, choose_forward
from api.engine.forward.interface import Forward
from api.engine.forward.model_package import class_finder, load_model_package
from api.engine.loading.generation_config import describe, read_sampling_defaults
from api.engine.loading.gguf.load import GetModelClasses
from api.engine.loading.load import LoadedModel, load_model
from api.engine.loading.locate import ModelFiles, locate_model
from api.engine.memory.plan import Needs, require_step
from api.engine.memory.sequence_memory import SequenceMemory
from api.engine.memory.slots import SlotPool
from api.engine.sampling.prompt_scores import most_scored_rows
from api.engine.sampling.sampler import Sampler
from api.engine.scheduling.scheduler import Scheduler
from api.engine.speculation.predictions import Predictions
from api.engine.speculation.repeats import Repeats
from api.engine.speculation.speculation import AdaptiveSpeculation, NoSpeculation, Speculation
from api.engine.speculation.verification_costs import VerificationCosts
from api.engine.tuning.choices import Tuning, to_json
from api.errors import StartupError
from api.generator import BatchGenerator
from api.prompt_reader import PromptReader
from api.stats import DeviceBytes
from api.text.grammar.service import GrammarService
from api.text.grammar.vocabulary import VocabularySource
from api.text.tokenizer import Tokenizer, load_tokenizer, read_token_strings
from api.types import Report, SamplingDefaults

log = structlog.get_logger(__name__)

ReadModel = Callable[[ModelFiles, EngineConfig, GetModelClasses, Report], LoadedModel]

_FALLBACK_VOCAB_SIZE = 256  # the self-check's ids are below it; any safe bound will do
_SAMPLING_VERSION = 1  # raised when a seed no longer draws the tokens that it drew before


@dataclass(frozen=True, slots=True)
class LoadedEngine:
    """All that a loaded model gives to the threads."""

    scheduler: Scheduler
    slots: SlotPool  # the scheduler's
    generator: BatchGenerator
    prompt_reader: PromptReader
    grammars: GrammarService
    prefix_disk: PrefixDisk | NoPrefixDisk
    model_names: tuple[str, ...]
    context_length: int
    fingerprint: str  # same weights and arithmetic: same value
    vocab_size: int  # token ids are below this
    sampling_defaults: SamplingDefaults
    describe: dict[str, Any]  # what /stats says about the model
    read_device: Callable[[], DeviceBytes]


def load_engine(config: ServerConfig, report: Report, read_model: ReadModel = load_model) -> LoadedEngine:
    """Locates, loads and checks the model; ``report`` gets a line for each step a person waits for.

    ``read_model`` brings the weights: whoever measures devices makes random ones.
    Raises StartupError with one clear line for everything that can be wrong with a model.
    """
    engine = config.engine
    check_disk_folder(engine)
    _check_kv_memory(config)
    platform = detect_platform()
    prepare_device(platform)
    files = locate_model(engine.model, report)
    draft_files = locate_model(engine.draft_model, report) if engine.draft_model else None
    sampling_defaults = _sampling_defaults(files, engine, report)
    find_classes = class_finder(load_model_package(platform.model_functions))
    loaded = read_model(files, engine, find_classes, report)
    tokenizer = _load_tokenizer(loaded, config, report)
    vocab_size = loaded.vocab_size or _FALLBACK_VOCAB_SIZE
    max_step_tokens = engine.max_step_tokens or platform.max_step_tokens
    needs = partial(estimate_needs, engine, loaded, platform, max_step_tokens, vocab_size)
    require_step(free_bytes(), needs())
    chosen = choose_forward(
        loaded.model, platform, vocab_size, max_step_tokens, engine.forward, report, engine.kv_bits
    )
    draft = None
    if draft_files is not None and _can_draft(chosen):
        num_shared = _num_shared_tokens(draft_files, tokenizer, engine)
        place = DraftPlace(engine, platform, max_step_tokens, loaded, num_shared)
        draft = load_draft(draft_files, place, find_classes, report)
    give_back_memory(platform)
    memory = _build_memory(config, loaded, chosen, needs(chosen), draft, report)
    sampler = Sampler(platform)
    tuning = EngineTuning(engine, platform, loaded, chosen, memory.slots, report).run(
        sampler, BatchGenerator(chosen.forward, sampler)
    )
    budget = _step_budget(engine, tuning, vocab_size)
    fingerprint = _fingerprint(loaded, chosen, platform, engine.kv_bits, tuning)
    disk, forward = open_prefix_disk(
        engine, memory.prefixes, chosen.forward, loaded.model, files.names[0], fingerprint, report
    )
    speculation = _speculation(engine, chosen, budget, tuning, draft, report)
    grammars = GrammarService(VocabularySource.of(tokenizer))
    max_tokens = config.default_max_tokens or sampling_defaults.max_tokens
    return LoadedEngine(
        scheduler=Scheduler(memory, budget, engine.max_batch_size, speculation=speculation),
        slots=memory.slots,
        generator=_generator(forward, sampler, platform, tuning, draft),
        prompt_reader=_prompt_reader(tokenizer, grammars, loaded, memory, max_tokens),
        grammars=grammars,
        prefix_disk=disk,
        model_names=files.names,
        context_length=loaded.context_length,
        fingerprint=fingerprint,
        vocab_size=tokenizer.vocab_size,
        sampling_defaults=sampling_defaults,
        describe=_describe(loaded, chosen, platform, draft) | {"tuning": to_json(tuning)},
        read_device=DeviceMemory().read,
    )


def _generator(
    forward: Forward, sampler: Sampler, platform: Platform, tuning: Tuning, draft: DraftModel | None
) -> BatchGenerator:
    return BatchGenerator(
        forward,
        sampler,
        platform.release_memory,
        tuning.early_limit_bytes,
        draft.drafter() if draft else None,
        leaves_dispatch=platform.dispatch_waits,
    )


def _sampling_defaults(files: ModelFiles, config: EngineConfig, report: Report) -> SamplingDefaults:
    if config.generation_config == "none":
        return SamplingDefaults()
    defaults = read_sampling_defaults(files.folder, log.warning)
    if (line := describe(defaults)) is not None:
        report(line)
    return defaults


def _check_kv_memory(config: ServerConfig) -> None:
    """A limit beyond the machine is none: the system would end the process instead."""
    asked, total = config.engine.kv_memory_bytes, total_bytes()
    if asked is not None and total is not None and asked * config.workers > total:
        each = f" for each of {config.workers} workers" if config.workers > 1 else ""
        raise StartupError(
            f"--kv-memory asks for {gigabytes(asked)}{each}; the machine has {gigabytes(total)} in all"
        )


def _load_tokenizer(loaded: LoadedModel, config: ServerConfig, report: Report) -> Tokenizer:
    tokenizer = load_tokenizer(
        loaded.folder,
        eos_token_ids=loaded.eos_token_ids,
        model_vocab_size=loaded.vocab_size,
        trust_remote_code=config.engine.trust_remote_code,
        allow_special_tokens=config.allow_special_tokens,
    )
    if tokenizer.has_chat_template and tokenizer.template_error is None:
        support = tokenizer.template_support
        (log.warning if support.folded else report)(support.describe())
    return tokenizer


def _num_shared_tokens(draft_files: ModelFiles, tokenizer: Tokenizer, config: EngineConfig) -> int:
    tokens = partial(read_token_strings, trust_remote_code=config.trust_remote_code)
    return check_vocabulary(draft_files, tokenizer.token_strings(), tokens)


def _build_memory(
    config: ServerConfig,
    loaded: LoadedModel,
    chosen: ChosenForward,
    needs: Needs,
    draft: DraftModel | None,
    report: Report,
) -> SequenceMemory:
    """For the model's chats, and the draft model's beside them."""
    num_weight_bytes = loaded.weight_bytes
    if draft is not None:
        chosen, needs = draft.beside(chosen), draft.needs(needs)
        num_weight_bytes += draft.loaded.weight_bytes
    return build_memory(config.engine, loaded, chosen, needs, config.workers, report, num_weight_bytes)


def _prompt_reader(
    tokenizer: Tokenizer,
    grammars: GrammarService,
    loaded: LoadedModel,
    memory: SequenceMemory,
    default_max_tokens: int | None,
) -> PromptReader:
    return PromptReader(
        tokenizer,
        spell=grammars.spell,
        context_length=loaded.context_length,
        memory_tokens=memory.slots.max_sequence_tokens,
        default_max_tokens=default_max_tokens,
    )


def _step_budget(config: EngineConfig, tuning: Tuning, vocab_size: int) -> StepBudget:
    return StepBudget(
        stall_seconds=config.step_stall_ms / 1000,
        max_step_tokens=tuning.max_step_tokens,
        first_chunk_tokens=tuning.first_chunk_tokens,
        row_multiple=tuning.row_multiple,
        step_seconds=tuning.step_seconds,
        max_scored_rows=most_scored_rows(vocab_size),
    )


def _speculation(
    config: EngineConfig,
    chosen: ChosenForward,
    budget: StepBudget,
    tuning: Tuning,
    draft: DraftModel | None,
    report: Report,
) -> Speculation:
    if config.speculation == "off" or not chosen.can_rewind:
        report("Speculation: off" if config.speculation == "off" else "Speculation: off for this forward")
        return NoSpeculation()
    costs = VerificationCosts(budget, tuning.row_multiple)
    text = AdaptiveSpeculation(costs, [Predictions(), Repeats()])
    return draft.speculation(text, costs, budget) if draft else text


def _fingerprint(
    loaded: LoadedModel, chosen: ChosenForward, platform: Platform, kv_bits: int | None, tuning: Tuning
) -> str:
    libraries = [version(name) for name in ("mlx", "mlx-lm", "numpy")]
    arithmetic = (chosen.forward.name, platform.name, *libraries, _SAMPLING_VERSION, kv_bits, tuning.noise)
    return fingerprint_of((loaded.weights_key, arithmetic))


def _can_draft(chosen: ChosenForward) -> bool:
    if not chosen.can_rewind:
        log.warning("the draft model is not used: this model's forward cannot take tokens back")
    return chosen.can_rewind


def _describe(
    loaded: LoadedModel, chosen: ChosenForward, platform: Platform, draft: DraftModel | None
) -> dict[str, Any]:
    return {
        "device": platform.name,
        "forward": chosen.forward.name,
        "num_parameters": loaded.num_parameters,
        "weight_bytes": loaded.weight_bytes,
        "kv_bytes_per_token": chosen.slot_bytes(1) - chosen.state_bytes,
        "state_bytes_per_chat": chosen.state_bytes,
        "draft_model": draft.describe() if draft else None,
    }
