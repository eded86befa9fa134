"""Who has which bytes: the slots of running sequences, the cached blocks, and the one account of both.

Owns admission's side of memory, the prefix cache and its tree, and the plan of all bytes that is made at
load. The scheduling asks it, the forward does what its changes say. It must not know arrays: it counts in
slots, blocks and bytes.
"""
