"""What a draft model is worth: servers with one against one without, in turns.

A fair pair of models needs a large one and a small one of one family. Where there is only the default model,
the large one is made of it: layers that change nothing are stacked upon its own, so that it says what the
default model says and costs a multiple. Then the default model itself drafts without error (the best case),
and copies of it with noise in their weights draft worse: the middle, and a draft that is of no use.

Stories drawn at temperature 1 with fixed seeds, by 1, 8 and 32 streams. All servers stay up; only one runs at
a time. The share of proposals that came true is each server's own, from /stats.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.changed_weights import changed_folder
from benchmarks.scenarios import warm_up
from benchmarks.servers import Server, only, project_server
from benchmarks.speculation import prose_of
from benchmarks.weights import default_target, float32_folder

STREAMS = (1, 8, 32)
NUM_LAYERS = 120  # of the large model; the default one has 30
NOISES = (0.0, 0.05, 0.3)  # standard deviation of what is added to a weight, in the weights' own


@dataclass(frozen=True, slots=True)
class Ratio:
    """One kind of draft under one load."""

    noise: float
    num_streams: int
    drafted_rate: float
    plain_rate: float
    acceptance: float | None  # None: nothing was proposed

    def line(self) -> str:
        accepted = "nothing drafted" if self.acceptance is None else f"{self.acceptance:.2f} accepted"
        ratio = self.drafted_rate / self.plain_rate
        return (
            f"noise {self.noise:<5} {self.num_streams:3} stream(s)  {self.drafted_rate:7.1f} against "
            f"{self.plain_rate:7.1f} tokens/s  ratio {ratio:.2f}  {accepted}"
        )


def main(argv: list[str] | None = None) -> int:
    options = _parse(argv)
    base = float32_folder(None, default_target(None))
    large = changed_folder(base, _beside(base, f"{options.layers}-layers"), num_layers=options.layers)
    with project_server(large) as plain:
        warm_up(plain)
        for noise in options.noise:
            draft = changed_folder(base, _beside(base, f"noise-{noise}"), noise=noise) if noise else base
            plain.pause()
            with project_server(large, "--draft-model", str(draft)) as drafting:
                warm_up(drafting)
                for num_streams in options.streams:
                    print(_compare(drafting, plain, num_streams, noise, options.rounds).line(), flush=True)
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="pairs of runs of each load (default 1)")
    parser.add_argument("--streams", type=int, nargs="+", default=STREAMS, help="default: 1 8 32")
    parser.add_argument("--noise", type=float, nargs="+", default=NOISES, help="default: 0 0.05 0.3")
    parser.add_argument("--layers", type=int, default=NUM_LAYERS, help="of the large model (default 120)")
    return parser.parse_args(argv)


def _beside(base: Path, name: str) -> Path:
    return base.with_name(f"{base.name}-{name}")


def _compare(drafting: Server, plain: Server, num_streams: int, noise: float, num_rounds: int) -> Ratio:
    measure = prose_of(num_streams)
    drafted_rates: list[float] = []
    plain_rates: list[float] = []
    before = _counts(drafting)
    for seed in range(num_rounds):
        pair = (drafting, plain) if seed % 2 == 0 else (plain, drafting)
        for index, server in enumerate(pair):
            with only(server, [pair[1 - index]]):
                (drafted_rates if server is drafting else plain_rates).append(measure(server, seed))
    num_proposed, num_accepted = (now - was for now, was in zip(_counts(drafting), before, strict=True))
    acceptance = num_accepted / num_proposed if num_proposed else None
    return Ratio(noise, num_streams, median(drafted_rates), median(plain_rates), acceptance)


def _counts(server: Server) -> tuple[int, int]:
    of_draft = server.get("/stats")["speculation"]["draft_model"]
    return of_draft["proposed_tokens"], of_draft["accepted_tokens"]


if __name__ == "__main__":
    sys.exit(main())
