"""Attention of query rows over slots of left-aligned KV: MLX's kernel, the CPU's own, and the masks of both.

The forwards call it by one interface. It must not know plans or where the KV comes from.
"""
