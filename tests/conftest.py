"""Runs before any test module: MLX takes the fast BLAS only if it is in the process first."""

from __future__ import annotations

from api.engine.model_loader.blas import preload_blas

preload_blas()
