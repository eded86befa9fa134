"""Are answers under a JSON schema valid, and what does the grammar cost? No model's weights are needed.

Reads folders of schemas, such as a checkout of json-schema-org/JSON-Schema-Test-Suite (tests/draft2020-12)
or of guidance-ai/jsonschemabench (data), and for each schema asks the server's own compiler for a grammar.
Random tokens that the grammar allows, drawn towards the end, make answers; the package ``jsonschema``
judges them. Where a file has instances, wrong ones must be refused by the grammar as well.

    python benchmarks/json_schemas.py --suite PATH [--suite PATH] [MODEL]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from llguidance import LLExecutor, LLMatcher
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask_par

from api.engine.loading.locate import locate_model
from api.errors import InvalidRequestError
from api.text.grammar.compiler import GrammarCompiler
from api.text.grammar.vocabulary import VocabularySource
from api.text.tokenizer import Tokenizer, load_tokenizer
from api.types import Structure

MAX_TOKENS = 400
NUM_FREE_TOKENS = 25  # then the ends are preferred
CLOSING = ('"', "}", "]", '"}', "]}", "0", "1")
NUM_WAYS = 4  # answers drawn for each schema


@dataclass(slots=True)
class Case:
    """One schema, with instances where the suite has any."""

    name: str
    schema: Any
    instances: list[tuple[Any, bool]] = field(default_factory=list)  # (instance, whether it is valid)


@dataclass(slots=True)
class Tally:
    """What came of the schemas, and of instances and answers."""

    counts: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    invalid: list[str] = field(default_factory=list)
    compile_seconds: list[float] = field(default_factory=list)
    max_step_seconds: float = 0.0


def read_suite(path: Path) -> Iterator[Case]:
    """Yields the schemas of all files: groups of tests, or one bare schema a file."""
    for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:  # a torn download, or a test of what no JSON is
            continue
        if not isinstance(content, list):
            yield Case(f"{file.parent.name}/{file.stem}", content)
            continue
        for group in content:
            instances = [(test["data"], test["valid"]) for test in group["tests"]]
            yield Case(f"{file.stem}: {group['description']}", group["schema"], instances)


class Sampler:
    """Draws answers from a grammar alone."""

    def __init__(self, tokenizer: Tokenizer, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._tokenizer = tokenizer
        self._mask = allocate_token_bitmask(1, tokenizer.vocab_size)
        self._executor = LLExecutor(1)
        self._closing = [ids[0] for text in CLOSING if len(ids := tokenizer.encode(text)) == 1]
        self._eos = sorted(tokenizer.eos_token_ids)
        self.max_step_seconds = 0.0

    def draw(self, matcher: LLMatcher) -> tuple[str, bool]:
        """Returns a text and whether it was ended. Raises ValueError where the grammar leads nowhere."""
        tokens: list[int] = []
        for position in range(MAX_TOKENS):
            allowed = self._allowed(matcher)
            if matcher.is_error():
                raise ValueError(matcher.get_error() or "the grammar broke")
            if not allowed.size:
                raise ValueError(f"no token may follow {self._tokenizer.decode(tokens)!r}")
            token = self._choose(allowed, position)
            if token in self._eos:
                return self._tokenizer.decode(tokens), True
            matcher.consume_token(token)
            tokens.append(token)
        return self._tokenizer.decode(tokens), False

    def _allowed(self, matcher: LLMatcher) -> Any:
        started = time.perf_counter()
        fill_next_token_bitmask_par(self._executor, [(matcher, 0)], self._mask)
        self.max_step_seconds = max(self.max_step_seconds, time.perf_counter() - started)
        bits = np.unpackbits(self._mask.view(np.uint8)[0], bitorder="little")
        return np.flatnonzero(bits[: self._tokenizer.vocab_size])

    def _choose(self, allowed: Any, position: int) -> int:
        ends = [token for token in self._eos if token in allowed]
        if ends and (position > NUM_FREE_TOKENS or self._random.random() < 0.3):
            return ends[0]
        closing = [token for token in self._closing if token in allowed]
        if closing and (position > NUM_FREE_TOKENS or self._random.random() < 0.2):
            return closing[0] if position > NUM_FREE_TOKENS else self._random.choice(closing)
        return int(allowed[self._random.randrange(len(allowed))])


def check(case: Case, compiler: GrammarCompiler, sampler: Sampler, tally: Tally) -> None:
    started = time.perf_counter()
    try:
        grammar = compiler.compile(Structure("json_schema", case.schema))
    except InvalidRequestError as error:
        tally.counts["refused"] += 1
        tally.refusals[_reason(error)] += 1
        return
    finally:
        tally.compile_seconds.append(time.perf_counter() - started)
    tally.counts["compiled"] += 1
    validator = _validator(case.schema)
    for _ in range(NUM_WAYS):
        try:
            text, is_ended = sampler.draw(grammar.new_matcher())
        except ValueError as error:
            tally.counts["answers broken off"] += 1
            tally.invalid.append(f"{case.name}: {error}")
            continue
        _judge(case.name, text, is_ended, validator, tally)
    for instance, is_valid in case.instances:
        _judge_instance(case, instance, is_valid, grammar.new_matcher(), compiler, tally)


def _judge(name: str, text: str, is_ended: bool, validator: Any, tally: Tally) -> None:
    if not is_ended:
        tally.counts["answers cut off"] += 1
        return
    try:
        error = next(validator.iter_errors(json.loads(text)), None)
    except json.JSONDecodeError as problem:
        error = problem
    except Exception as problem:  # the validator's own: a reference to the network, a pattern of Rust's
        tally.counts["answers not judged"] += 1
        tally.refusals[f"not judged: {type(problem).__name__}"] += 1
        return
    tally.counts["answers valid" if error is None else "answers INVALID"] += 1
    if error is not None:
        tally.invalid.append(f"{name}: {text[:200]!r}: {str(error).splitlines()[0][:200]}")


def _judge_instance(
    case: Case, instance: Any, is_valid: bool, matcher: LLMatcher, compiler: GrammarCompiler, tally: Tally
) -> None:
    text = json.dumps(instance, ensure_ascii=False)
    is_accepted = accepts(matcher, compiler, text)
    tally.counts[f"{'valid' if is_valid else 'wrong'} instances {'taken' if is_accepted else 'refused'}"] += 1
    if is_accepted and not is_valid:
        tally.invalid.append(f"{case.name}: takes {text[:200]}")


def accepts(matcher: LLMatcher, compiler: GrammarCompiler, text: str) -> bool:
    """Tells whether the text is a whole answer under the matcher's grammar."""
    tokens = compiler.vocabulary.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


def _validator(schema: Any) -> Any:
    validator = validator_for(schema, default=Draft202012Validator)
    return validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def _reason(error: InvalidRequestError) -> str:
    text = error.message.partition(": ")[2].partition(" (at ")[0]
    return text.partition(":")[0] if "regular expression" in text or "oneOf" in text else text[:80]


def measure_cost(compiler: GrammarCompiler, num_rows: int) -> float:
    """Returns the median microseconds per token and row for masks and advance under a usual schema."""
    properties = {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "price": {"type": "number"},
        "kind": {"enum": ["new", "used"]},
    }
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    text = json.dumps({"name": "A small red bicycle", "tags": ["a b", "c"], "price": 12.5, "kind": "new"})
    grammar = compiler.compile(Structure("json_schema", schema))
    tokens, executor = compiler.vocabulary.tokenize_str(text), LLExecutor()
    mask = allocate_token_bitmask(num_rows, compiler.vocabulary.vocab_size)
    seconds = []
    for _ in range(5):
        matchers = [grammar.new_matcher() for _ in range(num_rows)]
        rows = [(matcher, row) for row, matcher in enumerate(matchers)]
        for token in tokens:
            started = time.perf_counter()
            fill_next_token_bitmask_par(executor, rows, mask)
            for matcher in matchers:
                matcher.consume_token(token)
            seconds.append(time.perf_counter() - started)
    return median(seconds) / num_rows * 1e6


def main(argv: list[str] | None = None) -> int:
    """Returns 1 when an answer was invalid, 0 otherwise."""
    options = _parse(argv)
    tokenizer = load_tokenizer(locate_model(options.model, print).folder)
    compiler, is_good = GrammarCompiler(VocabularySource.of(tokenizer)), True
    for suite in options.suite:
        cases = list(read_suite(suite))
        random.Random(0).shuffle(cases)
        tally, sampler = Tally(), Sampler(tokenizer)
        for case in cases[: options.limit]:
            check(case, compiler, sampler, tally)
        tally.max_step_seconds = sampler.max_step_seconds
        _print(suite, tally, options.show)
        is_good = is_good and not tally.invalid
    for num_rows in (1, 32):
        cost = measure_cost(compiler, num_rows)
        print(f"{num_rows:3} rows: {cost:6.1f} us a token and row, {cost * num_rows:7.1f} us a step")
    return 0 if is_good else 1


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", help="whose tokenizer; default: the embedded model")
    parser.add_argument("--suite", type=Path, action="append", required=True, help="a file or a folder")
    parser.add_argument("--limit", type=int, help="schemas of each suite, drawn at random (default: all)")
    parser.add_argument("--show", type=int, default=20, help="reasons and invalid answers printed")
    return parser.parse_args(argv)


def _print(suite: Path, tally: Tally, num_shown: int) -> None:
    print(f"\n{suite}")
    for name, count in sorted(tally.counts.items()):
        print(f"  {count:7} {name}")
    seconds = sorted(tally.compile_seconds)
    print(f"  compile: median {median(seconds) * 1e3:.1f} ms, slowest {seconds[-1] * 1e3:.0f} ms", end="; ")
    print(f"slowest mask {tally.max_step_seconds * 1e3:.1f} ms")
    for reason, count in tally.refusals.most_common(num_shown):
        print(f"  refused {count:5} x {reason}")
    for line in tally.invalid[:num_shown]:
        print(f"  INVALID {line}")


if __name__ == "__main__":
    sys.exit(main())
