from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.utils import _get_classes

from api.config import EngineConfig
from api.engine.loading.gguf.blocks import read_q4_k
from api.engine.loading.gguf.header import read_header
from api.engine.loading.gguf.load import build_model, quantization_config, restore_rows
from api.engine.loading.load import LoadedModel, load_model
from api.engine.loading.locate import locate_model
from api.errors import StartupError
from tests.engine.loading import tiny
from tests.engine.loading.gguf_writer import Q4_K, f16, f32, q4_1, q8_0, write_gguf


def load(path: Path, **settings: Any) -> LoadedModel:
    files = locate_model(str(path), lambda line: None)
    return load_model(files, EngineConfig(**settings), _get_classes, lambda line: None)


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_those_of_the_source_model(tmp_path: Path, model_type: str, tied: bool) -> None:
    source = tiny.tiny_model(model_type=model_type, tie_word_embeddings=tied)
    path = tiny.save_gguf(tmp_path / "m.gguf", source, model_type=model_type)
    loaded = load(path)
    assert loaded.config["tie_word_embeddings"] is tied
    np.testing.assert_allclose(tiny.logits(loaded.model), tiny.logits(source), atol=1e-5)


def test_row_order_matters_to_the_logits(tmp_path: Path) -> None:
    # Guards the test above: without the reordering it would have to fail.
    source = tiny.tiny_model()
    weights = source["model"]["layers"][0]["self_attn"]["q_proj"]
    before = tiny.logits(source)
    weights.weight = mx.array(tiny.llama_cpp_rows(np.array(weights.weight), 4))
    assert np.abs(tiny.logits(source) - before).max() > 1e-3


def test_restore_rows_undoes_llama_cpps_order() -> None:
    rows = np.arange(2 * 8 * 3, dtype=np.float32).reshape(16, 3)
    permuted = tiny.llama_cpp_rows(rows, 2)
    assert permuted[:4, 0].tolist() == [0.0, 12.0, 3.0, 15.0]
    assert np.array_equal(np.array(restore_rows(mx.array(permuted), 2)), rows)


def pack_mixed(name: str, values: Any) -> Any:
    """Embeddings 8 bit, attention 4 bit, one matrix half precision, the rest 4 bit."""
    if name.startswith("token_embd"):
        return q8_0(values)
    return f16(values) if name == "blk.1.ffn_up.weight" else q4_1(values)


def test_mixed_quantisation_is_described_layer_by_layer(tmp_path: Path) -> None:
    source = tiny.tiny_model()
    path = tiny.save_gguf(tmp_path / "m.gguf", source, pack=pack_mixed)
    loaded = load(path, cpu_weights="keep")
    quantization = loaded.config["quantization"]
    assert quantization["model.embed_tokens"]["bits"] == 8
    assert quantization["model.layers.0.self_attn.q_proj"] == {"group_size": 32, "bits": 4, "mode": "affine"}
    assert "model.layers.1.mlp.up_proj" not in quantization
    # The rounding to 4 bits moves the logits a little; rows in the wrong order move them a lot.
    expected, got = tiny.logits(source), tiny.logits(loaded.model)
    assert np.corrcoef(expected.ravel(), got.ravel())[0, 1] > 0.98


def test_kept_weights_are_of_one_precision(tmp_path: Path) -> None:
    path = tiny.save_gguf(tmp_path / "m.gguf", tiny.tiny_model(), pack=pack_mixed)
    model: Any = load(path, cpu_weights="keep").model
    assert model.model.norm.weight.dtype == mx.float16
    assert model(mx.array([[1]])).dtype == mx.float16


def test_widened_equals_packed(tmp_path: Path) -> None:
    path = tiny.save_gguf(tmp_path / "m.gguf", tiny.tiny_model(), pack=pack_mixed)
    packed, widened = load(path, cpu_weights="keep"), load(path, cpu_weights="auto")
    assert widened.weight_bytes == 4 * widened.num_parameters > 2 * packed.weight_bytes
    np.testing.assert_allclose(tiny.logits(widened.model), tiny.logits(packed.model), atol=0.02)


def test_no_quantisation_no_entry() -> None:
    assert quantization_config({"model.norm.weight": mx.ones(4)}) == {}


def test_q4_k_follows_its_definition(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    blocks = [
        struct.pack("<ee", 0.01 * (i + 1), 0.02) + rng.integers(0, 256, 140, dtype=np.uint8).tobytes()
        for i in range(4)
    ]
    tensor = (Q4_K, (2, 512), b"".join(blocks))
    path = write_gguf(tmp_path / "q.gguf", {"general.architecture": "llama"}, {"token_embd.weight": tensor})
    parts = read_q4_k(path, read_header(path).tensors["token_embd.weight"])
    scales, biases = (parts[name].astype(mx.float32) for name in ("scales", "biases"))
    got = np.array(mx.dequantize(parts["weight"], scales, biases, group_size=32, bits=4))
    expected = np.array([q4_k_values(block) for block in blocks]).reshape(2, 512)
    np.testing.assert_allclose(got, expected, atol=0.02)


def q4_k_values(block: bytes) -> list[float]:
    """One block of 256 values, number by number."""
    d, dmin = struct.unpack("<ee", block[:4])
    packed, nibbles = block[4:16], block[16:]
    values = []
    for sub in range(8):
        if sub < 4:
            step, minimum = packed[sub] & 63, packed[sub + 4] & 63
        else:
            step = (packed[sub + 4] & 15) | (packed[sub - 4] >> 6 << 4)
            minimum = (packed[sub + 4] >> 4) | (packed[sub] >> 6 << 4)
        part = nibbles[sub // 2 * 32 :][:32]
        values += [d * step * (byte >> 4 if sub % 2 else byte & 15) - dmin * minimum for byte in part]
    return values


def test_unknown_tensor_is_named(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", {}, {"blk.0.attn_sinks.weight": f32([1.0])})
    with pytest.raises(StartupError, match=r"blk\.0\.attn_sinks\.weight"):
        build_model(path, tiny.CONFIG, _get_classes)


def test_missing_tensor_is_one_clear_line(tmp_path: Path) -> None:
    source: Any = tiny.tiny_model()
    del source["model"]["norm"]
    with pytest.raises(StartupError, match=r"cannot load m: .*model\.norm\.weight"):
        load(tiny.save_gguf(tmp_path / "m.gguf", source))
