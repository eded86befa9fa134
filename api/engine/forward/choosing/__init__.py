"""Which forward a model gets: the fastest one whose logits equal the plain model's, by a check at load.

The assembly, tuning and the draft model call ``choose.py``. It must not know names of models: logits
decide.
"""
