"""Tunes an engine that is loaded, or remembers how it was tuned before."""

from __future__ import annotations

import gc
import os
import platform as machine
from dataclasses import replace
from importlib.metadata import version

import mlx.core as mx

from api.config import EngineConfig
from api.engine.device.platform import Platform
from api.engine.files.cache_folder import cache_folder
from api.engine.files.folder_lock import exclusive
from api.engine.forward.choosing.choose import ChosenForward
from api.engine.loading.load import LoadedModel
from api.engine.memory.slots import SlotPool
from api.engine.sampling.sampler import Sampler
from api.engine.tuning import tune
from api.engine.tuning.choices import Tuning, TuningMemory, first_guesses
from api.engine.tuning.engine import TunableGenerator, TunedEngine, product_shapes
from api.engine.tuning.steps import TimedSteps
from api.engine.tuning.tune import Limits, Tuner
from api.types import Report

_VERSION = 1  # raised when choices are measured or used in another way


class EngineTuning:
    """One engine's tuning: measured, remembered or guessed, as ``config.tune`` says."""

    def __init__(
        self,
        config: EngineConfig,
        platform: Platform,
        loaded: LoadedModel,
        chosen: ChosenForward,
        slots: SlotPool,
        report: Report,
    ) -> None:
        self._config = config
        self._platform = platform
        self._loaded = loaded
        self._chosen = chosen
        self._slots = slots
        self._report = report

    def run(self, sampler: Sampler, generator: TunableGenerator) -> Tuning:
        """Returns the choices, applied to all three: ``generator`` runs the forward, and is left empty."""
        engine = TunedEngine(self._chosen.forward, sampler, generator)
        guesses = self._guesses()
        if self._config.tune == "off" or not self._chosen.has_slots:
            engine.apply(guesses)
            return guesses
        folder = cache_folder()
        memory = TuningMemory(folder, self._key())
        with exclusive(folder):  # several workers: one measures, alone
            known = memory.load() if self._config.tune == "auto" else None
            measured = None if known else self._try_to_measure(engine, guesses, generator)
            if measured is not None:
                memory.save(measured)
        tuning = known or measured or guesses
        engine.apply(tuning)
        if tuning is not guesses:
            self._report(f"Tuned{' before' if known else ''}: {tuning.describe()}")
        return tuning

    def _guesses(self) -> Tuning:
        guesses = first_guesses(self._platform)
        return replace(guesses, max_step_tokens=self._config.max_step_tokens or guesses.max_step_tokens)

    def _try_to_measure(
        self, engine: TunedEngine, guesses: Tuning, generator: TunableGenerator
    ) -> Tuning | None:
        """None where the device refuses a step that is only measured: a server that guesses is a server."""
        try:
            return self._measure(engine, guesses, generator)
        except (RuntimeError, ValueError, MemoryError) as error:  # what MLX raises
            self._report(f"Tuning: not possible ({error}), first guesses are used")
            generator.reset()
            return None

    def _measure(self, engine: TunedEngine, guesses: Tuning, generator: TunableGenerator) -> Tuning:
        self._report("Tuning: measuring steps on this device, for some seconds (--tune off: not at all)")
        limits = Limits(
            num_rows=self._config.max_batch_size,
            kv_bytes=self._slots.budget_bytes,
            slot_bytes=self._chosen.slot_bytes,
            seconds=tune.LIMIT_SECONDS,
        )
        shapes, dtype = product_shapes(self._loaded.model)
        tuner = Tuner(engine, TimedSteps(generator), limits, shapes, dtype)
        tuning = tuner.tune(guesses)
        if self._config.max_step_tokens is not None:  # a user's word stands
            tuning = replace(tuning, max_step_tokens=self._config.max_step_tokens)
        mx.synchronize()
        gc.collect()  # arrays of the last steps, in cycles: what is held now counts as loaded
        mx.clear_cache()
        return tuning

    def _key(self) -> object:
        config, loaded = self._config, self._loaded
        versions = [version(name) for name in ("mlx", "mlx-lm")]
        asked = (config.max_batch_size, config.max_step_tokens, config.kv_bits, config.cpu_weights)
        weights = (*loaded.weights_key, self._chosen.forward.name)
        return (_VERSION, versions, weights, asked, self._platform.name, _device())


def _device() -> list[str]:
    """What tells one device from another, and the environment that changes what it does."""
    info = [f"{key}={value}" for key, value in sorted(mx.device_info().items()) if "free" not in key]
    variables = ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "MLX_DISABLE_COMPILE")
    environment = [f"{name}={os.environ.get(name)}" for name in variables]
    return [machine.machine(), machine.processor(), str(os.cpu_count()), *info, *environment]
