from __future__ import annotations

from api.engine.memory.prefix_tree import Block, PrefixTree


def insert(tree: PrefixTree, *tokens: int, salt: str = "", is_cached: bool = True) -> list[Block]:
    """The path of blocks of two tokens each; touched as one that is used now."""
    path, block = [], tree.root(salt)
    for start in range(0, len(tokens), 2):
        block = tree.child(block, tokens[start : start + 2])
        block.is_cached = block.is_cached or is_cached
        path.append(block)
    tree.touch(path)
    return path


def ends(tree: PrefixTree) -> list[tuple[int, ...]]:
    """Removes all that can be, and tells in which order."""
    order = []
    while (block := tree.oldest_end()) is not None:
        order.append(block.token_ids)
        tree.remove(block)
    return order


def test_a_walk_finds_the_longest_prefix_that_is_there() -> None:
    tree = PrefixTree(2)
    path = insert(tree, 1, 2, 3, 4)
    assert list(tree.walk("", [1, 2, 3, 4, 5, 6], 3)) == path
    assert list(tree.walk("", [1, 2, 3, 4], 1)) == path[:1]
    assert list(tree.walk("", [1, 2, 9, 4], 2)) == path[:1]
    assert list(tree.walk("", [3, 4], 1)) == []


def test_salts_share_nothing() -> None:
    tree = PrefixTree(2)
    insert(tree, 1, 2)
    assert list(tree.walk("a", [1, 2], 1)) == []
    assert insert(tree, 1, 2, salt="a")[0] is not insert(tree, 1, 2)[0]


def test_the_longest_unused_end_goes_first_and_a_path_from_its_end() -> None:
    tree = PrefixTree(2)
    insert(tree, 1, 1, 2, 2)
    insert(tree, 1, 1, 3, 3)
    insert(tree, 5, 5)
    list(tree.walk("", [1, 1, 2, 2], 2))
    insert(tree, 1, 1, 2, 2)  # used again
    assert ends(tree) == [(3, 3), (5, 5), (2, 2), (1, 1)]


def test_what_is_pinned_or_not_cached_stays() -> None:
    tree = PrefixTree(2)
    pinned = insert(tree, 1, 1)[0]
    pinned.num_pins = 1
    insert(tree, 2, 2, is_cached=False)
    assert tree.oldest_end() is None
    pinned.num_pins = 0
    tree.requeue(pinned)
    assert ends(tree) == [(1, 1)]


def test_what_is_being_computed_behind_a_block_goes_with_it() -> None:
    tree = PrefixTree(2)
    cached = insert(tree, 1, 1)[0]
    coming = tree.child(cached, (2, 2))
    assert ends(tree) == [(1, 1)]
    assert coming.parent is None
    assert list(tree.walk("", [1, 1, 2, 2], 2)) == []


def test_nothing_grows_with_use() -> None:
    tree = PrefixTree(2)
    for salt in range(50):
        insert(tree, 7, 7, salt=str(salt))
        ends(tree)
    for _ in range(2000):
        insert(tree, 1, 1)
    assert len(tree._ends) <= 2 + 256 + 2
    assert list(tree._roots) == [""]
