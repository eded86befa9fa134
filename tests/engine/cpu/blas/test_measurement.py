from __future__ import annotations

import sys

import pytest

from api.engine.cpu.blas import load as blas
from api.engine.cpu.blas import measurement
from api.engine.cpu.blas.measurement import (
    Broken,
    Measured,
    Outcome,
    Timing,
    measure_kernels,
    process_probe,
)

OWN = Timing("Prescott", (2.0, 10.0, 20.0, 30.0))


def scaled(core: str, factor: float) -> Timing:
    return Timing(core, tuple(factor * each for each in OWN.gflops))


class FakeProbe:
    """Answers by name; a list holds one answer for each round."""

    def __init__(self, answers: dict[str | None, Outcome | list[Outcome]]) -> None:
        self._answers = answers
        self.asked: list[str | None] = []

    def __call__(self, kernels: str | None, limit_seconds: float) -> Outcome:
        assert limit_seconds > 0
        answer = self._answers[kernels]
        index = self.asked.count(kernels)
        self.asked.append(kernels)
        return answer[index] if isinstance(answer, list) else answer


def measure(answers: dict[str | None, Outcome | list[Outcome]]) -> Measured:
    return measure_kernels([name for name in answers if name is not None], FakeProbe(answers))


def test_the_fastest_that_computes_rightly_wins() -> None:
    answers: dict[str | None, Outcome | list[Outcome]] = {
        None: OWN,
        "A": Broken("SIGILL"),
        "B": scaled("b", 5),
        "C": Broken("wrong products"),
        "D": scaled("D", 3),
    }
    measured = measure(answers)
    assert (measured.kernels, measured.fastest, measured.own) == ("B", scaled("b", 5), OWN)
    assert measured.is_settled


@pytest.mark.parametrize(("factor", "wins"), [(0.5, False), (1.0, False), (1.05, False), (1.2, True)])
def test_the_library_s_own_choice_stands_unless_another_clearly_gains(factor: float, wins: bool) -> None:
    assert measure({None: OWN, "A": scaled("A", factor)}).kernels == ("A" if wins else None)


def test_each_number_of_rows_counts_alike() -> None:
    """Much faster with many rows, but not with few, which is what most steps have."""
    assert measure({None: OWN, "A": Timing("A", (0.7, 3.5, 20.0, 60.0))}).kernels is None


def test_kernels_that_the_library_lacks_or_takes_itself_are_not_told_apart() -> None:
    probe = FakeProbe({None: OWN, "Prescott": scaled("Prescott", 9), "Missing": scaled("Prescott", 9)})
    assert measure_kernels(["Prescott", "Missing"], probe).kernels is None
    assert "Prescott" not in probe.asked


def test_a_busy_moment_in_one_round_decides_nothing() -> None:
    measured = measure({None: [scaled("Prescott", 0.2), OWN], "A": [OWN, scaled("A", 0.2)]})
    assert measured.kernels is None
    assert not measured.is_settled  # to be measured again at the next start


@pytest.mark.parametrize(("factor", "wins"), [(1.4, False), (5.0, True)])
def test_on_a_busy_machine_only_a_large_gain_counts(factor: float, wins: bool) -> None:
    own: list[Outcome] = [OWN, scaled("Prescott", 0.6)]
    assert measure({None: own, "A": scaled("A", factor)}).kernels == ("A" if wins else None)


def test_what_is_far_behind_is_measured_once() -> None:
    probe = FakeProbe({None: OWN, "A": scaled("A", 5), "B": scaled("B", 0.3)})
    assert measure_kernels(["A", "B"], probe).kernels == "A"
    assert probe.asked == [None, "A", "B", None, "A"]


def test_an_own_choice_that_crashes_is_replaced() -> None:
    measured = measure({None: Broken("SIGILL"), "A": scaled("A", 1)})
    assert (measured.kernels, measured.fastest, measured.own) == ("A", scaled("A", 1), Broken("SIGILL"))


def test_in_a_library_in_which_nothing_works_nothing_is_fastest() -> None:
    measured = measure({None: Broken("SIGILL"), "A": Broken("wrong products")})
    assert (measured.kernels, measured.fastest, measured.own) == (None, None, Broken("SIGILL"))


def test_an_own_choice_that_did_not_answer_is_asked_again() -> None:
    measured = measure({None: [None, OWN], "A": scaled("A", 5)})
    assert (measured.kernels, measured.own) == ("A", OWN)
    assert not measured.is_settled


def test_where_no_process_can_be_started_nothing_is_known() -> None:
    measured = measure({None: None, "A": None})
    assert (measured.kernels, measured.fastest) == (None, None)
    assert not measured.is_settled


def test_no_more_is_started_when_the_time_is_up() -> None:
    probe = FakeProbe({None: OWN, "A": scaled("A", 5)})
    measured = measure_kernels(["A"], probe, total_seconds=0.0)
    assert probe.asked == []
    assert not measured.is_settled


@pytest.mark.parametrize(
    ("return_code", "output", "wanted"),
    [
        (0, b"Haswell right 1.5 20.0\n", Timing("Haswell", (1.5, 20.0))),
        (0, b"Haswell wrong 1.5\n", Broken("wrong products")),
        (-4, b"", Broken("SIGILL")),
        (-11, b"", Broken("SIGSEGV")),
        (-9, b"", None),  # killed from outside
        (1, b"Traceback", None),
        (0, b"", None),
        (0, b"Haswell right 1.5 fast\n", None),
        (0, b"\xff\xfe right", None),
    ],
)
def test_what_a_probe_s_end_means(return_code: int, output: bytes, wanted: Outcome) -> None:
    assert measurement._outcome(return_code, output) == wanted


def test_a_probe_that_cannot_start_or_takes_too_long_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert process_probe("no library", 0)(None, 60.0) is None
    assert process_probe("no library", 0)(None, 1e-6) is None
    monkeypatch.setattr(sys, "executable", "/no such python")
    assert process_probe("no library", 0)(None, 60.0) is None


LIBRARY = next(blas._candidates(blas._ROOT), None) if blas.needs_blas() else None
needs_openblas = pytest.mark.skipif(LIBRARY is None, reason="no OpenBLAS here")


@needs_openblas
def test_the_real_library_computes_rightly_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert LIBRARY is not None
    outcomes = []
    for ambient in ("Prescott", "Haswell"):
        monkeypatch.setenv("OPENBLAS_CORETYPE", ambient)
        outcomes.append(process_probe(LIBRARY, 1)(None, 60.0))
    assert all(isinstance(each, Timing) and min(each.gflops) > 0 for each in outcomes)
    assert len({each.core for each in outcomes if isinstance(each, Timing)}) == 1
