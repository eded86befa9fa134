"""The forwards: one small interface, ``forward(plan, token_ids) -> logits``, and what implements it.

``flat.py`` is the flat step, ``grouped.py`` serves recurrent state, ``padded.py`` all that fails in
these; ``choose.py`` finds the fastest one that reproduces the model. Owns the arrays of KV and recurrent
state, those of kept blocks too. The generator, tuning and the draft model call it. It must not know
requests, sampling or who decides: a plan says what to do, in ids, slots and positions.
"""
