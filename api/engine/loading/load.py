"""Loads a located model into memory, on the thread that owns MLX."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx_lm.utils
import structlog
from mlx.utils import tree_flatten

from api.config import EngineConfig
from api.engine.cpu.weight_order import turn_weights
from api.engine.cpu.weights import widen
from api.engine.device.free_memory import free_bytes, gigabytes, is_cpu_backend, own_limit_bytes
from api.engine.files.fingerprints import fingerprint_of
from api.engine.loading.gguf.load import GetModelClasses, build_model, unify_precision
from api.engine.loading.locate import ModelFiles
from api.engine.loading.safetensors_check import check_safetensors
from api.engine.loading.vocabulary import eos_token_ids_of, vocab_size_of
from api.errors import StartupError
from api.types import Report

log = structlog.get_logger(__name__)

DEFAULT_CONTEXT_TOKENS = 4096
_CONTEXT_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_sequence_length",
    "max_seq_len",
    "seq_length",
    "n_ctx",
)
_NESTED_KEYS = ("text_config", "llm_config", "language_config")
_HALF_KINDS = (("bfloat16", mx.bfloat16), ("float16", mx.float16))
_FLOAT32_BYTES = 4
# Widening needs memory for speed only: this much of what is free stays for steps, KV and everybody else.
_LEFT_BY_WIDENING_SHARE, _LEAST_LEFT_BYTES = 0.4, 768 * 1024**2
# Beside the weights while they are read: an array on its way, the allocator's own.
_READING_BYTES = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to run, with what the engine must know about it."""

    model: nn.Module
    config: dict[str, Any]  # config.json's content, generation_config's eos included
    folder: Path  # where the tokenizer lies
    num_parameters: int
    weight_bytes: int
    context_length: int  # tokens, bounded by the operator's limit
    vocab_size: int | None  # rows of its head: ids are below this; None where its config does not say
    eos_token_ids: frozenset[int]  # as the config names them; the tokenizer may know more
    fingerprint: str  # same weights, settings and MLX version: same value

    @property
    def weights_key(self) -> tuple[str, int]:
        """Same weights in the same form, widened or not: same value."""
        return self.fingerprint, self.weight_bytes


def load_model(
    files: ModelFiles, config: EngineConfig, get_model_classes: GetModelClasses, report: Report
) -> LoadedModel:
    """Reads, checks and (on a CPU) widens the weights; all of them are in memory on return.

    ``get_model_classes`` maps a config to mlx-lm's (model class, arguments class). ``report`` gets a
    line for each step. Raises StartupError with one clear line for whatever is wrong.
    """
    started = time.monotonic()
    with _startup_errors(files.label):
        model, model_config, weight_files = _read(files, config, get_model_classes, report)
        num_parameters = int(mlx_lm.utils.get_total_parameters(model))
        line = _settle(model, num_parameters, config, files)
        if _may_measure(model, config) and turn_weights(model):
            line += ", in the order in which this CPU multiplies faster"
    report(f"{line}, loaded in {time.monotonic() - started:.1f} s")
    return LoadedModel(
        model=model,
        config=model_config,
        folder=files.folder,
        num_parameters=num_parameters,
        weight_bytes=weight_bytes(model),
        context_length=context_length(model_config, config.max_context_tokens),
        vocab_size=vocab_size_of(model_config),
        eos_token_ids=_eos_token_ids(model_config),
        fingerprint=_fingerprint(model_config, weight_files),
    )


def weight_bytes(model: nn.Module) -> int:
    """Returns the size of all parameters in bytes, read or not."""
    return sum(array.nbytes for _, array in tree_flatten(model.parameters()))


def context_length(config: dict[str, Any], max_context_tokens: int | None = None) -> int:
    """Returns how many tokens a chat may have: the model's own figure, or less if the operator says so."""
    own = _own_context(config) or DEFAULT_CONTEXT_TOKENS
    return min(own, max_context_tokens) if max_context_tokens else own


def _own_context(config: dict[str, Any]) -> int | None:
    for key in _CONTEXT_KEYS:
        value = config.get(key)
        if isinstance(value, int) and value > 0:
            return value
    nested = (config[key] for key in _NESTED_KEYS if isinstance(config.get(key), dict))
    return next((found for part in nested if (found := _own_context(part))), None)


def _read(
    files: ModelFiles, config: EngineConfig, get_model_classes: GetModelClasses, report: Report
) -> tuple[nn.Module, dict[str, Any], list[Path]]:
    weight_files = [files.gguf] if files.gguf else check_safetensors(files.folder)
    num_bytes = sum(file.stat().st_size for file in weight_files)
    report(f"Reading {files.gguf.name if files.gguf else files.label} ({gigabytes(num_bytes)})")
    _check_fits(num_bytes, files.label, is_mapped=files.gguf is not None)
    if files.gguf:
        own = mlx_lm.utils.load_config(files.folder)
        return *build_model(files.gguf, own, get_model_classes), weight_files
    model, model_config = mlx_lm.utils.load_model(
        files.folder,
        lazy=True,
        get_model_classes=lambda config: get_model_classes(config),
        trust_remote_code=config.trust_remote_code,
    )
    return model, model_config, weight_files


def _settle(model: nn.Module, num_parameters: int, config: EngineConfig, files: ModelFiles) -> str:
    """Brings the weights into memory, widened where that pays; returns what was done."""
    size = f"{num_parameters / 1e6:,.0f} M parameters, {_precision(model)}"
    widened_bytes = num_parameters * _FLOAT32_BYTES
    wanted = _pays_to_widen(model, config)
    if wanted and _fits_widened(widened_bytes):
        widen(model)
        mx.eval(model.parameters())
        return f"{size} -> float32 for the CPU ({gigabytes(weight_bytes(model))})"
    if files.gguf:
        unify_precision(model)
    mx.eval(model.parameters())
    hint = f"; float32 would be faster but needs {gigabytes(widened_bytes)}" if wanted else ""
    return f"{size} ({gigabytes(weight_bytes(model))}{hint})"


def _pays_to_widen(model: nn.Module, config: EngineConfig) -> bool:
    return config.cpu_weights == "auto" and is_cpu_backend() and _precision(model) != "float32"


def _fits_widened(num_bytes: int) -> bool:
    free = free_bytes()
    return free is not None and free - num_bytes >= max(free * _LEFT_BY_WIDENING_SHARE, _LEAST_LEFT_BYTES)


def _may_measure(model: nn.Module, config: EngineConfig) -> bool:
    """Whether weights may be there twice for a moment: a failed allocation could not be caught."""
    if config.tune == "off" or not is_cpu_backend():
        return False
    free = free_bytes()
    largest_bytes = max((array.nbytes for _, array in tree_flatten(model.parameters())), default=0)
    return free is not None and free >= _LEAST_LEFT_BYTES + 2 * largest_bytes


def _check_fits(num_bytes: int, label: str, *, is_mapped: bool) -> None:
    """``is_mapped``: the file is in the address space beside the weights, though it takes no memory."""
    free, limit = free_bytes(), own_limit_bytes()
    if limit is not None and is_mapped:
        free = min(limit - num_bytes, limit if free is None else free)
    if free is not None and num_bytes + min(num_bytes, _READING_BYTES) > free:
        raise StartupError(
            f"too little memory for {label}: its weights take {gigabytes(num_bytes)}, "
            f"{gigabytes(max(0, free))} are free"
        )


def _precision(model: nn.Module) -> str:
    """The narrowest kind of weight in the model, for a person: "4-bit", "bfloat16", "float32"."""
    packed = [module for _, module in model.named_modules() if "scales" in module]
    bits = [module.bits for module in packed if hasattr(module, "bits")]
    if bits:
        return f"{min(bits)}-bit"
    kinds = {array.dtype for _, array in tree_flatten(model.parameters())}
    return next((name for name, kind in _HALF_KINDS if kind in kinds), "float32")


def _eos_token_ids(config: dict[str, Any]) -> frozenset[int]:
    ids, others = eos_token_ids_of(config)
    if others:
        log.warning("eos_token_id is not in the vocabulary, ignored", eos_token_id=str(others))
    return ids


def _fingerprint(config: dict[str, Any], weight_files: list[Path]) -> str:
    sizes = [(file.name, file.stat().st_size) for file in weight_files]
    return fingerprint_of((sorted(config.items(), key=lambda item: item[0]), sizes, metadata.version("mlx")))


@contextmanager
def _startup_errors(label: str) -> Iterator[None]:
    """What mlx and mlx-lm raise for files that do not fit them, as one line."""
    try:
        yield
    except KeyError as error:
        raise StartupError(f"cannot load {label}: {error} is missing from its config or weights") from error
    except MemoryError as error:
        raise StartupError(f"too little memory for {label}") from error
    except (ValueError, TypeError, AttributeError, RuntimeError, ImportError, OSError) as error:
        raise StartupError(f"cannot load {label}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] or type(error).__name__
