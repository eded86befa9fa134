"""Decides when the draft model runs ahead, for whom and how far: where it pays by what was measured.

A draft costs a forward of the small model for each token that it runs ahead, whoever takes part, and rows
in the step that verifies. So all who take part go equally far, and the depth is the one with the most
expected tokens for each second. Sequences whose own text says more take its proposals instead.

The draft model prefills a sequence only when that is likely to pay: what the prefix cache gave, and prompts
of sequences that are never drafted for, it never sees.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

from api.engine.budget.step_budget import StepBudget
from api.engine.draft.account import Account
from api.engine.draft.costs import DraftCosts
from api.engine.draft.row import DraftRow
from api.engine.sequences.sequence import Sequence
from api.engine.speculation.speculation import Speculation, room_for_proposals
from api.engine.speculation.verification_costs import StepKind
from api.step_plan import DRAFTED, Draft

_DEPTHS = (1, 2, 3, 4, 5, 6, 8, 10)
_FIRST_CHANCE = 0.7  # of a proposal, before anything is known
_USUAL_WEIGHT = 0.02  # of the newest draft in what is expected of sequences that were never drafted for
_LEAST_CHANCE = 0.2
_LEAST_ADVANTAGE = 1.08  # in expected tokens for each second, over plain decoding
_MOST_SLOWDOWN = 1.5  # of a step in which somebody has no proposals to gain from
_SHORT_LAG = 16  # tokens that are prefilled beside a draft without asking whether that pays
_FEWEST_EXPECTED_TOKENS = 64  # of an answer that goes on, as far as it may
_LEAST_RETURN = 2.0  # seconds that are saved for each one that is spent on prefill
_NUM_QUIET_STEPS = 8  # in which nobody asks again after it did not pay


class TextSpeculation(Speculation, Protocol):
    """What the chats' own texts say: it costs nothing to ask."""

    def advantage(self, decoding: list[Sequence]) -> float:
        """In expected tokens for each second over plain decoding, of what it would propose; 0 for nothing."""

    def gains(self, sequence: Sequence, num_tokens: int) -> list[float]:
        """The chance of each of the next tokens that it and all before it are as the text says."""

    def propose_for(self, sequence: Sequence, num_tokens: int) -> None:
        """Sets so many ``proposals`` of one sequence, or fewer."""


@dataclass(slots=True)
class _Choice:
    """What the draft model does in a step."""

    depth: int = 0
    advantage: float = 0.0
    drafting: list[Sequence] = field(default_factory=list)
    prefilling: list[tuple[Sequence, int]] = field(default_factory=list)  # and how many tokens
    trial_steps: float = 0.0  # plain ones that prefill takes for nothing, where this is a trial


class DraftSpeculation:
    """``Speculation`` by a draft model beside the texts themselves."""

    def __init__(
        self,
        text: TextSpeculation,
        costs: DraftCosts,
        budget: StepBudget,
        context_length: int,
        stall_seconds: float,
    ) -> None:
        """``context_length``: tokens that the draft model can see.

        ``stall_seconds``: how long what it has to prefill may hold up a step.
        """
        self.num_drafted_tokens = 0
        self.num_accepted_drafts = 0
        self._text = text
        self._costs = costs
        self._budget = budget
        self._context_length = context_length
        self._stall_seconds = stall_seconds
        self._account = Account()
        self._rows: dict[int, DraftRow] = {}  # by sequence id
        self._usual_chance = _FIRST_CHANCE
        self._choice = _Choice()  # of the plan that is made now
        self._num_quiet_steps, self._quiet_size = 0, 0

    @property
    def num_proposed_tokens(self) -> int:
        return self._text.num_proposed_tokens + self.num_drafted_tokens

    @property
    def num_accepted_tokens(self) -> int:
        return self._text.num_accepted_tokens + self.num_accepted_drafts

    # --- what the scheduler asks -----------------------------------------------------------------

    def reads_first(self, decoding: list[Sequence]) -> bool:
        if any(sequence.proposals for sequence in decoding):
            return True
        text_reads_first = self._text.reads_first(decoding)
        self._learn(decoding)
        if text_reads_first or not any(sequence.num_in_flight for sequence in decoding):
            return text_reads_first
        return bool(self._choose(decoding).drafting)

    def propose(self, decoding: list[Sequence]) -> None:
        self._choice = choice = self._choose(decoding)
        self._account.spent(choice.trial_steps)
        if any(sequence.num_in_flight for sequence in decoding):
            choice.drafting.clear()
            return
        if not choice.drafting or self._text.advantage(decoding) > choice.advantage:
            choice.drafting.clear()
            self._text.propose(decoding)
            return
        for sequence in list(choice.drafting):
            self._propose_for(sequence, choice)

    def take_drafts(self) -> tuple[Draft, ...]:
        choice, self._choice = self._choice, _Choice()
        drafts = [self._draft(sequence) for sequence in choice.drafting]
        drafts += [self._prefill(sequence, number) for sequence, number in choice.prefilling]
        return tuple(drafts)

    def observe(self, kind: StepKind, seconds: float, is_overlapped: bool = True) -> None:
        self._costs.observe(kind, seconds)
        if kind.num_drafts:
            plain = self._costs.plain_seconds(kind.num_decoding) or seconds
            drafting_seconds = max(plain, seconds - self._costs.prefill_seconds(kind))
            self._account.drafted(drafting_seconds / plain, kind.num_decoding)
        elif not kind.num_caught_up:
            self._text.observe(kind, seconds, is_overlapped)
            self._account.stepped()

    def accept(self, sequence_id: int) -> None:
        row = self._rows.get(sequence_id)
        if row is None or not row.num_proposed:
            self._text.accept(sequence_id)
            return
        self.num_accepted_drafts += 1
        self._account.gained_token()

    def forget(self, sequence_id: int) -> None:
        self._rows.pop(sequence_id, None)
        self._text.forget(sequence_id)

    # --- who drafts ------------------------------------------------------------------------------

    def _learn(self, decoding: Iterable[Sequence]) -> None:
        for sequence in decoding:
            row = self._rows.get(sequence.sequence_id)
            if row is not None and row.learn(len(sequence.token_ids)):
                self._usual_chance += _USUAL_WEIGHT * (row.chance - self._usual_chance)

    def _row(self, sequence: Sequence) -> DraftRow:
        return self._rows.setdefault(sequence.sequence_id, DraftRow(self._usual_chance))

    def _lag(self, sequence: Sequence) -> int:
        """Known tokens that the draft model has not computed."""
        return len(sequence.token_ids) - self._row(sequence).num_computed

    def _room(self, sequence: Sequence) -> int:
        return min(room_for_proposals(sequence), self._context_length - sequence.num_known)

    def _choose(self, decoding: list[Sequence]) -> _Choice:
        if self._is_quiet(len(decoding)) or not self._costs.plain_seconds(len(decoding)):
            return _Choice()
        able = [s for s in decoding if not s.sampling.needs_state and self._room(s) > 0]
        able = [s for s in able if self._row(s).chance >= _LEAST_CHANCE]
        best = self._best(able, len(decoding), _LEAST_ADVANTAGE)
        found = self._ready(able, best, len(decoding)) if best.depth else self._trial(able, len(decoding))
        if not found.drafting and not found.prefilling:
            self._num_quiet_steps, self._quiet_size = _NUM_QUIET_STEPS, len(decoding)
        return found

    def _is_quiet(self, num_decoding: int) -> bool:
        if not num_decoding or not self._account.allows_drafts:
            return True
        if self._quiet_size != num_decoding:
            self._num_quiet_steps = 0
        self._num_quiet_steps -= 1
        return self._num_quiet_steps > 0

    def _best(self, able: list[Sequence], num_decoding: int, least_advantage: float) -> _Choice:
        """The depth that pays most where all of these draft."""
        best = _Choice(advantage=least_advantage)
        for depth in _DEPTHS if able else ():
            numbers = [min(depth, self._room(sequence)) for sequence in able]
            if num_decoding + sum(numbers) > self._budget.max_step_tokens:
                break
            gain = sum(self._row(s).gain(n) for s, n in zip(able, numbers, strict=True))
            slowdown = self._costs.slowdown(
                StepKind(num_decoding, len(able), sum(numbers), num_drafts=max(numbers))
            )
            if slowdown is None or (len(able) < num_decoding and slowdown > _MOST_SLOWDOWN):
                break
            advantage = (1 + gain / num_decoding) / slowdown
            if advantage > best.advantage:
                best = _Choice(depth, advantage, list(able))
        return best

    def _ready(self, able: list[Sequence], best: _Choice, num_decoding: int) -> _Choice:
        """Those who are prefilled, or can be now, draft; of others that are worth it a piece is prefilled."""
        room, most = self._room_to_prefill(num_decoding), self._budget.max_step_tokens
        ready: list[Sequence] = []
        prefilling: list[tuple[Sequence, int]] = []
        for sequence in sorted(able, key=self._lag):
            lag = self._lag(sequence)
            is_short = lag <= _SHORT_LAG
            if not is_short and not self._pays_to_prefill(sequence, best.advantage, num_decoding):
                continue
            num_tokens = min(lag, most if is_short else min(most, room))
            if num_tokens == lag:
                ready.append(sequence)
            elif num_tokens > 0:
                prefilling.append((sequence, num_tokens))
            most -= num_tokens
            room -= 0 if is_short else num_tokens
        if len(ready) < len(able):
            best = self._best(ready, num_decoding, _LEAST_ADVANTAGE)
        return _Choice(best.depth, best.advantage, best.drafting, prefilling)

    def _room_to_prefill(self, num_decoding: int) -> int:
        """Tokens that the draft model may prefill in a step, whoever they belong to."""
        affordable = int(self._stall_seconds / max(1e-9, self._costs.row_seconds(num_decoding)))
        return max(_SHORT_LAG, min(affordable, self._budget.max_step_tokens))

    def _pays_to_prefill(self, sequence: Sequence, advantage: float, num_decoding: int) -> bool:
        num_left = sequence.max_tokens - sequence.num_sampled
        num_expected = min(num_left, max(_FEWEST_EXPECTED_TOKENS, sequence.num_sampled))
        step_seconds = self._costs.plain_seconds(num_decoding)
        saved_seconds = num_expected * step_seconds / num_decoding * (1 - 1 / advantage)
        return saved_seconds >= _LEAST_RETURN * self._lag(sequence) * self._costs.row_seconds(num_decoding)

    def _trial(self, able: list[Sequence], num_decoding: int) -> _Choice:
        """Now and then it is tried where it was not expected to pay, as far as that is to be afforded."""
        able = sorted(able, key=self._lag)
        ends = accumulate(self._lag(sequence) for sequence in able)
        able = [s for s, end in zip(able, ends, strict=True) if end <= self._budget.max_step_tokens]
        for group in (able, able[:1]):
            best = self._best(group, num_decoding, 0.0)
            if not best.depth:
                continue
            prefill, drafting = self._trial_steps(best, num_decoding)
            if prefill + drafting <= self._account.num_steps:
                best.advantage, best.trial_steps = max(best.advantage, _LEAST_ADVANTAGE), prefill
                return best
        return _Choice()

    def _trial_steps(self, choice: _Choice, num_decoding: int) -> tuple[float, float]:
        """What a draft costs where nothing comes true, in plain steps: for prefill, and for the rest."""
        numbers = [min(choice.depth, self._room(sequence)) for sequence in choice.drafting]
        kind = StepKind(num_decoding, len(numbers), sum(numbers), num_drafts=max(numbers))
        prefill_seconds = sum(map(self._lag, choice.drafting)) * self._costs.row_seconds(num_decoding)
        slowdown = self._costs.slowdown(kind) or 0.0
        return prefill_seconds / self._costs.plain_seconds(num_decoding), slowdown - 1

    # --- what they get ---------------------------------------------------------------------------

    def _propose_for(self, sequence: Sequence, choice: _Choice) -> None:
        number = min(choice.depth, self._room(sequence))
        of_text = self._text.gains(sequence, room_for_proposals(sequence))[: 2 * choice.depth]
        if sum(of_text) > self._row(sequence).gain(number):
            choice.drafting.remove(sequence)
            self._text.propose_for(sequence, len(of_text))
        else:
            sequence.propose((DRAFTED,) * number)
            self.num_drafted_tokens += number

    def _draft(self, sequence: Sequence) -> Draft:
        draft = self._prefill(sequence, self._lag(sequence), len(sequence.proposals))
        self._row(sequence).draft(len(sequence.token_ids), len(sequence.proposals))
        return draft

    def _prefill(self, sequence: Sequence, num_tokens: int, num_proposals: int = 0) -> Draft:
        row = self._row(sequence)
        start = row.num_computed
        row.prefill(num_tokens)
        assert sequence.slot is not None
        token_ids = tuple(sequence.token_ids[start : row.num_computed])
        return Draft(sequence.sequence_id, sequence.slot, start, token_ids, num_proposals)
