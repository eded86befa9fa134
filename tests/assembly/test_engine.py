"""The whole engine: from a tiny folder in milliseconds, and the default model against mlx-lm."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx_lm.models.llama
import numpy as np
import pytest
from structlog.testing import capture_logs

from api.assembly import engine as engine_assembly
from api.assembly import memory as memory_assembly
from api.assembly.engine import LoadedEngine, load_engine
from api.config import EngineConfig, ServerConfig
from api.engine.sequences.sequence import Sequence
from api.engine.speculation.speculation import NoSpeculation
from api.engine.tuning import tune as tune_module
from api.errors import StartupError
from api.generator import BatchGenerator
from api.types import ChatPrompt, GenerationRequest, SamplingDefaults, SamplingParams
from tests.engine.factories import GREEDY, Loop, create_sequence
from tests.engine.tiny_models import FLAT, check_greedy, greedy_answer
from tests.fakes.model_folder import write_llama_folder
from tests.text.conftest import byte_level, write_folder
from tests.text.templates import TWO_ROLES

TINY_CONFIG = FLAT["llama"] | {"vocab_size": 400, "max_position_embeddings": 300}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in MLX format."""
    return write_llama_folder(tmp_path_factory.mktemp("tiny-llama"), TINY_CONFIG)


def config_for(folder: Path, default_max_tokens: int | None = None, **settings: Any) -> ServerConfig:
    engine = EngineConfig(model=str(folder), **{"tune": "off"} | settings)
    return ServerConfig(engine=engine, default_max_tokens=default_max_tokens)


def test_a_device_is_measured_once_and_remembered(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tune_module, "LIMIT_SECONDS", 0.5)
    said: list[list[str]] = []
    tunings = []
    for tune in ("auto", "auto", "again", "off"):
        said.append([])
        engine = load_engine(config_for(folder, kv_memory_bytes=10**7, tune=tune), said[-1].append)
        tunings.append(engine.describe["tuning"])
    words = [[line.split(":")[0] for line in lines if line.startswith("Tun")] for lines in said]
    assert words == [["Tuning", "Tuned"], ["Tuned before"], ["Tuning", "Tuned"], []]
    assert tunings[0] == tunings[1] and tunings[0]["step_seconds"]
    assert tunings[3]["step_seconds"] == {}
    assert json.dumps(tunings)


def test_a_device_that_cannot_be_measured_is_guessed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> float:
        raise RuntimeError("[metal::malloc] too large")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("api.engine.tuning.steps.TimedSteps.decode_seconds", refuse)
    lines: list[str] = []
    engine = load_engine(config_for(folder, kv_memory_bytes=10**7, tune="auto"), lines.append)
    assert "Tuning: not possible ([metal::malloc] too large), first guesses are used" in lines
    assert engine.describe["tuning"]["step_seconds"] == {}
    assert not list(tmp_path.rglob("tuning/*"))


def test_the_folders_sampling_is_read_and_said_unless_it_is_not_wanted(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "generation_config.json").write_text('{"top_k": 7, "max_new_tokens": 9, "top_p": "x"}')
    lines: list[str] = []
    with capture_logs() as logs:
        engine = load_engine(config_for(tmp_path, kv_memory_bytes=10**7), lines.append)
    assert engine.sampling_defaults == SamplingDefaults(top_k=7, max_tokens=9)
    assert [line for line in lines if "top_k 7, max_tokens 9" in line]
    assert [each["event"] for each in logs if "top_p" in each["event"] and each["log_level"] == "warning"]
    assert limit_of(engine) == 9

    config = config_for(tmp_path, kv_memory_bytes=10**7, default_max_tokens=5)
    assert limit_of(load_engine(config, lines.append)) == 5  # the operator's word
    config = config_for(tmp_path, kv_memory_bytes=10**7, generation_config="none")
    assert load_engine(config, lines.append).sampling_defaults == SamplingDefaults()


def limit_of(engine: LoadedEngine) -> int:
    """Answer tokens of a request that names no limit."""
    request = GenerationRequest("r1", ChatPrompt(({"role": "user", "content": "Hi"},)), GREEDY)
    ((sequence, _),) = engine.prompt_reader.read(request)
    return sequence.max_tokens


def loop_over(engine: LoadedEngine) -> Loop[BatchGenerator]:
    return Loop(engine.scheduler, engine.scheduler._memory, engine.generator)


def test_a_folder_becomes_an_engine_that_answers(folder: Path) -> None:
    lines: list[str] = []
    engine = load_engine(config_for(folder, kv_memory_bytes=10**7), lines.append)
    assert folder.name in engine.model_names
    assert engine.context_length == 300
    assert engine.describe["forward"] == "flat"
    request = GenerationRequest("r1", ChatPrompt(({"role": "user", "content": "Hi"},)), GREEDY, max_tokens=5)
    ((sequence, _),) = engine.prompt_reader.read(request)
    loop = loop_over(engine)
    loop.add(sequence)
    loop.run()
    loop.check_idle()
    assert 1 <= len(loop.results["r1"].token_ids) <= 5
    assert any("Forward: flat" in line for line in lines) and any("KV memory" in line for line in lines)


def test_the_settings_reach_their_parts(folder: Path) -> None:
    settings = config_for(folder, 9, max_context_tokens=64, max_batch_size=2, kv_memory_bytes=10**6)
    engine = load_engine(settings, lambda line: None)
    assert engine.context_length == 64
    assert engine.scheduler.stats().kv_budget_bytes == 10**6
    request = GenerationRequest("r1", ChatPrompt(({"role": "user", "content": "Hi"},)), GREEDY)
    assert engine.prompt_reader.read(request)[0][0].max_tokens == 9
    loop = loop_over(engine)
    for i in (1, 2, 3):
        loop.add(create_sequence(i, max_tokens=3))
    loop.run()
    assert max(len(plan.spans) for plan in loop.plans) == 2


def test_the_log_says_what_the_chat_template_does_not_take(folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    with capture_logs() as warnings:
        load_engine(config_for(folder, kv_memory_bytes=10**7), lines.append)
    assert any("takes all messages" in line for line in lines) and not warnings
    other = shutil.copytree(folder, tmp_path / "other")
    write_folder(other, byte_level(), TWO_ROLES)
    with capture_logs() as warnings:
        load_engine(config_for(other, kv_memory_bytes=10**7), lines.append)
    [warning] = warnings
    assert warning["log_level"] == "warning"
    assert "folds system messages" in warning["event"]


@pytest.mark.parametrize("allowed", [False, True])
def test_names_of_special_tokens_are_tokens_only_if_allowed(folder: Path, allowed: bool) -> None:
    config = replace(config_for(folder, kv_memory_bytes=10**7), allow_special_tokens=allowed)
    reader = load_engine(config, lambda line: None).prompt_reader
    end, *_ = reader.tokenize("<|end|>", add_special_tokens=False)
    tokens = reader.tokenize_chat(ChatPrompt(({"role": "user", "content": "a<|end|>b"},)))
    assert tokens.count(end) == (2 if allowed else 1)
    assert reader.detokenize(tokens).count("<|end|>") == 2


def test_the_fallback_can_be_chosen(folder: Path) -> None:
    engine = load_engine(config_for(folder, forward="padded", kv_memory_bytes=10**7), lambda line: None)
    assert engine.describe["forward"] == "padded"


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({}, []),
        ({"speculation": "off"}, ["Speculation: off"]),
        ({"forward": "padded"}, ["Speculation: off for this forward"]),
    ],
)
def test_speculation_is_on_where_it_can_be(folder: Path, settings: dict[str, Any], lines: list[str]) -> None:
    reported: list[str] = []
    engine = load_engine(config_for(folder, **settings), reported.append)
    assert [line for line in reported if line.startswith("Speculation")] == lines
    assert isinstance(engine.scheduler._speculation, NoSpeculation) == bool(lines)


def test_memory_for_not_even_one_token_is_one_clear_line(folder: Path) -> None:
    with pytest.raises(StartupError, match="too little memory for the KV"):
        load_engine(config_for(folder, kv_memory_bytes=100), lambda line: None)


def test_what_one_engine_read_the_next_one_finds_on_disk(folder: Path, tmp_path: Path) -> None:
    settings = config_for(folder, kv_memory_bytes=10**7, prefix_cache_dir=str(tmp_path))
    answers: list[list[int]] = []
    lines: list[str] = []
    for wanted in (0, 64):
        engine = load_engine(settings, lines.append)
        sequence = create_sequence(1, num_prompt_tokens=70, max_tokens=5, cache_salt="a key's")
        for salt in ("", "another key's"):
            others = create_sequence(1, num_prompt_tokens=70, cache_salt=salt)
            assert engine.prefix_disk.read(others).next() is None
        outside = create_sequence(1, num_prompt_tokens=70, cache_salt="a key's", uses_prefix_cache=False)
        assert engine.prefix_disk.read(outside).next() is None
        reading = engine.prefix_disk.read(sequence)
        while (blocks := reading.next()) is not None:
            engine.prefix_disk.adopt(blocks)
        loop = loop_over(engine)
        loop.add(sequence)
        loop.run()
        assert loop.results["r1"].num_cached_tokens == wanted
        answers.append(loop.results["r1"].token_ids)
        engine.prefix_disk.close()
        engine.prefix_disk.write()
    assert answers[0] == answers[1]
    assert sum("Prefix cache on disk: up to" in line for line in lines) == 2


def test_a_folder_that_cannot_be_written_is_one_clear_line_before_the_load(folder: Path) -> None:
    lines: list[str] = []
    settings = config_for(folder, prefix_cache_dir=str(folder / "config.json"))
    with pytest.raises(StartupError, match=r"cannot write --prefix-cache-dir .*config.json \(File exists\)"):
        load_engine(settings, lines.append)
    assert lines == []


def test_more_memory_than_there_is_is_one_clear_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_assembly, "free_bytes", lambda: 10**9)
    with pytest.raises(StartupError, match=r"--kv-memory asks for 1.0 GB, but 1.0 GB are free"):
        load_engine(config_for(folder, kv_memory_bytes=10**9), lambda line: None)


def test_without_room_for_a_step_the_self_check_is_not_tried(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_assembly, "free_bytes", lambda: 10**7)
    monkeypatch.setattr(engine_assembly, "choose_forward", None)
    with pytest.raises(StartupError, match="too little memory: a step takes up to"):
        load_engine(config_for(folder, kv_memory_bytes=10**6), lambda line: None)


def test_limits_that_hold_not_one_block_are_refused(folder: Path, tmp_path: Path) -> None:
    settings = config_for(folder, kv_memory_bytes=10**7, prefix_cache_bytes=1000)
    with pytest.raises(StartupError, match="--prefix-cache-memory: 1,000 bytes hold not one block"):
        load_engine(settings, lambda line: None)
    settings = config_for(
        folder, kv_memory_bytes=10**7, prefix_cache_dir=str(tmp_path), prefix_cache_disk_bytes=1000
    )
    with pytest.raises(StartupError, match="--prefix-cache-disk: 1,000 bytes hold not one block"):
        load_engine(settings, lambda line: None)


def test_a_cache_larger_than_all_memory_for_chats_is_said(folder: Path) -> None:
    settings = config_for(folder, kv_memory_bytes=10**7, prefix_cache_bytes=10**8)
    with capture_logs() as lines:
        engine = load_engine(settings, lambda line: None)
    assert ["--prefix-cache-memory is more" in line["event"] for line in lines] == [True]
    assert engine.scheduler.stats().prefix_cache.limit_bytes == 10**7


def test_an_array_that_the_device_refuses_is_never_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slots of a class are one array in each layer: here it holds two of the largest ones."""
    monkeypatch.setattr(memory_assembly, "max_array_bytes", lambda: 2 * 300 * 2 * 16 * 4)
    engine = load_engine(config_for(folder, kv_memory_bytes=10**8), lambda line: None)
    loop = loop_over(engine)
    for number in range(1, 7):
        loop.add(create_sequence(number, num_prompt_tokens=200 + number, max_tokens=90))
    loop.run()
    loop.check_idle()
    assert all(len(result.token_ids) == 90 for result in loop.results.values())
    assert max(count for plan in loop.plans for capacity, count in plan.num_slots if capacity == 300) == 2


# --- the default model -------------------------------------------------------------------------

SENTENCES = (
    "The lighthouse keeper counted the ships that passed before the storm.",
    "In 1911 an expedition of five men reached the pole and turned back.",
    "Which of these three numbers is prime: 21, 37 or 51?",
    "She wrote the recipe on a card: two eggs, flour, sugar and a pinch of salt.",
    "def area(width, height):\n    return width * height\n",
    "Rivers carry sand to the sea, and the sea carries it along the coast.",
    "Please summarise the following report in one short paragraph.",
    "The engine was quiet, the road was empty, and nobody spoke for an hour.",
    "Water boils at 100 degrees at sea level and at 93 degrees on that mountain.",
    "Once upon a time a fox and a crow lived in the same old oak tree.",
    "Our train leaves at 7:45 from platform four; do not forget your ticket.",
    "A good teacher asks more questions than she answers.",
    "The moon has no air, so its sky is black even at noon.",
    "Translate into French: I would like a cup of coffee, please.",
    "Copper and tin make bronze, which is harder than either of them.",
    "He closed the book, looked out of the window and began to laugh.",
    "The committee meets on the first Monday of every month.",
    "Bees tell each other by a dance where the flowers are.",
    "List the planets of the solar system in order of their size.",
    "An apple a day keeps the doctor away, or so my grandmother used to say.",
    "The bridge was built in two years and has stood for two centuries.",
    "If all cats are animals and Tom is a cat, then Tom is an animal.",
    "The price went up by ten per cent in spring and by five in autumn.",
    "Snow fell during the night and covered the footprints in the garden.",
)
NUM_PROMPTS = 64
# (id, step at which it comes, step at which it goes)
CANCELLED = ((101, 1, 4), (102, 3, 12), (103, 8, 9), (104, 15, 30))


@pytest.fixture(scope="module")
def default_engine() -> Iterator[LoadedEngine]:
    # Prompts are read at once, however slow the machine is, so that the batch fills.
    config = EngineConfig(kv_memory_bytes=10**9, step_stall_ms=5000, tune="off")
    yield load_engine(ServerConfig(engine=config), lambda line: None)
    mx.clear_cache()


@pytest.fixture(scope="module")
def plain_model(default_engine: LoadedEngine) -> nn.Module:
    """mlx-lm's own class over the same arrays."""
    ours: Any = default_engine.generator._forward._model  # type: ignore[attr-defined]
    plain = mlx_lm.models.llama.Model(ours.args)
    plain.update(ours.parameters())
    return plain


@pytest.fixture(scope="module")
def prompts(default_engine: LoadedEngine) -> list[list[int]]:
    """10 to 300 tokens, most of them short; each another order of the sentences."""
    made = []
    for i in range(NUM_PROMPTS):
        length = 160 + 20 * (i // 8) if i % 8 == 7 else 10 + i * 37 % 90
        text = " ".join(random.Random(i).sample(SENTENCES, len(SENTENCES)))
        made.append(default_engine.prompt_reader._tokenizer.encode(text)[:length])
    assert min(map(len, made)) == 10 and max(map(len, made)) == 300
    return made


def num_answer_tokens(index: int) -> int:
    return 12 + index % 3 * 6  # they leave at different times


def sequence_for(index: int, prompt: list[int], sampling: SamplingParams = GREEDY) -> Sequence:
    return create_sequence(index, max_tokens=num_answer_tokens(index), prompt=prompt, sampling=sampling)


def run_all(engine: LoadedEngine, prompts: list[list[int]]) -> list[list[int]]:
    """Half of the prompts come at once, the others one a step; four more come and are cancelled."""
    loop, coming, batch_sizes = loop_over(engine), list(enumerate(prompts)), []
    for _ in range(NUM_PROMPTS // 2):
        loop.add(sequence_for(*coming.pop(0)))
    while coming or engine.scheduler.has_work:
        if coming:
            loop.add(sequence_for(*coming.pop(0)))
        for index, first, last in CANCELLED:
            if len(loop.plans) == first:
                loop.add(create_sequence(index, max_tokens=100, prompt=prompts[index % NUM_PROMPTS][:60]))
            if len(loop.plans) == last:
                loop.cancel(f"r{index}")
        loop.step()
        batch_sizes.append(engine.scheduler.stats().num_running)
    loop.check_idle()
    assert max(batch_sizes) == 32 and max(plan.num_decode_rows for plan in loop.plans) > 16
    return [loop.results[f"r{i}"].token_ids for i in range(NUM_PROMPTS)]


def check_teacher_forced(model: nn.Module, prompt: list[int], answer: list[int]) -> None:
    """Every token is the best after those before it, which is what greedy means; one forward tells all."""
    logits = np.array(model(mx.array([[*prompt, *answer[:-1]]]))[0, len(prompt) - 1 :])
    for row, token_id in zip(logits, answer, strict=True):
        gap = row.max() - row[token_id]
        assert gap < 1e-3, f"{token_id} is worse than {row.argmax()} by {gap:.2g}"


@pytest.mark.model
def test_default_model_answers_as_mlx_lm_whatever_else_is_in_the_batch(
    default_engine: LoadedEngine, plain_model: nn.Module, prompts: list[list[int]]
) -> None:
    answers = run_all(default_engine, prompts)
    assert [len(answer) for answer in answers] == [num_answer_tokens(i) for i in range(NUM_PROMPTS)]
    for prompt, answer in zip(prompts, answers, strict=True):
        check_teacher_forced(plain_model, prompt, answer)
    for i in range(0, NUM_PROMPTS, 11):
        expected = greedy_answer(plain_model, prompts[i], len(answers[i]))
        check_greedy(plain_model, prompts[i], answers[i], expected, near_tie=1e-3)


@pytest.mark.model
def test_default_model_draws_the_same_alone_and_among_31_others(
    default_engine: LoadedEngine, prompts: list[list[int]]
) -> None:
    sampling = SamplingParams(temperature=0.9, top_p=0.95, top_k=100, seed=1234)
    crowd = loop_over(default_engine)
    crowd.add(sequence_for(0, prompts[2], sampling))
    for i in range(1, 32):
        crowd.add(sequence_for(i, prompts[i % 8 + 8][:40], SamplingParams(temperature=0.2 * (i % 5), seed=i)))
    crowd.run()
    alone = loop_over(default_engine)
    alone.add(sequence_for(0, prompts[2], sampling))
    alone.run()
    assert alone.results["r0"].token_ids == crowd.results["r0"].token_ids
    assert len(alone.results["r0"].token_ids) == num_answer_tokens(0)


@pytest.mark.model
def test_default_model_runs_flat_in_float32_and_knows_paris(default_engine: LoadedEngine) -> None:
    assert default_engine.describe["forward"] == "flat"
    question = {"role": "user", "content": "What is the capital of France?"}
    ((sequence, pipeline),) = default_engine.prompt_reader.read(
        GenerationRequest("r1", ChatPrompt((question,)), GREEDY, max_tokens=20)
    )
    loop = loop_over(default_engine)
    loop.add(sequence)
    loop.run()
    text = "".join(pipeline.feed(token_id).content for token_id in loop.results["r1"].token_ids)
    assert "Paris" in text + pipeline.flush().content
