"""The arrays that a forward has of sequences: KV in slots and in cached blocks, and recurrent state.

The forwards call it. All writes of a layer come before its first read, or MLX copies the whole array. It
must not know models or attention.
"""
