"""How many rows of prompts a step may prefill beside running streams, by the times of the steps before.

Owns the curve of a step's seconds by its rows. The scheduling asks it for each step, speculation compares
its own steps with the curve. It must not know sequences: it sees rows, lengths and seconds.
"""
