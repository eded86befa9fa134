"""What ``prediction`` is worth: an edit of a file of 300 lines, by one stream, against ``--speculation off``.

A small model edits badly, so the answer is given: the file is of Python's library, every tenth line of it
gets another word, some lines are new and some are left out; whatever the model samples, the tokens of this
answer are what the scheduler gets to see. Everything else is the engine as the server has it. The file is
in the prompt, as it would be.

Plain decoding is timed in windows along the same answer, between two parts of the predicted one, so that
both see the same machine. Also measured: prose with a prediction that is about something else.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import textwrap
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from api.config import EngineConfig, ServerConfig
from api.engine.sequences.sequence import Sequence
from api.step_plan import SampledToken
from api.types import ChatPrompt, GenerationRequest, SamplingParams
from benchmarks.report import Comparison, Target, all_met, print_report
from benchmarks.servers import ROOT, openblas_environment

MIN_EDIT_RATIO = 4.0
MIN_WRONG_RATIO = 0.95
NUM_LINES = 300
NUM_PROSE_TOKENS = 240
KV_BYTES = 1 << 30  # of each of the two engines


@dataclass(frozen=True, slots=True)
class Case:
    """An answer that is given, and what is predicted of it."""

    name: str
    wish: str
    answer: str
    prediction: str
    at_least: float


@dataclass(slots=True)
class Timing:
    num_tokens: int = 0
    seconds: float = 0.0
    num_steps: int = 0

    @property
    def rate(self) -> float:
        return self.num_tokens / self.seconds


def main(argv: list[str] | None = None) -> int:
    """Returns 0 when every target is met, 1 otherwise."""
    options = _parse(argv)
    openblas_environment()
    from api.assembly.engine import load_engine  # brings mlx with it: behind its BLAS

    engines = [
        load_engine(ServerConfig(engine=EngineConfig(kv_memory_bytes=KV_BYTES, speculation=choice)), _ignore)
        for choice in ("auto", "off")
    ]
    findings = []
    for case in (edit_case(options.lines), prose_case(options.lines)):
        predicted, plain = measure(*engines, case, options.windows, options.window_tokens)
        pair = (predicted.rate,), (plain.rate,)
        findings.append(Comparison(case.name, "tokens/s", *pair, Target(at_least=case.at_least)))
        per_step = predicted.num_tokens / predicted.num_steps
        rates = f"{predicted.rate:.1f} against {plain.rate:.1f} tokens/s"
        print(f"  {case.name}: {predicted.num_tokens} tokens, {per_step:.1f} a step, {rates}", flush=True)
    print_report(findings, f"plain in {options.windows} windows", "speculation off")
    return 0 if all_met(findings) else 1


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lines", type=int, default=NUM_LINES, help="of the file (default 300)")
    parser.add_argument("--windows", type=int, default=12, help="in which plain decoding is timed")
    parser.add_argument("--window-tokens", type=int, default=24, help="of each of them (default 24)")
    return parser.parse_args(argv)


def _ignore(line: str) -> None: ...


def measure(
    predicting: Any, plain: Any, case: Case, num_windows: int, window_tokens: int
) -> tuple[Timing, Timing]:
    answer = predicting.prompt_reader.tokenize(case.answer, add_special_tokens=False)
    sequence = _sequence(predicting, case, case.prediction, len(answer))
    predicted, windows = Timing(), Timing()
    predicting.scheduler.add(sequence)
    predicting.generator.add(sequence.sequence_id, sequence.sampling)
    run(predicting, sequence, answer, 1, Timing())
    length = len(answer) // num_windows
    for window in range(num_windows):
        start = window * length
        run(
            predicting,
            sequence,
            answer,
            (start + length) if window < num_windows - 1 else len(answer),
            predicted,
        )
        _time_plain(plain, case, answer, start, window_tokens, windows)
    return predicted, windows


def _time_plain(
    engine: Any, case: Case, answer: list[int], start: int, num_tokens: int, timing: Timing
) -> None:
    """Some tokens from a place on; what stands before it is read first, or was kept."""
    num_tokens = min(num_tokens, len(answer) - start - 1)
    sequence = _sequence(engine, case, "", start + 1 + num_tokens)
    sequence.token_ids += answer[:start]
    sequence.num_prompt_tokens, sequence.max_tokens = len(sequence.token_ids), 1 + num_tokens
    engine.scheduler.add(sequence)
    engine.generator.add(sequence.sequence_id, sequence.sampling)
    run(engine, sequence, answer[start:], 1, Timing())
    run(engine, sequence, answer[start:], 1 + num_tokens, timing)


def run(engine: Any, sequence: Sequence, answer: list[int], num_tokens: int, timing: Timing) -> None:
    """Steps until so many of the answer's tokens are there, whatever the model says."""
    first, started = _num_read(sequence), time.perf_counter()
    while engine.scheduler.has_work and _num_read(sequence) < num_tokens:
        plan = engine.scheduler.schedule()
        timing.num_steps += bool(plan.spans)
        place = _num_read(sequence)
        sampled = [each for each in engine.generator.step(plan) if isinstance(each, SampledToken)]
        given = [
            replace(token, token_id=wanted)
            for token, wanted in zip(sampled, [*answer[place:], 0], strict=False)
        ]
        engine.scheduler.update(given)
    timing.num_tokens += _num_read(sequence) - first
    timing.seconds += time.perf_counter() - started


def _num_read(sequence: Sequence) -> int:
    return len(sequence.token_ids) - sequence.num_prompt_tokens


def _sequence(engine: Any, case: Case, prediction: str, max_tokens: int) -> Sequence:
    request = GenerationRequest(
        request_id=f"predicted-{time.perf_counter_ns()}",
        prompt=ChatPrompt(({"role": "user", "content": case.wish},)),
        sampling=SamplingParams(temperature=0.0),
        max_tokens=max_tokens,
        ignores_eos=True,
        arrival_seconds=time.monotonic(),
        prediction=prediction,
    )
    ((sequence, _),) = engine.prompt_reader.read(request)
    return sequence  # type: ignore[no-any-return]


def edit_case(num_lines: int) -> Case:
    file = library_file(num_lines)
    wish = (
        f"Here is a Python module:\n\n```python\n{file}```\n\nBring it up to date. Answer with the code only."
    )
    return Case(f"edit of {num_lines} lines", wish, edited(file), file, MIN_EDIT_RATIO)


def prose_case(num_lines: int) -> Case:
    prose = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split()[: NUM_PROSE_TOKENS * 2 // 3])
    return Case("prose, wrong prediction", "Explain it.", prose, library_file(num_lines), MIN_WRONG_RATIO)


def library_file(num_lines: int) -> str:
    return "".join(inspect.getsource(textwrap).splitlines(keepends=True)[:num_lines])


def edited(file: str) -> str:
    """A tenth of the lines has another word, four are new, three are left out."""
    lines = file.splitlines(keepends=True)
    changed = [_with_other_word(line) if number % 10 == 9 else line for number, line in enumerate(lines)]
    third, two_thirds = len(lines) // 3, 2 * len(lines) // 3
    added = [
        "    # the new way\n",
        "    found = self.lookup(17)\n",
        "    if found:\n",
        "        return found\n",
    ]
    return "".join([*changed[:third], *changed[third + 3 : two_thirds], *added, *changed[two_thirds:]])


def _with_other_word(line: str) -> str:
    longest = max(re.findall(r"[A-Za-z]+", line), key=len, default="")
    return line.replace(longest, "modern", 1) if longest else line


if __name__ == "__main__":
    sys.exit(main())
