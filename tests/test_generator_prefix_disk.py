"""The prefix cache on disk over tiny random models: what one process computed, the next one answers from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.assembly.disk import open_prefix_disk
from api.config import EngineConfig
from api.engine.disk.prefix_disk import NoPrefixDisk, PrefixDisk
from api.engine.memory.account import BlockSizes, KVMemory
from api.engine.memory.block_cache import BlockCache
from api.engine.memory.prefix_cache import NoPrefixCache
from api.engine.memory.sequence_memory import SequenceMemory
from api.engine.memory.slots import SlotPool
from api.engine.sampling.sampler import Sampler
from api.engine.scheduling.scheduler import Scheduler
from api.engine.sequences.sequence import Sequence
from api.generator import BatchGenerator
from api.stats import PrefixDiskStats
from tests.engine.factories import Loop, create_budget, create_sequence
from tests.engine.fake_generator import FakeClock
from tests.engine.tiny_models import (
    FLAT,
    GROUPED,
    build_model,
    check_tiny_greedy,
    choose,
    draw_tokens,
    platform,
)

pytestmark = pytest.mark.usefixtures("tiny_classes")

BLOCK_TOKENS = 8
STRIDE_TOKENS = 16  # where a recurrent state is saved
MAX_TOKENS = 9


class Process:
    """An engine over a folder of blocks, from its start to its end."""

    def __init__(
        self, folder: Path, name: str = "llama", fingerprint: str = "f", cached_tokens: int = 1500
    ) -> None:
        self.name = name
        chosen = choose(name)[0]
        token_bytes = chosen.slot_bytes(1) - chosen.state_bytes
        sizes = BlockSizes(BLOCK_TOKENS, BLOCK_TOKENS * token_bytes, chosen.state_bytes, STRIDE_TOKENS)
        memory = KVMemory(4096 * chosen.slot_bytes(1))
        self.cache = BlockCache(memory, sizes, cached_tokens * chosen.slot_bytes(1))
        disk, forward = open_prefix_disk(
            EngineConfig(prefix_cache_dir=str(folder), tune="off"),
            self.cache,
            chosen.forward,
            build_model(name),
            name,
            fingerprint,
            lambda line: None,
        )
        assert isinstance(disk, PrefixDisk)
        self.disk = disk
        slots = SlotPool(memory, context_length=512, slot_bytes=chosen.slot_bytes)
        sequences = SequenceMemory(slots, self.cache, can_copy=chosen.can_copy)
        scheduler = Scheduler(sequences, create_budget(max_step_tokens=40), 4, FakeClock())
        self.loop = Loop(scheduler, sequences, BatchGenerator(forward, Sampler(platform())))
        self.forward: Any = chosen.forward

    def add(self, *sequences: Sequence) -> None:
        """By way of the disk, as the prefetch thread sends them."""
        for sequence in sequences:
            reading = self.disk.read(sequence)
            while (blocks := reading.next()) is not None:
                self.disk.adopt(blocks)
                stats = self.cache.stats()
                assert self.cached_bytes() == stats.used_bytes <= stats.limit_bytes
            self.loop.add(sequence)

    def cached_bytes(self) -> int:
        """Of all blocks' arrays."""
        states = getattr(self.forward, "_states", None)
        num_bytes: int = self.forward._store.block_bytes
        return num_bytes + (states.cached_bytes if states is not None else 0)

    def ask(self, prompt: list[int], salt: str = "") -> int:
        """Checks the answer; returns how many of the prompt's tokens were cached."""
        number = len(self.loop.results) + 1
        self.add(create_sequence(number, max_tokens=MAX_TOKENS, prompt=prompt, cache_salt=salt))
        self.loop.run()
        self.loop.check_idle()
        return self.check(number, prompt)

    def check(self, number: int, prompt: list[int]) -> int:
        result = self.loop.results[f"r{number}"]
        check_tiny_greedy(self.name, prompt, result.token_ids, MAX_TOKENS)
        return result.num_cached_tokens

    def answer(self) -> list[int]:
        return self.loop.results[f"r{len(self.loop.results)}"].token_ids

    def end(self) -> PrefixDiskStats:
        """What waits is written."""
        self.disk.close()
        self.disk.write()
        return self.disk.stats()


@pytest.mark.parametrize("name", FLAT)
def test_a_conversation_goes_on_after_a_restart(name: str, tmp_path: Path) -> None:
    first = Process(tmp_path, name)
    prompt = draw_tokens(45)
    assert first.ask(prompt) == 0
    history = prompt + first.answer()
    assert first.end().num_written_blocks == (len(history) - 1) // BLOCK_TOKENS == 6

    second = Process(tmp_path, name)
    assert second.ask(prompt) == 40
    assert second.answer() == first.answer()
    assert second.ask(history + draw_tokens(20, seed=1)) == 48
    stats = second.end()
    assert stats.num_hit_tokens == 40  # the answer's block it computed again
    assert stats.num_blocks == 6 + stats.num_written_blocks == 10

    third = Process(tmp_path, name)
    assert third.ask(history + draw_tokens(20, seed=1)) == 72
    assert third.answer() == second.answer()


@pytest.mark.parametrize("name", GROUPED)
def test_a_recurrent_state_outlives_the_process(name: str, tmp_path: Path) -> None:
    prompt = draw_tokens(45)
    first = Process(tmp_path, name)
    assert first.ask(prompt) == 0
    first.end()
    second = Process(tmp_path, name)
    assert second.ask(prompt) == 40  # the state at the prompt's last whole block
    assert second.answer() == first.answer()
    second.end()
    third = Process(tmp_path, name)
    assert third.ask([*prompt[:37], *draw_tokens(9, seed=1)]) == 32  # at the stride before


def test_other_arithmetic_and_other_salts_find_nothing(tmp_path: Path) -> None:
    prompt = draw_tokens(45)
    first = Process(tmp_path)
    first.ask(prompt, salt="a")
    first.end()
    assert Process(tmp_path, fingerprint="g").ask(prompt, salt="a") == 0
    again = Process(tmp_path)
    assert again.ask(prompt) == again.ask(prompt, salt="b") == 0
    assert again.ask(prompt, salt="a") == 40


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def swap(path: Path) -> None:
    other = next(each for each in path.parent.glob("*.safetensors") if each != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [truncate, flip, swap, Path.unlink])
def test_no_damage_makes_a_wrong_token(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    prompt = draw_tokens(45)
    first = Process(tmp_path)
    first.ask(prompt)
    first.end()
    key = first.cache.lookup(create_sequence(99, prompt=prompt))[2].key
    (path,) = tmp_path.glob(f"*/{key}.safetensors")
    damage(path)
    second = Process(tmp_path)
    assert second.ask(prompt) == 16
    stats = second.end()
    assert stats.num_damaged_files == (damage is not Path.unlink)
    assert (stats.num_blocks, stats.num_written_blocks) == (6, 1)  # it is repaired
    assert Process(tmp_path).ask(prompt) == 40


def test_blocks_of_more_prompts_than_memory_holds(tmp_path: Path) -> None:
    prompts = [draw_tokens(60 + i, seed=i) for i in range(5)]
    first = Process(tmp_path)
    for prompt in prompts:
        first.ask(prompt)
    first.end()
    second = Process(tmp_path, cached_tokens=100)
    sequences = [create_sequence(i, max_tokens=MAX_TOKENS, prompt=p) for i, p in enumerate(prompts, 1)]
    second.add(*sequences)
    second.loop.run()
    second.loop.check_idle()
    cached = [second.check(i, prompt) for i, prompt in enumerate(prompts, 1)]
    assert max(cached) >= 40 and min(cached) == 0
    assert second.cache.stats().num_evicted_blocks


def test_a_prompt_longer_than_memory_begins_with_what_fits(tmp_path: Path) -> None:
    prompt = draw_tokens(100)
    first = Process(tmp_path)
    first.ask(prompt)
    first.end()
    second = Process(tmp_path, cached_tokens=50)
    assert second.ask(prompt) == 48


def test_after_a_failed_step_everything_is_computed_again(tmp_path: Path) -> None:
    prompt = draw_tokens(45)
    process = Process(tmp_path)
    process.ask(prompt)
    process.loop.generator.reset()
    process.cache.clear()
    assert process.ask(prompt) == 0
    assert process.end().num_written_blocks == 6


@pytest.mark.parametrize("has_cache", [True, False])
def test_a_forward_without_blocks_has_no_disk(tmp_path: Path, has_cache: bool) -> None:
    cache = BlockCache(KVMemory(1000), BlockSizes(8, 8), 1000) if has_cache else NoPrefixCache()
    forward = choose("gpt_bigcode" if has_cache else "llama")[0].forward
    lines: list[str] = []
    config = EngineConfig(prefix_cache_dir=str(tmp_path), tune="off")
    disk, same = open_prefix_disk(config, cache, forward, build_model("llama"), "m", "f", lines.append)
    assert isinstance(disk, NoPrefixDisk) and same is forward
    assert lines == ["Prefix cache on disk: off for this forward"]
