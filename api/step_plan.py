"""What the batch thread plans and what its steps bring: plain values, numbers and ids only."""

from __future__ import annotations

from dataclasses import dataclass, field

from api.errors import ApiError
from api.types import FinishReason

DRAFTED = -1  # in the place of a token that the step's own draft says


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A place for one sequence's KV: row ``index`` of the arrays of class ``capacity`` (in tokens).

    In the order in which a plan's single rows stand.
    """

    capacity: int
    index: int


@dataclass(frozen=True, slots=True)
class Span:
    """The rows that one sequence has in a step: tokens ``start .. start + num_tokens - 1``."""

    sequence_id: int
    slot: Slot
    start: int  # position of the first token, equal to the tokens computed so far
    # () when the one token is still in flight: the previous step's sample. Behind tokens that are known
    # there may be proposals: tokens to be verified, or DRAFTED.
    token_ids: tuple[int, ...]
    num_samples: int  # 1 when the last row's logits give the next token; more where proposals are verified
    sample_index: int  # how many tokens were sampled before this one: the counter of the seeded stream
    known_ids: tuple[int, ...] = ()  # all tokens before ``start``, where the sequence was copied up to there
    # Tokens of the prompt whose logprobs are wanted; the rows before those that are sampled from give them.
    scored_ids: tuple[int, ...] = ()

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids) or 1

    @property
    def num_logits(self) -> int:
        """How many of the last rows' logits are needed: first to score tokens, then to sample."""
        return len(self.scored_ids) + self.num_samples

    @property
    def samples(self) -> bool:
        """Whether the last ``num_samples`` rows' logits are needed."""
        return self.num_samples > 0


@dataclass(frozen=True, slots=True)
class Draft:
    """What the draft model does for one sequence before the step's rows run.

    It computes tokens that it has not computed yet, the newest one last, and says how the text may go on. Its
    KV lies in slots of the same classes and indices as the sequence's own.
    """

    sequence_id: int
    slot: Slot
    start: int  # tokens of the sequence that it has computed
    token_ids: tuple[int, ...]  # those that it computes now
    num_proposals: int = 0  # as many as its span has DRAFTED ones; 0: it only prefills


@dataclass(frozen=True, slots=True)
class SlotMove:
    """Copy the first ``num_tokens`` of a sequence's KV, to another class or for a sibling."""

    source: Slot
    target: Slot
    num_tokens: int


@dataclass(frozen=True, slots=True)
class BlockSave:
    """Copy out tokens ``start .. start + num_tokens - 1`` of a slot, which steps before have written,
    as a block.
    """

    block_id: int
    slot: Slot
    start: int
    num_tokens: int
    with_state: bool = False  # and the recurrent state, which is the one after the block's last token
    key: str = ""  # its name outside of the process, where it has one


@dataclass(frozen=True, slots=True)
class BlockLoad:
    """Copy cached blocks, one behind another, to the front of a slot, and the state behind the last one."""

    block_ids: tuple[int, ...]
    slot: Slot


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What one forward pass computes. Numbers and ids only, so it can be logged, replayed and sent.

    What a sequence brings for its whole life, such as how it samples, the generator was told before.
    Applied in the order of the fields: forget what was released and what ended, evict blocks, save blocks,
    close holes, set the number of slots of each class, load blocks, move, draft, run the spans (single-token
    spans first).
    """

    released: tuple[int, ...] = ()  # sequence ids whose state may be dropped
    ended: tuple[int, ...] = ()  # those of them that no later plan will name
    evicted_blocks: tuple[int, ...] = ()  # block ids; never one that the same plan saves or loads
    saves: tuple[BlockSave, ...] = ()
    compactions: tuple[SlotMove, ...] = ()  # within a class, from its last slots to free ones before them
    num_slots: tuple[tuple[int, int], ...] = ()  # (class capacity, slots its arrays must have)
    loads: tuple[BlockLoad, ...] = ()
    moves: tuple[SlotMove, ...] = ()  # a source may be a load's slot
    drafts: tuple[Draft, ...] = ()  # of a step beside which nothing is in flight, where they propose
    spans: tuple[Span, ...] = ()

    @property
    def num_rows(self) -> int:
        return sum(span.num_tokens for span in self.spans)

    @property
    def num_decode_rows(self) -> int:
        return sum(1 for span in self.spans if span.num_tokens == 1)


@dataclass(frozen=True, slots=True)
class SampledLogprobs:
    """Natural logarithms of probabilities: of the sampled token, and of the likeliest, best first."""

    logprob: float
    top: tuple[tuple[int, float], ...] = ()  # (token id, logprob)
    rank: int = 0  # of a prompt's token among all, 1 being the likeliest; 0: not counted


@dataclass(frozen=True, slots=True)
class SampledToken:
    """One token as the generator read it; those of one sequence come in their order."""

    sequence_id: int
    token_id: int
    logprobs: SampledLogprobs | None = None
    error: ApiError | None = None  # the token is none and its sequence can only fail; the others are well


@dataclass(frozen=True, slots=True)
class ScoredTokens:
    """Tokens of a prompt, one behind another, with what the model gave each after all before it."""

    sequence_id: int
    start: int  # position of the first of them
    logprobs: tuple[SampledLogprobs, ...]


@dataclass(frozen=True, slots=True)
class DraftedTokens:
    """What stood in the place of a span's DRAFTED ones; comes before the tokens that its rows sampled."""

    sequence_id: int
    token_ids: tuple[int, ...]


StepNews = DraftedTokens | ScoredTokens | SampledToken  # what is read of a step


@dataclass(frozen=True, slots=True)
class PredictedTokens:
    """What became of the tokens that a client predicted, up to an answer's token."""

    num_accepted: int = 0  # the answer has followed them
    num_rejected: int = 0  # all others


NOTHING_PREDICTED = PredictedTokens()


@dataclass(frozen=True, slots=True)
class StepOutput:
    """One choice's news after a step. ``finish_reason`` or ``error`` makes it the last one.

    ``token_id`` is None when nothing was sampled: cancelled, failed, logprobs of the prompt only, or an
    answer of no tokens. A token that ended the sequence as an end-of-sequence token is counted but is no
    text: ``is_text`` is False then.
    """

    request_id: str
    token_id: int | None = None
    is_text: bool = True
    finish_reason: FinishReason | None = None
    error: ApiError | None = None
    choice_index: int = 0
    logprobs: SampledLogprobs | None = None
    num_cached_tokens: int = 0  # of the prompt: what the prefix cache had when it was first admitted
    prompt_logprobs: tuple[SampledLogprobs, ...] = ()  # of its next tokens, from the second one on
    predicted: PredictedTokens = NOTHING_PREDICTED
    # time.monotonic() when it first had its place in the batch: for the clock, so it is not compared.
    admitted_seconds: float = field(default=0.0, compare=False)

    @property
    def is_last(self) -> bool:
        return self.finish_reason is not None or self.error is not None
