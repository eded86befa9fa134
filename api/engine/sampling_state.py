"""What is remembered of the sequences whose sampling depends on the tokens before: on the host, as ints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from api.engine.grammar import Constraint
from api.engine.token_counts import TokenCounts
from api.errors import ServerSideError
from api.step_plan import Span
from api.types import SamplingParams


class SamplingState:
    """One sequence's tokens and what follows from them: counts for penalties, the place in a grammar."""

    def __init__(self, sampling: SamplingParams) -> None:
        self._token_ids: list[int] = []  # all that is known: prompt and answer
        self._num_followed = 0  # tokens that counts and constraint have taken in
        self._counts_prompt = sampling.repetition_penalty != 1.0
        self.counts = TokenCounts() if has_penalties(sampling) else None
        self.constraint = Constraint(sampling) if _is_constrained(sampling) else None

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

    span: Span
    state: SamplingState | None = None  # where ``needs_state``

    @property
    def sampling(self) -> SamplingParams:
        return self.span.sampling

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
        is_early = self.span.sample_index < self.sampling.min_tokens
        is_thinking = self.constraint is not None and self.constraint.bans_ends
        return self.sampling.end_token_ids if is_early or is_thinking else ()


class SamplingStates:
    """The states of all sequences that need one, built from the spans themselves."""

    def __init__(self) -> None:
        self._states: dict[int, SamplingState] = {}

    def extend(self, spans: Iterable[Span]) -> None:
        """Takes in a plan's spans, after what the plan before it sampled was recorded."""
        for span in spans:
            if needs_state(span.sampling):
                self._state(span).extend(span)

    def record(self, sequence_id: int, token_id: int) -> None:
        """Takes in a sampled token; that of a sequence without state, or with none any more, is ignored."""
        if state := self._states.get(sequence_id):
            state.record(token_id)

    def rows(self, spans: Iterable[Span]) -> list[Row]:
        """The rows of spans that sample, their states up to date."""
        rows = [Row(span, self._states.get(span.sequence_id)) for span in spans]
        for row in rows:
            if row.state is not None:
                row.state.follow(row.span.sample_index)
        return rows

    def release(self, sequence_ids: Iterable[int]) -> None:
        for sequence_id in sequence_ids:
            self._states.pop(sequence_id, None)

    def reset(self) -> None:
        self._states.clear()

    def __len__(self) -> int:
        return len(self._states)

    def _state(self, span: Span) -> SamplingState:
        if span.start == 0 or span.sequence_id not in self._states:
            self._states[span.sequence_id] = SamplingState(span.sampling)
        return self._states[span.sequence_id]


def needs_state(sampling: SamplingParams) -> bool:
    """Whether the tokens before have a say in the next one, beyond the logits."""
    return has_penalties(sampling) or _is_constrained(sampling)


def has_penalties(sampling: SamplingParams) -> bool:
    has_any = sampling.frequency_penalty or sampling.presence_penalty
    return bool(has_any) or sampling.repetition_penalty != 1.0


def _is_constrained(sampling: SamplingParams) -> bool:
    has_budget = sampling.thinking is not None and sampling.thinking.max_tokens is not None
    return sampling.grammar is not None or has_budget


def is_plain(span: Span) -> bool:
    """Whether the best logit is the answer: greedy, and nothing changes or reports the logits."""
    sampling = span.sampling
    if not sampling.is_greedy or sampling.logit_bias or sampling.num_top_logprobs is not None:
        return False
    return span.sample_index >= sampling.min_tokens and not needs_state(sampling)
