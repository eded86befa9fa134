"""How a model's authors recommend to sample: what stands in ``generation_config.json``, and no more.

transformers' own defaults for absent fields (``top_k`` 50 is one) are nobody's recommendation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.errors import StartupError
from api.types import SamplingDefaults

FILE_NAME = "generation_config.json"

_INT32_MAX = 2**31 - 1
_MAX_SHOWN_CHARS = 60
# The bounds that requests have too, ends included: (file's name, ours, lowest, highest).
_NUMBERS = (
    ("temperature", "temperature", 0, 2),
    ("top_p", "top_p", 0, 1),
    ("min_p", "min_p", 0, 1),
    ("repetition_penalty", "repetition_penalty", 0.01, 100),
)
_COUNTS = (("top_k", "top_k", -1, _INT32_MAX), ("max_new_tokens", "max_tokens", 1, _INT32_MAX))

Complain = Callable[[str], None]


def read_sampling_defaults(folder: Path, complain: Complain) -> SamplingDefaults:
    """Reads the folder's file, if it has one; ``complain`` gets a line for each value that is none.

    ``do_sample: false`` means greedy. Raises StartupError for a file that holds no object.
    """
    content = _read(folder / FILE_NAME, complain)
    found: dict[str, Any] = {}
    for kinds, is_kind in ((_NUMBERS, _is_number), (_COUNTS, _is_count)):
        for name, our_name, lowest, highest in kinds:
            value = content.get(name)
            if value is None:
                continue
            if is_kind(value) and lowest <= value <= highest:
                found[our_name] = value
            else:
                complain(_complaint(name, value))
    return SamplingDefaults(**found | _greedy(content.get("do_sample"), complain))


def describe(defaults: SamplingDefaults) -> str | None:
    """One line for a person; None where nothing is recommended."""
    values = {
        name: getattr(defaults, name)
        for name in SamplingDefaults.__dataclass_fields__
        if getattr(defaults, name) is not None
    }
    if not values:
        return None
    listed = ", ".join(f"{name} {value}" for name, value in values.items())
    return f"Sampling where requests name none: {listed} ({FILE_NAME}; --generation-config none ignores it)"


def _read(path: Path, complain: Complain) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as error:  # also digits without end, and no UTF-8
        complain(f"{FILE_NAME} cannot be read and is ignored: {error}")
        return {}
    if not isinstance(content, dict):
        raise StartupError(f"{path} is no generation config: it holds no JSON object")
    return content


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _greedy(do_sample: object, complain: Complain) -> dict[str, float]:
    if do_sample is not None and not isinstance(do_sample, bool):
        complain(_complaint("do_sample", do_sample))
    return {"temperature": 0.0} if do_sample is False else {}


def _complaint(name: str, value: object) -> str:
    return f"{FILE_NAME}: {name} {repr(value)[:_MAX_SHOWN_CHARS]} is out of range or of a wrong type: ignored"
