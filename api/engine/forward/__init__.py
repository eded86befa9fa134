"""The forwards: one small interface, ``forward(plan, token_ids) -> logits``, and what implements it.

``flat.py`` is the flat step, ``grouped.py`` serves recurrent state, ``padded.py`` all that fails in these.
"""
