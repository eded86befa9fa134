from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.engine.loading.gguf.config import config_from_header, llama3_divisors
from api.engine.loading.gguf.header import GgufHeader, read_header
from api.errors import StartupError
from tests.engine.loading import tiny
from tests.engine.loading.gguf_writer import Tensor, f32, write_gguf


def header(
    folder: Path, metadata: dict[str, Any] | None = None, tensors: dict[str, Tensor] | None = None
) -> GgufHeader:
    content = tiny.gguf_metadata(tiny.CONFIG) | (metadata or {})
    embeddings = {"token_embd.weight": f32([[0.0] * 64] * 288)}
    return read_header(write_gguf(folder / "m.gguf", content, embeddings | (tensors or {})))


def test_config_has_the_sources_values(tmp_path: Path) -> None:
    config = config_from_header(header(tmp_path))
    assert config["rms_norm_eps"] == pytest.approx(1e-5)
    same = {key: value for key, value in tiny.CONFIG.items() if key not in ("rms_norm_eps", "eos_token_id")}
    assert {key: config[key] for key in same} == same
    assert config["bos_token_id"] == 257


def test_all_tokens_that_end_an_answer_count(tmp_path: Path) -> None:
    # <|endoftext|> is 256 and a control token, <|im_end|> is 258 and the file's eos.
    assert config_from_header(header(tmp_path))["eos_token_id"] == [256, 258]


def test_output_weight_means_untied(tmp_path: Path) -> None:
    config = config_from_header(header(tmp_path, tensors={"output.weight": f32([[0.0] * 64] * 288)}))
    assert config["tie_word_embeddings"] is False


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"general.architecture": "mamba"}, "'mamba' is not supported"),
        ({"llama.expert_count": 8}, "mixture of experts"),
        ({"llama.embedding_length": 0}, r"llama\.embedding_length is 0"),
        ({"llama.block_count": [1, 2]}, r"llama\.block_count is \[1, 2\]"),
        ({"llama.rope.dimension_count": 8}, "rope over 8 of 16"),
        ({"llama.rope.scaling.type": "longrope"}, "'longrope' is not supported"),
    ],
)
def test_what_cannot_be_served_is_named(tmp_path: Path, metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(StartupError, match=message):
        config_from_header(header(tmp_path, metadata))


def test_quantisation_that_mlx_cannot_read_is_named(tmp_path: Path) -> None:
    q5_0: Tensor = (6, (1, 32), b"\0" * 22)
    with pytest.raises(StartupError, match="Q5_0"):
        config_from_header(header(tmp_path, tensors={"blk.0.attn_q.weight": q5_0}))


def test_rope_scaling_by_name(tmp_path: Path) -> None:
    linear = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    assert config_from_header(header(tmp_path, linear))["rope_scaling"] == {
        "rope_type": "linear",
        "factor": 4.0,
    }
    yarn = linear | {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.original_context_length": 128}
    expected = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
    assert config_from_header(header(tmp_path, yarn))["rope_scaling"] == expected


def test_llama3_divisors_become_its_formula(tmp_path: Path) -> None:
    metadata = {"llama.rope.freq_base": 500000.0}
    divisors = llama3_divisors(500000.0, 16, 8.0)
    assert divisors[0] == 1.0 and divisors[-1] == 8.0
    config = config_from_header(header(tmp_path, metadata, {"rope_freqs.weight": f32(divisors)}))
    assert config["rope_scaling"]["rope_type"] == "llama3"
    assert config["rope_scaling"]["factor"] == 8.0


def test_llama3_divisors_are_those_of_mlx_lm() -> None:
    from mlx_lm.models.rope_utils import initialize_rope

    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    rope = initialize_rope(16, 500000.0, False, scaling)
    plain = [500000.0 ** (2 * i / 16) for i in range(8)]
    ours = [a * b for a, b in zip(plain, llama3_divisors(500000.0, 16, 8.0), strict=True)]
    assert rope._freqs.tolist() == pytest.approx(ours, rel=1e-4)


def test_divisors_of_another_rule_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="no known rule"):
        config_from_header(header(tmp_path, tensors={"rope_freqs.weight": f32([2.0] * 8)}))
