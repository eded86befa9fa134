"""What differs between Metal, CUDA and the CPU backend, and what the device's memory is.

``platform.py`` is the one value that the rest of the engine asks. It must not know sequences, plans or
models.
"""
