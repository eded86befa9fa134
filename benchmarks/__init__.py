"""Measured claims; each module with a ``main`` is one command."""
