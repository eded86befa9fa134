"""A small model runs ahead of the one that is served, which verifies what it says.

Owns the draft model, its KV in slots of the same classes and indices as the sequences' own, and the
decision when it runs. The assembly loads it, the generator runs it, the scheduler sees only a
``Speculation`` and the plan's ``Draft`` values. It must not change an answer: what it says is a proposal
like any other.
"""
