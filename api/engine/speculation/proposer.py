"""What speculation asks of a source of proposals, such as the chat's own text or a draft model."""

from __future__ import annotations

from typing import Protocol

from api.engine.sequences.sequence import Sequence


class Proposer(Protocol):
    """Knows for some sequences what may come next. Who verifies how much of it is decided elsewhere."""

    def follow(self, decoding: list[Sequence]) -> None:
        """Takes in what was read since the last time; called once before each step that is planned."""

    def gains(self, sequence: Sequence, num_tokens: int) -> list[float]:
        """The chance of each of its next proposals that it and all before it come true, falling.

        At most ``num_tokens``; [] where there is nothing to propose. While a token is in flight these are
        for the tokens behind it.
        """

    def propose(self, wanted: list[tuple[Sequence, int]]) -> list[tuple[int, ...]]:
        """Returns for each sequence so many of its next tokens, or fewer. No token is in flight then."""

    def forget(self, sequence_id: int) -> None:
        """Drops what is known of a sequence; unknown ones are ignored."""
