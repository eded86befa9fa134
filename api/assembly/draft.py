"""Loads a draft model beside the model that is served, and puts what drafting needs together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from api.assembly.memory import estimate_needs
from api.config import EngineConfig
from api.engine.budget.step_budget import StepBudget
from api.engine.device.platform import Platform
from api.engine.draft.costs import DraftCosts
from api.engine.draft.model_drafter import ModelDrafter, Vocabularies
from api.engine.draft.speculation import DraftSpeculation
from api.engine.draft.vocabulary import num_shared_tokens
from api.engine.forward.choosing.choose import ChosenForward, choose_forward
from api.engine.loading.gguf.load import GetModelClasses
from api.engine.loading.load import LoadedModel, load_model
from api.engine.loading.locate import ModelFiles
from api.engine.memory.plan import Needs
from api.engine.sampling.sampler import Sampler
from api.engine.speculation.speculation import AdaptiveSpeculation
from api.engine.speculation.verification_costs import VerificationCosts
from api.errors import StartupError
from api.types import Report


@dataclass(frozen=True, slots=True)
class DraftPlace:
    """Where a draft model is to work."""

    config: EngineConfig
    platform: Platform
    max_step_tokens: int
    served: LoadedModel
    num_shared: int  # ids that mean the same to both


@dataclass(frozen=True, slots=True)
class DraftModel:
    """A draft model that fits its place."""

    label: str
    place: DraftPlace
    loaded: LoadedModel
    chosen: ChosenForward

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.label,
            "num_parameters": self.loaded.num_parameters,
            "weight_bytes": self.loaded.weight_bytes,
            "kv_bytes_per_token": self.chosen.slot_bytes(1),
        }

    @property
    def num_ids(self) -> int:
        """That it can read."""
        return self.loaded.vocab_size or self.place.num_shared

    def drafter(self) -> ModelDrafter:
        num_target = self.place.served.vocab_size or self.place.num_shared
        num_shared = min(self.place.num_shared, self.num_ids, num_target)
        vocabularies = Vocabularies(num_shared, self.num_ids, num_target)
        return ModelDrafter(self.chosen.forward, Sampler(self.place.platform), vocabularies)

    def speculation(
        self, text: AdaptiveSpeculation, verification: VerificationCosts, budget: StepBudget
    ) -> DraftSpeculation:
        share = self.loaded.weight_bytes / max(1, self.place.served.weight_bytes)
        costs = DraftCosts(verification, budget, draft_share=share)
        stall_seconds = self.place.config.step_stall_ms / 1000
        return DraftSpeculation(text, costs, budget, self.loaded.context_length, stall_seconds)

    def beside(self, served: ChosenForward) -> ChosenForward:
        """``served`` with slots that count for both: a sequence has one of the same class in each."""
        own = self.chosen
        of_served, of_own = served.array_bytes, own.array_bytes
        return replace(
            served,
            slot_bytes=lambda capacity: served.slot_bytes(capacity) + own.slot_bytes(capacity),
            draft_bytes=own.slot_bytes,
            copy_share=max(served.copy_share, own.copy_share),
            array_bytes=(lambda n: max(of_served(n), of_own(n))) if of_served and of_own else of_served,
        )

    def needs(self, served: Needs) -> Needs:
        """What the largest step of both takes."""
        place = self.place
        own = estimate_needs(
            place.config, self.loaded, place.platform, place.max_step_tokens, self.num_ids, self.chosen
        )
        return replace(
            served,
            step_bytes=served.step_bytes + own.step_bytes,
            copy_share=max(served.copy_share, own.copy_share),
        )


def check_vocabulary(
    files: ModelFiles, served_tokens: Sequence[str], read_tokens: Callable[[Path], Sequence[str]]
) -> int:
    """How many ids mean the same to both; raises StartupError where the vocabularies differ."""
    return num_shared_tokens(served_tokens, read_tokens(files.folder), files.label)


def load_draft(
    files: ModelFiles, place: DraftPlace, get_model_classes: GetModelClasses, report: Report
) -> DraftModel:
    """Raises StartupError where the draft model cannot be loaded or cannot take tokens back."""
    say = partial(_say, report)
    loaded = load_model(files, place.config, get_model_classes, say)
    num_ids = loaded.vocab_size or place.num_shared
    chosen = choose_forward(loaded.model, place.platform, num_ids, place.max_step_tokens, "auto", say)
    if not chosen.can_rewind:
        raise StartupError(
            f"--draft-model {files.label} runs by the {chosen.forward.name} forward, which cannot take "
            "tokens back; use a model that runs by the flat one"
        )
    report(
        f"Draft model: {files.label} ({loaded.num_parameters / 1e6:,.0f} M parameters, "
        f"{chosen.slot_bytes(1):,} bytes of KV a token, {place.num_shared:,} tokens in common)"
    )
    return DraftModel(files.label, place, loaded, chosen)


def _say(report: Report, line: str) -> None:
    report(f"Draft model: {line[:1].lower()}{line[1:]}")
