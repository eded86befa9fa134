"""Which of its kernels OpenBLAS is to use, by measurement instead of by the processor's maker and model.

Owns the candidates, the child processes that time them, and the remembered answer. ``blas.py`` asks
before mlx is imported, so nothing here may import mlx or know what is computed with the products.
"""
