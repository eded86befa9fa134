"""How many prompt rows a step may prefill beside running streams, from the times of the steps before."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from api.engine.budget.chunk_choice import Chunk, Running, choose_chunk
from api.engine.budget.prompt_line import PromptLine
from api.engine.budget.row_curve import RowCurve
from api.engine.device.row_sizes import padded_rows

_SMALLEST_CHUNK_TOKENS = 16
_FEWEST_TOKENS = 8  # of a chunk that ends a size that the device likes
_SLOPE_ROWS = 64  # further rows over which the seconds of one are taken
_FEWEST_PREFILL_TOKENS = 256  # in a step of several prompts and nobody else: their last rows are sampled from
_NEARLY_LEAST = 1.03  # of a row's cost
# A prompt may wait for so many plain steps beside the time that its prefill takes.
_DUE_STEPS = 4


@dataclass(frozen=True, slots=True)
class _Size:
    """What a step takes."""

    seconds: float
    hoped_seconds: float


class StepBudget:
    """Knows what steps take by their rows, and weighs what waits against those that it would hold up."""

    def __init__(
        self,
        *,
        stall_seconds: float,
        max_step_tokens: int,
        first_chunk_tokens: int,
        row_multiple: int = 1,
        max_scored_rows: int = 64,
        step_seconds: Mapping[int, float] | None = None,
    ) -> None:
        """``row_multiple``: the forward fills its rows up to a multiple of this.

        ``max_scored_rows``: rows of a step that score prompts' tokens; each takes memory by the vocabulary.
        ``step_seconds``: rows -> seconds of a step, as measured at load; may be empty. With it,
        ``first_chunk_tokens`` is not needed.
        """
        self.max_step_tokens = max_step_tokens
        self.max_scored_rows = max_scored_rows
        self._curve = RowCurve(max_step_tokens, step_seconds)
        self._knows_prompts = bool(step_seconds)
        self._plain_rows = 1  # of the newest step without prompts
        self._stall_seconds = stall_seconds
        self._first_chunk_tokens = first_chunk_tokens
        self._row_multiple = row_multiple
        self._edges = sorted({self._padded(size) for size in self._curve.edges})
        self._sizes: dict[int, _Size] = {}  # by their rows; made when they are asked for

    @property
    def seconds_per_row(self) -> float:
        """Of a further row beside the running streams; 0 before any step with prompt rows was timed."""
        if not self._knows_prompts:
            return 0.0
        few, many = self._curve.seconds(self._plain_rows), self._curve.seconds(self._plain_rows + _SLOPE_ROWS)
        return max(1e-9, (many - few) / _SLOPE_ROWS)

    def added_seconds(self, num_rows: int, num_more_rows: int) -> float | None:
        """What a step of ``num_more_rows`` takes beyond one of ``num_rows``; None while nothing is known."""
        if not self._knows_prompts:
            return None
        return max(0.0, self._curve.seconds(num_more_rows) - self._curve.seconds(num_rows))

    def observe(self, num_rows: int, num_prompt_rows: int, seconds: float, context: float = 0.0) -> None:
        """Takes the time of one step that ran without idling.

        ``context``: tokens before a prompt row, on average.
        """
        num_computed = self._padded(num_rows)
        if num_prompt_rows:
            self._knows_prompts = True
        else:
            self._plain_rows = num_computed
        self._curve.observe(num_computed, seconds, num_prompt_rows, context)
        self._sizes.clear()

    def line(self, waiting: Iterable[tuple[int, float]], num_decode_rows: int) -> PromptLine:
        """``waiting``: of each prompt in the batch its tokens, and the seconds since it came there."""
        plain = self._curve.seconds(self._padded(num_decode_rows))
        smallest = self._curve.seconds(self._padded(num_decode_rows + _FEWEST_TOKENS)) - plain
        # Beside each chunk the running streams have their own share of the step.
        stretch = 1 + plain / max(1e-9, smallest, self._stall_seconds)
        lateness, sizes = 0.0, []
        for num_tokens, waited_seconds in waiting:
            due = self.prefill_seconds(num_tokens) * stretch + _DUE_STEPS * plain
            lateness = max(lateness, waited_seconds / due if due else 0.0)
            sizes.append(num_tokens)
        return PromptLine(tuple(sizes), lateness)

    def num_prompt_rows(self, num_decode_rows: int, context: int, line: PromptLine) -> int:
        """Prompt rows for the next step, for a prompt that has ``context`` tokens behind it; never none."""
        if not num_decode_rows:
            most = self.max_step_tokens if len(line.num_tokens) < 2 else self._fewest_efficient_rows()
            return max(most - most % self._row_multiple, min(most, _SMALLEST_CHUNK_TOKENS))
        smallest = min(_SMALLEST_CHUNK_TOKENS, self.max_step_tokens)
        if not self._knows_prompts:
            return max(smallest, min(self._first_chunk_tokens, self.max_step_tokens - num_decode_rows))
        plain = self._curve.seconds(self._padded(num_decode_rows))
        chunks = self._chunks(num_decode_rows, plain, context, sum(line.num_tokens))
        if not chunks:
            return smallest
        running = self._running(num_decode_rows, plain, len(line.num_tokens))
        return choose_chunk(chunks, running, self._stall_seconds, line).num_rows

    def _fewest_efficient_rows(self) -> int:
        """Of a step that only prefills: with more, a row costs nearly the same, and all end later."""
        edges = [edge for edge in self._edges if edge <= self.max_step_tokens]
        costs = {edge: self._size(edge).seconds / edge for edge in edges}
        limit = _NEARLY_LEAST * min(costs.values())
        efficient = [edge for edge in edges if costs[edge] <= limit]
        return max(efficient[0], min(_FEWEST_PREFILL_TOKENS, self.max_step_tokens))

    def _running(self, num_decode_rows: int, plain_seconds: float, num_prefilling: int) -> Running:
        num_streams = num_decode_rows + num_prefilling
        full_seconds = max(1e-9, self._curve.seconds(self._padded(num_streams)))
        doubled_seconds = self._curve.seconds(self._padded(2 * num_decode_rows))
        fixed_share = max(0.0, 2 - doubled_seconds / max(1e-9, plain_seconds))
        return Running(
            plain_seconds, full_seconds, num_streams, fixed_share * num_prefilling / num_decode_rows
        )

    def _chunks(
        self, num_decode_rows: int, plain_seconds: float, context: int, num_tokens: int
    ) -> list[Chunk]:
        """Those that end at a size worth telling apart, up to the first that takes so many tokens."""
        chunks: list[Chunk] = []
        context_seconds = context * self._curve.context_seconds
        for edge in self._edges[bisect_left(self._edges, num_decode_rows + _FEWEST_TOKENS) :]:
            if edge > self.max_step_tokens or (chunks and chunks[-1].num_rows >= num_tokens):
                break
            size, num_rows = self._size(edge), edge - num_decode_rows
            base = num_rows * context_seconds - plain_seconds
            chunks.append(Chunk(num_rows, max(0.0, size.seconds + base), max(0.0, size.hoped_seconds + base)))
        return chunks

    def _size(self, num_rows: int) -> _Size:
        size = self._sizes.get(num_rows)
        if size is None:
            size = _Size(self._curve.seconds(num_rows), self._curve.hoped_seconds(num_rows))
            self._sizes[num_rows] = size
        return size

    def plain_seconds(self, num_rows: int) -> float:
        """Of a decode step; 0 while nothing is known."""
        return self._curve.seconds(self._padded(num_rows))

    def prefill_seconds(self, num_tokens: int) -> float:
        """What the prefill of so many tokens takes by itself."""
        edge = self._edges[min(bisect_left(self._edges, num_tokens), len(self._edges) - 1)]
        return self._size(edge).seconds * num_tokens / edge

    def _padded(self, num_rows: int) -> int:
        return padded_rows(num_rows, self._row_multiple)
