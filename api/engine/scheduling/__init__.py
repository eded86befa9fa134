"""What each step computes: who is admitted, who decodes, which prompts are prefilled by how many rows.

Owns the waiting and the running sequences. The batch thread calls ``schedule`` and ``update``; memory,
budget and speculation are asked. It must not know arrays, texts or clients: out comes a plan of numbers and
ids.
"""
