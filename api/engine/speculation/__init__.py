"""Which sequences verify proposals for their next tokens, and how many: where it pays by what was measured.

Owns the sources of proposals but the draft model's: a chat's own text, and what a client predicts. The
scheduling asks it before each step and tells it what came of it. It must not know arrays, nor change an
answer.
"""
