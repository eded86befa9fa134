from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models import qwen3_moe
from mlx_lm.utils import _get_classes

from api.config import EngineConfig
from api.engine.loading import load as load_module
from api.engine.loading.load import LoadedModel, context_length, load_model
from api.engine.loading.locate import ModelFiles
from api.errors import StartupError
from tests.engine.loading import tiny


def load(folder: Path, report: Any = lambda line: None, **settings: Any) -> LoadedModel:
    return load_model(ModelFiles(folder, ("m",)), EngineConfig(**settings), _get_classes, report)


@pytest.fixture
def quantised(tmp_path: Path) -> Path:
    """A folder in MLX format, 4 bit with float16 scales and norms."""
    model = tiny.tiny_model()
    nn.quantize(model, group_size=32, bits=4)
    model.set_dtype(mx.float16)
    return tiny.save_folder(tmp_path / "model", model, quantization={"group_size": 32, "bits": 4})


def test_folder_loads_as_it_was_saved(tmp_path: Path, lines: list[str]) -> None:
    source = tiny.tiny_model()
    loaded = load(tiny.save_folder(tmp_path / "model", source), lines.append)
    np.testing.assert_allclose(tiny.logits(loaded.model), tiny.logits(source), atol=1e-6)
    assert loaded.num_parameters * 4 == loaded.weight_bytes
    assert loaded.context_length == 512
    assert loaded.eos_token_ids == {258}
    assert lines[0].startswith("Reading m (") and "float32 (" in lines[1] and "loaded in" in lines[1]


def test_generation_config_names_the_eos(tmp_path: Path) -> None:
    folder = tiny.save_folder(tmp_path / "model", tiny.tiny_model())
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 4]}))
    assert load(folder).eos_token_ids == {3, 4}


def test_auto_widens_on_a_cpu(quantised: Path, lines: list[str]) -> None:
    mx.set_default_device(mx.cpu)
    kept, widened = load(quantised, cpu_weights="keep"), load(quantised, lines.append)
    kinds = {array.dtype for _, array in tree_flatten(widened.model.parameters())}
    assert kinds == {mx.float32}
    assert kept.num_parameters == widened.num_parameters
    np.testing.assert_allclose(tiny.logits(widened.model), tiny.logits(kept.model), atol=0.03)
    assert "4-bit -> float32 for the CPU" in lines[1]


def test_keep_keeps(quantised: Path, lines: list[str]) -> None:
    loaded = load(quantised, lines.append, cpu_weights="keep")
    assert loaded.model.model.embed_tokens.weight.dtype == mx.uint32
    assert "4-bit (" in lines[1]


def test_a_gpu_keeps_the_weights(quantised: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "is_cpu_backend", lambda: False)
    assert load(quantised).model.model.embed_tokens.weight.dtype == mx.uint32


def test_half_precision_is_cast(tmp_path: Path, lines: list[str]) -> None:
    mx.set_default_device(mx.cpu)
    model = tiny.tiny_model()
    model.set_dtype(mx.bfloat16)
    loaded = load(tiny.save_folder(tmp_path / "model", model), lines.append)
    assert loaded.model.model.norm.weight.dtype == mx.float32
    assert "bfloat16 -> float32" in lines[1]


def test_widens_only_what_fits(quantised: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    mx.set_default_device(mx.cpu)
    # Room for the file (about 75 kB), not for 60 % of it to hold the float32 weights.
    monkeypatch.setattr(load_module, "free_bytes", lambda: 200_000)
    loaded = load(quantised, lines.append)
    assert loaded.model.model.embed_tokens.weight.dtype == mx.uint32
    assert "float32 would be faster but needs" in lines[1]


def test_too_little_memory(quantised: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "free_bytes", lambda: 1000)
    with pytest.raises(StartupError, match="too little memory for m: its weights take"):
        load(quantised)


def test_a_mapped_file_counts_against_the_limit_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "free_bytes", lambda: 3000)
    monkeypatch.setattr(load_module, "own_limit_bytes", lambda: 3000)
    load_module._check_fits(1000, "m", is_mapped=True)
    load_module._check_fits(1500, "m", is_mapped=False)
    for num_bytes, is_mapped in ((1001, True), (1501, False)):
        with pytest.raises(StartupError, match="too little memory for m"):
            load_module._check_fits(num_bytes, "m", is_mapped=is_mapped)


def test_experts_are_widened_with_their_own_package(tmp_path: Path) -> None:
    mx.set_default_device(mx.cpu)
    changes = {
        "model_type": "qwen3_moe",
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "moe_intermediate_size": 32,
        "norm_topk_prob": True,
    }
    mx.random.seed(0)
    model = qwen3_moe.Model(qwen3_moe.ModelArgs.from_dict(tiny.CONFIG | changes))
    nn.quantize(model, group_size=32, bits=4)
    folder = tiny.save_folder(tmp_path / "moe", model, quantization={"group_size": 32, "bits": 4}, **changes)
    widened = load(folder)
    assert type(widened.model.layers[0].mlp.switch_mlp.gate_proj).__name__ == "SwitchLinear"
    np.testing.assert_allclose(tiny.logits(widened.model), tiny.logits(model), atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "unheard_of"}, "cannot load m: Model type unheard_of not supported"),
        ({"hidden_size": 128}, "cannot load m: "),
        ({"num_hidden_layers": 3}, "cannot load m: .*layers.2"),
        ({"vocab_size": "many"}, "cannot load m: "),
    ],
)
def test_config_that_does_not_fit_is_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    folder = tiny.save_folder(tmp_path / "model", tiny.tiny_model(), **changes)
    with pytest.raises(StartupError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_damaged_config(tmp_path: Path, content: str) -> None:
    folder = tiny.save_folder(tmp_path / "model", tiny.tiny_model())
    (folder / "config.json").write_text(content)
    with pytest.raises(StartupError, match="cannot load m"):
        load(folder)


def test_own_code_of_a_model_needs_permission(tmp_path: Path) -> None:
    folder = tiny.save_folder(tmp_path / "model", tiny.tiny_model(), model_file="evil.py")
    with pytest.raises(StartupError, match="trust_remote_code"):
        load(folder)


@pytest.mark.parametrize(
    ("config", "limit", "expected"),
    [
        ({"max_position_embeddings": 8192}, None, 8192),
        ({"max_position_embeddings": 8192}, 1000, 1000),
        ({"max_position_embeddings": 8192}, 99_999, 8192),
        ({"n_positions": 1024}, None, 1024),
        ({"text_config": {"max_position_embeddings": 77}}, None, 77),
        ({"max_position_embeddings": None}, None, 4096),
    ],
)
def test_context_length(config: dict[str, Any], limit: int | None, expected: int) -> None:
    assert context_length(config, limit) == expected


def test_fingerprint_tells_models_apart(tmp_path: Path) -> None:
    one = load(tiny.save_folder(tmp_path / "one", tiny.tiny_model())).fingerprint
    same = load(tiny.save_folder(tmp_path / "two", tiny.tiny_model())).fingerprint
    other = load(tiny.save_folder(tmp_path / "three", tiny.tiny_model(), rope_theta=1.0)).fingerprint
    assert one == same != other


@pytest.mark.parametrize(
    ("free_bytes", "tune", "is_tried"),
    [
        (2 * 1024**3, "auto", True),
        (800 * 1024**2, "again", True),
        (1024, "auto", False),
        (2 * 1024**3, "off", False),
    ],
)
def test_weights_are_turned_only_where_there_is_room_to_try_and_they_may_be_measured(
    free_bytes: int,
    tune: str,
    is_tried: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: list[str],
) -> None:
    folder = tiny.save_folder(tmp_path / "model", tiny.tiny_model())
    monkeypatch.setattr(load_module, "_check_fits", lambda *args, **named: None)
    monkeypatch.setattr(load_module, "free_bytes", lambda: free_bytes)
    monkeypatch.setattr(load_module, "is_cpu_backend", lambda: True)
    monkeypatch.setattr(load_module, "turn_weights", lambda model: True)
    load(folder, lines.append, tune=tune)
    assert ("multiplies faster" in lines[-1]) == is_tried
