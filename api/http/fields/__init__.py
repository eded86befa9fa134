"""Fields that several dialects share: their shapes on the wire, their checks and their meaning.

The dialects build on it: sampling, ends, forms, reasoning, names of models, and the parts of answers that are
alike (usage, errors, logprobs of prompts). It must not know which dialect asks.
"""
