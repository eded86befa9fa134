"""Between the wire and the engine's vocabulary: one module for each API dialect."""
