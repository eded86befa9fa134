"""How this machine's device does, by one command: ``python -m benchmarks.device``."""
