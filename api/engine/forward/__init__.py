"""From a plan's rows to logits: one small interface, ``forward(plan, token_ids)``, and what implements it.

``flat.py`` is the flat step, ``grouped.py`` serves recurrent state, ``padded.py`` all that fails in these.
Owns the arrays of KV and recurrent state (``kv/``), and attention over them (``attention/``); ``choosing/``
finds the fastest forward that reproduces a model. The generator, tuning and the draft model call it. It
must not know requests, sampling or who decides: a plan says what to do, in ids, slots and positions.
"""
