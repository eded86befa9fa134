from __future__ import annotations

from dataclasses import asdict

from benchmarks.device.sizes import CPU, GPU, fitting


def test_a_fast_device_gets_all_of_it() -> None:
    assert fitting(GPU, tokens_per_second=20_000, seconds=20) == GPU


def test_a_slow_one_gets_what_it_reads_in_time() -> None:
    sizes = fitting(GPU, tokens_per_second=1000, seconds=16)
    assert sizes.long_prompt == 2000
    assert sizes.prefill == 1000
    assert sizes.length_scale == 1


def test_none_is_smaller_than_a_cpus() -> None:
    smallest = asdict(fitting(GPU, tokens_per_second=1, seconds=1))
    assert smallest == asdict(CPU)
    assert all(value >= asdict(CPU)[name] for name, value in asdict(GPU).items())
