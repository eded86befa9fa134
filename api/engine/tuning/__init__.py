"""What depends on the device is measured on it, at load, and remembered.

Owns the choices, how each is timed, and the file that remembers them. The engine's assembly calls it
once, before the first request. It must not change what is computed, only how fast, and must not know
requests: it times steps of made-up sequences.
"""
