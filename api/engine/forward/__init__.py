"""The forwards: one small interface, ``forward(plan, token_ids) -> logits``, and what implements it.

``flat.py`` is the flat step; ``padded.py`` serves every model that fails the self-check.
"""
