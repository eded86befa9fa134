"""Which kernels a processor could run, by what it can do and never by who made it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

_MOST_CANDIDATES = 4

_AVX2 = frozenset({"avx2", "fma"})
_AVX512 = _AVX2 | {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd"}
_BFLOAT16 = _AVX512 | {"avx512_bf16"}
_ASIMD = frozenset({"asimd"})

# OpenBLAS's names with the flags that they need, those that are likely to be fastest first.
_KERNELS = {
    "x86_64": (
        ("SapphireRapids", _BFLOAT16 | {"avx512_fp16", "amx_tile", "amx_bf16"}),
        ("Cooperlake", _BFLOAT16),
        ("SkylakeX", _AVX512),
        ("Haswell", _AVX2),
        ("Zen", _AVX2),
        ("Sandybridge", frozenset({"avx"})),
        ("Nehalem", frozenset({"sse4_2"})),
    ),
    "aarch64": (
        ("NEOVERSEV1", _ASIMD | {"sve"}),
        ("ARMV8SVE", _ASIMD | {"sve"}),
        ("NEOVERSEN1", _ASIMD),
        ("CORTEXA72", _ASIMD),
        ("ARMV8", _ASIMD),
    ),
}


@dataclass(frozen=True, slots=True)
class Processor:
    """What Linux says of the first core."""

    machine: str
    name: str
    flags: frozenset[str]


def read_processor(root: Path) -> Processor:
    """Knows nothing, and says so, where there is no ``/proc``."""
    try:
        lines = (root / "proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    arm_names = ("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision")
    name = fields.get("model name") or " ".join(fields.get(each, "") for each in arm_names).strip()
    flags = fields.get("flags", "") or fields.get("Features", "")
    return Processor(platform.machine(), name, frozenset(flags.split()))


def candidate_kernels(processor: Processor) -> tuple[str, ...]:
    """Besides the library's own choice; it may lack some of them."""
    known = _KERNELS.get(processor.machine, ())
    return tuple(name for name, needed in known if needed <= processor.flags)[:_MOST_CANDIDATES]
