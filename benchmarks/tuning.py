"""What tuning at load gains: steps by the choices that were measured against steps by the first guesses.

One engine, the steps of both in turns. Decode steps of several numbers of rows, greedy and sampled, and a
chunk of a prompt.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from api.config import EngineConfig, ServerConfig
from api.types import SamplingParams
from benchmarks.servers import openblas_environment
from benchmarks.weights import default_target, float32_folder

LEAST_RATIO = 0.98
ROWS = (1, 3, 8, 13, 28, 32)
CHUNKS = (64, 256)
NUM_STEPS = 3
SAMPLED = SamplingParams(temperature=0.8, seed=1)


def main(argv: list[str] | None = None) -> int:
    """Returns 0 when no kind of step is slower than by the guesses, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", help="folder, repo id or .gguf; default: the embedded model")
    parser.add_argument("--weights", type=Path, help="where the float32 folder is or will be")
    parser.add_argument("--pairs", type=int, default=7, help="timings of each way (default 7)")
    options = parser.parse_args(argv)
    openblas_environment()  # before mlx is imported
    from api.assembly.engine import load_engine
    from api.engine.device.platform import detect_platform
    from api.engine.tuning.choices import first_guesses, from_json
    from api.engine.tuning.engine import TunedEngine
    from api.engine.tuning.pairs import compare
    from api.engine.tuning.steps import DecodeRows, TimedSteps

    folder = float32_folder(options.model, options.weights or default_target(options.model))
    loaded = load_engine(ServerConfig(engine=EngineConfig(model=str(folder), tune="again")), print)
    generator: Any = loaded.generator
    engine = TunedEngine(generator._forward, generator._sampler, generator)
    tuned, guesses = from_json(loaded.describe["tuning"]), first_guesses(detect_platform())
    steps = TimedSteps(generator)

    def ratio(name: str, seconds: Callable[[], float]) -> bool:
        def timed(tuning: Any) -> Callable[[], float]:
            return lambda: (engine.apply(tuning), seconds())[1]

        found = compare(timed(guesses), timed(tuned), limit_seconds=600, max_pairs=options.pairs)
        verdict = "met" if found.gain >= LEAST_RATIO else "MISSED"
        print(
            f"ratio guesses / tuned, {name}: {found.gain:.3f} >= {LEAST_RATIO} {verdict} "
            f"({1000 * found.guess_seconds:.1f} against {1000 * found.other_seconds:.1f} ms)",
            flush=True,
        )
        return found.gain >= LEAST_RATIO

    met = [ratio(f"{n} rows", lambda n=n: steps.decode_seconds(DecodeRows(n), NUM_STEPS)) for n in ROWS]
    sampled = DecodeRows(8, sampling=SAMPLED)
    met.append(ratio("8 rows, sampled", lambda: steps.decode_seconds(sampled, NUM_STEPS)))
    met += [ratio(f"a chunk of {n}", lambda n=n: steps.chunk_seconds(n, 1)) for n in CHUNKS]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
