from __future__ import annotations

import importlib

import mlx.core as mx
import pytest

from tests.engine.architecture_page import COMMAND, PAGE, choose_architecture, forward_of, page
from tests.engine.architectures import (
    NEEDS_METAL,
    NEEDS_PACKAGE,
    NOTES,
    OWN_CACHE_DIFFERS,
    architectures,
    build,
    build_plain,
    config,
    loadable,
)
from tests.engine.interleaving import draw_visits, plain_answer, run

pytestmark = pytest.mark.model  # no weights are loaded, but there are many models


@pytest.mark.parametrize("name", loadable())
def test_interleaved_sequences_get_the_tokens_that_mlx_lm_gives_each_alone(name: str) -> None:
    chosen, _ = choose_architecture(name)
    visits = draw_visits(config(name)["vocab_size"])
    chosen.forward.reset()
    run(chosen.forward, visits)
    chosen.forward.reset()
    plain = build_plain(name, build(name))
    for visit in visits:
        assert visit.answer == plain_answer(plain, visit, recomputes=name in OWN_CACHE_DIFFERS)


def test_the_page_is_what_the_code_gives() -> None:
    forwards = {name: forward_of(name) for name in architectures()}
    assert PAGE.read_text(encoding="utf-8") == page(forwards), f"run: {COMMAND}"


def test_what_is_no_longer_shipped_has_no_entry() -> None:
    assert {*NOTES, *OWN_CACHE_DIFFERS, *NEEDS_METAL, *NEEDS_PACKAGE} <= set(architectures())


@pytest.mark.parametrize("name", NEEDS_PACKAGE)
def test_what_needs_a_package_says_which(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        importlib.import_module(f"mlx_lm.models.{name}")
    assert NEEDS_PACKAGE[name] in capsys.readouterr().out


@pytest.mark.skipif(mx.metal.is_available(), reason="there is Metal")
@pytest.mark.parametrize("name", NEEDS_METAL)
def test_what_needs_metal_says_so(name: str) -> None:
    with pytest.raises(RuntimeError, match="Metal"):
        mx.eval(build(name)(mx.array([[1, 2, 3]])))
