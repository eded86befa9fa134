"""Between the wire and the engine's vocabulary: one module for each API dialect.

Owns what fields mean: which are refused, how a body becomes a ``GenerationRequest``, and how events
become chunks or one answer. The routes call it. It must not know connections, the engine or mlx:
requests and events are plain values.
"""
