"""One chat in the batch: the tokens it knows and how many of them have their KV computed."""

from __future__ import annotations

from dataclasses import dataclass, field

from api.engine.sequences.predicted_text import Prediction
from api.step_plan import Slot
from api.types import SamplingParams


@dataclass(slots=True, eq=False)
class Sequence:
    """A few integers; everything else is derived.

    Built by the processing thread, owned by the batch thread from the moment it is in its inbox.

    Invariant (``check``): ``0 <= num_computed <= num_known`` and at most one token is in flight.
    A *known* token is in ``token_ids``, or is the one that the step under way will sample.
    """

    sequence_id: int
    request_id: str
    token_ids: list[int]  # the prompt, then what was read back from the device
    num_prompt_tokens: int
    max_tokens: int  # answer tokens at most; prompt and answer fit the context
    sampling: SamplingParams
    eos_token_ids: frozenset[int] = field(default_factory=frozenset)
    arrival_seconds: float = 0.0
    choice_index: int = 0
    # Which of the request's prompts this is: sequences of one request and prompt may share what was read.
    prompt_index: int = 0
    priority: int = 0  # lower goes first
    client_id: str = ""
    cache_salt: str = ""
    uses_prefix_cache: bool = True
    prediction: Prediction | None = None  # of the answer, by the client

    num_computed: int = 0  # tokens whose KV is written, or will be by the steps dispatched so far
    num_read: int = 0  # the most that was ever computed: less than that is computed again, after a restart
    num_copied: int = 0  # of these, tokens whose KV came from a sibling or the prefix cache
    num_cached_tokens: int = 0  # prompt tokens that the prefix cache had at the first admission
    # Prompt tokens that are read back with their logprobs, where those are wanted; the first has none.
    num_scored: int = 1
    num_in_flight: int = 0  # 1 while a dispatched step samples this sequence's next token
    # What the step under way verifies behind this sequence's last known token; not known themselves.
    proposals: tuple[int, ...] = ()
    slot: Slot | None = None
    admitted_seconds: float = 0.0  # when it got its slot, the last time that it waited for one
    was_admitted: bool = False  # it has had a slot before, or has one
    is_suspect: bool = False  # was in a step that raised: runs alone until it gets a token

    @property
    def num_known(self) -> int:
        return len(self.token_ids) + self.num_in_flight

    @property
    def num_remaining(self) -> int:
        """Known tokens that still have to go through the model; 1 is plain decoding."""
        return self.num_known - self.num_computed

    @property
    def num_sampled(self) -> int:
        """Answer tokens so far, the one in flight included."""
        return self.num_known - self.num_prompt_tokens

    @property
    def is_decoding(self) -> bool:
        return self.num_remaining == 1 and self.num_sampled > 0

    @property
    def is_exhausted(self) -> bool:
        """No further token may be sampled: the last allowed one is read or in flight."""
        return self.num_sampled >= self.max_tokens

    @property
    def is_scoring(self) -> bool:
        """Whether logprobs of its prompt are still to come: all of those rows must be computed."""
        return self.sampling.num_prompt_logprobs is not None and self.num_scored < self.num_prompt_tokens

    def scored_positions(self, num_rows: int) -> range:
        """Of the tokens whose logprobs its next rows give; each row scores the token behind it."""
        if not self.is_scoring:
            return range(0)
        first = max(self.num_computed + 1, self.num_scored)
        return range(first, max(first, min(self.num_computed + 1 + num_rows, self.num_prompt_tokens)))

    def rows_within(self, num_rows: int, num_scored: int) -> int:
        """How many of its next ``num_rows`` rows may be computed for no more than so many tokens scored."""
        scored = self.scored_positions(num_rows)
        return num_rows if len(scored) <= num_scored else scored.start - 1 - self.num_computed + num_scored

    def is_sibling(self, other: Sequence) -> bool:
        """Whether both are choices of one request for the same prompt."""
        return self.request_id == other.request_id and self.prompt_index == other.prompt_index

    def receive(self, token_id: int) -> bool:
        """Appends a token that was in flight; returns whether it had been proposed.

        Then the next row's sample holds as well; else nothing more of that step does.
        """
        self.token_ids.append(token_id)
        if self.prediction is not None:
            self.prediction.take(token_id)
        if self.proposals and self.proposals[0] == token_id:
            self.proposals = self.proposals[1:]
            self.compute(1)
            return True
        self.proposals = ()
        self.num_in_flight -= 1
        return False

    def num_unread(self, num_rows: int) -> int:
        """How many of its next rows were never computed before."""
        return max(0, self.num_computed + num_rows - max(self.num_read, self.num_computed))

    def compute(self, num_rows: int) -> None:
        """Counts rows of a step that is dispatched now."""
        self.num_computed += num_rows
        self.num_read = max(self.num_read, self.num_computed)

    def restart(self) -> None:
        """Forgets the computed KV (preemption, recovery); the known tokens catch up later."""
        self.num_computed = 0
        self.num_copied = 0
        self.num_in_flight = 0
        self.proposals = ()
        self.slot = None

    def check(self) -> None:
        """Raises AssertionError where the invariant is broken."""
        assert 0 <= self.num_computed <= self.num_known, self
        assert 0 <= self.num_in_flight <= 1, self
