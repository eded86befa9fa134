"""Runs before any test module: MLX takes the fast BLAS only if it is in the process first."""

from __future__ import annotations

import os

from hypothesis import settings

from api.engine.model_loader.blas import preload_blas

preload_blas()

# The same examples each time, so that a failure is the change's; HYPOTHESIS_PROFILE=explore draws new ones.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "reproducible"))
