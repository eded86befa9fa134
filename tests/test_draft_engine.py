"""A draft model in the whole engine, from tiny folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm.models.llama
import mlx_lm.models.qwen3_next
import pytest
from mlx.utils import tree_map
from structlog.testing import capture_logs

from api.assembly import engine as engine_assembly
from api.assembly.engine import LoadedEngine, load_engine
from api.config import EngineConfig, ServerConfig
from api.engine.draft.speculation import DraftSpeculation
from api.engine.memory.block_cache import BlockCache
from api.errors import StartupError
from tests.engine.factories import Loop, create_sequence
from tests.engine.tiny_models import FLAT, GROUPED
from tests.fakes.model_folder import write_model
from tests.text.conftest import byte_level, write_folder

CONFIG = FLAT["llama"] | {"vocab_size": 400, "max_position_embeddings": 600}
BYTES = 10**7


def save(folder: Path, config: dict[str, Any], num_layers: int | None = None, seed: int = 0) -> Path:
    """A folder of a random model, of which only so many layers do anything."""
    write_folder(folder, byte_level())
    module = mlx_lm.models.qwen3_next if config["model_type"] == "qwen3_next" else mlx_lm.models.llama
    mx.random.seed(seed)
    model = module.Model(module.ModelArgs.from_dict(config))
    model.update(tree_map(lambda p: p * 2 if p.ndim > 1 else p, model.parameters()))
    for layer in model.layers[num_layers:] if num_layers else ():
        for matrix in (layer.self_attn.o_proj, layer.mlp.down_proj):
            matrix.weight = mx.zeros_like(matrix.weight)
    return write_model(folder, model, config)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve layers, of which four do something."""
    return save(tmp_path_factory.mktemp("served"), CONFIG | {"num_hidden_layers": 12}, num_layers=4)


@pytest.fixture(scope="module")
def small(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four that do something: it says the same."""
    folder = save(tmp_path_factory.mktemp("small"), CONFIG)
    weights = mx.load(str(served / "model.safetensors"))
    assert isinstance(weights, dict)
    kept = {k: v for k, v in weights.items() if not any(f"layers.{i}." in k for i in range(4, 12))}
    mx.save_safetensors(str(folder / "model.safetensors"), kept)
    return folder


def load(folder: Path, lines: list[str], **settings: Any) -> LoadedEngine:
    engine = EngineConfig(
        model=str(folder), kv_memory_bytes=settings.pop("kv_memory_bytes", BYTES), **settings
    )
    return load_engine(ServerConfig(engine=engine), lines.append)


def answers(engine: LoadedEngine, numbers: range = range(1, 6)) -> dict[str, list[int]]:
    loop = Loop(engine.scheduler, engine.scheduler._memory, engine.generator)
    for number in numbers:
        loop.add(create_sequence(number, num_prompt_tokens=40, max_tokens=60))
    loop.run()
    loop.check_idle()
    return {request_id: result.token_ids for request_id, result in loop.results.items()}


def test_answers_are_those_without_and_hits_of_the_prefix_cache_too(served: Path, small: Path) -> None:
    plain = answers(load(served, [], speculation="off"))
    lines: list[str] = []
    engine = load(served, lines, draft_model=str(small))
    assert isinstance(engine.scheduler._speculation, DraftSpeculation)
    assert answers(engine) == plain
    assert answers(engine) == plain
    assert engine.scheduler.stats().prefix_cache.num_hit_tokens > 0
    [line] = [line for line in lines if line.startswith(f"Draft model: {small.name} (")]
    assert "bytes of KV a token" in line
    assert engine.describe["draft_model"]["name"] == small.name


def test_slots_count_for_both_and_blocks_for_the_served_model(served: Path, small: Path) -> None:
    lines: list[str] = []
    plain, drafting = load(served, []), load(served, lines, draft_model=str(small))
    memories = [engine.scheduler._memory for engine in (plain, drafting)]
    bytes_of = [memory.slots._slot_bytes_of(256) for memory in memories]
    assert bytes_of[1] * 3 == bytes_of[0] * 4  # twelve layers, and four more
    block_bytes = [m.prefixes.sizes.kv_bytes for m in memories if isinstance(m.prefixes, BlockCache)]
    assert len(block_bytes) == 2 and block_bytes[0] == block_bytes[1]
    assert any("for the draft model" in line for line in lines if line.startswith("KV memory"))


def test_another_vocabulary_is_one_clear_line(served: Path, tmp_path: Path) -> None:
    other = save(tmp_path, CONFIG)
    definition = json.loads((other / "tokenizer.json").read_text())
    vocabulary = definition["model"]["vocab"]
    first, second = list(vocabulary)[20:22]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (other / "tokenizer.json").write_text(json.dumps(definition))
    with pytest.raises(StartupError, match="has another vocabulary: its token"):
        load(served, [], draft_model=str(other))


def test_a_draft_model_that_cannot_take_tokens_back_is_one_clear_line(served: Path, tmp_path: Path) -> None:
    hybrid = save(tmp_path, GROUPED["qwen3_next"] | {"vocab_size": 400})
    with pytest.raises(StartupError, match="grouped forward, which cannot take tokens back"):
        load(served, [], draft_model=str(hybrid))


def test_a_draft_model_that_is_not_there_is_known_before_the_load(served: Path) -> None:
    lines: list[str] = []
    with pytest.raises(StartupError, match="no such model: '/nowhere'"):
        load(served, lines, draft_model="/nowhere")
    assert lines == []


def test_a_served_model_that_cannot_take_tokens_back_does_without(small: Path, tmp_path: Path) -> None:
    hybrid = save(tmp_path, GROUPED["qwen3_next"] | {"vocab_size": 400})
    lines: list[str] = []
    with capture_logs() as logs:
        engine = load(hybrid, lines, draft_model=str(small))
    assert engine.describe["draft_model"] is None
    assert any("the draft model is not used" in each["event"] for each in logs)
    assert not any(line.startswith("Draft model") for line in lines)


def test_the_assembly_counts_the_draft_models_step(served: Path, small: Path, monkeypatch: Any) -> None:
    found = []
    build = engine_assembly.build_memory

    def spy(*args: Any) -> Any:
        found.append(args[3].step_bytes)
        return build(*args)

    monkeypatch.setattr(engine_assembly, "build_memory", spy)
    load(served, [])
    load(served, [], draft_model=str(small))
    assert found[1] > found[0]
