"""The default model itself: fetched on the first run, then read from the cache folder."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.tokenizer_utils import load as load_tokenizer
from mlx_lm.utils import _get_classes

from api.config import EngineConfig
from api.engine.loading.load import LoadedModel, load_model
from api.engine.loading.locate import ModelFiles, locate_model

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def files() -> ModelFiles:
    return locate_model(None, lambda line: None)


@pytest.fixture(scope="module")
def tokenizer(files: ModelFiles) -> Any:
    return load_tokenizer(files.folder)


@pytest.fixture(scope="module")
def loaded(files: ModelFiles) -> LoadedModel:
    return load_model(files, EngineConfig(), _get_classes, lambda line: None)


def test_tokenizer_is_the_published_one(tokenizer: Any) -> None:
    assert tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"]) == [1, 2]
    assert tokenizer.encode("<|im_start|>user\nHello 12345") == [1, 4093, 198, 19556, 216, 33, 34, 35, 36, 37]
    text = "Héllo wörld 🎉  x\n\n\ty 2024 'll"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_shape_of_the_model(loaded: LoadedModel) -> None:
    assert loaded.num_parameters == 134_515_008
    assert loaded.context_length == 8192
    assert loaded.eos_token_ids >= {2}
    assert loaded.model(mx.array([[1, 2, 3]])).shape == (1, 3, 49152)


def test_it_reads_english_well(loaded: LoadedModel, tokenizer: Any) -> None:
    # Rows of q and k in the wrong order leave a model that babbles: mean loss 7 and more, not under 3.
    ids = mx.array(
        [tokenizer.encode("The sun rises in the east and sets in the west. Water freezes at zero degrees.")]
    )
    logits = loaded.model(ids)[0, :-1].astype(mx.float32)
    picked = mx.take_along_axis(logits, ids[0, 1:, None], axis=-1)[:, 0]
    loss = (mx.logsumexp(logits, axis=-1) - picked).mean().item()
    assert isinstance(loss, float) and loss < 3.0


def test_it_knows_paris(loaded: LoadedModel, tokenizer: Any) -> None:
    ids = mx.array([tokenizer.encode("The capital of France is")])
    best = mx.argsort(loaded.model(ids)[0, -1].astype(mx.float32))[-3:].tolist()
    assert " Paris" in [tokenizer.decode([token_id]) for token_id in best]
