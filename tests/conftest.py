"""Runs before any test module: MLX takes the fast BLAS only if it is in the process first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from api.engine.cpu.blas.load import preload_blas

if TYPE_CHECKING:
    from openai import OpenAI

preload_blas()

# The same examples each time, so that a failure is the change's; HYPOTHESIS_PROFILE=explore draws new ones.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "reproducible"))


@pytest.fixture(scope="module")
def tiny_classes() -> Iterator[None]:
    """Slots of 8, 12, 16, 24, ... tokens, so that short answers outgrow them."""
    from tests.engine.factories import tiny_slot_classes  # not before the BLAS

    with tiny_slot_classes():
        yield


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where the program answers with the default model, as a user starts it."""
    from tests.fakes.program import Program  # not before the BLAS

    program = Program.start()
    yield program.url
    program.kill()


@pytest.fixture(scope="module")
def client(url: str) -> OpenAI:
    """OpenAI's own, of that program."""
    from openai import OpenAI  # takes long, and few tests ask for it

    return OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
