"""What exists for MLX's CPU backend alone; who reads for a Mac may skip it.

Functions made of cheaper operations, the order and width of weights, the allocator, denormal numbers, and
the BLAS. ``device/platform.py`` and the loader use it where the device is a CPU. (Its attention is
``forward/attention/cpu.py``.)
"""
