"""A fast BLAS for MLX's CPU build on Linux, and which of its kernels it is to use: by measurement.

Owns the candidates, the child processes that time them, and the remembered answer. ``app.py`` calls
``load.py`` before mlx is imported, so nothing here may import mlx or know what is computed with the
products.
"""
