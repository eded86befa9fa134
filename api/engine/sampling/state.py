"""What is remembered of the sequences whose sampling depends on the tokens before: on the host, as ints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from api.engine.sampling.constraint import Constraint
from api.errors import ServerSideError
from api.step_plan import Span
from api.types import SamplingParams

_FIRST_CAPACITY = 64  # of the counts' arrays, which double


class TokenCounts:
    """The distinct tokens of a sequence, each with how often it is in the answer; costs O(1) a token."""

    def __init__(self) -> None:
        self._index: dict[int, int] = {}
        self._token_ids = np.zeros(_FIRST_CAPACITY, dtype=np.int32)
        self._counts = np.zeros(_FIRST_CAPACITY, dtype=np.int32)

    def add(self, token_id: int, *, is_answer: bool) -> None:
        index = self._index.setdefault(token_id, len(self._index))
        if index == len(self._token_ids):
            self._token_ids = np.resize(self._token_ids, 2 * index)
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._token_ids[index] = token_id
        self._counts[index] += is_answer

    @property
    def token_ids(self) -> NDArray[np.int32]:
        """Int32 ``[distinct tokens]``, in the order of their first occurrence."""
        return self._token_ids[: len(self._index)]

    @property
    def answer_counts(self) -> NDArray[np.int32]:
        """Occurrences in the answer, int32 ``[distinct tokens]``; 0 for tokens of the prompt alone."""
        return self._counts[: len(self._index)]


class SamplingState:
    """One sequence's tokens and what follows from them: counts for penalties, the place in a grammar."""

    def __init__(self, sampling: SamplingParams) -> None:
        self._token_ids: list[int] = []  # all that is known: prompt and answer
        self._num_followed = 0  # tokens that counts and constraint have taken in
        self._counts_prompt = sampling.repetition_penalty != 1.0
        self.counts = TokenCounts() if sampling.has_penalties else None
        self.constraint = Constraint(sampling) if sampling.is_constrained else None

    def extend(self, span: Span) -> None:
        """Takes in what the span tells; raises ValueError where tokens before it were never told."""
        if not self._token_ids:
            self._token_ids += span.known_ids
        if len(self._token_ids) < span.start:
            raise ValueError(f"sequence {span.sequence_id}: the tokens before {span.start} are not known")
        self._token_ids += span.token_ids[len(self._token_ids) - span.start :]

    def record(self, token_id: int) -> None:
        """Appends a sampled token."""
        self._token_ids.append(token_id)

    def follow(self, num_answer_tokens: int) -> None:
        """Brings counts and constraint up to date; the last ``num_answer_tokens`` known are the answer."""
        answer_start = len(self._token_ids) - num_answer_tokens
        first = self._num_followed if self._counts_prompt else max(self._num_followed, answer_start)
        for position in range(first, len(self._token_ids)):
            self._follow(self._token_ids[position], is_answer=position >= answer_start)
        self._num_followed = len(self._token_ids)

    def _follow(self, token_id: int, *, is_answer: bool) -> None:
        if self.counts is not None:
            self.counts.add(token_id, is_answer=is_answer)
        if self.constraint is not None and is_answer:
            self.constraint.consume(token_id)


@dataclass(frozen=True, slots=True)
class Row:
    """A row of logits to be sampled from."""

    sequence_id: int
    sampling: SamplingParams
    sample_index: int  # tokens of the answer before this one
    state: SamplingState | None = None  # where ``SamplingParams.needs_state``

    @property
    def is_plain(self) -> bool:
        """Whether the best logit is the answer: greedy, and nothing changes or reports the logits."""
        sampling = self.sampling
        if not sampling.is_greedy or sampling.logit_bias or sampling.num_top_logprobs is not None:
            return False
        return self.sample_index >= sampling.min_tokens and not sampling.needs_state

    @property
    def constraint(self) -> Constraint | None:
        return self.state.constraint if self.state else None

    @property
    def has_mask(self) -> bool:
        return self.constraint is not None and self.constraint.has_mask

    @property
    def error(self) -> ServerSideError | None:
        """Why this row's token is no token; known once the row was sampled."""
        return self.constraint.error if self.constraint else None

    @property
    def banned_token_ids(self) -> tuple[int, ...]:
        """The ends that would come too early."""
        is_early = self.sample_index < self.sampling.min_tokens
        is_thinking = self.constraint is not None and self.constraint.bans_ends
        return self.sampling.end_token_ids if is_early or is_thinking else ()


class UnknownSequenceError(ValueError):
    """A plan names a sequence that was never added, or has ended."""

    def __init__(self, sequence_id: int) -> None:
        super().__init__(f"the plan names sequence {sequence_id}, which was never added or has ended")


class SamplingStates:
    """How each sequence samples, told once, and the states of those that need one, built from the spans."""

    def __init__(self) -> None:
        self._samplings: dict[int, SamplingParams] = {}
        self._states: dict[int, SamplingState] = {}

    def add(self, sequence_id: int, sampling: SamplingParams) -> None:
        """Before the first span of the sequence; holds until it ends, whatever is released or reset."""
        self._samplings[sequence_id] = sampling

    def sampling(self, sequence_id: int) -> SamplingParams:
        """Raises UnknownSequenceError."""
        found = self._samplings.get(sequence_id)
        if found is None:
            raise UnknownSequenceError(sequence_id)
        return found

    def rows(self, spans: Iterable[Span]) -> list[Row]:
        """One for each row that is sampled from, in the order of the logits; none has a state yet.

        A span with proposals has several, each with its own place in the answer: a row draws as it would
        if the tokens before it had come one by one. Raises UnknownSequenceError, also for spans without rows.
        """
        rows: list[Row] = []
        for span in spans:
            sequence_id, sampling = span.sequence_id, self.sampling(span.sequence_id)
            rows += [Row(sequence_id, sampling, span.sample_index + i) for i in range(span.num_samples)]
        return rows

    def extend(self, spans: Iterable[Span]) -> None:
        """Takes in a plan's spans, after what the plan before it sampled was recorded."""
        for span in spans:
            sampling = self.sampling(span.sequence_id)
            if sampling.needs_state:
                self._state(span, sampling).extend(span)

    def record(self, sequence_id: int, token_id: int) -> None:
        """Takes in a sampled token; that of a sequence without state, or with none any more, is ignored."""
        if state := self._states.get(sequence_id):
            state.record(token_id)

    def follow(self, rows: Iterable[Row]) -> list[Row]:
        """The rows with their states, which are up to date."""
        return [self._follow(row) for row in rows]

    def release(self, sequence_ids: Iterable[int]) -> None:
        """Drops the states: of sequences that end, or start again."""
        for sequence_id in sequence_ids:
            self._states.pop(sequence_id, None)

    def remove(self, sequence_ids: Iterable[int]) -> None:
        """Forgets sequences that were released for good."""
        for sequence_id in sequence_ids:
            self._samplings.pop(sequence_id, None)

    def reset(self) -> None:
        """Drops all states. The sequences go on: how they sample stays known."""
        self._states.clear()

    def __len__(self) -> int:
        """Returns the number of states."""
        return len(self._states)

    def _state(self, span: Span, sampling: SamplingParams) -> SamplingState:
        if span.start == 0 or span.sequence_id not in self._states:
            self._states[span.sequence_id] = SamplingState(sampling)
        return self._states[span.sequence_id]

    def _follow(self, row: Row) -> Row:
        state = self._states.get(row.sequence_id)
        if state is None:
            return row
        state.follow(row.sample_index)
        return replace(row, state=state)
