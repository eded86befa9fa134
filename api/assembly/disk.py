"""Puts the tier on disk together, where there is one, and between the cache, the forward and the threads."""

from __future__ import annotations

from pathlib import Path

import mlx.nn as nn

from api.config import EngineConfig
from api.engine.device.free_memory import gigabytes
from api.engine.device.host_arrays import Layout, data_bytes
from api.engine.disk.folder import (
    default_limit_bytes,
    folder_fingerprint,
    open_folder,
    open_model_folder,
    open_secret,
)
from api.engine.disk.index import DiskIndex
from api.engine.disk.prefix_disk import NoPrefixDisk, PrefixDisk
from api.engine.disk.reader import BlockReader
from api.engine.disk.weights import weights_digest
from api.engine.disk.writer import BlockWriter
from api.engine.disk.written_through import WrittenThrough, probe_layouts
from api.engine.forward.interface import Forward, HasCachedBlocks
from api.engine.memory.block_cache import BlockCache
from api.engine.memory.block_keys import HashedBlockKeys
from api.engine.memory.prefix_cache import PrefixCache
from api.errors import StartupError
from api.types import Report


def check_disk_folder(config: EngineConfig) -> None:
    """Before a model is loaded for minutes. Raises StartupError where the folder cannot be written."""
    if config.prefix_cache_dir is not None:
        open_folder(config.prefix_cache_dir)


def open_prefix_disk(
    config: EngineConfig,
    cache: PrefixCache,
    forward: Forward,
    model: nn.Module,
    model_name: str,
    fingerprint: str,
    report: Report,
) -> tuple[PrefixDisk | NoPrefixDisk, Forward]:
    """The tier, and the forward that feeds it. ``fingerprint``: of weights' shapes and arithmetic.

    Raises StartupError where the folder cannot be written.
    """
    if config.prefix_cache_dir is None:
        return NoPrefixDisk(), forward
    if not isinstance(cache, BlockCache) or not isinstance(forward, HasCachedBlocks):
        report("Prefix cache on disk: off for this forward")
        return NoPrefixDisk(), forward
    keeper, sizes = forward.blocks, cache.sizes
    layouts = probe_layouts(forward, keeper, sizes.num_tokens, has_state=sizes.state_bytes > 0)
    _check_limit(config.prefix_cache_disk_bytes, sizes.num_tokens, layouts)
    name = folder_fingerprint(fingerprint, weights_digest(model), sizes.num_tokens, layouts)
    root = open_folder(config.prefix_cache_dir)
    folder = open_model_folder(root, name, model_name, sizes.num_tokens)
    index = _open_index(root, config.prefix_cache_disk_bytes)
    keys = HashedBlockKeys(name, open_secret(root))
    cache.name_blocks(keys)
    max_blocks = cache.limit_bytes // max(1, sizes.kv_bytes)
    reader = BlockReader(folder, keys, layouts, sizes.num_tokens, max_blocks)
    writer = BlockWriter(index, folder)
    report(
        f"Prefix cache on disk: up to {gigabytes(index.limit_bytes)} in {root}; "
        f"{gigabytes(index.used_bytes)} are there, of all models"
    )
    disk = PrefixDisk(cache, keeper, index, reader, writer)
    return disk, WrittenThrough(forward, keeper, writer, layouts)


def _check_limit(limit_bytes: int | None, block_tokens: int, layouts: tuple[Layout, ...]) -> None:
    block_bytes = max(data_bytes(layout) for layout in layouts)
    if limit_bytes is not None and limit_bytes <= block_bytes:
        raise StartupError(
            f"--prefix-cache-disk: {limit_bytes:,} bytes hold not one block of {block_tokens} tokens, "
            f"which takes {block_bytes:,} and a header"
        )


def _open_index(root: Path, limit_bytes: int | None) -> DiskIndex:
    index = DiskIndex(root)
    try:
        with index.open():
            index.limit_to(limit_bytes or default_limit_bytes(root, index.used_bytes))
    except OSError as error:
        raise StartupError(f"cannot read --prefix-cache-dir {root} ({error.strerror or error})") from error
    return index
