"""The cache beside a model of it in plain Python, under any order of requests."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from api.engine.memory.account import BlockSizes, KVMemory
from api.engine.memory.block_cache import BlockCache
from api.engine.memory.block_keys import ComingBlock, HashedBlockKeys
from api.engine.sequences.sequence import Sequence
from api.step_plan import Slot
from tests.engine.factories import compute_tokens, create_sequence

SIZE = 4  # tokens of a block
BLOCK_BYTES = 40
SLOT = Slot(64, 0)


def create_cache(num_blocks: int = 100, budget_blocks: int = 1000, state_bytes: int = 0) -> BlockCache:
    sizes = BlockSizes(SIZE, BLOCK_BYTES, state_bytes, state_stride_tokens=2 * SIZE)
    return BlockCache(KVMemory(budget_blocks * BLOCK_BYTES), sizes, num_blocks * BLOCK_BYTES)


def admit(cache: BlockCache, sequence: Sequence) -> int:
    """As the scheduler does; returns the tokens it begins with."""
    hit = cache.lookup(sequence)
    cache.track(sequence, hit)
    sequence.place(SLOT)
    sequence.admit(SIZE * len(hit), SIZE * len(hit), now_seconds=0.0)
    cache.count_hit(sequence)
    return sequence.num_computed


def compute(cache: BlockCache, sequence: Sequence, num_tokens: int) -> list[int]:
    """Computes so many tokens more; returns where the blocks begin that are saved."""
    compute_tokens(sequence, num_tokens)
    return [save.start for save in cache.save(sequence)]


def run(cache: BlockCache, number: int, prompt: list[int], salt: str = "") -> int:
    """A whole request that only has its prompt prefilled; returns its hit."""
    sequence = create_sequence(number, prompt=prompt, cache_salt=salt)
    hit = admit(cache, sequence)
    compute(cache, sequence, len(prompt) - hit)
    cache.untrack(sequence)
    cache.finish_plan()
    cache.check()
    return hit


def test_a_prompt_begins_with_the_whole_blocks_that_others_left() -> None:
    cache = create_cache()
    assert run(cache, 1, list(range(11))) == 0
    assert run(cache, 2, [*range(11), 12]) == 8
    assert run(cache, 3, list(range(8))) == 4  # its last token is computed in any case
    assert run(cache, 4, list(range(12))) == 8
    stats = cache.stats()
    assert (stats.num_asked_tokens, stats.num_hit_tokens) == (11 + 12 + 8 + 12, 20)


def test_salts_do_not_share() -> None:
    cache = create_cache()
    run(cache, 1, list(range(9)), salt="a")
    assert run(cache, 2, list(range(9))) == 0
    assert run(cache, 3, list(range(9)), salt="a") == 8


def test_what_apart_from_each_other_costs_is_one_prefill_and_one_copy_for_each_salt() -> None:
    cache = create_cache(num_blocks=1000)
    shared = list(range(40))
    hits = [run(cache, i, [*shared, i], salt=str(i % 8)) for i in range(1, 33)]
    assert (hits.count(0), hits.count(40)) == (8, 24)
    assert cache.stats().num_blocks == 8 * 10


@pytest.mark.parametrize("state_bytes", [0, 100])
def test_what_stays_out_of_the_cache_finds_leaves_and_evicts_nothing(state_bytes: int) -> None:
    cache = create_cache(num_blocks=8, state_bytes=state_bytes)
    run(cache, 1, list(range(9)))
    before = cache.stats()
    outside = create_sequence(2, prompt=list(range(40)), uses_prefix_cache=False)
    first, waiting = (create_sequence(i, prompt=list(range(40)), uses_prefix_cache=i == 3) for i in (3, 4))
    admit(cache, first)
    assert not cache.is_awaited(waiting, {3})  # it is not to wait for what it may not have
    cache.untrack(first)
    assert admit(cache, outside) == 0 and cache.next_stop(outside) is None
    assert compute(cache, outside, 40) == []
    assert cache.save(outside, is_leaving=True) == []
    cache.untrack(outside)
    cache.check()
    after = cache.stats()
    assert (after.num_blocks, after.num_evicted_blocks) == (before.num_blocks, 0)
    assert after.num_asked_tokens == before.num_asked_tokens + 40


def test_who_comes_while_a_prefix_is_prefilled_waits_for_it() -> None:
    cache = create_cache()
    first, second = (create_sequence(i, prompt=[*range(13), i]) for i in (1, 2))
    admit(cache, first)
    assert cache.is_awaited(second, {1})
    assert not cache.is_awaited(second, set())  # nobody is at it
    compute(cache, first, 6)
    assert cache.is_awaited(second, {1})
    compute(cache, first, 8)
    assert not cache.is_awaited(second, {1})
    assert admit(cache, second) == 12


def test_nobody_waits_for_one_that_left() -> None:
    cache = create_cache()
    first, second = (create_sequence(i, prompt=[*range(13), i]) for i in (1, 2))
    admit(cache, first)
    assert cache.is_awaited(second, {1})
    cache.untrack(first)
    assert not cache.is_awaited(second, {1})
    cache.check()


def test_answers_are_saved_a_few_blocks_at_a_time_and_at_the_end() -> None:
    cache = create_cache()
    sequence = create_sequence(prompt=list(range(8)), max_tokens=500)
    admit(cache, sequence)
    assert compute(cache, sequence, 8) == [0, 4]
    for token in range(10):
        sequence.token_ids.append(token)
        sequence.num_computed = len(sequence.token_ids) - 1
        assert cache.save(sequence) == []
    assert [save.start for save in cache.save(sequence, is_leaving=True)] == [8, 12]


def test_the_end_that_was_not_used_for_longest_gives_way() -> None:
    cache = create_cache(num_blocks=4)
    run(cache, 1, [1] * 9)
    run(cache, 2, [2] * 9)
    run(cache, 3, [1] * 9)  # used again
    run(cache, 4, [3] * 5)
    assert run(cache, 5, [1] * 9) == 8
    assert run(cache, 6, [2] * 9) == 4


def test_blocks_give_way_to_slots_but_not_those_that_a_plan_loads() -> None:
    memory = KVMemory(10 * BLOCK_BYTES)
    cache = BlockCache(memory, BlockSizes(SIZE, BLOCK_BYTES), 10 * BLOCK_BYTES)
    run(cache, 1, [1] * 9)
    run(cache, 2, [2] * 9)
    hit = cache.lookup(create_sequence(3, prompt=[1] * 9))
    assert not memory.make_room(9 * BLOCK_BYTES)
    assert memory.make_room(8 * BLOCK_BYTES)
    assert len(cache.finish_plan()) == 2
    assert memory.make_room(10 * BLOCK_BYTES)  # the plan is out
    assert cache.finish_plan() == tuple(block.block_id for block in reversed(hit))


def test_a_prompt_longer_than_the_cache_keeps_its_beginning() -> None:
    cache = create_cache(num_blocks=3)
    run(cache, 1, [9] * 5)
    run(cache, 2, list(range(30)))
    assert run(cache, 3, list(range(30))) == 12


def test_with_state_a_prompt_begins_where_one_was_saved() -> None:
    cache = create_cache(state_bytes=7)
    sequence = create_sequence(prompt=list(range(23)))
    admit(cache, sequence)
    stops = []
    while sequence.num_computed < 23:
        stop = cache.next_stop(sequence)
        stops.append(min(stop or 23, 23))
        compute(cache, sequence, stops[-1] - sequence.num_computed)
    cache.untrack(sequence)
    assert stops == [8, 16, 20, 23]
    assert cache.stats().used_bytes == 5 * BLOCK_BYTES + 3 * 7
    assert run(cache, 2, list(range(15))) == 8
    assert run(cache, 3, list(range(40))) == 20


def blocks_of(tokens: list[int], *, has_state: bool = False) -> list[ComingBlock]:
    starts = range(0, len(tokens), SIZE)
    return [ComingBlock(tuple(tokens[start : start + SIZE]), has_state) for start in starts]


def create_named_cache(num_blocks: int = 100, state_bytes: int = 0) -> tuple[BlockCache, HashedBlockKeys]:
    cache, keys = create_cache(num_blocks, state_bytes=state_bytes), HashedBlockKeys("f")
    cache.name_blocks(keys)
    return cache, keys


def test_blocks_that_come_from_elsewhere_serve_as_those_that_were_computed() -> None:
    cache, keys = create_named_cache()
    ids = cache.insert("", keys.root(""), blocks_of([1] * 8))
    parent_key = keys.child(keys.child(keys.root(""), [1] * SIZE), [1] * SIZE)
    assert len(cache.insert("", parent_key, blocks_of([2] * 4))) == 1
    assert None not in ids and parent_key in keys
    cache.check()
    assert run(cache, 1, [1] * 8 + [2] * 4 + [3]) == 12
    assert run(cache, 2, [1] * 9, salt="a") == 0


def test_blocks_that_are_there_are_not_taken_twice() -> None:
    cache, keys = create_named_cache()
    run(cache, 1, [1] * 9)
    first, second, third = cache.insert("", keys.root(""), blocks_of([1] * 12))
    assert (first, second) == (None, None) and third is not None
    assert cache.stats().num_blocks == 3


def test_blocks_without_the_one_before_are_refused() -> None:
    cache, keys = create_named_cache()
    assert cache.insert("", keys.child(keys.root(""), [1] * SIZE), blocks_of([2] * 4)) == []
    cache.check()


def test_what_has_no_room_is_refused_and_nothing_is_left_of_it() -> None:
    cache, keys = create_named_cache(num_blocks=3)
    run(cache, 1, [9] * 9)
    assert len(cache.insert("", keys.root(""), blocks_of([1] * 20))) == 3
    assert len(cache.take_evicted()) == 2
    cache.check()
    assert run(cache, 2, [1] * 20) == 12


def test_who_computes_what_comes_from_elsewhere_meanwhile_does_not_save_it_again() -> None:
    cache, keys = create_named_cache()
    sequence = create_sequence(prompt=[1] * 13)
    admit(cache, sequence)
    assert len(cache.insert("", keys.root(""), blocks_of([1] * 8))) == 2
    assert compute(cache, sequence, 13) == [8]
    cache.untrack(sequence)
    cache.check()


def test_a_state_that_comes_along_can_be_continued_from() -> None:
    cache, keys = create_named_cache(state_bytes=7)
    cache.insert("", keys.root(""), [*blocks_of([1] * 4), *blocks_of([1] * 4, has_state=True)])
    assert cache.stats().used_bytes == 2 * BLOCK_BYTES + 7
    assert run(cache, 1, [1] * 9) == 8
    assert run(cache, 2, [1] * 8) == 0


def test_saves_carry_names_and_forgotten_blocks_have_none() -> None:
    cache, keys = create_named_cache(num_blocks=1)
    sequence = create_sequence(prompt=[1] * 5)
    admit(cache, sequence)
    compute_tokens(sequence, 5)
    (save,) = cache.save(sequence)
    assert save.key == keys.child(keys.root(""), [1] * SIZE) and save.key in keys
    cache.untrack(sequence)
    cache.finish_plan()
    run(cache, 2, [2] * 5)
    assert save.key not in keys
    cache.clear()
    assert keys.child(keys.root(""), [2] * SIZE) not in keys


class CacheMachine(RuleBasedStateMachine):
    """Requests that come, are prefilled in pieces and go, in any order; ``cached`` is what the saves say."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = create_cache(num_blocks=6, budget_blocks=8)
        self.keys = HashedBlockKeys("f")
        self.cache.name_blocks(self.keys)
        self.running: list[Sequence] = []
        self.cached: dict[int, tuple[int, ...]] = {}  # block id -> all tokens up to its end
        self.num_made = 0

    @rule(kinds=st.lists(st.integers(0, 1), min_size=1, max_size=6), tail=st.integers(1, 5))
    def come(self, kinds: list[int], tail: int) -> None:
        self.num_made += 1
        prompt = [kind for kind in kinds for _ in range(SIZE)] + [9] * tail
        sequence = create_sequence(self.num_made, prompt=prompt, max_tokens=30)
        hit = self.cache.lookup(sequence)
        ends = [SIZE * (i + 1) for i in range(len(hit))]
        assert [self.cached[block.block_id] for block in hit] == [tuple(prompt[:end]) for end in ends]
        fitting = [t for t in self.prefixes() if t == tuple(prompt[: len(t)]) and len(t) < len(prompt)]
        assert SIZE * len(hit) == max(map(len, fitting), default=0)
        self.cache.track(sequence, hit)
        sequence.place(SLOT)
        sequence.admit(SIZE * len(hit), SIZE * len(hit), now_seconds=0.0)
        self.running.append(sequence)

    @rule(kinds=st.lists(st.integers(0, 1), min_size=1, max_size=6), first=st.integers(0, 3))
    def insert(self, kinds: list[int], first: int) -> None:
        tokens = [kind for kind in kinds for _ in range(SIZE)]
        parent_key = self.keys.root("")
        for block in blocks_of(tokens[: first * SIZE]):
            parent_key = self.keys.child(parent_key, block.token_ids)
        ids = self.cache.insert("", parent_key, blocks_of(tokens[first * SIZE :]))
        for i, block_id in enumerate(ids, start=first + 1):
            if block_id is not None:
                assert block_id not in self.cached
                self.cached[block_id] = tuple(tokens[: i * SIZE])
        for block_id in self.cache.take_evicted():
            del self.cached[block_id]

    @precondition(lambda self: self.running)
    @rule(data=st.data(), num_tokens=st.integers(1, 9))
    def compute(self, data: st.DataObject, num_tokens: int) -> None:
        sequence = data.draw(st.sampled_from(self.running))
        compute_tokens(sequence, min(num_tokens, sequence.num_remaining))
        self.save(sequence, is_leaving=False)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), saves=st.booleans())
    def leave(self, data: st.DataObject, saves: bool) -> None:
        sequence = data.draw(st.sampled_from(self.running))
        self.running.remove(sequence)
        if saves:
            self.save(sequence, is_leaving=True)
        self.cache.untrack(sequence)

    @rule(num_blocks=st.integers(1, 8))
    def slots_take(self, num_blocks: int) -> None:
        self.cache._memory.make_room(num_blocks * BLOCK_BYTES)

    @rule()
    def plan(self) -> None:
        for block_id in self.cache.finish_plan():
            del self.cached[block_id]

    def save(self, sequence: Sequence, *, is_leaving: bool) -> None:
        for save in self.cache.save(sequence, is_leaving=is_leaving):
            assert save.block_id not in self.cached
            assert save.start + save.num_tokens <= sequence.num_computed
            self.cached[save.block_id] = tuple(sequence.token_ids[: save.start + save.num_tokens])

    def prefixes(self) -> set[tuple[int, ...]]:
        """What is cached now, evicted by no plan yet."""
        return {tokens for block_id, tokens in self.cached.items() if block_id not in self.cache._evicted}

    @invariant()
    def accounts_are_right(self) -> None:
        self.cache.check()
        prefixes = self.prefixes()
        assert self.cache.stats().num_blocks == len(prefixes) == len(self.keys._cached)
        for tokens in prefixes:
            assert len(tokens) == SIZE or tokens[:-SIZE] in prefixes, "a block without the one before"

    def teardown(self) -> None:
        for sequence in self.running:
            self.cache.untrack(sequence)
        self.cache.finish_plan()
        self.cache.check()
        assert not any(block.computing_ids for block in self.cache._tree.blocks())


CacheMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestCache = CacheMachine.TestCase


def test_a_prompts_last_blocks_are_saved_while_its_answer_runs() -> None:
    cache = create_cache()
    sequence = create_sequence(prompt=list(range(9)), max_tokens=50)
    admit(cache, sequence)
    compute_tokens(sequence, 9)
    sequence.num_in_flight = 1
    assert sequence.is_decoding
    assert [save.start for save in cache.save(sequence)] == [0, 4]
