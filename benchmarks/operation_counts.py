"""How many operations of MLX a forward is made of; on a GPU each that is no view is a kernel.

MLX's fused functions (norms, rope, attention) are single kernels on a GPU and several operations on a CPU.
So that both machines count alike, each is one operation here, whose result means nothing.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import mlx.core as mx

DEPTHS = (2, 6)  # layers
# These read another array's memory in another order, and take no kernel.
VIEWS = frozenset(
    {"AsStrided", "Broadcast", "Depends", "ExpandDims", "Flatten", "Reshape"}
    | {"Slice", "Split", "Squeeze", "Transpose", "Unflatten", "View"}
)
_LABEL = re.compile(r'label ?="([A-Za-z_]+)[^"]*", ?shape=rectangle')


def count_kernels(*arrays: mx.array) -> Counter[str]:
    """The operations of arrays that are not evaluated yet, views left out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.dot"
        mx.export_to_dot(str(path), *arrays)  # type: ignore[no-untyped-call]
        names = Counter(_LABEL.findall(path.read_text()))
    return Counter({name: count for name, count in names.items() if name not in VIEWS})


@contextmanager
def fused_functions() -> Iterator[None]:
    """While it lasts, each of MLX's fused functions is one operation."""
    with (
        mock.patch.object(mx.fast, "rms_norm", _of_input),
        mock.patch.object(mx.fast, "layer_norm", _of_input),
        mock.patch.object(mx.fast, "rope", _of_input),
        mock.patch.object(mx.fast, "scaled_dot_product_attention", _of_attention),
    ):
        yield


def _of_input(x: mx.array, *rest: Any, **named: Any) -> mx.array:
    return mx.abs(x)


def _of_attention(q: mx.array, k: mx.array, v: mx.array, *, mask: Any = None, **named: Any) -> mx.array:
    """Reads what attention reads, so that none of it falls out of the graph."""
    masks = (mask,) if isinstance(mask, mx.array) else ()
    return mx.depends([mx.abs(q)], [k, v, *masks])[0]


def operations_per_layer(config: dict[str, Any]) -> dict[str, float]:
    """Of a decode step as a GPU would run it: mlx-lm's plain model for one stream, ours for several rows.

    The difference of two depths, so that what a step does once does not count.
    """
    counts = {}
    for name, count in (("plain", _plain), *((f"{n} rows", partial(_flat, n)) for n in (1, 8, 32))):
        shallow, deep = (sum(count(config | {"num_hidden_layers": depth}).values()) for depth in DEPTHS)
        counts[name] = (deep - shallow) / (DEPTHS[1] - DEPTHS[0])
    return counts


def _plain(config: dict[str, Any]) -> Counter[str]:
    from mlx_lm.models.cache import make_prompt_cache
    from mlx_lm.utils import _get_classes

    model = _build(_get_classes, config)
    cache = make_prompt_cache(model)
    mx.eval(model(mx.array([[1, 2, 3]]), cache=cache))
    with fused_functions():
        logits = model(mx.array([[4]]), cache=cache)
        return count_kernels(logits, *(array for each in cache for array in (each.keys, each.values)))


def _flat(num_rows: int, config: dict[str, Any]) -> Counter[str]:
    from api.engine.device.platform import gpu_platform
    from api.engine.forward.choosing.choose import choose_forward
    from api.engine.forward.model_package import class_finder, load_model_package
    from api.step_plan import Slot, Span, StepPlan

    model = _build(class_finder(load_model_package({})), config)
    forward = choose_forward(
        model, gpu_platform(), config["vocab_size"], 64, "flat", lambda line: None
    ).forward
    for start in range(2):
        spans = tuple(Span(row, Slot(256, row), start, (1,), 1, start) for row in range(num_rows))
        plan = StepPlan(spans=spans, num_slots=((256, num_rows),))
        with fused_functions() if start else nullcontext():
            logits = forward(plan, mx.array([1] * num_rows))
            counts = count_kernels(logits, *forward.state())
        if not start:
            mx.eval(logits, forward.state())
    return counts


def _build(find_classes: Callable[..., Any], config: dict[str, Any]) -> Any:
    model_class, arguments = find_classes(config)
    model = model_class(arguments.from_dict(config))
    mx.eval(model.parameters())
    return model


if __name__ == "__main__":
    print(json.dumps(operations_per_layer(json.loads(Path(sys.argv[1]).read_text()))))
