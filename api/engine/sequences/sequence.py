"""One chat in the batch: the tokens it knows and how many of them have their KV computed."""

from __future__ import annotations

from dataclasses import dataclass, field

from api.engine.sequences.predicted_text import Prediction
from api.step_plan import DRAFTED, Slot
from api.types import SamplingParams


@dataclass(slots=True, eq=False)
class Sequence:
    """A few integers; everything else is derived.

    Built by the processing thread, owned by the batch thread from the moment it is in its inbox. Scheduling,
    memory and speculation change it by its verbs alone, and each verb asserts what must hold for it:

    * ``admit`` with a slot (``withdraw`` where no plan came of it); ``place`` in another; ``restart`` without
    * ``dispatch`` rows, then ``receive`` their tokens
    * ``propose`` tokens, which ``name_drafts`` names where they were drafted; ``receive`` accepts or refutes
    * ``score`` tokens of its prompt
    * ``suspect`` and ``absolve``

    Between two steps (``check``): ``0 <= num_computed <= num_known``, and at most one token is in flight.
    A *known* token is in ``token_ids``, or is one that a step under way will sample.
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
    # Which of the request's prompts this is: sequences of one request and prompt may share its KV.
    prompt_index: int = 0
    priority: int = 0  # lower goes first
    client_id: str = ""
    x_request_id: str = ""  # for log lines
    cache_salt: str = ""
    uses_prefix_cache: bool = True
    prediction: Prediction | None = None  # of the answer, by the client

    num_computed: int = 0  # tokens whose KV is written, or will be by the steps dispatched so far
    num_ever_computed: int = 0  # at most: what is less is computed again, after a restart
    num_copied: int = 0  # of these, tokens whose KV came from a sibling or the prefix cache
    num_cached_tokens: int = 0  # prompt tokens that the prefix cache had at the first admission
    # Prompt tokens whose logprobs were read, where those are wanted; the first has none.
    num_scored: int = 1
    num_in_flight: int = 0  # 1 while a dispatched step samples this sequence's next token
    # What the step under way verifies behind this sequence's last known token; not known themselves.
    proposals: tuple[int, ...] = ()
    slot: Slot | None = None
    admitted_seconds: float = 0.0  # when it got its slot, the last time that it waited for one
    first_admitted_seconds: float = 0.0  # and the first time
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
        """No further token may be sampled: the last allowed one is known."""
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

    def num_new_rows(self, num_rows: int) -> int:
        """How many of its next rows were never computed before."""
        return max(0, self.num_computed + num_rows - max(self.num_ever_computed, self.num_computed))

    def is_sibling(self, other: Sequence) -> bool:
        """Whether both are choices of one request for the same prompt."""
        return self.request_id == other.request_id and self.prompt_index == other.prompt_index

    # --- a place in the batch --------------------------------------------------------------------

    def place(self, slot: Slot) -> None:
        """Gives it a slot, or another one, to which its KV is copied."""
        assert self.num_computed <= slot.capacity, self
        self.slot = slot

    def admit(self, num_copied: int, num_cached_tokens: int, now_seconds: float) -> None:
        """It is in the batch, in its slot, with the KV of its first ``num_copied`` tokens.

        ``num_cached_tokens``: what the prefix cache had of them; counts at the first admission only.
        """
        assert self.slot is not None and not self.num_in_flight, self
        assert 0 <= num_copied < self.num_known, self  # the last one's logits are needed
        self.num_computed = self.num_copied = num_copied
        self.admitted_seconds = now_seconds
        if not self.was_admitted:
            self.num_cached_tokens = num_cached_tokens
            self.first_admitted_seconds = now_seconds
        self.was_admitted = True

    def withdraw(self) -> None:
        """No plan was made of its first admission: that was none."""
        assert self.was_admitted, self
        self.was_admitted, self.num_cached_tokens = False, 0

    def restart(self) -> None:
        """Forgets the computed KV (preemption, recovery); the known tokens catch up later."""
        self.num_computed = 0
        self.num_copied = 0
        self.num_in_flight = 0
        self.proposals = ()
        self.slot = None

    # --- steps -----------------------------------------------------------------------------------

    def dispatch(self, num_rows: int) -> None:
        """Counts rows of a step that is dispatched now, those of its proposals among them.

        Only the first of these come true for sure. Where the step reaches its last known token, it samples
        the next one, which is in flight from now on; a token of the step before may still be, too.
        """
        num_certain = num_rows - len(self.proposals)
        assert 0 < num_certain <= self.num_remaining and self.num_in_flight <= 1, self
        self._compute(num_certain)
        if self.num_remaining == 0:
            self.num_in_flight += 1

    def receive(self, token_id: int) -> bool:
        """Appends a token that was in flight; returns whether it had been proposed.

        Then the next row's sample holds as well; else nothing more of that step does.
        """
        assert self.num_in_flight > 0, self
        self.token_ids.append(token_id)
        if self.prediction is not None:
            self.prediction.take(token_id)
        if self.proposals and self.proposals[0] == token_id:
            self.proposals = self.proposals[1:]
            self._compute(1)
            return True
        self.proposals = ()
        self.num_in_flight -= 1
        return False

    def propose(self, token_ids: tuple[int, ...]) -> None:
        """What the next step is to verify behind the newest token, which is known: none is in flight."""
        if token_ids:
            assert not self.num_in_flight and self.slot is not None, self
            assert self.num_known + len(token_ids) <= self.slot.capacity, self
        self.proposals = token_ids

    def name_drafts(self, token_ids: tuple[int, ...]) -> None:
        """What the draft model said in the place of ``DRAFTED`` proposals."""
        assert self.proposals == (DRAFTED,) * len(token_ids), self
        self.proposals = token_ids

    def score(self, num_tokens: int) -> None:
        """Counts further tokens of the prompt whose logprobs were read."""
        assert 0 <= num_tokens <= self.num_prompt_tokens - self.num_scored, self
        self.num_scored += num_tokens

    def suspect(self) -> None:
        """It was in a step that raised."""
        self.is_suspect = True

    def absolve(self) -> None:
        """It got a token: it is not what raises."""
        self.is_suspect = False

    def check(self) -> None:
        """Raises AssertionError where the invariant is broken; for between two steps."""
        assert 0 <= self.num_computed <= self.num_known, self
        assert 0 <= self.num_in_flight <= 1, self

    def _compute(self, num_tokens: int) -> None:
        self.num_computed += num_tokens
        self.num_ever_computed = max(self.num_ever_computed, self.num_computed)
