"""What sampling costs: a full batch with every kind of it, and one that follows a grammar, against greedy.

Three batches decode in turn in one engine in this process, a step each, so that whatever else the machine
does meets all three alike. Their forwards are one and the same: all continue the greedy batch's text in the
same KV slots, while penalties and grammars follow what each row itself sampled. No scheduler, no HTTP.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from api.config import EngineConfig, ServerConfig
from api.step_plan import SampledToken, Slot, Span, StepPlan
from api.types import SamplingParams
from benchmarks.prompts import story_prompts
from benchmarks.servers import openblas_environment
from benchmarks.weights import default_target, float32_folder

MIN_MIXED_RATIO = 0.9
MIN_GRAMMAR_RATIO = 0.85
NUM_PROMPT_TOKENS = 16
MAX_STEP_TOKENS = 256
SLOT_TOKENS = 256
NUM_WARM_UP_STEPS = 5
BIASES = tuple((1000 + 7 * i, 1.0 if i % 2 else -1.0) for i in range(20))
# A quarter of the rows asks for logprobs as well.
KINDS: tuple[dict[str, Any], ...] = (
    {"temperature": 0.8},
    {"temperature": 1.0, "top_p": 0.9},
    {"temperature": 0.7, "top_p": 0.8, "top_k": 20},
    {"temperature": 1.0, "min_p": 0.05},
    {"temperature": 0.0, "frequency_penalty": 0.5, "presence_penalty": 0.5},
    {"temperature": 0.9, "top_p": 0.95, "repetition_penalty": 1.1},
    {"temperature": 1.0, "top_k": 50, "logit_bias": BIASES},
    {"temperature": 0.6, "top_k": 40, "min_p": 0.02, "frequency_penalty": 0.3, "repetition_penalty": 1.05},
)
# Longer than any answer here, so that no row ends early.
SCHEMA = {
    "type": "array",
    "minItems": 100,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer"},
            "is_member": {"type": "boolean"},
        },
        "required": ["name", "age", "is_member"],
        "additionalProperties": False,
    },
}

SamplingOfRow = Callable[[int], SamplingParams]


class SchemaGrammar:
    """``SCHEMA`` for the tokenizer in a model's folder."""

    def __init__(self, folder: Path) -> None:
        from llguidance import LLMatcher
        from llguidance.hf import from_tokenizer
        from transformers import AutoTokenizer

        tokenizer = from_tokenizer(AutoTokenizer.from_pretrained(folder))
        self._start = LLMatcher(tokenizer, LLMatcher.grammar_from_json_schema(json.dumps(SCHEMA)))
        if self._start.is_error():
            raise RuntimeError(self._start.get_error())

    def new_matcher(self) -> Any:
        return self._start.deep_copy()


def greedy(row: int) -> SamplingParams:
    return SamplingParams(temperature=0.0)


def mixed(row: int) -> SamplingParams:
    num_top_logprobs = 5 if row // len(KINDS) % 4 == 0 else None
    return SamplingParams(**KINDS[row % len(KINDS)], seed=row, num_top_logprobs=num_top_logprobs)


def following(grammar: SchemaGrammar) -> SamplingOfRow:
    return lambda row: SamplingParams(temperature=0.0, grammar=grammar)


@dataclass(slots=True)
class Batch:
    """One kind of sampling for rows that share their text with the other batches."""

    first_sequence_id: int
    sampling: list[SamplingParams]  # of each row
    seconds: list[float] = field(default_factory=list)  # of each decode step

    def spans(self, texts: list[list[int]], start: int, num_answer_tokens: int) -> list[Span]:
        """Rows for all that follows ``start`` in each text."""
        return [
            Span(
                sequence_id=self.first_sequence_id + row,
                slot=Slot(SLOT_TOKENS, row),
                start=start,
                token_ids=tuple(texts[row][start:]),
                num_samples=1,
                sample_index=num_answer_tokens,
            )
            for row in range(len(self.sampling))
        ]


class Runner:
    """Steps of several batches through one generator, each timed from read to read."""

    def __init__(self, generator: Any, batches: list[Batch], prompts: list[list[int]]) -> None:
        self._generator = generator
        self._batches = batches
        self._texts = [list(prompt) for prompt in prompts]
        self._num_slots = ((SLOT_TOKENS, len(prompts)),)
        for batch in batches:
            for row, sampling in enumerate(batch.sampling):
                generator.add(batch.first_sequence_id + row, sampling)

    def read_prompts(self) -> None:
        rows_per_step = MAX_STEP_TOKENS // NUM_PROMPT_TOKENS
        for batch in self._batches:
            spans, sampled = batch.spans(self._texts, 0, 0), []
            for first in range(0, len(spans), rows_per_step):
                sampled += self._step(spans[first : first + rows_per_step])
            sampled += self._step([])
            if batch is self._batches[0]:
                first_tokens = sampled
        self._extend_texts(first_tokens)

    def decode(self, num_steps: int) -> None:
        """Each turn is a step of each batch at the same position; who begins changes from turn to turn."""
        for index in range(1, num_steps + 1):
            start = len(self._texts[0]) - 1
            first = index % len(self._batches)
            turn = self._batches[first:] + self._batches[:first]
            steps = [batch.spans(self._texts, start, index) for batch in turn]
            self._step(steps[0])
            for batch, following_spans in zip(turn, [*steps[1:], []], strict=True):
                since = self._generator.read_seconds
                sampled = self._step(following_spans)
                batch.seconds.append(self._generator.read_seconds - since)
                if batch is self._batches[0]:
                    next_tokens = sampled
            self._extend_texts(next_tokens)

    def _extend_texts(self, sampled: list[SampledToken]) -> None:
        for token in sampled:
            self._texts[token.sequence_id].append(token.token_id)

    def _step(self, spans: list[Span]) -> list[SampledToken]:
        plan = StepPlan(spans=tuple(spans), num_slots=self._num_slots)
        sampled: list[SampledToken] = self._generator.step(plan)
        if errors := [token.error for token in sampled if token.error is not None]:
            raise errors[0]
        return sampled


def measure(engine: Any, folder: Path, num_rows: int, num_steps: int) -> dict[str, list[float]]:
    """The seconds of every step of each kind of batch, those of one turn at the same index."""
    kinds = {"greedy": greedy, "mixed": mixed, "grammar": following(SchemaGrammar(folder))}
    batches = [
        Batch(index * num_rows, [sampling(row) for row in range(num_rows)])
        for index, sampling in enumerate(kinds.values())
    ]
    runner = Runner(engine.generator, batches, encode_prompts(folder, num_rows, seed=0))
    runner.read_prompts()
    runner.decode(num_steps)
    return {name: each.seconds[NUM_WARM_UP_STEPS:] for name, each in zip(kinds, batches, strict=True)}


def encode_prompts(folder: Path, num_rows: int, seed: int) -> list[list[int]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return [tokenizer.encode(text)[:NUM_PROMPT_TOKENS] for text in story_prompts(num_rows, 0, seed)]


def report(name: str, seconds: dict[str, list[float]], target: float) -> bool:
    """Prints the median ratio of the steps of one turn."""
    ratio = median(greedy / other for greedy, other in zip(seconds["greedy"], seconds[name], strict=False))
    verdict = "met" if ratio >= target else "MISSED"
    print(f"{name}: {1000 * median(seconds[name]):.1f} ms a step")
    print(f"ratio greedy / {name}: {ratio:.3f} >= {target} {verdict}", flush=True)
    return ratio >= target


def main(argv: list[str] | None = None) -> int:
    """Returns 0 when both targets are met, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", help="folder, repo id or .gguf; default: the embedded model")
    parser.add_argument("--weights", type=Path, help="where the float32 folder is or will be")
    parser.add_argument("--rows", type=int, default=32, help="sequences in each batch (default 32)")
    parser.add_argument("--steps", type=int, default=80, help="decode steps of each batch (default 80)")
    options = parser.parse_args(argv)
    if NUM_PROMPT_TOKENS + options.steps >= SLOT_TOKENS:
        parser.error(f"--steps: at most {SLOT_TOKENS - NUM_PROMPT_TOKENS - 1}")
    openblas_environment()  # before mlx is imported
    from api.assembly.engine import load_engine

    folder = float32_folder(options.model, options.weights or default_target(options.model))
    engine = load_engine(ServerConfig(engine=EngineConfig(model=str(folder))), print)
    seconds = measure(engine, folder, options.rows, options.steps)
    print(f"greedy: {1000 * median(seconds['greedy']):.1f} ms a step, {options.rows} rows")
    results = [report("mixed", seconds, MIN_MIXED_RATIO), report("grammar", seconds, MIN_GRAMMAR_RATIO)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
