from __future__ import annotations

from pathlib import Path

import pytest

from api.engine.cpu.blas.candidates import Processor, candidate_kernels, read_processor

AVX2 = "sse4_2 avx avx2 fma"
AVX512 = f"{AVX2} avx512f avx512dq avx512cd avx512bw avx512vl"
SAPPHIRE = f"{AVX512} avx512_bf16 avx512_fp16 amx_tile amx_bf16"


@pytest.mark.parametrize(
    ("machine", "flags", "wanted"),
    [
        ("x86_64", SAPPHIRE, ("SapphireRapids", "Cooperlake", "SkylakeX", "Haswell")),
        ("x86_64", f"{AVX512} avx512_bf16", ("Cooperlake", "SkylakeX", "Haswell", "Zen")),
        ("x86_64", AVX512, ("SkylakeX", "Haswell", "Zen", "Sandybridge")),
        ("x86_64", AVX512.replace("avx512vl", ""), ("Haswell", "Zen", "Sandybridge", "Nehalem")),
        ("x86_64", "sse4_2 avx", ("Sandybridge", "Nehalem")),
        ("x86_64", "avx2", ()),  # without fma
        ("x86_64", "", ()),
        ("aarch64", "fp asimd sve", ("NEOVERSEV1", "ARMV8SVE", "NEOVERSEN1", "CORTEXA72")),
        ("aarch64", "fp asimd", ("NEOVERSEN1", "CORTEXA72", "ARMV8")),
        ("aarch64", AVX512, ()),
        ("riscv64", "", ()),
    ],
)
def test_candidates_are_those_whose_flags_are_there(
    machine: str, flags: str, wanted: tuple[str, ...]
) -> None:
    assert candidate_kernels(Processor(machine, "whoever made it", frozenset(flags.split()))) == wanted


def read(tmp_path: Path, text: str) -> Processor:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(text)
    return read_processor(tmp_path)


def test_an_x86_processor_by_its_first_core(tmp_path: Path) -> None:
    core = "processor\t: {}\nmodel name\t: Some Processor @ 3 GHz: fast\nflags\t\t: fpu avx{}\n\n"
    processor = read(tmp_path, core.format(0, "") + core.format(1, " avx2"))
    assert processor.name == "Some Processor @ 3 GHz: fast"
    assert processor.flags == {"fpu", "avx"}


def test_an_arm_processor_has_features_and_numbers(tmp_path: Path) -> None:
    text = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
    processor = read(tmp_path, text)
    assert processor.flags == {"fp", "asimd"}
    assert "0x41" in processor.name and "0xd0c" in processor.name


@pytest.mark.parametrize("text", ["", "nothing that makes sense", "\x00\xff: \n:::\n"])
def test_what_says_nothing_gives_no_candidates(text: str, tmp_path: Path) -> None:
    assert candidate_kernels(read(tmp_path, text)) == ()


def test_without_proc_nothing_is_known(tmp_path: Path) -> None:
    assert read_processor(tmp_path).flags == frozenset()
