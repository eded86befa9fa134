"""What a step takes beside keys and values, at most: estimated from the shapes of the weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_ACTIVATION_BYTES = 4  # of a number, also where a model computes in half precision: norms and scores do not
# Arrays of all rows at a time. MLX dispatches up to ten operations before the first has freed what it read;
# the default model was seen to hold 17 of the widest ones while it prefills a chunk.
_LIVE_ACTIVATIONS = 24
_LIVE_LOGITS = 2  # of rows whose best token is wanted
_LIVE_SAMPLED_LOGITS = 8  # of rows that are drawn from: penalties, masks, sorting
_EXPERT_KEYS = ("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "moe_topk", "top_k_experts")


@dataclass(frozen=True, slots=True)
class StepSizes:
    """The largest step, in numbers."""

    num_rows: int
    num_sequences: int
    num_sampled_rows: int  # one for each sequence, and those of proposals that are drawn
    num_verified_rows: int  # with those of proposals
    row_width: int  # numbers in the widest activation of a row
    vocab_size: int
    attention_bytes: int = 0  # scores and the like, whatever the number of tokens
    state_bytes: int = 0  # recurrent, of one sequence
    loaded_bytes: int = 0  # of the blocks that are put together at a time

    @property
    def num_bytes(self) -> int:
        activations = self.num_rows * self.row_width * _LIVE_ACTIVATIONS
        logits = self.num_verified_rows * _LIVE_LOGITS + self.num_sampled_rows * _LIVE_SAMPLED_LOGITS
        # Rows of states are joined and written anew as a whole; blocks are joined, then cut into layers.
        states = 2 * self.num_sequences * self.state_bytes
        numbers = activations + logits * self.vocab_size
        return numbers * _ACTIVATION_BYTES + self.attention_bytes + states + 2 * self.loaded_bytes


def widest_row(shapes: Iterable[tuple[int, ...]], config: dict[str, Any], vocab_size: int) -> int:
    """Numbers in the widest activation of a row, for weights of these shapes; logits are counted apart.

    A matrix is ``[outputs, inputs]``, experts' are ``[experts, outputs, inputs]``.
    """
    num_experts = _experts_per_token(config)
    widths = [1]
    for shape in shapes:
        if shape and (width := shape[-2] if len(shape) > 1 else shape[0]) < vocab_size:
            widths.append(width * num_experts if len(shape) == 3 else width)
    return max(widths)


def _experts_per_token(config: dict[str, Any]) -> int:
    nested = [part for part in config.values() if isinstance(part, dict)]
    found = [part.get(key) for part in (config, *nested) for key in _EXPERT_KEYS]
    return max((number for number in found if isinstance(number, int)), default=1)
