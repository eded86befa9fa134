"""One choice of an answer in the batch: the tokens it knows, how many are computed, what it brought.

Everything that decides shares these values, and changes them by their own verbs. They must not know slots
in general, other sequences of the batch, or arrays.
"""
