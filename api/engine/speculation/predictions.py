"""Proposals from what clients predict of their answers."""

from __future__ import annotations

from api.engine.sequences.sequence import Sequence


class Predictions:
    """A ``Proposer`` by each sequence's own ``prediction``, which follows the answer by itself."""

    def follow(self, decoding: list[Sequence]) -> None: ...

    def gains(self, sequence: Sequence, num_tokens: int) -> list[float]:
        if sequence.prediction is None:
            return []
        return sequence.prediction.gains(num_tokens, is_behind=bool(sequence.num_in_flight))

    def propose(self, wanted: list[tuple[Sequence, int]]) -> list[tuple[int, ...]]:
        return [
            sequence.prediction.predict(number) if sequence.prediction else () for sequence, number in wanted
        ]

    def forget(self, sequence_id: int) -> None: ...
